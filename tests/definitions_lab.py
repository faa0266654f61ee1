"""Task definitions for tests: the least that AWS takes, on EC2 and on Fargate."""

from typing import Any

import pytest
from ecs_lab import EcsLab

from kecs.controlplane.definitions_checks import problems

type Json = dict[str, Any]

ROLE = "arn:aws:iam::123456789012:role/ecsTaskExecutionRole"
LOGS = {
    "logDriver": "awslogs",
    "options": {"awslogs-group": "/ecs/web", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "ecs"},
}
READ_ONLY = (
    "taskDefinitionArn",
    "revision",
    "status",
    "requiresAttributes",
    "compatibilities",
    "registeredAt",
    "registeredBy",
    "deregisteredAt",
    "deleteRequestedAt",
)
"""What deploy tools take away before they register what they have described."""


def container(name: str = "app", **members: Any) -> Json:
    return {"name": name, "image": "nginx:1.29", "memory": 128, **members}


def definition(*containers: Json, **members: Any) -> Json:
    """Return a definition for EC2; with no containers, of one."""
    return {"family": "web", "containerDefinitions": [*containers] or [container()], **members}


def fargate(*containers: Json, **members: Any) -> Json:
    return definition(
        *containers,
        **{
            "networkMode": "awsvpc",
            "requiresCompatibilities": ["FARGATE"],
            "cpu": "256",
            "memory": "512",
            "executionRoleArn": ROLE,
            **members,
        },
    )


def again(described: Json) -> Json:
    """Return what a deploy tool registers after a description."""
    return {name: value for name, value in described.items() if name not in READ_ONLY}


def volume(**members: Any) -> Json:
    return {"volumes": [{"name": "data", **members}]}


def case(document: Json, sentence: str, name: str) -> Any:
    """Return a row of a table of refusals."""
    return pytest.param(document, sentence, id=name)


def assert_refused(document: Json, sentence: str) -> None:
    """Assert that a definition is refused in these words, and that nothing is left of it."""
    lab = EcsLab()
    error = lab.refused("RegisterTaskDefinition", document)
    assert (error.code, error.message) == ("ClientException", sentence)
    assert lab.call("ListTaskDefinitionFamilies", {})["families"] == []
    assert list(problems(document))[0] == sentence  # noqa: RUF015 - all are looked for, not the first alone


def register(lab: EcsLab, document: Json | None = None, **members: Any) -> Json:
    found: Json = lab.call("RegisterTaskDefinition", {**(document or definition()), **members})["taskDefinition"]
    return found


def three(lab: EcsLab) -> None:
    """Revision 1 is inactive, 2 active, 3 inactive."""
    for _ in range(3):
        register(lab)
    for revision in (1, 3):
        lab.call("DeregisterTaskDefinition", {"taskDefinition": f"web:{revision}"})
