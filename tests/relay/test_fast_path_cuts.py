"""A request and its answer, cut anywhere, with ticks, drains and ends in between: with plans as without."""

import contextlib
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Final

import pytest
from fast_path_lab import GET, OK, PUT, Outcome, Play, Stage, says, staged
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from relay_lab import read_all, read_exactly, read_head, until

_CUTS_MAX: Final = 4
_NEXT: Final = GET % b"next"
_CLOSE: Final = b"Connection: close\r\n"
_HEADED: Final = OK.removesuffix(b"ok")
_CHANCE: Final = frozenset({"upstream_reused", "upstream_dialled", "upstream_stale", "requests_planned"})
_SIZES: Final = (0, 1, 2, 40, 1_000, 70_000)
"""Of bodies; the last is more than is waited for."""


class Event(StrEnum):
    """What happens behind a piece."""

    NOTHING = "nothing"
    """The next piece follows at once."""
    SETTLE = "settle"
    """The relay reads it."""
    TICK = "tick"
    """The relay reads it, and looks at the time."""
    SLIP = "slip"
    """The relay reads it, and looks at the time when the next piece is there, but not read."""
    ROOM = "room"
    """The relay reads it, and the client has taken what was buffered for it."""
    DRAIN = "drain"
    """The relay reads it, and drains."""
    END = "end"
    """The relay reads it, and the client's end."""


@dataclass(frozen=True, kw_only=True)
class Cut:
    """Bytes in pieces, and what happens behind each but the last."""

    pieces: tuple[bytes, ...]
    events: tuple[Event, ...]

    def say(self, stage: Stage, sock: socket.socket, *, until_end: bool = False) -> bool:
        """Send the pieces, `until_end` to the first end only; say whether that was all."""
        slips = False
        for place, piece in enumerate(self.pieces):
            (stage.slip if slips else _send)(sock, piece)
            event = self.events[place] if place < len(self.events) else Event.NOTHING
            _happen(stage, sock, event)
            if until_end and event is Event.END:
                return False
            slips = event is Event.SLIP
        return True


def _send(sock: socket.socket, piece: bytes) -> None:
    sock.sendall(piece)


_ACTS: Final[dict[Event, Callable[[Stage], None]]] = {
    Event.TICK: Stage.tick,
    Event.ROOM: Stage.drained,
    Event.DRAIN: Stage.drain,
    Event.END: Stage.shut,
}


def _happen(stage: Stage, sock: socket.socket, event: Event) -> None:
    if event is not Event.NOTHING:
        stage.settle(sock)
    act = _ACTS.get(event)
    if act is not None:
        with contextlib.suppress(OSError):  # its connection may have ended already
            act(stage)


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One request, its answer, and how much of the next request comes with the end of this one."""

    request: Cut
    answer: Cut
    behind: int

    @property
    def goes_on(self) -> bool:
        """Whether the connection lives on."""
        return not {Event.DRAIN, Event.END} & {*self.request.events, *self.answer.events}


class Theatre:
    """A relay, warm, whose backend answers as each scene says."""

    def __init__(self) -> None:
        self.scene: Scene
        self.stage: Stage

    def answer(self, stage: Stage, sock: socket.socket) -> bool:
        """Act as the backend."""
        return self.scene.answer.say(stage, sock)

    def play(self, scene: Scene) -> Outcome:
        """Play a scene on a connection that has been used before."""
        self.scene, stage = scene, self.stage
        with stage.lab.connect() as stage.sock:
            self._begin()
            whole = scene.request.say(stage, stage.sock, until_end=True)
            if whole:
                stage.wait_noted(1)
            if scene.goes_on and scene.behind < len(_NEXT):
                stage.send(_NEXT[scene.behind : scene.behind + 1], _NEXT[scene.behind + 1 :])
                stage.wait_noted(2)
            with contextlib.suppress(OSError):
                stage.shut()
            got = read_all(stage.sock)
        stage.wait_acted()
        until(lambda: stage.lab.relay.open == 0)
        if Event.DRAIN in scene.answer.events:  # a head that came before it is told together with what comes behind
            got = got.replace(_CLOSE, b"")
        counters = {name: count for name, count in stage.counted().items() if count and name not in _CHANCE}
        waiting = stage.lab.call(lambda: stage.lab.relay.waiting)
        return Outcome(
            got=got, seen=list(stage.seen), noted=list(stage.script.noted), counters=counters, waiting=waiting
        )

    def _begin(self) -> None:
        stage, held = self.stage, bytearray()
        stage.script.noted.clear()
        stage.sock.sendall(GET % b"warm")
        assert b" 200 OK" in read_head(stage.sock, held)
        assert read_exactly(stage.sock, 2, held) == b"ok"
        stage.wait_noted(1)
        stage.script.noted.clear()
        stage.seen.clear()
        stage.before = dict(stage.lab.relay.counters)


@contextlib.contextmanager
def theatre(*, plans: bool) -> Iterator[Theatre]:
    made = Theatre()
    play = Play(client=lambda _: None, acts=(made.answer, says(OK)), warm=(GET, PUT))
    with staged(play, plans=plans) as stage:
        stage.sock.close()  # each scene has its own; one that says nothing is not waited for long
        until(lambda: stage.lab.relay.open == 0)
        made.stage = stage
        yield made


@pytest.fixture(scope="module")
def theatres() -> Iterator[tuple[Theatre, Theatre]]:
    with theatre(plans=False) as ordinary, theatre(plans=True) as quick:
        yield ordinary, quick


@st.composite
def cuts(draw: st.DrawFn, head: bytes) -> Cut:
    """Cut bytes anywhere, more often around the head's end than elsewhere."""
    size = draw(st.sampled_from(_SIZES)) if b"Content-Length" in head else 0
    raw = (head % size if b"%d" in head else head) + bytes(size)
    end = raw.index(b"\r\n\r\n") + 4
    near = st.integers(max(1, end - 3), max(1, min(len(raw) - 1, end + 3)))
    places = st.one_of(near, st.integers(1, len(raw) - 1))
    found = sorted(draw(st.sets(places, max_size=_CUTS_MAX)))
    events = draw(st.tuples(*[st.sampled_from(Event)] * len(found)))
    return Cut(pieces=tuple(raw[one:two] for one, two in pairwise((0, *found, len(raw)))), events=events)


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    request = draw(cuts(draw(st.sampled_from((GET % b"one", PUT.replace(b"%b", b"one"))))))
    behind = draw(st.sampled_from((0, 0, 0, 1, 50, len(_NEXT))))
    *before, last = request.pieces
    return Scene(
        request=Cut(pieces=(*before, last + _NEXT[:behind]), events=request.events),
        answer=draw(cuts(_HEADED.replace(b": 2", b": %d"))),
        behind=behind,
    )


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(scene=scenes())
def test_cut_anywhere_with_plans_as_without(theatres: tuple[Theatre, Theatre], scene: Scene) -> None:
    ordinary, quick = theatres
    assert quick.play(scene) == ordinary.play(scene)


def test_scenes_go_the_short_way(theatres: tuple[Theatre, Theatre]) -> None:
    _, quick = theatres
    before = quick.stage.lab.relay.counters["requests_planned"]
    head, body = (PUT % (b"one", 2)), b"ab"
    cut = Cut(pieces=(head, body), events=(Event.SETTLE,))
    quick.play(Scene(request=cut, answer=Cut(pieces=(_HEADED, b"ok"), events=(Event.SETTLE,)), behind=0))
    assert quick.stage.lab.relay.counters["requests_planned"] == before + 2  # the first on its connection, and this
