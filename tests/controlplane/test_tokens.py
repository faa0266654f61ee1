"""clientToken: what was sent twice is made once."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from ecs_lab import NOW, PRINCIPAL, SCOPE, FakeIds

from kecs.controlplane.errors import ApiError
from kecs.controlplane.operation import Request
from kecs.controlplane.state import Changes, Scope, State
from kecs.controlplane.tokens import earlier, kept

TASKS = ("arn:aws:ecs:us-east-1:000000000000:task/c/1", "arn:aws:ecs:us-east-1:000000000000:task/c/2")


def a_request(operation: str = "RunTask", *, scope: Scope = SCOPE, now: datetime = NOW, **params: Any) -> Request:
    return Request(operation=operation, params=params, scope=scope, principal_arn=PRINCIPAL, now=now, ids=FakeIds())


def after(request: Request, *resources: str) -> State:
    state = State()
    state.apply(Changes(put=kept(request, *resources)))
    return state


def test_the_same_request_finds_what_it_has_made() -> None:
    request = a_request(clientToken="t", count=2, taskDefinition="f")
    assert earlier(request, State()) is None
    found = earlier(a_request(taskDefinition="f", clientToken="t", count=2), after(request, *TASKS))
    assert found is not None
    assert found.resources == TASKS


def test_other_parameters_conflict() -> None:
    state = after(a_request(clientToken="t", count=2), *TASKS)
    with pytest.raises(ApiError) as raised:
        earlier(a_request(clientToken="t", count=3), state)
    assert raised.value.code == "ConflictException"
    assert raised.value.members == {"resourceIds": list(TASKS)}
    assert raised.value.message == "The provided clientToken is already in use with a different RunTask request."


def test_an_operation_without_conflicts_in_its_model_says_that_it_is_a_wrong_parameter() -> None:
    state = after(a_request("CreateService", clientToken="t", serviceName="a"), "arn")
    with pytest.raises(ApiError) as raised:
        earlier(
            a_request("CreateService", clientToken="t", serviceName="b"),
            state,
            message="Creation of service was not idempotent.",
        )
    assert raised.value.code == "InvalidParameterException"
    assert raised.value.message == "Creation of service was not idempotent."


def test_a_token_is_of_one_operation_in_one_region_of_one_account() -> None:
    request = a_request(clientToken="t")
    state = after(request, *TASKS)
    assert earlier(a_request("CreateService", clientToken="t"), state) is None
    assert earlier(a_request(clientToken="t", scope=Scope(region="eu-west-1", account=SCOPE.account)), state) is None
    assert earlier(a_request(clientToken="t", scope=Scope(region=SCOPE.region, account="1" * 12)), state) is None
    assert earlier(a_request(clientToken="T"), state) is None
    assert earlier(request, state) is not None


def test_a_token_lives_for_a_day() -> None:
    state = after(a_request(clientToken="t"), *TASKS)
    day = timedelta(hours=24)
    assert earlier(a_request(clientToken="t", now=NOW + day - timedelta(seconds=1)), state) is not None
    assert earlier(a_request(clientToken="t", now=NOW + day), state) is None
    assert earlier(a_request(clientToken="t", now=NOW + day, count=5), state) is None


def test_without_a_token_nothing_is_kept() -> None:
    assert kept(a_request(), *TASKS) == ()
    assert kept(a_request(clientToken=""), *TASKS) == ()
    assert earlier(a_request(clientToken=""), State()) is None


@pytest.mark.parametrize(
    ("operation", "token", "most"),
    [
        ("RunTask", "a" * 65, 64),
        ("CreateService", "a" * 37, 36),
        ("RunTask", "with blank", 64),
        ("RunTask", "é", 64),
        ("RunTask", "\x7f", 64),
    ],
)
def test_tokens_have_bounds(operation: str, token: str, most: int) -> None:
    with pytest.raises(ApiError) as raised:
        earlier(a_request(operation, clientToken=token), State())
    assert raised.value.code == "InvalidParameterException"
    message = f"clientToken must have at most {most} characters, each in the range of ASCII 33-126."
    assert raised.value.message == message
    assert earlier(a_request(operation, clientToken="~" * most), State()) is None
