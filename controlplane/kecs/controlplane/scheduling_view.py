"""What the scheduler of services is told and what it answers. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from kecs.controlplane.cluster_query import Facts
from kecs.controlplane.container_instances import attributes_of
from kecs.controlplane.placement import Room, rooms
from kecs.controlplane.records import Cluster, ContainerInstance, Record, Service, Task, TaskSet
from kecs.controlplane.runtime import Node
from kecs.controlplane.scheduling_limits import SETTLED_AFTER
from kecs.controlplane.state import Changes, State


class Lookup(Protocol):
    """What finds a record by its key: `State.get`."""

    def __call__[R: Record](self, kind: type[R], key: str, /) -> R | None:
        """Return one record."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceView:
    """A service and all that decides what is to be done for it."""

    service: Service
    cluster: Cluster
    tasks: tuple[Task, ...]
    """All that the service made, the stopped ones too."""
    find: Lookup
    """Of task definitions, of service deployments and revisions."""
    task_sets: tuple[TaskSet, ...] = ()
    instances: tuple[ContainerInstance, ...] = ()
    """The cluster's: what a DAEMON service has a task on each of."""
    facts: Mapping[str, Facts] = field(default_factory=dict)
    """What placement constraints ask of them, by ARN."""
    nodes: Mapping[str, Node] = field(default_factory=dict)
    """What the runtime told of its machines, by name."""
    rooms: Callable[[], list[Room]] = list
    """What is left of the cluster's machines, asked when a task is to be placed on one."""
    settled_after: timedelta = SETTLED_AFTER


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """What is to be kept, and when to look again though nothing has changed."""

    changes: Changes = field(default_factory=Changes)
    due: datetime | None = None


def see(
    state: State,
    service: Service,
    *,
    instances: tuple[ContainerInstance, ...] = (),
    nodes: Mapping[str, Node] | None = None,
    settled_after: timedelta = SETTLED_AFTER,
) -> ServiceView | None:
    """Return what the scheduler needs of a state; None where the service's cluster is gone."""
    cluster = state.get(Cluster, service.cluster_arn)
    if cluster is None:
        return None
    return ServiceView(
        service=service,
        cluster=cluster,
        tasks=tuple(state.tasks_of_service(service.arn)),
        find=state.get,
        task_sets=tuple(one for arn in service.task_sets if (one := state.get(TaskSet, arn)) is not None),
        instances=instances,
        facts=_facts(state, service, instances),
        nodes=nodes or {},
        rooms=lambda: rooms(state, cluster),
        settled_after=settled_after,
    )


def _facts(state: State, service: Service, instances: tuple[ContainerInstance, ...]) -> Mapping[str, Facts]:
    """Return what constraints ask of machines; of a DAEMON service alone: others' tasks the runtime places."""
    if service.scheduling_strategy != "DAEMON":
        return {}
    return {
        one.arn: {"ec2InstanceId": (one.ec2_instance_id,)}
        | {f"attribute:{each['name']}": (str(each["value"] or ""),) for each in attributes_of(state, one)}
        for one in instances
    }
