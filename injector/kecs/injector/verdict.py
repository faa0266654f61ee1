"""From a review's outcome to what is answered and told: the bytes, the log line, the owner's event. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final, assert_never

from kecs.injector.admission import AdmissionRequest, allowed, denied
from kecs.injector.outcome import Outcome, Patched, Refused, Untouched
from kecs.injector.reason import SENTENCES

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})
UNAVAILABLE: Final = "unavailable"


class Result(StrEnum):
    """How a review ended: a metric's label and a log's field."""

    INJECTED = "injected"
    """The pod was changed."""
    UNTOUCHED = "untouched"
    """The pod was let through as it was."""
    REFUSED = "refused"
    """The pod may not be made like this."""
    UNAVAILABLE = "unavailable"
    """It could not be decided, and was denied."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A Kubernetes event about a pod's owner, where people look when pods don't appear."""

    namespace: str
    involved: Mapping[str, Any]
    """An object reference: apiVersion, kind, name, uid."""
    reason: str
    """CamelCase."""
    message: str
    warning: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One decided review."""

    answer: bytes
    """The AdmissionReview to send back."""
    result: Result
    reasons: tuple[str, ...]
    fields: Mapping[str, Any] = field(default=_NOTHING)
    """What the log line says besides."""
    event: Event | None = None


def verdict(asked: AdmissionRequest, outcome: Outcome) -> Verdict:
    """Spell an outcome. Dry runs get no event: nothing has come to be that it could be about."""
    said, more = "", dict[str, Any]()
    match outcome:
        case Patched():
            answer, result = (
                allowed(asked.uid, operations=outcome.operations, warnings=outcome.warnings),
                Result.INJECTED,
            )
            more = {"mode": outcome.mode.value, "operations": len(outcome.operations)}
        case Untouched():
            answer, result = allowed(asked.uid, warnings=outcome.warnings), Result.UNTOUCHED
        case Refused():
            said = "; ".join(outcome.sentences)
            answer, result = denied(asked.uid, said, warnings=outcome.warnings), Result.REFUSED
            more = {"message": said}
        case _:
            assert_never(outcome)
    reasons = tuple(reason.value for reason in outcome.reasons)
    warnings = {"warnings": list(outcome.warnings)} if outcome.warnings else {}
    return Verdict(
        answer=answer,
        result=result,
        reasons=reasons,
        fields={**_who(asked), **more, **warnings},
        event=None if asked.dry_run else _event(asked, outcome, said),
    )


def unavailable(asked: AdmissionRequest, why: str, *, fail_open: bool = False) -> Verdict:
    """Deny what can't be decided. A controller tries again; a person reads why.

    Where the operator chose to fail open, the pod starts without the proxy, and its author is warned.
    """
    message = f"kecs can't decide about this pod now: {why}; try again, or see `kecs proxy check`"
    warning = f"started without the AWS proxy, and reaches real AWS: {why}"
    refusal = denied(asked.uid, message, status=HTTPStatus.SERVICE_UNAVAILABLE)
    return Verdict(
        answer=allowed(asked.uid, warnings=[warning]) if fail_open else refusal,
        result=Result.UNAVAILABLE,
        reasons=(UNAVAILABLE,),
        fields={**_who(asked), "message": why},
    )


def broken(asked: AdmissionRequest, error: BaseException) -> Verdict:
    """Deny a pod over which our own code stumbled: the defect is ours, and the pod must not get out by it."""
    message = f"kecs failed on this pod ({type(error).__name__}): please report it with the pod's manifest"
    return Verdict(
        answer=denied(asked.uid, message, status=HTTPStatus.INTERNAL_SERVER_ERROR),
        result=Result.UNAVAILABLE,
        reasons=("broken",),
        fields={**_who(asked), "message": f"{type(error).__name__}: {error}"},
    )


def guarded(decide: Callable[[AdmissionRequest], Outcome], asked: AdmissionRequest) -> Verdict:
    """Decide and spell; whatever goes wrong in between is a denial."""
    try:
        return verdict(asked, decide(asked))
    except Exception as error:  # noqa: BLE001 - a defect of ours must neither let the pod out nor end the server
        return broken(asked, error)


def _who(asked: AdmissionRequest) -> dict[str, Any]:
    """Say which pod it was; its name may be made up by the API server later."""
    metadata = asked.object.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    name = asked.name or metadata.get("name") or f"{metadata.get('generateName', '')}…"
    found: dict[str, Any] = {"namespace": asked.namespace, "pod": name, "uid": asked.uid}
    if asked.subresource:
        found["subresource"] = asked.subresource
    return found | ({"dry_run": True} if asked.dry_run else {})


_EVENTS: Final[Mapping[type, tuple[str, bool]]] = {
    Patched: ("Injected", False),
    Refused: ("InjectionRefused", True),
}
"""Untouched pods make no event: most pods of a cluster are."""


def _event(asked: AdmissionRequest, outcome: Outcome, said: str) -> Event | None:
    known = _EVENTS.get(type(outcome))
    owner = _owner(asked.object)
    if known is None or owner is None or asked.subresource:
        return None
    reason, warning = known
    sentences = "; ".join(SENTENCES[one] for one in outcome.reasons)
    mode = f"{outcome.mode.value} mode: " if isinstance(outcome, Patched) else ""
    return Event(
        namespace=asked.namespace,
        involved={**owner, "namespace": asked.namespace},
        reason=reason,
        message=(said or f"{mode}{sentences}")[:1024],
        warning=warning,
    )


def _owner(pod: Mapping[str, Any]) -> dict[str, Any] | None:
    """Find the object that made the pod. The pod itself has no uid yet, so nothing can be said about it."""
    metadata = pod.get("metadata")
    references = metadata.get("ownerReferences") if isinstance(metadata, dict) else None
    if not isinstance(references, list):
        return None
    for reference in references:
        if isinstance(reference, dict) and reference.get("controller") is True:
            return {key: reference[key] for key in ("apiVersion", "kind", "name", "uid") if key in reference}
    return None
