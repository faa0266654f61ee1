"""The verdicts of `kecs proxy check`, one function each: from what was observed to findings. Pure.

No finding means that all is well.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cryptography import x509

from kecs.certs.bundle import fingerprint
from kecs.cli.observed import Answer, Finding, Observed, Status
from kecs.core.names import (
    AUTHORITY,
    INIT_CONTAINER,
    INJECTOR_SERVICE,
    SIDECAR_CONTAINER,
    TRUST_CONFIG_MAP,
    TRUST_ROOT_ANNOTATION,
)
from kecs.injector import webhook as registration

OLDEST_MINOR: Final = 29
"""Native sidecars are on by default since Kubernetes 1.29."""
_SKEW_WARNING: Final = timedelta(seconds=30)
_SKEW_FAILURE: Final = timedelta(minutes=5)
_EXPIRES_SOON: Final = timedelta(days=60)
_ROTATION_LONG: Final = timedelta(days=7)
_RESTARTS_MANY: Final = 5
_NAMED_MAX: Final = 5

type Judge = Callable[[Observed], Iterable[Finding]]


def _failed(message: str, hint: str) -> Finding:
    return Finding(status=Status.FAILED, message=message, hint=hint)


def _warning(message: str, hint: str) -> Finding:
    return Finding(status=Status.WARNING, message=message, hint=hint)


# the API server


def reachable(observed: Observed) -> Iterator[Finding]:
    """The API server must answer."""
    if observed.version.status != _OK:
        context = f" of context {observed.context}" if observed.context else ""
        yield _failed(
            f"the API server{context} does not answer: {observed.version.message}",
            "check KUBECONFIG and --context; `kubectl get --raw /version` must work",
        )


def version(observed: Observed) -> Iterator[Finding]:
    """It must know native sidecars."""
    body = observed.version.body
    try:
        minor = int(str(body.get("minor", "")).rstrip("+"))
    except ValueError:
        yield _warning(f"the API server's version {body!r} can't be read", "KECS needs Kubernetes 1.29 or later")
        return
    if (int(body.get("major", 1)), minor) < (1, OLDEST_MINOR):
        yield _failed(
            f"the API server is {body.get('gitVersion')}, which has no native sidecars",
            "upgrade to Kubernetes 1.29 or later, or use kecs.io/aws-proxy-mode: environment",
        )


def clock(observed: Observed) -> Iterator[Finding]:
    """Its clock and ours must agree."""
    if observed.server_time is None:
        return
    skew = abs(observed.now - observed.server_time)
    if skew >= _SKEW_WARNING:
        finding = _failed if skew >= _SKEW_FAILURE else _warning
        yield finding(
            f"this machine's clock and the API server's are {skew.total_seconds():.0f} s apart",
            "certificates begin five minutes in the past: set both clocks by NTP",
        )


# what is installed


def deployment(name: str, why: str) -> Judge:
    """A Deployment of ours must run; `why` is what its absence means."""

    def judge(observed: Observed) -> Iterator[Finding]:
        found = (observed.deployments or {}).get(name)
        if found is None:
            yield _failed(
                f"there is no Deployment {name} in {observed.namespace}: {why}",
                f"helm upgrade --install kecs charts/kecs -n {observed.namespace}, or name the namespace with -n",
            )
            return
        wanted = found.get("spec", {}).get("replicas", 1)
        available = found.get("status", {}).get("availableReplicas", 0)
        log = f"kubectl -n {observed.namespace} describe deployment {name}, and logs deployment/{name}"
        if not available:
            yield _failed(f"none of {wanted} replicas of {name} is available: {why}", log)
        elif available < wanted:
            yield _warning(f"{available} of {wanted} replicas of {name} are available", log)

    return judge


def published(observed: Observed) -> Iterator[Finding]:
    """The roots to trust must be published."""
    if not observed.trust:
        yield _failed(
            f"there is no ConfigMap {TRUST_CONFIG_MAP} in {observed.namespace}: no pod can be told what to trust",
            f"kubectl -n {observed.namespace} logs deployment/{AUTHORITY} says why the authority did not write it",
        )
    elif observed.roots_error:
        yield _failed(
            f"the roots in ConfigMap {TRUST_CONFIG_MAP} can't be read: {observed.roots_error}",
            "delete the ConfigMap: the authority writes it anew",
        )


# certificates


def validity(observed: Observed) -> Iterator[Finding]:
    """Each published root must hold, and go on to hold for a while."""
    for root in observed.roots:
        end, name = root.not_valid_after_utc, root.subject.rfc4514_string()
        if observed.now >= end:
            yield _failed(f"root {name} expired on {end:%Y-%m-%d}", "kecs proxy certs rotate --cluster --emergency")
        elif observed.now < root.not_valid_before_utc:
            yield _failed(f"root {name} begins on {root.not_valid_before_utc:%Y-%m-%d %H:%M} UTC", "check the clocks")
        elif end - observed.now < _EXPIRES_SOON:
            yield _warning(
                f"root {name} expires in {(end - observed.now).days} days", "kecs proxy certs rotate --cluster --wait"
            )


def rotation(observed: Observed) -> Iterator[Finding]:
    """A rotation must not be forgotten half-way."""
    trust = observed.trust or {}
    phase, since = trust.get("phase", "stable"), trust.get("since", "")
    if phase == "stable" or not since:
        return
    try:
        began = datetime.fromisoformat(since).astimezone(UTC)
    except ValueError:
        yield _warning(f"a rotation is {phase} since {since!r}, which is no time", "the authority writes it anew")
        return
    if observed.now - began > _ROTATION_LONG:
        yield _warning(
            f"a rotation has been {phase} since {began:%Y-%m-%d}",
            "kecs proxy certs rotate --cluster --wait goes on with it and says which pods it waits for",
        )


# the webhook


def registered(observed: Observed) -> Iterator[Finding]:
    """The API server must know our webhook."""
    if not observed.webhook:
        yield _failed(
            f"there is no MutatingWebhookConfiguration {INJECTOR_SERVICE}: pods start without the proxy and reach AWS",
            f"kubectl -n {observed.namespace} logs deployment/{INJECTOR_SERVICE} says why it was not registered",
        )


def ca_bundle(observed: Observed) -> Iterator[Finding]:
    """It must trust whoever signs the injector's certificate."""
    if not observed.webhook or not observed.roots:
        return
    try:
        trusted = {
            fingerprint(one) for one in x509.load_pem_x509_certificates(registration.ca_bundle(observed.webhook))
        }
    except ValueError:
        trusted = set()
    if missing := [root for root in observed.roots if fingerprint(root) not in trusted]:
        names = ", ".join(root.subject.rfc4514_string() for root in missing)
        yield _failed(
            f"the webhook's caBundle lacks {names}: the API server will refuse the injector's certificate",
            "the injector repairs it within seconds; a GitOps tool must ignore caBundle or resets it for ever",
        )


def fails_closed(observed: Observed) -> Iterator[Finding]:
    """Pods must not start without the proxy while the injector is away."""
    for webhook in (observed.webhook or {}).get("webhooks", ()):
        if webhook["name"] != registration.DEBUG_WEBHOOK and webhook.get("failurePolicy") == "Ignore":
            yield _warning(
                f"webhook {webhook['name']} has failurePolicy Ignore: while the injector is away, pods reach real AWS",
                "set injector.failurePolicy=Fail",
            )


_CALL_ERRORS: Final[Mapping[str, tuple[str, str]]] = {
    "certificate signed by unknown authority": (
        "the API server does not trust the injector's certificate",
        "the caBundle is of another authority; see webhook-ca-bundle",
    ),
    "unable to load root certificates": (
        "the webhook's caBundle is no certificate",
        "delete the MutatingWebhookConfiguration: the injector registers it anew",
    ),
    "certificate has expired": ("the injector's certificate has expired", "restart the injector; see clock-skew"),
    "connection refused": ("no injector listens behind its Service", "see injector-running"),
    "no endpoints available": ("no injector is ready behind its Service", "see injector-running"),
    "no service port": (
        "the webhook names a port that its Service does not have",
        "delete the MutatingWebhookConfiguration: the injector registers it anew",
    ),
    'namespaces "': ("there is no such namespace to try it in", "name another with --probe-namespace"),
    "not found": ("the webhook's Service is gone", "helm upgrade --install brings it back"),
    "deadline exceeded": (
        "the injector did not answer in time",
        "on private clusters a firewall between API server and nodes must let port 8443 through",
    ),
    "no route to host": ("the API server can't reach the injector's pod", "check NetworkPolicies and the pod network"),
    "violates PodSecurity": (
        "the namespace's Pod Security level forbids the init container, which needs NET_ADMIN",
        "use level privileged there, or kecs.io/aws-proxy-mode: environment",
    ),
    "exceeded quota": (
        "the namespace's quota has no room for the sidecar",
        "raise it, or lower the sidecar's resources",
    ),
    "denied the request": ("the injector refused the pod", "the message says why"),
}
"""What the API server says when it can't call a webhook → what that means and what to do. The first that fits."""


_MAY_NOT: Final = "cannot create resource"
"""How RBAC says so; whatever else forbids a pod says why in words of its own."""


def answers(observed: Observed) -> Iterator[Finding]:
    """A pod that asks for the sidecar must get it."""
    answer = observed.dry_run
    if answer is None:
        return
    if answer.status in (_OK, _CREATED):
        containers = answer.body.get("spec", {}).get("initContainers", ())
        if not any(one.get("name") == SIDECAR_CONTAINER for one in containers):
            yield _failed(
                "a pod that asks for the sidecar was let through without it",
                "its namespace is excluded, or another webhook took it out; kecs proxy explain -f POD.yaml says more",
            )
        return
    if _MAY_NOT in answer.message:
        yield Finding(
            status=Status.UNKNOWN,
            message=f"this account may not create pods: {answer.message}",
            hint="try --probe-namespace with one where it may",
        )
        return
    for text, (message, hint) in _CALL_ERRORS.items():
        if text in answer.message:
            yield _failed(f"{message}: {answer.message}", hint)
            return
    yield _failed(f"a dry run was answered {answer.status}: {answer.message}", "the API server's log may say more")


# what runs


def _name(pod: Mapping[str, Any]) -> str:
    metadata = pod.get("metadata", {})
    return f"{metadata.get('namespace', '?')}/{metadata.get('name', '?')}"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED_MAX} more" if len(names) > _NAMED_MAX else ""
    return ", ".join(names[:_NAMED_MAX]) + more


def _running(observed: Observed) -> Iterator[Mapping[str, Any]]:
    for pod in observed.pods or ():
        if pod.get("status", {}).get("phase") in {"Pending", "Running"} and not _deleted(pod):
            yield pod


def _deleted(pod: Mapping[str, Any]) -> bool:
    return bool(pod.get("metadata", {}).get("deletionTimestamp"))


def sidecar_of(pod: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Find our sidecar in a pod's spec; by its name, for annotations are copied by `kubectl debug --copy-to`."""
    spec = pod.get("spec", {})
    every = (*(spec.get("initContainers") or ()), *(spec.get("containers") or ()))
    return next((one for one in every if one.get("name") == SIDECAR_CONTAINER), None)


def uninjected(observed: Observed) -> Iterator[Finding]:
    """Pods that use AWS should have the sidecar."""
    found = []
    untouched = {*registration.WebhookSettings(system_namespace=observed.namespace).untouched}
    for pod in _running(observed):
        if pod["metadata"].get("namespace") in untouched or sidecar_of(pod) is not None:
            continue
        if evidence := observed.looks_like_aws(pod):
            found.append(f"{_name(pod)} ({evidence[0]})")
    if found:
        yield _warning(
            f"{len(found)} pods look like users of AWS and have no sidecar: {_some(found)}",
            "annotate them with kecs.io/aws-proxy-mode: sidecar and let them be made anew; disabled silences this",
        )


def old_root(observed: Observed) -> Iterator[Finding]:
    """Every pod must trust a root that is in use."""
    if not observed.roots:
        return
    bundle = [fingerprint(root) for root in observed.roots]
    lost, old = [], []
    for pod in _running(observed):
        if sidecar_of(pod) is None:
            continue
        told = pod["metadata"].get("annotations", {}).get(TRUST_ROOT_ANNOTATION, "")
        trusted = {one for one in told.split(",") if one}
        if not trusted & set(bundle):
            lost.append(_name(pod))
        elif bundle[0] not in trusted and len(bundle) > 1:
            old.append(_name(pod))
    if lost:
        yield _failed(
            f"{len(lost)} pods trust none of the roots in use: {_some(lost)}",
            "their next certificate will be refused: let them be made anew (kubectl rollout restart)",
        )
    if old:
        yield _warning(
            f"{len(old)} pods know the old root alone: {_some(old)}",
            "they go on working through the cross-certificate; the rotation is retired when they are gone",
        )


def sidecars(observed: Observed) -> Iterator[Finding]:
    """Our containers must run, and not keep failing."""
    for pod in _running(observed):
        if sidecar_of(pod) is None:
            continue
        status = pod.get("status", {})
        statuses = (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ()))
        for container in statuses:
            if not str(container.get("name", "")).startswith("aws-proxy-"):
                continue
            waiting = container.get("state", {}).get("waiting", {})
            if waiting and waiting.get("reason") not in {"PodInitializing", "ContainerCreating", None}:
                why = f"{waiting['reason']} {waiting.get('message', '')}".rstrip()
                yield _failed(
                    f"{_name(pod)}: {container['name']} is waiting: {why}",
                    f"{_look(pod, container['name'])}, or kubectl describe pod",
                )
            elif container.get("restartCount", 0) >= _RESTARTS_MANY:
                yield _warning(
                    f"{_name(pod)}: {container['name']} was restarted {container['restartCount']} times",
                    f"{_look(pod, container['name'])} says why",
                )


def _look(pod: Mapping[str, Any], container: str) -> str:
    """Say how to see what a container of ours has said last."""
    namespace, _, name = _name(pod).partition("/")
    if container == INIT_CONTAINER:
        return f"kecs proxy rules -n {namespace} {name}"
    return f"kecs proxy logs -n {namespace} {name} --previous"


def health(what: str, attribute: str, hint: str) -> Judge:
    """A health page must be well."""

    def judge(observed: Observed) -> Iterator[Finding]:
        answer: Answer | None = getattr(observed, attribute)
        if answer is not None and answer.status != _OK:
            said = f"HTTP {answer.status} {answer.message}".strip() if answer.status else answer.message
            yield _failed(f"{what} is not healthy: {said}", hint)

    return judge


def leak(observed: Observed) -> Iterator[Finding]:
    """Nothing may get out of an injected pod."""
    answer = observed.leak
    if answer is None:
        return
    if answer.status != _OK:
        yield _failed(f"the leak probe could not run: {answer.message}", "see webhook-reachable")
        return
    for way, outcome in answer.body.items():
        if outcome != "held":
            yield _failed(
                f"{way} got out of an injected pod: {outcome}", "close it: docs/kubernetes.md, what is covered"
            )


_OK: Final = 200
_CREATED: Final = 201
