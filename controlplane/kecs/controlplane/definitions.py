"""Task definitions: their registration, how they are found and listed, and their end. Pure."""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from kecs.controlplane import definitions_document, tagging
from kecs.controlplane.arns import arn
from kecs.controlplane.errors import ApiError, refused
from kecs.controlplane.operation import Operation, Outcome, Request
from kecs.controlplane.records import TaskDefinition
from kecs.controlplane.records.definitions import DefinitionStatus, Family
from kecs.controlplane.state import Changes, Scope, State

type Json = dict[str, Any]

KIND = "task-definition"


class Use(StrEnum):
    """What a definition is looked up for: who may have an inactive one, and how others are refused."""

    DESCRIBE = "describe"
    RUN = "run"
    """RunTask and StartTask."""
    SERVICE = "service"
    """Services and task sets."""


_MISSING = {
    Use.DESCRIBE: "Unable to describe task definition.",
    Use.RUN: "TaskDefinition not found.",
    Use.SERVICE: "TaskDefinition not found.",
}
_INACTIVE = {Use.RUN: "InvalidParameterException", Use.SERVICE: "ClientException"}


def register(request: Request, state: State) -> Outcome:
    """RegisterTaskDefinition."""
    params = request.params
    tags = tagging.from_wire(params.get("tags"))
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
    body = {"taskDefinition": describe(made)} | ({"tags": tagging.to_wire(tags)} if tags else {})
    return Outcome(body=body, changes=Changes(put=(made, counted)))


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
    name = given
    if given.startswith("arn:"):
        prefix = arn(scope, KIND, "")
        if not given.startswith(prefix):
            return None
        name = given.removeprefix(prefix)
    family, colon, revision = name.partition(":")
    if colon:
        if not re.fullmatch(r"[0-9]+", revision):
            raise refused(f"Invalid revision number. Number: {revision}")
        return state.get(TaskDefinition, arn(scope, KIND, f"{family}:{int(revision)}"))
    return max(
        (one for one in state.revisions(scope, family) if one.status is DefinitionStatus.ACTIVE),
        key=lambda one: one.revision,
        default=None,
    )


OPERATIONS: Mapping[str, Operation] = {
    "DescribeTaskDefinition": describe_task_definition,
    "RegisterTaskDefinition": register,
}
