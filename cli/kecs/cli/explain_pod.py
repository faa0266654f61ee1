"""A pod of a cluster explained: how it runs, and what the webhook would do if it were made anew. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import jsonpatch

from kecs.cli import pods
from kecs.cli.explain import added, data, sections
from kecs.cli.inject_review import Reviewed
from kecs.cli.pods import Pod
from kecs.core.names import SIDECAR_CONTAINER
from kecs.core.settings import ProxyMode
from kecs.injector.config import Facts, Injection
from kecs.injector.inject import review
from kecs.injector.manifest import workloads
from kecs.injector.outcome import Patched, Refused
from kecs.injector.pod import metadata_problems, spec_problems
from kecs.injector.uninject import uninject

_AGAIN: Final[Mapping[bool, str]] = {
    True: "kubectl delete pod {name}: its {owner} makes it anew",
    False: "delete it and create it from its manifest",
}
"""How a pod is made anew, by whether something else made it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """One pod, as it runs and as it would be."""

    pod: Pod
    roots: Sequence[str]
    """The authority's, active one first; none where they are not known."""
    anew: Reviewed
    unread: Mapping[str, str] = field(default_factory=dict)
    """What could not be read, and counts as if it said nothing → why."""

    @property
    def mode(self) -> ProxyMode | None:
        """The mode that the pod runs in, by its containers; None without any."""
        return pods.mode(self.pod)

    @property
    def advice(self) -> str:
        """What to do where the pod runs otherwise than it would if it were made anew."""
        outcome = self.anew.outcome
        anew = outcome.mode if isinstance(outcome, Patched) else None
        if self.mode is anew or isinstance(outcome, Refused) or not pods.is_running(self.pod):
            return ""
        owner = next((one for one in self.pod["metadata"].get("ownerReferences") or () if one.get("controller")), None)
        how = _AGAIN[owner is not None].format(
            name=self.pod["metadata"]["name"], owner=f"{owner['kind']} {owner['name']}" if owner else ""
        )
        if self.mode is None:
            return f"it was made before it asked for the proxy, or while nobody answered the webhook; {how}"
        return f"what it asks for has changed since it was made; {how}"


def explained(
    pod: Pod, facts: Facts, config: Injection, *, roots: Sequence[str], unread: Mapping[str, str]
) -> Explained:
    """Review a pod as it was before it was injected."""
    namespace, _ = pods.key(pod)
    (workload,) = workloads({**_before(pod), "kind": "Pod"})
    outcome = review(workload.pod, facts, config, namespace=namespace)
    anew = Reviewed(workload=workload, namespace=namespace, outcome=outcome, facts=facts)
    return Explained(pod=pod, roots=roots, anew=anew, unread=unread)


def _before(pod: Pod) -> dict[str, Any]:
    if metadata_problems(pod) or spec_problems(pod):
        return dict(pod)
    before: dict[str, Any] = jsonpatch.apply_patch(dict(pod), list(uninject(pod)))
    return before


def as_data(one: Explained) -> dict[str, Any]:
    """Explain it as data."""
    namespace, name = pods.key(one.pod)
    anew = {key: value for key, value in data(one.anew).items() if key not in {"kind", "name", "namespace"}}
    place = {"kind": "Pod", "name": name, "namespace": namespace}
    return {**place, "now": _now(one), "anew": anew, "advice": one.advice or None, "unread": dict(one.unread)}


def _now(one: Explained) -> dict[str, Any]:
    record = pods.recorded(one.pod)
    status = pods.status_of(one.pod, SIDECAR_CONTAINER)
    sidecar = pods.has_sidecar(one.pod)
    return {
        "injected": one.mode is not None,
        "mode": one.mode.value if one.mode else None,
        "version": record.version if record and one.mode else None,
        "trust": pods.trusting(one.pod, one.roots).value if sidecar else None,
        "ready": bool(status.get("ready")) if sidecar else None,
        "restarts": int(status.get("restartCount") or 0) if sidecar else None,
        "added": record.data() if record and one.mode else {},
    }


def text(one: Explained) -> Iterator[str]:
    """Explain it in lines."""
    found = as_data(one)
    now, anew = found["now"], found["anew"]
    yield f"pod/{found['name']} in {found['namespace']}: {_runs(now)}"
    if now["mode"] == ProxyMode.SIDECAR:
        ready = "ready" if now["ready"] else "not ready"
        yield f"  sidecar: {ready}, {now['restarts']} restarts; trust: {now['trust']}"
    yield from _section("was added", list(added(now["added"])))
    mode = f", mode {anew['mode']}" if anew["mode"] else ""
    yield f"made anew it would be: {anew['outcome']}{mode}"
    for title, lines in sections(anew):
        if title != "would be added" or anew["added"].get("containers") != now["added"].get("containers"):
            yield from _section(title, lines)
    yield from _section("could not be read", [f"{what}: {why}" for what, why in found["unread"].items()])
    if one.advice:
        yield f"hint: {one.advice}"


def _runs(now: Mapping[str, Any]) -> str:
    if not now["injected"]:
        return "not injected"
    return f"injected, mode {now['mode']}" + (f", version {now['version']}" if now["version"] else "")


def _section(title: str, lines: Sequence[str]) -> Iterator[str]:
    if lines:
        yield f"  {title}:"
        yield from (f"    {line}" for line in lines)
