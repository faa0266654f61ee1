"""What a pod says about its containers in an annotation, for who reads the pod later. Pure."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from kecs.controlplane.kubernetes.logs import Destination, destination
from kecs.controlplane.kubernetes.names import CONTAINERS_ANNOTATION, container_name

type Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """One container."""

    name: str
    """As the task definition has it."""
    pod_name: str
    """As the pod has it."""
    depends_on: tuple[tuple[str, str], ...] = ()
    """Containers and the conditions that they must have met first."""
    start_period_s: int = 0
    """For which failing health checks are not counted."""
    log: Destination | None = None
    """Where its lines go; None: they stay with the pod."""

    @classmethod
    def of(cls, container: Json, task_arn: str) -> "Content":
        """Read what matters later from a container definition."""
        return cls(
            name=container["name"],
            pod_name=container_name(container["name"]),
            depends_on=tuple((one["containerName"], one["condition"]) for one in container.get("dependsOn") or ()),
            start_period_s=int((container.get("healthCheck") or {}).get("startPeriod") or 0),
            log=destination(container, task_arn),
        )


def write(containers: Iterable[Json], task_arn: str) -> str:
    """Return the annotation's value."""
    return json.dumps([asdict(Content.of(one, task_arn)) for one in containers], separators=(",", ":"))


def read(pod: Mapping[str, Any]) -> tuple[Content, ...]:
    """Return what a pod's annotation says; nothing where it is missing or not ours."""
    annotations = pod.get("metadata", {}).get("annotations") or {}
    try:
        return tuple(_content(one) for one in json.loads(annotations.get(CONTAINERS_ANNOTATION, "[]")))
    except (ValueError, TypeError, KeyError):
        return ()


def _content(said: Json) -> Content:
    log = Destination(**said["log"]) if said.get("log") else None
    waits = tuple((name, condition) for name, condition in said["depends_on"])
    return Content(**{**said, "depends_on": waits, "log": log})
