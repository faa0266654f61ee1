"""Tags: as requests spell them and as records keep them, and what a task gets from its definition and service. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from kecs.controlplane.errors import invalid

MOST = 50
"""Tags that a resource may have."""


def to_wire(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Return tags as an answer has them."""
    return [{"key": key, "value": value} for key, value in tags.items()]


def from_wire(tags: Iterable[Mapping[str, Any]] | None) -> dict[str, str]:
    """Return a request's tags as records keep them. Raise InvalidParameterException for those that can't be."""
    found: dict[str, str] = {}
    for tag in tags or ():
        key, value = tag.get("key") or "", tag.get("value") or ""
        if key in found:
            raise invalid("Duplicate tag keys found. Please note that Tag keys are case insensitive.")
        found[key] = value
    return found
