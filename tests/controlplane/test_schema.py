"""How records are spelled: what comes back, columns for people, versions and the steps between them."""

import asyncio
import json
import os
import re
from pathlib import Path
from typing import Any

import duckdb
import pytest
from store_lab import NOW, cluster, filled

from kecs.controlplane.database import Batch, Database
from kecs.controlplane.errors import StoreError
from kecs.controlplane.records import KINDS, Cluster, Record, Task
from kecs.controlplane.schema import STEPS, TABLES, read, spelled
from kecs.controlplane.state import Changes
from kecs.controlplane.store import Store


def rows(path: Path, statement: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(path)) as connection:
        return connection.execute(statement).fetchall()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_record_is_what_is_read_of_what_is_spelled(kind: type[Record]) -> None:
    for number in range(12):
        record = filled(kind, number)
        assert read(kind, spelled(record).document) == record


def test_every_kind_has_a_table_and_no_table_is_of_nothing() -> None:
    assert set(TABLES) == set(KINDS)
    assert len({table.name for table in TABLES.values()}) == len(TABLES)


def test_the_steps_make_the_tables(tmp_path: Path) -> None:
    Database.open(str(tmp_path / "state.db")).close()
    found = rows(
        tmp_path / "state.db",
        "SELECT table_name, list(column_name ORDER BY column_index) FROM duckdb_columns() "
        "WHERE NOT internal AND table_name != 'kecs_schema' GROUP BY ALL",
    )
    assert dict(found) == {table.name: list(table.every_column) for table in TABLES.values()}
    assert rows(tmp_path / "state.db", "SELECT version FROM kecs_schema") == [(max(STEPS),)]


def test_people_find_what_they_look_for(tmp_path: Path) -> None:
    task = filled(Task, 3)
    with Store.open(tmp_path / "state.db") as store:
        asyncio.run(store.commit(Changes(put=(task,))))
    found = rows(
        tmp_path / "state.db",
        "SELECT region, account, cluster, family, last_status, document->>'group', created_at FROM tasks",
    )
    when = task.created_at.isoformat(timespec="milliseconds")
    assert found == [("us-east-1", "000000000000", task.cluster_arn, "x", task.last_status, task.group, when)]


def test_a_member_that_is_not_there_has_its_default() -> None:
    document = f'{{"arn": "a", "name": "n", "created_at": "{NOW.isoformat()}", "of_a_newer_kecs": 1}}'
    assert read(Cluster, document) == Cluster(arn="a", name="n", created_at=NOW)


@pytest.mark.parametrize("document", ["", "{}", "[]", '{"arn": 1, "name": "n", "created_at": "x"}'])
def test_what_is_no_record(document: str) -> None:
    with pytest.raises(ValueError, match="validation error"):
        read(Cluster, document)


class TestVersions:
    """A store of an older version is brought to the newest by all the steps between, or none."""

    RENAMED = (
        "UPDATE clusters SET document = json_merge_patch(document, json_object('name', 'renamed-' || name))",
        "UPDATE clusters SET name = document->>'name'",
    )

    def older(self, path: Path) -> None:
        database = Database.open(str(path))
        row = spelled(cluster("one", tags={"a": "b"}))
        database.write(Batch(put={(Cluster, row.key): (1, row)}, fresh=frozenset({(Cluster, row.key)})))
        database.close()

    def test_steps_are_taken_in_order_and_once(self, tmp_path: Path) -> None:
        path = tmp_path / "state.db"
        self.older(path)
        steps = {
            **STEPS,
            max(STEPS) + 1: self.RENAMED,
            max(STEPS) + 2: ("ALTER TABLE clusters ADD COLUMN color VARCHAR",),
        }
        for _ in range(2):
            database = Database.open(str(path), steps=steps)
            assert [record for _, record in database.records()] == [
                Cluster(arn=cluster("one").arn, name="renamed-one", created_at=NOW, tags={"a": "b"})
            ]
            database.close()
        assert rows(path, "SELECT version FROM kecs_schema") == [(max(STEPS) + 2,)]
        assert rows(path, "SELECT name, color FROM clusters") == [("renamed-one", None)]

    def test_a_step_that_fails_leaves_the_old_version(self, tmp_path: Path) -> None:
        path = tmp_path / "state.db"
        self.older(path)
        broken = {**STEPS, max(STEPS) + 1: (*self.RENAMED, "UPDATE nowhere SET x = 1")}
        with pytest.raises(StoreError, match="can't be read: Catalog Error: Table with name nowhere"):
            Database.open(str(path), steps=broken)
        with Store.open(path) as store:
            assert list(store.state.every(Cluster)) == [cluster("one", tags={"a": "b"})]

    def test_a_newer_store_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "state.db"
        newest = max(STEPS)
        Database.open(str(path), steps={**STEPS, newest + 1: ("CREATE TABLE moons (key VARCHAR)",)}).close()
        message = f"the store {path} is of version {newest + 1}; this KECS knows versions up to {newest}"
        with pytest.raises(StoreError, match=f"^{re.escape(message)}$") as raised:
            Store.open(path)
        assert raised.value.hint == "start the KECS that wrote it, or one that is newer"
        assert rows(path, "SELECT version FROM kecs_schema") == [(newest + 1,)]

    def test_a_database_of_something_else_is_left_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "moons.db"
        rows(path, "CREATE TABLE moons AS SELECT 1 AS x")
        with pytest.raises(StoreError, match="is a database of something else: it has the tables moons"):
            Store.open(path)
        assert rows(path, "SELECT table_name FROM duckdb_tables()") == [("moons",)]


FIRST = Path(__file__).parent / "golden" / "store_1.json"
"""A record of each kind as version 1 spells it, with something in every field. Once that version is released it is
never rewritten: what it has must be read for as long as there is a step from it."""


def _members(document: Any, place: str = "") -> dict[str, Any]:
    """Return all that a document says, by where it says it."""
    if isinstance(document, dict):
        return {k: v for name, one in document.items() for k, v in _members(one, f"{place}.{name}").items()}
    if isinstance(document, list):
        return {k: v for number, one in enumerate(document) for k, v in _members(one, f"{place}[{number}]").items()}
    return {place: document}


def test_what_the_first_version_wrote_is_read_whole() -> None:
    """A field that is gone, or has another name or type, needs a step: see `STEPS`."""
    if os.environ.get("KECS_UPDATE_GOLDEN"):
        written = {kind.__name__: json.loads(spelled(filled(kind, 1)).document) for kind in KINDS}
        FIRST.write_text(json.dumps(written, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    kinds = {kind.__name__: kind for kind in KINDS}
    for name, document in json.loads(FIRST.read_text(encoding="utf-8")).items():
        again = json.loads(spelled(read(kinds[name], json.dumps(document))).document)
        assert _members(document).items() <= _members(again).items(), name
