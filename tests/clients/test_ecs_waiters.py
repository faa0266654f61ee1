"""botocore's four waiters of ECS end as on AWS: well, and badly. Only their delays are shorter."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import WaiterError
from ecs_server_lab import Server, eventually, server

pytestmark = pytest.mark.clients

PATIENT = {"Delay": 0.1, "MaxAttempts": 900}
HASTY = {"Delay": 0.1, "MaxAttempts": 3}
STEM = "arn:aws:ecs:us-east-1:000000000000"

type Json = dict[str, Any]


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server(tmp_path_factory.mktemp("ecs")) as made:
        client = made.client()
        client.create_cluster()
        behaviours: dict[str, Json] = {
            "web": {},
            "gone": {"pullFailure": "there is no such image"},
            "job": {"exitCode": 3},
        }
        for family, behaviour in behaviours.items():
            said = [{"name": "KECS_SIMULATE", "value": json.dumps(behaviour)}]
            app = {"name": "app", "image": "app:1", "memory": 64, "environment": said}
            client.register_task_definition(family=family, containerDefinitions=[app])
        yield made


@pytest.fixture
def ecs(process: Server) -> Any:
    return process.client()


def run(ecs: Any, family: str, count: int = 1) -> list[str]:
    return [one["taskArn"] for one in ecs.run_task(taskDefinition=family, count=count)["tasks"]]


def serve(ecs: Any, name: str, family: str = "web", **service: Any) -> str:
    ecs.create_service(serviceName=name, taskDefinition=family, **{"desiredCount": 2, **service})
    return name


def described(ecs: Any, name: str) -> Any:
    return ecs.describe_services(services=[name])["services"][0]


def waits(ecs: Any, waiter: str, config: Json | None = None, **what: Any) -> None:
    ecs.get_waiter(waiter).wait(**what, WaiterConfig=config or PATIENT)


def fails(ecs: Any, waiter: str, config: Json | None = None, **what: Any) -> WaiterError:
    with pytest.raises(WaiterError) as raised:
        waits(ecs, waiter, config, **what)
    return raised.value


def test_tasks_run(ecs: Any) -> None:
    arns = run(ecs, "web", 3)
    waits(ecs, "tasks_running", tasks=arns)
    assert {one["lastStatus"] for one in ecs.describe_tasks(tasks=arns)["tasks"]} == {"RUNNING"}


def test_tasks_that_stop_will_not_run(ecs: Any) -> None:
    arns = run(ecs, "gone") + run(ecs, "web")
    error = fails(ecs, "tasks_running", tasks=arns)
    assert 'we matched expected path: "STOPPED" at least once' in str(error)
    last: Any = error.last_response
    stopped = next(one for one in last["tasks"] if one["lastStatus"] == "STOPPED")
    assert stopped["stopCode"] == "TaskFailedToStart"
    assert stopped["stoppedReason"] == "CannotPullContainerError: there is no such image"


def test_tasks_that_are_missing_will_not_run(ecs: Any) -> None:
    unknown = f"{STEM}:task/default/{'0' * 32}"
    error = fails(ecs, "tasks_running", tasks=[*run(ecs, "web"), unknown])
    assert 'we matched expected path: "MISSING" at least once' in str(error)
    assert error.last_response.get("failures") == [{"arn": unknown, "reason": "MISSING"}]


def test_tasks_stop(ecs: Any) -> None:
    ended, told = run(ecs, "job"), run(ecs, "web", 2)
    for arn in told:
        ecs.stop_task(task=arn, reason="that will do")
    waits(ecs, "tasks_stopped", tasks=ended + told)
    found = {one["taskArn"]: one for one in ecs.describe_tasks(tasks=ended + told)["tasks"]}
    assert (found[ended[0]]["stopCode"], found[ended[0]]["containers"][0]["exitCode"]) == (
        "EssentialContainerExited",
        3,
    )
    assert {(found[arn]["stopCode"], found[arn]["stoppedReason"]) for arn in told} == {
        ("UserInitiated", "that will do")
    }


def test_tasks_that_run_are_waited_for_in_vain(ecs: Any) -> None:
    arns = run(ecs, "web")
    waits(ecs, "tasks_running", tasks=arns)
    assert "Max attempts exceeded" in str(fails(ecs, "tasks_stopped", HASTY, tasks=arns))


def test_services_become_stable(ecs: Any) -> None:
    names = [serve(ecs, "one"), serve(ecs, "other", desiredCount=1)]
    waits(ecs, "services_stable", services=names)
    ecs.update_service(service="one", desiredCount=3)
    ecs.update_service(service="other", forceNewDeployment=True)
    waits(ecs, "services_stable", services=names)
    found = {one["serviceName"]: one for one in ecs.describe_services(services=names)["services"]}
    assert {name: one["runningCount"] for name, one in found.items()} == {"one": 3, "other": 1}
    assert {len(one["deployments"]) for one in found.values()} == {1}


def test_a_rollback_ends_stable(ecs: Any) -> None:
    breaker = {"deploymentCircuitBreaker": {"enable": True, "rollback": True}}
    serve(ecs, "back", desiredCount=1, deploymentConfiguration=breaker)
    eventually(lambda: described(ecs, "back")["deployments"][0]["rolloutState"] == "COMPLETED")
    ecs.update_service(service="back", taskDefinition="gone")
    waits(ecs, "services_stable", services=["back"])
    found = described(ecs, "back")
    assert found["taskDefinition"].endswith(":task-definition/web:1")
    assert any("rolling back to deployment ecs-svc/" in one["message"] for one in found["events"])


def test_services_whose_tasks_fail_do_not(ecs: Any) -> None:
    assert "Max attempts exceeded" in str(
        fails(ecs, "services_stable", HASTY, services=[serve(ecs, "failing", "gone")])
    )


def test_services_that_are_missing_will_not(ecs: Any) -> None:
    error = fails(ecs, "services_stable", services=["nothing"])
    assert 'we matched expected path: "MISSING" at least once' in str(error)
    assert error.last_response.get("failures") == [{"arn": f"{STEM}:service/default/nothing", "reason": "MISSING"}]


def test_services_that_are_deleted_will_not_and_become_inactive(ecs: Any) -> None:
    waits(ecs, "services_stable", services=[serve(ecs, "ending")])
    assert ecs.delete_service(service="ending", force=True)["service"]["status"] == "DRAINING"
    error = str(fails(ecs, "services_stable", services=["ending"]))
    assert any(f'we matched expected path: "{status}" at least once' in error for status in ("DRAINING", "INACTIVE"))
    waits(ecs, "services_inactive", services=["ending"])
    error = str(fails(ecs, "services_stable", services=["ending"]))
    assert 'we matched expected path: "INACTIVE" at least once' in error


def test_one_inactive_service_is_enough(ecs: Any) -> None:
    names = [serve(ecs, "first"), serve(ecs, "second")]
    ecs.update_service(service="first", desiredCount=0)
    ecs.delete_service(service="first")
    waits(ecs, "services_inactive", services=names)
    found = {one["serviceName"]: one["status"] for one in ecs.describe_services(services=names)["services"]}
    assert found == {"first": "INACTIVE", "second": "ACTIVE"}
    assert not [one for one in ecs.list_services(maxResults=100)["serviceArns"] if one.endswith("/first")]


def test_services_that_are_missing_do_not_become_inactive(ecs: Any) -> None:
    error = fails(ecs, "services_inactive", services=["nothing"])
    assert 'we matched expected path: "MISSING" at least once' in str(error)


def test_services_that_are_active_are_waited_for_in_vain(ecs: Any) -> None:
    assert "Max attempts exceeded" in str(fails(ecs, "services_inactive", HASTY, services=[serve(ecs, "active")]))
