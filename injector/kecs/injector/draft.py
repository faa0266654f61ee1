"""A patch and its record while they are made: every step writes both. Pure apart from itself."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from kecs.core.names import INJECTED_ANNOTATION, SIDECAR_INJECTED_ANNOTATION, STATUS_ANNOTATION, TRUST_ROOT_ANNOTATION
from kecs.core.settings import ProxyMode
from kecs.injector.patch import annotate, append, prepend, put
from kecs.injector.pod import Object, Pod
from kecs.injector.record import Record, Share
from kecs.injector.variables import Given

if TYPE_CHECKING:
    from kecs.injector.outcome import Operation

OWN_ANNOTATIONS: Final = (
    INJECTED_ANNOTATION,
    SIDECAR_INJECTED_ANNOTATION,
    STATUS_ANNOTATION,
    TRUST_ROOT_ANNOTATION,
)


class Draft:
    """Steps against one pod. `before` is the record of an earlier pass, if there was one."""

    def __init__(self, pod: Pod, *, mode: ProxyMode, version: str, before: Record | None) -> None:
        self.operations: list[Operation] = []
        self.shares: dict[str, Share] = {}
        self.notes: dict[str, list[str]] = {}
        self._pod = pod
        self._mode = mode
        self._version = version
        self._before = before
        self._lists: dict[str, tuple[str, ...]] = {}
        self._annotations: dict[str, str] = {}
        self._extended_annotations: dict[str, str] = {}
        self._was: dict[str, Any] = {}

    def give(
        self, where: str, index: int, container: Object, given: Given, mounts: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        """Put variables and mounts into a user's container, where they are not there yet."""
        name, path = container["name"], ("spec", where, index)
        have = {mount.get("mountPath") for mount in container.get("volumeMounts") or ()}
        fresh = [mount for mount in mounts if mount["mountPath"] not in have]
        share = Share(
            env=tuple(given.added),
            extended=given.extended,
            mounts=tuple(mount["mountPath"] for mount in fresh),
            kept=given.kept,
        )
        known = self._before is not None and name in self._before.containers
        if known and not (share.env or share.extended or share.mounts):
            return
        self.shares[name] = share
        for note in given.notes:
            self.notes.setdefault(note, []).append(name)
        self._extend(path, container, given.extended)
        env = [{"name": variable, "value": value} for variable, value in given.added.items()]
        self._append((*path, "env"), container, "env", f"containers/{name}/env", env)
        self._append((*path, "volumeMounts"), container, "volumeMounts", f"containers/{name}/volumeMounts", fresh)

    def _extend(self, path: tuple[str | int, ...], container: Object, extended: Mapping[str, str]) -> None:
        if not extended:
            return
        positions = {entry["name"]: position for position, entry in enumerate(container["env"])}
        for variable, suffix in extended.items():
            entry = container["env"][positions[variable]]
            self._note_empty(entry, "value", f"containers/{container['name']}/env/{variable}")
            value = f"{entry.get('value') or ''}{suffix}"
            self.operations.append(put((*path, "env", positions[variable], "value"), value))

    def _append(
        self, path: tuple[str | int, ...], parent: Object, key: str, place: str, items: Sequence[Mapping[str, Any]]
    ) -> None:
        if items:
            self._note_empty(parent, key, place)
            self.operations += append(path, parent.get(key), items)

    def _note_empty(self, parent: Object, key: str, place: str) -> None:
        if key in parent and not parent[key]:
            self._was[place] = parent[key]

    def prepend_containers(self, containers: Sequence[Mapping[str, Any]]) -> None:
        """Put our containers before all other init containers, which are then intercepted too."""
        self._note_empty(self._pod.spec, "initContainers", "initContainers")
        existing = self._pod.spec.get("initContainers")
        self.operations += prepend(("spec", "initContainers"), existing, containers)
        self._lists["init_containers"] = tuple(container["name"] for container in containers)

    def add_volumes(self, volumes: Sequence[Mapping[str, Any]]) -> None:
        """Add volumes by name, those that are missing."""
        self._lists["volumes"] = self._add_named("volumes", volumes)

    def add_pull_secrets(self, names: Sequence[str]) -> None:
        """Add Secrets to pull images with, those that are missing."""
        self._lists["pull_secrets"] = self._add_named("imagePullSecrets", [{"name": name} for name in names])

    def _add_named(self, key: str, items: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
        have = {item.get("name") for item in self._pod.list_of(key)}
        fresh = [item for item in items if item["name"] not in have]
        self._append(("spec", key), self._pod.spec, key, key, fresh)
        return tuple(item["name"] for item in fresh)

    def annotate_foreign(self, name: str, value: str) -> None:
        """Set an annotation that others read, unless the pod has it."""
        if name not in self._pod.annotations:
            self._annotations[name] = value

    def list_in_annotation(self, name: str, items: Sequence[str]) -> None:
        """Add items to an annotation that others read as a list with commas."""
        if name not in self._pod.annotations:
            self._annotations[name] = ",".join(items)
            return
        value = self._pod.annotations[name]
        have = {part.strip() for part in value.split(",")}
        if missing := [item for item in items if item not in have]:
            self._extended_annotations[name] = f"{',' if value else ''}{','.join(missing)}"

    def record(self) -> Record:
        """Tell what was done, in earlier passes too."""
        now = Record(
            mode=self._mode,
            version=self._version,
            **self._lists,
            annotations=tuple(self._annotations),
            extended_annotations=self._extended_annotations,
            containers=self.shares,
            was=self._was,
        )
        return self._before.with_more(now) if self._before else now

    def close(self, own: Mapping[str, str]) -> Record:
        """Write the annotations, `own` among them: the last step."""
        for holder, key in ((self._pod.body, "metadata"), (self._pod.metadata, "annotations")):
            self._note_empty(holder, key, key)
        record = self.record()
        wanted = {
            **self._annotations,
            **{name: f"{self._pod.annotations[name]}{text}" for name, text in self._extended_annotations.items()},
            **own,
            STATUS_ANNOTATION: record.spell(),
        }
        changed = {name: value for name, value in wanted.items() if self._pod.annotations.get(name) != value}
        self.operations += annotate(self._pod.body.get("metadata"), changed)
        return record
