"""The calls that deploy tools make, in their order, with what they ask of the answers: `deploy_tools.py TOOL…`.

Nothing says where AWS is but the environment. Each tool has a cluster of its own, and says what it has done. Those
that are named deploy at once: most of their time they wait for tasks.
"""

import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

type Json = dict[str, Any]

ecs: Any = boto3.client("ecs", config=Config(retries={"total_max_attempts": 1}))
WAITER: Json = {"Delay": 0.25, "MaxAttempts": 400}
BAD_IMAGE = "registry.invalid/web:2"
OWN = {
    "compatibilities", "taskDefinitionArn", "requiresAttributes", "revision", "status", "registeredAt",
    "deregisteredAt", "registeredBy",
}  # fmt: skip
"""What DescribeTaskDefinition says that RegisterTaskDefinition does not take."""


def done(what: str) -> None:
    print(f"{threading.current_thread().name} {what}\n", end="", flush=True)


def eventually[T](ask: Callable[[], T]) -> T:
    deadline = time.monotonic() + 100
    while not (found := ask()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found


def container(image: str = "web:1", **members: Any) -> Json:
    return {"name": "web", "image": image, "memory": 64, "environment": [{"name": "A", "value": "1"}], **members}


def shop(name: str, **service: Any) -> None:
    ecs.create_cluster(clusterName=name)
    ecs.register_task_definition(family=name, containerDefinitions=[container()])
    ecs.create_service(cluster=name, serviceName="web", taskDefinition=name, desiredCount=2, **service)
    stable(name)


def stable(cluster: str) -> None:
    ecs.get_waiter("services_stable").wait(cluster=cluster, services=["web"], WaiterConfig=WAITER)


def service_of(cluster: str, **more: Any) -> Json:
    said = ecs.describe_services(cluster=cluster, services=["web"], **more)
    assert said["failures"] == []
    found: Json = said["services"][0]
    return found


def primary(service: Json) -> Json:
    return next(one for one in service["deployments"] if one["status"] == "PRIMARY")


def definition(name: str, image: str) -> Json:
    """Return a definition as its author would register it anew, with another image."""
    said: Json = ecs.describe_task_definition(taskDefinition=name)["taskDefinition"]
    said["containerDefinitions"][0]["image"] = image
    return {key: value for key, value in said.items() if key not in OWN}


def registered(said: Json) -> str:
    return str(ecs.register_task_definition(**said)["taskDefinition"]["taskDefinitionArn"])


# aws-actions/amazon-ecs-deploy-task-definition, index.js


def action() -> None:
    shop("action", deploymentConfiguration={"deploymentCircuitBreaker": {"enable": True, "rollback": True}})
    assert _action_deploys("web:2") == "COMPLETED"
    done("deployed")
    assert _action_deploys(BAD_IMAGE) in {"", "FAILED"}
    assert service_of("action")["taskDefinition"].endswith("action:2")
    done("rolled back")
    assert _action_runs(["true"]) == [0]
    assert _action_runs(["sh", "-c", "exit 3"]) == [3]
    done("ran")


def _action_deploys(image: str) -> str:
    """Return the new deployment's rolloutState; nothing where it is gone."""
    arn = registered(definition("action", image))
    before = service_of("action")
    assert (before["status"], before["deploymentController"]) == ("ACTIVE", {"type": "ECS"})
    after = ecs.update_service(
        cluster="action", service="web", taskDefinition=arn, forceNewDeployment=False, volumeConfigurations=[]
    )
    new = primary(after["service"])["id"]
    assert new != primary(before)["id"]
    stable("action")
    return next((one["rolloutState"] for one in service_of("action")["deployments"] if one["id"] == new), "")


def _action_runs(command: list[str]) -> list[int]:
    said = ecs.run_task(
        startedBy="GitHub-Actions",
        cluster="action",
        taskDefinition=registered(definition("action", "web:3")),
        overrides={"containerOverrides": [{"name": "web", "command": command}]},
        launchType="EC2",
        tags=[],
        volumeConfigurations=[],
    )
    assert said["failures"] == []
    arns = [one["taskArn"] for one in said["tasks"]]
    ecs.get_waiter("tasks_stopped").wait(cluster="action", tasks=arns, WaiterConfig=WAITER)
    tasks = ecs.describe_tasks(cluster="action", tasks=arns)["tasks"]
    return [one["exitCode"] for task in tasks for one in task["containers"]]


# fabfuel/ecs-deploy, ecs_deploy/ecs.py and cli.py


def fabfuel() -> None:
    shop("fabfuel")
    old, new = _fabfuel_deploys("web:2")
    assert eventually(lambda: _is_deployed(new))
    assert not _warnings()
    ecs.deregister_task_definition(taskDefinition=old)
    done("deployed")
    old, new = _fabfuel_deploys(BAD_IMAGE)
    eventually(lambda: _is_deployed(new) or _warnings())
    assert any("is unable to consistently start tasks successfully" in one for one in _warnings())
    ecs.update_service(cluster="fabfuel", service="web", taskDefinition=old)
    assert eventually(lambda: _is_deployed(old))
    ecs.deregister_task_definition(taskDefinition=new)
    done("rolled back")
    ecs.update_service(cluster="fabfuel", service="web", desiredCount=3, taskDefinition=old)
    assert eventually(lambda: _is_deployed(old))
    done("scaled")
    said = ecs.run_task(
        cluster="fabfuel",
        taskDefinition="fabfuel:2",
        count=2,
        startedBy="ECS Deploy",
        overrides={"containerOverrides": [{"name": "web", "command": ["true"]}]},
    )
    assert len(said["tasks"]) == 2
    done("ran")


def _fabfuel_deploys(image: str) -> tuple[str, str]:
    """Return the ARNs of the old definition and the new one."""
    old = service_of("fabfuel")["taskDefinition"]
    said = ecs.describe_task_definition(taskDefinition=old, include=["TAGS"])
    assert said["tags"] == []
    kept = definition(old, image) | {"taskRoleArn": "", "executionRoleArn": ""}
    new = registered(kept)
    updated = ecs.update_service(cluster="fabfuel", service="web", taskDefinition=new)["service"]
    assert updated["taskDefinition"] == new
    return old, new


def _is_deployed(arn: str) -> bool:
    service = service_of("fabfuel")
    assert primary(service)["rolloutState"] != "FAILED"
    if len(service["deployments"]) != 1:
        return False
    arns = ecs.list_tasks(cluster="fabfuel", serviceName="web")["taskArns"]
    tasks = ecs.describe_tasks(cluster="fabfuel", tasks=arns)["tasks"] if arns else []
    running = [one for one in tasks if (one["taskDefinitionArn"], one["lastStatus"]) == (arn, "RUNNING")]
    return len(running) == int(service["desiredCount"])


def _warnings() -> list[str]:
    service = service_of("fabfuel")
    since, until = primary(service)["createdAt"], datetime.now(UTC)
    found = [one for one in service["events"] if since < one["createdAt"] < until]
    return [one["message"] for one in found if "unable" in one["message"]]


# silinternational/ecs-deploy, ecs-deploy


def silinternational() -> None:
    shop("silinternational")
    for image in ("web:2", "web:3"):
        said = definition(service_of("silinternational")["taskDefinition"], image)
        kept = {key: said[key] for key in ("family", "volumes", "containerDefinitions", "placementConstraints")}
        arn = registered(kept)
        ecs.update_service(
            cluster="silinternational",
            service="web",
            desiredCount=3,
            taskDefinition=arn,
            deploymentConfiguration={"maximumPercent": 200, "minimumHealthyPercent": 50},
        )
        eventually(partial(_runs, arn))
        eventually(lambda: len(service_of("silinternational")["deployments"]) == 1)
    done("deployed")
    listed = {"familyPrefix": "silinternational", "status": "ACTIVE", "sort": "ASC"}
    revisions = ecs.list_task_definitions(**listed)["taskDefinitionArns"]
    assert [one.rpartition(":")[2] for one in revisions] == ["1", "2", "3"]
    for one in revisions[:2]:
        ecs.deregister_task_definition(taskDefinition=one)
    assert ecs.list_task_definitions(**listed)["taskDefinitionArns"] == revisions[2:]
    done("deregistered")
    before = primary(service_of("silinternational"))["id"]
    ecs.update_service(cluster="silinternational", service="web", forceNewDeployment=True)
    eventually(lambda: len(service_of("silinternational")["deployments"]) == 1)
    assert primary(service_of("silinternational"))["id"] != before
    done("deployed again")


def _runs(arn: str) -> bool:
    """Tell whether a task of a new definition runs."""
    of = {"cluster": "silinternational", "serviceName": "web", "desiredStatus": "RUNNING"}
    arns = ecs.list_tasks(**of)["taskArns"]
    tasks = ecs.describe_tasks(cluster="silinternational", tasks=arns)["tasks"] if arns else []
    return any((one["taskDefinitionArn"], one["lastStatus"]) == (arn, "RUNNING") for one in tasks)


# kayac/ecspresso, deploy.go, create.go, run.go, tasks.go, rollback.go, deregister.go, delete.go


def ecspresso() -> None:
    ecs.create_cluster(clusterName="ecspresso")
    said = ecs.describe_services(cluster="ecspresso", services=["web"], include=["TAGS"])
    assert (said["services"], [one["reason"] for one in said["failures"]]) == ([], ["MISSING"])
    service: Json = {
        "deploymentConfiguration": {"maximumPercent": 200, "minimumHealthyPercent": 100},
        "desiredCount": 1,
        "enableECSManagedTags": True,
        "enableExecuteCommand": False,
        "placementConstraints": [],
        "placementStrategy": [{"type": "binpack", "field": "cpu"}],
        "propagateTags": "SERVICE",
    }
    ecs.create_service(
        cluster="ecspresso",
        serviceName="web",
        taskDefinition=registered({"family": "ecspresso", "containerDefinitions": [container()]}),
        launchType="EC2",
        schedulingStrategy="REPLICA",
        tags=[{"key": "team", "value": "blue"}, {"key": "old", "value": "1"}],
        **service,
    )
    stable("ecspresso")
    done("created")
    _ecspresso_deploys(service)
    done("deployed")
    _ecspresso_runs()
    done("ran")
    _ecspresso_rolls_back()
    done("rolled back")
    ecs.delete_service(cluster="ecspresso", service="web", force=True)
    eventually(lambda: service_of("ecspresso", include=["TAGS"])["status"] == "INACTIVE")
    done("deleted")


def _ecspresso_deploys(service: Json) -> None:
    arn = registered(definition("ecspresso", "web:2"))
    found = service_of("ecspresso", include=["TAGS"])
    assert {one["key"]: one["value"] for one in found["tags"]} == {"team": "blue", "old": "1"}
    ecs.update_service(cluster="ecspresso", service="web", taskDefinition=arn, **service)
    ecs.tag_resource(resourceArn=found["serviceArn"], tags=[{"key": "team", "value": "red"}])
    ecs.untag_resource(resourceArn=found["serviceArn"], tagKeys=["old"])
    between = primary(service_of("ecspresso"))["id"]
    ecs.update_service(cluster="ecspresso", service="web", taskDefinition=arn, desiredCount=2, forceNewDeployment=False)
    found = service_of("ecspresso", include=["TAGS"])
    assert primary(found)["id"] == between
    assert found["tags"] == [{"key": "team", "value": "red"}]
    stable("ecspresso")
    assert (service_of("ecspresso")["taskDefinition"], service_of("ecspresso")["runningCount"]) == (arn, 2)
    assert ecs.describe_clusters(clusters=["ecspresso"])["clusters"][0]["runningTasksCount"] == 2


def _ecspresso_runs() -> None:
    service = service_of("ecspresso")
    found = ecs.describe_task_definition(taskDefinition=service["taskDefinition"], include=["TAGS"])
    tags = ecs.list_tags_for_resource(resourceArn=service["serviceArn"])["tags"]
    said = ecs.run_task(
        cluster="ecspresso",
        taskDefinition=found["taskDefinition"]["taskDefinitionArn"],
        launchType="EC2",
        overrides={"containerOverrides": [{"name": "web", "command": ["false"]}]},
        count=1,
        placementConstraints=[],
        placementStrategy=[],
        tags=tags,
        enableECSManagedTags=True,
        enableExecuteCommand=False,
        clientToken="once",
    )
    [arn] = [one["taskArn"] for one in said["tasks"]]
    ecs.get_waiter("tasks_stopped").wait(cluster="ecspresso", tasks=[arn], WaiterConfig=WAITER)
    [task] = ecs.describe_tasks(cluster="ecspresso", tasks=[arn], include=["TAGS"])["tasks"]
    assert (task["stopCode"], task["containers"][0]["exitCode"]) == ("EssentialContainerExited", 1)
    assert {"key": "team", "value": "red"} in task["tags"]
    running, stopped = (set(_listed(status)) for status in ("RUNNING", "STOPPED"))
    assert len(running) == 2
    assert arn in stopped


def _listed(status: str) -> Iterator[str]:
    pages = ecs.get_paginator("list_tasks").paginate(
        cluster="ecspresso", family="ecspresso", desiredStatus=status, PaginationConfig={"PageSize": 1}
    )
    for page in pages:
        yield from page["taskArns"]


def _ecspresso_rolls_back() -> None:
    said = {"familyPrefix": "ecspresso", "status": "ACTIVE", "sort": "DESC", "maxResults": 1}
    first = ecs.list_task_definitions(**said)
    second = ecs.list_task_definitions(**said, nextToken=first["nextToken"])
    [current], [target] = first["taskDefinitionArns"], second["taskDefinitionArns"]
    ecs.update_service(cluster="ecspresso", service="web", taskDefinition=target, forceNewDeployment=False)
    stable("ecspresso")
    ecs.deregister_task_definition(taskDefinition=current)
    gone = ecs.delete_task_definitions(taskDefinitions=[current])
    assert [one["status"] for one in gone["taskDefinitions"]] == ["DELETE_IN_PROGRESS"]


# aws/copilot-cli, internal/pkg/aws/ecs


def copilot() -> None:
    ecs.create_cluster()
    [default] = ecs.describe_clusters()["clusters"]
    assert (default["clusterName"], default["status"]) == ("default", "ACTIVE")
    _copilot_runs(default["clusterArn"])
    done("ran")
    shop("copilot", enableExecuteCommand=False)
    before = service_of("copilot")
    assert before["deployments"][0]["updatedAt"] >= before["deployments"][0]["createdAt"]
    ecs.update_service(cluster="copilot", service="web", forceNewDeployment=True)
    eventually(lambda: len(service_of("copilot")["deployments"]) == 1)
    after = service_of("copilot")
    assert (after["runningCount"], after["deployments"][0]["id"] != before["deployments"][0]["id"]) == (2, True)
    of: Json = {"cluster": "copilot", "serviceName": "web"}
    running = ecs.list_tasks(**of, desiredStatus="RUNNING")["taskArns"]
    assert len(running) == 2
    eventually(lambda: len(ecs.list_tasks(**of, desiredStatus="STOPPED")["taskArns"]) == 2)
    done("deployed again")
    try:
        ecs.execute_command(cluster="copilot", container="web", interactive=True, task=running[0], command="/bin/sh")
    except ClientError as error:
        assert error.response["Error"]["Code"] == "InvalidParameterException"
        assert "execute command was not enabled when the task was run" in error.response["Error"]["Message"]
    else:
        raise AssertionError("it is not enabled")
    assert ecs.list_services_by_namespace(namespace="copilot.local")["serviceArns"] == []
    done("asked")


def _copilot_runs(cluster: str) -> None:
    ecs.register_task_definition(
        family="copilot-task",
        requiresCompatibilities=["FARGATE"],
        networkMode="awsvpc",
        cpu="256",
        memory="512",
        containerDefinitions=[{"name": "task", "image": "task:1"}],
        tags=[{"key": "copilot-task", "value": "task"}],
    )
    network = {"assignPublicIp": "ENABLED", "subnets": ["subnet-1", "subnet-2"], "securityGroups": ["sg-1"]}
    said = ecs.run_task(
        cluster=cluster,
        count=2,
        launchType="FARGATE",
        startedBy="copilot-task",
        taskDefinition="copilot-task",
        networkConfiguration={"awsvpcConfiguration": network},
        propagateTags="TASK_DEFINITION",
    )
    arns = [one["taskArn"] for one in said["tasks"]]
    ecs.get_waiter("tasks_running").wait(cluster=cluster, tasks=arns, WaiterConfig=WAITER)
    for task in ecs.describe_tasks(cluster=cluster, tasks=arns, include=["TAGS"])["tasks"]:
        assert task["tags"] == [{"key": "copilot-task", "value": "task"}]
        [interface] = [one for one in task["attachments"] if one["type"] == "ElasticNetworkInterface"]
        assert any(one["name"] == "networkInterfaceId" and one["value"] for one in interface["details"])
    of = {"cluster": cluster, "family": "copilot-task", "desiredStatus": "RUNNING"}
    assert set(ecs.list_tasks(**of)["taskArns"]) == set(arns)
    for arn in arns:
        ecs.stop_task(cluster=cluster, task=arn, reason="Task stopped because the group was deleted")
    ecs.get_waiter("tasks_stopped").wait(cluster=cluster, tasks=arns, WaiterConfig=WAITER)
    [first, _] = ecs.describe_tasks(cluster=cluster, tasks=arns)["tasks"]
    why = ("UserInitiated", "Task stopped because the group was deleted")
    assert (first["stopCode"], first["stoppedReason"]) == why


TOOLS: dict[str, Callable[[], None]] = {
    "action": action,
    "fabfuel": fabfuel,
    "silinternational": silinternational,
    "ecspresso": ecspresso,
    "copilot": copilot,
}


def deploy(tool: str) -> None:
    try:
        TOOLS[tool]()
    except Exception:  # noqa: BLE001 - the others deploy on
        done(f"failed: {traceback.format_exc()}")


if __name__ == "__main__":
    threads = [threading.Thread(target=deploy, args=(tool,), name=tool) for tool in sys.argv[1:]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
