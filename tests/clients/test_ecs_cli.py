"""The AWS CLI as a person uses it: a service from its cluster to its end, with an endpoint, and with nothing at all."""

import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from ecs_server_lab import kecs_server
from kecs_run import Kecs, working

pytestmark = pytest.mark.clients

SCRIPT = """
set -e
export AWS_PAGER=
say() { echo "== $1"; shift; "$@"; }
definition='[{"name":"web","image":"web:1","memory":64,"portMappings":[{"containerPort":80}]}]'
say create-cluster $AWS ecs create-cluster
say register-task-definition $AWS ecs register-task-definition --family web --container-definitions "$definition"
say run-task $AWS ecs run-task --task-definition web --query 'tasks[0].taskArn' --output text > task
cat task
task=$(tail -n 1 task)
say tasks-running $AWS ecs wait tasks-running --tasks $task
say describe-tasks $AWS ecs describe-tasks --tasks $task --output table
say create-service $AWS ecs create-service --service-name web --task-definition web --desired-count 2
say services-stable $AWS ecs wait services-stable --services web
say list-services $AWS ecs list-services --output text
say update-service $AWS ecs update-service --service web --desired-count 0
say delete-service $AWS ecs delete-service --service web --query service.status --output text
say services-inactive $AWS ecs wait services-inactive --services web
say describe-services $AWS ecs describe-services --services web --output table
say list-no-services $AWS ecs list-services --output text
say another-service $AWS sts get-caller-identity --query Account --output text
say delete-service-again $AWS ecs delete-service --service web || echo "exit code $?"
"""

type Said = dict[str, str]


def sections(output: str) -> Said:
    parts = output.split("== ")[1:]
    return {name: text.strip() for name, _, text in (part.partition("\n") for part in parts)}


def at_an_endpoint(folder: Path, aws: str) -> Said:
    with kecs_server(folder) as everything:
        ran = everything.run("sh", "-c", SCRIPT, env={"AWS": aws})
        assert "ServiceNotFoundException" in ran.err
        return sections(ran.output)


def transparently(folder: Path, aws: str) -> Said:
    (folder / "scratch").mkdir()
    ran = Kecs(home=folder, scratch=folder / "scratch").run("sh", "-c", SCRIPT, env={"AWS": aws})
    assert ran.code == 0, ran.err
    assert "ServiceNotFoundException" in ran.err
    return sections(ran.out)


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, "Future[Said]"]]:
    """Both at once: most of their time they wait."""
    aws = working("aws")
    with ThreadPoolExecutor() as pool:
        yield {
            run.__name__: pool.submit(run, tmp_path_factory.mktemp("cli"), aws)
            for run in (at_an_endpoint, transparently)
        }


def row(table: str, name: str) -> str:
    """Return the value of a table's first row of this name."""
    rows = (line.strip("|").split("|") for line in table.splitlines())
    return next(cells[1].strip() for cells in rows if len(cells) == 2 and cells[0].strip() == name)


@pytest.mark.parametrize("where", ["at_an_endpoint", "transparently"])
def test_a_service_from_its_cluster_to_its_end(said: dict[str, "Future[Said]"], where: str) -> None:
    told = said[where].result(400)
    stem = "arn:aws:ecs:us-east-1:000000000000"
    cluster: Any = json.loads(told["create-cluster"])["cluster"]
    assert (cluster["clusterArn"], cluster["status"]) == (f"{stem}:cluster/default", "ACTIVE")
    definition: Any = json.loads(told["register-task-definition"])["taskDefinition"]
    assert (definition["taskDefinitionArn"], definition["status"]) == (f"{stem}:task-definition/web:1", "ACTIVE")
    assert row(told["describe-tasks"], "lastStatus") == "RUNNING"
    assert row(told["describe-tasks"], "taskArn") == told["run-task"]
    created, updated = (json.loads(told[name])["service"] for name in ("create-service", "update-service"))
    assert (created["status"], created["desiredCount"], created["events"]) == ("ACTIVE", 2, [])
    assert (updated["runningCount"], updated["desiredCount"]) == (2, 0)
    assert created["deployments"][0]["id"] == updated["deployments"][0]["id"]
    assert told["list-services"] == f"SERVICEARNS\t{stem}:service/default/web"
    assert told["delete-service"] == "DRAINING"
    assert told["list-no-services"] == ""
    assert row(told["describe-services"], "status") == "INACTIVE"
    assert "(service web) has stopped 2 running tasks: " in told["describe-services"]
    assert told["another-service"] == "000000000000"
    assert told["delete-service-again"].startswith("exit code 25")
