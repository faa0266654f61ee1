"""What the ECS agent of an instance asks and tells. Pure.

No agent runs tasks here: the control plane's own runtime does, and tells what becomes of them. So an agent is not told
an endpoint to connect to, and what it says of tasks is refused, not acknowledged and forgotten.
"""

from collections.abc import Mapping
from typing import Final

from kecs.controlplane.arns import the_cluster
from kecs.controlplane.container_instances import known_instance
from kecs.controlplane.errors import ApiError, refused
from kecs.controlplane.operation import Operation, Outcome, Request
from kecs.controlplane.state import State


def _no_endpoint(_request: Request, _state: State) -> Outcome:
    raise refused(
        "There is no endpoint for container agents: tasks run on this control plane's own runtime, see "
        "ListContainerInstances."
    )


def _not_told(request: Request, state: State) -> Outcome:
    the_cluster(state, request.scope, request.params.get("cluster"))
    raise refused(
        f"{request.operation} is not accepted: what becomes of tasks is told by this control plane's own runtime."
    )


def _no_update(request: Request, state: State) -> Outcome:
    known_instance(request, state)
    raise ApiError("NoUpdateAvailableException", "There is no update available for this container agent.")


OPERATIONS: Final[Mapping[str, Operation]] = {
    "DiscoverPollEndpoint": _no_endpoint,
    "SubmitAttachmentStateChanges": _not_told,
    "SubmitContainerStateChange": _not_told,
    "SubmitTaskStateChange": _not_told,
    "UpdateContainerAgent": _no_update,
}
