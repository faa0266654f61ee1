"""CreateService, DescribeServices, ListServices: what they take, give back and refuse."""

from typing import Any

import pytest
from ecs_lab import SCOPE
from service_lab import NETWORK, TARGETS, ServiceLab

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
        ({"launchType": "EC2"}, ["replica", "daemon"]),
        ({"launchType": "FARGATE"}, []),
        ({"resourceManagementType": "ECS"}, []),
        ({"resourceManagementType": "CUSTOMER"}, ["replica", "daemon"]),
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
            "availabilityZoneRebalancing": "ENABLED",
            "monitoring": {"metricConfigurations": []},
        },
    )
    assert len(outcome.warnings) == 5
    assert outcome.body["service"]["deploymentConfiguration"]["alarms"] == alarms
