"""UpdateService: what it changes, and what of it makes a new deployment."""

from typing import Any

import pytest
from service_lab import NETWORK, TARGETS, ServiceLab

from kecs.controlplane.errors import ApiError

SERVED: dict[str, Any] = {"targetGroupArn": TARGETS, "containerName": "app", "containerPort": 80}


@pytest.fixture
def lab() -> ServiceLab:
    made = ServiceLab()
    made.register("app", mode="awsvpc", portMappings=[{"containerPort": 80}])
    made.create(desired=1, networkConfiguration=NETWORK)
    made.steady()
    return made


OTHER_NETWORK = {"awsvpcConfiguration": {"subnets": ["subnet-2"]}}
CONNECT = {"enabled": True, "namespace": "internal"}


@pytest.mark.parametrize(
    "params",
    [
        pytest.param({"forceNewDeployment": True}, id="forced"),
        pytest.param({"networkConfiguration": OTHER_NETWORK}, id="another network"),
        pytest.param({"loadBalancers": [SERVED]}, id="a load balancer"),
        pytest.param({"serviceRegistries": [{"registryArn": "arn:aws:servicediscovery:r"}]}, id="a registry"),
        pytest.param({"serviceConnectConfiguration": CONNECT}, id="service connect"),
        pytest.param({"taskDefinition": "new"}, id="another definition"),
    ],
)
def test_these_members_make_a_new_deployment(lab: ServiceLab, params: dict[str, Any]) -> None:
    lab.register("new", mode="awsvpc")
    before = lab.described()["deployments"][0]["id"]
    told = lab.update(**params)["deployments"]
    assert [one["status"] for one in told] == ["PRIMARY", "ACTIVE"]
    assert told[0]["id"] != before
    lab.steady()
    assert [one["id"] for one in lab.described()["deployments"]] == [told[0]["id"]]
    again = {name: value for name, value in params.items() if name != "forceNewDeployment"}
    assert len(lab.update(**again)["deployments"]) == 1, "the same again changes nothing"


@pytest.mark.parametrize(
    ("params", "member", "value"),
    [
        ({"desiredCount": 4}, "desiredCount", 4),
        ({"healthCheckGracePeriodSeconds": 30}, "healthCheckGracePeriodSeconds", 30),
        ({"enableExecuteCommand": True}, "enableExecuteCommand", True),
        ({"enableECSManagedTags": True}, "enableECSManagedTags", True),
        ({"propagateTags": "SERVICE"}, "propagateTags", "SERVICE"),
        ({"availabilityZoneRebalancing": "ENABLED"}, "availabilityZoneRebalancing", "ENABLED"),
        (
            {"placementConstraints": [{"type": "distinctInstance"}]},
            "placementConstraints",
            [{"type": "distinctInstance"}],
        ),
        ({"placementStrategy": [{"type": "random"}]}, "placementStrategy", [{"type": "random"}]),
        ({"deploymentController": {"type": "ECS"}}, "deploymentController", {"type": "ECS"}),
        ({"taskDefinition": "app"}, "status", "ACTIVE"),
        ({}, "status", "ACTIVE"),
    ],
)
def test_these_members_do_not(lab: ServiceLab, params: dict[str, Any], member: str, value: object) -> None:
    before = lab.described()["deployments"][0]["id"]
    told = lab.update(**params)
    assert [one["id"] for one in told["deployments"]] == [before]
    assert lab.described()[member] == value


def test_percentages_are_changed_one_by_one(lab: ServiceLab) -> None:
    found = lab.update(deploymentConfiguration={"minimumHealthyPercent": 50})["deploymentConfiguration"]
    assert (found["minimumHealthyPercent"], found["maximumPercent"], found["strategy"]) == (50, 200, "ROLLING")
    breaker = {"enable": True, "rollback": True}
    found = lab.update(deploymentConfiguration={"deploymentCircuitBreaker": breaker})["deploymentConfiguration"]
    assert (found["minimumHealthyPercent"], found["deploymentCircuitBreaker"]) == (50, breaker)


def test_placement_that_is_refused_changes_nothing(lab: ServiceLab) -> None:
    before = lab.described()
    refusals: tuple[tuple[dict[str, Any], str], ...] = (
        ({"placementStrategy": [{"type": "spread", "field": "memory"}]}, "must be instanceId, host or attribute:NAME"),
        ({"placementConstraints": [{"type": "memberOf", "expression": "colour == red"}]}, "Invalid query"),
    )
    for said, message in refusals:
        with pytest.raises(ApiError, match=message) as refused:
            lab.update(desiredCount=3, **said)
        assert refused.value.code == "InvalidParameterException"
    assert lab.described() == before


def test_placement_is_removed_by_empty_lists(lab: ServiceLab) -> None:
    lab.update(placementStrategy=[{"type": "random"}], placementConstraints=[{"type": "distinctInstance"}])
    found = lab.update(placementStrategy=[], placementConstraints=[])
    assert (found["placementStrategy"], found["placementConstraints"]) == ([], [])


def test_load_balancers_are_removed_by_an_empty_list(lab: ServiceLab) -> None:
    lab.update(loadBalancers=[SERVED])
    assert lab.update(loadBalancers=[])["loadBalancers"] == []
    assert len(lab.described()["deployments"]) == 3


def test_a_strategy_and_back_to_the_launch_type(lab: ServiceLab) -> None:
    params = {"cluster": "default", "capacityProviders": ["FARGATE"], "defaultCapacityProviderStrategy": []}
    lab.api.call("PutClusterCapacityProviders", params)
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
    found = lab.update(taskDefinition="app", capacityProviderStrategy=[{"capacityProvider": "FARGATE", "weight": 1}])
    assert "launchType" not in found
    assert found["platformVersion"] == "LATEST"
    found = lab.update(capacityProviderStrategy=[])
    assert (found["launchType"], "capacityProviderStrategy" in found) == ("FARGATE", False)
    assert found["deployments"][0]["launchType"] == "FARGATE"


@pytest.mark.parametrize(
    ("params", "code", "message"),
    [
        ({"service": "none"}, "ServiceNotFoundException", "Service not found."),
        ({"cluster": "none"}, "ClusterNotFoundException", "Cluster not found."),
        ({"taskDefinition": "none"}, "ClientException", "TaskDefinition not found."),
        ({"desiredCount": -1}, "InvalidParameterException", "desiredCount cannot be negative: -1."),
        ({"deploymentController": {"type": "EXTERNAL"}}, "InvalidParameterException", "The deployment controller of a"),
        ({"deploymentConfiguration": {"strategy": "LINEAR"}}, "UnsupportedFeatureException", "The deployment strategy"),
        ({"platformVersion": "1.4.0"}, "InvalidParameterException", "The platform version must be null"),
        (
            {"loadBalancers": [{**SERVED, "containerPort": 81}]},
            "InvalidParameterException",
            "The container app did not have a container port 81 defined.",
        ),
    ],
)
def test_what_update_service_refuses(lab: ServiceLab, params: dict[str, Any], code: str, message: str) -> None:
    before = lab.service()
    refusal = lab.api.refused("UpdateService", {"service": "web", **params})
    assert refusal.code == code
    assert str(refusal).startswith(message)
    assert lab.service() is before


def test_a_definition_of_another_network_mode_is_refused(lab: ServiceLab) -> None:
    lab.register("bridge")
    assert str(lab.api.refused("UpdateService", {"service": "web", "taskDefinition": "bridge"})) == (
        "Network Configuration is not valid for the given networkMode of this task definition."
    )


def test_an_inactive_definition_is_refused_and_the_present_one_goes_on(lab: ServiceLab) -> None:
    lab.api.call("DeregisterTaskDefinition", {"taskDefinition": lab.described()["taskDefinition"]})
    assert lab.update(desiredCount=2)["desiredCount"] == 2
    lab.steady()
    assert lab.described()["runningCount"] == 2, "a service in use goes on with a definition that is inactive"
    refusal = lab.api.refused("UpdateService", {"service": "web", "taskDefinition": "app:2"})
    assert (refusal.code, str(refusal)) == ("ClientException", "TaskDefinition is inactive")


def test_a_daemon_has_no_desired_count() -> None:
    lab = ServiceLab()
    lab.create(desired=None, schedulingStrategy="DAEMON", bounds=(0, 100))
    assert str(lab.api.refused("UpdateService", {"service": "web", "desiredCount": 1})).startswith(
        "The daemon scheduling strategy does not support a desired count for services."
    )


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"networkConfiguration": NETWORK}, "Unable to update network parameters on services with a CODE_DEPLOY"),
        ({"platformVersion": "LATEST"}, "Unable to update platform version on services with a CODE_DEPLOY"),
        ({"loadBalancers": [SERVED]}, "Unable to update load balancers on services with a CODE_DEPLOY"),
        ({"forceNewDeployment": True}, "Cannot force a new deployment on services with a CODE_DEPLOY"),
    ],
)
def test_what_codedeploy_is_asked_for_instead(params: dict[str, Any], message: str) -> None:
    lab = ServiceLab()
    lab.create(deploymentController={"type": "CODE_DEPLOY"})
    refusal = lab.api.refused("UpdateService", {"service": "web", **params})
    assert refusal.code == "InvalidParameterException"
    assert str(refusal).startswith(message)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"healthCheckGracePeriodSeconds": -1}, "healthCheckGracePeriodSeconds cannot be negative: -1."),
        ({"volumeConfigurations": [{"name": "data"}]}, "The task definition has no volume 'data'"),
    ],
)
def test_an_update_refuses_what_creation_refuses(lab: ServiceLab, params: dict[str, Any], message: str) -> None:
    with pytest.raises(ApiError, match=message):
        lab.update(**params)
