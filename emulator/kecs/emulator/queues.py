"""moto's SQS over a `Backlog`: the same answers at a cost that does not grow with the depth of a queue.

moto walks through all messages of a queue several times for every call, and each message asks the clock: 34 ms of CPU
for a SendMessage to a FIFO queue of 1,000. Its own code goes on deciding who gets what; what that code reads of a queue
(the messages, their counts, the groups in flight) comes from here. A test runs the same calls against moto as it is.
"""

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, Final, Self

import moto.sqs.models

from kecs.emulator.backlog import Backlog

models: Any = moto.sqs.models
_Message: Any = models.Message
_Queue: Any = models.Queue
_Backend: Any = models.SQSBackend

_change_visibility: Final = _Backend.change_message_visibility
_WINDOW_MS: Final = models.DEDUPLICATION_TIME_IN_SECONDS * 1000
_TICK_S: Final = 0.001
"""A message is visible after its time, not at it."""


class Message(_Message):  # type: ignore[misc] # moto is not checked
    """A message that tells the backlog it is in of its times and handles."""

    visible_at: float
    delayed_until: float
    group_id: str | None
    deduplication_id: str | None
    sent_timestamp: int
    all_receipt_handles: list[str | None]
    backlog: "Backlog[Message] | None" = None

    def __new__(cls, *_arguments: Any, **_named: Any) -> Self:
        """Make a message that ends with its last use: moto keeps every one ever made, for a page that is not served."""
        return object.__new__(cls)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the backlog out of copies: moto answers with a deep copy of every message that it gives."""
        return {name: value for name, value in self.__dict__.items() if name != "backlog"}

    def change_visibility(self, visibility_timeout: int) -> None:
        """Set when it is visible again."""
        super().change_visibility(visibility_timeout)
        if self.backlog is not None:
            self.backlog.moved(self, models.unix_time_millis())

    def delay(self, delay_seconds: int) -> None:
        """Set when it may first be received."""
        super().delay(delay_seconds)
        if self.backlog is not None:
            self.backlog.moved(self, models.unix_time_millis())

    def mark_received(self, visibility_timeout: int | None = None) -> None:
        """Count a receipt and give it a new handle."""
        super().mark_received(visibility_timeout)
        if self.backlog is not None:
            self.backlog.received(self)


class _Groups(set[str]):
    """The groups in flight; moto makes a deep copy of them for every ReceiveMessage."""

    def __deepcopy__(self, _: dict[int, Any]) -> set[str]:
        return set(self)


class _Pending(set[Message]):
    """The messages in flight, by group as well."""

    def __init__(self) -> None:
        super().__init__()
        self.groups: dict[str, set[Message]] = {}

    def add(self, message: Message) -> None:
        super().add(message)
        if message.group_id is not None:
            self.groups.setdefault(message.group_id, set()).add(message)

    def discard(self, message: Message) -> None:  # type: ignore[override] # only messages are in it
        super().discard(message)
        group = self.groups.get(message.group_id or "", set())
        group.discard(message)
        if not group:
            self.groups.pop(message.group_id or "", None)

    def remove(self, message: Message) -> None:
        if message not in self:
            raise KeyError(message)
        self.discard(message)


class _Stored:
    """What moto calls a queue's `_messages`: all of them, in order."""

    def __init__(self, queue: "Queue") -> None:
        self._queue = queue

    def __len__(self) -> int:
        return len(self._queue.backlog)

    def __iter__(self) -> Iterator[Message]:
        with self._queue.lock:
            return iter(list(self._queue.backlog))

    def append(self, message: Message) -> None:
        with self._queue.lock:
            self._queue.backlog.append(message, models.unix_time_millis())
            message.backlog = self._queue.backlog

    def remove(self, message: Message) -> None:
        with self._queue.lock:
            self._queue.backlog.remove(message)
            message.backlog = None


class _Receivable:
    """What moto calls a queue's `messages`: those that are neither invisible nor delayed, in order.

    Walking leaves out what ReceiveMessage would only skip: groups of a FIFO queue that are in flight.
    """

    def __init__(self, queue: "Queue") -> None:
        self._queue = queue

    def __len__(self) -> int:
        return self._queue.settled().ready

    def __iter__(self) -> Iterator[Message]:
        walk = self._queue.settled().walk(self._is_held)
        while True:
            with self._queue.lock:
                message = next(walk, None)
            if message is None:
                return
            yield message

    def _is_held(self, group: str) -> bool:
        """Say whether nothing of a group can be received: some of it is in flight, and none of that timed out."""
        pending = self._queue.pending_messages.groups.get(group, set()) if self._queue.fifo_queue else set()
        return bool(pending) and not any(self._queue.backlog.is_ready(message) for message in pending)


class Queue(_Queue):  # type: ignore[misc] # moto is not checked
    """A queue whose messages are in a backlog."""

    backlog: Backlog[Message]
    fifo_queue: bool

    @property
    def lock(self) -> Any:
        """Return what is held while the backlog is read or changed."""
        return self._messages_lock

    def settled(self) -> Backlog[Message]:
        """Return the backlog as of now."""
        with self.lock:
            self.backlog.settle(models.unix_time_millis())
        return self.backlog

    @property
    def _messages(self) -> _Stored:
        return self._stored

    @_messages.setter
    def _messages(self, messages: Iterable[Message]) -> None:
        """Begin anew, as moto does for a new queue and for PurgeQueue."""
        self.backlog = Backlog()
        self._stored = _Stored(self)
        for message in messages:
            self._stored.append(message)

    @property
    def _pending_messages(self) -> _Pending:
        return self._pending

    @_pending_messages.setter
    def _pending_messages(self, messages: Iterable[Message]) -> None:
        self._pending = _Pending()
        for message in messages:
            self._pending.add(message)

    @property
    def messages(self) -> _Receivable:
        """Return what may be received."""
        return _Receivable(self)

    @property
    def pending_message_groups(self) -> _Groups:
        """Return the groups in flight."""
        return _Groups(self._pending.groups)

    @property
    def approximate_number_of_messages_delayed(self) -> int:
        """Count what waits for its delay to end."""
        return self.settled().delayed

    @property
    def approximate_number_of_messages_not_visible(self) -> int:
        """Count what is in flight and has not timed out."""
        return self.settled().invisible

    def add_message(self, message: Message) -> None:
        """Take a message, unless it is a duplicate. With Lambda functions to call, moto does it, at its own cost."""
        if self.lambda_event_source_mappings:
            super().add_message(message)
            return
        with self.lock:
            if not (self.fifo_queue and self._is_duplicate(message)):
                self._stored.append(message)
                self.lock.notify_all()

    def _is_duplicate(self, message: Message) -> bool:
        if not (self.content_based_deduplication or message.deduplication_id):
            return False
        twins = self.backlog.twins(message.deduplication_id)
        return any(message.sent_timestamp - twin.sent_timestamp < _WINDOW_MS for twin in twins)

    def delete_message(self, receipt_handle: str) -> None:
        """Delete the message that has or had a handle; once more is no error."""
        if receipt_handle in self.deleted_messages:
            return
        with self.lock:
            message = self.backlog.of_handle(receipt_handle)
            if message is None:
                raise models.ReceiptHandleIsInvalid
            self._pending.discard(message)
            self.deleted_messages.update(message.all_receipt_handles)
            self._stored.remove(message)

    def wait_for_messages(self, timeout: int) -> None:
        """Wait for a message, or for time to change something.

        moto would not wait when there is a message of a group in flight, and ask again at once, the lock in its hand.
        """
        with self.lock:
            change = self.backlog.next_change()
            until_s = timeout if change is None else (change - models.unix_time_millis()) / 1000 + _TICK_S
            self.lock.wait(min(timeout, max(until_s, _TICK_S)))


class _Found:
    """A backend with one queue with the one message that a handle stands for, if any."""

    def __init__(self, queue: Queue, receipt_handle: str) -> None:
        found = queue.backlog.of_handle(receipt_handle)
        self._messages = [] if found is None else [found]
        self.pending_messages = queue.pending_messages

    def get_queue(self, _queue_name: str) -> Self:
        return self


def _change_message_visibility(backend: Any, queue_name: str, receipt_handle: str, visibility_timeout: int) -> None:
    queue = backend.get_queue(queue_name)
    with queue.lock:
        _change_visibility(_Found(queue, receipt_handle), queue_name, receipt_handle, visibility_timeout)


def mend() -> None:
    """Have moto make queues and messages of ours; to be called before its first queue is made."""
    models.Message, models.Queue = Message, Queue
    models.SQSBackend.change_message_visibility = _change_message_visibility
    models.camelcase_to_underscores = cache(models.camelcase_to_underscores)
