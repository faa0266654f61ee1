"""Task sets: services whose deployments somebody else controls."""

from typing import Any

import pytest
from service_lab import NETWORK, TARGETS, ServiceLab

from kecs.controlplane.records.tasks import Health, TaskStatus


@pytest.fixture
def lab() -> ServiceLab:
    made = ServiceLab()
    controller = {"type": "EXTERNAL"}
    answer = made.api.call(
        "CreateService", {"serviceName": "web", "desiredCount": 10, "deploymentController": controller}
    )["service"]
    assert answer["deployments"] == []
    assert answer["taskSets"] == []
    assert answer["deploymentController"] == controller
    return made


def made(lab: ServiceLab, scale: float = 100, **more: Any) -> Any:
    params = {"cluster": "default", "service": "web", "taskDefinition": "app", **more}
    return lab.api.call("CreateTaskSet", {**params, "scale": {"value": scale, "unit": "PERCENT"}})["taskSet"]


def asked(lab: ServiceLab, operation: str, **params: Any) -> Any:
    return lab.api.call(operation, {"cluster": "default", "service": "web", **params})


def count(lab: ServiceLab, task_set: Any) -> int:
    return len(lab.wanted(deployment=task_set["id"]))


def test_a_task_set_has_its_part_of_the_service_rounded_up(lab: ServiceLab) -> None:
    found = made(lab, 25, externalId="green", tags=[{"key": "a", "value": "b"}])
    assert found["computedDesiredCount"] == 3
    assert found["stabilityStatus"] == "STABILIZING"
    assert found["taskSetArn"].endswith(f":task-set/default/web/{found['id']}")
    assert found["tags"] == [{"key": "a", "value": "b"}]
    lab.turn()
    assert count(lab, found) == 3
    lab.steady()
    [found] = asked(lab, "DescribeTaskSets", taskSets=[found["id"]])["taskSets"]
    assert (found["runningCount"], found["stabilityStatus"], found["tags"]) == (3, "STEADY_STATE", [])
    assert lab.events()[0] == f"(service web, taskSet {found['id']}) has reached a steady state."
    [found] = asked(lab, "DescribeTaskSets", include=["TAGS"])["taskSets"]
    assert found["tags"] == [{"key": "a", "value": "b"}]
    assert lab.described()["taskSets"][0]["externalId"] == "green"


def test_a_deployment_by_two_task_sets(lab: ServiceLab) -> None:
    blue = made(lab)
    lab.steady()
    asked(lab, "UpdateServicePrimaryTaskSet", primaryTaskSet=blue["id"])
    assert lab.described()["taskDefinition"].endswith("app:1")
    lab.register("app", image="app:2")
    green = made(lab, 20)
    lab.steady()
    assert (count(lab, blue), count(lab, green)) == (10, 2)
    changed = asked(lab, "UpdateTaskSet", taskSet=green["taskSetArn"], scale={"value": 100, "unit": "PERCENT"})[
        "taskSet"
    ]
    assert (changed["computedDesiredCount"], changed["stabilityStatus"]) == (10, "STABILIZING")
    lab.steady()
    asked(lab, "UpdateServicePrimaryTaskSet", primaryTaskSet=green["id"])
    states = {one["id"]: one["status"] for one in lab.described()["taskSets"]}
    assert states == {blue["id"]: "ACTIVE", green["id"]: "PRIMARY"}
    assert lab.described()["taskDefinition"].endswith("app:2")
    assert asked(lab, "DeleteTaskSet", taskSet=blue["id"], force=True)["taskSet"]["status"] == "DRAINING"
    lab.turn()
    assert count(lab, blue) == 0
    lab.end()
    assert [one["id"] for one in lab.described()["taskSets"]] == [green["id"]]
    assert lab.described()["runningCount"] == 10


def test_desired_count_scales_task_sets(lab: ServiceLab) -> None:
    found = made(lab, 50)
    lab.steady()
    lab.update(desiredCount=3)
    lab.steady()
    assert count(lab, found) == 2
    assert lab.described()["taskSets"][0]["computedDesiredCount"] == 2


def test_unhealthy_tasks_of_a_task_set_are_replaced(lab: ServiceLab) -> None:
    lab.register("app", healthCheck={"command": ["CMD", "true"]})
    found = made(lab, 10)
    lab.turn()
    lab.run(health=Health.UNHEALTHY)
    assert [one.stopped_reason for one in lab.tasks() if one.desired_status is TaskStatus.STOPPED] == [
        "Task failed container health checks"
    ]
    lab.end()
    lab.settle()
    assert count(lab, found) == 1


def test_what_task_sets_refuse(lab: ServiceLab) -> None:
    first = made(lab)
    whole = {"cluster": "default", "service": "web"}
    refusal = lab.api.refused("DeleteTaskSet", {**whole, "taskSet": first["id"]})
    assert refusal.code == "InvalidParameterException"
    refusal = lab.api.refused(
        "UpdateTaskSet", {**whole, "taskSet": "ecs-svc/1", "scale": {"value": 1, "unit": "PERCENT"}}
    )
    assert refusal.code == "TaskSetNotFoundException"
    refusal = lab.api.refused(
        "CreateTaskSet", {**whole, "taskDefinition": "app", "scale": {"value": 101, "unit": "PERCENT"}}
    )
    assert refusal.code == "InvalidParameterException"
    for _ in range(4):
        made(lab, 0)
    refusal = lab.api.refused("CreateTaskSet", {**whole, "taskDefinition": "app"})
    assert refusal.code == "LimitExceededException"
    refusal = lab.api.refused("DeleteService", {"service": "web"} | {"force": False})
    assert str(refusal) == "The service cannot be stopped while it is scaled above 0."
    lab.update(desiredCount=0)
    assert str(lab.api.refused("DeleteService", {"service": "web"})) == (
        "The service cannot be stopped while deployments are active."
    )
    failures = asked(lab, "DescribeTaskSets", taskSets=["ecs-svc/1"])["failures"]
    assert failures == [{"arn": "ecs-svc/1", "reason": "MISSING"}]
    asked(lab, "DeleteTaskSet", taskSet=first["id"], force=True)
    refusal = lab.api.refused("UpdateServicePrimaryTaskSet", {**whole, "primaryTaskSet": first["id"]})
    assert refusal.code == "InvalidParameterException"


def test_the_same_token_makes_one_task_set(lab: ServiceLab) -> None:
    first = made(lab, clientToken="t")
    assert made(lab, clientToken="t")["id"] == first["id"]
    assert len(lab.service().task_sets) == 1


def test_a_service_of_our_own_deployments_has_no_task_sets() -> None:
    lab = ServiceLab()
    lab.create()
    assert "taskSets" not in lab.described()
    params = {"cluster": "default", "service": "web", "taskDefinition": "app"}
    assert lab.api.refused("CreateTaskSet", params).code == "UnsupportedFeatureException"


def test_deleting_the_service_ends_its_task_sets(lab: ServiceLab) -> None:
    made(lab)
    lab.steady()
    lab.api.call("DeleteService", {"service": "web", "force": True})
    lab.turn()
    lab.end()
    assert lab.described()["status"] == "INACTIVE"
    assert lab.described()["taskSets"] == []
    refusal = lab.api.refused("DescribeTaskSets", {"cluster": "default", "service": "web"})
    assert refusal.code == "ServiceNotActiveException"


def test_a_service_of_codedeploy_begins_with_a_primary_task_set() -> None:
    lab = ServiceLab()
    lab.register("app", mode="awsvpc")
    lab.create(desired=2, deploymentController={"type": "CODE_DEPLOY"}, networkConfiguration=NETWORK)
    [first] = lab.described()["taskSets"]
    assert (first["status"], first["computedDesiredCount"], first["startedBy"]) == ("PRIMARY", 2, "CODE_DEPLOY")
    lab.steady()
    assert lab.described()["runningCount"] == 2
    refusal = lab.api.refused("UpdateService", {"service": "web", "taskDefinition": "app"})
    assert str(refusal) == (
        "Unable to update task definition on services with a CODE_DEPLOY deployment controller. "
        "Use AWS CodeDeploy to trigger a new deployment."
    )
    lab.update(desiredCount=1)
    lab.steady()
    assert lab.described()["runningCount"] == 1


def test_task_sets_of_codedeploy_are_not_made_here() -> None:
    lab = ServiceLab()
    lab.create(desired=1, deploymentController={"type": "CODE_DEPLOY"})
    params = {"cluster": "default", "service": "web", "taskDefinition": "app"}
    assert lab.api.refused("CreateTaskSet", params).code == "InvalidParameterException"


def test_a_task_set_asks_for_its_target_groups(lab: ServiceLab) -> None:
    lab.register("app", mode="awsvpc", portMappings=[{"containerPort": 80}])
    balancer = {"targetGroupArn": TARGETS, "containerName": "app", "containerPort": 80}
    found = made(lab, loadBalancers=[balancer], networkConfiguration=NETWORK)
    assert found["loadBalancers"] == [balancer]
    asked(lab, "UpdateServicePrimaryTaskSet", primaryTaskSet=found["id"])
    assert lab.described()["loadBalancers"] == [balancer]
