"""Terraform's AWS provider on ECS: what is applied is what is planned, until it is destroyed."""

import re
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from ecs_server_lab import Endpoint, kecs_server
from kecs_run import CLIENTS, Kecs, terraform_plugins, working

pytestmark = pytest.mark.clients

ENVIRONMENT = {"TF_CLI_CONFIG_FILE": "/dev/null", "CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1"}
ROUNDS = """
set -e
terraform() { $TERRAFORM "$@" -no-color -input=false; }
terraform init -plugin-dir=$PLUGINS > init.out
$BEFORE
terraform apply -auto-approve
terraform plan -detailed-exitcode
terraform apply -auto-approve $CHANGES
terraform plan -detailed-exitcode $CHANGES
"""
END = """
set -e
$TERRAFORM destroy -no-color -input=false -auto-approve $CHANGES
"""
SHOP = "-var greeting=bye -var desired=3 -var team=red -var insights=enabled"
SERVICE = "-var tag=2 -var desired=3"
STEM = "arn:aws:ecs:us-east-1:000000000000"


@dataclass(frozen=True, slots=True, kw_only=True)
class Terraform:
    """Where it runs, and what it is told."""

    where: Path
    environment: dict[str, str]

    @classmethod
    def of(cls, name: str, folder: Path, changes: str) -> "Terraform":
        terraform, plugins = working("terraform"), terraform_plugins()
        if plugins is None:
            pytest.skip("no terraform provider for AWS is installed here")
        where = folder / "terraform"
        where.mkdir()
        shutil.copy(CLIENTS / "terraform_ecs" / name / "main.tf", where)
        told = {"TERRAFORM": terraform, "PLUGINS": str(plugins), "CHANGES": changes}
        return cls(where=where, environment=ENVIRONMENT | told)


def shop(folder: Path) -> None:
    known = Terraform.of("shop", folder, SHOP)
    with kecs_server(folder) as aws:
        said = aws.run("sh", "-c", ROUNDS, env=known.environment, cwd=known.where, timeout_s=600).output
        assert "Apply complete! Resources: 10 added, 0 changed, 0 destroyed." in said
        assert "Apply complete! Resources: 1 added, 5 changed, 1 destroyed." in said
        assert said.count("No changes.") == 2
        assert outputs(said) == [f"1 2 {STEM}:service/shop/web", f"2 3 {STEM}:service/shop/web"]
        became(aws)
        said = aws.run("sh", "-c", END, env=known.environment, cwd=known.where, timeout_s=600).output
        assert "Destroy complete! Resources: 10 destroyed." in said
        ended(aws)


def service(folder: Path) -> None:
    known = Terraform.of("service", folder, SERVICE)
    (folder / "scratch").mkdir()
    (folder / "cluster.py").write_text("import boto3; boto3.client('ecs').create_cluster()")
    before = {"BEFORE": f"{sys.executable} {folder}/cluster.py"}
    kecs = Kecs(home=folder, scratch=folder / "scratch")
    ran = kecs.run("sh", "-c", ROUNDS + END, env=known.environment | before, cwd=known.where, timeout_s=600)
    assert ran.code == 0, f"{ran.out}\n{ran.err}"
    assert ran.out.count("No changes.") == 2
    assert outputs(ran.out) == [f"{STEM}:task-definition/web:1 x 2", f"{STEM}:task-definition/web:2 x 3"]
    assert "Destroy complete! Resources: 2 destroyed." in ran.out
    assert {"CreateService", "UpdateService", "DeleteService"} <= ran.operations("ecs")


def outputs(said: str) -> list[str]:
    return re.findall(r'^web = "(.*)"', said, re.MULTILINE)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[None]]]:
    """Both at once: most of its time the provider sleeps."""
    with ThreadPoolExecutor() as pool:
        yield {run.__name__: pool.submit(run, tmp_path_factory.mktemp(run.__name__)) for run in (shop, service)}


@pytest.mark.parametrize(
    "what",
    [
        pytest.param("shop", id="a shop, with an endpoint in the environment"),
        pytest.param("service", id="a service, with nothing in the environment"),
    ],
)
def test_what_is_applied_is_what_is_planned(running: dict[str, Future[None]], what: str) -> None:
    running[what].result(700)


def became(aws: Endpoint) -> None:
    """Look at what the second round has made, as another client sees it."""
    ecs = aws.client()
    names = ["web", "worker", "agent"]
    found = ecs.describe_services(cluster="shop", services=names, include=["TAGS"])["services"]
    web, worker, agent = found
    assert [one["serviceName"] for one in found] == names
    assert (web["runningCount"], len(web["deployments"])) == (3, 1)
    assert web["deploymentConfiguration"]["deploymentCircuitBreaker"] == {"enable": True, "rollback": True}
    assert web["tags"] == [{"key": "team", "value": "red"}]
    assert worker["tags"] == [{"key": "owner", "value": "red"}]
    assert (agent["schedulingStrategy"], agent["desiredCount"]) == ("DAEMON", 3)
    arns = ecs.list_tasks(cluster="shop", serviceName="web")["taskArns"]
    tasks = ecs.describe_tasks(cluster="shop", tasks=arns, include=["TAGS"])["tasks"]
    tags = {"team": "red", "aws:ecs:clusterName": "shop", "aws:ecs:serviceName": "web"}
    assert [{one["key"]: one["value"] for one in task["tags"]} for task in tasks] == [tags] * 3
    containers = [{one["name"]: one.get("exitCode") for one in task["containers"]} for task in tasks]
    assert containers == [{"prepare": 0, "web": None}] * 3
    [shop] = ecs.describe_clusters(clusters=["shop"], include=["SETTINGS", "TAGS"])["clusters"]
    assert {"name": "containerInsights", "value": "enabled"} in shop["settings"]


def ended(aws: Endpoint) -> None:
    """Look at what is left: what AWS keeps, and no more."""
    ecs = aws.client()
    assert ecs.list_clusters()["clusterArns"] == []
    assert ecs.describe_clusters(clusters=["shop"])["clusters"][0]["status"] == "INACTIVE"
    assert ecs.list_task_definitions()["taskDefinitionArns"] == []
    assert ecs.describe_task_definition(taskDefinition="web:2")["taskDefinition"]["status"] == "INACTIVE"
    providers = ecs.describe_capacity_providers()["capacityProviders"]
    assert [one["name"] for one in providers if one["status"] == "ACTIVE"] == ["FARGATE", "FARGATE_SPOT"]
