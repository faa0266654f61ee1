"""All operations: together once each, refused as their models allow, and none that breaks on what a client may send."""

from collections.abc import Mapping
from random import Random
from typing import Any, Final

import ecs_probes_lab as probes
import ecs_shapes_lab as shapes
import pytest
from botocore.exceptions import ClientError
from ecs_lab import EcsLab, ecs_client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kecs.controlplane.errors import ApiError
from kecs.controlplane.operation import Outcome, Question
from kecs.controlplane.operations import OPERATIONS, PARTS, refusal
from kecs.controlplane.wire.model import model

MOSTLY: Final = 0.85
"""How often a random request has the parameter of one that went well."""
NAMES: Final = {
    "name": "app",
    "containerName": "app",
    "sourceContainer": "app",
    "cluster": probes.CLUSTER,
    "family": probes.FAMILY,
    "taskDefinition": probes.FAMILY,
    "capacityProvider": "mine",
    "cpu": "256",
    "memory": "512",
    "image": "i",
    "subnets": "subnet-1",
}
"""What members may be called so that the rest of a request gets a hearing."""
SELDOM: Final = 0.3
"""How often it has another besides."""


def test_every_operation_is_one_of_the_model() -> None:
    assert OPERATIONS.keys() <= model().operations.keys()


def test_no_operation_has_two_modules() -> None:
    assert len(OPERATIONS) == sum(len(part) for part in PARTS)


@pytest.mark.parametrize("name", sorted(model().operations.keys() - OPERATIONS.keys()))
def test_what_is_not_here_is_refused_as_the_model_allows(name: str) -> None:
    error = refusal(name)
    assert error.code in model().operations[name].errors
    assert error.message == f"{name} is not supported by this control plane."
    unsupported = "UnsupportedFeatureException" in model().operations[name].errors
    assert error.code == ("UnsupportedFeatureException" if unsupported else "ClientException")


def test_every_operation_answers_its_least_request_over_the_wire() -> None:
    lab = EcsLab()
    with lab.served() as url:
        client = ecs_client(url)
        for name in shapes.operation_names():
            params = probes.minimal(shapes.input_of(name))
            try:
                getattr(client, probes.method_of(name))(**params)
            except ClientError as error:
                known = {shape.name for shape in shapes.operation(name).error_shapes}
                assert error.response["Error"]["Code"] in known, name  # noqa: PT017 - a result or this
    assert [one.operation for one in lab.told] == shapes.operation_names()
    assert {one.status for one in lab.told} == {200, 400}


@pytest.fixture(scope="module")
def calls() -> Mapping[str, list[probes.Call]]:
    found: dict[str, list[probes.Call]] = {}
    for call in probes.played(EcsLab()).calls:
        found.setdefault(call.operation, []).append(call)
    return found


class Unknown(dict[Question, Any]):
    """What other services know of what was made up: nothing."""

    def __missing__(self, question: Question) -> Any:
        return ApiError("InvalidParameterException", f"There is no {question.subject}.")


def acquainted(value: Any, chance: Random) -> Any:
    """Put names that are there where any text stood, mostly."""
    if isinstance(value, dict):
        return {name: _known(name, acquainted(item, chance), chance) for name, item in value.items()}
    return [acquainted(item, chance) for item in value] if isinstance(value, list) else value


def _known(member: str, value: Any, chance: Random) -> Any:
    known = NAMES.get(member)
    return known if known is not None and isinstance(value, str) and chance.random() < MOSTLY else value


def changed(good: Any, other: Any, chance: Random) -> Any:
    """Return a value that is a good one in part, and another in part."""
    if isinstance(good, dict) and isinstance(other, dict):
        kept = {name: value for name, value in good.items() if chance.random() < MOSTLY}
        more = {name: value for name, value in other.items() if name not in good and chance.random() < SELDOM}
        return more | {name: changed(value, other.get(name, value), chance) for name, value in kept.items()}
    if isinstance(good, list) and isinstance(other, list) and good and other:
        return [changed(chance.choice(good), value, chance) for value in other]
    if isinstance(good, int) and not isinstance(good, bool):
        return chance.choice((good, 0, 1, 2, 10, other))
    return good if chance.random() < MOSTLY else other


@pytest.mark.parametrize("name", sorted(OPERATIONS))
@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(data=st.data(), chance=st.randoms(use_true_random=False))
def test_no_request_that_the_model_allows_breaks_an_operation(
    name: str, data: st.DataObject, chance: Random, calls: Mapping[str, list[probes.Call]]
) -> None:
    lab = EcsLab(answers=Unknown())
    params = acquainted(data.draw(shapes.values(shapes.input_of(name))), chance)
    if name in calls:
        call = data.draw(st.sampled_from(calls[name]))
        lab.store.state = call.before
        params = changed(call.params, params, chance)
    answered(lab, name, params)


def answered(lab: EcsLab, name: str, params: dict[str, Any]) -> Outcome | None:
    """Have a result that the model has room for, or an exception that it lists (None)."""
    try:
        outcome = lab.asked(lab.request(name, params))
    except ApiError as error:
        assert error.code in model().operations[name].errors, error  # noqa: PT017 - a result or this
        assert error.message  # noqa: PT017 - the same
        return None
    lab.judge(name, outcome)
    return outcome
