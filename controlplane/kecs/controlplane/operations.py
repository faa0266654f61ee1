"""All operations of the API, by name; those that are not here are refused as the model allows. Pure."""

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Final

from kecs.controlplane.errors import ApiError, refused, unsupported
from kecs.controlplane.operation import Operation, Outcome, Request
from kecs.controlplane.state import State
from kecs.controlplane.wire.model import model

_MODULES: Final = (
    "account_settings",
    "attributes",
    "capacity_providers",
    "clusters",
    "container_instances",
    "agent",
    "definitions",
    "deployments",
    "services",
    "tagging",
    "task_sets",
    "tasks",
)


def _merged() -> dict[str, Operation]:
    found: dict[str, Operation] = {}
    for name in _MODULES:
        if find_spec(f"kecs.controlplane.{name}") is not None:
            more: Mapping[str, Operation] = getattr(import_module(f"kecs.controlplane.{name}"), "OPERATIONS", {})
            twice = found.keys() & more.keys()
            if twice:
                raise RuntimeError(f"operations that two modules have: {sorted(twice)}")
            found |= more
    return found


OPERATIONS: Final[Mapping[str, Operation]] = _merged()


def refusal(name: str) -> ApiError:
    """Return what a client is told of an operation that is not here, by an exception that its model lists."""
    message = f"{name} is not supported by this control plane."
    return (
        unsupported(message) if "UnsupportedFeatureException" in model().operations[name].errors else refused(message)
    )


def refuse(request: Request, _state: State) -> Outcome:
    """Refuse an operation that is not here."""
    raise refusal(request.operation)
