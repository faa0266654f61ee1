"""Definitions as people write them, and as deploy tools hand them back: described, stripped, registered again."""

import json
from pathlib import Path
from typing import Any

import boto3
import pytest
from definitions_lab import ROLE, again, register
from ecs_lab import EcsLab
from fields_lab import pod_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kubernetes_lab import valid
from moto import mock_aws

from kecs.controlplane import fields

type Json = dict[str, Any]

DOCUMENTS = {path.stem: json.loads(path.read_text()) for path in (Path(__file__).parent / "documents").glob("*.json")}
REFUSED = {"elasticsearch": "ulimits", "windows": "Windows"}
"""What no cluster of ours runs, and a word of the refusal."""


@pytest.mark.parametrize("name", sorted(DOCUMENTS.keys() - REFUSED.keys()))
def test_a_real_definition_is_taken_and_given_back(name: str) -> None:
    lab, document = EcsLab(), DOCUMENTS[name]
    described = register(lab, document)
    for member, value in document.items():
        if member not in {"tags", "cpu", "memory", "containerDefinitions", "volumes"}:
            assert described[member] == value
    for before, after in zip(document["containerDefinitions"], described["containerDefinitions"], strict=True):
        kept = {member: after[member] for member in before if member not in {"portMappings", "healthCheck"}}
        assert kept == {member: value for member, value in before.items() if member in kept}
    assert again(register(lab, again(described))) == again(described)


def cleaned(value: Any) -> Any:
    """Leave out what is empty, as the action that deploys from GitHub does before it registers; texts stay."""
    if isinstance(value, dict):
        return {name: cleaned(inside) for name, inside in value.items() if cleaned(inside) not in ([], {})}
    return [cleaned(inside) for inside in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", sorted(DOCUMENTS.keys() - REFUSED.keys()))
def test_what_is_described_may_be_registered_without_what_is_empty(name: str) -> None:
    lab = EcsLab()
    described = register(lab, DOCUMENTS[name])
    assert again(register(lab, cleaned(again(described)))) == again(described)


@pytest.mark.parametrize(("name", "word"), sorted(REFUSED.items()))
def test_a_real_definition_that_can_not_run_is_refused(name: str, word: str) -> None:
    error = EcsLab().refused("RegisterTaskDefinition", DOCUMENTS[name])
    assert error.code == "ClientException"
    assert word in error.message


WARNED: dict[str, set[str]] = {
    "batch": set(),
    "datadog-agent": set(),
    "efs": {
        "volumes.efsVolumeConfiguration.authorizationConfig.iam",
        "volumes.efsVolumeConfiguration.transitEncryption",
    },
    "fargate-web": set(),
    "firelens": {"containerDefinitions.firelensConfiguration", "containerDefinitions.logConfiguration"},
    "gpu": {"containerDefinitions.ulimits"},
    "nginx": {"containerDefinitions.ulimits"},
    "secrets": {"containerDefinitions.logConfiguration"},
    "xray": {"containerDefinitions.restartPolicy", "containerDefinitions.systemControls.namespace"},
}
"""What of real definitions has no effect, or another."""


@pytest.mark.parametrize("name", sorted(WARNED))
def test_a_real_definition_becomes_a_pod_and_says_what_it_lacks(name: str) -> None:
    document = DOCUMENTS[name]
    assert {one.partition(" ")[0] for one in fields.warnings(document)} == WARNED[name]
    assert len(fields.warnings(document)) == len(WARNED[name])
    valid(pod_of(document))


def reduced(container: Json, mode: str) -> Json:
    """Return what is left of a container when defaults are taken away, as Terraform's provider compares them."""
    left = {name: value for name, value in container.items() if value not in (None, [], {})}
    left.setdefault("essential", True)
    left.setdefault("cpu", 0)
    if "portMappings" in left:
        left["portMappings"] = [_reduced_port(one, mode) for one in left["portMappings"]]
    if "healthCheck" in left:
        left["healthCheck"] = {"interval": 30, "timeout": 5, "retries": 3, **left["healthCheck"]}
    return left


def _reduced_port(mapping: Json, mode: str) -> Json:
    own = mapping["containerPort"] if mode == "awsvpc" else 0
    left = {"protocol": "tcp", **mapping}
    if left.get("hostPort") in (0, own):
        left.pop("hostPort")
    return left


@pytest.mark.parametrize("name", sorted(WARNED))
def test_a_plan_after_registration_is_clean(name: str) -> None:
    document = DOCUMENTS[name]
    mode = document.get("networkMode", "bridge")
    described = register(EcsLab(), document)
    for before, after in zip(document["containerDefinitions"], described["containerDefinitions"], strict=True):
        assert reduced(after, mode) == reduced(before, mode)


AGREED = {"family", "revision", "status", "requiresCompatibilities", "compatibilities", "placementConstraints"}
OF_CONTAINER = {
    "name",
    "image",
    "essential",
    "environment",
    "mountPoints",
    "volumesFrom",
    "secrets",
    "dependsOn",
    "healthCheck",
}
"""Of what moto answers, what is as AWS answers it."""


@pytest.mark.parametrize("name", sorted(WARNED))
def test_moto_is_of_the_same_opinion_where_it_is_right(name: str) -> None:
    with mock_aws():
        client = boto3.client("ecs", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
        theirs = client.register_task_definition(**DOCUMENTS[name])["taskDefinition"]
    ours = register(EcsLab(), DOCUMENTS[name])
    assert {member: ours.get(member) for member in AGREED} == {member: theirs.get(member) for member in AGREED}
    for one, other in zip(ours["containerDefinitions"], theirs["containerDefinitions"], strict=True):
        assert {member: one.get(member) for member in OF_CONTAINER} == {
            member: other.get(member) for member in OF_CONTAINER
        }


# Whatever is registered is given back so that it can be registered again.

NAMES = st.from_regex(r"[A-Za-z0-9_-]{1,12}", fullmatch=True)
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12)
WORDS = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,9}", fullmatch=True)


def some(**members: st.SearchStrategy[Any]) -> st.SearchStrategy[Json]:
    """Return structures that have any of the members."""
    return st.fixed_dictionaries({}, optional=members)


HEALTH_CHECKS = st.fixed_dictionaries(
    {"command": st.just(["CMD-SHELL", "true"])},
    optional={
        "interval": st.integers(5, 300),
        "timeout": st.integers(2, 60),
        "retries": st.integers(1, 10),
        "startPeriod": st.integers(0, 300),
    },
)
LINUX = some(
    initProcessEnabled=st.booleans(),
    capabilities=some(add=st.just(["SYS_PTRACE"]), drop=st.just(["ALL"])),
    tmpfs=st.just([{"containerPath": "/run", "size": 8, "mountOptions": ["noexec"]}]),
)
LOGS = st.one_of(
    st.just({"logDriver": "json-file", "options": {"max-size": "10m"}}),
    st.just({"logDriver": "awslogs", "options": {"awslogs-group": "g", "awslogs-region": "us-east-1"}}),
)


@st.composite
def containers(draw: st.DrawFn, name: str, index: int) -> Json:
    optional = {
        "cpu": st.integers(0, 64),
        "memoryReservation": st.integers(4, 16),
        "portMappings": st.just([{"containerPort": 8000 + index}]),
        "entryPoint": st.lists(TEXTS, max_size=2),
        "command": st.lists(TEXTS, max_size=3),
        "environment": st.lists(
            st.fixed_dictionaries({"name": WORDS, "value": TEXTS}), max_size=3, unique_by=lambda one: one["name"]
        ),
        "secrets": st.just([{"name": "S-1", "valueFrom": "/a/b"}]),
        "healthCheck": HEALTH_CHECKS,
        "linuxParameters": LINUX,
        "logConfiguration": LOGS,
        "dockerLabels": st.dictionaries(WORDS, TEXTS, max_size=2),
        "ulimits": st.just([{"name": "nofile", "softLimit": 10, "hardLimit": 20}]),
        "mountPoints": st.just([{"sourceVolume": "v", "containerPath": "/v"}]),
        "systemControls": st.just([{"namespace": "kernel.shm_rmid_forced", "value": "1"}]),
        "stopTimeout": st.integers(2, 120),
        "user": st.sampled_from(["0", "1000:1000"]),
        "privileged": st.booleans(),
        "readonlyRootFilesystem": st.booleans(),
        "workingDirectory": st.just("/srv"),
        "restartPolicy": st.just({"enabled": True}),
    }
    made = draw(st.fixed_dictionaries({"memory": st.integers(16, 64)}, optional=optional))
    return {"name": name, "image": "nginx", **made}


@st.composite
def documents(draw: st.DrawFn) -> Json:
    names = draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    made = [draw(containers(name, index)) for index, name in enumerate(names)]
    whole = draw(
        some(
            networkMode=st.sampled_from(["awsvpc", "bridge", "host"]),
            cpu=st.sampled_from(["512", "1 vCPU", ".5 vcpu"]),
            memory=st.sampled_from(["512", "1GB", "0.5 GB"]),
            pidMode=st.sampled_from(["task", "host"]),
            taskRoleArn=st.just(ROLE),
            requiresCompatibilities=st.just(["EC2"]),
            runtimePlatform=st.just({"cpuArchitecture": "ARM64", "operatingSystemFamily": "LINUX"}),
        )
    )
    return {
        "family": "f",
        "containerDefinitions": made,
        "volumes": [{"name": "v"}],
        "executionRoleArn": ROLE,
        **whole,
    }


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(documents())
def test_what_is_described_is_registered_as_the_same(document: Json) -> None:
    lab = EcsLab()
    first = register(lab, document)
    second = register(lab, again(first))
    assert again(second) == again(first)
    assert second["requiresAttributes"] == first["requiresAttributes"]
    assert second["compatibilities"] == first["compatibilities"]
