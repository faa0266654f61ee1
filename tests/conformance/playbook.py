"""What a conformance case is: steps at both ends of a proxy, in their order, and where the second engine may differ.

A case says what a client sends, what has to arrive at the backend, what the backend answers, and what the client has
to get. `sends`, `arrives`, `answers` and `gets` are bytes; the others say how connections begin and end.
"""

from dataclasses import dataclass
from enum import StrEnum

NAME = b"s3.us-east-1.amazonaws.com"


class Way(StrEnum):
    """How a client's bytes go."""

    PLAIN = "relay"
    TLS = "relay, TLS"
    LOOKED_AT = "relay, body looked at"
    """The decider wants to see bodies before it decides, as it does where they name the operation."""
    ENGINE = "engine"
    ENGINE_H2 = "engine, HTTP/2"


RELAY = frozenset({Way.PLAIN, Way.TLS, Way.LOOKED_AT})
ENGINE = frozenset({Way.ENGINE})


class Act(StrEnum):
    """What happens in a step, and at which end."""

    SENDS = "client sends"
    HALF_CLOSES = "client ends its side"
    CLOSES = "client closes"
    GETS = "client gets"
    TOLD = "client is answered"
    """By the proxy itself, with a status; the connection goes on."""
    REFUSED = "client is refused"
    """By the proxy itself, with a status, and the connection ends."""
    ENDED = "client sees the end"
    CUT_OFF = "client is cut off"
    """What it got has no proper end, so that it can't be taken for whole."""
    ARRIVES = "backend gets"
    OPENS = "backend gets a further connection"
    ANSWERS = "backend sends"
    BACKEND_ENDS = "backend ends its side"
    HANGS_UP = "backend closes"
    RESETS = "backend resets"
    FORGOTTEN = "backend sees the end"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One line of a playbook."""

    act: Act
    data: bytes = b""
    statuses: tuple[int, ...] = ()
    bytewise: bool = False
    """One byte at a time, each in a segment of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Differs:
    """What happens instead on some ways, and why that is right or has to be."""

    on: frozenset[Way]
    because: str
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One playbook."""

    name: str
    steps: tuple[Step, ...]
    differs: tuple[Differs, ...] = ()
    reframes: bool = False
    """The relay too frames a body anew."""

    def played_on(self, way: Way) -> tuple[Step, ...]:
        """Return the steps for a way."""
        return next((other.steps for other in self.differs if way in other.on), self.steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Cases about one subject, and what it is about."""

    title: str
    about: str
    cases: tuple[Case, ...]


def sends(data: bytes, *, bytewise: bool = False) -> Step:
    """Have the client send bytes."""
    return Step(act=Act.SENDS, data=data, bytewise=bytewise)


def arrives(data: bytes) -> Step:
    """Expect bytes at the backend, on the connection in use; without one, on the next that comes."""
    return Step(act=Act.ARRIVES, data=data)


def answers(data: bytes, *, bytewise: bool = False) -> Step:
    """Have the backend send bytes."""
    return Step(act=Act.ANSWERS, data=data, bytewise=bytewise)


def gets(data: bytes) -> Step:
    """Expect bytes at the client."""
    return Step(act=Act.GETS, data=data)


def told(*statuses: int) -> Step:
    """Expect an answer of the proxy's own, with one of these statuses."""
    return Step(act=Act.TOLD, statuses=statuses)


def refused(*statuses: int) -> Step:
    """Expect an answer of the proxy's own and the end; nothing has reached a backend because of it."""
    return Step(act=Act.REFUSED, statuses=statuses)


HALF_CLOSES = Step(act=Act.HALF_CLOSES)
CLOSES = Step(act=Act.CLOSES)
ENDED = Step(act=Act.ENDED)
CUT_OFF = Step(act=Act.CUT_OFF)
OPENS = Step(act=Act.OPENS)
BACKEND_ENDS = Step(act=Act.BACKEND_ENDS)
HANGS_UP = Step(act=Act.HANGS_UP)
RESETS = Step(act=Act.RESETS)
FORGOTTEN = Step(act=Act.FORGOTTEN)


def get(path: bytes, *fields: bytes) -> bytes:
    """Spell a GET."""
    return request(b"GET " + path, *fields)


def differs(on: frozenset[Way], because: str, *steps: Step) -> Differs:
    """Say what happens instead, on which ways, and why."""
    return Differs(on=on, because=because, steps=steps)


def request(start: bytes, *fields: bytes, body: bytes = b"", version: bytes = b"HTTP/1.1") -> bytes:
    """Spell a request to the name of all cases."""
    lines = [start + b" " + version, b"Host: " + NAME, *fields]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def response(start: bytes, *fields: bytes, body: bytes = b"") -> bytes:
    """Spell a response."""
    return b"\r\n".join([b"HTTP/1.1 " + start, *fields]) + b"\r\n\r\n" + body


def same(data: bytes) -> tuple[Step, Step]:
    """Have the client send what arrives unchanged."""
    return sends(data), arrives(data)


def back(data: bytes) -> tuple[Step, Step]:
    """Have the backend answer what is got unchanged."""
    return answers(data), gets(data)


OK = response(b"200 OK", b"Content-Length: 2", body=b"ok")
