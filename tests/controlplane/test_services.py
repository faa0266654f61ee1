"""CreateService, DescribeServices, ListServices: what they take, give back and refuse."""

from typing import Any

import pytest
from ecs_lab import SCOPE
from service_lab import BALANCER, NETWORK, TARGETS, ServiceLab

from kecs.controlplane.errors import ApiError
from kecs.controlplane.load_balancers import TargetGroup
from kecs.controlplane.operation import Question
from kecs.controlplane.service_checks import TARGET_GROUP
from kecs.controlplane.state import Scope

WHOLE: dict[str, Any] = {"serviceName": "web", "taskDefinition": "app", "desiredCount": 1}
SERVED: dict[str, Any] = {"targetGroupArn": TARGETS, "containerName": "app", "containerPort": 80}


@pytest.fixture
def lab() -> ServiceLab:
    return ServiceLab()


def vpc(lab: ServiceLab) -> dict[str, Any]:
    lab.register("app", mode="awsvpc", portMappings=[{"containerPort": 80}])
    return {**WHOLE, "networkConfiguration": NETWORK}


def test_a_service_as_it_is_given_back(lab: ServiceLab) -> None:
    params = vpc(lab) | {"loadBalancers": [SERVED], "tags": [{"key": "a", "value": "b"}]}
    found = lab.api.call("CreateService", params)["service"]
    [deployment] = found.pop("deployments")
    times = {found.pop("createdAt"), deployment.pop("createdAt"), deployment.pop("updatedAt")}
    assert times == {lab.api.now}
    network = {"awsvpcConfiguration": {**NETWORK["awsvpcConfiguration"], "assignPublicIp": "DISABLED"}}
    definition = f"arn:aws:ecs:us-east-1:{SCOPE.account}:task-definition/app:2"
    revision = found["currentServiceRevisions"][0].pop("arn")
    assert revision.startswith(f"arn:aws:ecs:us-east-1:{SCOPE.account}:service-revision/default/web/")
    rollout = found.pop("currentServiceDeployment")
    assert rollout.startswith(f"arn:aws:ecs:us-east-1:{SCOPE.account}:service-deployment/default/web/")
    assert found == {
        "serviceArn": f"arn:aws:ecs:us-east-1:{SCOPE.account}:service/default/web",
        "serviceName": "web",
        "clusterArn": f"arn:aws:ecs:us-east-1:{SCOPE.account}:cluster/default",
        "loadBalancers": [SERVED],
        "serviceRegistries": [],
        "status": "ACTIVE",
        "desiredCount": 1,
        "runningCount": 0,
        "pendingCount": 0,
        "launchType": "EC2",
        "taskDefinition": definition,
        "deploymentConfiguration": {
            "deploymentCircuitBreaker": {"enable": False, "rollback": False},
            "alarms": {"alarmNames": [], "rollback": False, "enable": False},
            "strategy": "ROLLING",
            "bakeTimeInMinutes": 0,
            "maximumPercent": 200,
            "minimumHealthyPercent": 100,
        },
        "roleArn": f"arn:aws:iam::{SCOPE.account}:role/aws-service-role/ecs.amazonaws.com/AWSServiceRoleForECS",
        "events": [],
        "currentServiceRevisions": [{"requestedTaskCount": 1, "runningTaskCount": 0, "pendingTaskCount": 0}],
        "placementConstraints": [],
        "placementStrategy": [],
        "networkConfiguration": network,
        "healthCheckGracePeriodSeconds": 0,
        "schedulingStrategy": "REPLICA",
        "deploymentController": {"type": "ECS"},
        "tags": [{"key": "a", "value": "b"}],
        "createdBy": "arn:aws:iam::000000000000:root",
        "enableECSManagedTags": False,
        "propagateTags": "NONE",
        "enableExecuteCommand": False,
        "availabilityZoneRebalancing": "DISABLED",
    }
    assert deployment.pop("id").startswith("ecs-svc/")
    assert deployment.pop("rolloutStateReason").endswith(" in progress.")
    assert deployment == {
        "status": "PRIMARY",
        "taskDefinition": definition,
        "desiredCount": 1,
        "pendingCount": 0,
        "runningCount": 0,
        "failedTasks": 0,
        "launchType": "EC2",
        "networkConfiguration": network,
        "rolloutState": "IN_PROGRESS",
    }


def test_on_fargate_the_platform_is_said(lab: ServiceLab) -> None:
    lab.api.call(
        "RegisterTaskDefinition",
        {
            "family": "app",
            "networkMode": "awsvpc",
            "requiresCompatibilities": ["FARGATE"],
            "cpu": "256",
            "memory": "512",
            "containerDefinitions": [{"name": "app", "image": "app:1"}],
        },
    )
    found = lab.create(launchType="FARGATE", networkConfiguration=NETWORK)
    assert (found["launchType"], found["platformVersion"], found["platformFamily"]) == ("FARGATE", "LATEST", "Linux")
    assert found["deployments"][0]["platformVersion"] == "1.4.0"
    lab.turn()
    assert {one.launch_type for one in lab.wanted()} == {"FARGATE"}


def test_a_capacity_provider_strategy_is_followed(lab: ServiceLab) -> None:
    strategy = [
        {"capacityProvider": "FARGATE", "base": 2, "weight": 1},
        {"capacityProvider": "FARGATE_SPOT", "weight": 3},
    ]
    lab.api.call(
        "PutClusterCapacityProviders",
        {
            "cluster": "default",
            "capacityProviders": ["FARGATE", "FARGATE_SPOT"],
            "defaultCapacityProviderStrategy": strategy,
        },
    )
    lab.api.call(
        "RegisterTaskDefinition",
        {
            "family": "app",
            "networkMode": "awsvpc",
            "requiresCompatibilities": ["FARGATE"],
            "cpu": "256",
            "memory": "512",
            "containerDefinitions": [{"name": "app", "image": "app:1"}],
        },
    )
    found = lab.create(desired=6, networkConfiguration=NETWORK)
    assert "launchType" not in found
    assert found["capacityProviderStrategy"] == [strategy[0], {**strategy[1], "base": 0}]
    lab.turn()
    providers = [one.capacity_provider for one in lab.wanted()]
    assert (providers.count("FARGATE"), providers.count("FARGATE_SPOT")) == (3, 3)


def test_tags_are_described_only_when_they_are_asked_for(lab: ServiceLab) -> None:
    lab.create(tags=[{"key": "a", "value": "b"}], propagateTags="SERVICE", enableECSManagedTags=True)
    assert lab.described()["tags"] == []
    found = lab.api.call("DescribeServices", {"services": ["web"], "include": ["TAGS"]})["services"][0]
    assert found["tags"] == [{"key": "a", "value": "b"}]
    lab.turn()
    assert lab.wanted()[0].tags == {"a": "b", "aws:ecs:clusterName": "default", "aws:ecs:serviceName": "web"}


def test_the_same_request_makes_one_service_and_another_is_refused(lab: ServiceLab) -> None:
    first = lab.create()
    assert lab.create()["deployments"][0]["id"] == first["deployments"][0]["id"]
    refusal = lab.api.refused("CreateService", {**WHOLE, "desiredCount": 2})
    assert (refusal.code, str(refusal)) == ("InvalidParameterException", "Creation of service was not idempotent.")


def test_the_same_token_makes_one_service(lab: ServiceLab) -> None:
    first = lab.create(clientToken="t")
    lab.update(desiredCount=3)
    assert lab.create(clientToken="t")["serviceArn"] == first["serviceArn"]
    other = {**WHOLE, "serviceName": "other", "clientToken": "t"}
    assert str(lab.api.refused("CreateService", other)) == "Creation of service was not idempotent."


def test_services_are_found_by_name_and_both_forms_of_arn_and_failures_are_said(lab: ServiceLab) -> None:
    arn = lab.create()["serviceArn"]
    old = f"arn:aws:ecs:us-east-1:{SCOPE.account}:service/web"
    for given in ("web", arn, old):
        assert lab.api.call("DescribeServices", {"services": [given]})["services"][0]["serviceArn"] == arn
    lab.api.call("CreateCluster", {"clusterName": "other"})
    elsewhere = lab.api.call("DescribeServices", {"cluster": "other", "services": [arn]})
    assert elsewhere == {"services": [], "failures": [{"arn": arn, "reason": "MISSING"}]}
    missing = lab.api.call("DescribeServices", {"services": ["none", "web"]})
    assert [one["serviceName"] for one in missing["services"]] == ["web"]
    assert missing["failures"] == [{"arn": arn.replace("/web", "/none"), "reason": "MISSING"}]


def test_ten_services_are_described_at_once(lab: ServiceLab) -> None:
    names = [f"s{n}" for n in range(11)]
    assert lab.api.refused("DescribeServices", {"services": names}).code == "InvalidParameterException"
    assert str(lab.api.refused("DescribeServices", {"services": []})) == "Services cannot be empty."
    assert lab.api.refused("DescribeServices", {"services": ["a"], "cluster": "x"}).code == "ClusterNotFoundException"


def test_services_are_listed_by_tens(lab: ServiceLab) -> None:
    for index in range(12):
        lab.create(f"s{index:02}")
    first = lab.api.call("ListServices", {})
    assert len(first["serviceArns"]) == 10
    second = lab.api.call("ListServices", {"nextToken": first["nextToken"]})
    assert [one.rpartition("/")[2] for one in second["serviceArns"]] == ["s10", "s11"]
    assert "nextToken" not in second
    assert len(lab.api.call("ListServices", {"maxResults": 100})["serviceArns"]) == 12


def test_lists_are_filtered(lab: ServiceLab) -> None:
    lab.create("replica")
    lab.create("daemon", desired=None, bounds=(0, 100), schedulingStrategy="DAEMON")
    for params, names in (
        ({"schedulingStrategy": "DAEMON"}, ["daemon"]),
        ({"schedulingStrategy": "REPLICA"}, ["replica"]),
        ({"launchType": "EC2"}, ["daemon", "replica"]),
        ({"launchType": "FARGATE"}, []),
        ({"resourceManagementType": "ECS"}, []),
        ({"resourceManagementType": "CUSTOMER"}, ["daemon", "replica"]),
    ):
        found = lab.api.call("ListServices", params)["serviceArns"]
        assert [one.rpartition("/")[2] for one in found] == names


def test_services_of_a_namespace_are_listed(lab: ServiceLab) -> None:
    namespace = f"arn:aws:servicediscovery:us-east-1:{SCOPE.account}:namespace/internal"
    arn = lab.create(serviceConnectConfiguration={"enabled": True, "namespace": "internal"})["serviceArn"]
    lab.create("other", serviceConnectConfiguration={"enabled": False, "namespace": "internal"})
    lab.create("none")
    for given in ("internal", namespace):
        assert lab.api.call("ListServicesByNamespace", {"namespace": given}) == {"serviceArns": [arn]}
    assert lab.api.call("ListServicesByNamespace", {"namespace": "x"}) == {"serviceArns": []}
    elsewhere = Scope(region="eu-west-1", account=SCOPE.account)
    assert lab.api.call("ListServicesByNamespace", {"namespace": "internal"}, scope=elsewhere) == {"serviceArns": []}


def test_the_clusters_namespace_is_service_connects_default(lab: ServiceLab) -> None:
    lab.api.call("UpdateCluster", {"cluster": "default", "serviceConnectDefaults": {"namespace": "internal"}})
    lab.create(serviceConnectConfiguration={"enabled": True})
    assert lab.described()["deployments"][0]["serviceConnectConfiguration"]["enabled"] is True
    assert len(lab.api.call("ListServicesByNamespace", {"namespace": "internal"})["serviceArns"]) == 1


def test_what_has_no_effect_is_said(lab: ServiceLab) -> None:
    alarms = {"alarmNames": ["a"], "rollback": True, "enable": True}
    registry = {"registryArn": f"arn:aws:servicediscovery:us-east-1:{SCOPE.account}:service/srv-1"}
    outcome = lab.api.outcome(
        "CreateService",
        {
            **WHOLE,
            "deploymentConfiguration": {"alarms": alarms},
            "serviceRegistries": [registry],
            "serviceConnectConfiguration": {"enabled": True},
        },
    )
    assert len(outcome.warnings) == 3
    assert outcome.body["service"]["deploymentConfiguration"]["alarms"] == alarms


@pytest.mark.parametrize(
    ("params", "code", "message"),
    [
        ({"serviceName": "no spaces"}, "InvalidParameterException", "Invalid service name 'no spaces'"),
        ({"taskDefinition": None}, "InvalidParameterException", "TaskDefinition can not be blank."),
        ({"taskDefinition": "none"}, "ClientException", "TaskDefinition not found."),
        ({"desiredCount": None}, "InvalidParameterException", "desiredCount must be specified"),
        ({"desiredCount": -1}, "InvalidParameterException", "desiredCount cannot be negative: -1."),
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
