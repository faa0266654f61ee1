"""Container instances: a runtime's machines in each cluster, clients' own, and what is left of them."""

from dataclasses import replace
from typing import Any

import pytest
from ecs_lab import EcsLab, ecs_client

from kecs.controlplane.container_instances import kept_instances
from kecs.controlplane.records import Attribute, ContainerInstance, Task
from kecs.controlplane.records.tasks import Container, TaskStatus
from kecs.controlplane.runtime import Node
from kecs.controlplane.state import Changes

CLUSTER = "arn:aws:ecs:us-east-1:000000000000:cluster/{}".format
ZONE = {"ecs.availability-zone": "us-east-1a", "ecs.os-type": "linux"}
ONE = Node(name="one", cpu=2048, memory=4096, attributes=ZONE)
TWO = Node(name="two", cpu=1024, memory=1024, attributes={"ecs.availability-zone": "us-east-1b"})


def keep(lab: EcsLab, *nodes: Node, synced: bool = True) -> Changes:
    found = kept_instances(lab.state, {node.name: node for node in nodes}, synced=synced, now=lab.now, ids=lab.ids)
    lab.store.apply(found)
    return found


def instances(lab: EcsLab, cluster: str = "c") -> dict[str, ContainerInstance]:
    return {one.node: one for one in lab.state.instances_of_cluster(CLUSTER(cluster))}


def shown(lab: EcsLab, instance: ContainerInstance, **params: Any) -> dict[str, Any]:
    asked = {"cluster": "c", "containerInstances": [instance.arn], **params}
    found: dict[str, Any] = lab.call("DescribeContainerInstances", asked)["containerInstances"][0]
    return found


def task(number: int, instance: ContainerInstance, **fields: Any) -> Task:
    given = {"last_status": TaskStatus.RUNNING, "containers": (), **fields}
    return Task(
        arn=f"arn:aws:ecs:us-east-1:000000000000:task/c/{number:032x}",
        cluster_arn=instance.cluster_arn,
        definition_arn="arn:aws:ecs:us-east-1:000000000000:task-definition/f:1",
        group="family:f",
        created_at=instance.registered_at,
        container_instance_arn=instance.arn,
        **given,
    )


@pytest.fixture
def lab() -> EcsLab:
    lab = EcsLab()
    lab.call("CreateCluster", {"clusterName": "c"})
    return lab


@pytest.fixture
def with_one(lab: EcsLab) -> EcsLab:
    keep(lab, ONE)
    return lab


class TestMachines:
    def test_each_active_cluster_has_each_machine_once(self, lab: EcsLab) -> None:
        lab.call("CreateCluster", {"clusterName": "d"})
        lab.call("CreateCluster", {"clusterName": "gone"})
        lab.call("DeleteCluster", {"cluster": "gone"})
        keep(lab, ONE, TWO)
        assert set(instances(lab)) == set(instances(lab, "d")) == {"one", "two"}
        assert instances(lab, "gone") == {}
        assert not keep(lab, ONE, TWO)
        assert instances(lab)["one"].arn != instances(lab, "d")["one"].arn

    def test_what_changes_is_a_new_version(self, with_one: EcsLab) -> None:
        before = instances(with_one)["one"]
        keep(with_one, replace(ONE, ready=False, memory=8192))
        after = instances(with_one)["one"]
        assert (after.arn, after.version) == (before.arn, before.version + 1)
        assert not after.agent_connected
        assert {one["name"]: one["integerValue"] for one in after.registered_resources[:2]} == {
            "CPU": 2048,
            "MEMORY": 8192,
        }

    def test_a_machine_is_gone_only_when_all_have_been_told(self, with_one: EcsLab) -> None:
        assert not keep(with_one, synced=False)
        keep(with_one)
        gone = instances(with_one)["one"]
        assert (gone.status, gone.deleted_at) == ("INACTIVE", with_one.now)
        assert not keep(with_one)
        assert with_one.call("ListContainerInstances", {"cluster": "c"})["containerInstanceArns"] == []

    def test_a_machine_that_comes_back_is_the_one_it_was(self, with_one: EcsLab) -> None:
        before = instances(with_one)["one"]
        keep(with_one)
        keep(with_one, ONE)
        after = instances(with_one)["one"]
        assert replace(after, version=before.version) == before

    def test_one_that_a_client_deregistered_stays_away(self, with_one: EcsLab) -> None:
        arn = instances(with_one)["one"].arn
        with_one.call("DeregisterContainerInstance", {"cluster": "c", "containerInstance": arn})
        assert not keep(with_one, ONE)
        assert instances(with_one)["one"].status == "INACTIVE"

    def test_a_cordoned_machine_is_draining_and_what_clients_say_stays(self, with_one: EcsLab) -> None:
        keep(with_one, replace(ONE, unschedulable=True))
        assert instances(with_one)["one"].status == "DRAINING"
        keep(with_one, ONE)
        assert instances(with_one)["one"].status == "ACTIVE"
        arn = instances(with_one)["one"].arn
        with_one.call(
            "UpdateContainerInstancesState", {"cluster": "c", "containerInstances": [arn], "status": "DRAINING"}
        )
        assert not keep(with_one, ONE)
        assert instances(with_one)["one"].status == "DRAINING"


class TestAnswers:
    def test_an_instance_is_told_whole(self, with_one: EcsLab) -> None:
        one = instances(with_one)["one"]
        found = shown(with_one, one)
        assert found == {
            "containerInstanceArn": one.arn,
            "ec2InstanceId": "one",
            "version": 1,
            "versionInfo": {},
            "remainingResources": found["registeredResources"],
            "registeredResources": list(one.registered_resources),
            "status": "ACTIVE",
            "agentConnected": True,
            "runningTasksCount": 0,
            "pendingTasksCount": 0,
            "attributes": [
                {"name": "ecs.availability-zone", "value": "us-east-1a"},
                {"name": "ecs.os-type", "value": "linux"},
            ],
            "registeredAt": with_one.now,
            "attachments": [],
            "tags": [],
        }
        assert one.arn.startswith("arn:aws:ecs:us-east-1:000000000000:container-instance/c/")

    def test_health_and_tags_when_included(self, with_one: EcsLab) -> None:
        one = instances(with_one)["one"]
        with_one.call("TagResource", {"resourceArn": one.arn, "tags": [{"key": "a", "value": "b"}]})
        both = ["TAGS", "CONTAINER_INSTANCE_HEALTH"]
        found = shown(with_one, one, include=both)
        assert found["tags"] == [{"key": "a", "value": "b"}]
        assert found["healthStatus"]["overallStatus"] == "OK"
        keep(with_one, replace(ONE, ready=False))
        assert shown(with_one, one, include=both)["healthStatus"]["overallStatus"] == "IMPAIRED"

    def test_what_tasks_take_is_not_left_whichever_cluster_they_are_in(self, lab: EcsLab) -> None:
        lab.call("CreateCluster", {"clusterName": "d"})
        keep(lab, ONE)
        here, there = instances(lab)["one"], instances(lab, "d")["one"]
        web = Container(
            arn="x",
            name="web",
            image="i",
            cpu="100",
            memory="300",
            memory_reservation="200",
            network_bindings=(
                {"containerPort": 80, "hostPort": 32768, "protocol": "tcp"},
                {"containerPort": 53, "hostPort": 32769, "protocol": "udp"},
            ),
        )
        side = Container(arn="y", name="side", image="i", cpu="10", memory="50")
        lab.store.apply(
            Changes(
                put=(
                    task(1, here, containers=(web, side)),
                    task(2, there, cpu="512", memory="1024"),
                    task(3, here, cpu="512", memory="1024", last_status=TaskStatus.STOPPED),
                    task(4, here, last_status=TaskStatus.PENDING),
                )
            )
        )
        found = shown(lab, here)
        left = {one["name"]: one for one in found["remainingResources"]}
        assert left["CPU"]["integerValue"] == 2048 - 110 - 512
        assert left["MEMORY"]["integerValue"] == 4096 - 250 - 1024
        assert "32768" in left["PORTS"]["stringSetValue"]
        assert left["PORTS_UDP"]["stringSetValue"] == ["32769"]
        assert (found["runningTasksCount"], found["pendingTasksCount"]) == (1, 1)

    def test_missing_ones_are_failures(self, with_one: EcsLab) -> None:
        found = with_one.call("DescribeContainerInstances", {"cluster": "c", "containerInstances": ["f" * 32]})
        assert found == {
            "containerInstances": [],
            "failures": [
                {
                    "arn": "arn:aws:ecs:us-east-1:000000000000:container-instance/c/" + "f" * 32,
                    "reason": "MISSING",
                }
            ],
        }

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            pytest.param([], "Container Instances cannot be empty.", id="none"),
            pytest.param(["x"] * 101, "Container Instances cannot have more than 100 items.", id="too many"),
            pytest.param(
                ["arn:aws:ecs:us-east-1:000000000000:container-instance/d/1"],
                "Invalid identifier: Identifier is for cluster d. Your cluster is c",
                id="of another cluster",
            ),
        ],
    )
    def test_what_can_not_be_described(self, with_one: EcsLab, given: list[str], message: str) -> None:
        error = with_one.refused("DescribeContainerInstances", {"cluster": "c", "containerInstances": given})
        assert (error.code, error.message) == ("InvalidParameterException", message)

    def test_listing_by_status_and_filter(self, lab: EcsLab) -> None:
        keep(lab, ONE, TWO)
        one, two = (instances(lab)[name].arn for name in ("one", "two"))
        lab.store.apply(Changes(put=(task(1, instances(lab)["two"]),)))

        def listed(**params: Any) -> list[str]:
            found: list[str] = lab.call("ListContainerInstances", {"cluster": "c", **params})["containerInstanceArns"]
            return found

        assert listed() == [one, two]
        assert listed(filter="attribute:ecs.availability-zone == us-east-1b") == [two]
        assert listed(filter="runningTasksCount == 0 and agentConnected == true") == [one]
        assert listed(filter="task:group == family:f") == [two]
        lab.call("UpdateContainerInstancesState", {"cluster": "c", "containerInstances": [two], "status": "DRAINING"})
        assert listed(status="DRAINING") == [two]
        assert listed(status="ACTIVE") == [one]
        first = lab.call("ListContainerInstances", {"cluster": "c", "maxResults": 1})
        assert first["containerInstanceArns"] == [one]
        assert listed(maxResults=1, nextToken=first["nextToken"]) == [two]
        assert lab.refused("ListContainerInstances", {"cluster": "c", "filter": "?"}).message == "Invalid query: ?"

    def test_states_that_can_be_set(self, with_one: EcsLab) -> None:
        arn = instances(with_one)["one"].arn
        asked = {"cluster": "c", "containerInstances": [arn, "0" * 32], "status": "DRAINING"}
        found = with_one.call("UpdateContainerInstancesState", asked)
        assert found["containerInstances"][0]["status"] == "DRAINING"
        assert [one["reason"] for one in found["failures"]] == ["MISSING"]
        version = found["containerInstances"][0]["version"]
        again = with_one.call("UpdateContainerInstancesState", asked)
        assert again["containerInstances"][0]["version"] == version
        keep(with_one)
        failures = with_one.call("UpdateContainerInstancesState", asked)["failures"]
        assert {one["reason"] for one in failures} == {"MISSING", "INACTIVE"}
        error = with_one.refused("UpdateContainerInstancesState", {**asked, "status": "REGISTERING"})
        assert error.message == "Container instances can be set to ACTIVE and DRAINING, not to REGISTERING."


class TestClientsOwn:
    def register(self, lab: EcsLab, **params: Any) -> dict[str, Any]:
        found: dict[str, Any] = lab.call("RegisterContainerInstance", {"cluster": "c", **params})["containerInstance"]
        return found

    def test_it_is_a_record_without_an_agent(self, lab: EcsLab) -> None:
        resources = [{"name": "CPU", "type": "INTEGER", "integerValue": 1024}]
        made = self.register(
            lab,
            instanceIdentityDocument='{"instanceId": "i-1"}',
            totalResources=resources,
            attributes=[{"name": "stack", "value": "prod"}, {"name": "bare"}],
            versionInfo={"agentVersion": "1.80.0"},
            tags=[{"key": "a", "value": "b"}],
        )
        assert made["ec2InstanceId"] == "i-1"
        assert not made["agentConnected"]
        assert made["registeredResources"] == made["remainingResources"] == resources
        assert made["attributes"] == [{"name": "stack", "value": "prod"}, {"name": "bare"}]
        assert made["tags"] == [{"key": "a", "value": "b"}]
        health = shown(lab, instances(lab)[""], include=["CONTAINER_INSTANCE_HEALTH"])["healthStatus"]
        assert health["overallStatus"] == "INSUFFICIENT_DATA"
        assert not keep(lab)
        assert lab.call("ListContainerInstances", {"cluster": "c", "filter": "agentVersion > 1.9"})[
            "containerInstanceArns"
        ] == [made["containerInstanceArn"]]

    def test_it_registers_again_as_itself(self, lab: EcsLab) -> None:
        first = self.register(lab, instanceIdentityDocument='{"instanceId": "i-1"}')
        again = self.register(lab, containerInstanceArn=first["containerInstanceArn"], tags=[])
        assert again == {**first, "version": 2}
        unknown = {"cluster": "c", "containerInstanceArn": first["containerInstanceArn"][:-1] + "f"}
        error = lab.refused("RegisterContainerInstance", unknown)
        assert error.message == "The referenced container instance was not found."

    @pytest.mark.parametrize("document", ["{", "[]"])
    def test_a_document_that_says_no_id(self, lab: EcsLab, document: str) -> None:
        params = {"cluster": "c", "instanceIdentityDocument": document}
        if document == "{":
            error = lab.refused("RegisterContainerInstance", params)
            assert error.message == "The instance identity document can't be read."
        else:
            assert "ec2InstanceId" not in self.register(lab, **params)

    def test_with_tasks_only_force_deregisters(self, lab: EcsLab) -> None:
        arn = self.register(lab)["containerInstanceArn"]
        one = instances(lab)[""]
        custom = Attribute(cluster_arn=one.cluster_arn, target=arn, name="a")
        lab.store.apply(Changes(put=(task(1, one), custom)))
        params = {"cluster": "c", "containerInstance": arn}
        assert lab.refused("DeregisterContainerInstance", params).message == "Found running tasks on the instance."
        gone = lab.call("DeregisterContainerInstance", {**params, "force": True})["containerInstance"]
        assert gone["status"] == "INACTIVE"
        assert lab.state.count(Attribute) == 0
        error = lab.refused("DeregisterContainerInstance", {**params, "force": True})
        assert (error.code, error.message) == (
            "InvalidParameterException",
            "The referenced container instance was not found.",
        )


def test_an_instance_that_agents_ask_for(with_one: EcsLab) -> None:
    arn = instances(with_one)["one"].arn
    assert with_one.refused("UpdateContainerAgent", {"cluster": "c", "containerInstance": arn}).code == (
        "NoUpdateAvailableException"
    )
    for unknown in ("", "f" * 32):
        error = with_one.refused("UpdateContainerAgent", {"cluster": "c", "containerInstance": unknown})
        assert error.message == "The referenced container instance was not found."


def test_other_resources_are_left_as_they_were(with_one: EcsLab) -> None:
    made = with_one.call(
        "RegisterContainerInstance",
        {"cluster": "c", "totalResources": [{"name": "GPU", "type": "STRINGSET", "stringSetValue": ["g"]}]},
    )["containerInstance"]
    assert made["remainingResources"] == [{"name": "GPU", "type": "STRINGSET", "stringSetValue": ["g"]}]


def test_boto3_understands_all_of_it(with_one: EcsLab) -> None:
    with with_one.served() as url:
        client = ecs_client(url)
        arns = client.list_container_instances(cluster="c")["containerInstanceArns"]
        found = client.describe_container_instances(
            cluster="c", containerInstances=arns, include=["CONTAINER_INSTANCE_HEALTH"]
        )
        assert found["containerInstances"][0]["registeredAt"] == with_one.now
        client.update_container_instances_state(cluster="c", containerInstances=arns, status="DRAINING")
        client.deregister_container_instance(cluster="c", containerInstance=arns[0])
