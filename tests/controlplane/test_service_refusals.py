"""CreateService: what it refuses, and in which words."""

from typing import Any

import pytest
from ecs_lab import SCOPE
from service_lab import BALANCER, NETWORK, TARGETS, ServiceLab

from kecs.controlplane.errors import ApiError
from kecs.controlplane.load_balancers import TargetGroup
from kecs.controlplane.operation import Question
from kecs.controlplane.service_checks import TARGET_GROUP

WHOLE: dict[str, Any] = {"serviceName": "web", "taskDefinition": "app", "desiredCount": 1}
SERVED: dict[str, Any] = {"targetGroupArn": TARGETS, "containerName": "app", "containerPort": 80}


@pytest.fixture
def lab() -> ServiceLab:
    return ServiceLab()


def vpc(lab: ServiceLab) -> dict[str, Any]:
    lab.register("app", mode="awsvpc", portMappings=[{"containerPort": 80}])
    return {**WHOLE, "networkConfiguration": NETWORK}


@pytest.mark.parametrize(
    ("params", "code", "message"),
    [
        ({"serviceName": "no spaces"}, "InvalidParameterException", "Invalid service name 'no spaces'"),
        ({"taskDefinition": None}, "InvalidParameterException", "TaskDefinition can not be blank."),
        ({"taskDefinition": "none"}, "ClientException", "TaskDefinition not found."),
        ({"desiredCount": None}, "InvalidParameterException", "desiredCount must be specified"),
        ({"desiredCount": -1}, "InvalidParameterException", "desiredCount cannot be negative: -1."),
        ({"desiredCount": 5001}, "InvalidParameterException", "desiredCount cannot be greater than 5000: 5001."),
        ({"cluster": "none"}, "ClusterNotFoundException", "Cluster not found."),
        (
            {"launchType": "EC2", "capacityProviderStrategy": [{"capacityProvider": "FARGATE"}]},
            "InvalidParameterException",
            "Specify either Launch Type or Capacity Provider Strategy, but not both.",
        ),
        (
            {"capacityProviderStrategy": [{"capacityProvider": "none"}]},
            "InvalidParameterException",
            "The specified capacity provider 'none' is not associated with the cluster.",
        ),
        (
            {"capacityProviderStrategy": [{"capacityProvider": "FARGATE"}] * 21},
            "InvalidParameterException",
            "A capacity provider strategy can contain a maximum of 20 capacity providers.",
        ),
        ({"healthCheckGracePeriodSeconds": -1}, "InvalidParameterException", "healthCheckGracePeriodSeconds cannot be"),
        (
            {"volumeConfigurations": [{"name": "data"}]},
            "InvalidParameterException",
            "The task definition has no volume 'data' that is configured at launch.",
        ),
        (
            {"launchType": "FARGATE"},
            "InvalidParameterException",
            "Task definition does not support launch_type FARGATE.",
        ),
        (
            {"platformVersion": "1.4.0"},
            "InvalidParameterException",
            "The platform version must be null when specifying an EC2 launch type.",
        ),
        (
            {"networkConfiguration": NETWORK},
            "InvalidParameterException",
            "Network Configuration is not valid for the given networkMode of this task definition.",
        ),
        (
            {"networkConfiguration": {"awsvpcConfiguration": {"subnets": []}}},
            "InvalidParameterException",
            "subnets can not be empty.",
        ),
        (
            {"schedulingStrategy": "DAEMON"},
            "InvalidParameterException",
            (
                "The daemon scheduling strategy does not support a desired count for services. "
                "Remove the desired count value and try again"
            ),
        ),
        (
            {"schedulingStrategy": "DAEMON", "desiredCount": None, "deploymentConfiguration": {"maximumPercent": 200}},
            "InvalidParameterException",
            (
                "The daemon scheduling strategy does not support values above 100 for maximumPercent on a deployment "
                "configuration. Change the maximumPercent value to 100, and try again"
            ),
        ),
        (
            {"schedulingStrategy": "DAEMON", "desiredCount": None, "deploymentController": {"type": "EXTERNAL"}},
            "InvalidParameterException",
            "A task definition is given to task sets",
        ),
        (
            {"schedulingStrategy": "DAEMON", "desiredCount": None, "deploymentController": {"type": "CODE_DEPLOY"}},
            "InvalidParameterException",
            "The daemon scheduling strategy is not supported for the Fargate launch type",
        ),
        (
            {"schedulingStrategy": "DAEMON", "desiredCount": None, "placementStrategy": [{"type": "random"}]},
            "InvalidParameterException",
            "The daemon scheduling strategy does not support placement strategies.",
        ),
        (
            {"deploymentConfiguration": {"maximumPercent": 100, "minimumHealthyPercent": 100}},
            "InvalidParameterException",
            "Both maximumPercent and minimumHealthyPercent cannot be 100 as this will block deployments.",
        ),
        ({"deploymentConfiguration": {"maximumPercent": 50}}, "InvalidParameterException", "Invalid deployment"),
        ({"deploymentConfiguration": {"minimumHealthyPercent": -1}}, "InvalidParameterException", "Invalid deployment"),
        (
            {"deploymentConfiguration": {"strategy": "BLUE_GREEN"}},
            "UnsupportedFeatureException",
            "The deployment strat",
        ),
        ({"deploymentConfiguration": {"strategy": "CANARY"}}, "UnsupportedFeatureException", "The deployment strategy"),
        (
            {"deploymentConfiguration": {"bakeTimeInMinutes": 5}},
            "UnsupportedFeatureException",
            "deploymentConfiguratio",
        ),
        (
            {"deploymentConfiguration": {"lifecycleHooks": [{"targetType": "PAUSE"}]}},
            "UnsupportedFeatureException",
            "deploymentConfiguration.lifecycleHooks is not supported",
        ),
        (
            {"deploymentConfiguration": {"earlySuccessCriteria": {"enable": True, "healthyPercent": 100}}},
            "UnsupportedFeatureException",
            "deploymentConfiguration.earlySuccessCriteria is not supported",
        ),
        (
            {
                "deploymentConfiguration": {
                    "deploymentCircuitBreaker": {
                        "enable": True,
                        "rollback": True,
                        "thresholdConfiguration": {"type": "COUNT", "value": 0},
                    }
                }
            },
            "InvalidParameterException",
            "The deployment circuit breaker threshold value must be at least 1: 0.",
        ),
        (
            {"gatewayConnectors": [{"portName": "p"}]},
            "UnsupportedFeatureException",
            "gatewayConnectors is not supported",
        ),
        (
            {"placementConstraints": [{"type": "distinctInstance"}] * 11},
            "InvalidParameterException",
            "Placement constraints can have at most 10 items.",
        ),
        (
            {"placementStrategy": [{"type": "random"}] * 6},
            "InvalidParameterException",
            "Placement strategies can have at most 5 items.",
        ),
        (
            {"placementStrategy": [{"type": "binpack", "field": "disk"}]},
            "InvalidParameterException",
            "The field of a placement strategy of type binpack must be cpu or memory, not 'disk'.",
        ),
        (
            {"placementConstraints": [{"type": "memberOf", "expression": "attribute:x =="}]},
            "InvalidParameterException",
            "",
        ),
        ({"loadBalancers": [{"containerPort": 80}]}, "InvalidParameterException", "Container Name can not be blank."),
        (
            {"loadBalancers": [{**SERVED, "containerName": "x"}]},
            "InvalidParameterException",
            "The container x does not exist in the task definition.",
        ),
        (
            {"loadBalancers": [SERVED]},
            "InvalidParameterException",
            "The container app did not have a container port 80 defined.",
        ),
        ({"role": "r"}, "InvalidParameterException", "role is only valid for services that use a load balancer."),
    ],
)
def test_what_create_service_refuses(lab: ServiceLab, params: dict[str, Any], code: str, message: str) -> None:
    said = {name: value for name, value in {**WHOLE, **params}.items() if value is not None}
    refusal = lab.api.refused("CreateService", said)
    assert refusal.code == code
    assert str(refusal).startswith(message)
    assert lab.api.call("ListServices", {})["serviceArns"] == []


def test_an_awsvpc_definition_needs_a_network(lab: ServiceLab) -> None:
    vpc(lab)
    assert str(lab.api.refused("CreateService", WHOLE)) == (
        "Network Configuration must be provided when networkMode 'awsvpc' is specified."
    )


def test_an_inactive_definition_is_refused(lab: ServiceLab) -> None:
    arn = lab.register("old")
    lab.api.call("DeregisterTaskDefinition", {"taskDefinition": arn})
    refusal = lab.api.refused("CreateService", {**WHOLE, "taskDefinition": arn})
    assert (refusal.code, str(refusal)) == ("ClientException", "TaskDefinition is inactive")


@pytest.mark.parametrize(
    ("group", "message"),
    [
        (None, f"The specified target group does not exist: {TARGETS}"),
        (
            TargetGroup(arn=TARGETS),
            f"The target group with targetGroupArn {TARGETS} does not have an associated load balancer.",
        ),
        (
            TargetGroup(arn=TARGETS, target_type="instance", load_balancers=(BALANCER,)),
            (
                f"The provided target group {TARGETS} has target type instance, which is incompatible with the awsvpc "
                "network mode specified in the task definition."
            ),
        ),
    ],
)
def test_target_groups_are_asked_for(lab: ServiceLab, group: TargetGroup | None, message: str) -> None:
    lab.api.answers = {Question(TARGET_GROUP, TARGETS): group}
    refusal = lab.api.refused("CreateService", vpc(lab) | {"loadBalancers": [SERVED]})
    assert (refusal.code, str(refusal)) == ("InvalidParameterException", message)


def test_a_service_whose_target_group_nobody_knows_of_is_not_made(lab: ServiceLab) -> None:
    lab.api.answers = {Question(TARGET_GROUP, TARGETS): ApiError("ServerException", "away")}
    assert lab.api.refused("CreateService", vpc(lab) | {"loadBalancers": [SERVED]}).code == "ServerException"


@pytest.mark.parametrize(
    ("balancers", "code"),
    [
        ([SERVED] * 6, "InvalidParameterException"),
        ([{"containerName": "app", "containerPort": 80}], "InvalidParameterException"),
        ([{"containerName": "app", "containerPort": 80, "loadBalancerName": "l"}], "UnsupportedFeatureException"),
    ],
)
def test_load_balancers_that_are_refused(lab: ServiceLab, balancers: list[dict[str, Any]], code: str) -> None:
    assert lab.api.refused("CreateService", vpc(lab) | {"loadBalancers": balancers}).code == code


def test_roles_of_services(lab: ServiceLab) -> None:
    params = vpc(lab) | {"loadBalancers": [SERVED], "role": "r"}
    assert str(lab.api.refused("CreateService", params)) == (
        "You cannot specify an IAM role for services that require a service linked role."
    )
    lab.register("plain", portMappings=[{"containerPort": 80, "hostPort": 0}])
    lab.api.answers = {
        Question(TARGET_GROUP, TARGETS): TargetGroup(arn=TARGETS, target_type="instance", load_balancers=(BALANCER,))
    }
    found = lab.api.call("CreateService", {**WHOLE, "taskDefinition": "plain", "loadBalancers": [SERVED], "role": "r"})[
        "service"
    ]
    assert found["roleArn"] == f"arn:aws:iam::{SCOPE.account}:role/r"


def test_fargate_takes_no_placement(lab: ServiceLab) -> None:
    for member, message in (
        ("placementConstraints", "Placement constraints are not supported with FARGATE launch type."),
        ("placementStrategy", "Placement strategies are not supported with FARGATE launch type."),
    ):
        params = {
            **WHOLE,
            "launchType": "FARGATE",
            member: [{"type": "random" if "Str" in member else "distinctInstance"}],
        }
        assert str(lab.api.refused("CreateService", params)) == message


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        ([("FARGATE", 0, 0)], "At least one capacity provider in a capacity provider strategy must have a weight"),
        (
            [("FARGATE", 1, 0), ("FARGATE", 1, 0)],
            "A capacity provider may be in a capacity provider strategy only",
        ),
        ([("FARGATE", 1, 1), ("FARGATE_SPOT", 1, 1)], "Only one capacity provider in a capacity provider strategy can"),
    ],
)
def test_a_strategy_is_refused_as_run_task_refuses_it(
    lab: ServiceLab, strategy: list[tuple[str, int, int]], message: str
) -> None:
    lab.api.call("CreateCluster", {"clusterName": "spot", "capacityProviders": ["FARGATE", "FARGATE_SPOT"]})
    items = [{"capacityProvider": name, "weight": weight, "base": base} for name, weight, base in strategy]
    for operation, params in (("CreateService", vpc(lab)), ("RunTask", {"taskDefinition": "app"})):
        with pytest.raises(ApiError, match=message) as caught:
            lab.api.call(operation, {**params, "cluster": "spot", "capacityProviderStrategy": items})
        assert caught.value.code == "InvalidParameterException"
