"""Clusters, as clients meet them."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from ecs_lab import NOW, SCOPE, EcsLab, ecs_client

from kecs.controlplane.records import Cluster, ContainerInstance, Service, Task
from kecs.controlplane.records.services import ServiceStatus
from kecs.controlplane.records.tasks import TaskStatus
from kecs.controlplane.state import Changes, Scope

ARN = "arn:aws:ecs:us-east-1:000000000000:cluster/{}".format
PROVIDER = "arn:aws:autoscaling:us-east-1:000000000000:autoScalingGroup:1:autoScalingGroupName/g"


def service(name: str, **fields: Any) -> Service:
    given = {"status": ServiceStatus.ACTIVE, "desired_count": 1, "created_at": NOW, **fields}
    return Service(arn=f"arn:aws:ecs:us-east-1:000000000000:service/c/{name}", name=name, cluster_arn=ARN("c"), **given)


def task(number: int, status: TaskStatus, **fields: Any) -> Task:
    return Task(
        arn=f"arn:aws:ecs:us-east-1:000000000000:task/c/{number:032x}",
        cluster_arn=ARN("c"),
        definition_arn="arn:aws:ecs:us-east-1:000000000000:task-definition/f:1",
        last_status=status,
        containers=(),
        group="family:f",
        created_at=NOW,
        **fields,
    )


def instance(number: int, **fields: Any) -> ContainerInstance:
    arn = f"arn:aws:ecs:us-east-1:000000000000:container-instance/c/{number:032x}"
    given = {"node": "", **fields}
    return ContainerInstance(arn=arn, cluster_arn=ARN("c"), registered_at=NOW, **given)


@pytest.fixture
def lab() -> EcsLab:
    return EcsLab()


@pytest.fixture
def with_c(lab: EcsLab) -> EcsLab:
    lab.call("CreateCluster", {"clusterName": "c"})
    return lab


def test_a_new_cluster_is_told_whole(lab: EcsLab) -> None:
    made = lab.call("CreateCluster", {"clusterName": "c", "tags": [{"key": "a", "value": "b"}]})
    assert made["cluster"] == {
        "clusterArn": ARN("c"),
        "clusterName": "c",
        "status": "ACTIVE",
        "registeredContainerInstancesCount": 0,
        "runningTasksCount": 0,
        "pendingTasksCount": 0,
        "activeServicesCount": 0,
        "statistics": [],
        "tags": [{"key": "a", "value": "b"}],
        "settings": [{"name": "containerInsights", "value": "disabled"}],
        "capacityProviders": [],
        "defaultCapacityProviderStrategy": [],
        "attachments": [],
    }


def test_without_a_name_it_is_default(lab: EcsLab) -> None:
    assert lab.call("CreateCluster")["cluster"]["clusterName"] == "default"
    assert [c["clusterName"] for c in lab.call("DescribeClusters")["clusters"]] == ["default"]


def test_the_same_again_is_the_same_cluster(lab: EcsLab) -> None:
    wish = {
        "clusterName": "c",
        "settings": [{"name": "containerInsights", "value": "enabled"}],
        "configuration": {"executeCommandConfiguration": {"logging": "NONE"}},
        "capacityProviders": ["FARGATE"],
        "defaultCapacityProviderStrategy": [{"capacityProvider": "FARGATE", "weight": 1}],
        "tags": [{"key": "a", "value": "b"}],
    }
    first = lab.call("CreateCluster", wish)
    lab.later(minutes=1)
    assert lab.call("CreateCluster", wish) == first
    assert lab.call("CreateCluster", {"clusterName": "c"}) == first
    found = lab.state.get(Cluster, ARN("c"))
    assert found is not None
    assert found.created_at == NOW


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"settings": [{"name": "containerInsights", "value": "enabled"}]}, id="settings"),
        pytest.param({"configuration": {"executeCommandConfiguration": {"logging": "NONE"}}}, id="configuration"),
        pytest.param({"capacityProviders": ["FARGATE"]}, id="capacity providers"),
        pytest.param({"serviceConnectDefaults": {"namespace": "n"}}, id="namespace"),
    ],
)
def test_another_cluster_of_the_name_is_refused(with_c: EcsLab, other: dict[str, Any]) -> None:
    error = with_c.refused("CreateCluster", {"clusterName": "c", **other})
    assert (error.code, error.message) == (
        "InvalidParameterException",
        "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).",
    )


@pytest.mark.parametrize(
    ("params", "message"),
    [
        pytest.param({"clusterName": "a b"}, "Cluster must match ^[a-zA-Z0-9\\-_]{1,255}$, but was a b", id="a blank"),
        pytest.param(
            {"clusterName": "x" * 256},
            "Cluster must match ^[a-zA-Z0-9\\-_]{1,255}$, but was " + "x" * 256,
            id="too long",
        ),
        pytest.param(
            {"settings": [{"name": "containerInsights", "value": "on"}]},
            "Invalid value for containerInsights: on. Valid values are enabled, disabled, enhanced.",
            id="an unknown value",
        ),
        pytest.param(
            {"settings": [{"value": "on"}]},
            "Invalid cluster setting name: None. The valid name is containerInsights.",
            id="no name",
        ),
        pytest.param(
            {"configuration": {"executeCommandConfiguration": {"logging": "OVERRIDE"}}},
            "logConfiguration must be specified when logging is OVERRIDE.",
            id="override without configuration",
        ),
        pytest.param(
            {"configuration": {"executeCommandConfiguration": {"logConfiguration": {"s3BucketName": "b"}}}},
            "logConfiguration can be specified only when logging is OVERRIDE.",
            id="configuration without override",
        ),
        pytest.param(
            {"capacityProviders": ["nobody"]},
            "The specified capacity provider was not found. Specify a valid name or ARN and try again.",
            id="an unknown capacity provider",
        ),
        pytest.param(
            {"defaultCapacityProviderStrategy": [{"capacityProvider": "FARGATE", "weight": 1}]},
            (
                "The specified capacity provider strategy contains a capacity provider that is not associated with "
                "the cluster."
            ),
            id="a strategy of others",
        ),
    ],
)
def test_what_a_cluster_can_not_be(lab: EcsLab, params: dict[str, Any], message: str) -> None:
    error = lab.refused("CreateCluster", params)
    assert (error.code, error.message) == ("InvalidParameterException", message)


def test_an_accounts_setting_is_a_new_clusters_default(lab: EcsLab) -> None:
    lab.call("PutAccountSettingDefault", {"name": "containerInsights", "value": "enhanced"})
    assert lab.call("CreateCluster")["cluster"]["settings"] == [{"name": "containerInsights", "value": "enhanced"}]


def test_describing_gives_what_is_included_and_what_is_missing(lab: EcsLab) -> None:
    lab.call(
        "CreateCluster",
        {
            "clusterName": "c",
            "tags": [{"key": "a", "value": "b"}],
            "configuration": {"executeCommandConfiguration": {"logging": "NONE"}},
        },
    )
    plain = lab.call("DescribeClusters", {"clusters": ["c", ARN("c"), "x", ARN("y")]})
    assert [c["clusterName"] for c in plain["clusters"]] == ["c"]
    assert plain["clusters"][0]["tags"] == plain["clusters"][0]["settings"] == []
    assert "configuration" not in plain["clusters"][0]
    assert "attachments" not in plain["clusters"][0]
    assert plain["failures"] == [
        {"arn": ARN("x"), "reason": "MISSING"},
        {"arn": ARN("y"), "reason": "MISSING"},
    ]
    every = ["ATTACHMENTS", "CONFIGURATIONS", "SETTINGS", "STATISTICS", "TAGS"]
    whole = lab.call("DescribeClusters", {"clusters": ["c"], "include": every})["clusters"][0]
    assert whole["tags"] == [{"key": "a", "value": "b"}]
    assert whole["configuration"] == {"executeCommandConfiguration": {"logging": "NONE"}}
    assert whole["settings"] == [{"name": "containerInsights", "value": "disabled"}]
    assert whole["attachments"] == []
    assert {s["name"]: s["value"] for s in whole["statistics"]}["runningFargateTasksCount"] == "0"


def test_at_most_a_hundred_are_described_and_none_is_blank(lab: EcsLab) -> None:
    assert "100" in lab.refused("DescribeClusters", {"clusters": ["c"] * 101}).message
    assert lab.refused("DescribeClusters", {"clusters": [""]}).message == "Clusters can not be blank."


def test_counts_are_counted(with_c: EcsLab) -> None:
    with_c.store.apply(
        Changes(
            put=(
                task(1, TaskStatus.RUNNING, launch_type="FARGATE"),
                task(2, TaskStatus.RUNNING, launch_type="EC2"),
                task(3, TaskStatus.PENDING, launch_type="FARGATE"),
                task(4, TaskStatus.PROVISIONING, launch_type="FARGATE"),
                task(5, TaskStatus.STOPPED),
                task(6, TaskStatus.DEPROVISIONING),
                service("a", launch_type="FARGATE"),
                service("b", status=ServiceStatus.DRAINING),
                service("d", status=ServiceStatus.INACTIVE),
                instance(1),
                instance(2, status="INACTIVE"),
            )
        )
    )
    found = with_c.call("DescribeClusters", {"clusters": ["c"], "include": ["STATISTICS"]})["clusters"][0]
    counts = {name: found[name] for name in found if name.endswith("Count")}
    assert counts == {
        "registeredContainerInstancesCount": 1,
        "runningTasksCount": 2,
        "pendingTasksCount": 2,
        "activeServicesCount": 1,
    }
    statistics = {s["name"]: int(s["value"]) for s in found["statistics"]}
    assert {name: value for name, value in statistics.items() if value} == {
        "runningFargateTasksCount": 1,
        "runningEC2TasksCount": 1,
        "pendingFargateTasksCount": 2,
        "activeFargateServiceCount": 1,
        "drainingEC2ServiceCount": 1,
    }
    assert len(statistics) == 12


def test_regions_and_accounts_have_their_own(with_c: EcsLab) -> None:
    for scope in (Scope(region="eu-west-1", account="000000000000"), replace(SCOPE, account="111111111111")):
        assert with_c.call("ListClusters", scope=scope)["clusterArns"] == []
        assert with_c.call("DescribeClusters", {"clusters": [ARN("c")]}, scope=scope)["clusters"] == []
        assert with_c.refused("DeleteCluster", {"cluster": ARN("c")}, scope=scope).code == "ClusterNotFoundException"
        with_c.call("CreateCluster", {"clusterName": "c"}, scope=scope)
    assert with_c.state.count(Cluster) == 3


def test_listing_is_paged_oldest_first(lab: EcsLab) -> None:
    for name in ("b", "a", "c"):
        lab.call("CreateCluster", {"clusterName": name})
    first = lab.call("ListClusters", {"maxResults": 2})
    assert first["clusterArns"] == [ARN("b"), ARN("a")]
    lab.call("DeleteCluster", {"cluster": "b"})
    second = lab.call("ListClusters", {"maxResults": 2, "nextToken": first["nextToken"]})
    assert second == {"clusterArns": [ARN("c")]}


def test_settings_configuration_and_namespace_can_be_changed(with_c: EcsLab) -> None:
    changed = with_c.call(
        "UpdateCluster",
        {
            "cluster": "c",
            "settings": [{"name": "containerInsights", "value": "enabled"}],
            "configuration": {"executeCommandConfiguration": {"logging": "DEFAULT"}},
            "serviceConnectDefaults": {"namespace": "arn:aws:servicediscovery:us-east-1:000000000000:namespace/ns-1"},
        },
    )["cluster"]
    assert changed["settings"] == [{"name": "containerInsights", "value": "enabled"}]
    assert changed["serviceConnectDefaults"]["namespace"].endswith("ns-1")
    again = with_c.call(
        "UpdateClusterSettings", {"cluster": "c", "settings": [{"name": "containerInsights", "value": "disabled"}]}
    )["cluster"]
    assert again["settings"] == [{"name": "containerInsights", "value": "disabled"}]
    assert again["configuration"] == {"executeCommandConfiguration": {"logging": "DEFAULT"}}
    cleared = with_c.call("UpdateCluster", {"cluster": "c", "serviceConnectDefaults": {"namespace": ""}})["cluster"]
    assert "serviceConnectDefaults" not in cleared


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("UpdateCluster", {}),
        ("UpdateClusterSettings", {"settings": []}),
        ("PutClusterCapacityProviders", {"capacityProviders": [], "defaultCapacityProviderStrategy": []}),
        ("DeleteCluster", {}),
    ],
)
def test_what_is_not_there_is_not_found(lab: EcsLab, operation: str, params: dict[str, Any]) -> None:
    error = lab.refused(operation, {"cluster": "x", **params})
    assert (error.code, error.message) == ("ClusterNotFoundException", "Cluster not found.")


def test_capacity_providers_are_put_whole(with_c: EcsLab) -> None:
    strategy = [
        {"capacityProvider": "FARGATE", "base": 1, "weight": 1},
        {"capacityProvider": "FARGATE_SPOT", "weight": 4},
    ]
    put = with_c.call(
        "PutClusterCapacityProviders",
        {
            "cluster": "c",
            "capacityProviders": ["FARGATE", "FARGATE_SPOT"],
            "defaultCapacityProviderStrategy": strategy,
        },
    )["cluster"]
    assert put["capacityProviders"] == ["FARGATE", "FARGATE_SPOT"]
    assert put["defaultCapacityProviderStrategy"] == [
        {"capacityProvider": "FARGATE", "base": 1, "weight": 1},
        {"capacityProvider": "FARGATE_SPOT", "base": 0, "weight": 4},
    ]
    none = with_c.call(
        "PutClusterCapacityProviders",
        {"cluster": "c", "capacityProviders": [], "defaultCapacityProviderStrategy": []},
    )["cluster"]
    assert none["capacityProviders"] == none["defaultCapacityProviderStrategy"] == []


@pytest.mark.parametrize(
    "user",
    [
        pytest.param(
            service("s", capacity_provider_strategy=({"capacityProvider": "FARGATE", "weight": 1},)), id="a service"
        ),
        pytest.param(task(1, TaskStatus.RUNNING, capacity_provider="FARGATE"), id="a task"),
    ],
)
def test_a_capacity_provider_in_use_stays(with_c: EcsLab, user: Service | Task) -> None:
    with_c.call(
        "PutClusterCapacityProviders",
        {"cluster": "c", "capacityProviders": ["FARGATE"], "defaultCapacityProviderStrategy": []},
    )
    with_c.store.apply(Changes(put=(user,)))
    error = with_c.refused(
        "PutClusterCapacityProviders",
        {"cluster": "c", "capacityProviders": ["FARGATE_SPOT"], "defaultCapacityProviderStrategy": []},
    )
    assert (error.code, error.message) == (
        "ResourceInUseException",
        "The specified capacity provider is in use and cannot be removed.",
    )


def test_twenty_capacity_providers_at_most(with_c: EcsLab) -> None:
    names = [f"p{n}" for n in range(21)]
    for name in names:
        with_c.call(
            "CreateCapacityProvider", {"name": name, "autoScalingGroupProvider": {"autoScalingGroupArn": PROVIDER}}
        )
    error = with_c.refused(
        "PutClusterCapacityProviders",
        {"cluster": "c", "capacityProviders": names, "defaultCapacityProviderStrategy": []},
    )
    assert error.message == "The maximum number of capacity providers per cluster has been exceeded."


@pytest.mark.parametrize(
    ("holder", "code", "what"),
    [
        (service("s"), "ClusterContainsServicesException", "Services are active"),
        (service("s", status=ServiceStatus.DRAINING), "ClusterContainsServicesException", "Services are active"),
        (task(1, TaskStatus.PENDING), "ClusterContainsTasksException", "Tasks are active"),
        (
            instance(1, status="DRAINING"),
            "ClusterContainsContainerInstancesException",
            "Container Instances are active or draining",
        ),
    ],
    ids=["a service", "a draining service", "a task", "an instance"],
)
def test_a_cluster_in_use_stays(with_c: EcsLab, holder: Service, code: str, what: str) -> None:
    with_c.store.apply(Changes(put=(holder,)))
    error = with_c.refused("DeleteCluster", {"cluster": "c"})
    assert (error.code, error.message) == (code, f"The Cluster cannot be deleted while {what}.")


def test_managed_instances_keep_their_cluster(with_c: EcsLab) -> None:
    template = {
        "ec2InstanceProfileArn": "arn:aws:iam::000000000000:instance-profile/p",
        "networkConfiguration": {"subnets": ["subnet-1"]},
    }
    wish = {"infrastructureRoleArn": "arn:aws:iam::000000000000:role/r", "instanceLaunchTemplate": template}
    with_c.call("CreateCapacityProvider", {"name": "m", "cluster": "c", "managedInstancesProvider": wish})
    assert with_c.refused("DeleteCluster", {"cluster": "c"}).code == "ClusterContainsCapacityProviderException"
    with_c.call("DeleteCapacityProvider", {"capacityProvider": "m"})
    with_c.call("DeleteCluster", {"cluster": "c"})


def test_a_deleted_cluster_is_described_as_inactive_and_listed_no_more(with_c: EcsLab) -> None:
    with_c.store.apply(
        Changes(
            put=(
                service("s", status=ServiceStatus.INACTIVE),
                task(1, TaskStatus.STOPPED),
                instance(1, node="node-1"),
            )
        )
    )
    gone = with_c.call("DeleteCluster", {"cluster": ARN("c")})["cluster"]
    assert gone["status"] == "INACTIVE"
    assert gone["registeredContainerInstancesCount"] == 0
    assert with_c.state.count(ContainerInstance) == 0
    assert with_c.call("ListClusters")["clusterArns"] == []
    assert with_c.call("DescribeClusters", {"clusters": ["c"]})["clusters"][0]["status"] == "INACTIVE"
    assert with_c.call("DeleteCluster", {"cluster": "c"})["cluster"]["status"] == "INACTIVE"
    assert with_c.refused("UpdateCluster", {"cluster": "c"}).code == "ClusterNotFoundException"


def test_a_name_can_be_used_again(with_c: EcsLab) -> None:
    with_c.call("DeleteCluster", {"cluster": "c"})
    with_c.later(minutes=5)
    anew = {"clusterName": "c", "settings": [{"name": "containerInsights", "value": "enabled"}]}
    assert with_c.call("CreateCluster", anew)["cluster"]["status"] == "ACTIVE"
    found = with_c.state.get(Cluster, ARN("c"))
    assert found is not None
    assert found.created_at == NOW + timedelta(minutes=5)
    assert found.deleted_at is None


def test_boto3_understands_all_of_it(lab: EcsLab) -> None:
    with lab.served() as url:
        client = ecs_client(url)
        client.create_cluster(clusterName="c", capacityProviders=["FARGATE"])
        found = client.describe_clusters(clusters=["c"], include=["SETTINGS", "STATISTICS", "TAGS"])["clusters"]
        assert found[0]["capacityProviders"] == ["FARGATE"]
        assert client.list_clusters()["clusterArns"] == [ARN("c")]
        assert client.delete_cluster(cluster="c")["cluster"]["status"] == "INACTIVE"
        with pytest.raises(client.exceptions.ClusterNotFoundException, match="Cluster not found"):
            client.update_cluster(cluster="x")
