"""Records to keep, and programs that keep them until somebody ends them.

python store_lab.py load PATH SEED      # writes pairs of records for ever; tells what was acknowledged, a line each
python store_lab.py hold PATH           # opens a store, says so, and waits for its input to end
python store_lab.py fill PATH           # meets the end of the room for its files, and room again; tells JSON
python store_lab.py overlap PATH        # the same, as clients of the API see it that read meanwhile; tells JSON
"""

import asyncio
import json
import os
import random
import resource
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from http import HTTPStatus
from pathlib import Path
from types import UnionType
from typing import Any, TypeAliasType, Union, get_args, get_origin, get_type_hints

from kecs.aws.head import RequestHead
from kecs.controlplane.api import App
from kecs.controlplane.errors import ApiError
from kecs.controlplane.operation import Question, Request
from kecs.controlplane.records import Cluster, Record
from kecs.controlplane.state import Changes, State
from kecs.controlplane.store import Store

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
OWNER = "arn:aws:ecs:us-east-1:000000000000"


def cluster(name: str, **given: Any) -> Cluster:
    return Cluster(arn=f"{OWNER}:cluster/{name}", name=name, created_at=NOW, **given)


def filled[R](kind: type[R], number: int = 0) -> R:
    """Return a record with something in every field, another for each number."""
    hints = get_type_hints(kind)
    values = {one.name: _value(hints[one.name], f"{one.name}-{number}", number) for one in fields(kind)}  # type: ignore[arg-type]  # kinds are dataclasses
    if "arn" in values:
        values["arn"] = f"{OWNER}:{kind.__name__.lower()}/c/{number:032x}"
    for name in values.keys() & {"cluster_arn", "service_arn", "definition_arn"}:
        values[name] = f"{OWNER}:{name.removesuffix('_arn')}/x:{number % 3}"
    return kind(**values)


_PLAIN: Mapping[Any, Any] = {
    str: lambda name, _: f"{name} é",
    int: lambda _, number: number,
    float: lambda _, number: number / 2,
    bool: lambda _, number: number % 2 == 0,
    datetime: lambda _, number: NOW + timedelta(microseconds=number),
    Any: lambda name, number: [name, {"no": None, "yes": True, "many": 2**40 + number, "half": 0.5, "text": _TEXT}],
}
_TEXT = 'q"\\\n\x00\u2028'


def _value(hint: Any, name: str, number: int) -> Any:
    if isinstance(hint, TypeAliasType):
        hint = hint.__value__
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in {Union, UnionType}:
        found = _value(next(one for one in arguments if one is not type(None)), name, number)
    elif origin is tuple:
        of = arguments[:1] * 2 if arguments[-1] is Ellipsis else arguments
        found = tuple(_value(one, f"{name}.{n}", number + n) for n, one in enumerate(of))
    elif origin in {dict, Mapping}:
        found = {f"{name} ü☃𝄞": _value(arguments[1], name, number)}
    elif hint in _PLAIN:
        found = _PLAIN[hint](name, number)
    elif issubclass(hint, StrEnum):
        found = list(hint)[number % len(hint)]
    else:
        found = filled(hint, number)
    return found


def everything(state: State, kinds: Iterable[type[Record]]) -> dict[type[Record], list[tuple[int, Record]]]:
    """Return all records of a state, in order, with their positions."""
    return {kind: [(state.position(kind, found.key), found) for found in state.every(kind)] for kind in kinds}


def pair(writer: int, version: int, size: int) -> tuple[Cluster, Cluster]:
    """Return two records that are always written together, of a size."""
    tags = {"version": str(version), "ballast": "x" * size}
    return cluster(f"left-{writer}", tags=tags), cluster(f"right-{writer}", tags=tags)


def versions(state: State) -> dict[str, int]:
    """Return the version that each of the pairs' records has."""
    return {found.name: int(found.tags["version"]) for found in state.every(Cluster)}


async def _write_for_ever(store: Store, writer: int, seed: int) -> None:
    random_ = random.Random(seed * 100 + writer)  # noqa: S311 - it chooses sizes
    version = versions(store.state).get(f"left-{writer}", 0)
    while True:
        version += 1
        changes = Changes(put=pair(writer, version, random_.choice([10, 1000, 60_000])))
        if random_.random() < 0.1:
            changes |= Changes(delete=changes.put)
        await store.commit(changes)
        os.write(1, f"{writer} {version}\n".encode())


async def _load(path: str, seed: int) -> None:
    store = Store.open(path)
    await asyncio.gather(*(_write_for_ever(store, writer, seed) for writer in range(8)))


def _hold(path: str) -> None:
    with Store.open(path):
        os.write(1, b"open\n")
        sys.stdin.read()


def _room(path: str, more: int | None) -> None:
    """Let files of this process grow by so many bytes beyond the log that is there; None is for ever."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    soft = hard if more is None else Path(f"{path}.wal").stat().st_size + more
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _away(path: str) -> None:
    """Put something else where a file was: it can't be opened again."""
    Path(path).rename(f"{path}.away")
    Path(path).mkdir()


def _back(path: str) -> None:
    Path(path).rmdir()
    Path(f"{path}.away").rename(path)


async def _tries(store: Store, prefix: str, count: int) -> list[str]:
    """Commit at once so many records; return what each was told."""

    async def one(number: int) -> str:
        try:
            await store.commit(Changes(put=(cluster(f"{prefix}-{number}", tags={"x": "y" * 2000}),)))
        except ApiError as error:
            return error.code
        return "kept"

    return await asyncio.gather(*(one(number) for number in range(count)))


def _seen(store: Store) -> dict[str, Any]:
    told = store.health()
    return {"names": [found.name for found in store.state.every(Cluster)], "ok": told.ok, "error": told.error}


async def _fill(path: str) -> dict[str, Any]:
    store, said, told = Store.open(path, probe_every_s=0.05), dict[str, Any](), set[str]()

    def follow(changes: Changes) -> None:
        told.difference_update(record.key for record in changes.delete)
        told.update(record.key for record in changes.put)

    store.subscribe(follow)
    said["before"] = await _tries(store, "before", 3)
    _room(path, 1000)
    said["full"] = await _tries(store, "full", 3)
    said["full state"] = _seen(store)
    _away(path)
    said["away"] = await _tries(store, "away", 2)
    said["away again"] = await _tries(store, "away again", 1)
    said["away state"] = _seen(store)
    with suppress(ApiError):
        await store.committed()
    _back(path)
    said["back"] = await _tries(store, "back", 1)
    with suppress(ApiError):
        await store.committed()
    said["still full"] = await _tries(store, "still full", 1)
    _room(path, None)
    async with asyncio.timeout(60):
        while not store.health().ok:  # noqa: ASYNC110 - a store tells its health to who asks
            await asyncio.sleep(0)
    said["probed state"] = _seen(store)
    said["after"] = await _tries(store, "after", 3)
    said["after state"] = _seen(store)
    said["told"] = sorted(name.rpartition("/")[2] for name in told)
    store.close()
    with Store.open(path) as again:
        said["reopened"] = _seen(again)
    return said


async def _overlap(path: str) -> dict[str, Any]:
    store = Store.open(path, probe_every_s=3600)
    app = App(store, Emulator())

    async def asked(*calls: tuple[str, dict[str, Any]]) -> list[Any]:
        return await asyncio.gather(*(_answer(app, operation, params) for operation, params in calls))

    lists: tuple[str, dict[str, Any]] = ("ListClusters", {})
    adds, deletes = ("CreateCluster", _NEW), ("DeleteCluster", {"cluster": "kept"})
    updates = ("UpdateCluster", {"cluster": "kept"})
    said: dict[str, Any] = {"before": await asked(("CreateCluster", {"clusterName": "kept"}), lists)}
    _room(path, 0)
    said["full"] = await asked(adds, deletes, lists, ("DescribeClusters", {"clusters": ["new"]}), updates, deletes)
    said["full, later"] = await asked(lists)
    _away(path)
    said["away"] = await asked(adds, lists)
    said["away, later"] = await asked(lists)
    _back(path)
    said["back"] = await asked(lists)
    _room(path, None)
    said["after"] = await asked(adds, lists)
    store.close()
    return said


_NEW: dict[str, Any] = {"clusterName": "new", "tags": [{"key": f"k{n}", "value": "v" * 250} for n in range(9)]}


async def _answer(app: App, operation: str, params: dict[str, Any]) -> Any:
    """Call an operation; return the names of the clusters that its answer speaks of, or its error's."""
    head = RequestHead(method=b"POST", target=f"/v1/{operation}".encode(), fields=((b"Host", b"x"),))
    answer = await app.answer(head, json.dumps(params).encode())
    said = json.loads(answer.body)
    if answer.status != HTTPStatus.OK:
        return f"{answer.status} {said['__type']}"
    told = said.get("clusterArns") or [one["clusterArn"] for one in said.get("clusters", [said.get("cluster")]) if one]
    return [arn.rpartition("/")[2] for arn in told]


class Emulator:
    """Another service, that nobody asks here."""

    async def answer(self, question: Question, request: Request) -> Any:
        raise AssertionError(f"{request.operation} asks for {question}")


def main() -> None:
    match sys.argv[1:]:
        case ["load", path, seed]:
            asyncio.run(_load(path, int(seed)))
        case ["hold", path]:
            _hold(path)
        case ["fill", path]:
            os.write(1, json.dumps(asyncio.run(_fill(path))).encode())
        case ["overlap", path]:
            os.write(1, json.dumps(asyncio.run(_overlap(path))).encode())
        case other:
            raise SystemExit(f"what is {other}?")


if __name__ == "__main__":
    main()
