"""All operations: together once each, refused as their models allow, and none that breaks on what a client may send."""

from typing import Any

import ecs_probes_lab as probes
import ecs_shapes_lab as shapes
import pytest
from botocore.exceptions import ClientError
from ecs_lab import EcsLab, ecs_client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kecs.controlplane.errors import ApiError
from kecs.controlplane.operations import OPERATIONS, PARTS, refusal
from kecs.controlplane.state import State
from kecs.controlplane.wire.model import model


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
def populated() -> State:
    lab = EcsLab()
    probes.played(lab)
    return lab.state


@pytest.mark.parametrize("name", sorted(OPERATIONS))
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_request_that_the_model_allows_breaks_an_operation(name: str, data: st.DataObject, populated: State) -> None:
    lab = EcsLab()
    lab.store.state = populated
    params = data.draw(shapes.values(shapes.input_of(name)))
    if "cluster" in params and data.draw(st.booleans()):
        params["cluster"] = probes.CLUSTER
    assert_answered(lab, name, params)


def assert_answered(lab: EcsLab, name: str, params: dict[str, Any]) -> None:
    """A result that the model has room for, or an exception that it lists; nothing is kept."""
    request = lab.request(name, params)
    try:
        outcome = lab.asked(request)
    except ApiError as error:
        assert error.code in model().operations[name].errors, error  # noqa: PT017 - a result or this
        assert error.message  # noqa: PT017 - the same
    else:
        lab.judge(name, outcome)
