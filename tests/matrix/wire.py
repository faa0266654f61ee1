"""A request through a whole sidecar, in plain text as `http://` clients send it, and what came back, searched."""

import gzip
import http.client
import re
import socket
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http import HTTPStatus

from botocore.eventstream import EventStreamBuffer
from sidecar_service_lab import Lab

_CHUNK = 1 << 16
_PATIENCE_S = 300  # ministack looks through all of botocore when it is first asked for what it has not
_REFUSAL = re.compile(r"the backend (?:in use )?\([a-z-]+\)")
"""What we refuse ourselves names the backend that does not have it."""
_INFLATERS: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.decompress, "deflate": zlib.decompress}

_PAYLOAD = re.compile(r"\[ministack mock [^\]]*\]|ministack-key-\d+")
"""What a mocked model says is its payload; and the name of a key stands in tokens that are signed with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A response, its body as it was sent (without chunks) and as it is read."""

    status: int
    fields: tuple[tuple[str, str], ...]
    body: bytes
    plain: bytes

    def header(self, name: str) -> str:
        """Return a field's value, empty when there is none."""
        return next((value for key, value in self.fields if key.lower() == name), "")


@dataclass(slots=True)
class Wire:
    """The way through the sidecar; counts what came back and keeps what should not have been in it."""

    lab: Lab
    words: re.Pattern[str]
    """What no answer may hold."""
    scanned: int = 0
    leaks: list[str] = field(default_factory=list)

    def send(
        self, method: str, target: str, fields: Iterable[tuple[str, str]], body: bytes, *, events: int = 0
    ) -> Seen:
        """Send one request and read its answer; of a stream of events without an end so many."""
        head = f"{method} {target} HTTP/1.1\r\n" + "".join(f"{key}: {value}\r\n" for key, value in fields) + "\r\n"
        with self.lab.connect("203.0.113.9", 80) as sock:
            sock.settimeout(_PATIENCE_S)
            sock.sendall(head.encode("latin-1") + body)
            return self._read(sock, method, events)

    def _read(self, sock: socket.socket, method: str, events: int) -> Seen:
        response = http.client.HTTPResponse(sock, method=method)
        try:
            response.begin()
            body = _events(response, events) if events and response.status == HTTPStatus.OK else response.read()
        finally:
            response.close()
        fields = tuple(response.getheaders())
        coding = (response.getheader("content-encoding") or "").lower()
        plain = _INFLATERS[coding](body) if coding in _INFLATERS and body else body
        seen = Seen(status=response.status, fields=fields, body=body, plain=plain)
        self._scan(seen, response.reason)
        return seen

    def _scan(self, seen: Seen, reason: str) -> None:
        self.scanned += 1
        head = "\n".join([reason, *(f"{key}: {value}" for key, value in seen.fields)])
        body = _PAYLOAD.sub("", seen.plain.decode("latin-1"))
        if seen.status == HTTPStatus.NOT_IMPLEMENTED:
            body = _REFUSAL.sub("", body)
        for where, text in (("head", head), ("body", body)):
            for found in self.words.finditer(text):
                around = text[max(0, found.start() - 60) : found.end() + 40]
                self.leaks.append(f"{found[0]!r} in the {where} of {seen.status}: {around!r}")


def _events(response: http.client.HTTPResponse, count: int) -> bytes:
    body, buffer = b"", EventStreamBuffer()
    while count > 0 and (part := response.read1(_CHUNK)):
        body += part
        buffer.add_data(part)
        count -= sum(1 for _ in buffer)
    return body


def betraying(port: int) -> re.Pattern[str]:
    """Return what betrays a backend that listens on this port."""
    return re.compile(
        rf"localhost|127\.0\.0\.1|0\.0\.0\.0|:4566\b|:{port}\b|localstack|ministack|werkzeug|hypercorn",
        re.IGNORECASE,
    )


def chunked(body: bytes) -> bytes:
    """Return a body in chunks."""
    parts = [body[start : start + _CHUNK] for start in range(0, len(body), _CHUNK)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
