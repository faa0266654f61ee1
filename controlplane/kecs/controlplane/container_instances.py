"""Container instances: the machines of a runtime as each cluster has them, and those that clients register. Pure.

A client's own instance is a record like another, but no agent of it is ever connected: tasks run on the runtime's
machines.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from kecs.controlplane.arns import arn, the_cluster
from kecs.controlplane.cluster_query import Facts, query
from kecs.controlplane.errors import ApiError, invalid
from kecs.controlplane.operation import Ids, Operation, Outcome, Request, changed
from kecs.controlplane.pages import page
from kecs.controlplane.records import Attribute, Cluster, ContainerInstance
from kecs.controlplane.records.clusters import ClusterStatus
from kecs.controlplane.records.tasks import TaskStatus
from kecs.controlplane.runtime import Node
from kecs.controlplane.state import Changes, Scope, State
from kecs.controlplane.tagging import from_wire, to_wire

type Json = dict[str, Any]

_MOST: Final = 100
_MOST_UPDATED: Final = 10
_GONE: Final = "The machine is gone."
_ZONE: Final = "ecs.availability-zone"
_RESERVED_PORTS: Final = ("22", "2375", "2376", "51678", "51679")
"""What ECS keeps from tasks on its instances: ssh, Docker, the agent."""


def kept_instances(state: State, nodes: Mapping[str, Node], *, synced: bool, now: datetime, ids: Ids) -> Changes:
    """Return what makes the container instances of all active clusters those of a runtime's machines.

    Machines that are not among `nodes` are gone only when the runtime has told all there are.
    """
    changes: list[ContainerInstance] = []
    for cluster in state.every(Cluster):
        if cluster.status is not ClusterStatus.ACTIVE:
            continue
        known = {found.node: found for found in state.instances_of_cluster(cluster.arn) if found.node}
        for name, node in nodes.items():
            before = known.get(name)
            after = _new(cluster, node, now, ids) if before is None else _seen(before, node)
            if after != before:
                changes.append(after)
        if synced:
            changes += (_lost(found, now) for name, found in known.items() if name not in nodes and not _is_gone(found))
    return Changes(put=tuple(changes))


def _is_gone(instance: ContainerInstance) -> bool:
    return instance.status == "INACTIVE"


def _new(cluster: Cluster, node: Node, now: datetime, ids: Ids) -> ContainerInstance:
    made = ContainerInstance(
        arn=arn(Scope.of(cluster.arn), "container-instance", cluster.name, ids.hex32()),
        cluster_arn=cluster.arn,
        node=node.name,
        ec2_instance_id=node.name,
        registered_at=now,
        version=0,
    )
    return _seen(made, node)


def _seen(before: ContainerInstance, node: Node) -> ContainerInstance:
    """Return an instance as its machine is. One that a client deregistered stays so while the machine is there."""
    if _is_gone(before) and before.status_reason != _GONE:
        return before
    after = replace(
        before,
        agent_connected=node.ready,
        registered_resources=_resources(node.cpu, node.memory),
        attributes=tuple(_attributes(node, Scope.of(before.cluster_arn).region)),
        cordoned=node.unschedulable,
    )
    if _is_gone(before):
        after = replace(after, status="ACTIVE", status_reason="", deleted_at=None)
    if node.unschedulable != before.cordoned:
        after = replace(after, status="DRAINING" if node.unschedulable else "ACTIVE")
    return after if after == before else replace(after, version=before.version + 1)


def _attributes(node: Node, region: str) -> Iterator[Json]:
    """Yield what a machine says of itself; of a zone that is no more than a letter, the one of the cluster's region."""
    for name, value in sorted(node.attributes.items()):
        is_letter = name == _ZONE and len(value) == 1
        yield {"name": name, "value": f"{region}{value}" if is_letter else value}


def _lost(before: ContainerInstance, now: datetime) -> ContainerInstance:
    return replace(
        before,
        status="INACTIVE",
        status_reason=_GONE,
        agent_connected=False,
        deleted_at=now,
        version=before.version + 1,
    )


def _integer(name: str, value: int) -> Json:
    return {"name": name, "type": "INTEGER", "doubleValue": 0.0, "longValue": 0, "integerValue": value}


def _strings(name: str, values: Iterable[str]) -> Json:
    return {
        "name": name,
        "type": "STRINGSET",
        "doubleValue": 0.0,
        "longValue": 0,
        "integerValue": 0,
        "stringSetValue": list(values),
    }


def _resources(cpu: int, memory: int) -> tuple[Json, ...]:
    return (
        _integer("CPU", cpu),
        _integer("MEMORY", memory),
        _strings("PORTS", _RESERVED_PORTS),
        _strings("PORTS_UDP", ()),
    )


def the_instance(state: State, cluster: Cluster, given: str) -> ContainerInstance | None:
    """Return the container instance that an id or an ARN means in a cluster, inactive ones too.

    Raise InvalidParameterException for the ARN of another cluster's.
    """
    parts = given.split("/")
    if given.startswith("arn:") and len(parts) == 3 and parts[1] != cluster.name:  # noqa: PLR2004 - kind, cluster, id
        raise invalid(f"Invalid identifier: Identifier is for cluster {parts[1]}. Your cluster is {cluster.name}")
    key = arn(Scope.of(cluster.arn), "container-instance", cluster.name, parts[-1])
    return state.get(ContainerInstance, key)


def attributes_of(state: State, instance: ContainerInstance) -> list[Json]:
    """Return all attributes of an instance: its own, then those that clients put; these win."""
    custom = {found.name: found.value for found in state.find(Attribute, "target", instance.arn)}
    own = {one["name"]: one.get("value") for one in instance.attributes}
    return [{"name": name, "value": value or None} for name, value in (own | custom).items()]


def remaining(state: State, instance: ContainerInstance) -> list[Json]:
    """Return what tasks leave of an instance's resources: those of other clusters on the same machine too."""
    siblings = state.find(ContainerInstance, "node", instance.node) if instance.node else [instance]
    found = [state.occupancy.of(sibling.arn) for sibling in siblings]
    taken = {"CPU": sum(one.cpu for one in found), "MEMORY": sum(one.memory for one in found)}
    ports = {
        name: [str(port) for one in found for said, port in sorted(one.ports) if said == protocol]
        for name, protocol in (("PORTS", "tcp"), ("PORTS_UDP", "udp"))
    }
    left: list[Json] = []
    for resource in instance.registered_resources:
        name = resource["name"]
        after = dict(resource)
        if name in taken:
            after["integerValue"] = resource.get("integerValue", 0) - taken[name]
        elif name in ports:
            after["stringSetValue"] = list(dict.fromkeys([*(resource.get("stringSetValue") or ()), *ports[name]]))
        left.append(after)
    return left


def describe(state: State, instance: ContainerInstance, *, include: Iterable[str] = ("TAGS",)) -> Json:
    """Return a container instance as answers have it."""
    include = frozenset(include)
    tasks = state.tasks_of_instance(instance.arn)
    health = "OK" if instance.agent_connected else "IMPAIRED" if instance.node else "INSUFFICIENT_DATA"
    return {
        "containerInstanceArn": instance.arn,
        "ec2InstanceId": instance.ec2_instance_id or None,
        "capacityProviderName": instance.capacity_provider or None,
        "version": instance.version,
        "versionInfo": instance.version_info,
        "remainingResources": remaining(state, instance),
        "registeredResources": list(instance.registered_resources),
        "status": instance.status,
        "statusReason": instance.status_reason or None,
        "agentConnected": instance.agent_connected,
        "runningTasksCount": sum(task.last_status is TaskStatus.RUNNING for task in tasks),
        "pendingTasksCount": sum(
            task.last_status in {TaskStatus.PROVISIONING, TaskStatus.PENDING, TaskStatus.ACTIVATING} for task in tasks
        ),
        "attributes": attributes_of(state, instance),
        "registeredAt": instance.registered_at,
        "attachments": [],
        "tags": to_wire(instance.tags) if "TAGS" in include else [],
        "healthStatus": (
            {"overallStatus": health, "details": [{"type": "CONTAINER_RUNTIME", "status": health}]}
            if "CONTAINER_INSTANCE_HEALTH" in include
            else None
        ),
    }


def _facts(state: State, instance: ContainerInstance) -> Facts:
    tasks = state.tasks_of_instance(instance.arn)
    running = [task for task in tasks if task.last_status is TaskStatus.RUNNING]
    agent = str(instance.version_info.get("agentVersion") or "")
    facts = {
        "agentConnected": (str(instance.agent_connected).lower(),),
        "agentVersion": (agent,) if agent else (),
        "ec2InstanceId": (instance.ec2_instance_id,) if instance.ec2_instance_id else (),
        "registeredAt": (instance.registered_at.isoformat(),),
        "runningTasksCount": (str(len(running)),),
        "task:group": tuple(dict.fromkeys(task.group for task in running)),
    }
    custom = {f"attribute:{one['name']}": (str(one["value"] or ""),) for one in attributes_of(state, instance)}
    return facts | custom


def _list(request: Request, state: State) -> Outcome:
    params = request.params
    cluster = the_cluster(state, request.scope, params.get("cluster"))
    wanted = params.get("status")
    found = [
        one
        for one in state.instances_of_cluster(cluster.arn)
        if (one.status == wanted if wanted else not _is_gone(one))
    ]
    if params.get("filter"):
        holds = query(params["filter"])
        found = [one for one in found if holds(_facts(state, one))]
    shown = page(request, found, place=lambda one: state.position(ContainerInstance, one.arn))
    return Outcome(body={"containerInstanceArns": [one.arn for one in shown.items], "nextToken": shown.next_token})


def _looked_up(request: Request, state: State, most: int) -> tuple[list[ContainerInstance], list[dict[str, str]]]:
    cluster = the_cluster(state, request.scope, request.params.get("cluster"))
    given = request.params["containerInstances"]
    if not given:
        raise invalid("Container Instances cannot be empty.")
    if len(given) > most:
        raise invalid(f"Container Instances cannot have more than {most} items.")
    looked = {name: the_instance(state, cluster, name) for name in given}
    missing = [
        {
            "arn": arn(request.scope, "container-instance", cluster.name, name.rpartition("/")[2]),
            "reason": "MISSING",
        }
        for name, found in looked.items()
        if found is None
    ]
    return list({found.arn: found for found in looked.values() if found is not None}.values()), missing


def _describe(request: Request, state: State) -> Outcome:
    found, missing = _looked_up(request, state, _MOST)
    include = request.params.get("include") or ()
    return Outcome(
        body={"containerInstances": [describe(state, one, include=include) for one in found], "failures": missing}
    )


def _update_state(request: Request, state: State) -> Outcome:
    wanted = request.params["status"]
    if wanted not in {"ACTIVE", "DRAINING"}:
        raise invalid(f"Container instances can be set to ACTIVE and DRAINING, not to {wanted}.")
    found, failures = _looked_up(request, state, _MOST_UPDATED)
    failures += [{"arn": one.arn, "reason": "INACTIVE"} for one in found if _is_gone(one)]
    after = [
        one if one.status == wanted else replace(one, status=wanted, version=one.version + 1)
        for one in found
        if not _is_gone(one)
    ]
    body = {"containerInstances": [describe(state, one) for one in after], "failures": failures}
    return Outcome(body=body, changes=changed(*(one for one in after if one not in found)))


def _register(request: Request, state: State) -> Outcome:
    params = request.params
    cluster = the_cluster(state, request.scope, params.get("cluster"))
    known = params.get("containerInstanceArn")
    before = the_instance(state, cluster, known) if known else None
    if known and (before is None or _is_gone(before)):
        raise invalid("The referenced container instance was not found.")
    base = before or ContainerInstance(
        arn=arn(request.scope, "container-instance", cluster.name, request.ids.hex32()),
        cluster_arn=cluster.arn,
        node="",
        agent_connected=False,
        registered_at=request.now,
        version=0,
    )
    made = replace(
        base,
        ec2_instance_id=_instance_id(params.get("instanceIdentityDocument")) or base.ec2_instance_id,
        registered_resources=tuple(params.get("totalResources") or base.registered_resources),
        attributes=tuple(
            {"name": one["name"], "value": one.get("value") or ""} for one in params.get("attributes") or ()
        )
        or base.attributes,
        version_info=dict(params.get("versionInfo") or base.version_info),
        version=base.version + 1,
        tags=from_wire(params.get("tags")) or base.tags,
    )
    return Outcome(body={"containerInstance": describe(state, made)}, changes=changed(made))


def _instance_id(document: str | None) -> str:
    """Return the instance's id in an EC2 identity document; empty where there is none."""
    try:
        found = json.loads(document or "{}")
    except ValueError as error:
        raise invalid("The instance identity document can't be read.") from error
    return str(found.get("instanceId") or "") if isinstance(found, dict) else ""


def _deregister(request: Request, state: State) -> Outcome:
    cluster = the_cluster(state, request.scope, request.params.get("cluster"))
    found = the_instance(state, cluster, request.params["containerInstance"])
    if found is None or _is_gone(found):
        raise invalid("The referenced container instance was not found.")
    running = any(task.last_status is not TaskStatus.STOPPED for task in state.tasks_of_instance(found.arn))
    if running and not request.params.get("force"):
        raise invalid("Found running tasks on the instance.")
    after = replace(found, status="INACTIVE", agent_connected=False, deleted_at=request.now, version=found.version + 1)
    gone = tuple(state.find(Attribute, "target", found.arn))
    return Outcome(body={"containerInstance": describe(state, after)}, changes=Changes(put=(after,), delete=gone))


def known_instance(request: Request, state: State) -> ContainerInstance:
    """Return the container instance that a request names. Raise ApiError where there is none."""
    cluster = the_cluster(state, request.scope, request.params.get("cluster"))
    found = the_instance(state, cluster, request.params.get("containerInstance") or "")
    if found is None or _is_gone(found):
        raise ApiError("ClientException", "The referenced container instance was not found.")
    return found


OPERATIONS: Final[Mapping[str, Operation]] = {
    "ListContainerInstances": _list,
    "DescribeContainerInstances": _describe,
    "UpdateContainerInstancesState": _update_state,
    "RegisterContainerInstance": _register,
    "DeregisterContainerInstance": _deregister,
}
