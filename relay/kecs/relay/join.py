"""Two streams, joined after a protocol switch: WebSockets and other upgrades, through TLS on one side or both."""

from collections.abc import Callable

from kecs.relay.stream import HIGH_WATER, Stream


class Joined:
    """Owner of both streams. `done` gets the reason of the end."""

    __slots__ = ("_client", "_done", "_server")

    def __init__(self, client: Stream, server: Stream, done: Callable[[str], None], *, first: bytes = b"") -> None:
        self._client, self._server, self._done = client, server, done
        client.owner = server.owner = self
        if first:
            server.write(first)
        client.resume()
        server.resume()

    def _other(self, stream: Stream) -> Stream:
        return self._server if stream is self._client else self._client

    def received(self, stream: Stream, data: bytes) -> None:
        """Carry bytes to the other side."""
        other = self._other(stream)
        other.write(data)
        if other.buffered > HIGH_WATER:
            stream.pause()

    def ended(self, stream: Stream) -> None:
        """Pass the end on; when both have ended, it is over."""
        other = self._other(stream)
        other.shutdown()
        if other.eof or other.closed:
            self._done("")

    def lost(self, stream: Stream, error: OSError) -> None:  # noqa: ARG002 - the protocol's
        """Break the other side too."""
        self._other(stream).abort()
        self._done("reset")

    def drained(self, stream: Stream) -> None:
        """Go on reading what this side can take again."""
        self._other(stream).resume()

    def close(self) -> None:
        """End both."""
        for stream in (self._client, self._server):
            if not stream.closed:
                stream.close()
