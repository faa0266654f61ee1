"""Capacity providers, as clients meet them."""

from dataclasses import replace
from typing import Any

import pytest
from ecs_lab import NOW, EcsLab, ecs_client

from kecs.controlplane.capacity_providers import in_use, strategy
from kecs.controlplane.errors import ApiError
from kecs.controlplane.records import Cluster, Service
from kecs.controlplane.records.services import ServiceStatus
from kecs.controlplane.state import Changes, Scope

ARN = "arn:aws:ecs:us-east-1:000000000000:capacity-provider/{}".format
GROUP = "arn:aws:autoscaling:us-east-1:000000000000:autoScalingGroup:1:autoScalingGroupName/g"
NOT_FOUND = "The specified capacity provider was not found. Specify a valid name or ARN and try again."
MANAGED = {
    "infrastructureRoleArn": "arn:aws:iam::000000000000:role/r",
    "instanceLaunchTemplate": {
        "ec2InstanceProfileArn": "arn:aws:iam::000000000000:instance-profile/p",
        "networkConfiguration": {"subnets": ["subnet-1"]},
    },
}


def group(**fields: Any) -> dict[str, Any]:
    return {"autoScalingGroupArn": GROUP, **fields}


@pytest.fixture
def lab() -> EcsLab:
    lab = EcsLab()
    lab.call("CreateCluster", {"clusterName": "c"})
    return lab


@pytest.fixture
def with_p(lab: EcsLab) -> EcsLab:
    lab.call("CreateCapacityProvider", {"name": "p", "autoScalingGroupProvider": group()})
    return lab


def test_fargate_is_there_from_the_beginning(lab: EcsLab) -> None:
    found = lab.call("DescribeCapacityProviders")
    assert found["capacityProviders"] == [
        {"capacityProviderArn": ARN(name), "name": name, "status": "ACTIVE", "tags": [], "type": name}
        for name in ("FARGATE", "FARGATE_SPOT")
    ]
    assert found["failures"] == []


def test_a_new_one_is_told_with_what_was_not_said(lab: EcsLab) -> None:
    made = lab.call(
        "CreateCapacityProvider",
        {"name": "p", "autoScalingGroupProvider": group(), "tags": [{"key": "a", "value": "b"}]},
    )
    assert made["capacityProvider"] == {
        "capacityProviderArn": ARN("p"),
        "name": "p",
        "status": "ACTIVE",
        "autoScalingGroupProvider": {
            "autoScalingGroupArn": GROUP,
            "managedScaling": {"status": "DISABLED"},
            "managedTerminationProtection": "DISABLED",
            "managedDraining": "ENABLED",
        },
        "updateStatus": "CREATE_COMPLETE",
        "tags": [{"key": "a", "value": "b"}],
        "type": "EC2_AUTOSCALING",
    }


def test_scaling_that_is_said_in_part_has_defaults(lab: EcsLab) -> None:
    scaling = {"status": "ENABLED", "minimumScalingStepSize": 2}
    made = lab.call("CreateCapacityProvider", {"name": "p", "autoScalingGroupProvider": group(managedScaling=scaling)})
    assert made["capacityProvider"]["autoScalingGroupProvider"]["managedScaling"] == {
        "status": "ENABLED",
        "targetCapacity": 100,
        "minimumScalingStepSize": 2,
        "maximumScalingStepSize": 10_000,
        "instanceWarmupPeriod": 300,
    }


@pytest.mark.parametrize(
    ("params", "code", "message"),
    [
        pytest.param(
            {"name": name, "autoScalingGroupProvider": group()},
            "ClientException",
            (
                "The specified capacity provider name is invalid. Up to 255 characters are allowed, including letters "
                "(upper and lowercase), numbers, underscores, and hyphens. The name cannot be prefixed with "
                '"aws", "ecs", or "fargate". Specify a valid name and try again.'
            ),
            id=f"name {name!r}",
        )
        for name in ("aws-p", "Ecs", "FARGATE_X", "a b", "")
    ]
    + [
        pytest.param(
            {"name": "p", "autoScalingGroupProvider": group()},
            "ClientException",
            (
                "The specified capacity provider already exists. To change the configuration of an existing capacity "
                "provider, update the capacity provider."
            ),
            id="there is one",
        ),
        pytest.param(
            {"name": "q"},
            "InvalidParameterException",
            "Specify either autoScalingGroupProvider or managedInstancesProvider, but not both.",
            id="of no kind",
        ),
        pytest.param(
            {"name": "q", "autoScalingGroupProvider": group(), "managedInstancesProvider": MANAGED},
            "InvalidParameterException",
            "Specify either autoScalingGroupProvider or managedInstancesProvider, but not both.",
            id="of both kinds",
        ),
        pytest.param(
            {"name": "q", "managedInstancesProvider": MANAGED},
            "InvalidParameterException",
            "A cluster must be specified for a capacity provider with managed instances.",
            id="managed instances of no cluster",
        ),
        pytest.param(
            {"name": "q", "cluster": "x", "managedInstancesProvider": MANAGED},
            "ClusterNotFoundException",
            "Cluster not found.",
            id="managed instances of an unknown cluster",
        ),
        pytest.param(
            {"name": "q", "autoScalingGroupProvider": group(managedTerminationProtection="ENABLED")},
            "ClientException",
            (
                "The managed termination protection setting for the capacity provider is invalid. To enable managed "
                "termination protection for a capacity provider, managed scaling must be enabled."
            ),
            id="protection without scaling",
        ),
    ],
)
def test_what_one_can_not_be(with_p: EcsLab, params: dict[str, Any], code: str, message: str) -> None:
    error = with_p.refused("CreateCapacityProvider", params)
    assert (error.code, error.message) == (code, message)


def test_one_can_be_changed(with_p: EcsLab) -> None:
    changed = with_p.call(
        "UpdateCapacityProvider",
        {"name": "p", "autoScalingGroupProvider": {"managedScaling": {"status": "ENABLED", "targetCapacity": 80}}},
    )["capacityProvider"]
    assert changed["updateStatus"] == "UPDATE_COMPLETE"
    assert changed["autoScalingGroupProvider"]["managedScaling"]["targetCapacity"] == 80
    assert changed["autoScalingGroupProvider"]["autoScalingGroupArn"] == GROUP
    again = with_p.call(
        "UpdateCapacityProvider",
        {"name": "p", "autoScalingGroupProvider": {"managedTerminationProtection": "ENABLED"}},
    )["capacityProvider"]["autoScalingGroupProvider"]
    assert again["managedScaling"]["targetCapacity"] == 80
    assert again["managedTerminationProtection"] == "ENABLED"


def test_managed_instances_keep_what_is_not_said_again(lab: EcsLab) -> None:
    lab.call("CreateCapacityProvider", {"name": "m", "cluster": "c", "managedInstancesProvider": MANAGED})
    changed = lab.call(
        "UpdateCapacityProvider",
        {
            "name": "m",
            "cluster": "c",
            "managedInstancesProvider": {
                "infrastructureRoleArn": "arn:aws:iam::000000000000:role/other",
                "instanceLaunchTemplate": {"monitoring": "DETAILED"},
            },
        },
    )["capacityProvider"]
    assert changed["cluster"] == "c"
    assert changed["type"] == "MANAGED_INSTANCES"
    found = changed["managedInstancesProvider"]
    assert found["infrastructureRoleArn"].endswith("other")
    assert found["instanceLaunchTemplate"]["monitoring"] == "DETAILED"
    assert found["instanceLaunchTemplate"]["networkConfiguration"] == {"subnets": ["subnet-1"]}


@pytest.mark.parametrize(
    ("operation", "params", "message"),
    [
        ("UpdateCapacityProvider", {"name": "x", "autoScalingGroupProvider": {}}, NOT_FOUND),
        ("DeleteCapacityProvider", {"capacityProvider": "x"}, NOT_FOUND),
        (
            "DeleteCapacityProvider",
            {"capacityProvider": "FARGATE"},
            "The FARGATE and FARGATE_SPOT capacity providers are reserved and can't be changed or deleted.",
        ),
        ("UpdateCapacityProvider", {"name": "p"}, "Specify the settings of the kind that the capacity provider has."),
    ],
)
def test_what_can_not_be_changed(with_p: EcsLab, operation: str, params: dict[str, Any], message: str) -> None:
    assert with_p.refused(operation, params).message == message


def test_a_deleted_one_is_inactive_and_its_name_is_free(with_p: EcsLab) -> None:
    gone = with_p.call("DeleteCapacityProvider", {"capacityProvider": ARN("p")})["capacityProvider"]
    assert (gone["status"], gone["updateStatus"]) == ("INACTIVE", "DELETE_COMPLETE")
    found = with_p.call("DescribeCapacityProviders", {"capacityProviders": ["p"]})["capacityProviders"]
    assert found[0]["status"] == "INACTIVE"
    assert "p" not in {one["name"] for one in with_p.call("DescribeCapacityProviders")["capacityProviders"]}
    with_p.call("CreateCapacityProvider", {"name": "p", "autoScalingGroupProvider": group()})


def test_one_that_a_cluster_has_is_not_deleted(with_p: EcsLab) -> None:
    put = {"cluster": "c", "capacityProviders": ["p"], "defaultCapacityProviderStrategy": []}
    with_p.call("PutClusterCapacityProviders", put)
    kept = with_p.call("DeleteCapacityProvider", {"capacityProvider": "p"})["capacityProvider"]
    assert kept["status"] == "ACTIVE"
    assert kept["updateStatus"] == "DELETE_FAILED"
    assert kept["updateStatusReason"] == (
        "The capacity provider cannot be deleted because it is associated with cluster: c. "
        "Remove the capacity provider from the cluster and try again."
    )
    with_p.call("PutClusterCapacityProviders", {**put, "capacityProviders": []})
    assert with_p.call("DeleteCapacityProvider", {"capacityProvider": "p"})["capacityProvider"]["status"] == "INACTIVE"


def test_describing_by_name_arn_and_cluster(with_p: EcsLab) -> None:
    with_p.call("TagResource", {"resourceArn": ARN("p"), "tags": [{"key": "a", "value": "b"}]})
    found = with_p.call(
        "DescribeCapacityProviders",
        {"capacityProviders": ["p", ARN("FARGATE"), "x", ARN("y")], "include": ["TAGS"]},
    )
    assert [one["name"] for one in found["capacityProviders"]] == ["FARGATE", "p"]
    assert found["capacityProviders"][1]["tags"] == [{"key": "a", "value": "b"}]
    assert found["failures"] == [{"arn": ARN("x"), "reason": "MISSING"}, {"arn": ARN("y"), "reason": "MISSING"}]
    put = {"cluster": "c", "capacityProviders": ["p"], "defaultCapacityProviderStrategy": []}
    with_p.call("PutClusterCapacityProviders", put)
    of_c = with_p.call("DescribeCapacityProviders", {"cluster": "c"})
    assert [one["name"] for one in of_c["capacityProviders"]] == ["p"]
    asked = with_p.call("DescribeCapacityProviders", {"cluster": "c", "capacityProviders": ["FARGATE", "p"]})
    assert [one["name"] for one in asked["capacityProviders"]] == ["p"]
    assert asked["failures"] == [{"arn": ARN("FARGATE"), "reason": "MISSING"}]


def test_describing_all_is_paged(lab: EcsLab) -> None:
    for number in range(12):
        lab.call("CreateCapacityProvider", {"name": f"p{number:02}", "autoScalingGroupProvider": group()})
    names: list[str] = []
    token: dict[str, str] = {}
    while True:
        found = lab.call("DescribeCapacityProviders", {"maxResults": 5, **token})
        names += [one["name"] for one in found["capacityProviders"]]
        if "nextToken" not in found:
            break
        token = {"nextToken": found["nextToken"]}
    assert names == ["FARGATE", "FARGATE_SPOT", *(f"p{number:02}" for number in range(12))]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        pytest.param([{"capacityProvider": "x", "weight": 1}], NOT_FOUND, id="unknown"),
        pytest.param(
            [{"capacityProvider": "FARGATE", "weight": 1}, {"capacityProvider": "p"}],
            (
                "A capacity provider strategy cannot contain a mix of capacity providers using Auto Scaling groups and "
                "Fargate providers. Specify one or the other and try again."
            ),
            id="mixed",
        ),
        pytest.param(
            [{"capacityProvider": "FARGATE", "weight": 1}] * 2,
            "A capacity provider may be in a capacity provider strategy only once.",
            id="twice",
        ),
        pytest.param(
            [{"capacityProvider": "FARGATE", "weight": 1}] * 21,
            "A capacity provider strategy may contain a maximum of 20 capacity providers.",
            id="too many",
        ),
        pytest.param(
            [{"capacityProvider": name, "weight": 1, "base": 1} for name in ("FARGATE", "FARGATE_SPOT")],
            "Only one capacity provider in a capacity provider strategy can have a base defined.",
            id="two bases",
        ),
        pytest.param(
            [{"capacityProvider": "FARGATE"}],
            "At least one capacity provider in a capacity provider strategy must have a weight greater than 0.",
            id="no weight",
        ),
    ],
)
def test_what_a_strategy_can_not_be(with_p: EcsLab, given: list[dict[str, Any]], message: str) -> None:
    put = {"cluster": "c", "capacityProviders": ["FARGATE", "FARGATE_SPOT", "p"]}
    with_p.call("PutClusterCapacityProviders", {**put, "defaultCapacityProviderStrategy": []})
    cluster = with_p.state.get(Cluster, "arn:aws:ecs:us-east-1:000000000000:cluster/c")
    assert cluster is not None
    with pytest.raises(ApiError) as raised:
        strategy(with_p.state, cluster, given)
    assert raised.value.message == message
    error = with_p.refused("PutClusterCapacityProviders", {**put, "defaultCapacityProviderStrategy": given})
    assert (error.code, error.message) == ("InvalidParameterException", message)


def test_one_that_a_service_uses_is_in_use(with_p: EcsLab) -> None:
    arn = "arn:aws:ecs:us-east-1:000000000000:cluster/c"
    cluster = with_p.state.get(Cluster, arn)
    assert cluster is not None
    service = Service(
        arn="arn:aws:ecs:us-east-1:000000000000:service/c/s",
        name="s",
        cluster_arn=arn,
        desired_count=1,
        created_at=NOW,
        capacity_provider_strategy=({"capacityProvider": "p", "weight": 1},),
    )
    with_p.store.apply(Changes(put=(service,)))
    error = in_use(with_p.state, cluster, {"p"})
    assert error is not None
    assert error.code == "ResourceInUseException"
    assert in_use(with_p.state, cluster, {"FARGATE"}) is None
    assert in_use(with_p.state, cluster, set()) is None
    with_p.store.apply(Changes(put=(replace(service, status=ServiceStatus.INACTIVE),)))
    assert in_use(with_p.state, cluster, {"p"}) is None


def test_another_region_has_none_of_them(with_p: EcsLab) -> None:
    elsewhere = Scope(region="eu-west-1", account="000000000000")
    found = with_p.call("DescribeCapacityProviders", {"capacityProviders": ["p"]}, scope=elsewhere)
    assert found["failures"][0]["reason"] == "MISSING"


def test_boto3_understands_all_of_it(lab: EcsLab) -> None:
    with lab.served() as url:
        client = ecs_client(url)
        client.create_capacity_provider(name="p", autoScalingGroupProvider={"autoScalingGroupArn": GROUP})
        client.update_capacity_provider(name="p", autoScalingGroupProvider={"managedDraining": "DISABLED"})
        found = client.describe_capacity_providers(capacityProviders=["p"])["capacityProviders"][0]
        assert found["autoScalingGroupProvider"]["managedDraining"] == "DISABLED"
        assert client.delete_capacity_provider(capacityProvider="p")["capacityProvider"]["status"] == "INACTIVE"
