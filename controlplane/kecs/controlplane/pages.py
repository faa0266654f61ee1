"""Pages of a listing: maxResults and nextToken. Pure.

A token holds the place of the last item that was given, in an order that items keep. So what is added or removed
between two pages makes none of the others come twice or never. It is bound to the operation, the scope and the other
parameters.
"""

import heapq
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from typing import Any, Final

from kecs.controlplane.errors import invalid
from kecs.controlplane.operation import Request

type Place = str | int | tuple[str | int, ...]
"""Where an item stands in the order of its listing. Different for different items."""

_MOST: Final = 100
_USUAL: Final = (100, _MOST)
_LIMITS: Final[dict[str, tuple[int, int]]] = {
    "DescribeCapacityProviders": (10, 10),
    "ListAccountSettings": (10, 10),
    "ListServices": (10, _MOST),
    "ListServicesByNamespace": (10, _MOST),
    "ListServiceDeployments": (20, _MOST),
}
"""Items on a page where the client says nothing, and at most."""
_TOKEN_MAX: Final = 4096
_BINDING: Final = 16
"""Bytes of a token that say what it belongs to."""
_PAGING: Final = frozenset({"maxResults", "nextToken"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Page[T]:
    """Part of a listing."""

    items: list[T]
    next_token: str | None
    """None on the last one: `nextToken` is absent then."""


def page[T](request: Request, items: Iterable[T], *, place: Callable[[T], Place], descending: bool = False) -> Page[T]:
    """Return the page of the items that a request asks for, in the order of their places.

    Raise InvalidParameterException for a token that is none of this listing's, and for a size that is out of bounds.
    """
    size = _size(request)
    binding = _binding(request)
    start = _start(request.params.get("nextToken"), binding)
    placed = ((_comparable(place(item)), item) for item in items)
    if start is not None:
        placed = (pair for pair in placed if (pair[0] < start if descending else pair[0] > start))
    choose = heapq.nlargest if descending else heapq.nsmallest
    found = choose(size + 1, placed, key=lambda pair: pair[0])
    more = len(found) > size
    return Page(
        items=[item for _, item in found[:size]],
        next_token=_token(found[size - 1][0], binding) if more else None,
    )


def ordered[T](request: Request, after: Callable[[int], Iterable[T]], *, place: Callable[[T], int]) -> Page[T]:
    """Return a page of items that come in the order of their places already, those after a place.

    No more are looked at than are on the page and one: what is before and behind it costs nothing.
    """
    size = _size(request)
    binding = _binding(request)
    start = _start(request.params.get("nextToken"), binding)
    found = list(islice(after(int(start[0]) if start else 0), size + 1))
    more = len(found) > size
    return Page(
        items=found[:size],
        next_token=_token((place(found[size - 1]),), binding) if more else None,
    )


def _size(request: Request) -> int:
    usual, most = _LIMITS.get(request.operation, _USUAL)
    size: int = request.params.get("maxResults", usual)
    if not 1 <= size <= most:
        raise invalid(f"Invalid maxResults: {size}. It must be between 1 and {most}.")
    return size


def _comparable(place: Place) -> tuple[str | int, ...]:
    return place if isinstance(place, tuple) else (place,)


def _binding(request: Request) -> bytes:
    others = {name: value for name, value in request.params.items() if name not in _PAGING}
    whose = [request.operation, request.scope.partition, request.scope.region, request.scope.account]
    return sha256(json.dumps([whose, others], sort_keys=True, default=str).encode()).digest()[:_BINDING]


def _token(place: tuple[str | int, ...], binding: bytes) -> str:
    said = json.dumps(place, separators=(",", ":")).encode()
    return urlsafe_b64encode(binding + _check(binding, said) + said).decode()


def _check(binding: bytes, said: bytes) -> bytes:
    return sha256(binding + said).digest()[:_BINDING]


def _start(token: str | None, binding: bytes) -> tuple[str | int, ...] | None:
    if not token:
        return None
    try:
        raw = urlsafe_b64decode(token.encode("ascii")) if len(token) <= _TOKEN_MAX else b""
    except ValueError:
        raw = b""
    said = raw[2 * _BINDING :]
    if raw[:_BINDING] != binding or raw[_BINDING : 2 * _BINDING] != _check(binding, said):
        raise invalid("Invalid nextToken.")
    place: list[Any] = json.loads(said)
    return tuple(place)
