"""moto's handlers by service, imported when they are first asked for.

moto offers no public way to ask one request of it in the own process: this reads the tables that moto's own in-process
mode reads (`moto.backend_index`, `moto.<service>.urls`). A contract test guards them for the pinned range of moto.
"""

import importlib
import re
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from typing import Any, Final

from moto.backend_index import backend_url_patterns

from kecs.emulator.hosts import Place

type Handler = Callable[[Any, str, Any], Any]

_NOT_AWS: Final = frozenset({"s3", "instance_metadata", "moto_api._internal"})
"""Never found by moto's patterns: S3 is decided before (moto takes any name with `s3` in it), the rest is not AWS."""

_BY_PATH: Final[Mapping[str, tuple[str, str]]] = {"ses": ("/v2/", "sesv2")}
"""Services that share a host: a path that begins so belongs to the other."""


@lru_cache(maxsize=4096)
def _indexed(asked: str) -> str:
    for service, pattern in backend_url_patterns:
        if service not in _NOT_AWS and pattern.fullmatch(f"https://{asked}"):
            return str(service)
    return ""


@cache
def services() -> tuple[str, ...]:
    """Return moto's names of all services that there are."""
    return tuple(sorted({"s3", *(str(service) for service, _ in backend_url_patterns)} - (_NOT_AWS - {"s3"})))


def service_of(place: Place, path: str) -> str:
    """Return moto's name of the service that is asked, or an empty string."""
    service = place.service or _indexed(place.asked)
    start, other = _BY_PATH.get(service, ("", ""))
    return other if start and path.startswith(start) else service


@cache
def _handlers(service: str) -> tuple[tuple[re.Pattern[str], Handler], ...]:
    urls = importlib.import_module(f"moto.{service}.urls")
    return tuple(
        (re.compile(path.format(base)), handler) for base in urls.url_bases for path, handler in urls.url_paths.items()
    )


def handler_of(service: str, asked: str, path: str) -> Handler | None:
    """Return what answers a path; None when moto knows the service but no such path."""
    url = f"https://{asked}{path}"
    return next((handler for pattern, handler in _handlers(service) if pattern.match(url)), None)
