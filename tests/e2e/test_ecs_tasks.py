"""Tasks and services of ECS as pods of a real cluster: what they end with, what they wait for, how they are replaced.

The control plane runs beside the cluster, and its tasks have no proxy: what the chart brings is not needed here.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from e2e_lab import get, image, kubectl, wait_for
from ecs_process_lab import PYTHON, Plane, program
from emulator_lab import Emulator
from emulator_lab import running as emulating

type Json = dict[str, Any]

NAMESPACE = "default-us-east-1"
FOREVER = "import signal, sys\nsignal.signal(15, lambda *_: sys.exit(42))\nsignal.pause()"
STUBBORN = "import signal\nsignal.signal(15, signal.SIG_IGN)\nwhile True: signal.pause()"


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with emulating() as found:
        yield found


@pytest.fixture(scope="module")
def plane(cluster: None, emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:  # noqa: ARG001 - comes first
    kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait=true")
    with Plane(tmp_path_factory.mktemp("ecs"), emulator.port) as found:
        found.ecs.create_cluster(clusterName="default")
        yield found
    kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait=true")


def container(task: Json, name: str = "app") -> Json:
    found: Json = next(one for one in task["containers"] if one["name"] == name)
    return found


@pytest.mark.parametrize("code", [0, 3])
def test_a_task_ends_with_its_programs_code(plane: Plane, code: int) -> None:
    task = plane.stopped(plane.run(plane.register(program(f"raise SystemExit({code})"))))
    assert (task["stopCode"], task["stoppedReason"]) == (
        "EssentialContainerExited",
        "Essential container in task exited",
    )
    assert container(task)["exitCode"] == code
    assert container(task)["lastStatus"] == "STOPPED"
    assert task["executionStoppedAt"] <= task["stoppedAt"]


def test_an_image_that_is_not_there_is_why_a_task_does_not_start(plane: Plane) -> None:
    definition = plane.register({"name": "app", "image": "localhost:1/nobody/nothing:1", "memory": 32})
    task = plane.stopped(plane.run(definition))
    assert task["stopCode"] == "TaskFailedToStart"
    assert task["stoppedReason"].startswith("CannotPullContainerError: ")
    assert "exitCode" not in container(task)


def test_a_program_that_is_not_there_is_why_a_container_does_not_start(plane: Plane) -> None:
    task = plane.stopped(plane.run(plane.register(program("", entryPoint=["/nope"]))))
    assert task["stopCode"] == "TaskFailedToStart"
    assert task["stoppedReason"].startswith("CannotStartContainerError: ")


def test_too_much_memory_is_why_a_container_ended(plane: Plane) -> None:
    task = plane.stopped(plane.run(plane.register(program("x = [bytearray(1 << 20) for _ in range(1 << 12)]"))))
    assert container(task)["exitCode"] == 137
    assert container(task)["reason"] == "OutOfMemoryError: Container killed due to memory usage"


def test_a_stop_is_a_signal_and_the_time_to_obey_it(plane: Plane) -> None:
    arn = plane.run(plane.register(program(FOREVER)))
    task = plane.running(arn)
    assert task["desiredStatus"] == "RUNNING"
    assert task["containerInstanceArn"]
    plane.ecs.stop_task(task=arn, reason="enough")
    task = plane.stopped(arn)
    assert (task["stopCode"], task["stoppedReason"]) == ("UserInitiated", "enough")
    assert container(task)["exitCode"] == 42


def test_who_does_not_obey_is_killed(plane: Plane) -> None:
    arn = plane.run(plane.register(program(STUBBORN, stopTimeout=2)))
    plane.running(arn)
    plane.ecs.stop_task(task=arn)
    assert container(plane.stopped(arn))["exitCode"] == 137


def test_containers_wait_for_those_they_depend_on(plane: Plane) -> None:
    shared = [{"sourceVolume": "shared", "containerPath": "/shared"}]
    check = {"command": ["CMD", PYTHON, "-c", "open('/shared/up')"], "interval": 5, "retries": 3}
    first = "open('/shared/order', 'a').write('first '); raise SystemExit(7)"
    second = "import signal; open('/shared/order', 'a').write('second '); open('/shared/up', 'w'); signal.pause()"
    third = "text = open('/shared/order').read(); print(text); assert text == 'first second ', text"
    definition = plane.register(
        program(first, name="first", essential=False, mountPoints=shared),
        program(
            second,
            name="second",
            mountPoints=shared,
            healthCheck=check,
            stopTimeout=2,
            dependsOn=[{"containerName": "first", "condition": "COMPLETE"}],
        ),
        program(third, mountPoints=shared, dependsOn=[{"containerName": "second", "condition": "HEALTHY"}]),
        volumes=[{"name": "shared"}],
    )
    task = plane.stopped(plane.run(definition))
    assert container(task, "first")["exitCode"] == 7
    assert container(task)["exitCode"] == 0, task


def test_a_dependency_that_fails_keeps_others_from_starting(plane: Plane) -> None:
    definition = plane.register(
        program("raise SystemExit(1)", name="first", essential=False),
        program("pass", dependsOn=[{"containerName": "first", "condition": "SUCCESS"}]),
    )
    task = plane.stopped(plane.run(definition))
    assert container(task, "first")["exitCode"] == 1
    assert "did not exit successfully" in container(task)["reason"]


def test_health_checks_are_told(plane: Plane) -> None:
    check = {"command": ["CMD", PYTHON, "-c", "raise SystemExit(1)"], "interval": 5, "retries": 1, "timeout": 5}
    good = {**check, "command": ["CMD", PYTHON, "-c", "pass"]}
    arns = [plane.run(plane.register(program(FOREVER, healthCheck=one))) for one in (good, check)]
    wait_for("health", lambda: plane.task(arns[0])["healthStatus"] == "HEALTHY")
    wait_for("illness", lambda: plane.task(arns[1])["healthStatus"] == "UNHEALTHY")
    for arn in arns:
        plane.ecs.stop_task(task=arn)
    for arn in arns:
        plane.stopped(arn)


def test_secrets_come_in_and_lines_go_out_by_way_of_the_emulator(plane: Plane, emulator: Emulator) -> None:
    emulator.client("ssm").put_parameter(Name="/shop/password", Value="hush", Type="SecureString")
    options = {"awslogs-group": "/ecs/shop", "awslogs-create-group": "true", "awslogs-stream-prefix": "web"}
    code = "import os; print('password has', len(os.environ['PASSWORD'])); print('bye')"
    definition = plane.register(
        program(
            code,
            secrets=[{"name": "PASSWORD", "valueFrom": "/shop/password"}],
            logConfiguration={"logDriver": "awslogs", "options": {**options, "awslogs-region": "us-east-1"}},
        ),
        executionRoleArn="arn:aws:iam::000000000000:role/execution",
    )
    arn = plane.run(definition)
    task = plane.stopped(arn)
    assert container(task)["exitCode"] == 0, task
    logs = emulator.client("logs")
    where = {"logGroupName": "/ecs/shop", "logStreamName": f"web/app/{arn.rpartition('/')[2]}"}

    def lines() -> list[str]:
        return [one["message"] for one in logs.get_log_events(**where, startFromHead=True)["events"]]

    wait_for("lines", lambda: lines() == ["password has 4", "bye"])
    wait_for("the secret's end", lambda: not get("-n", NAMESPACE, "secrets")["items"])


def test_a_secret_that_is_missing_is_why_a_task_does_not_start(plane: Plane) -> None:
    secrets = [{"name": "PASSWORD", "valueFrom": "/shop/nothing"}]
    role = "arn:aws:iam::000000000000:role/execution"
    task = plane.stopped(plane.run(plane.register(program("pass", secrets=secrets), executionRoleArn=role)))
    assert task["stopCode"] == "TaskFailedToStart"
    assert task["stoppedReason"].startswith("ResourceInitializationError: unable to pull secrets or registry auth: ")


def test_a_fargate_task_has_an_address_and_its_size(plane: Plane) -> None:
    definition = plane.register(
        program("import os; print(os.environ['AWS_EXECUTION_ENV'])\n" + FOREVER),
        family="fargate",
        requiresCompatibilities=["FARGATE"],
        networkMode="awsvpc",
        cpu="256",
        memory="512",
    )
    network = {"awsvpcConfiguration": {"subnets": ["subnet-1"]}}
    arn = plane.run(definition, launchType="FARGATE", networkConfiguration=network)
    task = plane.running(arn)
    details = {one["name"]: one["value"] for one in task["attachments"][0]["details"]}
    pod = get("-n", NAMESPACE, "pod", f"task-{arn.rpartition('/')[2]}")
    assert details["privateIPv4Address"] == pod["status"]["podIP"]
    assert pod["spec"]["containers"][0]["resources"]["limits"] == {"memory": "128Mi"}
    plane.ecs.stop_task(task=arn)
    plane.stopped(arn)


SERVING = f"print('VERSION')\n{FOREVER}"


def serve(plane: Plane, name: str, **deployment: Any) -> str:
    """Create a service of three and wait for it."""
    definition = plane.register(program(SERVING), family=name)
    plane.ecs.create_service(
        serviceName=name,
        taskDefinition=definition,
        desiredCount=3,
        deploymentConfiguration={"minimumHealthyPercent": 67, "maximumPercent": 134, **deployment},
    )
    plane.stable(name)
    return definition


def end(plane: Plane, name: str) -> None:
    plane.ecs.delete_service(service=name, force=True)
    wait_for(f"the end of service {name}", lambda: plane.service(name)["status"] == "INACTIVE")


def test_a_service_is_replaced_without_falling_below_its_minimum(plane: Plane) -> None:
    serve(plane, "rolling")
    later = plane.register(program(SERVING.replace("VERSION", "2")), family="rolling")
    plane.ecs.update_service(service="rolling", taskDefinition=later)
    plane.stable("rolling", least=2)
    found = plane.ecs.list_tasks(serviceName="rolling")["taskArns"]
    assert {plane.task(arn)["taskDefinitionArn"] for arn in found} == {later}
    assert "has reached a steady state." in json.dumps([one["message"] for one in plane.service("rolling")["events"]])
    end(plane, "rolling")


def test_a_bad_image_trips_the_circuit_breaker_and_is_rolled_back(plane: Plane) -> None:
    breaker = {"deploymentCircuitBreaker": {"enable": True, "rollback": True}}
    good = serve(plane, "breaking", **breaker)
    bad = plane.register(program(SERVING, image=f"{image('cli')}-nothing"), family="breaking")
    plane.ecs.update_service(service="breaking", taskDefinition=bad)

    def rolled_back() -> bool:
        found = plane.service("breaking")
        assert found["runningCount"] >= 2, found
        return found["taskDefinition"] == good and len(found["deployments"]) == 1

    wait_for("the rollback", rolled_back, 600)
    assert "deployment failed: tasks failed to start" in json.dumps(plane.service("breaking")["events"], default=str)
    end(plane, "breaking")


def test_a_control_plane_that_is_killed_finishes_what_it_had_begun(plane: Plane) -> None:
    serve(plane, "surviving")
    later = plane.register(program(SERVING.replace("VERSION", "2")), family="surviving")
    plane.ecs.update_service(service="surviving", taskDefinition=later)
    wait_for("the rollout to begin", lambda: len(plane.service("surviving")["deployments"]) == 2)
    plane.kill()
    plane.start()
    plane.stable("surviving", least=2)
    found = plane.ecs.list_tasks(serviceName="surviving")["taskArns"]
    assert {plane.task(arn)["taskDefinitionArn"] for arn in found} == {later}
    pods = get("-n", NAMESPACE, "pods", "-l", "kecs.io/ecs-service=surviving")["items"]
    alive = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
    assert len(alive) == 3, "a task was lost, or made twice"
    end(plane, "surviving")


def test_nothing_is_left_behind(plane: Plane) -> None:
    for arn in plane.ecs.list_tasks()["taskArns"]:
        plane.ecs.stop_task(task=arn)
        plane.stopped(arn)
    wait_for("no pods", lambda: not get("-n", NAMESPACE, "pods")["items"])
    wait_for("no secrets", lambda: not get("-n", NAMESPACE, "secrets")["items"])
