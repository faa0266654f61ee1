"""All operations of the API, by name; those that are not here are refused as the model allows. Pure."""

from collections.abc import Mapping
from typing import Final

from kecs.controlplane import (
    account_settings,
    agent,
    attributes,
    capacity_providers,
    clusters,
    container_instances,
    definitions,
    deployments,
    services,
    tagging,
    task_sets,
    tasks,
)
from kecs.controlplane.errors import ApiError, refused, unsupported
from kecs.controlplane.operation import Operation, Outcome, Request
from kecs.controlplane.state import State
from kecs.controlplane.wire.model import model

PARTS: Final[tuple[Mapping[str, Operation], ...]] = (
    account_settings.OPERATIONS,
    agent.OPERATIONS,
    attributes.OPERATIONS,
    capacity_providers.OPERATIONS,
    clusters.OPERATIONS,
    container_instances.OPERATIONS,
    definitions.OPERATIONS,
    deployments.OPERATIONS,
    services.OPERATIONS,
    tagging.OPERATIONS,
    task_sets.OPERATIONS,
    tasks.OPERATIONS,
)

OPERATIONS: Final[Mapping[str, Operation]] = {name: operation for part in PARTS for name, operation in part.items()}


def refusal(name: str) -> ApiError:
    """Return what a client is told of an operation that is not here, by an exception that its model lists."""
    message = f"{name} is not supported by this control plane."
    return (
        unsupported(message) if "UnsupportedFeatureException" in model().operations[name].errors else refused(message)
    )


def refuse(request: Request, _state: State) -> Outcome:
    """Refuse an operation that is not here."""
    raise refusal(request.operation)
