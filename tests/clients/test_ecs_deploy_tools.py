"""What deploy tools ask of ECS, call by call, and of its answers: with nothing but an endpoint, and with nothing."""

import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from ecs_server_lab import kecs_server
from kecs_run import PROGRAMS, Kecs

pytestmark = pytest.mark.clients

TOOLS = {
    "action": ["deployed", "rolled back", "ran"],
    "fabfuel": ["deployed", "rolled back", "scaled", "ran"],
    "silinternational": ["deployed", "deregistered", "deployed again"],
    "ecspresso": ["created", "deployed", "ran", "rolled back", "deleted"],
    "copilot": ["ran", "deployed again", "asked"],
}
COMMAND: tuple[str | Path, ...] = (sys.executable, PROGRAMS / "deploy_tools.py", *TOOLS)

type Said = dict[str, Future[str]]


def at_an_endpoint(folder: Path) -> str:
    with kecs_server(folder) as aws:
        return aws.run(*COMMAND).output


def transparently(folder: Path) -> str:
    (folder / "scratch").mkdir()
    ran = Kecs(home=folder, scratch=folder / "scratch").run(*COMMAND)
    assert ran.code == 0, ran.err
    assert {row["service"] for row in ran.summary} == {"ecs"}
    return ran.out


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Said]:
    """Both at once."""
    with ThreadPoolExecutor() as pool:
        yield {
            run.__name__: pool.submit(run, tmp_path_factory.mktemp("ecs")) for run in (at_an_endpoint, transparently)
        }


@pytest.mark.parametrize("where", ["at_an_endpoint", "transparently"])
@pytest.mark.parametrize(
    "tool",
    [
        pytest.param("action", id="the deploy action of GitHub's workflows"),
        pytest.param("fabfuel", id="fabfuel's ecs-deploy"),
        pytest.param("silinternational", id="silinternational's ecs-deploy"),
        pytest.param("ecspresso", id="ecspresso"),
        pytest.param("copilot", id="copilot"),
    ],
)
def test_a_tool_deploys(said: Said, where: str, tool: str) -> None:
    lines = said[where].result(240)
    assert [line.partition(" ")[2] for line in lines.splitlines() if line.startswith(f"{tool} ")] == TOOLS[tool], lines
