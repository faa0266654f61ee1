"""The store: what was acknowledged is there, all of it or nothing, in order; what can't be kept is taken back."""

import asyncio
import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest
import store_lab
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from store_lab import cluster, everything, filled

from kecs.controlplane.database import refusal
from kecs.controlplane.errors import ApiError, StoreError
from kecs.controlplane.records import KINDS, Attribute, Cluster, Record, Service, Task
from kecs.controlplane.records.clusters import ClusterStatus
from kecs.controlplane.state import Changes
from kecs.controlplane.store import Store

HEADERS = 3 * 4096
"""Bytes of a database before its first block."""
PROGRAM = [sys.executable, store_lab.__file__]


def names(store: Store) -> list[str]:
    return [found.name for found in store.state.every(Cluster)]


def test_what_was_committed_is_there_after_reopening(tmp_path: Path) -> None:
    one, two, three = cluster("one"), cluster("two"), cluster("three")

    async def work(store: Store) -> None:
        await store.commit(Changes(put=(one, two)))
        await asyncio.gather(*(store.commit(Changes(put=(cluster(f"c{n}"),))) for n in range(50)))
        await store.commit(Changes(put=(three, replace(one, status=ClusterStatus.INACTIVE)), delete=(two,)))
        await store.commit(Changes(put=(two,), delete=(three,)))

    with Store.open(tmp_path / "state.db") as store:
        asyncio.run(work(store))
        before = everything(store.state, KINDS)
        told = store.health()
        assert (told.ok, told.error, told.waiting, told.commits) == (True, "", 0, 53)
        assert told.transactions < told.commits
        assert told.last_write_s is not None
    with Store.open(tmp_path / "state.db") as store:
        assert everything(store.state, KINDS) == before
        assert [names(store)[0], names(store)[-1]] == ["one", "two"]


def test_every_kind_of_record_comes_back_as_it_was(tmp_path: Path) -> None:
    records: tuple[Record, ...] = tuple(filled(kind, number) for kind in KINDS for number in range(7))
    with Store.open(tmp_path / "state.db") as store:
        asyncio.run(store.commit(Changes(put=records)))
        for record in records:
            asyncio.run(store.commit(Changes(put=(record,))))
        before = everything(store.state, KINDS)
        assert sum(map(len, before.values())) == len(records)
    with Store.open(tmp_path / "state.db") as store:
        assert everything(store.state, KINDS) == before


def test_commits_of_one_turn_are_one_transaction() -> None:
    async def work(store: Store) -> None:
        await asyncio.gather(*(store.commit(Changes(put=(cluster(f"c{n}"),))) for n in range(50)))

    with Store.open(":memory:") as store:
        asyncio.run(work(store))
        assert (store.health().commits, store.health().transactions) == (50, 1)


def test_memory_alone_is_a_store_too() -> None:
    with Store.open(":memory:") as store:
        asyncio.run(store.commit(Changes(put=(cluster("one"),))))
        assert names(store) == ["one"]


def test_changes_are_seen_at_once_and_told_in_order() -> None:
    async def work(store: Store) -> None:
        told: list[Changes] = []
        ends = store.subscribe(told.append)
        first = asyncio.ensure_future(store.commit(Changes(put=(cluster("one"),))))
        await asyncio.sleep(0)
        assert names(store) == ["one"]
        assert not first.done()
        assert store.health().waiting == 1
        reader = asyncio.ensure_future(store.committed())
        second = store.commit(Changes(delete=(cluster("one"),)))
        await asyncio.gather(first, reader, second)
        ends()
        await store.commit(Changes(put=(cluster("two"),)))
        assert told == [Changes(put=(cluster("one"),)), Changes(delete=(cluster("one"),))]

    with Store.open(":memory:") as store:
        asyncio.run(work(store))


def test_nothing_to_keep_waits_for_what_is_being_kept() -> None:
    async def work(store: Store) -> None:
        await store.committed()
        await store.commit(Changes())
        assert store.health().transactions == 0
        first = asyncio.ensure_future(store.commit(Changes(put=(cluster("one"),))))
        await asyncio.sleep(0)
        await store.commit(Changes())
        assert store.health().transactions == 1
        await first

    with Store.open(":memory:") as store:
        asyncio.run(work(store))


def test_a_client_that_goes_away_takes_nobodys_answer_with_it(tmp_path: Path) -> None:
    async def work(store: Store) -> None:
        leaves = asyncio.ensure_future(store.commit(Changes(put=(cluster("leaves"),))))
        stays = asyncio.ensure_future(store.commit(Changes(put=(cluster("stays"),))))
        await asyncio.sleep(0)
        leaves.cancel()
        await stays
        assert leaves.cancelled()

    with Store.open(tmp_path / "state.db") as store:
        asyncio.run(work(store))
    with Store.open(tmp_path / "state.db") as store:
        assert names(store) == ["leaves", "stays"]


def test_closing_keeps_what_waits(tmp_path: Path) -> None:
    async def work(store: Store) -> None:
        first = asyncio.ensure_future(store.commit(Changes(put=(cluster("one"),))))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        second = asyncio.ensure_future(store.commit(Changes(put=(cluster("two"),))))
        await asyncio.sleep(0)
        store.close()
        store.close()
        await asyncio.gather(first, second)
        with pytest.raises(ApiError, match="the store is closed"):
            await store.commit(Changes(put=(cluster("three"),)))

    asyncio.run(work(Store.open(tmp_path / "state.db")))
    with Store.open(tmp_path / "state.db") as store:
        assert names(store) == ["one", "two"]


def test_a_loop_that_ends_early_loses_nothing(tmp_path: Path) -> None:
    async def work(store: Store, running: list[asyncio.Future[None]]) -> None:
        running.append(asyncio.ensure_future(store.commit(Changes(put=(cluster("one"),)))))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        running.append(asyncio.ensure_future(store.commit(Changes(put=(cluster("two"),)))))
        await asyncio.sleep(0)

    store, running = Store.open(tmp_path / "state.db"), list[asyncio.Future[None]]()
    asyncio.run(work(store, running))
    store.close()
    assert all(one.cancelled() for one in running)
    with Store.open(tmp_path / "state.db") as again:
        assert names(again) == ["one", "two"]


def test_half_a_character_is_refused_before_anything_changes() -> None:
    with Store.open(":memory:") as store:
        with pytest.raises(ApiError, match="A string can't be kept") as raised:
            asyncio.run(store.commit(Changes(put=(cluster("\ud800"),))))
        assert raised.value.code == "InvalidParameterException"
        assert names(store) == []


@pytest.mark.parametrize("name", ["state.db", ":memory:"])
def test_what_the_database_refuses_is_taken_back(tmp_path: Path, name: str) -> None:
    """Somebody has changed its tables: nothing of a table that is gone can be kept, all else can."""
    path = name if name == ":memory:" else str(tmp_path / name)

    async def work(store: Store) -> None:
        await store.commit(Changes(put=(cluster("one"),)))
        store._database._use().execute("DROP TABLE attributes")
        both = [store.commit(Changes(put=(filled(Attribute),))), store.commit(Changes(put=(cluster("two"),)))]
        told = await asyncio.gather(*both, return_exceptions=True)
        assert [getattr(one, "code", "") for one in told] == ["ServerException"] * 2
        assert store.state.count(Attribute) == 0
        assert not store.health().ok
        assert names(store) == ["one"]

    with Store.open(path) as store:
        asyncio.run(work(store))


class Looks:
    """Somebody who reads the clusters' names, and counts how often."""

    def __init__(self, store: Store) -> None:
        self.store, self.times = store, 0

    def look(self) -> list[str]:
        self.times += 1
        return names(self.store)

    async def told(self) -> list[str]:
        return await self.store.known(self.look, self.look())


def test_a_look_waits_for_what_it_has_seen_and_is_had_once() -> None:
    async def work(store: Store) -> None:
        looks = Looks(store)
        assert await looks.told() == []
        first = asyncio.ensure_future(store.commit(Changes(put=(cluster("one"),))))
        await asyncio.sleep(0)
        assert store.health().transactions == 0
        assert await looks.told() == ["one"]
        assert store.health().transactions == 1
        assert looks.times == 2
        await first

    with Store.open(":memory:") as store:
        asyncio.run(work(store))


def test_who_has_seen_what_can_not_be_kept_looks_again_and_its_going_away_or_its_fault_is_its_own(
    tmp_path: Path,
) -> None:
    async def work(store: Store) -> None:
        await store.commit(Changes(put=(cluster("one"),)))
        store._database._use().execute("UPDATE clusters SET key = 'x'")  # somebody else did: a change of it finds none
        lost = cluster("one", tags={"a": "b"})
        fails = asyncio.ensure_future(store.commit(Changes(put=(lost, cluster("two")))))
        await asyncio.sleep(0)

        def wrong() -> list[str]:
            raise LookupError("its own mistake")

        nothing: list[str] = []
        reads = [asyncio.ensure_future(one) for one in (Looks(store).told(), store.known(wrong, nothing))]
        gone, stays = asyncio.ensure_future(Looks(store).told()), asyncio.ensure_future(Looks(store).told())
        await asyncio.sleep(0)
        gone.cancel()
        found, mistake = await asyncio.gather(*reads, return_exceptions=True)
        assert isinstance(mistake, LookupError)
        assert found == await stays == []  # memory was made what the file is: its record has another key there
        with pytest.raises(ApiError, match="can't keep this change"):
            await fails

    with Store.open(tmp_path / "state.db") as store:
        asyncio.run(work(store))


def test_an_unknown_kind_is_refused_before_anything_changes() -> None:
    class Stranger:
        key = "x"

    with Store.open(":memory:") as store, pytest.raises(KeyError):
        asyncio.run(store.commit(Changes(put=(Stranger(),))))


def test_one_store_per_file_in_a_process(tmp_path: Path) -> None:
    with Store.open(tmp_path / "a"), pytest.raises(StoreError, match="open in this process already"):
        Store.open(tmp_path / "a")
    Store.open(tmp_path / "a").close()


def test_a_file_that_another_process_holds(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with subprocess.Popen([*PROGRAM, "hold", str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"open\n"
        with pytest.raises(StoreError, match=f"{path} is held by another process: .*, pid {holder.pid}") as raised:
            Store.open(path)
        assert str(holder.pid) in raised.value.hint
        holder.communicate()
    Store.open(path).close()


@pytest.mark.parametrize(
    ("told", "who", "look"),
    [
        (" Conflicting lock is held in /usr/bin/kecs (PID 42). See also", ": /usr/bin/kecs, pid 42", "`ps -p 42`"),
        (" Conflicting lock is held in (unknown) (PID 0).", ": (unknown), pid 0", "another KECS on this volume"),
        (" Resource temporarily unavailable", "", "another KECS on this volume"),
    ],
)
def test_who_holds_a_file_is_said_as_far_as_it_is_known(told: str, who: str, look: str) -> None:
    found = refusal("state.db", duckdb.IOException(f'IO Error: Could not set lock on file "state.db":{told}'))
    assert found.message == f"the store state.db is held by another process{who}"
    assert look in found.hint


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="can't be opened") as raised:
        Store.open(tmp_path / "no" / "state.db")
    assert raised.value.hint == "its folder must exist, be writable and have room"


@pytest.mark.parametrize("damage", ["no database", "its blocks", "a record", "the log"])
def test_a_damaged_file_is_named_with_what_to_do(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "state.db"
    with Store.open(path) as store:
        asyncio.run(store.commit(Changes(put=tuple(cluster(f"c{n}", tags={"x": "y" * 999}) for n in range(99)))))
        log = bytearray(path.with_name("state.db.wal").read_bytes())
        database = store._database
    if damage == "no database":
        path.write_bytes(b"What is this?" * 1000)
    elif damage == "its blocks":
        bytes_ = bytearray(path.read_bytes())
        for place in range(HEADERS, len(bytes_), 1000):
            bytes_[place] ^= 0xFF
        path.write_bytes(bytes_)
    elif damage == "a record":
        database.connect()
        database._use().execute("UPDATE clusters SET document = '{}' WHERE name = 'c7'")
        database.close()
    else:
        path.unlink()
        Store.open(path).close()
        log[len(log) // 2] ^= 0xFF
        path.with_name("state.db.wal").write_bytes(log)
    with pytest.raises(StoreError, match=f"{path} can't be read: ") as raised:
        Store.open(path)
    assert "bring a backup back" in raised.value.hint
    if damage == "a record":
        assert "record arn:aws:ecs:us-east-1:000000000000:cluster/c7 of clusters" in raised.value.message


def said(what: str, path: Path) -> dict[str, Any]:
    """Have the program do something with a store, and return what it says of it."""
    done = subprocess.run([*PROGRAM, what, str(path)], capture_output=True, check=True, timeout=120)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.fixture(scope="module")
def filled_up(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a store says that meets the end of the room for its files, loses its file, and gets both back."""
    return said("fill", tmp_path_factory.mktemp("fill") / "state.db")


BEFORE = ["before-0", "before-1", "before-2"]
AFTER = ["after-0", "after-1", "after-2"]


def test_without_room_everything_is_refused_and_taken_back(filled_up: dict[str, Any]) -> None:
    assert filled_up["full"] == ["ServerException"] * 3
    assert filled_up["full state"]["names"] == BEFORE
    assert not filled_up["full state"]["ok"]
    assert "Could not write file" in filled_up["full state"]["error"]


def test_without_its_file_everything_is_refused_and_taken_back(filled_up: dict[str, Any]) -> None:
    assert filled_up["away"] + filled_up["away again"] == ["ServerException"] * 3
    assert filled_up["away state"]["names"] == BEFORE
    assert not filled_up["away state"]["ok"]


def test_with_room_it_is_well_though_nobody_commits(filled_up: dict[str, Any]) -> None:
    assert filled_up["still full"] == ["ServerException"]
    assert filled_up["probed state"] == {"names": BEFORE, "ok": True, "error": ""}


def test_with_room_it_goes_on_and_memory_was_always_the_file(filled_up: dict[str, Any]) -> None:
    assert filled_up["after"] == ["kept"] * 3
    assert filled_up["after state"] == {"names": BEFORE + AFTER, "ok": True, "error": ""}
    assert filled_up["reopened"]["names"] == BEFORE + AFTER
    assert filled_up["told"] == sorted(BEFORE + AFTER)


@pytest.fixture(scope="module")
def overlapped(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What clients are told that change and read while there is no room for files, and while the file is away."""
    return said("overlap", tmp_path_factory.mktemp("overlap") / "state.db")


FAILS = "500 ServerException"


def test_a_read_that_overlaps_what_can_not_be_kept_tells_what_is(overlapped: dict[str, Any]) -> None:
    added, deleted, listed, described, updated, deleted_again = overlapped["full"]
    assert (added, deleted) == (FAILS, FAILS)
    # They saw the new cluster and not the old one: neither is so.
    assert (listed, described) == (["kept"], [])
    # The first was refused for what is taken back, the second had nothing to do: now they fail for themselves.
    assert (updated, deleted_again) == (FAILS, FAILS)
    assert overlapped["full, later"] == [["kept"]]


def test_where_nobody_knows_what_is_kept_nothing_is_told(overlapped: dict[str, Any]) -> None:
    assert overlapped["away"] == [FAILS, FAILS]
    assert overlapped["away, later"] == [FAILS]
    assert overlapped["back"] == [["kept"]]  # though there is no room yet
    assert overlapped["after"] == [["new"], ["kept", "new"]]


def acknowledgements(program: list[str], count: int) -> list[tuple[int, int]]:
    """Run a program that writes for ever, kill it after so many acknowledgements, return all that it told."""
    told: list[bytes] = []
    with subprocess.Popen(program, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        told += (writer.stdout.readline() for _ in range(count))
        writer.kill()
        told += writer.stdout.read().splitlines(keepends=True)
    pairs = [line.split() for line in told if line.endswith(b"\n")]
    return [(int(number), int(version)) for number, version in pairs]


@pytest.mark.parametrize("seed", range(4))
def test_a_killed_process_loses_nothing_that_it_acknowledged(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "state.db"
    acknowledged = dict.fromkeys(range(8), 0)
    for round_ in range(2):
        program = [*PROGRAM, "load", str(path), str(seed * 10 + round_)]
        acknowledged |= dict(acknowledgements(program, 20 + 37 * seed))
        with Store.open(path) as store:
            found = store_lab.versions(store.state)
            before = everything(store.state, KINDS)
        for number, version in acknowledged.items():
            assert found.get(f"left-{number}", 0) == found.get(f"right-{number}", 0)
            # One more may be in the file: the process can die between the disk's answer and its own.
            assert found.get(f"left-{number}", 0) - version in {0, 1}
        with Store.open(path) as store:
            assert everything(store.state, KINDS) == before
        acknowledged = {number: found.get(f"left-{number}", 0) for number in acknowledged}


class Restarts(RuleBasedStateMachine):
    """Commits one by one and at once, and restarts between them: memory is always what the file would give."""

    kinds: tuple[type[Record], ...] = (Cluster, Task, Service, Attribute)
    records: tuple[Record, ...] = tuple(filled(kind, number) for kind in kinds for number in range(6))
    numbers = st.integers(0, len(records) - 1)

    @initialize(path=st.builds(lambda: Path(tempfile.mkdtemp()) / "state.db"))
    def begin(self, path: Path) -> None:
        self.path = path
        self.runner = asyncio.Runner()
        self.store = Store.open(path)
        self.model: dict[tuple[type[Record], str], Record] = {}

    @rule(
        chosen=st.lists(st.tuples(st.lists(numbers, max_size=8), st.lists(numbers, max_size=3)), min_size=1, max_size=6)
    )
    def commit(self, chosen: list[tuple[list[int], list[int]]]) -> None:
        changes = [
            Changes(put=tuple(self.records[n] for n in put), delete=tuple(self.records[n] for n in delete))
            for put, delete in chosen
        ]

        async def work() -> None:
            await asyncio.gather(*(self.store.commit(one) for one in changes))

        self.runner.run(work())
        for one in changes:
            for record in one.delete:
                self.model.pop((type(record), record.key), None)
            for record in one.put:
                self.model[type(record), record.key] = record

    @rule()
    def restart(self) -> None:
        before = everything(self.store.state, self.kinds)
        self.store.close()
        self.store = Store.open(self.path)
        assert everything(self.store.state, self.kinds) == before

    @invariant()
    def the_model_has_the_same(self) -> None:
        if not hasattr(self, "store"):
            return
        for kind in self.kinds:
            wanted = [record for (of, _), record in self.model.items() if of is kind]
            assert list(self.store.state.every(kind)) == wanted

    def teardown(self) -> None:
        if not hasattr(self, "store"):
            return
        try:
            self.restart()
        finally:
            self.store.close()
            self.runner.close()
            for left in self.path.parent.iterdir():
                left.unlink()
            self.path.parent.rmdir()


Restarts.TestCase.settings = settings(
    max_examples=8,
    stateful_step_count=8,
    suppress_health_check=list(HealthCheck),  # a machine that is busy makes no record wrong
)
TestRestarts = Restarts.TestCase
