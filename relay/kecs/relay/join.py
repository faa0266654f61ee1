"""Two streams, joined after a protocol switch: WebSockets and other upgrades, through TLS on one side or both."""

from collections.abc import Callable

from kecs.relay.stream import HIGH_WATER, CrashError, Stream


class Joined:
    """Owner of both streams. `done` gets the reason of the end."""

    __slots__ = ("_client", "_done", "_server", "touched")

    def __init__(self, client: Stream, server: Stream, done: Callable[[str], None], *, first: bytes = b"") -> None:
        self._client, self._server, self._done = client, server, done
        self.touched = True
        """Whether anything moved since this was last set to False."""
        client.owner = server.owner = self
        if first:
            server.write(first)
        if client.eof:
            server.shutdown()
        client.resume()
        server.resume()

    def _other(self, stream: Stream) -> Stream:
        return self._server if stream is self._client else self._client

    def received(self, stream: Stream, data: bytes) -> bool:
        """Carry bytes to the other side."""
        self.touched = True
        other = self._other(stream)
        other.write(data)
        if other.buffered > HIGH_WATER:
            stream.pause()
        return not stream.is_tls  # asked once more, OpenSSL might take a part of a record, which `shutdown` can't see

    def ended(self, stream: Stream) -> None:
        """Pass the end on; when both have ended, it is over."""
        self._other(stream).shutdown()
        self._end_when_sent()

    def lost(self, stream: Stream, error: OSError) -> None:
        """Break the other side too."""
        self._other(stream).abort()
        self._done("internal_error" if isinstance(error, CrashError) else "reset")

    def drained(self, stream: Stream) -> None:
        """Go on reading what this side can take again."""
        self.touched = True
        self._other(stream).resume()
        self._end_when_sent()

    def _end_when_sent(self) -> None:
        streams = (self._client, self._server)
        if all(stream.eof and not stream.buffered for stream in streams):
            self._done("")

    def close(self) -> None:
        """End both."""
        for stream in (self._client, self._server):
            stream.close()
