"""Tags of everything that has an ARN."""

from dataclasses import dataclass
from typing import Any

import pytest
from definitions_lab import definition
from ecs_lab import NOW, EcsLab, ecs_client

from kecs.controlplane import tagging
from kecs.controlplane.errors import ApiError, refused
from kecs.controlplane.records import (
    CapacityProvider,
    Cluster,
    ContainerInstance,
    Service,
    Task,
    TaskDefinition,
    TaskSet,
)
from kecs.controlplane.records.clusters import ClusterStatus
from kecs.controlplane.records.services import ServiceStatus
from kecs.controlplane.records.tasks import TaskStatus
from kecs.controlplane.state import Changes

type Json = dict[str, Any]
type Tagged = CapacityProvider | Cluster | ContainerInstance | Service | Task | TaskDefinition | TaskSet

STEM = "arn:aws:ecs:us-east-1:000000000000:"
CLUSTER = STEM + "cluster/c"


def a_cluster(status: ClusterStatus = ClusterStatus.ACTIVE) -> Cluster:
    return Cluster(arn=CLUSTER, name="c", status=status, created_at=NOW)


def a_service(status: ServiceStatus = ServiceStatus.ACTIVE) -> Service:
    return Service(
        arn=STEM + "service/c/s", name="s", cluster_arn=CLUSTER, status=status, desired_count=1, created_at=NOW
    )


def a_task(status: TaskStatus = TaskStatus.RUNNING) -> Task:
    return Task(
        arn=STEM + "task/c/1",
        cluster_arn=CLUSTER,
        definition_arn=STEM + "task-definition/web:1",
        last_status=status,
        containers=(),
        group="family:web",
        created_at=NOW,
    )


def an_instance(status: str = "ACTIVE") -> ContainerInstance:
    return ContainerInstance(
        arn=STEM + "container-instance/c/1", cluster_arn=CLUSTER, node="n", status=status, registered_at=NOW
    )


def a_definition() -> TaskDefinition:
    return TaskDefinition(arn=STEM + "task-definition/web:1", family="web", revision=1, document={}, registered_at=NOW)


def a_task_set() -> TaskSet:
    return TaskSet(
        arn=STEM + "task-set/c/s/ecs-svc/1",
        service_arn=STEM + "service/c/s",
        cluster_arn=CLUSTER,
        id="ecs-svc/1",
        status="ACTIVE",
        definition_arn="",
        created_at=NOW,
        updated_at=NOW,
    )


def a_provider() -> CapacityProvider:
    return CapacityProvider(arn=STEM + "capacity-provider/p", name="p")


KINDS = [
    pytest.param(a_cluster(), id="a cluster"),
    pytest.param(a_service(), id="a service"),
    pytest.param(a_task(), id="a task"),
    pytest.param(an_instance(), id="a container instance"),
    pytest.param(a_definition(), id="a task definition"),
    pytest.param(a_task_set(), id="a task set"),
    pytest.param(a_provider(), id="a capacity provider"),
]


@dataclass(frozen=True)
class Resource:
    """A resource in a state, by its ARN."""

    lab: EcsLab
    arn: str

    @classmethod
    def of(cls, record: Tagged) -> "Resource":
        lab = EcsLab()
        lab.store.apply(Changes(put=(record,)))
        return cls(lab, record.arn)

    @property
    def tags(self) -> Json:
        listed = self.lab.call("ListTagsForResource", {"resourceArn": self.arn})["tags"]
        return {one["key"]: one["value"] for one in listed}

    def tag(self, **tags: str) -> None:
        wire = [{"key": key, "value": value} for key, value in tags.items()]
        assert self.lab.call("TagResource", {"resourceArn": self.arn, "tags": wire}) == {}

    def untag(self, *keys: str) -> None:
        assert self.lab.call("UntagResource", {"resourceArn": self.arn, "tagKeys": [*keys]}) == {}


@pytest.mark.parametrize("record", KINDS)
def test_tags_come_change_and_go(record: Tagged) -> None:
    resource = Resource.of(record)
    assert resource.tags == {}
    resource.tag(team="a", env="prod")
    resource.tag(team="b")
    assert resource.tags == {"team": "b", "env": "prod"}
    resource.untag("team", "nope")
    assert resource.tags == {"env": "prod"}
    kept = resource.lab.state.get(type(record), resource.arn)
    assert kept is not None
    assert kept.tags == {"env": "prod"}


@pytest.mark.parametrize(
    ("record", "sentence"),
    [
        pytest.param(
            a_cluster(ClusterStatus.INACTIVE),
            "The specified cluster is inactive. Specify an active cluster and try again.",
            id="a deleted cluster, as Terraform looks for it",
        ),
        pytest.param(
            a_service(ServiceStatus.INACTIVE),
            "The specified service is inactive. Specify an active service and try again.",
            id="a deleted service",
        ),
        pytest.param(
            a_task(TaskStatus.STOPPED),
            "The specified task is stopped. Specify a running task and try again.",
            id="a stopped task",
        ),
        pytest.param(
            an_instance("INACTIVE"),
            "The specified container instance is inactive. Specify an active container instance and try again.",
            id="a machine that has gone",
        ),
    ],
)
def test_what_has_ended_has_no_tags(record: Tagged, sentence: str) -> None:
    resource = Resource.of(record)
    for operation, more in (
        ("ListTagsForResource", {}),
        ("TagResource", {"tags": [{"key": "a", "value": ""}]}),
        ("UntagResource", {"tagKeys": ["a"]}),
    ):
        error = resource.lab.refused(operation, {"resourceArn": resource.arn, **more})
        assert (error.code, error.message) == ("InvalidParameterException", sentence)


def test_a_draining_service_has_tags() -> None:
    assert Resource.of(a_service(ServiceStatus.DRAINING)).tags == {}


MISSING = "The specified service was not found. Specify a valid service and try again."


@pytest.mark.parametrize(
    ("arn", "code", "sentence"),
    [
        pytest.param("web", "InvalidParameterException", "Invalid resource ARN.", id="a name"),
        pytest.param("arn:aws:ecs", "InvalidParameterException", "Invalid resource ARN.", id="part of an ARN"),
        pytest.param(
            "arn:aws:s3:us-east-1:000000000000:cluster/c",
            "InvalidParameterException",
            "Invalid resource ARN.",
            id="of another service",
        ),
        pytest.param(STEM + "pond/x", "InvalidParameterException", "Invalid resource ARN.", id="of no kind"),
        pytest.param(STEM + "cluster/", "InvalidParameterException", "Invalid resource ARN.", id="of no name"),
        pytest.param(
            STEM + "service/s",
            "InvalidParameterException",
            "Long arn format must be used for tagging operations",
            id="a service's short ARN",
        ),
        pytest.param(
            STEM + "task/1",
            "InvalidParameterException",
            "Long arn format must be used for tagging operations",
            id="a task's short ARN",
        ),
        pytest.param(STEM + "cluster/x", "ClusterNotFoundException", "Cluster not found.", id="no such cluster"),
        pytest.param(
            STEM + "task-definition/web:9",
            "ClientException",
            "Unable to describe task definition.",
            id="no such definition",
        ),
        pytest.param(STEM + "task-definition/web", "ClientException", "Revision is missing.", id="a family"),
        pytest.param(STEM + "service/c/x", "InvalidParameterException", MISSING, id="no such service"),
        pytest.param(
            "arn:aws:ecs:eu-west-1:000000000000:service/c/s",
            "InvalidParameterException",
            MISSING,
            id="a service elsewhere",
        ),
    ],
)
def test_what_is_not_there_has_no_tags(arn: str, code: str, sentence: str) -> None:
    lab = Resource.of(a_service()).lab
    error = lab.refused("ListTagsForResource", {"resourceArn": arn})
    assert (error.code, error.message) == (code, sentence)


@pytest.mark.parametrize("operation", ["TagResource", "UntagResource"])
def test_tagging_what_is_not_there_is_told_by_its_own_exception(operation: str) -> None:
    params: Json = {"resourceArn": STEM + "service/c/x", "tags": [{"key": "a"}], "tagKeys": ["a"]}
    params.pop("tagKeys" if operation == "TagResource" else "tags")
    error = EcsLab().refused(operation, params)
    assert (error.code, error.message) == ("ResourceNotFoundException", MISSING)


def test_a_resource_has_fifty_tags_at_most() -> None:
    resource = Resource.of(a_cluster())
    resource.tag(**{f"k{i}": "" for i in range(50)})
    resource.tag(k1="again")
    error = resource.lab.refused("TagResource", {"resourceArn": CLUSTER, "tags": [{"key": "more", "value": ""}]})
    assert (error.code, error.message) == ("LimitExceededException", "The maximum number of tags per resource is 50.")


def test_tags_of_aws_itself_do_not_count_and_stay() -> None:
    record = a_task()
    record.tags["aws:ecs:clusterName"] = "c"
    resource = Resource.of(record)
    resource.tag(**{f"k{i}": "" for i in range(50)})
    error = resource.lab.refused("UntagResource", {"resourceArn": record.arn, "tagKeys": ["aws:ecs:clusterName"]})
    assert error.message == "Tag keys that begin with 'aws:' are reserved for AWS: 'aws:ecs:clusterName'."
    assert len(resource.tags) == 51


@pytest.mark.parametrize(
    ("tags", "sentence"),
    [
        pytest.param([{"value": "1"}], "Tag key can not be null or empty.", id="no key"),
        pytest.param([{"key": "", "value": "1"}], "Tag key can not be null or empty.", id="an empty key"),
        pytest.param(
            [{"key": "Aws:x"}], "Tag keys that begin with 'aws:' are reserved for AWS: 'Aws:x'.", id="a key of AWS's"
        ),
        pytest.param([{"key": "a"}] * 2, "Duplicate tag keys are not allowed: 'a'.", id="a key twice"),
        pytest.param(
            [{"key": f"k{i}"} for i in range(51)], "The maximum number of tags per resource is 50.", id="too many"
        ),
    ],
)
def test_what_can_be_no_tags_is_refused(tags: list[Json], sentence: str) -> None:
    with pytest.raises(ApiError) as raised:
        tagging.from_wire(tags)
    assert (raised.value.code, raised.value.message) == ("InvalidParameterException", sentence)
    with pytest.raises(ApiError) as raised:
        tagging.from_wire(tags, refusal=refused)
    assert raised.value.code == "ClientException"


def test_tags_are_kept_in_their_order_and_told_so() -> None:
    wire = [{"key": "b", "value": "1"}, {"key": "a", "value": ""}]
    assert tagging.from_wire(wire) == {"b": "1", "a": ""}
    assert tagging.to_wire(tagging.from_wire(wire)) == wire
    assert tagging.from_wire(None) == {}
    assert tagging.from_wire([{"key": "a"}]) == {"a": ""}


def test_boto3_tags_a_task_definition() -> None:
    lab = EcsLab()
    with lab.served() as url:
        client = ecs_client(url)
        arn = client.register_task_definition(**definition())["taskDefinition"]["taskDefinitionArn"]
        client.tag_resource(resourceArn=arn, tags=[{"key": "a", "value": "b"}])
        assert client.list_tags_for_resource(resourceArn=arn)["tags"] == [{"key": "a", "value": "b"}]
        assert client.describe_task_definition(taskDefinition="web", include=["TAGS"])["tags"] == [
            {"key": "a", "value": "b"}
        ]
        client.untag_resource(resourceArn=arn, tagKeys=["a"])
        assert client.list_tags_for_resource(resourceArn=arn)["tags"] == []
