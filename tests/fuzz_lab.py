"""What must hold for any bytes, parser by parser: a value or our error, whatever the split, and never against a second
parser's reading. `relay/test_fuzz.py` asks by hypothesis, `make fuzz` guided by coverage.

Each target takes bytes and raises AssertionError, or whatever it should not have raised.
"""

import contextlib
import ssl
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import dns.message
import h11
from mitmproxy.net.http import http1
from relay_lab import Authority

from kecs.aws.hosts import is_aws_name
from kecs.controlplane.errors import ApiError
from kecs.controlplane.wire.model import model
from kecs.controlplane.wire.parsing import parse
from kecs.controlplane.wire.requests import Spoken, document_of
from kecs.core.errors import ProtocolError
from kecs.relay import framing
from kecs.relay.contexts import server_context
from kecs.relay.decide import Peeked, Wire
from kecs.relay.framing import Body, Chunked, Length, NoBody, UntilClose
from kecs.relay.peek import authority, look
from kecs.sidecar import engine_origin
from kecs.sidecar.dns_names import Allocator, is_query, reply_to, server_failure

SEEDS: Final = Path(__file__).parent / "fuzz" / "seeds"
type Target = Callable[[bytes], None]


def cuts(data: bytes) -> Iterator[int]:
    """Choose where to cut, by the bytes themselves: the ends, and some places in between."""
    yield from (0, 1, len(data) - 1, len(data))
    place = 0
    for step in data[:12]:
        place += step % 41 + 1
        if place < len(data):
            yield place


# first bytes


def first_bytes(data: bytes) -> None:
    """Look at every beginning: once it is known what they are, more bytes change nothing."""
    known: Peeked | None = None
    for end in sorted({max(0, cut) for cut in cuts(data)}):
        seen = look(data[:end])
        assert known is None or seen == known, (known, seen)
        known = known or seen
        if seen is not None:
            assert seen.name == seen.name.lower()
            assert 0 <= seen.port <= 99999


def _server() -> ssl.SSLContext:
    chain, key, _ = Authority().mint(("a.example",))
    return server_context(chain, key)


class _Openssl:
    """OpenSSL as a server: which name it takes from a client's first bytes."""

    def __init__(self) -> None:
        self._context = _server()
        self._context.set_alpn_protocols(["http/1.1", "h2"])
        self._context.sni_callback = self._note
        self.names: list[str | None] = []

    def _note(self, tls: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        del tls, context
        self.names.append(name)

    def name_in(self, data: bytes) -> tuple[str | None, bool]:
        """Return the name it was told, and whether it got as far as to ask."""
        self.names.clear()
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = self._context.wrap_bio(incoming, outgoing, server_side=True)
        incoming.write(data)
        with contextlib.suppress(ssl.SSLError):
            tls.do_handshake()
        return (self.names[0], True) if self.names else (None, False)


_OPENSSL: list[_Openssl] = []


def client_hello(data: bytes) -> None:
    """Whatever name OpenSSL would serve, we have seen: else an AWS name would pass unseen."""
    first_bytes(data)
    if not _OPENSSL:
        _OPENSSL.append(_Openssl())
    name, asked = _OPENSSL[0].name_in(data)
    if not asked:
        return
    seen = look(data)
    assert seen is not None
    assert seen.wire is Wire.TLS
    assert seen.name == (name or "").lower().removesuffix("."), (seen, name)


# heads


def _kind(body: Body) -> str:
    match body:
        case Length(left=left):
            return f"length {left}"
        case Chunked():
            return "chunked"
        case UntilClose():
            return "until close"
        case _:
            return "none"


def _h11_framing(event: h11.Request | h11.Response) -> str:
    fields = dict(event.headers)
    if b"transfer-encoding" in fields:
        return "chunked"
    return f"length {int(fields[b'content-length'])}" if b"content-length" in fields else "none"


def request_head(data: bytes) -> None:
    """A request that we take means the same to h11 and to mitmproxy, or they refuse it; said again it is the same."""
    end = framing.head_end(data)
    if end < 0:
        return
    raw = data[:end]
    try:
        found = framing.request(raw, fields_max=200)
    except ProtocolError:
        return
    written = framing.write_request(found.head, upgrade=found.upgrade, http_1_0=found.http_1_0)
    again = framing.request(written, fields_max=200)
    assert (again.head.method, again.head.target) == (found.head.method, found.head.target)
    kind = _kind(found.body).replace("length 0", "none")
    assert _kind(again.body).replace("length 0", "none") == kind
    _agrees_with_h11(raw, found, kind)
    _agrees_with_mitmproxy(raw, found, kind)


def _agrees_with_h11(raw: bytes, found: framing.Request, kind: str) -> None:
    other = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    other.receive_data(raw)
    try:
        event = other.next_event()
    except h11.RemoteProtocolError:
        return
    if isinstance(event, h11.Request):
        assert event.method == found.head.method
        assert _h11_framing(event).replace("length 0", "none") == kind


def _agrees_with_mitmproxy(raw: bytes, found: framing.Request, kind: str) -> None:
    try:
        theirs = http1.read_request_head(raw.strip(b"\r\n").split(b"\r\n"))
        size = http1.expected_http_body_size(theirs)
    except ValueError:
        return
    assert theirs.data.method == found.head.method
    assert {None: "chunked", 0: "none", -1: "until close"}.get(size, f"length {size}") == kind


def response_head(data: bytes) -> None:
    """The same for responses, to a GET."""
    end = framing.head_end(data)
    if end < 0:
        return
    raw = data[:end]
    try:
        found = framing.response(raw, method=b"GET")
    except ProtocolError:
        return
    assert 100 <= found.head.status <= 999
    other = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
    other.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]))
    other.send(h11.EndOfMessage())
    other.receive_data(raw)
    try:
        event = other.next_event()
    except h11.RemoteProtocolError:
        return
    if isinstance(event, h11.Response) and not isinstance(found.body, NoBody):
        assert event.status_code == found.head.status
        theirs = _h11_framing(event).replace("none", "until close")
        assert theirs == _kind(found.body)


# chunks


def chunks(data: bytes) -> None:
    """However a chunked body is cut, it ends at the same byte with the same content, or in our error; h11 agrees."""
    whole = _take(data, ())
    for cut in cuts(data):
        assert _take(data, (cut,)) == whole, cut
    assert _take(data, tuple(range(1, min(len(data), 300)))) == whole
    if whole is None or not whole[1]:
        return
    count, _, shown = whole
    other = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    other.receive_data(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + data)
    got = b""
    try:
        while not isinstance(event := other.next_event(), h11.EndOfMessage):
            assert event is not h11.NEED_DATA, "h11 waits for more"
            got += bytes(event.data) if isinstance(event, h11.Data) else b""
    except h11.RemoteProtocolError:
        return
    assert got == shown
    assert other.trailing_data[0] == data[count:]


def _take(data: bytes, places: tuple[int, ...]) -> tuple[int, bool, bytes] | None:
    """Return how much belongs to the body, whether it has ended, and its content; None for what is refused."""
    tracker, taken, start = Chunked(), 0, 0
    tracker.show(1 << 20)
    try:
        for place in (*places, len(data)):
            if place > start and not tracker.done:
                taken += tracker.take(data[start:place])
                start = place
    except ProtocolError:
        return None
    return taken, tracker.done, bytes(tracker.shown)


# the others


def names(data: bytes) -> None:
    """Any datagram that may be a query is answered, or is for others; answers are answers to it."""
    if not is_query(data):
        return
    allocator = Allocator()
    reply = reply_to(data, allocator, is_aws_name, ("cluster.local",))
    for answer in (reply, server_failure(data)):
        if answer is not None:
            assert answer[:2] == data[:2]
            assert not is_query(answer)
            dns.message.from_wire(answer)


def host_and_port(data: bytes) -> None:
    """Any authority gives a name in lower case and a number."""
    name, port = authority(data)
    assert name == name.lower()
    assert 0 <= port <= 99999


def origin(data: bytes) -> None:
    """Any header in front of a connection to the engine is the relay's, or our error."""
    try:
        if len(data) >= engine_origin.FIXED:
            found = engine_origin.read(data, b"secret")
            assert ip_address(found.client.host).version in {4, 6}
    except ProtocolError:
        return


def ecs_request(data: bytes) -> None:
    """Any body of any operation of ECS gives parameters, or an exception that AWS has for it."""
    names = sorted(model().operations)
    name, protocol = names[data[0] % len(names) if data else 0], list(Spoken)[len(data) > 1 and data[1] & 1]
    try:
        parse(name, document_of(data[2:], protocol))
    except ApiError as error:
        assert error.code in {"SerializationException", "InvalidParameterException", "ClientException"}  # noqa: PT017 - a value or this


TARGETS: Final[dict[str, Target]] = {
    "client_hello": client_hello,
    "first_bytes": first_bytes,
    "request_head": request_head,
    "response_head": response_head,
    "chunks": chunks,
    "names": names,
    "host_and_port": host_and_port,
    "origin": origin,
    "ecs_request": ecs_request,
}


def seeds(target: str) -> list[bytes]:
    """Return what the target's fuzzing begins with."""
    return [path.read_bytes() for path in sorted((SEEDS / target).iterdir())]
