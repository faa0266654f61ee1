"""Keeps the webhook registered, and its certificate trusted before it is served. An edge on a thread of its own.

The order is what matters. Whoever calls checks the certificate against the registered caBundle, so a root is added
there first, and a certificate below it served some seconds later. What others change is put right within seconds.
"""

import base64
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography import x509

from kecs.certs import serving
from kecs.certs.bundle import parse, spell
from kecs.certs.ca_bundle import plan
from kecs.certs.kube import ConflictError, Kube
from kecs.certs.mirror import Mirror
from kecs.certs.serving import Serving, covering
from kecs.core.errors import AuthorityError, KecsError
from kecs.core.names import INJECTOR_SERVICE, INJECTOR_TLS_SECRET
from kecs.injector.cluster import Cluster
from kecs.injector.webhook import WebhookSettings, ca_bundle, configuration, drift

PATH: Final = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
RESYNC_S: Final = 30.0
SETTLE_S: Final = 2.0
"""How long API servers may take to see a new caBundle; 0.3 s was seen, and there may be several of them."""
_RETRY_S: Final = 1.0
_SOURCE: Final = f"the Secret {INJECTOR_TLS_SECRET}"


@dataclass(slots=True, kw_only=True)
class Registrar:
    """See the module. `load` puts a certificate into service; `told` is given events."""

    kube: Kube
    settings: WebhookSettings
    cluster: Cluster
    load: Callable[[Serving], None]
    told: Callable[[str, Mapping[str, Any]], None]
    settle_s: float = SETTLE_S
    resync_s: float = RESYNC_S
    failure: str = field(default="the webhook is not registered yet", init=False)
    _served: Serving | None = field(default=None, init=False)
    _served_roots: tuple[x509.Certificate, ...] = field(default=(), init=False)
    _unwanted: Mapping[str, float] = field(default_factory=dict, init=False)
    _woken: threading.Event = field(default_factory=threading.Event, init=False)
    _ended: threading.Event = field(default_factory=threading.Event, init=False)
    _mirrors: tuple[Mirror, ...] = field(default=(), init=False)

    def start(self) -> None:
        """Begin to watch and to keep."""
        secrets = f"/api/v1/namespaces/{self.settings.system_namespace}/secrets"
        self._mirrors = (
            self._mirror(secrets, INJECTOR_TLS_SECRET, lambda found: found.get("data") or {}),
            self._mirror(PATH, INJECTOR_SERVICE, lambda found: found),
        )
        for mirror in self._mirrors:
            mirror.start()
        threading.Thread(target=self._run, name="registrar", daemon=True).start()

    def _mirror(self, path: str, name: str, reduce: Callable[[Any], Any]) -> Mirror:
        query = {"fieldSelector": f"metadata.name={name}"}
        return Mirror(self.kube, path, query=query, reduce=reduce, changed=self.wake)

    def wake(self) -> None:
        """Have it look soon; callable from any thread."""
        self._woken.set()

    def close(self) -> None:
        """Stop keeping. The registration stays: pods must not start without the proxy because we restart."""
        self._ended.set()
        self._woken.set()
        for mirror in self._mirrors:
            mirror.close()

    def missing(self) -> tuple[str, ...]:
        """List what keeps the webhook from being called."""
        lacks = [] if self._served else ["there is no serving certificate yet"]
        return (*lacks, *((self.failure,) if self.failure else ()))

    def _run(self) -> None:
        while not self._ended.is_set():
            self._woken.clear()
            before = self.failure
            try:
                self.failure = self.round()
            except KecsError as error:
                self.failure = error.message
            except Exception as error:  # noqa: BLE001 - a thread that ended would leave the webhook to drift
                self.failure = f"{type(error).__name__}: {error}"
            if self.failure and self.failure != before:
                self.told("registration_failed", {"message": self.failure})
            self._woken.wait(_RETRY_S if self.failure else self.resync_s)

    def round(self) -> str:
        """Put everything right once; return what is still missing."""
        secret = self._mirrors[0].get(INJECTOR_TLS_SECRET, self.settings.system_namespace) if self._mirrors else None
        trust = self.cluster.trust
        if trust is None or not secret:
            return "the authority has not published its roots and a serving certificate yet"
        offered, offered_roots = _offered(secret)
        wanted = covering(parse(trust.pem.encode(), source="the published roots"), offered_roots, self._served_roots)
        found = self.kube.find(f"{PATH}/{INJECTOR_SERVICE}")
        if found is not None:
            self._repair(found, wanted)
        if self._served is None or offered.chain_pem != self._served.chain_pem:
            if self._served is not None:
                # Its root may have been added by an earlier round or another replica, just now: so every one waits.
                self.told("serving_certificate_waits", {"seconds": self.settle_s})
                self._ended.wait(self.settle_s)
            self.load(offered)
            self._served, self._served_roots = offered, offered_roots
            self.told("serving_certificate_loaded", {"not_after": offered.not_after.isoformat()})
        if found is None:
            self._register(wanted)
        return ""

    def _repair(self, found: Mapping[str, Any], roots: tuple[x509.Certificate, ...]) -> None:
        """Put a changed registration right."""
        planned = plan(ca_bundle(found), roots, self._unwanted, time.monotonic())
        self._unwanted = planned.unwanted
        wanted = configuration(self.settings, planned.pem)
        paths = drift(found, wanted)
        if not paths:
            return
        metadata = {"labels": wanted["metadata"]["labels"], "resourceVersion": found["metadata"]["resourceVersion"]}
        try:
            self.kube.patch(f"{PATH}/{INJECTOR_SERVICE}", {"metadata": metadata, "webhooks": wanted["webhooks"]})
        except ConflictError:
            self.wake()  # somebody was faster: another replica of ours, most likely
            raise
        self.told("webhook_repaired", {"paths": list(paths)})

    def _register(self, roots: tuple[x509.Certificate, ...]) -> None:
        try:
            self.kube.create(PATH, configuration(self.settings, spell(roots)))
        except ConflictError:
            self.wake()  # another replica was faster; what it wrote is looked at in the next round
            return
        self.told("webhook_registered", {"roots": len(roots)})


def _offered(secret: Mapping[str, str]) -> tuple[Serving, tuple[x509.Certificate, ...]]:
    try:
        fields = {name: base64.b64decode(secret[name], validate=True) for name in ("tls.crt", "tls.key", "ca.crt")}
    except (KeyError, ValueError) as error:
        raise AuthorityError(
            f"{_SOURCE} lacks a field or holds no base64: {error}", hint="delete it: the authority writes it anew"
        ) from error
    roots = parse(fields["ca.crt"], source=f"ca.crt of {_SOURCE}")
    return serving.read(fields["tls.crt"], fields["tls.key"], source=_SOURCE), roots
