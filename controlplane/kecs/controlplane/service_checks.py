"""What CreateService, UpdateService and CreateTaskSet refuse, and what they take for granted. Pure."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from kecs.controlplane import capacity_providers, cluster_query, scheduling_limits
from kecs.controlplane.errors import ApiError, invalid, unsupported
from kecs.controlplane.operation import Question, Request
from kecs.controlplane.placement import constraint_fault, strategy_fault
from kecs.controlplane.records import Cluster, TaskDefinition
from kecs.controlplane.state import Scope
from kecs.controlplane.task_making import launch_type_of

type Json = dict[str, Any]

TARGET_GROUP: Final = "target_group"
"""The kind of question that a target group's ARN is asked with: see `load_balancers.TargetGroup`."""
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,255}")
_FARGATE: Final = "FARGATE"
_DESIRED_MAX: Final = 5000
"""AWS's quota of tasks of a service."""
_DEFAULTS: Final[Mapping[str, Json]] = {
    "ECS": {
        "deploymentCircuitBreaker": {"enable": False, "rollback": False},
        "alarms": {"alarmNames": [], "rollback": False, "enable": False},
        "strategy": "ROLLING",
        "bakeTimeInMinutes": 0,
    },
    "CODE_DEPLOY": {},
    "EXTERNAL": {},
}
_MOST_CONSTRAINTS: Final = 10
_MOST_STRATEGIES: Final = 5
_MOST_TARGET_GROUPS: Final = 5
_MOST_PROVIDERS: Final = 20
_UNSUPPORTED: Final = ("vpcLatticeConfigurations", "gatewayConnectors")
NO_EFFECT: Final[Mapping[str, str]] = {
    "alarms": "deploymentConfiguration.alarms is kept, and has no effect: alarms are not watched.",
    "serviceRegistries": "serviceRegistries are kept, and have no effect: tasks are not registered with Cloud Map.",
    "serviceConnectConfiguration": "serviceConnectConfiguration is kept, and has no effect: tasks get no proxy.",
    "availabilityZoneRebalancing": "availabilityZoneRebalancing is kept, and has no effect: no task changes its zone.",
    "monitoring": "monitoring has no effect: services have no metrics in CloudWatch.",
}


def name(given: str) -> str:
    """Return a service's name. Raise for one that AWS does not take."""
    if not _NAME.fullmatch(given):
        raise invalid(
            f"Invalid service name {given!r}. Up to 255 letters, numbers, hyphens and underscores are allowed."
        )
    return given


def desired_count(params: Mapping[str, Any], scheduling: str) -> int | None:
    """Return a request's desiredCount; None where it says nothing."""
    given: int | None = params.get("desiredCount")
    if scheduling == "DAEMON" and given is not None:
        raise invalid(
            "The daemon scheduling strategy does not support a desired count for services. "
            "Remove the desired count value and try again"
        )
    if given is not None and given < 0:
        raise invalid(f"desiredCount cannot be negative: {given}.")
    if given is not None and given > _DESIRED_MAX:
        raise invalid(f"desiredCount cannot be greater than {_DESIRED_MAX}: {given}.")
    return given


def grace_period(params: Mapping[str, Any]) -> int | None:
    """Return a request's healthCheckGracePeriodSeconds; None where it says nothing."""
    given: int | None = params.get("healthCheckGracePeriodSeconds")
    if given is not None and given < 0:
        raise invalid(f"healthCheckGracePeriodSeconds cannot be negative: {given}.")
    return given


def volumes(params: Mapping[str, Any], definition: TaskDefinition) -> tuple[Json, ...]:
    """Return a request's volumeConfigurations. Raise where its definition has no such volume."""
    given = tuple(params.get("volumeConfigurations") or ())
    names = {one["name"] for one in definition.document.get("volumes") or () if one.get("configuredAtLaunch")}
    for one in given:
        if one["name"] not in names:
            raise invalid(f"The task definition has no volume '{one['name']}' that is configured at launch.")
    return given


def configuration(given: Mapping[str, Any] | None, before: Json | None, *, scheduling: str, controller: str) -> Json:
    """Return a deploymentConfiguration: what is given, over what was before, over what AWS takes for granted."""
    said = {key: value for key, value in (given or {}).items() if value is not None}
    _check_strategy(said)
    least, most = scheduling_limits.DEFAULTS[scheduling]
    usual: Json = {**_DEFAULTS[controller], "maximumPercent": most, "minimumHealthyPercent": least}
    found: Json = {**usual, **(before or {}), **said}
    most, least = found["maximumPercent"], found["minimumHealthyPercent"]
    if scheduling == "DAEMON" and most > 100:  # noqa: PLR2004 - percent
        raise invalid(
            "The daemon scheduling strategy does not support values above 100 for maximumPercent on a deployment "
            "configuration. Change the maximumPercent value to 100, and try again"
        )
    if least < 0 or most < 100:  # noqa: PLR2004 - percent
        raise invalid(
            f"Invalid deployment configuration: minimumHealthyPercent {least} and maximumPercent {most}. "
            "The first cannot be below 0, the second not below 100."
        )
    if least >= 100 and most == 100:  # noqa: PLR2004 - percent
        raise invalid("Both maximumPercent and minimumHealthyPercent cannot be 100 as this will block deployments.")
    return found


def _check_strategy(said: Mapping[str, Any]) -> None:
    strategy = said.get("strategy", "ROLLING")
    if strategy != "ROLLING":
        raise unsupported(f"The deployment strategy {strategy} is not supported by this control plane. Use ROLLING.")
    for member in ("lifecycleHooks", "linearConfiguration", "canaryConfiguration"):
        if said.get(member):
            raise unsupported(f"deploymentConfiguration.{member} is not supported by this control plane.")
    if (said.get("earlySuccessCriteria") or {}).get("enable"):
        raise unsupported("deploymentConfiguration.earlySuccessCriteria is not supported by this control plane.")
    if said.get("bakeTimeInMinutes"):
        raise unsupported("deploymentConfiguration.bakeTimeInMinutes is not supported by this control plane.")
    breaker = said.get("deploymentCircuitBreaker") or {}
    value = (breaker.get("thresholdConfiguration") or {}).get("value", 1)
    if value < 1:
        raise invalid(f"The deployment circuit breaker threshold value must be at least 1: {value}.")


def unsupported_members(params: Mapping[str, Any]) -> None:
    """Refuse members that this control plane can do nothing about."""
    for member in _UNSUPPORTED:
        if params.get(member):
            raise unsupported(f"{member} is not supported by this control plane.")


def warnings(params: Mapping[str, Any]) -> tuple[str, ...]:
    """Return sentences about what is kept and has no effect."""
    alarms = (params.get("deploymentConfiguration") or {}).get("alarms") or {}
    found = [name for name in ("serviceRegistries",) if params.get(name)]
    found += ["alarms"] if alarms.get("enable") else []
    connect = params.get("serviceConnectConfiguration") or {}
    found += ["serviceConnectConfiguration"] if connect.get("enabled") else []
    found += ["availabilityZoneRebalancing"] if params.get("availabilityZoneRebalancing") == "ENABLED" else []
    found += ["monitoring"] if params.get("monitoring") else []
    return tuple(NO_EFFECT[one] for one in found)


def capacity(params: Mapping[str, Any], cluster: Cluster) -> tuple[str, tuple[Json, ...]]:
    """Return a request's launch type and capacity provider strategy: one of them, the cluster's default, or EC2."""
    given, strategy = params.get("launchType"), params.get("capacityProviderStrategy")
    if given and strategy:
        raise invalid("Specify either Launch Type or Capacity Provider Strategy, but not both.")
    if given:
        return str(given), ()
    found = tuple(provider_item(one) for one in strategy or cluster.default_strategy)
    if len(found) > _MOST_PROVIDERS:
        raise invalid(f"A capacity provider strategy can contain a maximum of {_MOST_PROVIDERS} capacity providers.")
    for one in found:
        if one["capacityProvider"] not in cluster.capacity_providers:
            raise invalid(
                f"The specified capacity provider '{one['capacityProvider']}' is not associated with the cluster. "
                "Specify a capacity provider that is associated with the cluster and try again."
            )
    capacity_providers.check_strategy(found)
    return (launch_type_of(found[0]["capacityProvider"]), found) if found else ("EC2", ())


def provider_item(item: Mapping[str, Any]) -> Json:
    """Return one entry of a strategy as AWS gives it back."""
    provider = str(item["capacityProvider"]).rpartition("/")[2]
    return {"capacityProvider": provider, "weight": item.get("weight") or 0, "base": item.get("base") or 0}


def fits(definition: TaskDefinition, launch_type: str, network: Json | None, platform: str) -> None:
    """Refuse a definition that can't run as a request wants it."""
    supported = definition.document.get("compatibilities") or ()
    if supported and launch_type in {_FARGATE, "EXTERNAL"} and launch_type not in supported:
        raise invalid(f"Task definition does not support launch_type {launch_type}.")
    if platform and launch_type != _FARGATE:
        raise invalid(f"The platform version must be null when specifying an {launch_type} launch type.")
    is_awsvpc = definition.network_mode == "awsvpc"
    if is_awsvpc and network is None:
        raise invalid("Network Configuration must be provided when networkMode 'awsvpc' is specified.")
    if network is not None and not is_awsvpc:
        raise invalid("Network Configuration is not valid for the given networkMode of this task definition.")


def network(given: Mapping[str, Any] | None) -> Json | None:
    """Return a networkConfiguration as AWS gives it back."""
    said = (given or {}).get("awsvpcConfiguration")
    if not said:
        return None
    if not said.get("subnets"):
        raise invalid("subnets can not be empty.")
    return {
        "awsvpcConfiguration": {
            "subnets": list(said["subnets"]),
            "securityGroups": list(said.get("securityGroups") or ()),
            "assignPublicIp": said.get("assignPublicIp") or "DISABLED",
        }
    }


def placement(
    constraints: Sequence[Mapping[str, Any]], strategies: Sequence[Mapping[str, Any]], launch_type: str, scheduling: str
) -> None:
    """Refuse placement that AWS would not do."""
    if len(constraints) > _MOST_CONSTRAINTS:
        raise invalid(f"Placement constraints can have at most {_MOST_CONSTRAINTS} items.")
    if len(strategies) > _MOST_STRATEGIES:
        raise invalid(f"Placement strategies can have at most {_MOST_STRATEGIES} items.")
    faults = (*map(constraint_fault, constraints), *map(strategy_fault, strategies))
    if wrong := " ".join(dict.fromkeys(fault for fault in faults if fault)):
        raise invalid(wrong)
    for one in constraints:
        if one["type"] == "memberOf":
            cluster_query.query(one["expression"])
    if launch_type == _FARGATE and strategies:
        raise invalid("Placement strategies are not supported with FARGATE launch type.")
    if launch_type == _FARGATE and constraints:
        raise invalid("Placement constraints are not supported with FARGATE launch type.")
    if scheduling == "DAEMON" and strategies:
        raise invalid("The daemon scheduling strategy does not support placement strategies.")


def target_questions(request: Request, balancers: Sequence[Mapping[str, Any]]) -> tuple[Question, ...]:
    """Return what must be known of a request's target groups, and is not yet."""
    asked = (Question(TARGET_GROUP, str(one["targetGroupArn"])) for one in balancers if one.get("targetGroupArn"))
    return tuple(dict.fromkeys(one for one in asked if one not in request.answers))


def load_balancers(
    request: Request, balancers: Sequence[Mapping[str, Any]], definition: TaskDefinition
) -> tuple[Json, ...]:
    """Return a request's load balancers. Raise where a container, its port or a target group is not there."""
    if len(balancers) > _MOST_TARGET_GROUPS:
        raise invalid(f"loadBalancers can have at most {_MOST_TARGET_GROUPS} items.")
    for one in balancers:
        _check_container(one, definition)
    for one in balancers:
        if one.get("loadBalancerName"):
            raise unsupported("Classic Load Balancers are not supported by this control plane. Use a target group.")
        if not one.get("targetGroupArn"):
            raise invalid("loadBalancers must have a targetGroupArn.")
        _check_target_group(one["targetGroupArn"], request, definition)
    return tuple({key: value for key, value in one.items() if value is not None} for one in balancers)


def _check_container(one: Mapping[str, Any], definition: TaskDefinition) -> None:
    wanted, port = one.get("containerName"), one.get("containerPort")
    if not wanted:
        raise invalid("Container Name can not be blank.")
    found = [item for item in definition.containers if item["name"] == wanted]
    if not found:
        raise invalid(f"The container {wanted} does not exist in the task definition.")
    if not any(item.get("containerPort") == port for item in found[0].get("portMappings") or ()):
        raise invalid(f"The container {wanted} did not have a container port {port} defined.")


def _check_target_group(target_group: str, request: Request, definition: TaskDefinition) -> None:
    found = request.answers[Question(TARGET_GROUP, target_group)]
    if found is None:
        raise invalid(f"The specified target group does not exist: {target_group}")
    if not found.load_balancers:
        raise invalid(f"The target group with targetGroupArn {target_group} does not have an associated load balancer.")
    mode = definition.network_mode
    if (mode == "awsvpc") is not (found.target_type == "ip"):
        raise invalid(
            f"The provided target group {target_group} has target type {found.target_type}, which is incompatible "
            f"with the {mode} network mode specified in the task definition."
        )


def role(params: Mapping[str, Any], cluster: Cluster, definition: TaskDefinition | None) -> str:
    """Return the ARN of the role by which a service reaches its load balancers; empty where it reaches none."""
    given = params.get("role")
    scope = Scope.of(cluster.arn)
    stem = f"arn:{scope.partition}:iam::{scope.account}:role"
    is_awsvpc = definition is not None and definition.network_mode == "awsvpc"
    if not given:
        linked = is_awsvpc or params.get("loadBalancers") or params.get("serviceRegistries")
        return f"{stem}/aws-service-role/ecs.amazonaws.com/AWSServiceRoleForECS" if linked else ""
    if is_awsvpc or params.get("serviceRegistries"):
        raise invalid("You cannot specify an IAM role for services that require a service linked role.")
    if not params.get("loadBalancers"):
        raise invalid("role is only valid for services that use a load balancer.")
    return str(given) if given.startswith("arn:") else f"{stem}/{given}"


def not_active() -> ApiError:
    """Return what is said of a service that is being deleted or is gone."""
    return ApiError("ServiceNotActiveException", "Service was not ACTIVE.")
