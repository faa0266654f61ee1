"""Plays a case whose client speaks HTTP/2. The backend's side is the other runner's, as is the last question."""

from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Final

from conformance.client_h2 import Client, Stream
from conformance.ends import Backend
from conformance.lab import Lab
from conformance.playbook import Case, Step, Way
from conformance.playbook_h2 import Act2, Case2, Step2
from conformance.runner import Player


class Player2:
    """One case in play."""

    def __init__(self, lab: Lab, backend: Backend) -> None:
        self._other = Player(lab, backend, Way.ENGINE, Case(name="", steps=()))
        self.client = Client(lab.connect(Way.ENGINE_H2))
        self.client.flush()

    def play(self, case: Case2) -> None:
        """Take all steps, then ask once more."""
        for number, step in enumerate(case.steps, 1):
            try:
                if isinstance(step, Step):
                    self._other.take(step)
                else:
                    _ACTS[step.act](self, step)
            except (AssertionError, OSError) as problem:
                problem.add_note(f"in step {number}, {step}; streams: {self.client.streams}")
                raise
        self.client.end.close()
        self._other.play()

    def _wait(self, number: int, what: str, holds: Callable[[Stream], bool]) -> Stream:
        stream = self.client.streams[self.client.id_of(number)]
        while not holds(stream):
            assert stream.reset is None, f"reset instead of {what}"
            assert not stream.ended, f"ended instead of {what}"
            assert self.client.hear(), f"the connection ended instead of {what}"
        return stream

    def informed(self, step: Step2) -> None:
        """See an interim response."""
        stream = self._wait(step.stream, "an interim response", lambda stream: bool(stream.interim))
        assert stream.interim.pop(0) == (step.statuses[0], step.fields)

    def answered(self, step: Step2) -> None:
        """See a head."""
        stream = self._wait(step.stream, "a response", lambda stream: stream.status > 0)
        assert (stream.status, stream.fields) == (step.statuses[0], step.fields)
        assert stream.interim == []

    def gets(self, step: Step2) -> None:
        """See data."""
        stream = self._wait(step.stream, "data", lambda stream: len(stream.body) >= stream.taken + len(step.data))
        assert bytes(stream.body[stream.taken : stream.taken + len(step.data)]) == step.data
        stream.taken += len(step.data)

    def ended(self, step: Step2) -> None:
        """See the end, and nothing besides what was seen."""
        stream = self._wait(step.stream, "the end", lambda stream: stream.ended)
        assert len(stream.body) == stream.taken, bytes(stream.body[stream.taken :])
        assert stream.trailers == step.fields

    def told(self, step: Step2) -> None:
        """See an answer of the proxy's."""
        stream = self._wait(step.stream, "an answer", lambda stream: stream.ended)
        assert stream.status in step.statuses, stream

    def reset(self, step: Step2) -> None:
        """See a stream reset."""
        stream = self.client.streams[self.client.id_of(step.stream)]
        while stream.reset is None:
            assert not stream.ended, "it ended instead of being reset"
            assert self.client.hear(), "the connection ended instead of the stream alone"

    def dismissed(self) -> None:
        """See the connection ended, without a proper response to anything."""
        while self.client.dismissed is None and self.client.hear():
            pass
        assert not any(stream.ended and stream.status < 400 for stream in self.client.streams.values())
        assert self.client.dismissed != 0, "that was an orderly end"

    def leave(self) -> None:
        """Say goodbye in order."""
        self.client.end.say(bytes.fromhex("0000080700000000000000000000000000"))


_ACTS: Final[Mapping[Act2, Callable[[Player2, Step2], object]]] = {
    Act2.ASKS: lambda player, step: player.client.ask(step.stream, step.fields, end=step.end),
    Act2.SENDS: lambda player, step: player.client.send(step.stream, step.data, end=step.end),
    Act2.TRAILS: lambda player, step: player.client.trail(step.stream, step.fields),
    Act2.CANCELS: lambda player, step: player.client.cancel(step.stream),
    Act2.LEAVES: lambda player, _: player.leave(),
    Act2.SENDS_FRAMES: lambda player, step: player.client.end.say(step.data),
    Act2.INFORMED: lambda player, step: player.informed(step),
    Act2.ANSWERED: lambda player, step: player.answered(step),
    Act2.GETS: lambda player, step: player.gets(step),
    Act2.ENDED: lambda player, step: player.ended(step),
    Act2.TOLD: lambda player, step: player.told(step),
    Act2.RESET: lambda player, step: player.reset(step),
    Act2.DISMISSED: lambda player, _: player.dismissed(),
}


def play(lab: Lab, case: Case2) -> None:
    """Play a case."""
    with closing(Backend()) as backend:
        lab.towards(backend.port, Way.ENGINE)
        player = Player2(lab, backend)
        with closing(player.client.end):
            player.play(case)
