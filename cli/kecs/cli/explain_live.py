"""Reads what a pod's review depends on from its cluster, as the injector would. An edge."""

from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any
from urllib.parse import quote

from kecs.certs.kube import KubeError
from kecs.cli import pods
from kecs.cli.explain_pod import Explained, explained
from kecs.cli.live import found
from kecs.cli.live_options import Scope
from kecs.core.errors import KecsError
from kecs.core.names import INJECTOR_SERVICE, TRUST_CONFIG_MAP
from kecs.injector.cluster import marks
from kecs.injector.config import Facts, Injection, LimitRange, Trust
from kecs.injector.document import Document

_FORBIDDEN = 403


def explain(scope: Scope, name: str) -> Explained:
    """Explain a pod; what this account may not read is named, and counts as if it said nothing."""
    pod = found(scope.kube, scope.namespace, name)
    return _Reading(scope).explained(pod)


class _Reading:
    """One reading of a cluster; `unread` gathers what is not allowed."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._kube = scope.kube
        self._unread: dict[str, str] = {}

    def explained(self, pod: pods.Pod) -> Explained:
        """Read everything that counts, and have it judged."""
        namespace, _ = pods.key(pod)
        account = (pod.get("spec") or {}).get("serviceAccountName") or "default"
        where = f"/api/v1/namespaces/{quote(namespace, safe='')}"
        trust = self._allowed("trust", self._trust, None)
        facts = Facts(
            namespace=marks(self._object("namespace", where)),
            trust=trust,
            server_version=self._allowed("version", self._version, None),
            service_account_annotations=marks(
                self._object("service account", f"{where}/serviceaccounts/{quote(account, safe='')}")
            ).annotations,
            limit_ranges=self._allowed("limit ranges", lambda: self._limits(where), ()),
        )
        config = self._allowed("settings", self._settings, None) or Document().injection(version("kecs"))
        roots = trust.sha256 if trust else ()
        return explained(pod, facts, config, roots=roots, unread=self._unread)

    def _allowed[T](self, what: str, look: Callable[[], T], otherwise: T) -> T:
        try:
            return look()
        except KubeError as error:
            if error.status != _FORBIDDEN:
                raise
            self._unread[what] = error.message
            return otherwise

    def _object(self, what: str, path: str) -> Mapping[str, Any]:
        return self._allowed(what, lambda: self._kube.find(path), None) or {}

    def _config_map(self, name: str) -> Mapping[str, str]:
        path = f"/api/v1/namespaces/{self._scope.system_namespace}/configmaps/{name}"
        return (self._kube.find(path) or {}).get("data") or {}

    def _trust(self) -> Trust | None:
        pem = self._config_map(TRUST_CONFIG_MAP).get("ca.crt", "")
        return Trust.from_pem(pem.encode(), source=f"ConfigMap {TRUST_CONFIG_MAP}") if pem else None

    def _settings(self) -> Injection:
        namespace = self._scope.system_namespace
        text = self._config_map(INJECTOR_SERVICE).get("injector.yaml")
        if text is None:
            raise KecsError(
                f"KECS is not installed in namespace {namespace}: it has no ConfigMap {INJECTOR_SERVICE}",
                hint="--system-namespace names another; -f explains manifests without a cluster",
            )
        document = Document.parse(text, source=f"ConfigMap {INJECTOR_SERVICE}")
        return document.injection(version("kecs"), system_namespace=namespace)

    def _version(self) -> tuple[int, int] | None:
        found = self._kube.get("/version")
        try:
            return int(found["major"]), int(str(found["minor"]).rstrip("+"))
        except (KeyError, ValueError):
            return None

    def _limits(self, where: str) -> tuple[LimitRange, ...]:
        return tuple(LimitRange.of(one) for one in self._kube.items(f"{where}/limitranges"))
