"""Tasks run as pods of a cluster. An edge: it does what its pure neighbours say, and tells what pods say.

Every object has a name that follows from the task's ARN, so that each order can be repeated without harm, and a control
plane that starts anew finds everything again by the pods' own marks.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, Protocol

from kecs.certs.kube import ConflictError, Kube, KubeError, NotFoundError, Patch, UnavailableError
from kecs.controlplane.kubernetes import gates, networking, pods, volumes
from kecs.controlplane.kubernetes.config import PodConfig
from kecs.controlplane.kubernetes.effective import Resolved, containers
from kecs.controlplane.kubernetes.names import PLANE_LABEL, TASK_LABEL, pod_name
from kecs.controlplane.kubernetes.namespaces import namespace, namespace_of
from kecs.controlplane.kubernetes.nodes import node
from kecs.controlplane.kubernetes.placement import ExpressionError
from kecs.controlplane.kubernetes.sightings import arn_of, next_change, sighting
from kecs.controlplane.kubernetes.watch_loop import WATCH_S, Watch
from kecs.controlplane.records import Task, TaskDefinition
from kecs.controlplane.runtime import Launch, Node, Resynced, Sighting
from kecs.core.errors import KecsError

type Json = dict[str, Any]

_THREADS: Final = 8
_UNAUTHORIZED: Final = 401
_ENDING: Final = "because it is being terminated"
"""What the API server says of a namespace, with a 403: once it has gone it is made again. Only its text tells that."""


class Tells(Protocol):
    """What writes a line of the log."""

    def __call__(self, event: str, /, **fields: Any) -> None:
        """Write one line."""
        ...


def _silent(_event: str, /, **_fields: Any) -> None:
    return


class ResolveError(KecsError):
    """What a definition names could not be fetched; the message is a stoppedReason."""


class Resolver(Protocol):
    """What fetches secrets, environment files and registries' credentials."""

    async def resolve(self, launch: Launch) -> Resolved:
        """Fetch everything that a task's definition only names. Raise ResolveError where it can't be had."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


class Follower(Protocol):
    """What is told of every pod: who sends its logs on."""

    def saw(self, pod: Mapping[str, Any]) -> None:
        """Take a pod as it is now."""
        ...

    def gone(self, pod: Mapping[str, Any]) -> None:
        """Forget a pod."""
        ...

    async def close(self) -> None:
        """End."""
        ...


def _may_pass(error: KubeError) -> bool:
    """Tell whether the same may be asked again of a cluster that has refused it."""
    known = isinstance(error, NotFoundError | ConflictError) or error.status == _UNAUTHORIZED
    return known or _ENDING in error.message


def _newer(pod: Json, version: str) -> bool:
    """Tell whether a pod is of a later version than a list. API servers count them: they are texts that say numbers."""
    own = str(pod["metadata"].get("resourceVersion", ""))
    return own.isdecimal() and version.isdecimal() and int(own) > int(version)


class KubernetesRuntime:
    """See `kecs.controlplane.runtime.Runtime`, and the module. It belongs to one loop."""

    name = "kubernetes"

    def __init__(
        self,
        kube: Kube,
        *,
        config: PodConfig,
        resolver: Resolver,
        follower: Follower | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        watch_s: int = WATCH_S,
        event: Tells = _silent,
    ) -> None:
        self._event = event
        self._kube = kube
        self._config = config
        self._asked = False
        self._resolver = resolver
        self._follower = follower
        self._now = now
        self._watch_s = watch_s
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="kubernetes")
        self._pods: dict[str, Json] = {}
        """By task ARN."""
        self._ports: dict[str, networking.HostPorts] = {}
        """Of tasks whose pods are being made."""
        self._seen: dict[str, Sighting] = {}
        """What was told of each last."""
        self._news: dict[object, Sighting | Node | Resynced] = {}
        """What has not been told yet, the newest of each: as much as there are tasks, never more."""
        self._woken = asyncio.Event()
        self._namespaces: set[str] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._opening: set[asyncio.Task[None]] = set()
        self._watches: tuple[Watch, ...] = ()
        self.failure = ""
        """Why the cluster could not be watched lately; empty while it can."""

    # orders

    async def launch(self, launch: Launch) -> None:
        """Make a task's pod, and before it what it needs."""
        arn = launch.task.arn
        if arn in self._pods:
            return
        try:
            resolved = await self._resolver.resolve(launch)
            config = await self._settled()
            chosen = self._ports[arn] = networking.host_ports(launch, containers(launch), self._taken(launch))
            pod = pods.manifest(launch, config=config, resolved=resolved, chosen=chosen)
            made = await self._call(partial(self._make, launch, resolved, pod))
        except (ResolveError, ExpressionError) as error:
            expression = isinstance(error, ExpressionError)
            self._refused(arn, f"TaskFailedToStart: ATTRIBUTE: {error.message}" if expression else error.message)
        except UnavailableError:
            raise
        except KubeError as error:
            self._namespaces.discard(namespace_of(launch.cluster.arn))
            if _may_pass(error):
                raise
            self._refused(arn, f"CannotCreateContainerError: {' '.join(error.message.split())}")
        else:
            if arn not in self._pods:  # else the watch has told of it already, and knows more by now
                self._saw(made)
        finally:
            self._ports.pop(arn, None)

    def _taken(self, launch: Launch) -> set[int]:
        """Return the ports of machines that others have, or are about to have."""
        if launch.definition.network_mode != "bridge":
            return set()
        having = (*(seen.host_ports for seen in self._seen.values()), *self._ports.values())
        return {port for ports in having for port in ports.values()}

    async def _settled(self) -> PodConfig:
        """Return the settings, once the API server has said what it can do."""
        if not self._asked:
            version = await self._call(partial(self._kube.get, "/version"))
            self._asked = True
            if not pods.takes_resources(version):
                self._config = replace(self._config, pod_resources=False)
        return self._config

    def _make(self, launch: Launch, resolved: Resolved, pod: Json) -> Json:
        """Make everything, on a thread. What is there already is left as it is."""
        where = namespace_of(launch.cluster.arn)
        if where not in self._namespaces:
            self._create("/api/v1/namespaces", namespace(launch.cluster.arn))
            self._namespaces.add(where)
        if launch.definition.network_mode == "none":
            self._create(f"/apis/networking.k8s.io/v1/namespaces/{where}/networkpolicies", networking.NO_NETWORK)
        for claim in volumes.claims(launch, self._config):
            self._create(f"/api/v1/namespaces/{where}/persistentvolumeclaims", claim)
        secret = pods.secret(launch, resolved)
        secrets = [*([] if secret is None else [secret]), *pods.pull_secrets(launch, resolved)]
        for one in secrets:
            self._replace(f"/api/v1/namespaces/{where}/secrets", one)
        made = self._create(f"/api/v1/namespaces/{where}/pods", pod)
        if made is None:
            made = self._kube.get(f"/api/v1/namespaces/{where}/pods/{pod['metadata']['name']}")
        for one in secrets:
            owned = {"metadata": {"ownerReferences": [gates.owner(made)]}}
            self._kube.patch(f"/api/v1/namespaces/{where}/secrets/{one['metadata']['name']}", owned)
        return made

    def _create(self, path: str, body: Json) -> Json | None:
        try:
            return self._kube.create(path, body)
        except ConflictError as error:
            if error.reason != "AlreadyExists":
                raise
            return None

    def _replace(self, path: str, body: Json) -> None:
        """Make a Secret; one of the same name is of an earlier try."""
        if self._create(path, body) is None:
            self._kube.patch(f"{path}/{body['metadata']['name']}", body, Patch.MERGE)

    async def stop(self, task: Task, definition: TaskDefinition) -> None:  # noqa: ARG002 - the pod has its stopTimeout
        """Delete the pod: kubelet sends SIGTERM, waits for the pod's grace, and kills."""
        pod = self._pods.get(task.arn)
        if pod is not None and "deletionTimestamp" in pod["metadata"]:
            return
        await self._delete(task)

    async def forget(self, task: Task) -> None:
        """Delete the pod. What belongs to it goes with it."""
        await self._delete(task)

    async def _delete(self, task: Task) -> None:
        path = f"/api/v1/namespaces/{namespace_of(task.cluster_arn)}/pods/{pod_name(task.id)}"
        if not await self._call(partial(self._kube.delete, path)) and task.arn not in self._pods:
            self._tell(task.arn, Sighting(task_arn=task.arn, gone=True))

    async def _call[T](self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function)

    # what is seen

    async def sightings(self) -> AsyncIterator[Sighting | Node | Resynced]:
        """Follow pods and nodes."""
        if not self._watches:
            self._watch()
        while True:
            await self._woken.wait()
            self._woken.clear()
            while self._news:
                yield self._news.pop(next(iter(self._news)))

    def _watch(self) -> None:
        loop = asyncio.get_running_loop()

        def on_loop[**P](function: Callable[P, None]) -> Callable[P, None]:
            def call(*args: P.args, **kwargs: P.kwargs) -> None:
                with contextlib.suppress(RuntimeError):  # the loop has ended
                    loop.call_soon_threadsafe(partial(function, *args, **kwargs))

            return call

        follow = partial(Watch, self._kube, failed=on_loop(self._failed), watch_s=self._watch_s)
        self._watches = (
            follow("/api/v1/nodes", listed=on_loop(self._listed_nodes), changed=on_loop(self._changed_node)),
            follow(
                "/api/v1/pods",
                listed=on_loop(self._listed),
                changed=on_loop(self._changed),
                query={"labelSelector": f"{TASK_LABEL},{self._whose()}"},
            ),
        )
        for one in self._watches:
            one.start()

    def _whose(self) -> str:
        """Return what selects the pods of this control plane among those of all."""
        instance = self._config.instance
        return f"{PLANE_LABEL}={instance}" if instance else f"!{PLANE_LABEL}"

    def _failed(self, why: str) -> None:
        self.failure = why
        self._event("cluster_not_watched", reason=why)

    def _listed(self, found: list[Json], version: str) -> None:
        self.failure = ""
        there = {arn: pod for pod in found if (arn := arn_of(pod))}
        for arn, pod in list(self._pods.items()):
            # One that was made after the list was, and before it came here, is told by the watch that follows.
            if arn not in there and not _newer(pod, version):
                self._lost(arn, pod)
        for pod in there.values():
            self._saw(pod, again=True)
        self._tell(Resynced, Resynced())

    def _changed(self, kind: str, pod: Json) -> None:
        if arn := arn_of(pod):
            if kind == "DELETED":
                self._lost(arn, pod)
            else:
                self._saw(pod)

    def _listed_nodes(self, found: list[Json], _version: str) -> None:
        for one in found:
            self._changed_node("ADDED", one)

    def _changed_node(self, kind: str, found: Json) -> None:
        seen = node(found)
        if kind == "DELETED":
            seen = Node(name=seen.name, cpu=seen.cpu, memory=seen.memory, ready=False, unschedulable=True)
        self._tell(("node", seen.name), seen)

    def _saw(self, pod: Json, *, again: bool = False) -> None:
        """Tell what is seen of a pod where that is new; `again`: in any case."""
        arn = arn_of(pod)
        pod["metadata"].pop("managedFields", None)  # half of a pod, and nobody's business here
        self._pods[arn] = pod
        now = self._now()
        seen = sighting(pod, now=now)
        if again or seen != self._seen.get(arn):
            self._seen[arn] = seen
            self._tell(arn, seen)
        self._arm(arn, next_change(pod, now), now)
        if due := gates.due(pod, seen):
            self._open(pod, due)
        if self._follower is not None:
            self._follower.saw(pod)

    def _lost(self, arn: str, pod: Json) -> None:
        self._pods.pop(arn, None)
        self._seen.pop(arn, None)
        self._arm(arn, None, self._now())
        self._tell(arn, sighting(pod, now=self._now(), gone=True))
        if self._follower is not None:
            self._follower.gone(pod)

    def _refused(self, arn: str, why: str) -> None:
        self._tell(arn, Sighting(task_arn=arn, failure=why, gone=True))

    def _tell(self, what: object, news: Sighting | Node | Resynced) -> None:
        """Keep something to be told; `Resynced` comes after what was there before it."""
        if what is Resynced:
            self._news.pop(what, None)
        self._news[what] = news
        self._woken.set()

    def _arm(self, arn: str, when: datetime | None, now: datetime) -> None:
        """Look at a pod again at a time, since nobody will say that it has come."""
        if (timer := self._timers.pop(arn, None)) is not None:
            timer.cancel()
        if when is not None:
            loop = asyncio.get_running_loop()
            self._timers[arn] = loop.call_later((when - now).total_seconds(), self._again, arn)

    def _again(self, arn: str) -> None:
        if arn in self._pods:
            self._saw(self._pods[arn])

    # dependencies

    def _open(self, pod: Json, containers: tuple[str, ...]) -> None:
        opening = asyncio.get_running_loop().create_task(self._opened(pod, containers))
        self._opening.add(opening)
        opening.add_done_callback(self._opening.discard)

    async def _opened(self, pod: Json, containers: tuple[str, ...]) -> None:
        """Let containers begin. What fails is tried again when the pod is next seen."""
        try:
            await self._call(partial(self._let_begin, pod, containers))
        except KubeError as error:
            self._event("container_not_released", pod=pod["metadata"]["name"], reason=error.message)

    def _let_begin(self, pod: Json, containers: tuple[str, ...]) -> None:
        where = f"/api/v1/namespaces/{pod['metadata']['namespace']}"
        for container in containers:
            self._create(f"{where}/configmaps", gates.gate(pod, container))
        with contextlib.suppress(NotFoundError):
            self._kube.patch(f"{where}/pods/{pod['metadata']['name']}", gates.opening(pod, containers))

    async def close(self) -> None:
        """Let go of the cluster. Pods go on."""
        for one in self._watches:
            one.close()
        for arn in list(self._timers):
            self._arm(arn, None, self._now())
        if self._follower is not None:
            await self._follower.close()
        await asyncio.gather(*self._opening, return_exceptions=True)
        self._resolver.close()
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._kube.close()
