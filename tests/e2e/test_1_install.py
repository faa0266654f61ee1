"""From an empty cluster to an unmodified program that works, by the commands of docs/kubernetes.md."""

from pathlib import Path

from docs_lab import Document
from e2e_lab import DEPLOYMENTS, SYSTEM, Space, follow, get, kubectl
from helm_lab import ROOT

PAGE = Document.read(ROOT / "docs" / "kubernetes.md")


def test_the_documents_commands_lead_to_a_pod_that_works(tmp_path: Path, cluster: None) -> None:  # noqa: ARG001 - the images are there
    section = PAGE.section("From an empty cluster to a pod that works")
    kubectl("delete", "namespace", "demo", "--ignore-not-found", "--wait=true")
    for step, said in follow(section, PAGE.files, tmp_path):
        for line in step.output.splitlines():
            assert line in said, step.command
    kubectl("delete", "namespace", "demo", "--wait=true")


def test_everything_of_it_is_available(installed: None) -> None:  # noqa: ARG001 - comes first
    for name in DEPLOYMENTS:
        Space(SYSTEM).rolled_out(name)
    restarts = {
        pod["metadata"]["name"]: status["restartCount"]
        for pod in get("-n", SYSTEM, "pods")["items"]
        for status in pod["status"].get("containerStatuses", ())
    }
    assert [name for name, count in restarts.items() if count] == []
