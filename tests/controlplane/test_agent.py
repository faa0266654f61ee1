"""What agents ask and tell: nothing is acknowledged that has no effect."""

from typing import Any

import pytest
from ecs_lab import EcsLab


@pytest.fixture
def lab() -> EcsLab:
    lab = EcsLab()
    lab.call("CreateCluster", {"clusterName": "c"})
    return lab


def test_there_is_no_endpoint(lab: EcsLab) -> None:
    error = lab.refused("DiscoverPollEndpoint", {"cluster": "c"})
    assert error.code == "ClientException"
    assert "tasks run on this control plane's own runtime" in error.message


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("SubmitTaskStateChange", {"task": "t", "status": "RUNNING"}),
        ("SubmitContainerStateChange", {"task": "t", "containerName": "x"}),
        ("SubmitAttachmentStateChanges", {"attachments": [{"attachmentArn": "a", "status": "ATTACHED"}]}),
    ],
)
def test_what_becomes_of_tasks_is_not_told_by_clients(lab: EcsLab, operation: str, params: dict[str, Any]) -> None:
    error = lab.refused(operation, {"cluster": "c", **params})
    assert (error.code, error.message) == (
        "ClientException",
        f"{operation} is not accepted: what becomes of tasks is told by this control plane's own runtime.",
    )
    assert lab.refused(operation, {"cluster": "x", **params}).code == "ClusterNotFoundException"


def test_an_agent_has_no_newer_version(lab: EcsLab) -> None:
    arn = lab.call("RegisterContainerInstance", {"cluster": "c"})["containerInstance"]["containerInstanceArn"]
    error = lab.refused("UpdateContainerAgent", {"cluster": "c", "containerInstance": arn})
    assert error.code == "NoUpdateAvailableException"
    unknown = lab.refused("UpdateContainerAgent", {"cluster": "c", "containerInstance": "f" * 32})
    assert (unknown.code, unknown.message) == ("ClientException", "The referenced container instance was not found.")
