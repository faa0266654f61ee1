"""Our containers' resources made to fit a namespace's LimitRanges, which would refuse the pod otherwise. Pure."""

from dataclasses import replace
from typing import Final

from kecs.injector.config import LimitRange, Resources
from kecs.injector.quantity import Quantity

_WHAT: Final = ("cpu", "memory")


def fitted(resources: Resources, ranges: tuple[LimitRange, ...]) -> tuple[Resources, tuple[str, ...]]:
    """Move requests and limits into all ranges, and say what was moved and by which."""
    sentences = []
    for one in ranges:
        moved = _within(resources, one)
        if moved != resources:
            sentences.append(f"LimitRange {one.name} changes our resources from {_shown(resources)} to {_shown(moved)}")
            resources = moved
    return resources, tuple(sentences)


def _within(resources: Resources, bounds: LimitRange) -> Resources:
    changed: dict[str, Quantity] = {}
    for what in _WHAT:
        request, limit = getattr(resources, f"{what}_request"), getattr(resources, f"{what}_limit")
        if least := bounds.minimum.get(what):
            request, limit = max(request, least), max(limit, least)
        if most := bounds.maximum.get(what):
            request, limit = min(request, most), min(limit, most)
        if ratio := bounds.ratio.get(what):
            request = max(request, _least_request(limit, ratio))
        changed |= {f"{what}_request": min(request, limit), f"{what}_limit": limit}
    return replace(resources, **changed)


def _least_request(limit: Quantity, ratio: Quantity) -> Quantity:
    """Divide, rounding up to what Kubernetes can spell: a thousandth, or a byte of what is written in bytes."""
    step = 1 if limit.binary else 1000
    scaled = limit.value * step / ratio.value
    whole = int(scaled) + (scaled != int(scaled))
    return Quantity(type(limit.value)(whole) / step, limit.binary)


def _shown(resources: Resources) -> str:
    bounds = (
        f"{what} {getattr(resources, f'{what}_request')}..{getattr(resources, f'{what}_limit')}" for what in _WHAT
    )
    return ", ".join(bounds)
