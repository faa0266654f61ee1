"""A pod as the injector reads it: its fields checked, then seen through one view. Pure; never changes the pod.

Absent, null and empty mean the same to Kubernetes; what has another type is named with its path, before anything is
decided on it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple

from kecs.core.names import INIT_CONTAINER, SIDECAR_CONTAINER
from kecs.injector.mode import Marks

type Object = Mapping[str, Any]

CONTAINER_LISTS: Final = ("initContainers", "containers")
"""The lists whose containers are made ready; ephemeral ones come later, one by one."""


MESHES: Final[Mapping[str, str]] = {
    "istio-init": "Istio",
    "istio-validation": "Istio",
    "istio-proxy": "Istio",
    "linkerd-init": "Linkerd",
    "linkerd-proxy": "Linkerd",
    "kuma-init": "Kuma",
    "kuma-sidecar": "Kuma",
    "consul-connect-inject-init": "Consul",
    "consul-dataplane": "Consul",
}
"""Containers of meshes, which redirect outbound traffic too. They call no AWS, and have a trust of their own."""


class _Strings(NamedTuple):
    """A map from text to text."""


class _Named(NamedTuple):
    """A list of objects that have a name."""

    shape: Mapping[str, Any]


_IDS: Final = {"runAsUser": int, "runAsGroup": int}
_ENV: Final = _Named({"value": str, "valueFrom": {}})
_CONTAINER: Final = {
    "image": str,
    "command": [str],
    "args": [str],
    "env": _ENV,
    "envFrom": [{"prefix": str}],
    "volumeMounts": _Named({"mountPath": str}),
    "securityContext": _IDS,
    "resources": {"requests": {}, "limits": {}},
}
_METADATA: Final = {"annotations": _Strings(), "labels": _Strings()}
_SPEC: Final = {
    "initContainers": _Named(_CONTAINER),
    "containers": _Named(_CONTAINER),
    "ephemeralContainers": _Named(_CONTAINER),
    "volumes": _Named({}),
    "imagePullSecrets": [{"name": str}],
    "securityContext": _IDS,
    "hostNetwork": bool,
    "os": {"name": str},
    "nodeSelector": _Strings(),
    "resources": {"requests": {}, "limits": {}},
}
_WORDS: Final[Mapping[type, str]] = {str: "a text", bool: "true or false", int: "a whole number"}


def metadata_problems(pod: Object) -> tuple[str, ...]:
    """Name what is wrong with the metadata, each with its path, its value and what is allowed."""
    return tuple(_problems(pod.get("metadata"), _METADATA, "metadata"))


def spec_problems(pod: Object) -> tuple[str, ...]:
    """Name what is wrong with the parts of the spec that are read."""
    spec = pod.get("spec")
    if not isinstance(spec, Mapping):
        return (f"spec is {_shown(spec)}; it must be an object",)
    return (*_problems(spec, _SPEC, "spec"), *_missing(spec), *_doubles(spec))


def _missing(spec: Object) -> Iterator[str]:
    if spec.get("containers") in (None, []):
        yield "spec.containers is empty; a pod has one container at least"


def _doubles(spec: Object) -> Iterator[str]:
    seen: dict[str, str] = {}
    for where in CONTAINER_LISTS:
        for index, container in enumerate(_objects(spec.get(where))):
            name, path = container.get("name"), f"spec.{where}[{index}].name"
            if isinstance(name, str) and seen.setdefault(name, path) != path:
                yield f'{path} is "{name}", like {seen[name]}; names of containers must differ'


def _objects(value: Any) -> Iterator[Object]:
    return (one for one in value if isinstance(one, Mapping)) if isinstance(value, list) else iter(())


def _problems(value: Any, shape: Any, path: str) -> Iterator[str]:
    """Compare a value with its shape; null is as good as absent."""
    if value is None or type(value) is shape:
        return
    match shape:
        case type():  # by identity: a bool is an int
            yield f"{path} is {_shown(value)}; it must be {_WORDS[shape]}"
        case dict():
            yield from _object_problems(value, shape, path)
        case _Named(shape=inner):
            yield from _list_problems(value, {**inner, "name": str}, path, named=True)
        case list():
            yield from _list_problems(value, shape[0], path, named=False)
        case _:
            yield from _string_problems(value, path)


def _object_problems(value: Any, shape: Mapping[str, Any], path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{path} is {_shown(value)}; it must be an object"
        return
    for key, inner in shape.items():
        one = value.get(key)
        # a pod of a megabyte has ten thousand texts, nearly all of them sound
        if one is not None and type(one) is not inner:
            yield from _problems(one, inner, f"{path}.{key}")


def _string_problems(value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, Mapping):
        yield f"{path} is {_shown(value)}; it must be an object of texts"
        return
    for key, one in value.items():
        if not isinstance(key, str) or not isinstance(one, str):
            yield f'{path}["{key}"] is {_shown(one)}; it must be a text: put it in quotes'


def _list_problems(value: Any, inner: Any, path: str, *, named: bool) -> Iterator[str]:
    if not isinstance(value, list):
        yield f"{path} is {_shown(value)}; it must be a list"
        return
    for index, one in enumerate(value):
        if one is None:
            yield f"{path}[{index}] is null; it must not be"
        elif type(one) is not inner:
            yield from _problems(one, inner, f"{path}[{index}]")
            if named and isinstance(one, dict) and not one.get("name"):
                yield f"{path}[{index}] has no name"


def _shown(value: Any) -> str:
    """Show a value in one short line, as JSON would have it."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case Mapping():
            return "an object"
        case list():
            return "a list"
        case str():
            text = value if len(value) <= _SHOWN else f"{value[:_SHOWN]}…"
            return f'"{" ".join(text.split())}"'
        case _:
            return str(value)


_SHOWN: Final = 60


@dataclass(frozen=True)
class Pod:
    """One pod, checked. `path` names where a container stands."""

    body: Object

    @cached_property
    def metadata(self) -> Object:
        """Its metadata, possibly empty."""
        return self.body.get("metadata") or {}

    @cached_property
    def annotations(self) -> Mapping[str, str]:
        """Its annotations."""
        return self.metadata.get("annotations") or {}

    @property
    def marks(self) -> Marks:
        """What decides about the mode."""
        return Marks(labels=self.metadata.get("labels") or {}, annotations=self.annotations)

    @cached_property
    def spec(self) -> Object:
        """Its spec."""
        return self.body.get("spec") or {}

    def list_of(self, name: str) -> Sequence[Object]:
        """Return a list of the spec, possibly empty."""
        return self.spec.get(name) or []

    @cached_property
    def meshes(self) -> tuple[str, ...]:
        """Names of the containers of meshes."""
        names = (container["name"] for where in CONTAINER_LISTS for container in self.list_of(where))
        return tuple(name for name in names if name in MESHES)

    @cached_property
    def users(self) -> tuple[tuple[str, int, Object], ...]:
        """The containers of the user, not ours and not a mesh's: which list, at which index, what."""
        return tuple(
            (where, index, container)
            for where in CONTAINER_LISTS
            for index, container in enumerate(self.list_of(where))
            if container["name"] not in OURS and container["name"] not in MESHES
        )

    @cached_property
    def ours(self) -> Mapping[str, tuple[int, Object]]:
        """Our containers by name: where they stand among the init containers, and what they are."""
        return {
            container["name"]: (index, container)
            for index, container in enumerate(self.list_of("initContainers"))
            if container["name"] in OURS
        }

    @property
    def is_injected(self) -> bool:
        """Tell by its containers whether it has the sidecar: annotations are copied too easily."""
        return len(self.ours) == len(OURS)

    @property
    def has_own_resources(self) -> bool:
        """Tell whether the pod as a whole has requests or limits, which those of containers must fit."""
        resources = self.spec.get("resources") or {}
        return bool(resources.get("requests") or resources.get("limits"))


OURS: Final = (INIT_CONTAINER, SIDECAR_CONTAINER)


def effective(env: Any) -> Mapping[str, Object]:
    """Return a container's variables by name; of a name that is given twice the last one holds."""
    return {entry["name"]: entry for entry in env or ()}
