"""The tables made from botocore's data by `scripts/generate_tables.py`, read when first asked for."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypedDict


class ServiceRow(TypedDict, total=False):
    """One service, as the table holds it. What is empty is left out."""

    protocols: list[str]
    json: str
    target: str
    version: str
    signing: list[str]
    query_compatible: bool


class Core(TypedDict):
    """What every classification needs."""

    botocore: str
    services: dict[str, ServiceRow]
    hosts: dict[str, list[str]]
    standard: dict[str, str]
    dual_stack_only: list[str]
    regionless: list[str]
    actions: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """The core table and its indices. Orders are orders of preference."""

    services: dict[str, ServiceRow]
    hosts: dict[str, tuple[str, ...]]
    """Endpoint prefix, without region, -fips and dualstack, to the services that answer there."""
    standard: dict[str, str]
    """Endpoint prefix to the standard one, where they differ: ecr -> api.ecr."""
    dual_stack_only: frozenset[str]
    """Endpoint prefixes that exist under the dual-stack suffix alone."""
    regionless: frozenset[str]
    """Endpoint prefixes whose standard host under amazonaws.com is one for all regions."""
    signing: dict[str, tuple[str, ...]]
    targets: dict[str, tuple[str, ...]]
    actions: dict[str, frozenset[str]]
    """Service to its operations, for services that speak the query protocol."""
    by_action: dict[str, tuple[str, ...]]


def read(name: str) -> bytes:
    """Return a file of the package's data."""
    return (Path(__file__).with_name("data") / name).read_bytes()


def _index(pairs: list[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    made: dict[str, list[str]] = {}
    for key, service in pairs:
        made.setdefault(key, []).append(service)
    return {key: tuple(services) for key, services in made.items()}


@cache
def tables() -> Tables:
    """Return the core table, indexed."""
    core: Core = json.loads(read("core.json"))
    services = core["services"]
    actions = {service: frozenset(names.split()) for service, names in core["actions"].items()}
    return Tables(
        services=services,
        hosts={prefix: tuple(names) for prefix, names in core["hosts"].items()},
        standard=core["standard"],
        dual_stack_only=frozenset(core["dual_stack_only"]),
        regionless=frozenset(core["regionless"]),
        signing=_index([(name, service) for service, row in services.items() for name in row["signing"]]),
        targets=_index([(row["target"], service) for service, row in services.items() if "target" in row]),
        actions=actions,
        by_action=_index([(action, service) for service, names in actions.items() for action in sorted(names)]),
    )


@cache
def rest_lines() -> dict[str, str]:
    """Return, for each REST service, its operations as lines `METHOD PATH[?QUERY] [HEADERS] NAME`."""
    lines: dict[str, str] = json.loads(read("rest.json"))
    return lines
