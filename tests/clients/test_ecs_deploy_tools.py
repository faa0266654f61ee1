"""What deploy tools ask of ECS and of its answers, call by call, with nothing but an endpoint in their environment."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from subprocess import Popen

import pytest
from ecs_server_lab import ended, server
from kecs_run import PROGRAMS

pytestmark = pytest.mark.clients

TOOLS = {
    "action": ["deployed", "rolled back", "ran"],
    "fabfuel": ["deployed", "rolled back", "scaled", "ran"],
    "silinternational": ["deployed", "deregistered", "deployed again"],
    "ecspresso": ["created", "deployed", "ran", "rolled back", "deleted"],
    "copilot": ["ran", "deployed again", "asked"],
}


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Popen[str]]]:
    """All of them at once: most of their time they wait for tasks."""
    with server(tmp_path_factory.mktemp("ecs")) as ecs, ExitStack() as stack:
        yield {
            tool: stack.enter_context(ecs.begin(sys.executable, PROGRAMS / "deploy_tools.py", tool)) for tool in TOOLS
        }


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
def test_a_tool_deploys(tools: dict[str, Popen[str]], tool: str) -> None:
    assert ended(tools[tool]).output.splitlines() == TOOLS[tool]
