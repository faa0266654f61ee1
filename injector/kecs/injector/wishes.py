"""What a pod's author asks for by annotation besides the mode: each value checked, all problems at once. Pure."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from kecs.core.errors import ConfigError
from kecs.core.names import DEBUG_ANNOTATION, ENDPOINT_ANNOTATION, TASK_ANNOTATION
from kecs.injector.config import Endpoint, Injection, Resources
from kecs.injector.quantity import Quantity

OVERLAY_ANNOTATION: Final = "kecs.io/trust-overlay"
"""auto, off or paths separated by commas: which files of the image the bundle is mounted over."""

RESOURCE_ANNOTATIONS: Final[Mapping[str, tuple[str, str]]] = {
    f"kecs.io/{container}-{what}-{bound}": (container, f"{what}_{bound}")
    for container in ("init", "sidecar")
    for what in ("cpu", "memory")
    for bound in ("request", "limit")
}
"""kecs.io/sidecar-memory-limit and its seven siblings, to the container and the field that each sets."""

HINTS: Final = (ENDPOINT_ANNOTATION, DEBUG_ANNOTATION, OVERLAY_ANNOTATION, *RESOURCE_ANNOTATIONS)
"""Annotations that nobody writes on a pod that has nothing to do with AWS."""

AUTO_OVERLAYS: Final = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")
"""Debian, Ubuntu, Alpine and distroless; Fedora, RHEL and Amazon Linux, where it is a link to the real one."""


class Overlay(StrEnum):
    """The words of the overlay annotation."""

    AUTO = "auto"
    OFF = "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the annotations say, over what the operator's settings say."""

    endpoint: Endpoint | None
    """Set by the pod itself."""
    debug: bool
    overlays: tuple[str, ...]
    """Paths in the images that the trust files are mounted over."""
    init: Resources
    sidecar: Resources
    task: Mapping[str, Any]
    """What the metadata endpoint is to say of the ECS task that the pod is; empty where it is none."""


def read(annotations: Mapping[str, str], config: Injection) -> Wishes | tuple[str, ...]:
    """Read all annotations; return the sentences about those that can't be obeyed, if there are any."""
    problems: list[str] = []
    endpoint = _endpoint(annotations, problems)
    overlays = tuple(_overlays(annotations.get(OVERLAY_ANNOTATION, Overlay.OFF), problems))
    debug = annotations.get(DEBUG_ANNOTATION, "false")
    if debug not in {"true", "false"}:
        problems.append(f'{_path(DEBUG_ANNOTATION)} is "{debug}"; it may be true, false')
    task = _task(annotations, problems)
    init = _resources("init", config.init_resources, annotations, problems)
    sidecar = _resources("sidecar", config.sidecar_resources, annotations, problems)
    if problems:
        return tuple(" ".join(problem.split()) for problem in problems)
    return Wishes(endpoint=endpoint, debug=debug == "true", overlays=overlays, init=init, sidecar=sidecar, task=task)


def _path(annotation: str) -> str:
    return f"pod annotation {annotation}"


def _endpoint(annotations: Mapping[str, str], problems: list[str]) -> Endpoint | None:
    if (url := annotations.get(ENDPOINT_ANNOTATION)) is None:
        return None
    try:
        return Endpoint.parse(url, source=_path(ENDPOINT_ANNOTATION))
    except ConfigError as error:
        problems.append(f"{error.message}; {error.hint}")
        return None


def _task(annotations: Mapping[str, str], problems: list[str]) -> Mapping[str, Any]:
    try:
        found = json.loads(annotations.get(TASK_ANNOTATION, "{}"))
    except ValueError:
        found = None
    if not isinstance(found, dict):
        problems.append(f"{_path(TASK_ANNOTATION)} is no JSON object; the control plane writes it")
        return {}
    return found


def _overlays(text: str, problems: list[str]) -> Iterator[str]:
    if text == Overlay.AUTO:
        yield from AUTO_OVERLAYS
        return
    if text == Overlay.OFF:
        return
    for path in dict.fromkeys(part.strip() for part in text.split(",")):
        if not path.startswith("/") or path.endswith("/") or ":" in path or ".." in path.split("/"):
            problems.append(
                f'{_path(OVERLAY_ANNOTATION)} names "{path}"; it may be auto, off, or absolute paths of files, '
                "separated by commas"
            )
            return
        yield path


def _resources(container: str, resources: Resources, annotations: Mapping[str, str], problems: list[str]) -> Resources:
    changed: dict[str, Quantity] = {}
    for annotation, (whose, field) in RESOURCE_ANNOTATIONS.items():
        if whose == container and annotation in annotations:
            try:
                changed[field] = Quantity.parse(annotations[annotation])
            except ConfigError as error:
                problems.append(f"{_path(annotation)}: {error.message}; {error.hint}")
    try:
        return replace(resources, **_balanced(resources, changed))
    except ConfigError as error:
        problems.append(f"pod annotations kecs.io/{container}-*: {error.message}; {error.hint}")
        return resources


def _balanced(resources: Resources, changed: Mapping[str, Quantity]) -> Mapping[str, Quantity]:
    """Move what the annotations leave alone, where one bound alone is given and would pass the other."""
    moved = dict(changed)
    for what in ("cpu", "memory"):
        request, limit = f"{what}_request", f"{what}_limit"
        if request in changed and limit not in changed:
            moved[limit] = max(getattr(resources, limit), changed[request])
        elif limit in changed and request not in changed:
            moved[request] = min(getattr(resources, request), changed[limit])
    return moved
