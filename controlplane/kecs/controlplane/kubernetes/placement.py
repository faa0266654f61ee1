"""Where a task may run: constraints, strategies and the runtime platform, as a pod says it. Pure.

Of the cluster query language those expressions are understood that node affinity can say: comparisons, `in`, `not_in`,
`exists`, joined by `and` and `or`. What is not understood raises: a task that may run anywhere is not what was asked.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any, Final

from kecs.controlplane.kubernetes.names import GROUP_LABEL, label_value
from kecs.controlplane.runtime import Launch
from kecs.core.errors import KecsError

type Json = dict[str, Any]

HOSTNAME: Final = "kubernetes.io/hostname"
ATTRIBUTES: Final[Mapping[str, str]] = {
    "ecs.availability-zone": "topology.kubernetes.io/zone",
    "ecs.cpu-architecture": "kubernetes.io/arch",
    "ecs.os-type": "kubernetes.io/os",
    "ecs.instance-type": "node.kubernetes.io/instance-type",
    "ecs.subnet-id": "ecs.subnet-id",
    "ecs.vpc-id": "ecs.vpc-id",
    "ecs.ami-id": "ecs.ami-id",
    "ecs.os-family": "ecs.os-family",
}
"""Attributes of container instances, and the labels of nodes that say the same. Others are labels of that very name."""
ARCHITECTURES: Final[Mapping[str, str]] = {"X86_64": "amd64", "x86_64": "amd64", "ARM64": "arm64", "arm64": "arm64"}
_TOPOLOGIES: Final[Mapping[str, str]] = {
    "attribute:ecs.availability-zone": ATTRIBUTES["ecs.availability-zone"],
    "instanceid": HOSTNAME,
    "host": HOSTNAME,
}
_OPERATORS: Final[Mapping[str, str]] = {
    "==": "In", "equals": "In", "!=": "NotIn", "not_equals": "NotIn", "in": "In", "not_in": "NotIn", "!in": "NotIn",
    ">": "Gt", "greater_than": "Gt", "<": "Lt", "less_than": "Lt",
}  # fmt: skip
_TOKEN: Final = re.compile(
    r"""\s*(\(|\)|\[|\]|,|&&|\|\||==|!=|>=|<=|!in\b|[<>!]|"[^"]*"|'[^']*'|[^\s()\[\],<>=!&|]+)"""
)


class ExpressionError(KecsError):
    """A placement expression that nodes can't be chosen by."""


def of_pod(launch: Launch) -> Json:
    """Return what a pod's spec says about its place."""
    spec: Json = {}
    if selector := _platform(launch.definition.document.get("runtimePlatform") or {}):
        spec["nodeSelector"] = selector
    if affinity := _affinity(launch):
        spec["affinity"] = affinity
    if not launch.task.node and (spread := list(_spread(launch))):
        spec["topologySpreadConstraints"] = spread
    return spec


def _platform(said: Json) -> dict[str, str]:
    selector: dict[str, str] = {}
    if architecture := said.get("cpuArchitecture"):
        selector["kubernetes.io/arch"] = ARCHITECTURES[architecture]
    if family := said.get("operatingSystemFamily"):
        selector["kubernetes.io/os"] = "linux" if family == "LINUX" else "windows"
    return selector


def _constraints(launch: Launch) -> list[Json]:
    return [*(launch.definition.document.get("placementConstraints") or ()), *launch.task.placement_constraints]


def _affinity(launch: Launch) -> Json:
    """Return on which nodes. Where the control plane has chosen one, it has obeyed all constraints in doing so."""
    if launch.task.node:
        field = {"key": "metadata.name", "operator": "In", "values": [launch.task.node]}
        return _required([{"matchFields": [field]}])
    affinity: Json = {}
    terms: list[list[Json]] = [[]]
    for one in _constraints(launch):
        if one["type"] == "memberOf":
            terms = [[*before, *more] for before, more in product(terms, parse(one["expression"]))]
    if any(terms):
        affinity |= _required([{"matchExpressions": term} for term in terms])
    if any(one["type"] == "distinctInstance" for one in _constraints(launch)):
        term = {"labelSelector": {"matchLabels": _group(launch)}, "topologyKey": HOSTNAME}
        affinity["podAntiAffinity"] = {"requiredDuringSchedulingIgnoredDuringExecution": [term]}
    return affinity


def _required(terms: list[Json]) -> Json:
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}


def _group(launch: Launch) -> dict[str, str]:
    return {GROUP_LABEL: label_value(launch.task.group)}


def _spread(launch: Launch) -> Iterator[Json]:
    """Yield spread strategies. binpack and random are left to the scheduler's own scores."""
    for one in launch.task.placement_strategy:
        field = str(one.get("field") or "")
        key = _TOPOLOGIES.get(field.lower()) or ATTRIBUTES.get(field.removeprefix("attribute:"))
        if str(one.get("type", "")).lower() == "spread" and key:
            selector = {"matchLabels": _group(launch)}
            yield {"maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": selector}


def parse(expression: str) -> list[list[Json]]:
    """Read an expression of the cluster query language: alternatives, each a list of requirements that all hold."""
    tokens = _TOKEN.findall(expression)
    if not tokens or "".join(tokens).replace(" ", "") != "".join(expression.split()):
        raise ExpressionError(f"placement expression {expression!r} can't be read")
    reader = _Reader(tokens, expression)
    found = reader.either()
    if reader.tokens:
        raise ExpressionError(f"placement expression {expression!r}: {reader.tokens[0]!r} is not expected")
    return found


class _Reader:
    def __init__(self, tokens: Sequence[str], expression: str) -> None:
        self.tokens = list(tokens)
        self._expression = expression

    def either(self) -> list[list[Json]]:
        found = self._both()
        while self._next() in ("or", "||"):
            self._take()
            found = [*found, *self._both()]
        return found

    def _both(self) -> list[list[Json]]:
        found = self._one()
        while self._next() in ("and", "&&"):
            self._take()
            found = [[*left, *right] for left, right in product(found, self._one())]
        return found

    def _one(self) -> list[list[Json]]:
        if self._next() == "(":
            self._take()
            found = self.either()
            self._expect(")")
            return found
        negated = self._next() in ("not", "!")
        if negated:
            self._take()
        subject = self._take()
        if subject.startswith("attribute:") and self._next() in ("", "and", "or", "&&", "||", ")"):
            return [[{"key": self._key(subject), "operator": "DoesNotExist" if negated else "Exists"}]]
        word = self._take()
        if word == "exists":
            return [[{"key": self._key(subject), "operator": "DoesNotExist" if negated else "Exists"}]]
        if negated or word not in _OPERATORS:
            raise self._wrong(word)
        return [[{"key": self._key(subject), "operator": _OPERATORS[word], "values": self._values(subject)}]]

    def _key(self, subject: str) -> str:
        if not subject.startswith("attribute:"):
            raise self._wrong(subject)
        name = subject.removeprefix("attribute:")
        return ATTRIBUTES.get(name, name)

    def _values(self, subject: str) -> list[str]:
        values: list[str] = []
        if self._next() == "[":
            self._take()
            while self._next() != "]":
                values.append(self._take().strip("\"'"))
                if self._next() == ",":
                    self._take()
            self._take()
        else:
            values.append(self._take().strip("\"'"))
        architecture = subject == "attribute:ecs.cpu-architecture"
        return [ARCHITECTURES.get(value, value) if architecture else value for value in values]

    def _next(self) -> str:
        return self.tokens[0] if self.tokens else ""

    def _take(self) -> str:
        if not self.tokens:
            raise self._wrong("its end")
        return self.tokens.pop(0)

    def _expect(self, token: str) -> None:
        if self._take() != token:
            raise self._wrong(token)

    def _wrong(self, what: str) -> ExpressionError:
        return ExpressionError(f"placement expression {self._expression!r}: {what!r} can't be said of nodes")
