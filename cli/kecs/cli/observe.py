"""Looks at a cluster for `kecs proxy check`. An edge: it judges nothing, and what it may not see it says so."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from kecs.certs.bundle import parse
from kecs.certs.kube import Kube, KubeError
from kecs.cli import leak_probe
from kecs.cli.observed import Answer, Observed
from kecs.core.errors import AuthorityError, KecsError
from kecs.core.names import (
    AUTHORITY,
    CERTS_SERVICE,
    INJECTOR_SERVICE,
    MODE_ANNOTATION,
    TRUST_CONFIG_MAP,
)
from kecs.injector.cluster import marks
from kecs.injector.config import Facts
from kecs.injector.document import Document
from kecs.injector.evidence import find
from kecs.injector.mode import Marks
from kecs.injector.pod import Pod
from kecs.injector.registration import PATH as WEBHOOKS

type Json = Mapping[str, Any]

HEALTH_PORT: Final = 8081
_DEPLOYMENTS: Final = (AUTHORITY, CERTS_SERVICE, INJECTOR_SERVICE)
_NO_TRUST: Final = Answer(status=0, message="nothing is installed")
_PROBE: Final = "kecs-check"
_OK: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What is to be looked at."""

    kube: Kube
    namespace: str
    """Where KECS runs."""
    context: str = ""
    probe_namespace: str = "default"
    """Where the dry run's pod would be made."""
    leak: bool = False
    """Whether to run the leak probe."""
    leak_image: str = ""
    """Its image; empty for the sidecar's, which holds what it needs and is on the nodes already."""
    timeout_s: float = 120.0


def observe(target: Target) -> Observed:
    """Look at everything, once."""
    looking = _Looking(target)
    version, when = looking.version()
    now = datetime.now(UTC)  # at once: it is compared with the time in that answer
    if version.status != _OK:
        return Observed(now=now, context=target.context, namespace=target.namespace, version=version)
    trust = looking.seen("trust", lambda: looking.config_map(TRUST_CONFIG_MAP))
    roots, roots_error = _roots(trust)
    document = looking.seen("settings", looking.document)
    return Observed(
        now=now,
        context=target.context,
        namespace=target.namespace,
        version=version,
        server_time=when,
        deployments=looking.seen("deployments", looking.deployments),
        webhook=looking.seen("webhook", lambda: target.kube.find(f"{WEBHOOKS}/{INJECTOR_SERVICE}") or {}),
        trust=trust,
        roots=roots,
        roots_error=roots_error,
        pods=looking.seen("pods", lambda: list(target.kube.items("/api/v1/pods"))),
        namespaces=looking.seen("namespaces", looking.namespaces),
        dry_run=looking.dry_run(),
        backend=looking.seen("backend", lambda: looking.backend(document)),
        certs=looking.seen("certs", looking.certs),
        leak=looking.seen("leak", lambda: looking.leak(document)) if target.leak else None,
        looks_like_aws=looking.evidence,
        unread=looking.unread,
    )


def _roots(trust: Json | None) -> tuple[tuple[Any, ...], str]:
    if not trust:
        return (), ""
    try:
        return parse(str(trust.get("ca.crt", "")).encode(), source=f"ConfigMap {TRUST_CONFIG_MAP}"), ""
    except AuthorityError as error:
        return (), error.message


class _Looking:
    """One look; `unread` gathers what this account may not see."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._kube = target.kube
        self._marks: dict[str, Marks] = {}
        self.unread: dict[str, str] = {}

    def seen[T](self, name: str, look: Callable[[], T]) -> T | None:
        """Look at one thing; None with a reason where that is not possible."""
        try:
            return look()
        except KecsError as error:
            self.unread[name] = error.message
            return None

    def version(self) -> tuple[Answer, datetime | None]:
        """Ask for the API server's version and time."""
        try:
            body, when = self._kube.server_time()
        except KubeError as error:
            return Answer(status=error.status, message=error.message), None
        return Answer(status=_OK, body=body), when

    def config_map(self, name: str) -> Json:
        """Read a ConfigMap's data; empty when there is none."""
        found = self._kube.find(f"/api/v1/namespaces/{self._target.namespace}/configmaps/{name}")
        return (found or {}).get("data") or {}

    def document(self) -> Document | None:
        """Read what the injector is told; None when it is not installed."""
        text = self.config_map(INJECTOR_SERVICE).get("injector.yaml")
        return Document.parse(text, source=f"ConfigMap {INJECTOR_SERVICE}") if text else None

    def deployments(self) -> dict[str, Json]:
        """Read our Deployments, as far as they are there."""
        path = f"/apis/apps/v1/namespaces/{self._target.namespace}/deployments"
        found: dict[str, Json] = {one["metadata"]["name"]: one for one in self._kube.items(path)}
        return {name: found[name] for name in _DEPLOYMENTS if name in found}

    def namespaces(self) -> dict[str, Json]:
        """Read all namespaces, and keep their labels and annotations for evidence."""
        found: dict[str, Json] = {one["metadata"]["name"]: one for one in self._kube.items("/api/v1/namespaces")}
        self._marks = {name: marks(one) for name, one in found.items()}
        return found

    def evidence(self, pod: Json) -> tuple[str, ...]:
        """Say what in a pod looks like AWS."""
        namespace = self._marks.get(pod["metadata"].get("namespace", ""), Marks())
        mode = (pod["metadata"].get("annotations") or {}).get(MODE_ANNOTATION)
        return () if mode in {"disabled", "environment"} else find(Pod(dict(pod)), Facts(namespace=namespace))

    def dry_run(self) -> Answer:
        """Have a pod reviewed that is not kept."""
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"generateName": f"{_PROBE}-", "annotations": {MODE_ANNOTATION: "sidecar"}},
            "spec": {"containers": [{"name": "app", "image": "none"}], "restartPolicy": "Never"},
        }
        return self._created(pod, dryRun="All")

    def _created(self, pod: Json, **query: str) -> Answer:
        try:
            made = self._kube.create(f"/api/v1/namespaces/{self._target.probe_namespace}/pods", pod, **query)
        except KubeError as error:
            return Answer(status=error.status, message=error.message)
        return Answer(status=201, body=made)

    def certs(self) -> Answer:
        """Ask the certificate service's pods whether they can sign; one is enough."""
        path = f"/api/v1/namespaces/{self._target.namespace}/pods"
        pods = list(self._kube.items(path, labelSelector=f"app.kubernetes.io/name={CERTS_SERVICE}"))
        if not pods:
            return Answer(status=0, message="it has no pods")
        answers = [self._asked(f"{path}/{pod['metadata']['name']}:{HEALTH_PORT}/proxy/readyz") for pod in pods]
        return next((answer for answer in answers if answer.status == _OK), answers[0])

    def backend(self, document: Document | None) -> Answer:
        """Ask the emulator for its health, through the API server, which is where pods are too."""
        if why := self.unread.get("settings"):
            raise KecsError(why)
        if document is None:
            return _NO_TRUST
        endpoint = document.injection("check").endpoint
        name, _, rest = endpoint.host.partition(".")
        namespace, _, domain = rest.partition(".")
        if not domain.startswith("svc"):
            return Answer(status=_OK, message=f"{endpoint.url} is outside of the cluster")
        scheme = "https:" if endpoint.tls else ""
        service = f"/api/v1/namespaces/{namespace}/services/{scheme}{name}:{endpoint.port}/proxy"
        return self._asked(f"{service}/_localstack/health")

    def _asked(self, path: str) -> Answer:
        try:
            self._kube.text(path)
        except KubeError as error:
            if error.reason == "Forbidden":
                raise
            # any answer of the emulator's own is an answer: only some have a health page
            own = not error.reason and error.status not in (0, 502, 503, 504)
            return Answer(status=_OK if own else error.status, message=error.message)
        return Answer(status=_OK)

    def leak(self, document: Document | None) -> Answer:
        """Run a pod that tries to get past its sidecar."""
        image = self._target.leak_image or (document.images.sidecar if document else "")
        if not image:
            return Answer(status=0, message="the injector's settings, which name an image, can't be read; give --image")
        target = self._target
        return leak_probe.run(self._kube, namespace=target.probe_namespace, image=image, timeout_s=target.timeout_s)
