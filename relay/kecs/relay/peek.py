"""What a client's first bytes say: TLS with a name, HTTP with a Host, CONNECT, or something else. Pure.

`look` is asked again with more bytes as long as it answers `NEED_MORE`; for the same bytes it always says the same.
It never raises: what is not understood is `Wire.OTHER`, which is passed on untouched.
"""

import re
from typing import Final

from kecs.relay.decide import Peeked, Wire
from kecs.relay.hellos import Hellos

NEED_MORE: Final = None
LOOKED_AT_MOST: Final = 65536
"""A ClientHello or head that is longer is not waited for."""

_HANDSHAKE: Final = 0x16
_CLIENT_HELLO: Final = 0x01
_SERVER_NAME: Final = 0
_ALPN: Final = 16
_RECORD_MAX: Final = 16384 + 256
_METHOD: Final = re.compile(rb"[A-Z][A-Z-]{0,19}(?: |\Z)")
_REQUEST_LINE: Final = re.compile(rb"([A-Z-]+) (\S+) HTTP/1\.[01]\Z")
_OTHER: Final = Peeked(wire=Wire.OTHER)
_MET: Final = Hellos()


class _ShortError(Exception):
    """The bytes so far end inside what is being read."""


class _MalformedError(Exception):
    """These bytes are no ClientHello."""


def _end(data: bytes, at: int, size: int) -> int:
    """Return where the vector ends whose length, of `size` bytes, is written here.

    Flat arithmetic, since this is paid by every new connection: a reader object took three times as long.
    """
    start = at + size
    end = start + int.from_bytes(data[at:start])
    if start > len(data) or end > len(data):
        raise _MalformedError
    return end


def look(data: bytes) -> Peeked | None:
    """Say what the bytes are, or NEED_MORE."""
    met = _MET.find(data)
    if met is not None:
        return met
    found = read(data)
    if found is not None and found.wire is Wire.TLS:
        _MET.add(data, found)
    return found


def read(data: bytes) -> Peeked | None:
    """Do as `look`, remembering nothing."""
    if not data:
        return NEED_MORE
    if data[0] == _HANDSHAKE:
        try:
            return _client_hello(_handshake(data))
        except _ShortError:
            return NEED_MORE if len(data) < LOOKED_AT_MOST else _OTHER
        except _MalformedError:
            return _OTHER
    return _http(data)


def begun(data: bytes) -> Wire:
    """Say what bytes on which `look` needs more are the beginning of: TLS, HTTP, or OTHER."""
    if data[:1] == b"\x16" and data[1:2] in {b"", b"\x03"}:
        return Wire.TLS
    return Wire.HTTP if _METHOD.match(data[:21]) else Wire.OTHER


def _handshake(data: bytes) -> bytes:
    """Join the first handshake message from its records (RFC 8446 section 5.1 permits fragments)."""
    message, at = b"", 0
    while True:
        start = at + 5
        if len(data) < at + 3:
            raise _ShortError
        if data[at] != _HANDSHAKE or data[at + 1] != 3:  # noqa: PLR2004 - every TLS version writes 3 here
            raise _MalformedError
        if len(data) < start:
            raise _ShortError
        end = start + (data[at + 3] << 8 | data[at + 4])
        if end - start > _RECORD_MAX:
            raise _MalformedError
        if len(data) < end:
            raise _ShortError
        message += data[start:end]  # none may be empty, but there are servers that take such
        if message and message[0] != _CLIENT_HELLO:
            raise _MalformedError
        if len(message) >= 4:  # noqa: PLR2004 - type and length of a handshake message
            wanted = 4 + int.from_bytes(message[1:4])
            if len(message) >= wanted:
                return message[4:wanted]
        at = end


def _client_hello(body: bytes) -> Peeked:
    at = _end(body, 2 + 32, 1)  # version and random, then the session id
    at = _end(body, at, 2)  # cipher suites
    at = _end(body, at, 1)  # compression methods
    name = ""
    alpn: tuple[str, ...] = ()
    last = at if at == len(body) else _end(body, at, 2)
    at += 2
    while at < last:
        start = at + 4
        if start > last:
            raise _MalformedError
        kind = body[at] << 8 | body[at + 1]
        at = start + (body[at + 2] << 8 | body[at + 3])
        if at > last:
            raise _MalformedError
        if kind == _SERVER_NAME and not name:
            name = _server_name(body[start:at])
        elif kind == _ALPN:
            alpn = _protocols(body[start:at])
    return Peeked(wire=Wire.TLS, name=name, alpn=alpn)


def _server_name(content: bytes) -> str:
    entries = content[: _end(content, 0, 2)]
    at = 2
    while at < len(entries):
        end = _end(entries, at + 1, 2)
        if entries[at] == 0:
            return _host_name(entries[at + 3 : end])
        at = end
    return ""


def _protocols(content: bytes) -> tuple[str, ...]:
    entries = content[: _end(content, 0, 2)]
    found, at = [], 2
    while at < len(entries):
        end = _end(entries, at, 1)
        found.append(entries[at + 1 : end].decode("latin-1"))
        at = end
    return tuple(found)


def _host_name(value: bytes) -> str:
    """Return the name in lower case without its trailing dot; a name that is not ASCII is nobody's."""
    return value.decode("ascii", "replace").lower().removesuffix(".")


def _http(data: bytes) -> Peeked | None:
    if not _METHOD.match(data[:21]):
        return _OTHER
    end = data.find(b"\r\n\r\n")
    head = data if end < 0 else data[:end]
    line, _, fields = head.partition(b"\r\n")
    if b"\r\n" in head or end >= 0:
        match = _REQUEST_LINE.match(line)
        if match is None:
            return _OTHER
        if match[1] == b"CONNECT":
            if end < 0:
                return NEED_MORE if len(data) < LOOKED_AT_MOST else _OTHER
            host, port = authority(match[2])
            return Peeked(wire=Wire.CONNECT, name=host, port=port)
        name = _host(match[2], fields, complete=end >= 0)
        if name is not None:
            return Peeked(wire=Wire.HTTP, name=name)
    return NEED_MORE if end < 0 and len(data) < LOOKED_AT_MOST else Peeked(wire=Wire.HTTP)


def _host(target: bytes, fields: bytes, *, complete: bool) -> str | None:
    """Return the host of an absolute-form target, else of the Host field; None while it may still come."""
    scheme = target[:8].lower()
    if scheme.startswith((b"http://", b"https://")):
        return authority(target.split(b"//", 1)[1].split(b"/", 1)[0].split(b"?", 1)[0])[0]
    *whole, last = fields.split(b"\r\n")
    for field in [*whole, *([last] if complete else [])]:
        name, colon, value = field.partition(b":")
        if colon and name.lower() == b"host":
            return authority(value.strip(b" \t"))[0]
    return None


def authority(value: bytes) -> tuple[str, int]:
    """Split `host:port`, `[v6]:port` or `host`; the port is 0 when absent or no number."""
    value = value.rsplit(b"@", 1)[-1]
    if value.startswith(b"["):
        host, _, rest = value[1:].partition(b"]")
        port = rest.removeprefix(b":")
    else:
        host, _, port = value.partition(b":")
    number = int(port) if port.isdigit() and len(port) <= 5 else 0  # noqa: PLR2004 - 65535 has five digits
    return _host_name(host), number
