"""The cluster query language: the developer guide's examples, and what can't be read."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kecs.controlplane.cluster_query import Facts, query
from kecs.controlplane.errors import ApiError

FACTS: Facts = {
    "attribute:ecs.instance-type": ("t2.small",),
    "attribute:ecs.availability-zone": ("us-east-1a",),
    "attribute:stack": ("prod",),
    "attribute:bare": ("",),
    "agentConnected": ("true",),
    "agentVersion": ("1.14.10",),
    "ec2InstanceId": ("i-1",),
    "registeredAt": ("2026-01-02T03:04:05+00:00",),
    "runningTasksCount": ("10",),
    "task:group": ("service:web", "family:batch"),
}


@pytest.mark.parametrize(
    ("expression", "holds"),
    [
        ("attribute:ecs.instance-type == t2.small", True),
        ("attribute:ecs.instance-type == t2.micro", False),
        ("attribute:ecs.instance-type equals t2.small", True),
        ("attribute:ecs.instance-type =~ t2.*", True),
        ("attribute:ecs.instance-type !~ g2.*", True),
        ("attribute:ecs.availability-zone in [us-east-1a, us-east-1b]", True),
        ("attribute:ecs.availability-zone not_in ['us-east-1a']", False),
        ("attribute:ecs.availability-zone != us-east-1d", True),
        ("attribute:ecs.availability-zone in [us-east-1a] and attribute:ecs.instance-type == g2.2xlarge", False),
        ("attribute:ecs.availability-zone == x or attribute:stack == prod", True),
        ("not (attribute:stack == prod)", False),
        ("not(attribute:stack == dev) && (attribute:stack == prod || agentConnected == false)", True),
        ("attribute:stack exists", True),
        ("attribute:color exists", False),
        ("attribute:color !exists", True),
        ("attribute:color not_exists", True),
        ("attribute:bare", True),
        ("attribute:color", False),
        ("attribute:color != red", True),
        ("attribute:color == red", False),
        ("agentConnected == true", True),
        ("agentVersion >= 1.9.0", True),
        ("agentVersion < 1.9.0", False),
        ("runningTasksCount > 9", True),
        ("runningTasksCount less_than_equal 10", True),
        ("ec2InstanceId in ['i-1', 'i-2']", True),
        ("registeredAt > 2026-01-01", True),
        ("task:group == service:web", True),
        ("task:group != service:other", True),
        ("task:group != service:web", False),
        ("task:group !in [family:batch]", False),
    ],
)
def test_an_expression_says(expression: str, holds: bool) -> None:  # noqa: FBT001 - a table's column
    assert query(expression)(FACTS) is holds


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "color == red",
        "attribute:a ==",
        "attribute:a ~ b",
        "attribute:a like b",
        "attribute:a in b",
        "attribute:a in [b",
        "(attribute:a == b",
        "attribute:a == b c",
        "attribute:a =~ '('",
        "not",
    ],
)
def test_what_can_not_be_read(expression: str) -> None:
    with pytest.raises(ApiError, match="Invalid query: ") as raised:
        query(expression)
    assert raised.value.code == "InvalidParameterException"


@settings(suppress_health_check=list(HealthCheck))
@given(st.text("attribue:x == !~&|()[],'\" notinexs1."))
def test_any_text_is_a_query_or_refused(expression: str) -> None:
    try:
        found = query(expression)
    except ApiError:
        return
    assert found(FACTS) in {True, False}
