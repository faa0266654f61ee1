"""Task definitions: their registration, how they are found and listed, and their end. Pure."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Any, Final

from kecs.controlplane import definitions_checks, definitions_document, fields, tagging
from kecs.controlplane.arns import arn
from kecs.controlplane.errors import ApiError, invalid, refused
from kecs.controlplane.operation import Operation, Outcome, Request, changed
from kecs.controlplane.pages import page
from kecs.controlplane.records import Service, ServiceRevision, Task, TaskDefinition, TaskSet
from kecs.controlplane.records.definitions import DefinitionStatus, Family
from kecs.controlplane.records.services import ServiceStatus
from kecs.controlplane.records.tasks import TaskStatus
from kecs.controlplane.state import Changes, Scope, State

type Json = dict[str, Any]

KIND: Final = "task-definition"
_MOST_DELETED: Final = 10

_UNKNOWN: Final = "Unable to describe task definition."
_BEING_DELETED: Final = "The task definition could not be deregistered because it is in the process of being deleted."
_NO_IDENTIFIER: Final = (
    "The specified task definition identifier is invalid. Specify a valid name or ARN and try again."
)
_NOT_THERE: Final = (
    "The specified task definition does not exist. Specify a valid account, family, revision and try again."
)
_STILL_ACTIVE: Final = (
    "The specified task definition is still in ACTIVE status. Please deregister the target and try again."
)


class Use(StrEnum):
    """What a definition is looked up for: who may have an inactive one, and how others are refused."""

    DESCRIBE = "describe"
    RUN = "run"
    """RunTask and StartTask."""
    SERVICE = "service"
    """Services and task sets."""


_MISSING: Final = {
    Use.DESCRIBE: _UNKNOWN,
    Use.RUN: "TaskDefinition not found.",
    Use.SERVICE: "TaskDefinition not found.",
}
_INACTIVE: Final = {Use.RUN: "InvalidParameterException", Use.SERVICE: "ClientException"}


# Registered, described


def register(request: Request, state: State) -> Outcome:
    """RegisterTaskDefinition."""
    params = request.params
    if params.get("tags") == []:
        raise refused("Tags can not be empty.")
    tags = tagging.from_wire(params.get("tags"), refusal=refused)
    definitions_checks.check(params)
    family = _family(request.scope, state, params["family"])
    made = TaskDefinition(
        arn=f"{family.arn}:{family.last_revision + 1}",
        family=params["family"],
        revision=family.last_revision + 1,
        document=definitions_document.normalised(params),
        tags=tags,
        registered_at=request.now,
        registered_by=request.principal_arn,
    )
    counted = Family(arn=family.arn, last_revision=made.revision)
    return Outcome(
        body={"taskDefinition": describe(made), "tags": tagging.to_wire(tags) if tags else None},
        changes=changed(made, counted),
        warnings=fields.warnings(params),
    )


def _family(scope: Scope, state: State, name: str) -> Family:
    """Return how far a family is. Without a record of it, its revisions tell."""
    key = arn(scope, KIND, name)
    last = max((one.revision for one in state.revisions(scope, name)), default=0)
    kept = state.get(Family, key)
    return Family(arn=key, last_revision=max(last, kept.last_revision if kept else 0))


def describe_task_definition(request: Request, state: State) -> Outcome:
    """DescribeTaskDefinition."""
    found = find(state, request.scope, request.params["taskDefinition"], use=Use.DESCRIBE)
    wanted = "TAGS" in request.params.get("include", ())
    return Outcome(body={"taskDefinition": describe(found), "tags": tagging.to_wire(found.tags) if wanted else []})


def describe(definition: TaskDefinition) -> Json:
    """Return a definition as answers have it."""
    return {
        "taskDefinitionArn": definition.arn,
        "family": definition.family,
        "revision": definition.revision,
        "status": definition.status.value,
        **definition.document,
        "registeredAt": definition.registered_at,
        "registeredBy": definition.registered_by or None,
        "deregisteredAt": definition.deregistered_at,
        "deleteRequestedAt": definition.delete_requested_at,
    }


# Found


def find(state: State, scope: Scope, given: str, *, use: Use = Use.SERVICE) -> TaskDefinition:
    """Return what a family (its latest active revision), FAMILY:REVISION or an ARN means.

    Raise ApiError where there is none, and where an inactive one is to be run.
    """
    found = _look_up(state, scope, given)
    if found is None:
        raise refused(_MISSING[use])
    if use in _INACTIVE and found.status is not DefinitionStatus.ACTIVE:
        raise ApiError(_INACTIVE[use], "TaskDefinition is inactive")
    return found


def _look_up(state: State, scope: Scope, given: str) -> TaskDefinition | None:
    name = _local_name(scope, given)
    if name is None:
        return None
    family, colon, revision = name.partition(":")
    if not colon:
        active = (one for one in state.revisions(scope, family) if one.status is DefinitionStatus.ACTIVE)
        return max(active, key=lambda one: one.revision, default=None)
    number = _number(revision)
    if number is None:
        raise refused(f"Invalid revision number. Number: {revision}")
    return state.get(TaskDefinition, arn(scope, KIND, f"{family}:{number}"))


def _local_name(scope: Scope, given: str) -> str | None:
    """Return FAMILY or FAMILY:REVISION; None for an ARN of something else, or of someone else."""
    prefix = arn(scope, KIND, "")
    if not given.startswith("arn:"):
        return given
    return given.removeprefix(prefix) if given.startswith(prefix) else None


def _number(revision: str) -> int | None:
    return int(revision) if re.fullmatch(r"[0-9]{1,9}", revision) else None


# Listed


def list_task_definitions(request: Request, state: State) -> Outcome:
    """ListTaskDefinitions. `familyPrefix` is a family's whole name here, as AWS has it."""
    params, scope = request.params, request.scope
    family, status = params.get("familyPrefix"), params.get("status", "ACTIVE")
    found = state.revisions(scope, family) if family else state.definitions(scope)
    chosen = page(
        request,
        [one for one in found if one.status == status],
        place=lambda one: (one.family, one.revision),
        descending=params.get("sort") == "DESC",
    )
    return Outcome(
        body={"taskDefinitionArns": [one.arn for one in chosen.items], "nextToken": chosen.next_token},
    )


def list_families(request: Request, state: State) -> Outcome:
    """ListTaskDefinitionFamilies. A family is ACTIVE that has a revision that is."""
    params = request.params
    prefix, status = params.get("familyPrefix", ""), params.get("status", "ALL")
    active: dict[str, bool] = {}
    for one in state.definitions(request.scope):
        if one.family.startswith(prefix):
            active[one.family] = active.get(one.family, False) or one.status is DefinitionStatus.ACTIVE
    wanted = {"ALL": (True, False), "ACTIVE": (True,), "INACTIVE": (False,)}[status]
    chosen = page(request, [name for name, is_active in active.items() if is_active in wanted], place=str)
    return Outcome(body={"families": chosen.items, "nextToken": chosen.next_token})


# Ended


def deregister(request: Request, state: State) -> Outcome:
    """DeregisterTaskDefinition. An inactive one stays what it is."""
    given = request.params["taskDefinition"]
    if ":" not in given.rpartition("/")[2]:
        raise refused("Revision is missing.")
    found = _look_up(state, request.scope, given)
    if found is None:
        raise refused("Unable to deregister task definition.")
    if found.status is DefinitionStatus.DELETE_IN_PROGRESS:
        raise refused(_BEING_DELETED)
    if found.status is not DefinitionStatus.ACTIVE:
        return Outcome(body={"taskDefinition": describe(found)})
    ended = replace(found, status=DefinitionStatus.INACTIVE, deregistered_at=request.now)
    return Outcome(body={"taskDefinition": describe(ended)}, changes=changed(ended))


def delete(request: Request, state: State) -> Outcome:
    """DeleteTaskDefinitions. What is asked for twice is told once, and what is on its way stays so."""
    given = list(dict.fromkeys(request.params["taskDefinitions"]))
    if not given:
        raise invalid("size of TaskDefinition references list must be greater than 0")
    if len(given) > _MOST_DELETED:
        raise invalid(f"Size of TaskDefinition references list cannot exceed {_MOST_DELETED}")
    deleted: list[TaskDefinition] = []
    failures: list[Json] = []
    for name in given:
        found = _deletable(state, request.scope, name)
        if isinstance(found, str):
            failures.append({"arn": name, "reason": found})
        elif found.status is DefinitionStatus.DELETE_IN_PROGRESS:
            deleted.append(found)
        else:
            deleted.append(replace(found, status=DefinitionStatus.DELETE_IN_PROGRESS, delete_requested_at=request.now))
    return Outcome(
        body={"taskDefinitions": [describe(one) for one in deleted], "failures": failures},
        changes=changed(*deleted),
    )


def _deletable(state: State, scope: Scope, given: str) -> TaskDefinition | str:
    """Return what is to be deleted, or why that can't be."""
    name = _local_name(scope, given)
    family, _, revision = (name or "").partition(":")
    number = _number(revision)
    if name is None or number is None:
        return _NO_IDENTIFIER
    found = state.get(TaskDefinition, arn(scope, KIND, f"{family}:{number}"))
    if found is None:
        return _NOT_THERE
    return _STILL_ACTIVE if found.status is DefinitionStatus.ACTIVE else found


def unused(state: State) -> Changes:
    """Return the end of the definitions that are to be deleted and that no task, service or task set uses any more.

    To be asked for now and then: AWS looks periodically too. What the family has counted stays.
    """
    waiting = state.find(TaskDefinition, "stage", DefinitionStatus.DELETE_IN_PROGRESS)
    used = set(_used(state)) if waiting else set()
    return Changes(
        delete=tuple(
            one
            for one in waiting
            if one.arn not in used
            and all(task.last_status is TaskStatus.STOPPED for task in state.find(Task, "definition", one.arn))
        )
    )


def _used(state: State) -> Iterator[str]:
    for service in state.every(Service):
        if service.status is not ServiceStatus.INACTIVE:
            yield service.definition_arn
            yield from (one.definition_arn for one in service.deployments)
            if (revision := state.get(ServiceRevision, service.completed_revision_arn)) is not None:
                # What a deployment that fails is rolled back to.
                yield str(revision.document.get("taskDefinition"))
    for task_set in state.every(TaskSet):
        yield task_set.definition_arn


OPERATIONS: Final[Mapping[str, Operation]] = {
    "DeleteTaskDefinitions": delete,
    "DeregisterTaskDefinition": deregister,
    "DescribeTaskDefinition": describe_task_definition,
    "ListTaskDefinitionFamilies": list_families,
    "ListTaskDefinitions": list_task_definitions,
    "RegisterTaskDefinition": register,
}
