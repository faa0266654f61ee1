"""HTTP/1.1 streams with their chunks taken apart, for comparing what may be framed in another way. Read-only, lenient.

This is not the parser under test, nor built on it.
"""

from collections import deque
from collections.abc import Generator

type Reading = Generator[None, bytes]


class Plain:
    """A stream as it should be, byte by byte."""

    def __init__(self) -> None:
        self.seen = bytearray()

    def feed(self, data: bytes) -> None:
        """Take bytes."""
        self.seen += data


class Unchunked(Plain):
    """A stream whose chunked bodies are shown as their data, an end mark, and their trailers."""

    def __init__(self, methods: deque[bytes], *, requests: bool) -> None:
        super().__init__()
        self._methods = methods
        self._requests = requests
        self._buffer = bytearray()
        self._reader = self._messages()
        next(self._reader)

    def feed(self, data: bytes) -> None:
        """Take bytes."""
        self._buffer += data
        self._reader.send(b"")

    def _line(self) -> Generator[None, bytes, bytes]:
        while b"\n" not in self._buffer:
            yield
        end = self._buffer.index(b"\n") + 1
        line = bytes(self._buffer[:end])
        del self._buffer[:end]
        return line

    def _show(self, count: int) -> Generator[None, bytes]:
        while count:
            while not self._buffer:
                yield
            part = bytes(self._buffer[:count])
            del self._buffer[: len(part)]
            self.seen += part
            count -= len(part)

    def _messages(self) -> Generator[None, bytes]:
        while True:
            start = yield from self._line()
            lines = []
            while (line := (yield from self._line())) not in {b"\r\n", b"\n"}:
                lines.append(line)
            self.seen += b"".join([start, *lines, b"\r\n"])
            yield from self._body(start, [line.lower() for line in lines])

    def _body(self, start: bytes, lines: list[bytes]) -> Generator[None, bytes]:
        if self._requests:
            self._methods.append(start.split(b" ")[0])
        else:
            status = int(start.split(b" ")[1])
            if status == 101:
                yield from self._rest()
            if status < 200:
                return
            method = self._methods.popleft() if self._methods else b"GET"
            if method == b"HEAD" or status in {204, 304}:
                return
        framing = dict(line.strip().split(b":", 1) for line in lines if b":" in line)
        if b"chunked" in framing.get(b"transfer-encoding", b""):
            yield from self._chunks()
        elif b"content-length" in framing:
            yield from self._show(int(framing[b"content-length"]))
        elif not self._requests or b"upgrade" in framing.get(b"connection", b""):
            yield from self._rest()

    def _chunks(self) -> Generator[None, bytes]:
        while size := int((yield from self._line()).split(b";")[0], 16):
            yield from self._show(size)
            yield from self._line()
        trailers = b""
        while (line := (yield from self._line())) != b"\r\n":
            trailers += line
        self.seen += b"<end of chunks>" + trailers

    def _rest(self) -> Generator[None, bytes]:
        while True:
            yield from self._show(1 << 60)
