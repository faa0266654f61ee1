"""The way back: the steps that take out of a pod what `review` has put in, and nothing else. Pure.

The status annotation tells what that is. Where it is gone or unreadable, what can only be ours is taken for it: our
containers and volumes, their mounts, trust variables that say what we say.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from kecs.core.settings import ProxyMode
from kecs.injector.containers import VOLUMES
from kecs.injector.draft import OWN_ANNOTATIONS
from kecs.injector.outcome import Operation
from kecs.injector.patch import drop, put
from kecs.injector.pod import OURS, Object, Pod
from kecs.injector.record import Record, Share
from kecs.injector.variables import for_sidecar

type _Path = tuple[str | int, ...]


def uninject(pod: Object) -> tuple[Operation, ...]:
    """Return the steps back to the pod as it was; none for one that was not injected. Its shape must be sound."""
    record = found(Pod(pod))
    return () if record is None else tuple(_steps(Pod(pod), record))


def found(pod: Pod) -> Record | None:
    """Return the record of what was injected, or what it must have been."""
    if (record := Record.of(pod.annotations)) is not None:
        return record
    if not pod.is_injected:
        return None
    return Record(
        mode=ProxyMode.SIDECAR,
        version="",
        init_containers=OURS,
        volumes=VOLUMES,
        containers={container["name"]: _share(container) for _, _, container in pod.users},
    )


def _share(container: Object) -> Share:
    ours = for_sidecar({"name": container["name"]}, region="").added
    return Share(
        env=tuple(
            entry["name"]
            for entry in container.get("env") or ()
            if entry["name"] in ours and entry.get("value") == ours[entry["name"]]
        ),
        mounts=tuple(
            mount.get("mountPath") or "" for mount in container.get("volumeMounts") or () if mount["name"] in VOLUMES
        ),
    )


def _steps(pod: Pod, record: Record) -> Iterator[Operation]:
    # Containers first: their indices hold until lists are cut.
    for where, index, container in pod.users:
        if share := record.containers.get(container["name"]):
            yield from _container(("spec", where, index), container, share, record.was)
    spec = pod.spec
    for key, names in (
        ("initContainers", record.init_containers),
        ("volumes", record.volumes),
        ("imagePullSecrets", record.pull_secrets),
    ):
        yield from _without(("spec", key), spec.get(key), _named("name", names), _Was(record.was, key))
    yield from _annotations(pod, record)


class _Was:
    """What stood at a place before, where it was null or empty."""

    def __init__(self, was: Mapping[str, Any], place: str) -> None:
        self._was = was
        self._place = place

    def emptied(self, path: _Path) -> Operation:
        """Leave what has become empty as it was: null, empty or absent."""
        return put(path, self._was[self._place]) if self._place in self._was else drop(path)


def _named(key: str, names: Sequence[str]) -> Callable[[Any], bool]:
    known = frozenset(names)
    return lambda item: isinstance(item, Mapping) and item.get(key) in known


def _without(path: _Path, items: Any, is_ours: Callable[[Any], bool], was: _Was) -> Iterator[Operation]:
    positions = [position for position, item in enumerate(items or ()) if is_ours(item)]
    if positions and len(positions) == len(items):
        yield was.emptied(path)
        return
    for position in reversed(positions):
        yield drop((*path, position))


def _container(path: _Path, container: Object, share: Share, was: Mapping[str, Any]) -> Iterator[Operation]:
    name = container["name"]
    positions = {entry["name"]: position for position, entry in enumerate(container.get("env") or ())}
    for variable, suffix in share.extended.items():
        value = container["env"][positions[variable]].get("value") if variable in positions else None
        if value and value.endswith(suffix):
            was_blank = _Was(was, f"containers/{name}/env/{variable}")
            yield _shortened((*path, "env", positions[variable], "value"), value.removesuffix(suffix), was_blank)
    for key, identity, ours in (("env", "name", share.env), ("volumeMounts", "mountPath", share.mounts)):
        yield from _without(
            (*path, key), container.get(key), _named(identity, ours), _Was(was, f"containers/{name}/{key}")
        )


def _shortened(path: _Path, value: str, was: _Was) -> Operation:
    return put(path, value) if value else was.emptied(path)


def _annotations(pod: Pod, record: Record) -> Iterator[Operation]:
    path: _Path = ("metadata", "annotations")
    for name, suffix in record.extended_annotations.items():
        if (value := pod.annotations.get(name, "")).endswith(suffix):
            yield put((*path, name), value.removesuffix(suffix))
    ours = [name for name in (*OWN_ANNOTATIONS, *record.annotations) if name in pod.annotations]
    if not ours:
        return
    if len(ours) < len(pod.annotations):
        yield from (drop((*path, name)) for name in ours)
    elif "annotations" in record.was or len(pod.metadata) > 1:
        yield _Was(record.was, "annotations").emptied(path)
    else:
        yield _Was(record.was, "metadata").emptied(("metadata",))
