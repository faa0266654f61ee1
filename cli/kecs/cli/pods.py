"""What a pod says of its own injection: which container is the sidecar, how it stands, what it trusts. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

from kecs.core.names import INIT_CONTAINER, SIDECAR_CONTAINER, TRUST_ROOT_ANNOTATION
from kecs.core.settings import ProxyMode
from kecs.injector.record import Record

type Pod = Mapping[str, Any]

ENDED: Final = frozenset({"Succeeded", "Failed"})


class Trusting(StrEnum):
    """What a pod's roots are to the authority now."""

    ACTIVE = "active"
    """It trusts the root that signs."""
    OLD = "old"
    """It trusts only a root that is on its way out, or not yet in use."""
    LOST = "lost"
    """It trusts no root of this authority: no certificate can be made for it."""
    UNKNOWN = "?"
    """The authority's roots could not be read."""


def key(pod: Pod) -> tuple[str, str]:
    """Return a pod's namespace and name."""
    return str(pod["metadata"].get("namespace", "")), str(pod["metadata"]["name"])


def title(pod: Pod) -> str:
    """Name a pod in a sentence."""
    return "/".join(key(pod))


def containers(pod: Pod) -> Iterator[Mapping[str, Any]]:
    """Return all containers of a pod's spec."""
    spec = pod.get("spec") or {}
    for place in ("initContainers", "containers"):
        yield from spec.get(place) or ()


def has_container(pod: Pod, name: str) -> bool:
    """Say whether a pod has a container; what its annotations claim does not count."""
    return any(one.get("name") == name for one in containers(pod))


def has_sidecar(pod: Pod) -> bool:
    """Say whether a pod is injected with the sidecar."""
    return has_container(pod, SIDECAR_CONTAINER)


def has_init(pod: Pod) -> bool:
    """Say whether a pod has our init container."""
    return has_container(pod, INIT_CONTAINER)


def status_of(pod: Pod, container: str) -> Mapping[str, Any]:
    """Return what kubelet says of a container; empty before it has said anything."""
    status = pod.get("status") or {}
    for place in ("initContainerStatuses", "containerStatuses"):
        for one in status.get(place) or ():
            if one.get("name") == container:
                found: Mapping[str, Any] = one
                return found
    return {}


def is_running(pod: Pod) -> bool:
    """Say whether a pod has not ended yet."""
    return (pod.get("status") or {}).get("phase") not in ENDED


def mode(pod: Pod) -> ProxyMode | None:
    """Say how a pod is injected: by its containers and their variables, not by what an annotation alone claims."""
    if has_sidecar(pod):
        return ProxyMode.SIDECAR
    record = recorded(pod)
    if record is None or record.mode is not ProxyMode.ENVIRONMENT:
        return None
    added = {(name, variable) for name, share in record.containers.items() for variable in share.env}
    found = {(one.get("name"), each.get("name")) for one in containers(pod) for each in one.get("env") or ()}
    return ProxyMode.ENVIRONMENT if added & found else None


def recorded(pod: Pod) -> Record | None:
    """Read what the injector wrote down."""
    return Record.of(pod["metadata"].get("annotations") or {})


def trusting(pod: Pod, roots: Sequence[str]) -> Trusting:
    """Compare what a pod trusts with the authority's roots, active one first; none where they are not known."""
    if not roots:
        return Trusting.UNKNOWN
    said = str((pod["metadata"].get("annotations") or {}).get(TRUST_ROOT_ANNOTATION, ""))
    trusted = {part.strip().lower() for part in said.split(",")}
    if roots[0] in trusted:
        return Trusting.ACTIVE
    return Trusting.OLD if trusted & set(roots) else Trusting.LOST
