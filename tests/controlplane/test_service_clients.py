"""What well-known clients call, in their order, and what they look at in the answers."""

from typing import Any

from service_lab import NETWORK, ServiceLab


def deploy(lab: ServiceLab, image: str = "app:2") -> str:
    return lab.register("app", image=image)


def test_the_github_deploy_action_compares_the_primary_deployments_id() -> None:
    lab = ServiceLab()
    lab.create(desired=2)
    lab.steady()
    assert lab.described()["status"] == "ACTIVE"
    assert lab.described()["deploymentController"] == {"type": "ECS"}
    definition = deploy(lab)
    answer = lab.update(cluster="default", taskDefinition=definition, forceNewDeployment=False)
    begun = answer["deployments"][0]["id"]
    lab.steady()
    [primary] = [one for one in lab.described()["deployments"] if one["status"] == "PRIMARY"]
    assert primary["id"] == begun, "it was deployed, and not rolled back"
    assert primary["taskDefinition"] == definition


def test_the_github_deploy_action_sees_that_it_was_rolled_back() -> None:
    lab = ServiceLab()
    breaker = {"deploymentCircuitBreaker": {"enable": True, "rollback": True}}
    lab.create(desired=1, deploymentConfiguration=breaker)
    lab.steady()
    begun = lab.update(taskDefinition=deploy(lab))["deployments"][0]["id"]
    lab.turn()
    for _ in range(3):
        lab.fail()
        lab.settle(seconds=60)
    lab.steady()
    [primary] = lab.described()["deployments"]
    assert primary["id"] != begun
    assert begun not in {one["id"] for one in lab.described()["deployments"]}


def test_fabfuels_ecs_deploy_waits_until_one_deployment_runs_all() -> None:
    lab = ServiceLab()
    lab.create(desired=2)
    lab.steady()
    present = lab.described()
    definition = lab.api.call("DescribeTaskDefinition", {"taskDefinition": present["taskDefinition"]})["taskDefinition"]
    members = {name: definition[name] for name in ("family", "containerDefinitions", "volumes") if name in definition}
    new = lab.api.call("RegisterTaskDefinition", members)["taskDefinition"]["taskDefinitionArn"]
    lab.update(cluster="default", taskDefinition=new)
    for _ in range(20):
        found = lab.described()
        [primary, *others] = found["deployments"]
        running = lab.api.call("ListTasks", {"cluster": "default", "serviceName": "web"})["taskArns"]
        described = lab.api.call("DescribeTasks", {"cluster": "default", "tasks": running})["tasks"]
        ready = [one for one in described if (one["lastStatus"], one["taskDefinitionArn"]) == ("RUNNING", new)]
        if not others and len(ready) == primary["desiredCount"] == found["desiredCount"]:
            break
        lab.run()
        lab.settle()
        lab.end()
    else:
        raise AssertionError("it never saw the end")
    errors = [one for one in found["events"] if "unable" in one["message"]]
    assert errors == []
    lab.api.call("DeregisterTaskDefinition", {"taskDefinition": present["taskDefinition"]})


def test_terraform_makes_changes_and_destroys_a_service() -> None:
    lab = ServiceLab()
    lab.register("app", mode="awsvpc")
    token: dict[str, Any] = {"clientToken": "terraform-20260102030405678900000001"}
    made = lab.create(desired=1, networkConfiguration=NETWORK, tags=[{"key": "of", "value": "terraform"}], **token)
    arn = made["serviceArn"]

    def read() -> Any:
        [found] = lab.api.call("DescribeServices", {"cluster": "default", "services": [arn], "include": ["TAGS"]})[
            "services"
        ]
        return found

    assert read()["status"] == "ACTIVE"
    assert read()["tags"] == [{"key": "of", "value": "terraform"}]
    lab.steady()
    members = ("desiredCount", "taskDefinition", "networkConfiguration", "deploymentConfiguration", "propagateTags")
    before = {name: read()[name] for name in members}
    lab.api.call("UpdateService", {"cluster": "default", "service": arn, "desiredCount": 2})
    lab.steady()
    assert {name: read()[name] for name in members} == {**before, "desiredCount": 2}
    lab.api.call("TagResource", {"resourceArn": arn, "tags": [{"key": "of", "value": "others"}]})
    assert read()["tags"] == [{"key": "of", "value": "others"}]
    lab.api.call("UpdateService", {"cluster": "default", "service": arn, "desiredCount": 0})
    lab.api.call("DeleteService", {"cluster": "default", "service": arn, "force": False})
    lab.turn()
    assert read()["status"] == "DRAINING"
    lab.end()
    assert read()["status"] == "INACTIVE"


def test_terraform_interrupted_while_it_waits_rolls_back() -> None:
    lab = ServiceLab()
    lab.create(desired=1)
    lab.steady()
    good = lab.described()["taskDefinition"]
    lab.update(taskDefinition=deploy(lab))
    lab.turn()
    params = {"cluster": "default", "service": "web", "status": ["PENDING", "IN_PROGRESS"]}
    [rollout] = lab.api.call("ListServiceDeployments", params)["serviceDeployments"]
    arn = rollout["serviceDeploymentArn"]
    lab.api.call("StopServiceDeployment", {"serviceDeploymentArn": arn, "stopType": "ROLLBACK"})
    lab.steady()
    [found] = lab.api.call("DescribeServiceDeployments", {"serviceDeploymentArns": [arn]})["serviceDeployments"]
    assert found["status"] == "ROLLBACK_SUCCESSFUL"
    assert lab.described()["taskDefinition"] == good


def test_ecspresso_creates_scales_and_deletes() -> None:
    lab = ServiceLab()
    lab.api.call("DescribeClusters", {"clusters": ["default"]})
    missing = lab.api.call("DescribeServices", {"services": ["web"]})
    assert missing["failures"][0]["reason"] == "MISSING"
    made = lab.create(desired=1, enableECSManagedTags=True, propagateTags="SERVICE")
    lab.api.call("ListTagsForResource", {"resourceArn": made["serviceArn"]})
    lab.steady()
    lab.update(desiredCount=0)
    lab.steady()
    lab.api.call("DeleteService", {"service": "web", "force": True})
    lab.turn()
    assert lab.described()["status"] == "INACTIVE"


def test_copilot_reads_failures_from_the_words_of_events() -> None:
    lab = ServiceLab()
    lab.create(desired=1, deploymentConfiguration={"deploymentCircuitBreaker": {"enable": True, "rollback": False}})
    lab.turn()
    for _ in range(3):
        lab.fail()
        lab.settle(seconds=60)
    lines = [one["message"].lower() for one in lab.described()["events"]]
    assert [one for one in lines if "failed" in one or "unable" in one]
    lab.update(forceNewDeployment=True)
    lab.steady()
    assert "failed" not in lab.events()[0]
