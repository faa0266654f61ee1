"""Where HTTP/1.1 messages begin and end: strict heads, and bodies whose bytes are counted but never changed. Pure.

A head is parsed by llhttp (httptools) and then held to RFC 9112 where proxies and servers are known to differ:
whatever is ambiguous is refused, never forwarded. A body tracker says how many of the bytes at hand still belong to
the message.
"""

import re
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

import httptools

from kecs.aws.head import Fields, RequestHead, ResponseHead
from kecs.core.errors import ProtocolError

_LENGTH: Final = re.compile(rb"[0-9]{1,18}$")
_CHUNK_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[^\r\n\x00]*)?\Z")
_TRAILER: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[^\x00]*\Z")
_NO_TRAILERS: Final = frozenset({b"content-length", b"host", b"transfer-encoding"})
_CHUNK_LINE_MAX: Final = 4096
_TRAILERS_MAX: Final = 16384
_BLANKS: Final = frozenset({b" ", b"\t"})
_VERSIONS: Final = frozenset({"1.0", "1.1"})
_NO_BODY: Final = frozenset({204, 304})
_LEAST_STATUS: Final = 100
_TARGET: Final = re.compile(rb"[!-~\x80-\xff]+$")

HOP_BY_HOP: Final = frozenset({b"connection", b"keep-alive", b"proxy-connection"})
"""Fields that belong to one connection. Transfer-Encoding stays: bodies are forwarded as they are framed."""

REQUEST_HOP_BY_HOP: Final = HOP_BY_HOP | {b"upgrade", b"http2-settings"}
"""Of requests: what is asked for beside them is passed on in words of ours."""

_CONNECTION_OPTIONS: Final = frozenset({b"", b"close", b"keep-alive"})
_NEVER_NOMINATED: Final = frozenset({b"host", b"content-length", b"transfer-encoding", b"authorization", b"expect"})
_UNSEEN: Final = re.compile(rb"(?:^|[,\s])(?:h2c|tls)(?:[,/\s]|$)", re.IGNORECASE)
"""Upgrades whose further requests nobody could decide on."""


class Body(Protocol):
    """Follows a body through the bytes of its connection."""

    done: bool

    def take(self, data: bytes) -> int:
        """Return how many of these bytes belong to the body; raises ProtocolError. Sets `done` at its end."""


class NoBody:
    """A message that ends with its head."""

    __slots__ = ("done",)

    def __init__(self) -> None:
        self.done = True

    def take(self, data: bytes) -> int:  # noqa: ARG002 - the protocol's
        """Take nothing."""
        return 0


EMPTY: Final = NoBody()


class Length:
    """A body of known length."""

    __slots__ = ("done", "left")

    def __init__(self, length: int) -> None:
        self.left = length
        self.done = length == 0

    def take(self, data: bytes) -> int:
        """Take what is left, at most."""
        count = min(self.left, len(data))
        self.left -= count
        self.done = self.left == 0
        return count


class UntilClose:
    """A response body that ends with its connection."""

    __slots__ = ("done",)

    def __init__(self) -> None:
        self.done = False

    def take(self, data: bytes) -> int:
        """Take everything."""
        return len(data)


class Chunked:
    """A chunked body with its trailers. `shown` collects decoded bytes, as far as `show` asks."""

    __slots__ = ("_left", "_line", "_show", "_state", "_trailers", "done", "shown")

    def __init__(self) -> None:
        self.done = False
        self.shown = bytearray()
        self._show = 0
        self._state = self._size
        self._line = b""
        self._left = 0
        self._trailers = 0

    def show(self, count: int) -> None:
        """Keep this many decoded bytes in `shown`."""
        self._show = count

    def take(self, data: bytes) -> int:
        """Take as many bytes as belong to the body."""
        position = 0
        while position < len(data) and not self.done:
            position = self._state(data, position)
        return position

    def _read_line(self, data: bytes, position: int) -> tuple[bytes | None, int]:
        end = data.find(b"\n", position)
        piece = data[position:] if end < 0 else data[position : end + 1]
        self._line += piece
        if len(self._line) > _CHUNK_LINE_MAX:
            raise ProtocolError("a line of the chunked body is too long")
        if end < 0:
            return None, len(data)
        line, self._line = self._line, b""
        if not line.endswith(b"\r\n") or b"\r" in line[:-2]:
            raise ProtocolError("a line of the chunked body does not end in CRLF")
        return line[:-2], end + 1

    def _size(self, data: bytes, position: int) -> int:
        line, position = self._read_line(data, position)
        if line is not None:
            match = _CHUNK_SIZE.match(line)
            if match is None:
                raise ProtocolError(f"chunk size {line[:40]!r} is no hexadecimal number")
            self._left = int(match[1], 16)
            self._state = self._data if self._left else self._trailer
        return position

    def _data(self, data: bytes, position: int) -> int:
        count = min(self._left, len(data) - position)
        wanted = self._show - len(self.shown)
        if wanted > 0:
            self.shown += data[position : position + min(count, wanted)]
        self._left -= count
        if self._left == 0:
            self._state = self._data_end
        return position + count

    def _data_end(self, data: bytes, position: int) -> int:
        line, position = self._read_line(data, position)
        if line is not None:
            if line:
                raise ProtocolError("a chunk is longer than its size")
            self._state = self._size
        return position

    def _trailer(self, data: bytes, position: int) -> int:
        line, position = self._read_line(data, position)
        if line is not None:
            self._trailers += len(line)
            if self._trailers > _TRAILERS_MAX:
                raise ProtocolError("the trailers are too long", status=431)
            self.done = not line
            field = _TRAILER.match(line)
            if line and (field is None or field[1].lower() in _NO_TRAILERS):
                raise ProtocolError("a trailer is no field, or one that says where messages end")
        return position


class Request(NamedTuple):
    """A request head, without what `Connection` nominates, and what its framing says."""

    head: RequestHead
    body: Body
    keep_alive: bool
    http_1_0: bool
    expects_continue: bool
    upgrade: bytes
    """The protocols that the client would change to, as far as that is passed on."""


class Response(NamedTuple):
    """A response head and what its framing says."""

    head: ResponseHead
    body: Body
    keep_alive: bool


class _Collector:
    """llhttp's callbacks."""

    __slots__ = ("fields", "reason", "target")

    def __init__(self) -> None:
        self.fields: list[tuple[bytes, bytes]] = []
        self.target = b""
        self.reason = b""

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_status(self, reason: bytes) -> None:
        self.reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name, value.rstrip(b" \t") if value[-1:] in _BLANKS else value))  # llhttp leaves them


def head_end(data: bytes | bytearray, start: int = 0) -> int:
    """Return where the head ends (after its empty line), or -1. `start` is where the last search ended."""
    found = data.find(b"\r\n\r\n", max(0, start - 3))
    return found + 4 if found >= 0 else -1


def _check_lines(raw: bytes, fields: int) -> None:
    """Refuse what llhttp or a backend might read in another way: bare CR or LF, NUL, folded fields."""
    ends = raw.count(b"\r\n")
    if raw.count(b"\n") != ends or raw.count(b"\r") != ends or b"\0" in raw:
        raise ProtocolError("the head holds a bare CR, a bare LF or a NUL")
    if fields + 2 != ends:  # the first line, each field's, and the empty one
        raise ProtocolError("the head holds a folded field (obsolete line folding)")


def request(raw: bytes, *, fields_max: int) -> Request:
    """Parse a whole request head; raises ProtocolError."""
    seen = _Collector()
    parser = httptools.HttpRequestParser(seen)
    try:
        parser.feed_data(raw)
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserError as error:
        raise ProtocolError(f"the request head is malformed: {str(error).lower()}") from error
    version, method = parser.get_http_version(), parser.get_method()
    fields = tuple(seen.fields)
    _check_lines(raw, len(fields))
    if version not in _VERSIONS:
        raise ProtocolError(f"HTTP/{version} is not understood", status=505)
    if len(fields) > fields_max:
        raise ProtocolError(f"more than {fields_max} header fields", status=431)
    head = RequestHead(method=method, target=seen.target, fields=fields, block=_block(raw))
    facts = _Facts.read(head)
    if not _TARGET.match(seen.target) or method == b"CONNECT":
        raise ProtocolError("the request target is malformed")
    if facts.hosts != 1 and not (facts.hosts == 0 and version == "1.0"):
        raise ProtocolError("the request has no Host field, or several")
    if facts.coding is not None and version == "1.0":
        raise ProtocolError("an HTTP/1.0 request has a Transfer-Encoding")
    if facts.connection:
        head = facts.strip(head)
    return Request(
        head=head if seen.target.startswith(b"/") else _origin_form(head),
        body=facts.body() or EMPTY,
        keep_alive=facts.keep_alive(version),
        http_1_0=version == "1.0",
        expects_continue=facts.expects_continue and version == "1.1",
        upgrade=facts.upgrade if b"upgrade" in facts.connection and not _UNSEEN.search(facts.upgrade) else b"",
    )


def _block(raw: bytes) -> bytes | None:
    """Return a head's fields as they stand, to be sent on like that; None where a tab may be read in two ways."""
    return None if b"\t" in raw else raw[raw.find(b"\r\n") + 2 : -2]


def _origin_form(head: RequestHead) -> RequestHead:
    """Turn `GET http://host/path` into `GET /path`; raise when its host is another than the Host field's."""
    target = head.target
    if target.startswith(b"/") or target == b"*":
        return head
    scheme, separator, rest = target.partition(b"://")
    if not separator or scheme.lower() not in {b"http", b"https"}:
        raise ProtocolError("the request target is neither a path nor a URL")
    cut = min((found for found in (rest.find(b"/"), rest.find(b"?")) if found >= 0), default=len(rest))
    authority, path = rest[:cut], rest[cut:]
    if authority.lower() != (head.get(b"host") or b"").lower():
        raise ProtocolError("the request target names another host than the Host field")
    return RequestHead(method=head.method, target=path if path.startswith(b"/") else b"/" + path, fields=head.fields)


_TOKENS: Final = {
    value: frozenset({value.lower()})
    for value in (b"keep-alive", b"Keep-Alive", b"close", b"Close", b"upgrade", b"Upgrade")
}
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding", b"connection", b"host", b"expect", b"upgrade"})


@dataclass(slots=True)
class _Facts:
    """The fields that decide on framing."""

    lengths: list[bytes]
    coding: bytes | None = None
    """None: no such field. An empty one is refused."""
    connection: frozenset[bytes] = frozenset()
    hosts: int = 0
    expects_continue: bool = False
    upgrade: bytes = b""

    @classmethod
    def read(cls, head: RequestHead | ResponseHead) -> "_Facts":
        facts = cls([])
        shape, fields = head.shape, head.fields
        for place in shape.only(_FRAMING):
            key, value = shape.names[place], fields[place][1]
            if key == b"content-length":
                facts.lengths.append(value)
            elif key == b"transfer-encoding":
                facts.coding = value if facts.coding is None else facts.coding + b"," + value
            elif key == b"connection":
                facts.connection |= _TOKENS.get(value) or {token.strip() for token in value.lower().split(b",")}
            elif key == b"host":
                facts.hosts += 1
            elif key == b"expect":
                facts.expects_continue = value.lower() == b"100-continue"
            else:
                facts.upgrade = facts.upgrade + b", " + value if facts.upgrade else value
        return facts

    def strip[Head: (RequestHead, ResponseHead)](self, head: Head) -> Head:
        """Drop what `Connection` nominates (RFC 9110 section 7.6.1), before anybody adds fields of these names."""
        nominated = self.connection - _CONNECTION_OPTIONS
        if not nominated:
            return head
        for name in nominated:
            if name in _NEVER_NOMINATED or name.startswith(b"x-amz-"):
                raise ProtocolError(f"Connection nominates {name[:40]!r}, which is for the other end")
        return head.with_fields(drop=nominated)

    def keep_alive(self, version: str) -> bool:
        return b"keep-alive" in self.connection if version == "1.0" else b"close" not in self.connection

    def body(self) -> Body | None:
        """Return the body's tracker by length or coding; None when neither is given."""
        if self.coding is not None:
            if self.lengths:
                raise ProtocolError("both Content-Length and Transfer-Encoding are given")
            if self.coding.strip().lower() != b"chunked":
                raise ProtocolError(f"transfer coding {self.coding[:40]!r} is not understood", status=501)
            return Chunked()
        if self.lengths:
            if len(self.lengths) > 1 or not _LENGTH.match(self.lengths[0]):
                raise ProtocolError(f"Content-Length is {b', '.join(self.lengths)[:60]!r}")
            return Length(int(self.lengths[0]))
        return None


def response(raw: bytes, *, method: bytes) -> Response:
    """Parse a whole response head to a request with this method; raises ProtocolError."""
    seen = _Collector()
    parser = httptools.HttpResponseParser(seen)
    try:
        parser.feed_data(raw)
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserError as error:
        raise ProtocolError(f"the response head is malformed: {str(error).lower()}", status=502) from error
    status, version, fields = parser.get_status_code(), parser.get_http_version(), tuple(seen.fields)
    _check_lines(raw, len(fields))
    if version not in _VERSIONS or status < _LEAST_STATUS:
        raise ProtocolError(f"status {status} of HTTP/{version} is no response", status=502)
    head = ResponseHead(status=status, reason=seen.reason, fields=fields)
    facts = _Facts.read(head)
    bodiless = method == b"HEAD" or status in _NO_BODY or status < 200  # noqa: PLR2004 - interim answers
    body: Body = EMPTY if bodiless else facts.body() or UntilClose()
    faulty = version == "1.0" and facts.coding is not None  # RFC 9112 section 6.1
    return Response(
        head=facts.strip(head) if facts.connection else head,
        body=body,
        keep_alive=facts.keep_alive(version) and not faulty and not isinstance(body, UntilClose),
    )


def fields_without(head: RequestHead | ResponseHead, names: frozenset[bytes]) -> Fields:
    """Return the fields whose names are others, the head's own tuple where that is all of them. Give it constants."""
    kept = head.shape.without(names)
    return head.fields if kept is None else tuple([head.fields[place] for place in kept])


def write_request(head: RequestHead, *, upgrade: bytes, http_1_0: bool = False) -> bytes:
    """Spell a request head for an upstream; the connection's own fields are ours to set.

    A client of HTTP/1.0 asks in its own version, or it would get chunks that it can't read.
    """
    version = b"HTTP/1.0" if http_1_0 else b"HTTP/1.1"
    fields = fields_without(head, REQUEST_HOP_BY_HOP)
    if fields is head.fields and head.block is not None and not upgrade:
        return b"%b %b %b\r\n%b\r\n" % (head.method, head.target, version, head.block)
    lines = [b"%b %b %b" % (head.method, head.target, version), *[b"%b: %b" % field for field in fields]]
    if upgrade:
        lines.append(b"Connection: upgrade\r\nUpgrade: %b" % upgrade)
    lines.append(b"\r\n")
    return b"\r\n".join(lines)


def write_response(head: ResponseHead, *, extra: Fields = ()) -> bytes:
    """Spell a response head for the client, with the connection's fields given as `extra`."""
    fields = fields_without(head, HOP_BY_HOP)
    lines = [b"HTTP/1.1 %d %b" % (head.status, head.reason), *[b"%b: %b" % field for field in fields]]
    lines += [b"%b: %b" % field for field in extra]
    lines.append(b"\r\n")
    return b"\r\n".join(lines)
