"""ARNs of ECS: how they are made, and how a name or an ARN in a request is understood. Pure."""

from kecs.controlplane.errors import ApiError, invalid
from kecs.controlplane.records import Cluster, Service, Task
from kecs.controlplane.records.clusters import ClusterStatus
from kecs.controlplane.state import Scope, State

DEFAULT_CLUSTER = "default"


def arn(scope: Scope, kind: str, *names: str) -> str:
    """Return arn:aws:ecs:REGION:ACCOUNT:KIND/NAME/…."""
    return f"arn:{scope.partition}:ecs:{scope.region}:{scope.account}:{kind}/{'/'.join(names)}"


def cluster_arn(scope: Scope, given: str | None) -> str:
    """Return the ARN that a request's `cluster` means: a name, an ARN, or `default` where nothing was said."""
    name = given or DEFAULT_CLUSTER
    return name if name.startswith("arn:") else arn(scope, "cluster", name)


def the_cluster(state: State, scope: Scope, given: str | None) -> Cluster:
    """Return the active cluster that a request means. Raise ClusterNotFoundException where there is none."""
    found = state.get(Cluster, cluster_arn(scope, given))
    if found is None or found.status is not ClusterStatus.ACTIVE or Scope.of(found.arn) != scope:
        raise ApiError("ClusterNotFoundException", "Cluster not found.")
    return found


def service_arn(cluster: Cluster, given: str) -> str:
    """Return the ARN that a request's `service` means in a cluster: its name, or an ARN of either form."""
    name = given.rpartition("/")[2]
    return arn(Scope.of(cluster.arn), "service", cluster.name, name)


def the_service(state: State, cluster: Cluster, given: str) -> Service:
    """Return a service, inactive ones too. Raise ServiceNotFoundException where there is none."""
    found = state.get(Service, service_arn(cluster, given))
    if found is None:
        raise ApiError("ServiceNotFoundException", "Service not found.")
    return found


def task_arn(cluster: Cluster, given: str) -> str:
    """Return the ARN that a request's `task` means in a cluster: its id, or an ARN of either form."""
    return arn(Scope.of(cluster.arn), "task", cluster.name, given.rpartition("/")[2])


def the_task(state: State, cluster: Cluster, given: str) -> Task:
    """Return a task. Raise InvalidParameterException where there is none."""
    found = state.get(Task, task_arn(cluster, given))
    if found is None:
        raise invalid("The referenced task was not found.")
    return found
