"""Whether the permissions of an account cover what it asked the fake API server for: RBAC's rules, no more lenient.

rules = granted(documents(render()), "kecs-authority")
assert [request for request in api.requests if not allowed(request, rules)] == []
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from kube_lab import Request, parts_of

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_PUBLIC = ("/version",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule, and where it holds: a namespace, or everywhere ("")."""

    namespace: str
    groups: tuple[str, ...]
    resources: tuple[str, ...]
    verbs: tuple[str, ...]
    names: tuple[str, ...] = ()


def granted(objects: Iterable[dict[str, Any]], account: str) -> tuple[Rule, ...]:
    """Collect the rules that bindings give to a service account."""
    found = list(objects)
    roles = {(one["kind"], one["metadata"]["name"]): one["rules"] for one in found if one["kind"].endswith("Role")}
    return tuple(
        Rule(
            namespace=binding["metadata"].get("namespace", ""),
            groups=tuple(rule["apiGroups"]),
            resources=tuple(rule["resources"]),
            verbs=tuple(rule["verbs"]),
            names=tuple(rule.get("resourceNames", ())),
        )
        for binding in found
        if binding["kind"].endswith("RoleBinding") and any(one["name"] == account for one in binding["subjects"])
        for rule in roles[binding["roleRef"]["kind"], binding["roleRef"]["name"]]
    )


def allowed(request: Request, rules: Sequence[Rule]) -> bool:
    """Say whether one of the rules permits a request."""
    if request.path in _PUBLIC:
        return True
    group, namespace, resource, name, sub = parts_of(request.path)
    verb = _VERBS.get(request.method) or _reading(request, name)
    if verb in {"list", "watch"}:
        selector = request.query.get("fieldSelector", "")
        name = selector.removeprefix("metadata.name=") if selector.startswith("metadata.name=") else ""
    asked = f"{resource}/{sub}" if sub else resource
    return any(
        rule.namespace in ("", namespace)
        and group in rule.groups
        and asked in rule.resources
        and verb in rule.verbs
        and (not rule.names or name in rule.names)
        for rule in rules
    )


def _reading(request: Request, name: str) -> str:
    if name:
        return "get"
    return "watch" if request.query.get("watch") in {"1", "true"} else "list"
