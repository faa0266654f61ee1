"""The cluster's tests run when they are asked for (`make e2e`), and end with a table of cases and times."""

import os
from collections.abc import Iterator

import pytest
from e2e_lab import Space, install, kubectl, load_images

if not os.environ.get("KECS_E2E"):
    collect_ignore_glob = ["test_*.py"]

SPACE = "kecs-e2e"
_OUTCOMES = {"passed": "seen", "failed": "FAILED", "error": "FAILED"}


@pytest.fixture(scope="session")
def cluster() -> None:
    """Say that the cluster answers, and has our images."""
    kubectl("version")
    load_images()


@pytest.fixture(scope="session")
def installed(cluster: None) -> None:  # noqa: ARG001 - comes first
    """Install the chart; what needs it is not tried when this fails."""
    install()


@pytest.fixture(scope="session")
def space(installed: None) -> Iterator[Space]:  # noqa: ARG001 - comes first
    """Make a namespace for applications."""
    kubectl("delete", "namespace", SPACE, "--ignore-not-found", "--wait=true")
    kubectl("create", "namespace", SPACE)
    yield Space(SPACE)
    kubectl("delete", "namespace", SPACE, "--wait=true")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the cases and their times, in the order in which they ran."""
    rows: dict[str, tuple[float, str]] = {}
    for word, meaning in _OUTCOMES.items():
        for report in terminalreporter.stats.get(word, ()):
            before, outcome = rows.get(report.nodeid, (0.0, "seen"))
            rows[report.nodeid] = (before + report.duration, outcome if meaning == "seen" else meaning)
    if not rows or not os.environ.get("KECS_E2E"):
        return
    terminalreporter.section("cases")
    for nodeid, (seconds, outcome) in rows.items():
        case = nodeid.rpartition("::")[2].removeprefix("test_").replace("_", " ")
        terminalreporter.line(f"{outcome:<7} {seconds:7.1f} s  {case}")
    terminalreporter.line("on a real API server and kubelet, that is, those of KUBECONFIG's cluster")
