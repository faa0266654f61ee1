"""The client's steps of a playbook whose client speaks HTTP/2; the backend's are those of every other."""

from dataclasses import dataclass
from enum import StrEnum

from conformance.playbook import NAME, Step

type Fields = tuple[tuple[bytes, bytes], ...]


class Act2(StrEnum):
    """What the client does, or has to see."""

    ASKS = "client asks"
    SENDS = "client sends data"
    TRAILS = "client ends with trailers"
    CANCELS = "client cancels"
    LEAVES = "client says GOAWAY"
    SENDS_FRAMES = "client sends frames"
    """As bytes: what no well-behaved client would."""
    INFORMED = "client gets an interim response"
    ANSWERED = "client gets a response"
    GETS = "client gets data"
    ENDED = "client gets the end"
    TOLD = "client is answered"
    """By the proxy itself; the connection goes on."""
    RESET = "client's stream is reset"
    DISMISSED = "client's connection is ended"
    """By GOAWAY with an error, or by the proxy's answer and a reset."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step2:
    """One line."""

    act: Act2
    stream: int = 1
    fields: Fields = ()
    data: bytes = b""
    end: bool = False
    statuses: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Case2:
    """One playbook."""

    name: str
    steps: tuple[Step | Step2, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group2:
    """Cases about one subject."""

    title: str
    about: str
    cases: tuple[Case2, ...]


def pseudo(method: bytes, path: bytes) -> Fields:
    """Return what every request begins with."""
    return ((b":method", method), (b":scheme", b"https"), (b":authority", NAME), (b":path", path))


def asks(method: bytes, path: bytes, *fields: tuple[bytes, bytes], stream: int = 1, end: bool = True) -> Step2:
    """Begin a stream; the number counts streams, not ids."""
    return Step2(act=Act2.ASKS, stream=stream, fields=(*pseudo(method, path), *fields), end=end)


def asks_oddly(*fields: tuple[bytes, bytes], end: bool = True) -> Step2:
    """Begin a stream with all its fields given."""
    return Step2(act=Act2.ASKS, fields=fields, end=end)


def sends_data(data: bytes, *, stream: int = 1, end: bool = False) -> Step2:
    """Send a part of a body."""
    return Step2(act=Act2.SENDS, stream=stream, data=data, end=end)


def trails(*fields: tuple[bytes, bytes], stream: int = 1) -> Step2:
    """End a request with trailers."""
    return Step2(act=Act2.TRAILS, stream=stream, fields=fields)


def cancels(*, stream: int = 1) -> Step2:
    """Reset a stream."""
    return Step2(act=Act2.CANCELS, stream=stream)


def sends_frames(data: bytes) -> Step2:
    """Send bytes as they are."""
    return Step2(act=Act2.SENDS_FRAMES, data=data)


def informed(status: int, *fields: tuple[bytes, bytes], stream: int = 1) -> Step2:
    """Expect an interim response."""
    return Step2(act=Act2.INFORMED, stream=stream, statuses=(status,), fields=fields)


def answered(status: int, *fields: tuple[bytes, bytes], stream: int = 1) -> Step2:
    """Expect a response's head, with exactly these fields."""
    return Step2(act=Act2.ANSWERED, stream=stream, statuses=(status,), fields=fields)


def gets_data(data: bytes, *, stream: int = 1) -> Step2:
    """Expect a part of a body."""
    return Step2(act=Act2.GETS, stream=stream, data=data)


def ends(*trailers: tuple[bytes, bytes], stream: int = 1) -> Step2:
    """Expect the end of a response, after exactly these trailers; nothing came that was not expected."""
    return Step2(act=Act2.ENDED, stream=stream, fields=trailers)


def is_told(*statuses: int, stream: int = 1) -> Step2:
    """Expect an answer of the proxy's own."""
    return Step2(act=Act2.TOLD, stream=stream, statuses=statuses)


def is_reset(*, stream: int = 1) -> Step2:
    """Expect a stream to be reset, with an error or without."""
    return Step2(act=Act2.RESET, stream=stream)


LEAVES = Step2(act=Act2.LEAVES)
DISMISSED = Step2(act=Act2.DISMISSED)
