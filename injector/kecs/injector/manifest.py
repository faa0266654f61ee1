"""Where the pods are in what people write: Deployments, Jobs, lists of them and their like. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from kecs.injector.mode import Marks
from kecs.injector.outcome import Operation
from kecs.injector.patch import pointer
from kecs.injector.pod import Object

_PREFIX: Final = "kecs.io/"
_TEMPLATE: Final = ("spec", "template")
TEMPLATES: Final[Mapping[str, tuple[str, ...]]] = {
    "Pod": (),
    "Deployment": _TEMPLATE,
    "ReplicaSet": _TEMPLATE,
    "ReplicationController": _TEMPLATE,
    "DaemonSet": _TEMPLATE,
    "StatefulSet": _TEMPLATE,
    "Job": _TEMPLATE,
    "CronJob": ("spec", "jobTemplate", *_TEMPLATE),
    "PodTemplate": ("template",),
}
"""Kinds to where their pod's metadata and spec are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One object that makes pods."""

    kind: str
    name: str
    namespace: str
    """Empty where the manifest names none."""
    path: tuple[str | int, ...]
    """Where its pod is in the document."""
    pod: Object
    misplaced: tuple[str, ...] = ()
    """Our annotations and labels on what makes the pods, where they mean nothing."""

    def place(self, operations: tuple[Operation, ...]) -> list[Operation]:
        """Move the steps of a pod's patch to where the pod is in the document."""
        prefix = pointer(*self.path)
        return [{**operation, "path": f"{prefix}{operation['path']}"} for operation in operations]


def workloads(document: Any) -> Iterator[Workload]:
    """Find everything in a document that makes pods; lists may hold lists."""
    yield from _find(document, (), "")


def _find(value: Any, path: tuple[str | int, ...], implied: str) -> Iterator[Workload]:
    if not isinstance(value, Mapping):
        return
    kind = value.get("kind") or implied
    if not isinstance(kind, str):
        return
    if kind.endswith("List") and isinstance(value.get("items"), list):
        for index, item in enumerate(value["items"]):
            yield from _find(item, (*path, "items", index), kind.removesuffix("List"))
    elif kind in TEMPLATES:
        metadata = value.get("metadata")
        metadata = metadata if isinstance(metadata, Mapping) else {}
        yield Workload(
            kind=kind,
            name=_text(metadata.get("name")) or _text(metadata.get("generateName")),
            namespace=_text(metadata.get("namespace")),
            path=(*path, *TEMPLATES[kind]),
            pod=_pod(value, TEMPLATES[kind]),
            misplaced=tuple(_ours(metadata)) if TEMPLATES[kind] else (),
        )


def _ours(metadata: Object) -> Iterator[str]:
    for what, key in (("annotation", "annotations"), ("label", "labels")):
        yield from (f"{what} {name}" for name in _texts(metadata.get(key)) if name.startswith(_PREFIX))


def _pod(value: Any, path: tuple[str, ...]) -> Object:
    """Return what stands there: an empty object where the way breaks off, which is refused with a sentence."""
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def marks(document: Any, kind: str) -> Iterator[tuple[str, str, Marks]]:
    """Find objects of a kind: their namespace, name, labels and annotations, as far as they are texts."""
    if not isinstance(document, Mapping):
        return
    if document.get("kind") == kind and isinstance(metadata := document.get("metadata"), Mapping):
        yield (
            _text(metadata.get("namespace")),
            _text(metadata.get("name")),
            Marks(labels=_texts(metadata.get("labels")), annotations=_texts(metadata.get("annotations"))),
        )
    elif isinstance(items := document.get("items"), list):
        for item in items:
            yield from marks(item, kind)


def _texts(value: Any) -> Mapping[str, str]:
    pairs = value.items() if isinstance(value, Mapping) else ()
    return {key: one for key, one in pairs if isinstance(key, str) and isinstance(one, str)}
