"""Fifty clients create, update and stop at once; the server is killed among them. What it has acknowledged is there.

KECS_CROWD_S makes them act for so many seconds each time: `KECS_CROWD_S=60 pytest tests/clients/test_ecs_crowd.py`.
"""

import os
import re
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from crowd_lab import CLUSTER, FAMILY, SHARED, Crowd, Rounds, in_order
from ecs_server_lab import Server, eventually, server

pytestmark = pytest.mark.clients

CLIENTS = 50
SECONDS = float(os.environ.get("KECS_CROWD_S", "0"))

type Json = dict[str, Any]


def rounds(count: int) -> Rounds:
    found = Rounds(count=0 if SECONDS else count)
    if SECONDS:
        timer = threading.Timer(SECONDS, found.enough.set)
        timer.daemon = True
        timer.start()
    return found


def client(ecs: Server) -> Any:
    return ecs.client(max_pool_connections=CLIENTS, read_timeout=120)


def test_what_a_crowd_has_done_is_there(tmp_path: Path) -> None:
    with server(tmp_path) as ecs:
        crowd = Crowd.of(client(ecs), CLIENTS)
        crowd.act(rounds(2))
        assert not [one for one in crowd.clients if one.doubts]
        eventually(lambda: has_settled(crowd))
        before = state(crowd)
        judge(crowd)
        ecs.kill()
        ecs.start()
        assert state(crowd) == before
        judge(crowd)


def test_what_was_acknowledged_outlives_a_kill(tmp_path: Path) -> None:
    with server(tmp_path) as ecs:
        crowd = Crowd.of(client(ecs), CLIENTS)
        acting = Rounds()
        with ThreadPoolExecutor(1) as pool:
            done = pool.submit(crowd.act, acting)
            eventually(lambda: acting.done >= CLIENTS or done.done())
            ecs.kill()
            ecs.start()  # its port was never closed: who came meanwhile has waited
            acting.enough.set()
            done.result()
        crowd.act(rounds(1))
        eventually(lambda: has_settled(crowd))
        judge(crowd)


def has_settled(crowd: Crowd) -> bool:
    """Tell whether nothing is on its way any more."""
    services = crowd.services().values()
    stable = all(len(one["deployments"]) == 1 and one["runningCount"] == one["desiredCount"] for one in services)
    complete = all(one["deployments"][0]["rolloutState"] == "COMPLETED" for one in services)
    return stable and complete and {one["lastStatus"] for one in crowd.tasks().values()} <= {"RUNNING", "STOPPED"}


def state(crowd: Crowd) -> Json:
    """Return all that a client can see, but for what is counted anew."""
    return {
        "tasks": crowd.tasks(),
        "services": crowd.services(),
        "definitions": list(crowd.all("list_task_definitions", familyPrefix=FAMILY)),
    }


def judge(crowd: Crowd) -> None:
    """Compare what there is with what was acknowledged."""
    tasks, services = crowd.tasks(), crowd.services()
    for service in services.values():
        in_order(service)
        started: list[str] = re.findall(
            r"\(task ([0-9a-f]{32})\)", " ".join(one["message"] for one in service["events"])
        )
        assert {f":task/{CLUSTER}/{task}" for task in started} <= {arn[arn.index(":task/") :] for arn in tasks}
    judge_revisions(crowd)
    judge_tasks(crowd, tasks)
    judge_services(crowd, tasks, services)


def judge_revisions(crowd: Crowd) -> None:
    acknowledged = [revision for one in crowd.clients for revision in one.revisions]
    assert len(set(acknowledged)) == len(acknowledged)
    listed = [int(arn.rpartition(":")[2]) for arn in crowd.all("list_task_definitions", familyPrefix=FAMILY)]
    assert sorted(listed) == list(range(1, len(listed) + 1))
    assert set(acknowledged) <= set(listed)


FATES: dict[str, set[tuple[str, str | None]]] = {
    "stays": {("RUNNING", None)},
    "ends": {("STOPPED", "EssentialContainerExited")},
    "stopped": {("STOPPED", "UserInitiated")},
    "in doubt": {("RUNNING", None), ("STOPPED", "UserInitiated")},
}


def judge_tasks(crowd: Crowd, tasks: dict[str, Json]) -> None:
    for arn, fate in crowd.acknowledged.items():
        assert (tasks[arn]["lastStatus"], tasks[arn].get("stopCode")) in FATES[fate], tasks[arn]
    for one in crowd.clients:
        own = {arn for arn, task in tasks.items() if task.get("startedBy") == one.name}
        assert own >= one.tasks.keys()
        assert one.doubts or own == one.tasks.keys()


def judge_services(crowd: Crowd, tasks: dict[str, Json], services: dict[str, Json]) -> None:
    running = Counter(task["group"] for task in tasks.values() if task["lastStatus"] == "RUNNING")
    for name, service in services.items():
        assert running[f"service:{name}"] == service["runningCount"] == service["desiredCount"]
    assert services.keys() - {SHARED} >= {one.name for one in crowd.clients if one.made}
    for one in crowd.clients:
        if one.made and one.desired is not None:
            found = services[one.name]
            assert (found["desiredCount"], found["taskDefinition"]) == (one.desired, one.definition)
    [cluster] = crowd.ecs.describe_clusters(clusters=[CLUSTER])["clusters"]
    assert (cluster["runningTasksCount"], cluster["pendingTasksCount"]) == (running.total(), 0)
    assert cluster["activeServicesCount"] == len(services)


def test_one_token_runs_one_task_whoever_asks(tmp_path: Path) -> None:
    with server(tmp_path) as ecs, ThreadPoolExecutor(CLIENTS) as pool:
        crowd = Crowd.of(client(ecs), 0)
        said = {"cluster": CLUSTER, "taskDefinition": "stays", "count": 2, "clientToken": "once"}
        asked = [pool.submit(crowd.ecs.run_task, **said) for _ in range(CLIENTS)]
        told = [frozenset(one["taskArn"] for one in found.result()["tasks"]) for found in asked]
        assert len(set(told)) == 1
        with pytest.raises(ClientError) as raised:
            crowd.ecs.run_task(**said | {"count": 1})
        assert raised.value.response["Error"]["Code"] == "ConflictException"


def test_a_cluster_has_its_machines_once_it_is_made(tmp_path: Path) -> None:
    with server(tmp_path) as ecs, ThreadPoolExecutor(CLIENTS) as pool:
        crowd = Crowd.of(client(ecs), 0)

        def first_task(number: int) -> list[Json]:
            crowd.ecs.create_cluster(clusterName=f"new-{number}")
            said = crowd.ecs.run_task(cluster=f"new-{number}", taskDefinition="stays")
            found: list[Json] = said["failures"]
            return found

        assert list(pool.map(first_task, range(4 * CLIENTS))) == [[]] * 4 * CLIENTS
