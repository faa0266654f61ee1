"""Pod, facts and settings in; a patch, nothing or a refusal out, with every reason. Pure.

A second pass over a pod that has the sidecar adds what is missing, for instance to a container that came from another
webhook, and else nothing. Whether it has the sidecar is read from its containers alone.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from kecs.core.names import INIT_CONTAINER, INJECTED_ANNOTATION, SIDECAR_INJECTED_ANNOTATION, TRUST_ROOT_ANNOTATION
from kecs.core.settings import ProxyMode
from kecs.injector import evidence, limits, mode, obstacles, wishes
from kecs.injector.config import Facts, Injection, Resources, Trust
from kecs.injector.containers import (
    EVICTABLE,
    init_container,
    overlay_mount,
    sidecar_container,
    trust_mount,
    volumes,
)
from kecs.injector.draft import Draft
from kecs.injector.outcome import Outcome, Patched, Refused, Untouched
from kecs.injector.pod import Object, Pod, metadata_problems, spec_problems
from kecs.injector.reason import POLICY_ANNOTATION, SENTENCES, Reason
from kecs.injector.record import Record
from kecs.injector.repair import repairs
from kecs.injector.uninject import found
from kecs.injector.variables import ENDPOINT, for_environment, for_sidecar
from kecs.injector.wishes import Wishes

DEFAULT_CONTAINER: Final = "kubectl.kubernetes.io/default-container"
EVICTABLE_VOLUMES: Final = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes"
_CONTROLPLANE_SERVICES: Final = ("ECS", "ELASTIC_LOAD_BALANCING_V2")
_NAMES_SHOWN: Final = 3
_REFUSE: Final = "refuse"
_WARN: Final = "warn"


def review(pod: Object, facts: Facts, config: Injection, *, namespace: str) -> Outcome:
    """Decide about one pod of `namespace` (the request's: the pod's own may be empty)."""
    if namespace in config.untouched_namespaces:
        return Untouched(reasons=(Reason.OWN_NAMESPACE,))
    outcome = _review(pod, facts, config)
    return _by_policy(outcome, facts) if isinstance(outcome, Refused) else outcome


def _by_policy(outcome: Refused, facts: Facts) -> Outcome:
    """Let a pod start without the proxy where its namespace would rather have that than no pod."""
    policy = facts.namespace.annotations.get(POLICY_ANNOTATION, _REFUSE)
    if policy == _WARN:
        told = (f"not injected, so its calls reach real AWS: {sentence}" for sentence in outcome.sentences)
        return Untouched(reasons=(*outcome.reasons, Reason.LET_THROUGH), warnings=(*told, *outcome.warnings))
    if policy == _REFUSE:
        return outcome
    wrong = f'namespace annotation {POLICY_ANNOTATION} is "{policy}"; it may be {_REFUSE}, {_WARN}'
    return replace(outcome, sentences=_lines((*outcome.sentences, wrong)))


def _review(pod: Object, facts: Facts, config: Injection) -> Outcome:
    decided = _mode(pod, facts, config)
    if not isinstance(decided, mode.Decision):
        return decided
    if problems := spec_problems(pod):
        return Refused(reasons=(decided.reason, Reason.BAD_POD), sentences=problems)
    wanted = wishes.read(Pod(pod).annotations, config)
    if isinstance(wanted, tuple):
        return Refused(reasons=(decided.reason, Reason.BAD_ANNOTATION), sentences=wanted)
    return _Review(Pod(pod), facts, config, wanted).outcome(decided)


def _mode(pod: Object, facts: Facts, config: Injection) -> mode.Decision | Outcome:
    """Decide whether there is anything to do, before anything of the spec is looked at."""
    if problems := metadata_problems(pod):
        return Refused(reasons=(Reason.BAD_POD,), sentences=problems)
    decided = mode.mode(Pod(pod).marks, facts.namespace, config.mode)
    if isinstance(decided, mode.Refusal):
        return Refused(reasons=(Reason.BAD_ANNOTATION,), sentences=_lines(decided.sentences))
    if decided.mode is ProxyMode.DISABLED:
        return Untouched(reasons=(decided.reason,), warnings=_lines(decided.warnings))
    return decided


class _Review:
    """One pod on its way to an outcome. Reasons and warnings gather on the way."""

    def __init__(self, pod: Pod, facts: Facts, config: Injection, wanted: Wishes) -> None:
        self._pod = pod
        self._facts = facts
        self._config = config
        self._wishes = wanted
        self._reasons: list[Reason] = []
        self._warnings: list[str] = []

    def outcome(self, decided: mode.Decision) -> Outcome:
        self._reasons.append(decided.reason)
        self._warnings.extend(decided.warnings)
        if self._pod.is_injected:
            if decided.mode is ProxyMode.ENVIRONMENT:
                self._warnings.append("the pod has the sidecar already, which holds over the mode environment")
            return self._sidecar()
        if decided.mode is ProxyMode.ENVIRONMENT:
            return self._environment()
        if decided.mode is ProxyMode.AUTO:
            signs = evidence.find(self._pod, self._facts)
            self._reasons.append(Reason.EVIDENCE if signs else Reason.NO_EVIDENCE)
            if not signs:
                return self._untouched()
        if in_the_way := obstacles.find(self._pod, self._facts, self._config):
            return self._impossible(in_the_way)
        return self._sidecar()

    def _impossible(self, in_the_way: tuple[obstacles.Obstacle, ...]) -> Outcome:
        """Take the first mode of proxy.fallbackOrder that is possible, where falling back is any help."""
        self._reasons.extend(dict.fromkeys(obstacle.reason for obstacle in in_the_way))
        sentences = tuple(obstacle.sentence for obstacle in in_the_way)
        helps = self._config.fallback_enabled and all(one.reason in obstacles.FALLS_BACK for one in in_the_way)
        possible = (ProxyMode.ENVIRONMENT, ProxyMode.DISABLED)
        fallback = next((one for one in self._config.fallback_order if one in possible), None) if helps else None
        if fallback is None:
            return self._refused(sentences)
        self._reasons.append(Reason.FELL_BACK)
        for sentence in sentences:
            self._warnings.append(f"no sidecar, mode {fallback} instead: {sentence}")
        return self._environment() if fallback is ProxyMode.ENVIRONMENT else self._untouched()

    def _sidecar(self) -> Outcome:
        trust = self._facts.trust
        if trust is None or not trust.sha256:
            self._reasons.append(Reason.NO_TRUST_ROOTS)
            return self._refused((SENTENCES[Reason.NO_TRUST_ROOTS],))
        first = not self._pod.is_injected
        draft = self._draft(ProxyMode.SIDECAR, first=first)
        mounts = [trust_mount(), *map(overlay_mount, self._wishes.overlays)]
        for where, index, container in self._pod.users:
            given = for_sidecar(container, region=self._config.region)
            draft.give(where, index, container, given, mounts)
        ours = self._ours(trust)
        if first:
            draft.prepend_containers(ours)
            draft.add_pull_secrets(self._config.images.pull_secrets)
            draft.annotate_foreign(DEFAULT_CONTAINER, self._first())
            draft.list_in_annotation(EVICTABLE_VOLUMES, EVICTABLE)
            self._warnings.extend(obstacles.cautions(self._pod))
        else:
            draft.operations += repairs(self._pod, ours)
        draft.add_volumes(volumes())
        own = {
            INJECTED_ANNOTATION: "true",
            SIDECAR_INJECTED_ANNOTATION: "true",
            TRUST_ROOT_ANNOTATION: ",".join(trust.sha256),
        }
        return self._closed(draft, own, first=first)

    def _first(self) -> str:
        """Name the container that people mean: the user's first one."""
        users = (container for where, _, container in self._pod.users if where == "containers")
        first: str = next(users, self._pod.list_of("containers")[0])["name"]
        return first

    def _environment(self) -> Outcome:
        first = (Record.of(self._pod.annotations) or _NONE).mode is not ProxyMode.ENVIRONMENT
        draft = self._draft(ProxyMode.ENVIRONMENT, first=first)
        place = self._wishes.endpoint or self._config.environment_endpoint or self._config.endpoint
        endpoints = self._endpoints(place.url)
        for where, index, container in self._pod.users:
            given = for_environment(container, endpoints=endpoints, host=place.host, region=self._config.region)
            draft.give(where, index, container, given)
        return self._closed(draft, {INJECTED_ANNOTATION: "true"}, first=first)

    def _endpoints(self, general: str) -> Mapping[str, str]:
        services = {name: endpoint.url for name, endpoint in self._config.service_endpoints.items()}
        gateway = self._config.environment_endpoint is not None and self._wishes.endpoint is None
        if self._config.controlplane and not gateway:
            services = dict.fromkeys(_CONTROLPLANE_SERVICES, self._config.controlplane.url) | services
        return {ENDPOINT: general} | {f"{ENDPOINT}_{name}": url for name, url in services.items()}

    def _draft(self, wanted: ProxyMode, *, first: bool) -> Draft:
        before = None if first else found(self._pod)
        return Draft(self._pod, mode=wanted, version=self._config.version, before=before)

    def _ours(self, trust: Trust) -> tuple[dict[str, Any], ...]:
        init = self._resources(self._wishes.init)
        sidecar = self._resources(self._wishes.sidecar)
        return (
            init_container(self._config, trust, init),
            sidecar_container(self._config, self._wishes, sidecar),
        )

    def _resources(self, asked: Resources) -> Resources | None:
        if self._pod.has_own_resources:
            return None  # the containers' requests together must fit the pod's: ours would have to be added there
        resources, sentences = limits.fitted(asked, self._facts.limit_ranges)
        if INIT_CONTAINER not in self._pod.ours:
            self._warnings.extend(sentences)
        return resources

    def _closed(self, draft: Draft, own: Mapping[str, str], *, first: bool) -> Outcome:
        record = draft.close(own)
        self._warnings.extend(f"container {_listed(names)}: {note}" for note, names in draft.notes.items())
        if not draft.operations:
            self._reasons.append(Reason.ALREADY_INJECTED)
            return self._untouched()
        if not first:
            self._reasons.append(Reason.COMPLETED)
        return Patched(
            operations=tuple(draft.operations),
            mode=record.mode,
            reasons=tuple(self._reasons),
            warnings=_lines(self._warnings),
            status=record.data(),
        )

    def _untouched(self) -> Untouched:
        return Untouched(reasons=tuple(self._reasons), warnings=_lines(self._warnings))

    def _refused(self, sentences: tuple[str, ...]) -> Refused:
        return Refused(reasons=tuple(self._reasons), sentences=_lines(sentences), warnings=_lines(self._warnings))


_NONE: Final = Record(mode=ProxyMode.DISABLED, version="")


def _listed(names: list[str]) -> str:
    more = len(names) - _NAMES_SHOWN
    return ", ".join(names[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _lines(sentences: Iterable[str]) -> tuple[str, ...]:
    """Make each sentence one line: the API server drops a warning with a line break, without a word."""
    return tuple(dict.fromkeys(" ".join(sentence.split()) for sentence in sentences))
