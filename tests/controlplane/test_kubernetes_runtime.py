"""The runtime against an API server's wire: orders that may be repeated, and everything that is told of pods."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from kube_lab import ApiServer, Fault, api_server
from kubernetes_lab import NOW, a_launch, an_app, ended, kubelet, running, waiting

from kecs.certs.kube import Kube, KubeError, UnavailableError
from kecs.controlplane.kubernetes.config import PodConfig
from kecs.controlplane.kubernetes.effective import Resolved
from kecs.controlplane.kubernetes.runtime import KubernetesRuntime, ResolveError
from kecs.controlplane.records.tasks import ContainerStatus, Health
from kecs.controlplane.runtime import Launch, Node, Resynced, Runtime, Sighting
from kecs.controlplane.task_making import TaskWish

type Json = dict[str, Any]
type Seen = Sighting | Node | Resynced

_DEADLINE_S = 60
WHERE = "shop-us-east-1"
ENDING = f'pods "x" is forbidden: unable to create new content in namespace {WHERE} because it is being terminated'


@dataclass
class Fetched:
    """A resolver that has everything already, or has not."""

    resolved: Resolved = field(default_factory=Resolved)
    missing: str = ""

    async def resolve(self, launch: Launch) -> Resolved:
        assert launch.task.arn
        if self.missing:
            raise ResolveError(self.missing)
        return self.resolved

    def close(self) -> None:
        pass


@dataclass
class Lab:
    """A runtime, the server it talks to, and all it has told."""

    api: ApiServer
    runtime: KubernetesRuntime
    told: list[Seen] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def follow(self) -> None:
        async for one in self.runtime.sightings():
            self.told.append(one)
            self.changed.set()

    async def until(self, holds: Callable[[Seen], bool], *, after: int = 0) -> Seen:
        """Wait until something is told; the position says from where on."""
        async with asyncio.timeout(_DEADLINE_S):
            while True:
                self.changed.clear()
                found = next((one for one in self.told[after:] if holds(one)), None)
                if found is not None:
                    return found
                await self.changed.wait()

    async def sighted(self, launch: Launch, holds: Callable[[Sighting], bool], *, after: int = 0) -> Sighting:
        def fits(one: Seen) -> bool:
            return isinstance(one, Sighting) and one.task_arn == launch.task.arn and holds(one)

        found = await self.until(fits, after=after)
        assert isinstance(found, Sighting)
        return found

    async def resynced(self, *, after: int = 0) -> None:
        await self.until(lambda one: isinstance(one, Resynced), after=after)

    def pod(self, launch: Launch) -> Json:
        found = self.api.at("pods", f"task-{launch.task.id}", WHERE)
        assert found is not None
        return found

    def report(self, launch: Launch, *, phase: str = "Running", **containers: Json) -> None:
        """Be kubelet."""
        self.api.put("pods", kubelet(self.pod(launch), phase=phase, **containers))


@pytest.fixture
def api() -> Iterator[ApiServer]:
    with api_server() as found:
        yield found


@asynccontextmanager
async def a_lab(
    api: ApiServer,
    tmp_path: Path,
    *,
    resolver: Fetched | None = None,
    instance: str = "",
    now: Callable[[], datetime] = lambda: NOW,
    watch_s: int = 300,
) -> AsyncIterator[Lab]:
    runtime = KubernetesRuntime(
        Kube.load(kubeconfig=str(api.kubeconfig(tmp_path)), environ={}),
        config=PodConfig(instance=instance),
        resolver=resolver or Fetched(),
        now=now,
        watch_s=watch_s,
    )
    lab = Lab(api, runtime)
    following = asyncio.create_task(lab.follow())
    try:
        yield lab
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await runtime.close()


def test_it_is_a_runtime(api: ApiServer, tmp_path: Path) -> None:
    async def play() -> None:
        async with a_lab(api, tmp_path) as lab:
            runtime: Runtime = lab.runtime
            assert runtime.name == "kubernetes"
            await lab.resynced()

    asyncio.run(play())


def test_a_launch_makes_a_pod_in_its_clusters_namespace_once(api: ApiServer, tmp_path: Path) -> None:
    launch = a_launch([an_app()])

    async def play() -> None:
        async with a_lab(api, tmp_path) as lab:
            await lab.resynced()
            await lab.runtime.launch(launch)
            await lab.runtime.launch(launch)
            found = await lab.sighted(launch, lambda _: True)
            assert found.containers[0].status is ContainerStatus.PENDING
            lab.report(launch, app=running())
            await lab.sighted(launch, lambda one: one.containers[0].status is ContainerStatus.RUNNING)

    asyncio.run(play())
    namespace = api.at("namespaces", WHERE)
    assert namespace is not None
    assert namespace["metadata"]["labels"]["kecs.io/ecs-cluster"] == "shop"
    assert len([one for one in api.requests if one.method == "POST" and one.path.endswith("/pods")]) == 1


def test_a_task_that_was_launched_before_the_restart_is_found_again(api: ApiServer, tmp_path: Path) -> None:
    launch, ended_since = a_launch([an_app()]), a_launch([an_app()], seed=2)

    async def before() -> None:
        async with a_lab(api, tmp_path) as lab:
            await lab.runtime.launch(launch)
            await lab.runtime.launch(ended_since)
            lab.report(launch, app=running())

    async def after() -> None:
        async with a_lab(api, tmp_path) as lab:
            await lab.resynced()
            kinds = [one for one in lab.told if not isinstance(one, Node)]
            assert isinstance(kinds[-1], Resynced)
            assert [one.task_arn for one in kinds if isinstance(one, Sighting)] == [launch.task.arn]
            await lab.runtime.launch(launch)

    asyncio.run(before())
    api.remove("pods", f"task-{ended_since.task.id}", WHERE)
    asyncio.run(after())
    assert len([key for key in api.objects if key[0] == "pods"]) == 1


@pytest.mark.parametrize(("mine", "other"), [("", "server-1"), ("server-1", ""), ("server-1", "server-2")])
def test_tasks_of_another_control_plane_are_not_seen(api: ApiServer, tmp_path: Path, mine: str, other: str) -> None:
    ours, theirs = a_launch([an_app()]), a_launch([an_app()], seed=2)

    async def play() -> None:
        async with a_lab(api, tmp_path, instance=other) as lab:
            await lab.runtime.launch(theirs)
        async with a_lab(api, tmp_path, instance=mine) as lab:
            await lab.runtime.launch(ours)
        async with a_lab(api, tmp_path, instance=mine) as lab:
            await lab.resynced()
            assert [one.task_arn for one in lab.told if isinstance(one, Sighting)] == [ours.task.arn]

    asyncio.run(play())


def test_an_end_is_told_with_its_code_and_then_that_nothing_is_left(api: ApiServer, tmp_path: Path) -> None:
    launch = a_launch([an_app()])

    async def play() -> None:
        async with a_lab(api, tmp_path) as lab:
            await lab.runtime.launch(launch)
            lab.report(launch, app=ended(3))
            seen = await lab.sighted(launch, lambda one: one.containers[0].exit_code == 3)
            assert not seen.gone
            await lab.runtime.forget(launch.task)
            gone = await lab.sighted(launch, lambda one: one.gone)
            assert gone.containers[0].exit_code == 3

    asyncio.run(play())
    assert api.at("pods", f"task-{launch.task.id}", WHERE) is None


def test_a_stop_is_asked_for_once(api: ApiServer, tmp_path: Path) -> None:
    launch = a_launch([an_app()])

    async def play() -> None:
        async with a_lab(api, tmp_path) as lab:
            await lab.runtime.launch(launch)
            pod = kubelet(lab.pod(launch), app=running())
            pod["metadata"]["deletionTimestamp"] = "2026-01-02T03:05:00Z"  # as the API server keeps it for kubelet
            api.put("pods", pod)
            await lab.sighted(launch, lambda one: one.containers[0].status is ContainerStatus.RUNNING)
            await lab.runtime.stop(launch.task, launch.definition)

    asyncio.run(play())
    assert not [one for one in api.requests if one.method == "DELETE"]


def test_a_stop_of_what_is_not_there_says_so(api: ApiServer, tmp_path: Path) -> None:
    launch = a_launch([an_app()])

    async def play() -> None:
        async with a_lab(api, tmp_path) as lab:
            await lab.resynced()
            await lab.runtime.stop(launch.task, launch.definition)
            await lab.sighted(launch, lambda one: one.gone)

    asyncio.run(play())


SECRET = {"name": "PASSWORD", "valueFrom": "arn:aws:ssm:us-east-1:000000000000:parameter/p"}


def test_secrets_go_with_the_pod(api: ApiServer, tmp_path: Path) -> None:
    launch = a_launch([an_app(secrets=[SECRET])])
    resolver = Fetched(resolved=Resolved(secrets={"app": {"PASSWORD": "hush"}}))

    async def play() -> None:
        async with a_lab(api, tmp_path, resolver=resolver) as lab:
            await lab.runtime.launch(launch)

    asyncio.run(play())
    secret = api.at("secrets", f"task-{launch.task.id}", WHERE)
    pod = api.at("pods", f"task-{launch.task.id}", WHERE)
    assert secret is not None
    assert pod is not None
    assert list(secret["data"].values()) == ["aHVzaA=="]
    assert secret["metadata"]["ownerReferences"][0]["uid"] == pod["metadata"]["uid"]


def test_secrets_that_can_not_be_had_end_the_task(api: ApiServer, tmp_path: Path) -> None:
    launch = a_launch([an_app(secrets=[SECRET])])
    why = "ResourceInitializationError: unable to pull secrets or registry auth: no such parameter"

    async def play() -> None:
        async with a_lab(api, tmp_path, resolver=Fetched(missing=why)) as lab:
            await lab.runtime.launch(launch)
            found = await lab.sighted(launch, lambda one: one.gone)
            assert found.failure == why

    asyncio.run(play())


@pytest.mark.parametrize(
    ("status", "failure"),
    [
        pytest.param(400, "CannotCreateContainerError: injected by the test", id="a webhook denies it"),
        pytest.param(403, "CannotCreateContainerError: injected by the test", id="over quota"),
        pytest.param(422, "CannotCreateContainerError: injected by the test", id="no valid pod"),
    ],
)
def test_a_pod_that_is_refused_ends_its_task(api: ApiServer, tmp_path: Path, status: int, failure: str) -> None:
    launch = a_launch([an_app()])
    api.faults.append(Fault(path=r"/pods$", method="POST", status=status))

    async def play() -> None:
        async with a_lab(api, tmp_path) as lab:
            await lab.runtime.launch(launch)
            found = await lab.sighted(launch, lambda one: one.gone)
            assert found.failure == failure

    asyncio.run(play())


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault(path=r"/pods$", method="POST", status=500), id="the webhook is away"),
        pytest.param(Fault(path=r"/pods$", method="POST", status=429), id="too many requests"),
        pytest.param(Fault(path=r"/pods$", method="POST", drop=True), id="no answer"),
        pytest.param(Fault(path=r"/pods$", method="POST", drop=True, after=True), id="made, and no answer"),
        pytest.param(Fault(path=r"/namespaces$", method="POST", status=503), id="the server is away"),
        pytest.param(Fault(path=r"/pods$", method="POST", status=404), id="the namespace was deleted"),
        pytest.param(Fault(path=r"/pods$", method="POST", status=401), id="the token has expired"),
        pytest.param(Fault(path=r"/pods$", method="POST", status=403, message=ENDING), id="the namespace is going"),
    ],
)
def test_what_may_pass_is_worth_another_try(api: ApiServer, tmp_path: Path, fault: Fault) -> None:
    launch = a_launch([an_app()])
    api.faults.append(fault)

    async def play() -> None:
        async with a_lab(api, tmp_path) as lab:
            with pytest.raises(KubeError):
                await lab.runtime.launch(launch)
            await lab.runtime.launch(launch)
            found = await lab.sighted(launch, lambda _: True)
            assert not found.gone
            assert not found.failure

    asyncio.run(play())
    assert api.at("pods", f"task-{launch.task.id}", WHERE) is not None


def test_an_expression_that_can_not_be_said_places_nothing(api: ApiServer, tmp_path: Path) -> None:
    wish = TaskWish(placement_constraints=({"type": "memberOf", "expression": "task:group == x"},))
    launch = a_launch([an_app()], wish=wish)

    async def play() -> None:
        async with a_lab(api, tmp_path) as lab:
            await lab.runtime.launch(launch)
            found = await lab.sighted(launch, lambda one: one.gone)
            assert found.failure.startswith("TaskFailedToStart: ATTRIBUTE")

    asyncio.run(play())


def test_a_pod_that_is_made_while_all_are_listed_is_not_gone(api: ApiServer, tmp_path: Path) -> None:
    launch, listed, made = a_launch([an_app()]), threading.Event(), threading.Event()

    def between() -> None:
        listed.set()
        assert made.wait(_DEADLINE_S)

    api.faults.append(Fault(path=r"^/api/v1/pods\?", method="GET", between=between))

    async def play() -> None:
        async with a_lab(api, tmp_path) as lab:
            assert await asyncio.to_thread(listed.wait, _DEADLINE_S)
            await lab.runtime.launch(launch)
            made.set()
            await lab.resynced()
            lab.report(launch, app=running())
            await lab.sighted(launch, lambda one: one.containers[0].status is ContainerStatus.RUNNING)
            assert not [one for one in lab.told if isinstance(one, Sighting) and one.gone]

    asyncio.run(play())


def test_a_history_that_is_forgotten_is_listed_anew(api: ApiServer, tmp_path: Path) -> None:
    kept, lost = a_launch([an_app()]), a_launch([an_app()], seed=2)

    async def play() -> None:
        async with a_lab(api, tmp_path, watch_s=1) as lab:
            await lab.runtime.launch(kept)
            await lab.runtime.launch(lost)
            await lab.resynced()
            with api.changed:
                before = len(lab.told)
                lab.report(kept, app=running())
                api.remove("pods", f"task-{lost.task.id}", WHERE)
                api.compact()
            await lab.sighted(kept, lambda one: one.containers[0].status is ContainerStatus.RUNNING, after=before)
            await lab.sighted(lost, lambda one: one.gone, after=before)
            await lab.resynced(after=before)

    asyncio.run(play())


def test_an_api_server_that_is_away_is_waited_for(api: ApiServer, tmp_path: Path) -> None:
    launch = a_launch([an_app()])
    api.faults.append(Fault(path=r"/api/v1/pods", method="GET", status=503, times=3))

    async def play() -> None:
        async with a_lab(api, tmp_path) as lab:
            await lab.runtime.launch(launch)
            await lab.resynced()
            assert lab.runtime.failure == ""

    asyncio.run(play())


def test_nodes_are_told(api: ApiServer, tmp_path: Path) -> None:
    ready = {"conditions": [{"type": "Ready", "status": "True"}], "allocatable": {"cpu": "2", "memory": "4Gi"}}
    api.put("nodes", {"metadata": {"name": "one"}, "status": ready})

    async def play() -> None:
        async with a_lab(api, tmp_path) as lab:
            found = await lab.until(lambda one: isinstance(one, Node))
            assert found == Node(name="one", cpu=2048, memory=4096)
            api.remove("nodes", "one")
            await lab.until(lambda one: isinstance(one, Node) and not one.ready)

    asyncio.run(play())


DEPENDING = [
    an_app(essential=False),
    {"name": "b", "image": "b", "memory": 8, "dependsOn": [{"containerName": "app", "condition": "COMPLETE"}]},
]


@pytest.mark.parametrize("faults", [0, 1], ids=["at once", "at another try"])
def test_a_container_begins_when_its_dependency_has_ended(api: ApiServer, tmp_path: Path, faults: int) -> None:
    launch = a_launch(DEPENDING)
    gate = waiting("CreateContainerConfigError", 'configmap "task-01-gate-0a1b2c3d" not found')

    def released() -> bool:
        return (
            "kecs.io/ecs-opened" in (api.at("pods", f"task-{launch.task.id}", WHERE) or {})["metadata"]["annotations"]
        )

    async def play() -> None:
        async with a_lab(api, tmp_path, watch_s=1) as lab:
            await lab.runtime.launch(launch)
            await lab.resynced()
            lab.report(launch, app=running(), b=gate)
            await lab.sighted(launch, lambda one: bool(one.address))
            assert not [key for key in api.objects if key[0] == "configmaps"]
            if faults:
                api.faults.append(Fault(path="/configmaps", method="POST", status=503, times=faults))
            lab.report(launch, app=ended(1), b=gate)
            await asyncio.to_thread(api.wait, released, timeout_s=_DEADLINE_S)

    asyncio.run(play())
    (gate_made,) = [body for key, body in api.objects.items() if key[0] == "configmaps"]
    assert gate_made["metadata"]["ownerReferences"][0]["name"] == f"task-{launch.task.id}"


def test_health_that_is_overdue_is_told_though_the_pod_is_as_it_was(api: ApiServer, tmp_path: Path) -> None:
    check = {"healthCheck": {"command": ["CMD-SHELL", "false"], "interval": 5, "retries": 1, "timeout": 2}}
    launch = a_launch([an_app(**check)])
    began = datetime(2026, 1, 2, 3, 4, 6, tzinfo=UTC)
    start = time.monotonic()

    def now() -> datetime:
        return began + timedelta(seconds=6 + time.monotonic() - start)

    async def play() -> None:
        async with a_lab(api, tmp_path, now=now) as lab:
            await lab.runtime.launch(launch)
            await lab.resynced()
            lab.report(launch, app=running(ready=False))
            await lab.sighted(launch, lambda one: one.containers[0].health is Health.UNHEALTHY)

    asyncio.run(play())


def test_a_network_of_none_and_file_systems_are_made_first(api: ApiServer, tmp_path: Path) -> None:
    launch = a_launch(
        [an_app()], networkMode="none", volumes=[{"name": "f", "efsVolumeConfiguration": {"fileSystemId": "fs-1"}}]
    )

    async def play() -> None:
        async with a_lab(api, tmp_path) as lab:
            await lab.runtime.launch(launch)

    asyncio.run(play())
    assert api.at("networkpolicies", "kecs-network-none", WHERE) is not None
    assert api.at("persistentvolumeclaims", "efs-fs-1", WHERE) is not None


def test_ports_of_the_machine_are_not_given_twice(api: ApiServer, tmp_path: Path) -> None:
    mappings = [{"containerPort": 80}]
    launches = [a_launch([an_app(portMappings=mappings)], networkMode="bridge", seed=seed) for seed in range(20)]

    async def play() -> None:
        async with a_lab(api, tmp_path) as lab:
            await asyncio.gather(*(lab.runtime.launch(one) for one in launches))
            ports = {lab.pod(one)["spec"]["containers"][0]["ports"][0]["hostPort"] for one in launches}
            assert len(ports) == len(launches)

    asyncio.run(play())


def test_an_unavailable_server_is_an_error_of_its_own(api: ApiServer, tmp_path: Path) -> None:
    launch = a_launch([an_app()])
    api.faults.append(Fault(path=r"/pods$", method="POST", drop=True))

    async def play() -> None:
        async with a_lab(api, tmp_path) as lab:
            with pytest.raises(UnavailableError):
                await lab.runtime.launch(launch)

    asyncio.run(play())
