"""On which container instance a task is, or may be. Pure."""

from dataclasses import replace

from kecs.controlplane.lifecycle import versioned
from kecs.controlplane.records import Task
from kecs.controlplane.runtime import Sighting
from kecs.controlplane.state import State

FARGATE = "FARGATE"


def seen_on(task: Task, sighting: Sighting | None, state: State) -> Task:
    """Return a task with the container instance that it was seen on; Fargate's tasks have none."""
    if sighting is None or not sighting.node or task.launch_type == FARGATE:
        return task
    instances = (one for one in state.instances_of_cluster(task.cluster_arn) if one.node == sighting.node)
    instance = next(instances, None)
    if instance is None or instance.arn == task.container_instance_arn:
        return task
    return versioned(task, replace(task, container_instance_arn=instance.arn))
