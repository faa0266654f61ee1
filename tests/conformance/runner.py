"""Plays a case between real sockets, step by step, and then asks once more: nothing of it may be left anywhere."""

import re
import select
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Final

from conformance.ends import Backend, End, TlsEnd
from conformance.lab import Lab
from conformance.playbook import OK, Act, Case, Step, Way, get
from conformance.wire import Plain, Unchunked

_PROBE: Final = get(b"/probe")
_ENGINES: Final = frozenset({Way.ENGINE, Way.ENGINE_H2})
_REQUEST: Final = re.compile(rb"(?:^|\r\n)([A-Z]+) \S+ HTTP/1\.[01]\r\n")
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *([0-9]+)\r\n", re.IGNORECASE)


class Side:
    """What one connection's receiving end has to see, and has seen."""

    def __init__(self, end: End, wanted: Plain, seen: Plain) -> None:
        self.end, self._wanted, self._seen = end, wanted, seen

    def expect(self, data: bytes) -> None:
        """Read until that has come, or something else has."""
        self._wanted.feed(data)
        wanted, seen = self._wanted.seen, self._seen.seen
        while len(seen) < len(wanted):
            assert wanted.startswith(seen), self._both()
            assert self._hear(), "it ended" + self._both()
        assert seen.startswith(wanted), self._both()

    def answer(self) -> bytes:
        """Read one response with a Content-Length, and return it."""
        start = len(self._wanted.seen)
        while True:
            head, empty, body = bytes(self._seen.seen[start:]).partition(b"\r\n\r\n")
            length = _LENGTH.search(head + b"\r\n") if empty else None
            if length is not None and len(body) >= int(length[1]):
                found = head + empty + body[: int(length[1])]
                self._wanted.seen += found
                return found
            assert self._hear(), "it ended" + self._both()

    def expect_end(self) -> None:
        """Read to the end; nothing more may come before it."""
        while self._hear():
            pass
        self.expect_no_more()

    def expect_no_more(self) -> None:
        """Have seen nothing that nobody asked for."""
        assert self._seen.seen == self._wanted.seen, "more came" + self._both()

    def unread(self) -> bytes:
        """Return what has come meanwhile, for a failing test to show."""
        if select.select([self.end.sock], [], [], 0)[0]:
            self._hear()
        return bytes(self._seen.seen[len(self._wanted.seen) :])

    def _hear(self) -> bytes:
        heard = self.end.hear()
        self._seen.feed(heard)
        return heard

    def _both(self) -> str:
        return f"\nwanted {bytes(self._wanted.seen[-2000:])!r}\nseen   {bytes(self._seen.seen[-2000:])!r}"


class Player:
    """One case in play."""

    def __init__(self, lab: Lab, backend: Backend, way: Way, case: Case) -> None:
        self._lab, self.backend, self._way = lab, backend, way
        self._steps = steps = case.played_on(way)
        self._reframes = case.reframes or way in _ENGINES
        asked = [method for step in steps if step.act is Act.SENDS for method in _REQUEST.findall(step.data)]
        self.client = Side(lab.connect(way), self._reader(asked), self._reader(asked))
        self._sides: dict[End, Side] = {}
        self._ended = False

    def _reader(self, methods: list[bytes], *, requests: bool = False) -> Plain:
        """Return who compares: byte by byte, where no engine comes between that frames anew."""
        return Unchunked(deque(methods), requests=requests) if self._reframes else Plain()

    @property
    def side(self) -> Side:
        """Return the backend's connection in use; wait for the first."""
        end = self.backend.current
        if end not in self._sides:
            self._sides[end] = Side(end, self._reader([], requests=True), self._reader([], requests=True))
        return self._sides[end]

    def play(self) -> None:
        """Take all steps, then ask once more."""
        for number, step in enumerate(self._steps, 1):
            try:
                self.take(step)
            except (AssertionError, OSError) as problem:
                problem.add_note(f"in step {number}, {step.act}: {step.data[:200]!r} {step.statuses or ''}")
                problem.add_note(f"the client has {self.client.unread()!r}; notes: {self._lab.notes}")
                raise
        if not self._ended:
            self.client.end.half_close()
            self.client.expect_end()
        self.client.end.close()
        self._probe()

    def take(self, step: Step) -> None:
        """Take one step."""
        _ACTS[step.act](self, step)

    def close(self) -> None:
        """Have the client go."""
        self._ended = True
        self.client.end.close()

    def see_end(self) -> None:
        """See a proper end."""
        self.see_cut()
        end = self.client.end
        assert end.said_goodbye if isinstance(end, TlsEnd) else not end.was_reset, "this was no proper end"

    def see_cut(self) -> None:
        """See an end of whatever kind."""
        self._ended = True
        self.client.expect_end()

    def see_refusal(self, statuses: tuple[int, ...]) -> None:
        """See an answer of the proxy's own, and the end."""
        answer = self.client.answer()
        _check_status(answer, statuses)
        assert b"\r\nconnection: close\r\n" in answer.lower(), answer
        self.see_end()

    def _probe(self) -> None:
        """Ask anew: this request and its answer must be all that moves, whichever connection they take."""
        for side in self._sides.values():
            side.expect_no_more()
        with closing(self._lab.connect(self._way)) as end:
            self._ask(Side(end, Plain(), Plain()))
        while self.backend.waiting():
            _see_abandoned(self.backend.accept(), b"")

    def _ask(self, again: Side) -> None:
        again.end.say(_PROBE)
        end, data = self.backend.next_speaking()
        while not _PROBE.startswith(data[: len(_PROBE)]):
            assert end not in self._sides, f"something was left over: {data!r}"
            _see_abandoned(end, data)
            end, data = self.backend.next_speaking()
        while len(data) < len(_PROBE):
            assert _PROBE.startswith(data), f"something was left over: {data!r}"
            data += end.hear()
        assert data == _PROBE, f"something was left over: {data!r}"
        end.say(OK)
        again.expect(OK)
        again.end.half_close()
        again.expect_end()


def _see_abandoned(end: End, data: bytes) -> None:
    """See a connection end on which a refused body had begun: how much of it went there depends on how it was cut."""
    data += b"".join(iter(end.hear, b""))
    assert not data or b"chunked" in data, f"somebody connected whom the case does not name: {data!r}"
    head, _, body = data.partition(b"\r\n\r\n")
    assert not body.endswith(b"\r\n\r\n"), f"a refused request arrived whole: {head + body!r}"


def _say(end: End, step: Step) -> None:
    for piece in [bytes([byte]) for byte in step.data] if step.bytewise else [step.data]:
        end.say(piece)


def _check_status(answer: bytes, statuses: tuple[int, ...]) -> None:
    assert int(answer.split(b" ", 2)[1]) in statuses, answer


_ACTS: Final[Mapping[Act, Callable[[Player, Step], object]]] = {
    Act.SENDS: lambda player, step: _say(player.client.end, step),
    Act.HALF_CLOSES: lambda player, _: player.client.end.half_close(),
    Act.CLOSES: lambda player, _: player.close(),
    Act.GETS: lambda player, step: player.client.expect(step.data),
    Act.TOLD: lambda player, step: _check_status(player.client.answer(), step.statuses),
    Act.REFUSED: lambda player, step: player.see_refusal(step.statuses),
    Act.ENDED: lambda player, _: player.see_end(),
    Act.CUT_OFF: lambda player, _: player.see_cut(),
    Act.ARRIVES: lambda player, step: player.side.expect(step.data),
    Act.OPENS: lambda player, _: player.backend.accept(),
    Act.ANSWERS: lambda player, step: _say(player.side.end, step),
    Act.BACKEND_ENDS: lambda player, _: player.side.end.half_close(),
    Act.HANGS_UP: lambda player, _: player.side.end.close(),
    Act.RESETS: lambda player, _: player.side.end.reset(),
    Act.FORGOTTEN: lambda player, _: player.side.expect_end(),
}


def play(lab: Lab, case: Case, way: Way) -> None:
    """Play a case one way."""
    with closing(Backend()) as backend:
        lab.towards(backend.port, way)
        player = Player(lab, backend, way, case)
        with closing(player.client.end):
            player.play()
