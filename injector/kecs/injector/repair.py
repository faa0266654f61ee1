"""What is missing in our containers when a pod comes a second time. Pure.

Only what we wrote is compared: the API server fills in defaults, its LimitRanger resources, AlwaysPullImages the pull
policy, and other webhooks may send images to a mirror, change probes or resources. None of that is undone.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from kecs.injector.outcome import Operation
from kecs.injector.patch import append, put
from kecs.injector.pod import Object, Pod

_KEYS: Final = ("command", "restartPolicy", "securityContext")
"""Without these as we wrote them, the containers don't do their work."""
_LISTS: Final = {"env": "name", "volumeMounts": "mountPath"}
"""Lists of ours that others may add to, and what tells their elements apart."""


def repairs(pod: Pod, wanted: Sequence[Mapping[str, Any]]) -> tuple[Operation, ...]:
    """Return the steps that make our containers do their work again; none where they do."""
    return tuple(step for one in wanted for step in _container(*pod.ours[one["name"]], one))


def _container(index: int, found: Object, wanted: Mapping[str, Any]) -> Iterator[Operation]:
    path = ("spec", "initContainers", index)
    for key in _KEYS:
        if key in wanted and not covers(found.get(key), wanted[key]):
            yield put((*path, key), wanted[key])
    for key, identity in _LISTS.items():
        there = found.get(key) or []
        positions = {element.get(identity): position for position, element in enumerate(there)}
        missing = [element for element in wanted[key] if element[identity] not in positions]
        for element in wanted[key]:
            position = positions.get(element[identity])
            if position is not None and not covers(there[position], element):
                yield put((*path, key, position), element) | {"op": "replace"}
        yield from append((*path, key), there, missing)


def covers(found: Any, wanted: Any) -> bool:
    """Tell whether everything that we wrote is there; what others have added does not matter."""
    if isinstance(wanted, Mapping):
        return isinstance(found, Mapping) and all(covers(found.get(key), value) for key, value in wanted.items())
    if isinstance(wanted, list):
        return (
            isinstance(found, list)
            and len(found) == len(wanted)
            and all(covers(one, other) for one, other in zip(found, wanted, strict=True))
        )
    return bool(found == wanted) or (wanted == "" and found is None)  # the API server leaves empty texts out
