"""Whether a pod gets an intermediate: everything known of it in, a grant or every reason against it out. Pure.

What the API server says of a token is not enough: it also vouches for tokens that are bound to no pod, and for those of
pods that have completed or were just deleted (for ten seconds, from its cache). So the pod is read and compared.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Any, Final

from kecs.certs.csr import Csr, CsrProblem, Unfit
from kecs.core.names import (
    ENABLED_ANNOTATION,
    LEGACY_ENABLED_ANNOTATION,
    MODE_ANNOTATION,
    SELECTOR_LABEL,
    SELECTOR_LABEL_VALUE,
    SIDECAR_CONTAINER,
    SYSTEM_NAMESPACE,
    TOKEN_AUDIENCE,
    TRUST_ROOT_ANNOTATION,
    UNTOUCHED_NAMESPACES,
)

POD_NAME_EXTRA: Final = "authentication.kubernetes.io/pod-name"
POD_UID_EXTRA: Final = "authentication.kubernetes.io/pod-uid"
_ACCOUNT: Final = "system:serviceaccount:"
_SUBJECT_MAX: Final = 58
"""A common name has 64 bytes, of which the authority puts in front a few."""


class Denial(StrEnum):
    """Why no certificate is issued. The value is the JSON field, the metric's label and the log's field."""

    NO_TOKEN = "no_token"  # noqa: S105 - a word
    """The request carries no bearer token."""
    TOKEN_REFUSED = "token_refused"  # noqa: S105 - a word
    """The API server does not vouch for the token: forged, expired, or of a deleted pod."""
    WRONG_AUDIENCE = "wrong_audience"
    """The token is meant for somebody else."""
    NOT_BOUND = "not_bound"
    """The token is not bound to a pod."""
    NO_POD = "no_pod"
    """There is no such pod any more."""
    OTHER_POD = "other_pod"
    """A pod of that name is there, and it is another one."""
    ENDING = "ending"
    """The pod is being deleted."""
    ENDED = "ended"
    """The pod has completed or failed."""
    NO_SIDECAR = "no_sidecar"
    """The pod's spec holds no sidecar of ours."""
    NOT_OPTED_IN = "not_opted_in"
    """Neither the pod nor its namespace asked for the proxy."""
    CSR = "csr"
    """The request itself can't be granted; `problems` says why."""
    CHAIN_UNTRUSTED = "chain_untrusted"
    """The pod was told to trust none of the roots that its chain would lead to."""
    TOO_MANY = "too_many"
    """The pod asks too often."""
    TOO_LARGE = "too_large"
    """The body is longer than any request."""
    API_UNAVAILABLE = "api_unavailable"
    """The API server could not be asked."""
    NO_ISSUER = "no_issuer"
    """The authority has not provided a usable issuer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """How a denial is told."""

    status: HTTPStatus
    sentence: str
    hint: str


_INJECT: Final = "have the pod made anew by the injector"
ANSWERS: Final[Mapping[Denial, Answer]] = {
    Denial.NO_TOKEN: Answer(
        status=HTTPStatus.UNAUTHORIZED, sentence="there is no bearer token", hint="send the projected token of the pod"
    ),
    Denial.TOKEN_REFUSED: Answer(
        status=HTTPStatus.UNAUTHORIZED,
        sentence="the API server does not vouch for the token",
        hint="read the token's file anew: kubelet replaces it; a deleted pod's token is worth nothing",
    ),
    Denial.WRONG_AUDIENCE: Answer(
        status=HTTPStatus.UNAUTHORIZED,
        sentence="the token is meant for another audience",
        hint=f"project a token with audience {TOKEN_AUDIENCE}",
    ),
    Denial.NOT_BOUND: Answer(
        status=HTTPStatus.FORBIDDEN, sentence="the token is not bound to a pod", hint="use the pod's projected token"
    ),
    Denial.NO_POD: Answer(status=HTTPStatus.FORBIDDEN, sentence="there is no such pod", hint="it has been deleted"),
    Denial.OTHER_POD: Answer(
        status=HTTPStatus.FORBIDDEN,
        sentence="the token is of an earlier pod of that name",
        hint="use the pod's own token",
    ),
    Denial.ENDING: Answer(
        status=HTTPStatus.FORBIDDEN, sentence="the pod is being deleted", hint="nothing is to be done"
    ),
    Denial.ENDED: Answer(status=HTTPStatus.FORBIDDEN, sentence="the pod has ended", hint="nothing is to be done"),
    Denial.NO_SIDECAR: Answer(
        status=HTTPStatus.FORBIDDEN, sentence=f"the pod has no container {SIDECAR_CONTAINER}", hint=_INJECT
    ),
    Denial.NOT_OPTED_IN: Answer(
        status=HTTPStatus.FORBIDDEN,
        sentence="neither the pod nor its namespace asked for the proxy",
        hint=f"label the namespace {SELECTOR_LABEL}={SELECTOR_LABEL_VALUE}, or annotate the pod with {MODE_ANNOTATION}",
    ),
    Denial.CSR: Answer(
        status=HTTPStatus.BAD_REQUEST,
        sentence="the certificate signing request can't be granted",
        hint="send one for a P-256 key, without extensions and attributes, its subject empty or CN=NAMESPACE/POD",
    ),
    Denial.CHAIN_UNTRUSTED: Answer(
        status=HTTPStatus.CONFLICT,
        sentence="the pod trusts none of the roots that its chain would lead to",
        hint=f"{_INJECT}; during a rotation another replica may be ahead: try again",
    ),
    Denial.TOO_MANY: Answer(
        status=HTTPStatus.TOO_MANY_REQUESTS, sentence="the pod asks too often", hint="wait, as Retry-After says"
    ),
    Denial.TOO_LARGE: Answer(
        status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE, sentence="the body is too long", hint="send one PEM request"
    ),
    Denial.API_UNAVAILABLE: Answer(
        status=HTTPStatus.SERVICE_UNAVAILABLE, sentence="the API server could not be asked", hint="try again"
    ),
    Denial.NO_ISSUER: Answer(
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        sentence="the authority has not provided an issuer yet",
        hint="kecs proxy check says why; try again",
    ),
}
"""How each denial is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bearer:
    """The pod that a token is bound to, as the API server says."""

    namespace: str
    pod: str
    uid: str

    @property
    def subject(self) -> str:
        """The name of its intermediate; long ones keep their end, which tells pods apart."""
        whole = f"pod {self.namespace}/{self.pod}"
        return whole if len(whole) <= _SUBJECT_MAX else f"...{whole[3 - _SUBJECT_MAX :]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Denied:
    """Every reason against a request."""

    reasons: tuple[Denial, ...]
    problems: tuple[tuple[CsrProblem, str], ...] = ()
    detail: str = ""
    retry_after_s: float | None = None

    @property
    def status(self) -> HTTPStatus:
        """The first reason's."""
        return ANSWERS[self.reasons[0]].status

    @property
    def message(self) -> str:
        """All reasons as sentences, with the values that they are about."""
        said = [ANSWERS[reason].sentence for reason in self.reasons]
        values = [f"{problem.value}: {value}" for problem, value in self.problems]
        about = "; ".join([*values, *([self.detail] if self.detail else [])])
        return "; ".join(said) + (f" ({about})" if about else "")

    @property
    def hint(self) -> str:
        """What to do about the first reason."""
        return ANSWERS[self.reasons[0]].hint


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Who may be issued to."""

    system_namespace: str = SYSTEM_NAMESPACE
    excluded_namespaces: tuple[str, ...] = ()
    audience: str = TOKEN_AUDIENCE

    @property
    def untouched(self) -> frozenset[str]:
        """Namespaces whose pods are never injected."""
        return frozenset((*UNTOUCHED_NAMESPACES, self.system_namespace, *self.excluded_namespaces))


def bearer(review: Mapping[str, Any], policy: Policy) -> Bearer | Denied:
    """Read the status of a TokenReview."""
    if review.get("authenticated") is not True:
        said = str(review.get("error", ""))
        reason = Denial.WRONG_AUDIENCE if "audience" in said else Denial.TOKEN_REFUSED
        return Denied(reasons=(reason,), detail=said[:300])
    audiences = review.get("audiences")
    if not isinstance(audiences, list) or policy.audience not in audiences:
        return Denied(reasons=(Denial.WRONG_AUDIENCE,), detail=f"audiences {review.get('audiences')}")
    found = review.get("user")
    user = found if isinstance(found, dict) else {}
    namespace, _, account = str(user.get("username", "")).removeprefix(_ACCOUNT).partition(":")
    pod, uid = (_extra(user, name) for name in (POD_NAME_EXTRA, POD_UID_EXTRA))
    if not str(user.get("username", "")).startswith(_ACCOUNT) or not (namespace and account and pod and uid):
        return Denied(reasons=(Denial.NOT_BOUND,), detail=f"user {user.get('username')}")
    return Bearer(namespace=namespace, pod=pod, uid=uid)


def _extra(user: Mapping[str, Any], name: str) -> str:
    """Read one extra: a list of one. Two values would leave it open which pod is meant."""
    extra = user.get("extra")
    values = extra.get(name) if isinstance(extra, dict) else None
    return str(values[0]) if isinstance(values, list) and len(values) == 1 else ""


def decide(
    who: Bearer,
    pod: Mapping[str, Any] | None,
    namespace: Mapping[str, Any] | None,
    csr: Csr | Unfit,
    *,
    leads_to: frozenset[str] | None,
    policy: Policy,
) -> Csr | Denied:
    """Grant or deny. `leads_to` are the fingerprints of the roots at which the chain would end; None: not all known."""
    reasons = list(_pod_reasons(who, pod))
    if pod is not None and not reasons:
        reasons += _spec_reasons(who, pod, namespace, leads_to, policy)
    problems = csr.problems if isinstance(csr, Unfit) else ()
    if isinstance(csr, Csr) and csr.subject not in {"", f"{who.namespace}/{who.pod}"}:
        problems = ((CsrProblem.FOREIGN_NAME, csr.subject[:200]),)
    if problems:
        reasons.append(Denial.CSR)
    if isinstance(csr, Unfit) or reasons:
        return Denied(reasons=tuple(reasons), problems=problems)
    return csr


def _pod_reasons(who: Bearer, pod: Mapping[str, Any] | None) -> Iterator[Denial]:
    if pod is None:
        yield Denial.NO_POD
        return
    metadata = pod.get("metadata") or {}
    if metadata.get("uid") != who.uid:
        yield Denial.OTHER_POD
        return
    if metadata.get("deletionTimestamp"):
        yield Denial.ENDING
    if (pod.get("status") or {}).get("phase") in {"Succeeded", "Failed"}:
        yield Denial.ENDED


def _spec_reasons(
    who: Bearer,
    pod: Mapping[str, Any],
    namespace: Mapping[str, Any] | None,
    leads_to: frozenset[str] | None,
    policy: Policy,
) -> Iterator[Denial]:
    spec = pod.get("spec") or {}
    containers = (*(spec.get("initContainers") or ()), *(spec.get("containers") or ()))
    if all(one.get("name") != SIDECAR_CONTAINER for one in containers):
        yield Denial.NO_SIDECAR
    if not is_opted_in(who.namespace, namespace, pod, policy):
        yield Denial.NOT_OPTED_IN
    told = (pod["metadata"].get("annotations") or {}).get(TRUST_ROOT_ANNOTATION, "")
    trusted = {one.strip() for one in told.split(",") if one.strip()}
    if trusted and leads_to is not None and not trusted & leads_to:
        yield Denial.CHAIN_UNTRUSTED


def is_opted_in(name: str, namespace: Mapping[str, Any] | None, pod: Mapping[str, Any], policy: Policy) -> bool:
    """Say whether the namespace asked for the proxy, or the pod itself did. The first row that fits holds.

    | namespace's name | namespace's label | pod      | opted in |
    |------------------|-------------------|----------|----------|
    | untouched        | *                 | *        | no       |
    | other            | disabled          | *        | no       |
    | other            | *                 | opts out | no       |
    | other            | enabled           | *        | yes      |
    | other            | *                 | asks     | yes      |
    | other            | *                 | *        | no       |

    A pod asks with the label `enabled`, or an annotation that names a mode or switches the proxy on; it opts out with
    the label or the mode `disabled`, or an annotation that switches the proxy off.
    """
    metadata = (namespace or {}).get("metadata") or {}
    label = (metadata.get("labels") or {}).get(SELECTOR_LABEL)
    if name in policy.untouched or label == _OFF:
        return False
    wish = _wish(pod)
    return label == SELECTOR_LABEL_VALUE if wish is None else wish


def _wish(pod: Mapping[str, Any]) -> bool | None:
    """Say what a pod itself wants; None: whatever its namespace does."""
    metadata = pod.get("metadata") or {}
    label = (metadata.get("labels") or {}).get(SELECTOR_LABEL)
    annotations = metadata.get("annotations") or {}
    mode = annotations.get(MODE_ANNOTATION)
    switch = annotations.get(ENABLED_ANNOTATION, annotations.get(LEGACY_ENABLED_ANNOTATION))
    if _OFF in {label, mode} or switch == "false":
        return False
    asks = label == SELECTOR_LABEL_VALUE or mode in _MODES or switch == "true"
    return True if asks else None


_OFF: Final = "disabled"
_MODES: Final = frozenset({"sidecar", "auto"})
"""Those in which a pod has a sidecar."""
