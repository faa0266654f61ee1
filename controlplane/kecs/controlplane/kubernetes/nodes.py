"""A Kubernetes node as a machine that tasks run on. Pure."""

import re
from collections.abc import Mapping
from typing import Any, Final

from kecs.controlplane.kubernetes.placement import ARCHITECTURES, ATTRIBUTES
from kecs.controlplane.runtime import Node

type Json = dict[str, Any]

_AMOUNT: Final = re.compile(r"([0-9.]+)([EPTGMk]i?|m|Ki)?")
_SCALES: Final[Mapping[str, float]] = {
    "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18,
    "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "Ei": 2**60,
}  # fmt: skip
_UNITS: Final = 1024
_WORDS: Final = {value: name for name, value in ARCHITECTURES.items() if name in ("x86_64", "arm64")}


def amount(text: str) -> float:
    """Read a quantity; 0 where it is none."""
    found = _AMOUNT.fullmatch(text)
    return float(found[1]) * _SCALES.get(found[2] or "", 1) if found else 0.0


def node(found: Mapping[str, Any]) -> Node:
    """Return what container instances show of a node: what is allocatable, since the rest is the machine's own."""
    status, spec = found.get("status") or {}, found.get("spec") or {}
    free = status.get("allocatable") or status.get("capacity") or {}
    ready = any(one.get("type") == "Ready" and one.get("status") == "True" for one in status.get("conditions") or ())
    return Node(
        name=found["metadata"]["name"],
        cpu=int(amount(str(free.get("cpu", "0"))) * _UNITS),
        memory=int(amount(str(free.get("memory", "0"))) // 2**20),
        ready=ready,
        unschedulable=bool(spec.get("unschedulable")),
        attributes=_attributes(found["metadata"].get("labels") or {}),
    )


def _attributes(labels: Mapping[str, str]) -> dict[str, str]:
    named = {name: labels[label] for name, label in ATTRIBUTES.items() if label in labels}
    if "ecs.cpu-architecture" in named:
        named["ecs.cpu-architecture"] = _WORDS.get(named["ecs.cpu-architecture"], named["ecs.cpu-architecture"])
    known = set(ATTRIBUTES.values())
    return named | {label: value for label, value in labels.items() if label not in known}
