"""The beginning of a body, collected for a decision that has to see it. Pure."""

from typing import Final

from kecs.relay.framing import Body, Chunked

_OVERHEAD_MAX: Final = 65536
"""Of chunk extensions and trailers, or a client could make us collect kilobytes for each byte that is shown."""


class Showing:
    """Collects as much of a body as is wanted, with its framing, which is sent on later."""

    __slots__ = ("_body", "_wanted", "collected")

    def __init__(self, body: Body, wanted: int) -> None:
        self._body = body
        self._wanted = wanted
        self.collected = bytearray()
        """The bytes as they came."""
        if isinstance(body, Chunked):
            body.show(wanted + 1)  # one more tells whether that was all

    def take(self, data: bytes) -> int:
        """Take bytes; return how many belong to the body. Raises ProtocolError."""
        count = self._body.take(data)
        self.collected += data[:count]
        return count

    @property
    def _content(self) -> bytearray:
        return self._body.shown if isinstance(self._body, Chunked) else self.collected

    @property
    def is_enough(self) -> bool:
        """Whether all that is wanted is there, or all there is."""
        return (
            self._body.done or len(self._content) >= self._wanted or len(self.collected) > self._wanted + _OVERHEAD_MAX
        )

    @property
    def is_whole(self) -> bool:
        """Whether what is shown is the whole body."""
        return self._body.done and len(self._content) <= self._wanted

    @property
    def shown(self) -> bytes:
        """The content, as far as it is wanted."""
        return bytes(self._content[: self._wanted])
