"""Overrides of a task: what may be said of a definition for one task alone, and the definition with it. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from kecs.controlplane.definitions_units import units
from kecs.controlplane.errors import invalid
from kecs.controlplane.records import TaskDefinition

type Json = dict[str, Any]

_OF_TASK: Final = ("cpu", "memory", "taskRoleArn", "executionRoleArn", "ephemeralStorage")
_SIZES: Final = ("cpu", "memory")
_OF_CONTAINER: Final = ("command", "cpu", "memory", "memoryReservation")
"""Members that take the place of the definition's."""


def check(definition: TaskDefinition, overrides: Mapping[str, Any] | None) -> None:
    """Refuse overrides of containers that there are not, and sizes and variables that are none."""
    for member in _SIZES:
        given = (overrides or {}).get(member)
        if given and int(size if (size := units(member, given)).isdecimal() else 0) < 1:
            raise invalid(f"Invalid '{member}' setting for task.")
    names = {one["name"] for one in definition.containers}
    for one in (overrides or {}).get("containerOverrides") or ():
        if "name" not in one:
            raise invalid("Container name cannot be empty in container override.")
        if one["name"] not in names:
            raise invalid(f"Override for container named {one['name']} is not a container in the TaskDefinition.")
        if not all(variable.get("name") for variable in one.get("environment") or ()):
            raise invalid(f"Override for container named {one['name']} has an environment variable without a name.")


def applied(definition: TaskDefinition, overrides: Mapping[str, Any] | None) -> TaskDefinition:
    """Return a copy of a definition with overrides merged in; the definition itself where there are none."""
    if not overrides:
        return definition
    of = {one["name"]: one for one in overrides.get("containerOverrides") or () if "name" in one}
    containers = [_container(one, of.get(one["name"], {})) for one in definition.containers]
    changed = {name: overrides[name] for name in _OF_TASK if overrides.get(name)}
    changed |= {name: units(name, changed[name]) for name in _SIZES if name in changed}
    return replace(definition, document={**definition.document, **changed, "containerDefinitions": containers})


def _container(container: Json, said: Mapping[str, Any]) -> Json:
    changed: Json = {name: said[name] for name in _OF_CONTAINER if said.get(name) is not None}
    if said.get("environment"):
        changed["environment"] = _merged(container.get("environment") or (), said["environment"], by="name")
    if said.get("resourceRequirements"):
        given = said["resourceRequirements"]
        changed["resourceRequirements"] = _merged(container.get("resourceRequirements") or (), given, by="type")
    if said.get("environmentFiles"):
        changed["environmentFiles"] = [*said["environmentFiles"], *(container.get("environmentFiles") or ())]
    return {**container, **changed}


def _merged(base: Iterable[Json], given: Iterable[Json], *, by: str) -> list[Json]:
    """Return a list in which what is given takes the place of what has the same name, and what is new follows."""
    merged = {one[by]: one for one in base}
    merged.update({one[by]: one for one in given})
    return list(merged.values())
