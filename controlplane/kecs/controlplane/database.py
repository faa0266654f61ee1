"""The store's file: one DuckDB database, held by one process. Everything here waits for the disk.

DuckDB appends a transaction to its write-ahead log and calls fdatasync before COMMIT returns, so what `write` has
returned from is there after a crash.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import duckdb

from kecs.controlplane.errors import StoreError
from kecs.controlplane.schema import STEPS, TABLES, Row, Table, read

if TYPE_CHECKING:
    from kecs.controlplane.records import Record

type Key = tuple[type[Any], str]

IN_MEMORY = ":memory:"
_VERSIONS = "kecs_schema"
_FEW = 4
_PROBE = 65_536
"""Bytes: with less room than that it could be written at one moment and not at the next."""
_CONFIG: Mapping[str, str] = {
    "threads": "1",  # commits are small; more threads only wake up and sleep
    "autoinstall_known_extensions": "false",  # nothing is fetched from anywhere
    "autoload_known_extensions": "false",
}
_held: set[Path] = set()
"""Files of this process: within a process DuckDB lets anyone in, and two stores would not see each other's changes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one transaction writes."""

    put: Mapping[Key, tuple[int, Row]] = field(default_factory=dict)
    """With the position that a new record has; one that is there keeps its own."""
    delete: frozenset[Key] = frozenset()
    """Done first."""
    fresh: frozenset[Key] = frozenset()
    """Those of `put` that the file does not have."""

    @property
    def keys(self) -> frozenset[Key]:
        """Return all that it touches."""
        return self.delete | self.put.keys()


class Database:
    """A connection, for one thread at a time."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._connection: duckdb.DuckDBPyConnection | None = None

    @classmethod
    def open(cls, path: str, *, steps: Mapping[int, tuple[str, ...]] = STEPS) -> Self:
        """Open or make a file and bring it to the newest version. Raise StoreError."""
        self = cls(path)
        if path != IN_MEMORY:
            _hold(Path(path))
        try:
            self.connect()
            self._migrate(steps)
        except BaseException:
            self.close()
            raise
        return self

    def connect(self) -> None:
        """Connect. Raise StoreError."""
        try:
            self._connection = duckdb.connect(self.path, config=dict(_CONFIG))
        except duckdb.Error as error:
            raise refusal(self.path, error) from error

    def reconnect(self) -> None:
        """Connect anew after a failure: DuckDB gives a database up after some. Raise StoreError."""
        if self.path == IN_MEMORY:
            return  # a new connection would be a new database
        self.disconnect()
        if not Path(self.path).is_file():
            raise StoreError(f"the store {self.path} is gone", hint="it is not made anew while its records are in use")
        self.connect()

    def disconnect(self) -> None:
        """Let go of the file, and go on holding it against others of this process."""
        if self._connection is not None:
            with suppress(duckdb.Error):
                self._connection.close()
            self._connection = None

    def close(self) -> None:
        """Let go of everything."""
        self.disconnect()
        _held.discard(_resolved(self.path))

    @property
    def connected(self) -> bool:
        """Whether it can be asked."""
        return self._connection is not None

    def write(self, batch: Batch) -> None:
        """Write all of a batch and return when it is durable, or write nothing and raise duckdb.Error."""
        connection = self._use()
        if len(batch.put) == 1 and not batch.delete:  # one statement is a transaction by itself, and the usual case
            _put(connection, *next(_by_table(batch.put)), batch)
            return
        connection.execute("BEGIN")
        try:
            for table, keys in _by_table(batch.delete):
                connection.execute(_STATEMENTS[table.kind].delete, [[key for _, key in keys]])
            for table, keys in _by_table(batch.put):
                _put(connection, table, keys, batch)
            connection.execute("COMMIT")
        except BaseException:
            with suppress(duckdb.Error):
                connection.execute("ROLLBACK")
            raise

    def probe(self) -> None:
        """Write, durably, as much as a usual transaction may. Raise duckdb.Error."""
        for size in (_PROBE, 0):
            self._use().execute(f"UPDATE {_VERSIONS} SET probe = repeat('x', $1)", [size])  # noqa: S608 - the name is our own

    def copy_to(self, target: str) -> None:
        """Write all that is committed to a new file. Raise duckdb.Error."""
        connection = self._use()
        own = (connection.execute("SELECT current_database()").fetchone() or ("",))[0]
        connection.execute(f"ATTACH {_quoted(target, "'")} AS kecs_copy")
        try:
            connection.execute(f"COPY FROM DATABASE {_quoted(own, '"')} TO kecs_copy")
        finally:
            connection.execute("DETACH kecs_copy")

    def records(self) -> Iterator[tuple[int, "Record"]]:
        """Yield all records with their positions, oldest first within a kind. Raise StoreError."""
        for table in TABLES.values():
            statement = f"SELECT position, key, document FROM {table.name} ORDER BY position"  # noqa: S608 - the names are our own
            yield from self._read(table, statement, [])

    def find(self, keys: Iterable[Key]) -> dict[Key, tuple[int, "Record"]]:
        """Return those of the records that are there. Raise StoreError."""
        found: dict[Key, tuple[int, Record]] = {}
        for table, of_table in _by_table(keys):
            statement = f"SELECT position, key, document FROM {table.name} WHERE key IN (SELECT unnest($1::VARCHAR[]))"  # noqa: S608 - the names are our own
            for position, record in self._read(table, statement, [[key for _, key in of_table]]):
                found[table.kind, record.key] = (position, record)
        return found

    def _read(self, table: Table, statement: str, values: list[Any]) -> Iterator[tuple[int, "Record"]]:
        try:
            rows = self._use().execute(statement, values).fetchall()
        except duckdb.Error as error:
            raise refusal(self.path, error) from error
        for position, key, document in rows:
            try:
                yield position, read(table.kind, document)
            except ValueError as error:
                raise _damaged(self.path, f"record {key} of {table.name} can't be read: {error}") from error

    def _migrate(self, steps: Mapping[int, tuple[str, ...]]) -> None:
        """Take all steps that are missing, or none."""
        connection, newest = self._use(), max(steps)
        try:
            version = self._version()
            if version > newest:
                message = f"the store {self.path} is of version {version}; this KECS knows versions up to {newest}"
                raise StoreError(message, hint="start the KECS that wrote it, or one that is newer")
            if version == newest:
                return
            connection.execute("BEGIN")
            for step in range(version + 1, newest + 1):
                for statement in steps[step]:
                    connection.execute(statement)
            connection.execute(f"CREATE TABLE IF NOT EXISTS {_VERSIONS} (version INTEGER NOT NULL, probe VARCHAR)")
            connection.execute(f"DELETE FROM {_VERSIONS}")  # noqa: S608 - the name is our own
            connection.execute(f"INSERT INTO {_VERSIONS} VALUES ($1, '')", [newest])  # noqa: S608 - the name is our own
            connection.execute("COMMIT")
        except duckdb.Error as error:
            raise refusal(self.path, error) from error

    def _version(self) -> int:
        """Return a file's version; 0 for an empty one. Raise StoreError for a file of something else."""
        tables = {name for (name,) in self._use().execute("SELECT table_name FROM duckdb_tables()").fetchall()}
        if not tables:
            return 0
        if _VERSIONS not in tables:
            message = f"{self.path} is a database of something else: it has the tables {', '.join(sorted(tables))}"
            raise StoreError(message, hint="name a file that KECS wrote, or one that is not there yet")
        row = self._use().execute(f"SELECT max(version) FROM {_VERSIONS}").fetchone()  # noqa: S608 - the name is our own
        return int(row[0]) if row and row[0] is not None else 0

    def _use(self) -> duckdb.DuckDBPyConnection:
        if self._connection is None:
            raise duckdb.ConnectionException(f"the store {self.path} is closed")
        return self._connection


@dataclass(frozen=True, slots=True, kw_only=True)
class _Statements:
    """SQL for a table."""

    insert: str
    """One new row."""
    update: str
    """One row that is there."""
    upsert: str
    """Rows, some of which may be there."""
    delete: str
    """Rows, some of which may not be there."""


def _statements(table: Table) -> _Statements:
    columns = table.every_column
    names = ", ".join(f'"{name}"' for name in columns)
    changing = [(n, name) for n, name in enumerate(columns, 1) if name not in {"key", "position"}]
    kept = ", ".join(f'"{name}" = excluded."{name}"' for _, name in changing)
    values = ", ".join(f"${n}" for n, _ in enumerate(columns, 1))
    types = {"position": "BIGINT[]"}
    lists = ", ".join(f"unnest(${n}::{types.get(name, 'VARCHAR[]')})" for n, name in enumerate(columns, 1))
    news = ", ".join(f'"{name}" = ${n}' for n, name in changing)
    return _Statements(
        insert=f"INSERT INTO {table.name} ({names}) VALUES ({values})",  # noqa: S608 - the names are our own
        # Every parameter has to stand somewhere: $2 is a position, which has no bounds below 0.
        update=f"UPDATE {table.name} SET {news} WHERE key = $1 AND $2::BIGINT >= 0",  # noqa: S608 - the names are our own
        upsert=f"INSERT INTO {table.name} ({names}) SELECT {lists} ON CONFLICT (key) DO UPDATE SET {kept}",
        delete=f"DELETE FROM {table.name} WHERE key IN (SELECT unnest($1::VARCHAR[]))",  # noqa: S608 - the names are our own
    )


_STATEMENTS = {kind: _statements(table) for kind, table in TABLES.items()}


def _put(connection: duckdb.DuckDBPyConnection, table: Table, keys: list[Key], batch: Batch) -> None:
    """Write rows of a table: one by one where they are few: a statement for many costs as much as some for one."""
    statements = _STATEMENTS[table.kind]
    if len(keys) > _FEW:
        connection.execute(statements.upsert, _values(table, [batch.put[key] for key in keys]))
        return
    for key in keys:
        new = key in batch.fresh or key in batch.delete
        position, row = batch.put[key]
        found = connection.execute(
            statements.insert if new else statements.update, [row.key, position, *row.columns, row.document]
        ).fetchone()
        if found != (1,):
            raise duckdb.IntegrityError(f"{table.name} has no {row.key}, which was to be changed")


def _values(table: Table, rows: list[tuple[int, Row]]) -> list[list[Any]]:
    columns = [[row.columns[n] for _, row in rows] for n in range(len(table.columns))]
    keys, documents = [row.key for _, row in rows], [row.document for _, row in rows]
    return [keys, [position for position, _ in rows], *columns, documents]


def _by_table(keys: Iterable[Key]) -> Iterator[tuple[Table, list[Key]]]:
    sorted_: dict[type[Any], list[Key]] = {}
    for key in keys:
        sorted_.setdefault(key[0], []).append(key)
    for kind, of_kind in sorted_.items():
        yield TABLES[kind], of_kind


def _quoted(text: str, mark: str) -> str:
    return mark + text.replace(mark, mark * 2) + mark


def _resolved(path: str) -> Path:
    return Path(path).resolve()


def _hold(path: Path) -> None:
    if path.resolve() in _held:
        raise StoreError(f"the store {path} is open in this process already", hint="close it first")
    _held.add(path.resolve())


def refusal(path: str, error: duckdb.Error) -> StoreError:
    """Return what DuckDB's error about a file means, and what to do."""
    if "Could not set lock" in str(error):
        return _held_by_another(path, str(error))
    reason = " ".join(str(error).split())
    if isinstance(error, duckdb.IOException) and re.search(
        r"Permission denied|Read-only|No such file|Is a directory|No space left|Could not write", reason
    ):
        return StoreError(
            f"the store {path} can't be opened: {reason}", hint="its folder must exist, be writable and have room"
        )
    return _damaged(path, reason)


def _held_by_another(path: str, reason: str) -> StoreError:
    """Say who holds a file: nobody knows, where that is another machine or another PID namespace."""
    program, pid = re.search(r"held in (.*?) ?\(PID", reason), re.search(r"\(PID (\d+)\)", reason)
    who = ", ".join([*([program[1]] if program and program[1] else []), *([f"pid {pid[1]}"] if pid else [])])
    look = f"see `ps -p {pid[1]}`" if pid and pid[1] != "0" else "look for another KECS on this volume"
    message = f"the store {path} is held by another process" + (f": {who}" if who else "")
    return StoreError(message, hint=f"one process has a store at a time; {look}, or name another file")


def _damaged(path: str, reason: str) -> StoreError:
    hint = (
        f"move it and {path}.wal away, start with an empty store, and bring a backup back: "
        "curl -X POST --data-binary @BACKUP http://localhost:8081/restore"
    )
    return StoreError(f"the store {path} can't be read: {reason}", hint=hint)
