import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from kecs.controlplane.errors import ApiError, StoreError
from kecs.controlplane.records import Cluster
from kecs.controlplane.records.clusters import ClusterStatus
from kecs.controlplane.state import Changes, State
from kecs.controlplane.store import Store

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)


def cluster(name: str) -> Cluster:
    return Cluster(arn=f"arn:aws:ecs:us-east-1:000000000000:cluster/{name}", name=name, created_at=NOW, tags={"é": "ü"})


def everything(state: State) -> list[Cluster]:
    return list(state.every(Cluster))


def test_what_was_committed_is_there_after_reopening(tmp_path: "Path") -> None:
    path = tmp_path / "state.db"
    with Store.open(path) as store:
        one, two, three = cluster("one"), cluster("two"), cluster("three")

        async def work() -> None:
            await store.commit(Changes(put=(one, two)))
            await asyncio.gather(*(store.commit(Changes(put=(cluster(f"c{n}"),))) for n in range(50)))
            await store.commit(Changes(put=(three, replace(one, status=ClusterStatus.INACTIVE)), delete=(two,)))
            await store.commit(Changes(put=(two,), delete=(three,)))

        asyncio.run(work())
        before = everything(store.state)
        assert store.health().ok
        assert store.health().transactions < store.health().commits
    with Store.open(path) as store:
        assert everything(store.state) == before
        assert before[0].status is ClusterStatus.INACTIVE
        assert before[-1] == two


def test_memory_alone_is_a_store_too() -> None:
    with Store.open(":memory:") as store:
        asyncio.run(store.commit(Changes(put=(cluster("one"),))))
        assert everything(store.state) == [cluster("one")]


def test_one_store_per_file_in_a_process(tmp_path: "Path") -> None:
    with Store.open(tmp_path / "a"), pytest.raises(StoreError, match="open in this process already"):
        Store.open(tmp_path / "a")
    Store.open(tmp_path / "a").close()


def test_half_a_character_is_refused_before_anything_changes() -> None:
    with Store.open(":memory:") as store:
        with pytest.raises(ApiError, match="A string can't be kept"):
            asyncio.run(store.commit(Changes(put=(cluster("\ud800"),))))
        assert everything(store.state) == []
