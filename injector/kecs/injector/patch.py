"""A JSON patch, built step by step against a pod that is known: no comparing of whole pods, whatever their size. Pure.

RFC 6902 `add` fails below a parent that is missing, so each step knows what is there.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from kecs.injector.outcome import Operation


def pointer(*parts: str | int) -> str:
    """Spell a path as RFC 6901 does."""
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in parts)


def put(path: tuple[str | int, ...], value: Any) -> Operation:
    """Set a key of an object that is there, whether the key is or not."""
    return {"op": "add", "path": pointer(*path), "value": value}


def drop(path: tuple[str | int, ...]) -> Operation:
    """Remove a key or an element that is there."""
    return {"op": "remove", "path": pointer(*path)}


def append(path: tuple[str | int, ...], existing: Sequence[Any] | None, items: Sequence[Any]) -> list[Operation]:
    """Add items to the end of a list, which may be missing, null or empty."""
    if not items:
        return []
    if not existing:
        return [put(path, list(items))]
    end = f"{pointer(*path)}/-"
    return [{"op": "add", "path": end, "value": item} for item in items]


def prepend(path: tuple[str | int, ...], existing: Sequence[Any] | None, items: Sequence[Any]) -> list[Operation]:
    """Add items, of which there are some, to the front of a list, which may be missing, null or empty."""
    if not existing:
        return [put(path, list(items))]
    return [put((*path, index), item) for index, item in enumerate(items)]


def annotate(metadata: Mapping[str, Any] | None, annotations: Mapping[str, str]) -> list[Operation]:
    """Set annotations of a pod whose metadata, or their annotations, may be missing."""
    if not annotations:
        return []
    if metadata is None:
        return [put(("metadata",), {"annotations": dict(annotations)})]
    if not metadata.get("annotations"):
        return [put(("metadata", "annotations"), dict(annotations))]
    return [put(("metadata", "annotations", name), value) for name, value in annotations.items()]
