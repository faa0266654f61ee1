"""Look-ups about services: who uses a target prefix or a signing name, and which protocol a service speaks."""

from functools import lru_cache
from typing import Final

from kecs.aws.call import Call, Protocol
from kecs.aws.tables import tables

_KEPT: Final = 1024
_PREFERENCE: Final = (
    Protocol.JSON,
    Protocol.REST_JSON,
    Protocol.REST_XML,
    Protocol.CBOR,
    Protocol.QUERY,
    Protocol.EC2,
)
"""botocore's own order, for services that speak several."""

ECS_TARGET: Final = "AmazonEC2ContainerServiceV"
"""The date after it is a version: a service prefix that a newer client sends still means ECS."""


def by_target(prefix: str) -> tuple[str, ...]:
    """Return the services whose X-Amz-Target begins with this prefix, without the dot."""
    if prefix.startswith(ECS_TARGET):
        return ("ecs",)
    return tables().targets.get(prefix, ())


def by_signing_name(name: str) -> tuple[str, ...]:
    """Return the services whose requests are signed for this name, the likeliest first."""
    return tables().signing.get(name, ())


def by_action(action: str, version: str) -> tuple[str, ...]:
    """Return the query services that know this action; only those of this API version where there are any."""
    known = tables().by_action.get(action, ())
    exact = tuple(name for name in known if tables().services[name]["version"] == version)
    return exact or known


@lru_cache(maxsize=_KEPT)
def protocols(service: str) -> tuple[Protocol, ...]:
    """Return the protocols a service speaks, in the order of preference; none for an unknown service."""
    row = tables().services.get(service)
    return () if row is None else tuple(p for p in _PREFERENCE if p in row["protocols"])


def protocol(service: str) -> Protocol | None:
    """Return the protocol that today's clients of a service speak."""
    spoken = protocols(service)
    return spoken[0] if spoken else None


@lru_cache(maxsize=_KEPT)
def query_protocol(service: str) -> Protocol | None:
    """Return how a service answers a request with Action and Version: query, ec2, or not at all."""
    row = tables().services.get(service)
    if row is None or "version" not in row:
        return None
    return Protocol.EC2 if "ec2" in row["protocols"] else Protocol.QUERY


@lru_cache(maxsize=_KEPT)
def json_version(service: str) -> str:
    """Return the version in the content type of a JSON service."""
    row = tables().services.get(service)
    return "1.0" if row is None else row.get("json", "1.0")


@lru_cache(maxsize=_KEPT)
def signing_name(service: str) -> str:
    """Return the name that requests to a service are signed for."""
    row = tables().services.get(service)
    return service if row is None else row["signing"][0]


def is_ecs(call: Call) -> bool:
    """Tell whether a call is for the ECS API."""
    return call.service == "ecs"


def is_elbv2(call: Call) -> bool:
    """Tell whether a call is for the ELBv2 API; classic ELB shares host and signing name."""
    return call.service == "elbv2"
