"""Writes what derives from an authority where it differs from what is found: the bundle, the injector's certificate.

An edge. Drift, whoever made it, is repaired by the same comparison that makes the objects first.
"""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from kecs.certs.derived import service_names, serving_fields, trust
from kecs.certs.kube import Kube
from kecs.certs.kube_store import LABELS
from kecs.certs.state import Authority
from kecs.core.names import INJECTOR_SERVICE, INJECTOR_TLS_SECRET, TRUST_CONFIG_MAP

_TLS: Final = "kubernetes.io/tls"


@dataclass(frozen=True, slots=True, kw_only=True)
class Publisher:
    """The derived objects of one authority."""

    kube: Kube
    namespace: str
    may_write: Callable[[], None] = lambda: None

    def trust(self, authority: Authority) -> tuple[str, ...]:
        """Publish the bundle; return the name of what was written, if anything.

        Before `serving`: whoever reads a certificate finds the roots to check it with.
        """
        collection = f"/api/v1/namespaces/{self.namespace}/configmaps"
        found = self.kube.find(f"{collection}/{TRUST_CONFIG_MAP}")
        return self._put(collection, {"kind": "ConfigMap"}, TRUST_CONFIG_MAP, found, trust(authority))

    def serving(self, authority: Authority, now: datetime) -> tuple[str, ...]:
        """Publish the injector's certificate; return the name of what was written, if anything.

        Raises AuthorityError when the issuer may not sign for the service.
        """
        collection = f"/api/v1/namespaces/{self.namespace}/secrets"
        found = self.kube.find(f"{collection}/{INJECTOR_TLS_SECRET}")
        names = service_names(INJECTOR_SERVICE, self.namespace)
        fields = serving_fields((found or {}).get("data") or {}, authority, names, now)
        wanted = {name: base64.b64encode(value).decode() for name, value in fields.items()}
        return self._put(collection, {"kind": "Secret", "type": _TLS}, INJECTOR_TLS_SECRET, found, wanted)

    def _put(
        self,
        collection: str,
        kind: Mapping[str, str],
        name: str,
        found: Mapping[str, Any] | None,
        wanted: Mapping[str, str],
    ) -> tuple[str, ...]:
        """Write fields that differ; those of others stay."""
        if found is None:
            metadata = {"name": name, "namespace": self.namespace, "labels": LABELS}
            self.may_write()
            self.kube.create(collection, {"apiVersion": "v1", **kind, "metadata": metadata, "data": dict(wanted)})
            return (name,)
        data = found.get("data") or {}
        if all(data.get(field) == value for field, value in wanted.items()):
            return ()
        self.may_write()
        self.kube.patch(f"{collection}/{name}", {"data": dict(wanted)})
        return (name,)
