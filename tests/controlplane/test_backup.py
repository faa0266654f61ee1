"""Backups: consistent while the store goes on, whole, and never in the place of something by mistake."""

import asyncio
from pathlib import Path

import pytest
from store_lab import cluster, filled, pair, versions

from kecs.controlplane.backup import backup, counts, exported, imported, restore
from kecs.controlplane.errors import StoreError
from kecs.controlplane.records import KINDS, Cluster, Record
from kecs.controlplane.state import Changes, State
from kecs.controlplane.store import Store

EVERYTHING: tuple[Record, ...] = tuple(filled(kind, number) for kind in KINDS for number in range(4))


def listed(state: State) -> dict[str, list[Record]]:
    return {kind.__name__: list(state.every(kind)) for kind in KINDS}


@pytest.mark.parametrize("name", ["state.db", ":memory:", 'it\'s "quoted".db'])
def test_what_is_backed_up_comes_back(tmp_path: Path, name: str) -> None:
    async def work(store: Store, other: Store) -> None:
        await store.commit(Changes(put=EVERYTHING))
        await store.commit(Changes(put=(EVERYTHING[0],), delete=(EVERYTHING[0],)))
        told = await backup(store, tmp_path / "backup")
        assert set(told.values()) == {4}
        assert await restore(other, tmp_path / "backup") == told
        assert listed(other.state) == listed(store.state)

    path = name if name == ":memory:" else str(tmp_path / name)
    with Store.open(path) as store, Store.open(tmp_path / "other.db") as other:
        asyncio.run(work(store, other))
        expected = listed(store.state)
    with Store.open(tmp_path / "other.db") as other:
        assert listed(other.state) == expected
    with Store.open(tmp_path / "backup") as itself:
        assert listed(itself.state) == expected


def test_a_backup_is_one_moment_of_a_store_that_goes_on(tmp_path: Path) -> None:
    async def write(store: Store, writer: int, enough: asyncio.Event) -> None:
        version = 0
        while not enough.is_set():
            version += 1
            await store.commit(Changes(put=pair(writer, version, 500)))

    async def work(store: Store) -> list[bytes]:
        enough = asyncio.Event()
        writers = [asyncio.create_task(write(store, number, enough)) for number in range(4)]
        taken = [await exported(store) for _ in range(3)]
        enough.set()
        await asyncio.gather(*writers)
        return taken

    with Store.open(tmp_path / "state.db") as store:
        taken = asyncio.run(work(store))
    before = dict.fromkeys((f"left-{number}" for number in range(4)), 0)
    for document in taken:
        with Store.open(":memory:") as other:
            asyncio.run(imported(other, document))
            found = versions(other.state)
        assert all(found.get(f"left-{number}") == found.get(f"right-{number}") for number in range(4))
        assert all(found.get(name, 0) >= version for name, version in before.items())
        before = {name: found.get(name, 0) for name in before}


def test_what_is_there_is_replaced_only_by_force(tmp_path: Path) -> None:
    async def work(store: Store) -> None:
        await store.commit(Changes(put=(cluster("one"), cluster("two"))))
        document = await exported(store)
        await store.commit(Changes(put=(cluster("three"), cluster("one", tags={"a": "b"})), delete=(cluster("two"),)))
        before = listed(store.state)
        with pytest.raises(StoreError, match="the state is not empty: 2 clusters") as raised:
            await imported(store, document)
        assert raised.value.hint == "force=true replaces all of it"
        assert listed(store.state) == before
        told: list[Changes] = []
        store.subscribe(told.append)
        assert await imported(store, document, force=True) == {"clusters": 2}
        assert list(store.state.every(Cluster)) == [cluster("one"), cluster("two")]
        assert len(told) == 1

    with Store.open(tmp_path / "state.db") as store:
        asyncio.run(work(store))
    with Store.open(tmp_path / "state.db") as store:
        assert list(store.state.every(Cluster)) == [cluster("one"), cluster("two")]
        assert counts(store.state) == {"clusters": 2}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        pytest.param(b"", "is no backup: there is nothing in it", id="nothing"),
        pytest.param(b"What is this?" * 1000, "can't be read", id="something else"),
    ],
)
def test_what_is_no_backup_changes_nothing(document: bytes, message: str) -> None:
    async def work(store: Store) -> None:
        await store.commit(Changes(put=(cluster("one"),)))
        with pytest.raises(StoreError, match=message):
            await imported(store, document, force=True)
        assert list(store.state.every(Cluster)) == [cluster("one")]

    with Store.open(":memory:") as store:
        asyncio.run(work(store))


def test_a_backup_is_written_to_a_new_file_alone(tmp_path: Path) -> None:
    (tmp_path / "there").write_bytes(b"precious")
    with Store.open(":memory:") as store:
        with pytest.raises(StoreError, match="is there already"):
            asyncio.run(backup(store, tmp_path / "there"))
        with pytest.raises(StoreError, match="a copy of the store can't be written to"):
            asyncio.run(backup(store, tmp_path / "no" / "folder"))
        asyncio.run(store.commit(Changes(put=(cluster("one"),))))
    assert (tmp_path / "there").read_bytes() == b"precious"
