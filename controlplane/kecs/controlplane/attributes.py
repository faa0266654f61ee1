"""Attributes that clients put on container instances. Pure."""

import re
from collections.abc import Mapping
from typing import Any, Final

from kecs.controlplane.arns import the_cluster
from kecs.controlplane.container_instances import attributes_of, the_instance
from kecs.controlplane.errors import ApiError, invalid
from kecs.controlplane.operation import Operation, Outcome, Request
from kecs.controlplane.pages import page
from kecs.controlplane.records import Attribute, Cluster, ContainerInstance
from kecs.controlplane.state import Changes, State

_TARGET: Final = "container-instance"
_NAME: Final = re.compile(r"[a-zA-Z0-9_./\\-]{1,128}")
_VALUE: Final = re.compile(r"(?! )[a-zA-Z0-9_.@:/\\ -]{0,128}(?<! )")
_MOST: Final = 10
"""Attributes of one resource that clients may put, and of one request."""


def _target(state: State, cluster: Cluster, given: Mapping[str, Any]) -> ContainerInstance:
    found = the_instance(state, cluster, given.get("targetId") or "")
    if found is None or found.status == "INACTIVE":
        raise ApiError(
            "TargetNotFoundException",
            "The specified target wasn't found. You can view your available container instances with "
            "ListContainerInstances. Amazon ECS container instances are cluster-specific and Region-specific.",
        )
    return found


def _judged(given: Mapping[str, Any]) -> Mapping[str, Any]:
    name, value = given["name"], given.get("value") or ""
    if not _NAME.fullmatch(name):
        raise invalid(f"Invalid attribute name: {name}")
    if not _VALUE.fullmatch(value):
        raise invalid(f"Invalid attribute value: {value}")
    return given


def _given(request: Request) -> list[Mapping[str, Any]]:
    given = [_judged(one) for one in request.params["attributes"]]
    if not given:
        raise invalid("Attributes cannot be empty.")
    if len(given) > _MOST:
        raise invalid(f"Attributes cannot have more than {_MOST} items.")
    return given


def _shown(target: str, name: str, value: str) -> dict[str, Any]:
    return {"name": name, "value": value or None, "targetType": _TARGET, "targetId": target}


def _put(request: Request, state: State) -> Outcome:
    cluster = the_cluster(state, request.scope, request.params.get("cluster"))
    made = {
        record.key: record
        for one in _given(request)
        for record in (
            Attribute(
                cluster_arn=cluster.arn,
                target=_target(state, cluster, one).arn,
                name=one["name"],
                value=one.get("value") or "",
            ),
        )
    }
    for target in {record.target for record in made.values()}:
        of_target = {found.key for found in state.find(Attribute, "target", target)}
        of_target |= {record.key for record in made.values() if record.target == target}
        if len(of_target) > _MOST:
            raise ApiError(
                "AttributeLimitExceededException",
                f"You can apply up to {_MOST} custom attributes for each resource.",
            )
    shown = [_shown(record.target, record.name, record.value) for record in made.values()]
    return Outcome(body={"attributes": shown}, changes=Changes(put=tuple(made.values())))


def _delete(request: Request, state: State) -> Outcome:
    cluster = the_cluster(state, request.scope, request.params.get("cluster"))
    gone: dict[str, Attribute] = {}
    for one in _given(request):
        target = _target(state, cluster, one)
        found = state.get(Attribute, f"{target.arn}/{one['name']}")
        if found is not None and one.get("value") in {None, "", found.value}:
            gone[found.key] = found
    shown = [_shown(record.target, record.name, record.value) for record in gone.values()]
    return Outcome(body={"attributes": shown}, changes=Changes(delete=tuple(gone.values())))


def _list(request: Request, state: State) -> Outcome:
    params = request.params
    cluster = the_cluster(state, request.scope, params.get("cluster"))
    name, value = params.get("attributeName"), params.get("attributeValue")
    if value and not name:
        raise invalid("An attribute value can be given only along with an attribute name.")
    found = [
        _shown(instance.arn, one["name"], one["value"] or "")
        for instance in state.instances_of_cluster(cluster.arn)
        if instance.status != "INACTIVE"
        for one in attributes_of(state, instance)
        if name in {None, "", one["name"]} and value in {None, "", one["value"]}
    ]
    shown = page(request, found, place=lambda one: (one["targetId"], one["name"]))
    return Outcome(body={"attributes": shown.items, "nextToken": shown.next_token})


OPERATIONS: Final[Mapping[str, Operation]] = {
    "PutAttributes": _put,
    "DeleteAttributes": _delete,
    "ListAttributes": _list,
}
