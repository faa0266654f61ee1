"""The metadata endpoints: which address is whose. Pure."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from kecs.aws.head import Answer, RequestHead
from kecs.core.names import ECS_METADATA_IPV4, IMDS_IPV4, IMDS_IPV6, POD_IDENTITY_IPV4, POD_IDENTITY_IPV6
from kecs.sidecar import container_metadata, imds
from kecs.sidecar.config import SidecarConfig

PORT: Final = 80

_SERVERS: Final[Mapping[str, Callable[..., Answer]]] = {
    IMDS_IPV4: imds.answer,
    IMDS_IPV6: imds.answer,
    ECS_METADATA_IPV4: container_metadata.answer_ecs,
    POD_IDENTITY_IPV4: container_metadata.answer_eks,
    POD_IDENTITY_IPV6: container_metadata.answer_eks,
}


def serves(address: str, port: int) -> bool:
    """Tell whether a destination is one of the metadata endpoints."""
    return port == PORT and address in _SERVERS


def answer(address: str, head: RequestHead, *, config: SidecarConfig, now: datetime) -> Answer:
    """Answer a request to the metadata endpoint at this address; `serves` must hold of it. `now` is in UTC."""
    return _SERVERS[address](head, config=config, now=now)
