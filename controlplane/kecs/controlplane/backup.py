"""Backups: the whole state as one file, and back.

A backup is a store's file: a server can be started with it, and older versions are brought to the newest as any store.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from kecs.controlplane.database import Database
from kecs.controlplane.errors import StoreError
from kecs.controlplane.records import KINDS
from kecs.controlplane.schema import TABLES
from kecs.controlplane.state import Changes, State
from kecs.controlplane.store import Store

if TYPE_CHECKING:
    from kecs.controlplane.records import Record


async def backup(store: Store, target: Path) -> Mapping[str, int]:
    """Write a backup to a new file. Return how many records of each kind it has. Raise StoreError."""
    _must_be_new(target)
    await store.copy_to(target)
    return await asyncio.to_thread(lambda: _counted(_records(target)))


async def restore(store: Store, source: Path, *, force: bool = False) -> Mapping[str, int]:
    """Put the records of a backup in the place of all that there is, or change nothing. Return how many of each kind.

    Raise StoreError where there is something already and `force` is not said, and where the file is no backup.
    """
    if not force and (there := counts(store.state)):
        what = ", ".join(f"{count} {name}" for name, count in there.items())
        raise StoreError(f"the state is not empty: {what}", hint="force=true replaces all of it")
    records = await asyncio.to_thread(_records, source)
    before = tuple(record for kind in KINDS for record in store.state.every(kind))
    await store.commit(Changes(put=records, delete=before))
    return _counted(records)


async def exported(store: Store) -> bytes:
    """Return a backup. Raise StoreError."""
    with TemporaryDirectory(prefix="kecs-backup-") as folder:
        target = Path(folder) / "backup.kecs"
        await store.copy_to(target)
        return await asyncio.to_thread(target.read_bytes)


async def imported(store: Store, document: bytes, *, force: bool = False) -> Mapping[str, int]:
    """Restore what `exported` has returned; see `restore`."""
    with TemporaryDirectory(prefix="kecs-restore-") as folder:
        source = Path(folder) / "backup.kecs"
        await asyncio.to_thread(source.write_bytes, document)
        return await restore(store, source, force=force)


def _must_be_new(target: Path) -> None:
    if target.exists():
        raise StoreError(f"{target} is there already", hint="name a file that is not")


def counts(state: State) -> dict[str, int]:
    """Return how many records there are, by their table, of those kinds that have any."""
    return {TABLES[kind].name: count for kind in KINDS if (count := state.count(kind))}


def _counted(records: "tuple[Record, ...]") -> Mapping[str, int]:
    return Counter(TABLES[type(record)].name for record in records)


def _records(source: Path) -> "tuple[Record, ...]":
    """Read a backup, oldest first. It is brought to the newest version in its own place."""
    if not source.is_file() or not source.stat().st_size:
        raise StoreError(f"{source} is no backup: there is nothing in it", hint="give what /backup has returned")
    database = Database.open(str(source))
    try:
        return tuple(record for _, record in database.records())
    finally:
        database.close()
