"""The pods of a cluster that were told to trust roots of ours. Reading an annotation is pure; listing is an edge."""

from collections.abc import Mapping
from typing import Any, Final

from kecs.certs.kube import GoneError, Kube
from kecs.certs.outcome import Workload
from kecs.core.names import TRUST_ROOT_ANNOTATION

KIND: Final = "pod"
PODS: Final = "/api/v1/pods"
RUNNING: Final = "status.phase!=Succeeded,status.phase!=Failed"
"""What has ended asks for no certificate any more. A pod that is being deleted still does."""
_ATTEMPTS: Final = 5


def workload(pod: Mapping[str, Any]) -> Workload | None:
    """Read what a pod was told to trust; None for a pod that has nothing to do with us.

    An annotation that was edited into something else names no root: such a pod counts as trusting none.
    """
    metadata = pod["metadata"]
    said = (metadata.get("annotations") or {}).get(TRUST_ROOT_ANNOTATION)
    if said is None:
        return None
    trusted = tuple(one for part in str(said).split(",") if (one := part.strip().lower()))
    return Workload(name=f"{metadata.get('namespace', '')}/{metadata['name']}", kind=KIND, trusted=trusted)


def listed(kube: Kube) -> tuple[Workload, ...]:
    """List them, by name. A list that the API server forgets between two pages is begun again."""
    for _ in range(_ATTEMPTS - 1):
        try:
            return _listed(kube)
        except GoneError:
            continue
    return _listed(kube)


def _listed(kube: Kube) -> tuple[Workload, ...]:
    found = (workload(pod) for pod in kube.metadata(PODS, fieldSelector=RUNNING))
    return tuple(sorted((one for one in found if one is not None), key=lambda one: one.name))
