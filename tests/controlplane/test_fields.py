"""Every field of a task definition: what the table says becomes of it is what becomes of it."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from definitions_lab import container, definition, register
from ecs_lab import EcsLab, ecs_client
from fields_lab import CHANGES, changed, pair_of, pod_of
from kubernetes_lab import VERSIONS, valid

from kecs.controlplane import fields
from kecs.controlplane.field_fates import Fate, Field
from kecs.controlplane.wire.model import Kind, model

type Json = dict[str, Any]

DOCUMENTS = Path(__file__).parent / "documents"
PAGE = Path(__file__).parents[2] / "docs" / "ecs-task-definitions.md"


def members(shape: str, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield the members of a shape of the model, those of what it holds in their stead."""
    found = model().shapes[shape]
    if found.kind is Kind.LIST and model().shapes[found.item].kind is Kind.STRUCTURE:
        yield from members(found.item, path)
    elif found.kind is Kind.STRUCTURE:
        for name, inside in found.members.items():
            yield from members(inside, (*path, name))
    else:
        yield ".".join(path)


def test_the_table_has_every_field_of_the_model_and_no_other() -> None:
    assert {field.path for field in fields.TABLE} == set(members("RegisterTaskDefinitionRequest"))


def test_rows_of_one_field_differ_in_their_values() -> None:
    rows = [(field.path, field.when) for field in fields.TABLE]
    assert len(set(rows)) == len(rows)


def test_every_pair_is_of_a_row() -> None:
    rows = {field.path for field in fields.TABLE} | {f"{field.path}@{field.when}" for field in fields.TABLE}
    assert rows >= CHANGES.keys()


def rows(*fates: Fate) -> list[Any]:
    return [
        pytest.param(field, id=f"{field.path} {field.when}".strip()) for field in fields.TABLE if field.fate in fates
    ]


def sentences(field: Field, document: Json) -> set[str]:
    return {field.sentence(found) for found in field.found(document)}


@pytest.mark.parametrize("field", rows(Fate.POD))
def test_what_stands_in_the_pod_changes_it(field: Field) -> None:
    assert changed(field.path, field.when)
    for document in pair_of(field.path, field.when):
        valid(pod_of(document), VERSIONS[0])


@pytest.mark.parametrize("field", rows(Fate.PLANE))
def test_what_the_control_plane_does_is_kept_for_it(field: Field) -> None:
    before, after = pair_of(field.path, field.when)
    kept = [EcsLab().outcome("RegisterTaskDefinition", document).changes.put[0] for document in (before, after)]
    assert kept[0] != kept[1]
    assert set(fields.warnings(after)) <= set(fields.warnings(before))


@pytest.mark.parametrize("field", rows(Fate.WARNED))
def test_what_has_no_effect_is_warned_of(field: Field) -> None:
    before, after = pair_of(field.path, field.when)
    told = EcsLab().outcome("RegisterTaskDefinition", after).warnings
    assert told == fields.warnings(after)
    assert sentences(field, after) - sentences(field, before) or len(sentences(field, after)) == 1
    assert sentences(field, after) <= set(told)


@pytest.mark.parametrize("field", rows(Fate.REFUSED))
def test_what_can_not_be_is_refused(field: Field) -> None:
    before, after = pair_of(field.path, field.when)
    assert not sentences(field, before)
    assert sentences(field, after) <= set(fields.refusals(after))
    assert sentences(field, after)
    error = EcsLab().refused("RegisterTaskDefinition", after)
    assert error.code == "ClientException"
    assert error.message in fields.refusals(after) or "inferenceAccelerators" in error.message


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        pytest.param(
            definition(container(linuxParameters={"swappiness": 0})),
            "containerDefinitions.linuxParameters.swappiness of container 'app' has no effect: swap is the node's "
            "business on Kubernetes, not a container's.",
            id="a number that is 0 is said",
        ),
        pytest.param(
            definition(volumes=[{"name": "a", "dockerVolumeConfiguration": {"labels": {"a": "b"}}}]),
            "volumes.dockerVolumeConfiguration.labels has no effect: directories have no labels.",
            id="a field of the whole definition",
        ),
    ],
)
def test_a_warning_says_whose_and_why(document: Json, sentence: str) -> None:
    assert fields.warnings(document) == (sentence,)


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(definition(container(disableNetworking=False)), id="what is off"),
        pytest.param(definition(container(credentialSpecs=[])), id="an empty list"),
        pytest.param(definition(container(links=[], dockerSecurityOptions=[], ulimits=[])), id="what consoles write"),
        pytest.param(definition(container(user="")), id="an empty string"),
    ],
)
def test_what_says_nothing_is_neither_refused_nor_warned_of(document: Json) -> None:
    assert EcsLab().outcome("RegisterTaskDefinition", document).warnings == ()


def test_warnings_reach_the_client_as_headers_and_the_log() -> None:
    lab = EcsLab()
    with lab.served() as url:
        answer = ecs_client(url).register_task_definition(**definition(container(linuxParameters={"maxSwap": 64})))
    assert "linuxParameters.maxSwap of container 'app'" in answer["ResponseMetadata"]["HTTPHeaders"]["x-kecs-warning"]
    assert [told.warnings for told in lab.told] == [
        fields.warnings(definition(container(linuxParameters={"maxSwap": 64})))
    ]


def test_security_options_of_docker_are_the_containers_own() -> None:
    options = ["no-new-privileges:true", "label:type:svirt_lxc_net_t", "label:level:s0:c100,c200"]
    pod = pod_of(definition(container(dockerSecurityOptions=options)))
    assert pod["spec"]["containers"][0]["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "seLinuxOptions": {"type": "svirt_lxc_net_t", "level": "s0:c100,c200"},
    }


def test_a_deploy_tool_that_registers_again_is_told_the_same() -> None:
    lab = EcsLab()
    document = definition(container(linuxParameters={"maxSwap": 64}, user="nginx"))
    described = register(lab, document)
    assert set(fields.warnings(described)) == set(fields.warnings(document))


# The page

HEAD = """# Task definitions of ECS, field by field

<!-- Generated by `make golden` from the table of fields, the model of ECS and the pods of definitions with and without
each field: edit kecs.controlplane.fields. -->

Every member of RegisterTaskDefinition, and what becomes of it when its tasks run on Kubernetes. None is ignored in
silence.

| word | what becomes of it |
| --- | --- |
| in the pod | it stands in the manifest of the task's pod; the last column says where |
| control plane | the control plane does it itself |
| warning | it is kept and described, and has no effect; a header `x-kecs-warning` of the answer says so, and the log |
| refused | a definition that says it is refused with a ClientException |

Whatever AWS itself refuses is refused too, in AWS's words where they are known. The last column is no description: it
is what differs between the pods of two definitions of which one has the field.
"""

SECTIONS = (
    ("The task", lambda field: not field.is_of_container and not field.path.startswith("volumes.")),
    ("Volumes", lambda field: field.path.startswith("volumes.")),
    ("Containers", lambda field: field.is_of_container),
)
LONGEST = 5


def shown(field: Field) -> str:
    if field.fate is Fate.REFUSED:
        return ""
    places = (place.removeprefix("spec.").split(".") for place in changed(field.path, field.when))
    return ", ".join(f"`{place}`" for place in dict.fromkeys(".".join(parts[:LONGEST]) for parts in places))


def page() -> str:
    lines = [HEAD]
    for title, belongs in SECTIONS:
        lines += [f"## {title}\n", "| field | of these values | what becomes of it | how, or why | in the pod |"]
        lines += ["| --- | --- | --- | --- | --- |"]
        for field in (one for one in fields.TABLE if belongs(one)):
            path = field.path.removeprefix("containerDefinitions.").removeprefix("volumes.")
            lines.append(f"| `{path}` | {field.when} | {field.fate} | {field.how} | {shown(field)} |")
        lines.append("")
    return "\n".join(lines)


def test_the_page_shows_the_table() -> None:
    if os.environ.get("KECS_UPDATE_GOLDEN"):
        PAGE.write_text(page(), encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == page()
