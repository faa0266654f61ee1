"""The state and the file that keeps it: what is applied to memory is written, and taken back when it can't be.

One thread writes, one transaction at a time; what is committed meanwhile goes into the next. Everything but writing
happens on the event loop's thread.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from os import PathLike, fspath
from time import monotonic
from typing import TYPE_CHECKING, Any, Self

import duckdb

from kecs.controlplane.database import Batch, Database, Key
from kecs.controlplane.errors import ApiError, StoreError, invalid
from kecs.controlplane.schema import Row, spelled
from kecs.controlplane.state import Changes, State, Undo

if TYPE_CHECKING:
    from types import TracebackType

    from kecs.controlplane.records import Record

PROBE_EVERY_S = 5.0
"""How often a store that can't write tries again, though nobody commits."""

type Subscriber = Callable[[Changes], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreHealth:
    """How the store is."""

    path: str
    ok: bool
    error: str = ""
    """Why the last write failed; empty when it went well."""
    waiting: int = 0
    """Commits that are not durable yet."""
    last_write_s: float | None = None
    """How long the last transaction took."""
    transactions: int = 0
    commits: int = 0


@dataclass(frozen=True, slots=True)
class _Reader[T]:
    """Somebody who has seen what is not durable yet."""

    look: Callable[[], T]
    found: T
    told: asyncio.Future[T]

    def look_again(self) -> None:
        """Have it look at what is left."""
        try:
            self._tell(self.look())
        except Exception as error:  # noqa: BLE001 - it is the reader's, and told to it
            self.refuse(error)

    def tell(self) -> None:
        """Have it told what it found."""
        self._tell(self.found)

    def refuse(self, error: Exception) -> None:
        """Have it told that there is nothing to tell."""
        if not self.told.done():
            self.told.set_exception(error)
            self.told.exception()  # that it has gone is no event

    def _tell(self, found: T) -> None:
        if not self.told.done():
            self.told.set_result(found)


@dataclass(slots=True)
class _Group:
    """Commits that become durable together."""

    done: asyncio.Future[None]
    readers: list[_Reader[Any]] = field(default_factory=list)
    puts: dict[Key, tuple[int, Row]] = field(default_factory=dict)
    deletes: set[Key] = field(default_factory=set)
    fresh: set[Key] = field(default_factory=set)
    undos: list[Undo] = field(default_factory=list)

    def add(self, changes: Changes, rows: list[Row], undo: Undo, state: State) -> None:
        """Take in changes that have been applied to the state."""
        self.undos.append(undo)
        for record in changes.delete:
            key = (type(record), record.key)
            self.deletes.add(key)
            self.puts.pop(key, None)
        self.fresh |= {(type(record), record.key) for record in undo.changes.delete} - self.puts.keys()
        for row in rows:
            self.puts[row.kind, row.key] = (state.position(row.kind, row.key), row)

    @property
    def batch(self) -> Batch:
        return Batch(put=self.puts, delete=frozenset(self.deletes), fresh=frozenset(self.fresh))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Written:
    """What the writer says of a batch."""

    took_s: float
    error: str = ""
    found: "dict[Key, tuple[int, Record]] | None" = None
    """After an error: what the file has of the batch's records; None when it can't be read."""


class Store:
    """All records, in memory and in a file."""

    def __init__(self, database: Database, *, probe_every_s: float = PROBE_EVERY_S) -> None:
        self.state = State()
        self.state.load(database.records())
        self._database = database
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._subscribers: list[Subscriber] = []
        self._gathering: _Group | None = None
        self._writing: _Group | None = None
        self._doubtful: frozenset[Key] = frozenset()
        self._broken = False
        self._error = ""
        self._last_write_s: float | None = None
        self._transactions = self._commits = 0
        self._closed = False
        self._probe_every_s = probe_every_s
        self._probing: asyncio.TimerHandle | None = None

    @classmethod
    def open(cls, path: str | PathLike[str], *, probe_every_s: float = PROBE_EVERY_S) -> Self:
        """Open or make a store; `:memory:` is kept nowhere. Raise StoreError."""
        database = Database.open(fspath(path))
        try:
            return cls(database, probe_every_s=probe_every_s)
        except BaseException:
            database.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: "TracebackType | None"
    ) -> None:
        self.close()

    async def commit(self, changes: Changes) -> None:
        """Apply changes at once; return when they are durable. Raise ApiError when they can't: they are taken back."""
        if not changes:
            await self.committed()
            return
        try:
            rows = [spelled(record) for record in changes.put]
        except ValueError as error:
            raise invalid(f"A string can't be kept: {error}") from error
        group = self._gather()
        group.add(changes, rows, self.state.apply(changes), self.state)
        self._commits += 1
        self._tell(changes)
        await asyncio.shield(group.done)

    async def known[T](self, look: Callable[[], T], found: T) -> T:
        """Return what a look at the state found, once all that it can have seen is durable.

        Where a commit among that fails, look again in the moment in which it is taken back, when memory is what is kept
        and nothing else has been applied, and return that. Raise ApiError where nobody knows what is kept: a write has
        failed, and the file can't be read since.
        """
        if self._broken:
            self._recover()
        group = self._gathering or self._writing
        if group is None:
            return found
        reader: _Reader[T] = _Reader(look, found, asyncio.get_running_loop().create_future())
        group.readers.append(reader)
        return await reader.told

    async def committed(self) -> None:
        """Return when all that has been applied is durable. Raise ApiError when it can't be."""
        if (group := self._gathering or self._writing) is not None:
            await asyncio.shield(group.done)

    def subscribe(self, callback: Subscriber) -> Callable[[], None]:
        """Have a function told of all changes as they are applied, in order. Return what ends it.

        Changes that could not be kept are taken back by further changes.
        """
        self._subscribers.append(callback)
        return lambda: self._subscribers.remove(callback)

    async def copy_to(self, target: str | PathLike[str]) -> None:
        """Write all that has been committed to a new file, a store by itself. Raise StoreError."""
        with suppress(ApiError):  # what can't be kept is not in the file, and who committed it is told
            await self.committed()
        path = fspath(target)
        try:
            await asyncio.wrap_future(self._thread.submit(self._database.copy_to, path))
        except duckdb.Error as error:
            raise StoreError(f"a copy of the store can't be written to {path}: {_line(error)}") from error

    def health(self) -> StoreHealth:
        """Say how it is."""
        waiting = sum(len(group.undos) for group in (self._gathering, self._writing) if group is not None)
        return StoreHealth(
            path=self._database.path,
            ok=not self._error,
            error=self._error,
            waiting=waiting,
            last_write_s=self._last_write_s,
            transactions=self._transactions,
            commits=self._commits,
        )

    def close(self) -> None:
        """Write what waits, and let go of the file."""
        if self._closed:
            return
        self._closed = True
        if self._probing is not None:
            self._probing.cancel()
        self._thread.shutdown(wait=True)
        if self._gathering is not None and not self._broken:
            self._finish(self._gathering, self._write(self._gathering.batch))
        self._database.close()

    def _gather(self) -> _Group:
        if self._closed:
            raise _refusal("the store is closed")
        if self._broken:
            self._recover()
            raise _refusal(self._error)
        if self._gathering is None:
            loop = asyncio.get_running_loop()
            self._gathering = _Group(loop.create_future())
            if self._writing is None:
                loop.call_soon(self._start)
        return self._gathering

    def _start(self) -> None:
        """Hand what has been gathered to the writer: a turn after its first commit, so that a turn's go together."""
        if self._gathering is None or self._writing is not None or self._closed:
            return
        group, self._gathering = self._gathering, None
        self._writing = group
        loop = asyncio.get_running_loop()
        written = self._thread.submit(self._write, group.batch)
        written.add_done_callback(lambda found: _soon(loop, self._written, group, found))

    def _write(self, batch: Batch) -> _Written:
        began = monotonic()
        try:
            self._database.write(batch)
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing was kept and those who wait must be told
            return _Written(took_s=monotonic() - began, error=_line(error), found=self._look(batch.keys))
        return _Written(took_s=monotonic() - began)

    def _look(self, keys: frozenset[Key]) -> "dict[Key, tuple[int, Record]] | None":
        """Connect anew and see what the file has."""
        try:
            self._database.reconnect()
            return self._database.find(keys)
        except Exception:  # noqa: BLE001 - the same: what can't be looked at is looked at again
            self._database.disconnect()
            return None

    def _written(self, group: _Group, found: Future[_Written]) -> None:
        self._finish(group, found.result())
        if self._gathering is not None:
            self._start()

    def _finish(self, group: _Group, written: _Written) -> None:
        self._writing = None
        self._transactions += 1
        self._last_write_s = written.took_s
        self._error = written.error
        if not written.error or _kept(group, written.found):
            _settle(group, None)
            self._try_again()
            return
        later, self._gathering = self._gathering, None
        groups = [group] if later is None or later is group else [later, group]
        for undo in (undo for each in groups for undo in reversed(each.undos)):
            self.state.undo(undo)
            self._tell(undo.changes)
        self._correct(group.batch.keys, written.found)
        for each in groups:
            _settle(each, _refusal(written.error), unknown=self._unknown())
        self._try_again()

    def _correct(self, keys: frozenset[Key], found: "dict[Key, tuple[int, Record]] | None") -> None:
        """Make memory what the file is: a transaction may be in it though its end could not be told."""
        self._broken = found is None
        self._doubtful = keys
        if found is None:
            return
        kept = {key: self.state.get(*key) for key in keys}
        put = tuple(record for key, (_, record) in found.items() if kept[key] != record)
        delete = tuple(record for key, record in kept.items() if record is not None and key not in found)
        if put or delete:
            self.state.correct(delete, [found[type(record), record.key] for record in put])
            self._tell(Changes(put=put, delete=delete))

    def _try_again(self) -> None:
        """Look after a while whether it can be written again: where nobody commits, nobody would find out."""
        if self._error and not self._closed and self._probing is None:
            self._probing = asyncio.get_running_loop().call_later(self._probe_every_s, self._recover)

    def _recover(self) -> None:
        if self._probing is not None:
            self._probing.cancel()
            self._probing = None
        if self._closed or self._writing is not None or not self._error:
            self._try_again()
            return
        loop = asyncio.get_running_loop()
        self._writing = group = _Group(loop.create_future())
        tried = self._thread.submit(self._attempt, self._doubtful if self._broken else None)
        tried.add_done_callback(lambda found: _soon(loop, self._attempted, group, found))

    def _attempt(self, doubtful: frozenset[Key] | None) -> _Written:
        """See what the file has of keys, and whether it can be written."""
        began = monotonic()
        found: dict[Key, tuple[int, Record]] | None = {}
        if doubtful is not None and (found := self._look(doubtful)) is None:
            return _Written(took_s=monotonic() - began, error=f"{self._database.path} can't be opened")
        try:
            self._database.probe()
        except Exception as error:  # noqa: BLE001 - the same
            again = self._look(doubtful or frozenset())
            return _Written(took_s=monotonic() - began, error=_line(error), found=again)
        return _Written(took_s=monotonic() - began, found=found)

    def _attempted(self, group: _Group, tried: Future[_Written]) -> None:
        self._writing, written = None, tried.result()
        was_broken = self._broken
        self._correct(self._doubtful if was_broken else frozenset(), written.found)
        self._error = written.error
        _settle(group, None, changed=was_broken, unknown=self._unknown())
        self._try_again()
        self._start()

    def _unknown(self) -> ApiError | None:
        """Return what a reader is told where memory may not be what the file has."""
        return ApiError("ServerException", f"The store can't be read: {self._error}") if self._broken else None

    def _tell(self, changes: Changes) -> None:
        for subscriber in tuple(self._subscribers):
            subscriber(changes)


def _kept(group: _Group, found: "dict[Key, tuple[int, Record]] | None") -> bool:
    """Whether a file has all of a group: DuckDB also fails when a transaction is durable and what follows it is not."""
    if found is None:
        return False
    return found.keys() == group.puts.keys() and all(
        spelled(found[key][1]) == row for key, (_, row) in group.puts.items()
    )


def _soon[T](
    loop: asyncio.AbstractEventLoop, callback: Callable[[_Group, Future[T]], None], group: _Group, found: Future[T]
) -> None:
    """Call back on a loop; where it has ended meanwhile, nobody waits for it."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(callback, group, found)


def _settle(group: _Group, error: Exception | None, *, changed: bool = False, unknown: ApiError | None = None) -> None:
    """Tell those who wait. Readers look again where memory was `changed`, as it was where there is an error."""
    if group.done.done() or group.done.get_loop().is_closed():
        return
    for reader in group.readers:
        if unknown is not None:
            reader.refuse(unknown)
        elif changed or error is not None:
            reader.look_again()
        else:
            reader.tell()
    if error is None:
        group.done.set_result(None)
    else:
        group.done.set_exception(error)
        group.done.exception()  # those who wait are told; that nobody waits is no event


def _refusal(reason: str) -> ApiError:
    return ApiError("ServerException", f"The store can't keep this change: {reason}")


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
