"""A backlog beside a list that is searched from end to end."""

import random
from dataclasses import dataclass, field

import pytest

from kecs.emulator.backlog import Backlog


@dataclass(eq=False)
class Message:
    """A message as a backlog knows it."""

    group_id: str | None = None
    deduplication_id: str | None = None
    visible_at: float = 0
    delayed_until: float = 0
    all_receipt_handles: list[str | None] = field(default_factory=lambda: [None])

    def is_ready(self, now: float) -> bool:
        return now > self.visible_at and now >= self.delayed_until


def agree(backlog: Backlog[Message], everything: list[Message], now: float) -> None:
    backlog.settle(now)
    ready = [message for message in everything if message.is_ready(now)]
    assert list(backlog) == everything
    assert len(backlog) == len(everything)
    assert list(backlog.walk(lambda _: False)) == ready
    assert list(backlog.walk(lambda group: group == "g")) == [message for message in ready if message.group_id != "g"]
    assert [message for message in everything if backlog.is_ready(message)] == ready
    counts = (backlog.ready, backlog.invisible, backlog.delayed)
    invisible = [message for message in everything if message.visible_at >= now]
    delayed = [message for message in everything if message.delayed_until > now]
    assert counts == (len(ready), len(invisible), len(delayed))


@pytest.mark.parametrize("seed", range(30))
def test_it_finds_what_a_search_finds(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - examples
    backlog, everything, now = Backlog[Message](), list[Message](), 100.0
    for number in range(150):
        now += chance.choice([0, 0, 1, 5])
        match chance.choice(["append", "append", "hide", "remove", "show"]):
            case "append":
                late = now + chance.choice([-1, 0, 3, 9])
                everything.append(Message(chance.choice([None, "g", "h"]), chance.choice(["1", None]), 0, late))
                backlog.append(everything[-1], now)
            case "hide" | "show" if everything:
                message = chance.choice(everything)
                message.visible_at = now + chance.choice([0, 2, 2, 300])
                message.all_receipt_handles.append(str(number))
                backlog.received(message)
                backlog.moved(message, now)
                assert backlog.of_handle(str(number)) is message
            case "remove" if everything:
                message = everything.pop(chance.randrange(len(everything)))
                backlog.remove(message)
                assert not backlog.is_ready(message)
                assert all(backlog.of_handle(handle or "") is None for handle in message.all_receipt_handles)
        agree(backlog, everything, now)
        for identity in ("1", None, "2"):
            twins = [message for message in everything if message.deduplication_id == identity]
            assert list(backlog.twins(identity)) == twins[::-1]


def test_a_walk_goes_on_while_messages_leave() -> None:
    backlog = Backlog[Message]()
    messages = [Message(group) for group in ("g", None, "h", "g")]
    for message in messages:
        backlog.append(message, 1)
    seen = []
    for message in backlog.walk(lambda _: False):
        seen.append(message)
        if message is messages[0]:
            backlog.remove(messages[2])
            backlog.append(Message("g"), 1)
        message.visible_at = 9
        backlog.moved(message, 1)
    assert seen == [messages[0], messages[1], messages[3]]
    assert backlog.ready == 1


def test_it_says_when_time_changes_something() -> None:
    backlog = Backlog[Message]()
    assert backlog.next_change() is None
    backlog.append(Message(delayed_until=7), 1)
    backlog.append(Message(visible_at=5), 1)
    assert backlog.next_change() == 5
    backlog.settle(5)
    assert backlog.next_change() == 5
    backlog.settle(5.5)
    assert (backlog.next_change(), backlog.ready) == (7, 1)
    backlog.settle(7)
    assert (backlog.next_change(), backlog.ready) == (None, 2)


def test_ends_of_what_is_gone_are_thrown_away() -> None:
    backlog = Backlog[Message]()
    for _ in range(1000):
        message = Message(visible_at=1e9)
        backlog.append(message, 1)
        backlog.remove(message)
    assert sum(len(ends) for ends in backlog._ends.values()) < 100


def test_a_message_that_is_not_there_cannot_leave() -> None:
    with pytest.raises(ValueError, match="is not in this queue"):
        Backlog[Message]().remove(Message())
