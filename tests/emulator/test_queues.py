"""The same calls against moto's SQS as it is and over a backlog: every answer, every count, every message the same."""

import gc
import importlib.util
import itertools
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any

import moto.sqs.models
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from moto.core.exceptions import ServiceException

from kecs.emulator import patches, queues

ACCOUNT, REGION = "000000000000", "us-east-1"
DEAD = {"plain": "dead", "odd": "dead.fifo", "ids.fifo": "dead.fifo"}
REDRIVE = '{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:%s","maxReceiveCount":"2"}'
QUEUES = {
    "dead": {},
    "dead.fifo": {"FifoQueue": "true"},
    "plain": {"RedrivePolicy": REDRIVE % "dead", "VisibilityTimeout": "5"},
    "late": {"DelaySeconds": "3"},
    "self": {},
    "odd": {"RedrivePolicy": REDRIVE % "dead.fifo"},
    "short": {"MessageRetentionPeriod": "60"},
    "ids.fifo": {"FifoQueue": "true", "RedrivePolicy": REDRIVE % "dead.fifo"},
    "content.fifo": {"FifoQueue": "true", "ContentBasedDeduplication": "true"},
}


@cache
def fresh_models() -> Any:
    """Load moto's SQS once more, as it is."""
    source = importlib.util.spec_from_file_location("moto.sqs.models_as_they_are", moto.sqs.models.__file__)
    assert source
    assert source.loader
    module = importlib.util.module_from_spec(source)
    source.loader.exec_module(module)
    return module


class Clock:
    """A clock for both."""

    def __init__(self) -> None:
        self.now_s = 1_700_000_000.0

    def seconds(self) -> float:
        return self.now_s

    def millis(self) -> float:
        return self.now_s * 1000


class Side:
    """One of the two: a backend whose clock and receipt handles are told."""

    def __init__(self, models: Any, clock: Clock) -> None:
        self._models = models
        self._kept = (models.unix_time, models.unix_time_millis, models.generate_receipt_handle)
        numbers = itertools.count()
        models.unix_time, models.unix_time_millis = clock.seconds, clock.millis
        models.generate_receipt_handle = lambda: f"handle-{next(numbers)}"
        models.sqs_backends.clear()
        self.backend = models.sqs_backends[ACCOUNT][REGION]

    def leave(self) -> None:
        self._models.unix_time, self._models.unix_time_millis, self._models.generate_receipt_handle = self._kept

    def outcome(self, act: Callable[[Any], Any]) -> Any:
        try:
            return plain(act(self.backend))
        except ServiceException as error:
            return error.code, error.message

    def state(self) -> Any:
        return {name: queue_state(queue) for name, queue in self.backend.queues.items()}


def plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return message_state(value) if hasattr(value, "body_md5") else value if isinstance(value, dict | str) else None


def message_state(message: Any) -> dict[str, Any]:
    random = ("id", "sequence_number", "backlog")
    return {name: value for name, value in vars(message).items() if name not in random}


def queue_state(queue: Any) -> dict[str, Any]:
    return {
        "attributes": queue.attributes,
        "messages": [message_state(message) for message in queue._messages],
        "receivable": (len(queue.messages), bool(queue.messages)),
        "pending": sorted(str(message_state(message)) for message in queue.pending_messages),
        "groups": set(queue.pending_message_groups),
        "deleted": queue.deleted_messages,
    }


def create_queue(name: str, backend: Any) -> None:
    backend.create_queue(name, None, **QUEUES[name])


def delete_message(name: str, handle: str, backend: Any) -> None:
    backend.delete_message(name, handle)


picks = st.integers(0, 3)
bodies = st.sampled_from(["a", "b", "c"])
groups = st.sampled_from([None, "g", "h", ""])
identities = st.sampled_from([None, "1", "2", "3"])
delays = st.sampled_from([None, 0, 1, 7, 901])
timeouts = st.sampled_from([0, 1, 5, 30, 43_000])
batches = st.lists(st.tuples(bodies, groups, identities, delays), min_size=1, max_size=4)


class SameCalls(RuleBasedStateMachine):
    """Any calls."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        patches.mend_sqs()
        self.sides = [Side(fresh_models(), self.clock), Side(moto.sqs.models, self.clock)]
        self.handles = ["handle-none"]
        self.names: list[str] = []

    def both(self, act: Callable[[Any], Any]) -> Any:
        theirs, ours = (side.outcome(act) for side in self.sides)
        assert ours == theirs
        return theirs

    @initialize(names=st.lists(st.sampled_from(sorted(QUEUES)), min_size=1, max_size=2, unique=True))
    def create(self, names: list[str]) -> None:
        """Make all queues and choose some, with where they redrive to, for the calls to meet in."""
        self.names = [*names, *(DEAD[name] for name in names if name in DEAD)]
        for name in QUEUES:
            self.both(partial(create_queue, name))
        self.both(lambda backend: backend.set_queue_attributes("self", {"RedrivePolicy": REDRIVE % "self"}))

    def at(self, pick: int) -> str:
        return self.names[pick % len(self.names)]

    @rule(seconds=st.sampled_from([0.001, 0.5, 1.0, 3.0, 5.0, 30.0, 300.0]))
    def wait(self, seconds: float) -> None:
        self.clock.now_s += seconds

    @rule(pick=picks, body=bodies, group=groups, identity=identities, delay=delays)
    def send(self, pick: int, body: str, group: str | None, identity: str | None, delay: int | None) -> None:
        self.both(
            lambda backend: backend.send_message(
                self.at(pick), body, delay_seconds=delay, group_id=group, deduplication_id=identity
            )
        )

    @rule(pick=picks, batch=batches)
    def send_batch(self, pick: int, batch: list[tuple[str, str | None, str | None, int | None]]) -> None:
        keys = ("MessageBody", "MessageGroupId", "MessageDeduplicationId", "DelaySeconds")
        entries = {
            str(number): {"Id": str(number), "MessageAttributes": {}} | dict(zip(keys, values, strict=True))
            for number, values in enumerate(batch)
        }
        self.both(lambda backend: list(backend.send_message_batch(self.at(pick), entries)))

    @rule(pick=picks, count=st.integers(1, 10), timeout=timeouts)
    def receive(self, pick: int, count: int, timeout: int) -> None:
        found = self.both(lambda backend: backend.receive_message(self.at(pick), count, 0, timeout, ["All"]))
        self.handles += [message["receipt_handle"] for message in found]

    @rule(pick=picks, data=st.data())
    def delete(self, pick: int, data: st.DataObject) -> None:
        handle = data.draw(st.sampled_from(self.handles))
        self.both(lambda backend: backend.delete_message(self.at(pick), handle))

    @rule(pick=picks, data=st.data())
    def delete_batch(self, pick: int, data: st.DataObject) -> None:
        handles = data.draw(st.lists(st.sampled_from(self.handles), max_size=4))
        entries = [{"Id": str(number), "ReceiptHandle": handle} for number, handle in enumerate(handles)]
        self.both(lambda backend: list(backend.delete_message_batch(self.at(pick), entries)))

    @rule(pick=picks, data=st.data(), timeout=timeouts)
    def change(self, pick: int, data: st.DataObject, timeout: int) -> None:
        handle = data.draw(st.sampled_from(self.handles))
        self.both(lambda backend: backend.change_message_visibility(self.at(pick), handle, timeout))

    @rule(pick=picks, data=st.data(), timeout=timeouts)
    def change_batch(self, pick: int, data: st.DataObject, timeout: int) -> None:
        handles = data.draw(st.lists(st.sampled_from(self.handles), max_size=4))
        entries = [
            {"Id": str(number), "ReceiptHandle": handle, "VisibilityTimeout": timeout}
            for number, handle in enumerate(handles)
        ]
        self.both(lambda backend: list(backend.change_message_visibility_batch(self.at(pick), entries)))

    @rule(pick=picks, asked=st.lists(st.sampled_from(["All", "QueueArn", "ApproximateNumberOfMessages"]), max_size=2))
    def attributes(self, pick: int, asked: list[str]) -> None:
        self.both(lambda backend: backend.get_queue_attributes(self.at(pick), asked))

    @rule(pick=picks, timeout=timeouts, content=st.sampled_from(["true", "false"]))
    def configure(self, pick: int, timeout: int, content: str) -> None:
        attributes = {"VisibilityTimeout": str(timeout), "ContentBasedDeduplication": content}
        self.both(lambda backend: backend.set_queue_attributes(self.at(pick), attributes))

    @rule(pick=picks)
    def purge(self, pick: int) -> None:
        self.both(lambda backend: backend.purge_queue(self.at(pick)))

    @rule(name=st.sampled_from(["plain", "ids.fifo"]))
    def delete_and_create_queue(self, name: str) -> None:
        self.both(lambda backend: backend.delete_queue(name))
        self.both(partial(create_queue, name))

    @invariant()
    def same_state(self) -> None:
        theirs, ours = (side.state() for side in self.sides)
        assert ours == theirs

    def teardown(self) -> None:
        for side in self.sides:
            side.leave()


TestSameCalls = SameCalls.TestCase
TestSameCalls.settings = settings(stateful_step_count=40, suppress_health_check=[HealthCheck.too_slow])


def messages_alive() -> int:
    gc.collect()
    return sum(issubclass(type(found), queues.Message) for found in gc.get_objects())  # a weak proxy has another class


@pytest.fixture
def calls() -> Iterator[SameCalls]:
    machine = SameCalls()
    machine.create(["ids.fifo"])
    yield machine
    machine.same_state()
    machine.teardown()


def test_half_of_a_group_in_flight_times_out(calls: SameCalls) -> None:
    calls.send(0, "a", "g", "1", None)
    calls.send(0, "b", "g", "2", None)
    calls.send(0, "c", "g", "3", None)
    calls.receive(0, 2, 30)
    calls.both(lambda backend: backend.change_message_visibility("ids.fifo", "handle-0", 1))
    calls.wait(3.0)
    calls.receive(0, 10, 30)
    calls.same_state()
    calls.wait(30.0)
    calls.receive(0, 10, 30)


def test_a_duplicate_is_one_for_five_minutes(calls: SameCalls) -> None:
    calls.send(0, "a", "g", "1", None)
    calls.wait(299.999)
    calls.send(0, "b", "g", "1", None)
    calls.same_state()
    calls.wait(0.001)
    calls.send(0, "c", "g", "1", None)
    calls.send(0, "d", "g", "1", None)


def test_a_backlog_keeps_no_more_of_the_past_than_of_the_present(calls: SameCalls) -> None:
    """A message that is deleted long before it would be visible again leaves nothing behind, nor do its copies."""
    before = messages_alive()
    for number in range(300):
        calls.send(0, "a", "g", str(number), None)
        calls.receive(0, 1, 43_000)
        calls.both(partial(delete_message, "ids.fifo", f"handle-{number}"))
    backlog = calls.sides[1].backend.queues["ids.fifo"].backlog
    assert len(backlog) == 0
    assert sum(len(ends) for ends in backlog._ends.values()) < 100
    assert messages_alive() <= before
