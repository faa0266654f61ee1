"""Which containers may begin. Pure.

A container that depends on others takes its environment from a ConfigMap of its own, too, which is empty and is not
there yet: kubelet has everything ready, image included, and then waits for it. When the conditions are met the
ConfigMap is made; the pod's annotation changes as well, so that kubelet looks at once and not in ten seconds. Nothing
has to be in the image for that, and every container stays an ordinary one, with its own exit code.
"""

import json
from collections.abc import Mapping
from typing import Any

from kecs.controlplane.dependencies import may_start
from kecs.controlplane.kubernetes import contents
from kecs.controlplane.kubernetes.names import MANAGED_LABEL, MANAGED_VALUE, OPENED_ANNOTATION, TASK_LABEL, gate_name
from kecs.controlplane.runtime import Sighting

type Json = dict[str, Any]


def opened(pod: Mapping[str, Any]) -> frozenset[str]:
    """Return the containers whose gates are open."""
    try:
        return frozenset(json.loads((pod["metadata"].get("annotations") or {}).get(OPENED_ANNOTATION, "[]")))
    except (ValueError, TypeError):
        return frozenset()


def due(pod: Mapping[str, Any], sighting: Sighting) -> tuple[str, ...]:
    """Return the containers that may begin now and could not before."""
    seen = {one.name: one for one in sighting.containers}
    done = opened(pod)
    return tuple(
        content.name
        for content in contents.read(pod)
        if content.depends_on and content.name not in done and may_start(_depending(content.depends_on), seen)
    )


def _depending(conditions: tuple[tuple[str, str], ...]) -> Json:
    return {"dependsOn": [{"containerName": name, "condition": condition} for name, condition in conditions]}


def gate(pod: Mapping[str, Any], container: str) -> Json:
    """Return the ConfigMap that opens a container's gate. It goes with the pod."""
    metadata = pod["metadata"]
    task_id = metadata["labels"][TASK_LABEL]
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": gate_name(task_id, container),
            "namespace": metadata["namespace"],
            "labels": {MANAGED_LABEL: MANAGED_VALUE, TASK_LABEL: task_id},
            "ownerReferences": [owner(pod)],
        },
    }


def owner(pod: Mapping[str, Any]) -> Json:
    """Return the reference by which something is deleted when the pod is."""
    return {"apiVersion": "v1", "kind": "Pod", "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}


def opening(pod: Mapping[str, Any], containers: tuple[str, ...]) -> Json:
    """Return the patch of the pod that says so."""
    names = json.dumps(sorted(opened(pod) | set(containers)), separators=(",", ":"))
    return {"metadata": {"annotations": {OPENED_ANNOTATION: names}}}
