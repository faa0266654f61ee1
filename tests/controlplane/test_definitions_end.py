"""The end of task definitions: deregistered, to be deleted, gone."""

from dataclasses import replace
from typing import Any

import pytest
from definitions_lab import register, three
from ecs_lab import NOW, SCOPE, EcsLab

from kecs.controlplane import definitions
from kecs.controlplane.records import Cluster, Service, ServiceRevision, Task, TaskDefinition, TaskSet
from kecs.controlplane.records.definitions import DefinitionStatus
from kecs.controlplane.records.services import Deployment, DeploymentStatus, ServiceStatus
from kecs.controlplane.records.tasks import TaskStatus
from kecs.controlplane.state import Changes, State

type Json = dict[str, Any]

ARN = "arn:aws:ecs:us-east-1:000000000000:task-definition/"
CLUSTER = Cluster(arn="arn:aws:ecs:us-east-1:000000000000:cluster/c", name="c", created_at=NOW)


def test_a_definition_that_is_deregistered_is_inactive_and_stays_so() -> None:
    lab = EcsLab()
    register(lab)
    first = lab.call("DeregisterTaskDefinition", {"taskDefinition": "web:1"})["taskDefinition"]
    assert (first["status"], first["deregisteredAt"]) == ("INACTIVE", NOW)
    lab.later(hours=1)
    again_ = lab.call("DeregisterTaskDefinition", {"taskDefinition": ARN + "web:1"})["taskDefinition"]
    assert again_ == first


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        pytest.param("web", "Revision is missing.", id="a family"),
        pytest.param(ARN + "web", "Revision is missing.", id="an ARN without revision"),
        pytest.param("web:7", "Unable to deregister task definition.", id="one that there is not"),
        pytest.param(
            "web:1",
            "The task definition could not be deregistered because it is in the process of being deleted.",
            id="one that goes",
        ),
    ],
)
def test_what_can_not_be_deregistered(given: str, sentence: str) -> None:
    lab = EcsLab()
    three(lab)
    lab.call("DeleteTaskDefinitions", {"taskDefinitions": ["web:1"]})
    error = lab.refused("DeregisterTaskDefinition", {"taskDefinition": given})
    assert (error.code, error.message) == ("ClientException", sentence)


def test_deletion_tells_each_one_what_becomes_of_it() -> None:
    lab = EcsLab()
    three(lab)
    answer = lab.call("DeleteTaskDefinitions", {"taskDefinitions": ["web:1", ARN + "web:3", "web:2", "web:9", "web"]})
    assert [(one["revision"], one["status"]) for one in answer["taskDefinitions"]] == [
        (1, "DELETE_IN_PROGRESS"),
        (3, "DELETE_IN_PROGRESS"),
    ]
    assert all(one["deleteRequestedAt"] == NOW for one in answer["taskDefinitions"])
    assert answer["failures"] == [
        {
            "arn": "web:2",
            "reason": "The specified task definition is still in ACTIVE status. Please deregister the target and try "
            "again.",
        },
        {
            "arn": "web:9",
            "reason": "The specified task definition does not exist. Specify a valid account, family, revision and try "
            "again.",
        },
        {
            "arn": "web",
            "reason": "The specified task definition identifier is invalid. Specify a valid name or ARN and try again.",
        },
    ]
    lab.later(hours=1)
    second = lab.call("DeleteTaskDefinitions", {"taskDefinitions": ["web:1"]})["taskDefinitions"]
    assert second[0]["deleteRequestedAt"] == NOW


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        pytest.param([], "size of TaskDefinition references list must be greater than 0", id="none"),
        pytest.param(
            [f"web:{i}" for i in range(11)], "Size of TaskDefinition references list cannot exceed 10", id="eleven"
        ),
    ],
)
def test_ten_are_deleted_at_most_and_one_at_least(names: list[str], sentence: str) -> None:
    error = EcsLab().refused("DeleteTaskDefinitions", {"taskDefinitions": names})
    assert (error.code, error.message) == ("InvalidParameterException", sentence)


def going() -> tuple[EcsLab, TaskDefinition]:
    lab = EcsLab()
    register(lab)
    lab.call("DeregisterTaskDefinition", {"taskDefinition": "web:1"})
    lab.call("DeleteTaskDefinitions", {"taskDefinitions": ["web:1"]})
    found = definitions.find(lab.state, SCOPE, "web:1", use=definitions.Use.DESCRIBE)
    assert found.status is DefinitionStatus.DELETE_IN_PROGRESS
    return lab, found


def a_task(last_status: TaskStatus) -> Task:
    return Task(
        arn="arn:aws:ecs:us-east-1:000000000000:task/c/1",
        cluster_arn=CLUSTER.arn,
        definition_arn=ARN + "web:1",
        last_status=last_status,
        containers=(),
        group="family:web",
        created_at=NOW,
    )


def a_service(status: ServiceStatus, *, current: str, deployed: str) -> Service:
    deployment = Deployment(
        id="ecs-svc/1",
        status=DeploymentStatus.ACTIVE,
        definition_arn=deployed,
        desired_count=1,
        created_at=NOW,
        updated_at=NOW,
    )
    return Service(
        arn="arn:aws:ecs:us-east-1:000000000000:service/c/s",
        name="s",
        cluster_arn=CLUSTER.arn,
        status=status,
        desired_count=1,
        definition_arn=current,
        deployments=(deployment,),
        created_at=NOW,
    )


TASK_SET = TaskSet(
    arn="arn:aws:ecs:us-east-1:000000000000:task-set/c/s/ecs-svc/1",
    service_arn="arn:aws:ecs:us-east-1:000000000000:service/c/s",
    cluster_arn=CLUSTER.arn,
    id="ecs-svc/1",
    status="ACTIVE",
    definition_arn=ARN + "web:1",
    created_at=NOW,
    updated_at=NOW,
)


@pytest.mark.parametrize(
    ("user", "gone"),
    [
        pytest.param(None, True, id="nobody uses it"),
        pytest.param(a_task(TaskStatus.RUNNING), False, id="a task runs"),
        pytest.param(a_task(TaskStatus.STOPPING), False, id="a task stops"),
        pytest.param(a_task(TaskStatus.STOPPED), True, id="a task has stopped"),
        pytest.param(
            a_service(ServiceStatus.ACTIVE, current=ARN + "web:1", deployed=ARN + "x:1"), False, id="a service has it"
        ),
        pytest.param(
            a_service(ServiceStatus.DRAINING, current=ARN + "x:1", deployed=ARN + "web:1"), False, id="a deployment has"
        ),
        pytest.param(
            a_service(ServiceStatus.INACTIVE, current=ARN + "web:1", deployed=ARN + "web:1"), True, id="it had one"
        ),
        pytest.param(TASK_SET, False, id="a task set has it"),
    ],
)
def test_what_is_to_be_deleted_goes_when_nothing_uses_it(user: Task | Service | TaskSet | None, *, gone: bool) -> None:
    lab, found = going()
    if user is not None:
        lab.store.apply(Changes(put=(user,)))
    assert definitions.unused(lab.state) == Changes(delete=(found,) if gone else ())


def test_what_a_service_may_be_rolled_back_to_stays() -> None:
    lab, found = going()
    revision = ServiceRevision(
        arn="arn:aws:ecs:us-east-1:000000000000:service-revision/c/s/1",
        service_arn="arn:aws:ecs:us-east-1:000000000000:service/c/s",
        document={"taskDefinition": found.arn},
        created_at=NOW,
    )
    service = a_service(ServiceStatus.ACTIVE, current=ARN + "web:2", deployed=ARN + "web:2")
    lab.store.apply(Changes(put=(revision, replace(service, completed_revision_arn=revision.arn))))
    assert not definitions.unused(lab.state)


def test_nothing_goes_that_nobody_wants_to_delete() -> None:
    lab, found = going()
    state = State([replace(found, status=DefinitionStatus.INACTIVE)])
    assert not definitions.unused(state)
    assert definitions.unused(lab.state)
