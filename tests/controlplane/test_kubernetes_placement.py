"""Where tasks may run: what is said of nodes, and what can't be."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kubernetes_lab import a_launch, an_app, valid

from kecs.controlplane.kubernetes.config import PodConfig
from kecs.controlplane.kubernetes.placement import ExpressionError, parse
from kecs.controlplane.kubernetes.pods import manifest
from kecs.controlplane.task_making import TaskWish

type Json = dict[str, Any]


def term(key: str, operator: str, *values: str) -> Json:
    return {"key": key, "operator": operator, **({"values": list(values)} if values else {})}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        pytest.param("attribute:rack == 7", [[term("rack", "In", "7")]], id="equals"),
        pytest.param("attribute:rack equals 7", [[term("rack", "In", "7")]], id="in words"),
        pytest.param("attribute:rack != 7", [[term("rack", "NotIn", "7")]], id="not equals"),
        pytest.param("attribute:rack in [7, 8]", [[term("rack", "In", "7", "8")]], id="in"),
        pytest.param("attribute:rack not_in [7,8]", [[term("rack", "NotIn", "7", "8")]], id="not in"),
        pytest.param("attribute:rack exists", [[term("rack", "Exists")]], id="exists"),
        pytest.param("attribute:rack", [[term("rack", "Exists")]], id="alone"),
        pytest.param("not attribute:rack exists", [[term("rack", "DoesNotExist")]], id="not exists"),
        pytest.param("attribute:gpus > 1", [[term("gpus", "Gt", "1")]], id="greater"),
        pytest.param(
            "attribute:ecs.cpu-architecture == x86_64", [[term("kubernetes.io/arch", "In", "amd64")]], id="architecture"
        ),
        pytest.param(
            "attribute:ecs.availability-zone in [us-east-1a, us-east-1b] and attribute:rack == 'a b'",
            [[term("topology.kubernetes.io/zone", "In", "us-east-1a", "us-east-1b"), term("rack", "In", "a b")]],
            id="and",
        ),
        pytest.param(
            "(attribute:a == 1 or attribute:b == 2) && attribute:c == 3",
            [[term("a", "In", "1"), term("c", "In", "3")], [term("b", "In", "2"), term("c", "In", "3")]],
            id="or in brackets",
        ),
    ],
)
def test_an_expression(expression: str, expected: list[list[Json]]) -> None:
    assert parse(expression) == expected


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "task:group == service:x",
        "attribute:a =~ b.*",
        "attribute:a ==",
        "(attribute:a == 1",
        "attribute:a == 1 attribute:b == 2",
        "not attribute:a == 1",
        "attribute:a in [1",
    ],
)
def test_what_can_not_be_said_of_nodes(expression: str) -> None:
    with pytest.raises(ExpressionError):
        parse(expression)


@given(st.text() | st.text("attribute:and or not in []()=<>!,&|'\" 1"))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = parse(text)
    except ExpressionError:
        return
    assert found


def spec_of(wish: TaskWish, **document: Any) -> Json:
    pod = manifest(a_launch([an_app()], wish=wish, **document), config=PodConfig())
    valid(pod)
    spec: Json = pod["spec"]
    return spec


def test_constraints_of_definition_and_task_hold_together() -> None:
    constraints = ({"type": "distinctInstance"}, {"type": "memberOf", "expression": "attribute:a == 1"})
    spec = spec_of(
        TaskWish(placement_constraints=constraints),
        placementConstraints=[{"type": "memberOf", "expression": "attribute:b == 2 or attribute:c == 3"}],
    )
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    terms = spec["affinity"]["nodeAffinity"][required]["nodeSelectorTerms"]
    assert [[one["key"] for one in it["matchExpressions"]] for it in terms] == [["b", "a"], ["c", "a"]]
    (apart,) = spec["affinity"]["podAntiAffinity"][required]
    assert apart["topologyKey"] == "kubernetes.io/hostname"
    assert apart["labelSelector"]["matchLabels"]["kecs.io/ecs-group"].startswith("family-web-")


def test_strategies_spread() -> None:
    strategy = (
        {"type": "spread", "field": "attribute:ecs.availability-zone"},
        {"type": "spread", "field": "instanceId"},
        {"type": "binpack", "field": "memory"},
    )
    spec = spec_of(TaskWish(placement_strategy=strategy))
    assert [one["topologyKey"] for one in spec["topologySpreadConstraints"]] == [
        "topology.kubernetes.io/zone",
        "kubernetes.io/hostname",
    ]


def test_a_machine_that_has_been_chosen_holds_over_everything() -> None:
    wish = TaskWish(
        node="n1",
        placement_constraints=({"type": "memberOf", "expression": "task:group == x"}, {"type": "distinctInstance"}),
        placement_strategy=({"type": "spread", "field": "host"},),
    )
    spec = spec_of(wish)
    (only,) = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert only == {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}
    assert "podAntiAffinity" not in spec["affinity"]
    assert "topologySpreadConstraints" not in spec


def test_platforms() -> None:
    spec = spec_of(TaskWish(), runtimePlatform={"cpuArchitecture": "X86_64", "operatingSystemFamily": "LINUX"})
    assert spec["nodeSelector"] == {"kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux"}
