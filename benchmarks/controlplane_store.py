"""What calls of ECS cost while the state grows: CPU, with a store of many tasks and services beside one almost empty.

Both hold what the calls ask for (a cluster, task definitions, a hundred tasks, ten services); one of them holds all the
rest as well. They take turns, batch by batch, so that a busy machine is as busy for both; the ratio is that of two
batches that follow each other, and what is told is the median of these ratios.

Two ways in: the operation and the store's commit in one process (its CPU includes the thread that writes), and a
request over HTTP to a server of its own (the CPU of its process). Then both are opened again, each time by a new
process.

Usage: python benchmarks/controlplane_store.py [--tasks 10000] [--services 1000] [--rounds 15] [--page FILE]
"""

import argparse
import asyncio
import gc
import http.client
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import uvicorn

from kecs.certs.web import listen
from kecs.controlplane.api import App
from kecs.controlplane.ids import RandomIds
from kecs.controlplane.operation import Outcome, Request
from kecs.controlplane.operations import OPERATIONS
from kecs.controlplane.records import Record, Service, Task
from kecs.controlplane.records.tasks import StopCode, TaskStatus
from kecs.controlplane.state import Changes, Scope
from kecs.controlplane.store import Store
from kecs.controlplane.wire.parsing import parse

SCOPE: Final = Scope(region="us-east-1", account="000000000000")
CLUSTER: Final = "bench"
LEAST: Final = (100, 10)
"""Tasks and services of the store that is almost empty."""
STANDALONE, STOPPED = 8, 9
"""Of ten tasks, the one that no service has and the one that has stopped."""
BATCH: Final = 10
"""Calls between two looks at the CPU's clock."""
ROLE: Final = "arn:aws:iam::000000000000:role/execution"
NETWORK: Final = {"awsvpcConfiguration": {"subnets": ["subnet-1"]}}
CONTAINERS: Final = [
    {
        "name": name,
        "image": f"registry.example/{name}:1",
        "portMappings": [{"containerPort": port}],
        "environment": [{"name": f"VARIABLE_{n}", "value": f"value {n}"} for n in range(5)],
        "logConfiguration": {
            "logDriver": "awslogs",
            "options": {"awslogs-group": "/bench", "awslogs-region": "x", "awslogs-stream-prefix": "s"},
        },
    }
    for name, port in (("web", 80), ("side", 9000))
]
HTTP_HEAD: Final = "AmazonEC2ContainerServiceV20141113."
AUTHORIZATION: Final = (
    "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/ecs/aws4_request, SignedHeaders=host, Signature=0"
)

type Figures = dict[tuple[str, str], tuple[float, float, float, float, float]]
"""By way and call: CPU milliseconds of both, their ratio, its lowest and highest quarter."""


class NobodyElse:
    """Other services, of which there are none."""

    async def answer(self, question: Any, request: Any) -> Any:
        """Know nothing."""


def request(operation: str, params: Mapping[str, Any]) -> Request:
    """Return a request as the wire gives it."""
    return Request(
        operation=operation,
        params=parse(operation, dict(params)),
        scope=SCOPE,
        principal_arn="arn:aws:iam::000000000000:root",
        now=datetime.now(UTC),
        ids=RandomIds(),
    )


async def call(store: Store, asked: Request) -> Mapping[str, Any]:
    """Ask an operation and keep what it changes, as the API does."""
    outcome = OPERATIONS[asked.operation](asked, store.state)
    assert isinstance(outcome, Outcome)
    await store.commit(outcome.changes)
    return outcome.body


# What is there


async def fill(store: Store, tasks: int, services: int) -> None:
    """Make tasks and services through the operations; then let them be as in the middle of a working day."""
    await call(store, request("CreateCluster", {"clusterName": CLUSTER}))
    for number in range(20):
        wish = {
            "family": f"family-{number}",
            "networkMode": "awsvpc",
            "cpu": "256",
            "memory": "512",
            "executionRoleArn": ROLE,
        }
        fargate = {"requiresCompatibilities": ["FARGATE"], "containerDefinitions": CONTAINERS}
        await call(store, request("RegisterTaskDefinition", {**wish, **fargate}))
    for start in range(0, services, 50):
        group = range(start, min(start + 50, services))
        await asyncio.gather(*(call(store, request("CreateService", service(number))) for number in group))
    for start in range(0, tasks, 500):
        group = range(start, min(start + 500, tasks), BATCH)
        await asyncio.gather(
            *(call(store, run_task(number // BATCH, count=min(BATCH, tasks - number))) for number in group)
        )
    every = list(store.state.every(Service))
    lived = [alive(task, number, every) for number, task in enumerate(store.state.every(Task))]
    for start in range(0, len(lived), 1000):
        await store.commit(Changes(put=tuple(lived[start : start + 1000])))


def service(number: int) -> dict[str, Any]:
    """Return CreateService's parameters."""
    return {
        "cluster": CLUSTER,
        "serviceName": f"service-{number}",
        "taskDefinition": f"family-{number % 20}",
        "desiredCount": 8,
        "launchType": "FARGATE",
        "networkConfiguration": NETWORK,
        "tags": [{"key": "team", "value": f"team {number % 7}"}],
    }


def run_task(number: int, *, count: int = 1) -> Request:
    """Return RunTask's request."""
    wish = {"cluster": CLUSTER, "taskDefinition": f"family-{number % 20}", "count": count, "launchType": "FARGATE"}
    return request("RunTask", {**wish, "networkConfiguration": NETWORK, "startedBy": "bench"})


def alive(task: Task, number: int, services: Sequence[Service]) -> Record:
    """Return a task as it is later: eight of ten are a service's, one of ten has stopped."""
    now = task.created_at
    containers = tuple(replace(one, runtime_id=f"{one.name}-{number}") for one in task.containers)
    running = replace(task, last_status=TaskStatus.RUNNING, started_at=now, connectivity_at=now, containers=containers)
    kind = number % 10
    if kind == STOPPED:
        return replace(
            running,
            last_status=TaskStatus.STOPPED,
            desired_status=TaskStatus.STOPPED,
            stop_code=StopCode.ESSENTIAL_CONTAINER_EXITED,
            stopped_reason="Essential container in task exited",
            stopped_at=now,
        )
    if kind == STANDALONE:
        return running
    of = services[number % len(services)]
    deployment = of.deployments[0].id
    return replace(
        running, service_arn=of.arn, started_by=deployment, deployment_id=deployment, group=f"service:{of.name}"
    )


def calls(store: Store) -> dict[str, Callable[[int], Request]]:
    """Return what is measured: by name, what makes a request, each time another."""
    tasks = [found.arn for found in store.state.every(Task)]
    services = [found.name for found in store.state.every(Service)]

    def some(of: Sequence[str], number: int, count: int) -> list[str]:
        start = number * 97 % len(of)
        return [of[(start + n) % len(of)] for n in range(count)]

    at = {"cluster": CLUSTER}
    return {
        "ListTasks": lambda _: request("ListTasks", at),
        "ListTasks of a service": lambda n: request("ListTasks", {**at, "serviceName": some(services, n, 1)[0]}),
        "DescribeTasks, 1": lambda n: request("DescribeTasks", {**at, "tasks": some(tasks, n, 1)}),
        "DescribeTasks, 100": lambda n: request("DescribeTasks", {**at, "tasks": some(tasks, n, 100)}),
        "ListServices": lambda _: request("ListServices", at),
        "DescribeServices, 10": lambda n: request("DescribeServices", {**at, "services": some(services, n, 10)}),
        "DescribeClusters": lambda _: request("DescribeClusters", {"clusters": [CLUSTER], "include": ["STATISTICS"]}),
        "RunTask": run_task,
    }


# Measured


def paired(measure: Callable[[str, int], float], rounds: int) -> tuple[float, float, float, float, float]:
    """Measure both in turns; return their medians, and the ratios' and its quarters. The first round warms up."""
    little, much, ratios = [], [], []
    for number in range(rounds + 1):
        order = ("little", "much") if number % 2 else ("much", "little")
        found = {arm: measure(arm, number) for arm in order}
        if number:
            little.append(found["little"])
            much.append(found["much"])
            ratios.append(found["much"] / found["little"])
    low, middle, high = statistics.quantiles(ratios, n=4)
    return statistics.median(little), statistics.median(much), middle, low, high


def inside(paths: Mapping[str, Path], rounds: int) -> Figures:
    """Measure operations and commits in this process."""
    figures: Figures = {}
    with asyncio.Runner() as runner:
        stores = {arm: Store.open(path) for arm, path in paths.items()}
        wishes = {arm: calls(store) for arm, store in stores.items()}
        for name in wishes["much"]:

            def measure(arm: str, number: int, name: str = name) -> float:
                asked = [wishes[arm][name](number * BATCH + n) for n in range(BATCH)]

                async def batch() -> None:
                    for one in asked:
                        await call(stores[arm], one)

                gc.collect()
                before = time.process_time()
                runner.run(batch())
                return (time.process_time() - before) * 1000 / BATCH

            figures["operation and store", name] = paired(measure, rounds)
        for store in stores.values():
            store.close()
    return figures


def over_http(paths: Mapping[str, Path], rounds: int) -> Figures:
    """Measure requests to two servers, each a process of its own."""
    figures: Figures = {}
    with Store.open(paths["little"]) as store:
        few = calls(store)
    with Store.open(paths["much"]) as store:
        wishes = {"little": few, "much": calls(store)}
        names = tuple(wishes["much"])
        bodies = {
            (arm, name): [encoded(make(number)) for number in range(50)]
            for arm, of_arm in wishes.items()
            for name, make in of_arm.items()
        }
    with serving(paths["little"]) as little, serving(paths["much"]) as much:
        servers = {"little": little, "much": much}
        for name in names:

            def measure(arm: str, number: int, name: str = name) -> float:
                pid, connection = servers[arm]
                asked = [bodies[arm, name][(number * BATCH + n) % 50] for n in range(BATCH)]
                before = cpu_s(pid)
                for target, body in asked:
                    post(connection, target, body)
                return (cpu_s(pid) - before) * 1000 / BATCH

            figures["HTTP", name] = paired(measure, rounds)
    return figures


def encoded(asked: Request) -> tuple[str, bytes]:
    """Return a request's target and body."""
    return HTTP_HEAD + asked.operation, json.dumps(dict(asked.params)).encode()


def post(connection: http.client.HTTPConnection, target: str, body: bytes) -> bytes:
    """Ask a server."""
    fields = {
        "X-Amz-Target": target,
        "Content-Type": "application/x-amz-json-1.1",
        "Authorization": AUTHORIZATION,
    }
    connection.request("POST", "/", body, fields)
    answer = connection.getresponse()
    told = answer.read()
    assert answer.status == 200, told  # noqa: PLR2004 - HTTP's
    return told


def cpu_s(pid: int) -> float:
    """Return what a process has used of the CPU, its ended threads included (`clock_getcpuclockid(3)`)."""
    return time.clock_gettime((~pid << 3) | 2)


@contextmanager
def serving(path: Path) -> Iterator[tuple[int, http.client.HTTPConnection]]:
    """Serve a store by a process of its own; give its id and a connection to it."""
    command = [sys.executable, __file__, "--serve", str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        connection = http.client.HTTPConnection("127.0.0.1", int(process.stdout.readline()))
        try:
            yield process.pid, connection
        finally:
            connection.close()
            process.terminate()


def serve(path: str) -> None:
    """Be such a process."""
    listener = listen("127.0.0.1", 0)
    with Store.open(path) as store:
        config = uvicorn.Config(
            App(store, NobodyElse()), http="httptools", ws="none", lifespan="off", log_config=None, access_log=False
        )
        print(listener.getsockname()[1], flush=True)
        asyncio.run(uvicorn.Server(config).serve(sockets=[listener]))


def restarts(paths: Mapping[str, Path], rounds: int) -> dict[str, tuple[float, float]]:
    """Open each store by new processes; return the medians of seconds, and of seconds of the CPU, until it is ready."""
    found: dict[str, list[tuple[float, float]]] = {arm: [] for arm in paths}
    for _ in range(rounds):
        for arm, path in paths.items():
            done = subprocess.run([sys.executable, __file__, "--open", str(path)], check=True, capture_output=True)
            wall, cpu = done.stdout.split()
            found[arm].append((float(wall), float(cpu)))
    return {
        arm: (statistics.median(wall for wall, _ in took), statistics.median(cpu for _, cpu in took))
        for arm, took in found.items()
    }


def open_once(path: str) -> None:
    """Be a process that opens a store; tell how long that took, imports not counted."""
    wall, cpu = time.monotonic(), time.process_time()
    with Store.open(path) as store:
        asked = request("ListTasks", {"cluster": CLUSTER})
        OPERATIONS["ListTasks"](asked, store.state)
        print(time.monotonic() - wall, time.process_time() - cpu)


# Told


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Everything that was measured."""

    tasks: int
    services: int
    rounds: int
    figures: Figures
    restarts: Mapping[str, tuple[float, float]]
    sizes: Mapping[str, int]
    filled_s: float


def page(found: Found) -> str:
    """Write the page."""
    rows = "\n".join(
        f"| {way} | {name} | {little:.2f} | {much:.2f} | **{ratio:.2f}** | {low:.2f} to {high:.2f} |"
        for (way, name), (little, much, ratio, low, high) in found.figures.items()
    )
    opened = "\n".join(
        f"| {'almost empty' if arm == 'little' else 'full'} | {found.sizes[arm] / 1e6:.1f} | {wall:.2f} | {cpu:.2f} |"
        for arm, (wall, cpu) in found.restarts.items()
    )
    return f"""# The control plane and the size of its state

<!-- Written by benchmarks/controlplane_store.py. -->

{datetime.now(UTC).isoformat(timespec="seconds")}, {os.cpu_count()} CPUs, Python {platform.python_version()}, \
DuckDB {version("duckdb")}; the machine was shared. `make bench-ecs` repeats it.

Two stores: one with {LEAST[0]} tasks and {LEAST[1]} services, one with {found.tasks:,} and {found.services:,}, in one
cluster each. CPU milliseconds for one call, all threads. The ratio is the median of those of {found.rounds} batches
of {BATCH} calls that follow each other; half of them are within what stands beside it. *Operation and store*: the
operation of a parsed request, and the commit until it is durable. *HTTP*: the whole server, over a connection that
is kept.

| way | call | almost empty | full | ratio | middle half |
|---|---|---|---|---|---|
{rows}

DescribeClusters includes STATISTICS.
One client calls at a time here, so every RunTask is a transaction of its own; commits of concurrent clients share one.

## From the file to ready

Median of {RESTARTS} new processes: from the call that opens the file to the first ListTasks answered, without the
interpreter's own start and imports.

| store | file, MB | seconds | CPU seconds |
|---|---|---|---|
{opened}

The {found.tasks:,} tasks and {found.services:,} services were made through the operations in {found.filled_s:.0f} s.
"""


RESTARTS: Final = 7


def run(options: argparse.Namespace) -> Found:
    """Measure everything."""
    with TemporaryDirectory(prefix="kecs-bench-") as folder:
        paths = {arm: Path(folder) / f"{arm}.db" for arm in ("little", "much")}
        began = time.monotonic()
        for arm, (tasks, services) in (("little", LEAST), ("much", (options.tasks, options.services))):
            with Store.open(paths[arm]) as store:
                asyncio.run(fill(store, tasks, services))
        filled_s = time.monotonic() - began
        sizes = {arm: path.stat().st_size for arm, path in paths.items()}
        opened = restarts(paths, RESTARTS)
        figures = inside(paths, options.rounds) | over_http(paths, options.rounds)
    return Found(
        tasks=options.tasks,
        services=options.services,
        rounds=options.rounds,
        figures=figures,
        restarts=opened,
        sizes=sizes,
        filled_s=filled_s,
    )


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--services", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--page", type=Path)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--open", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
    elif options.open:
        open_once(options.open)
    else:
        told = page(run(options))
        print(told)
        if options.page:
            options.page.write_text(told)


if __name__ == "__main__":
    main()
