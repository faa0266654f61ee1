"""What the API server knows of a token and its pod, asked over kept connections. An edge: it judges nothing."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from kecs.certs.kube import Json, Kube, NotFoundError

_NAMESPACE_KEPT_S: Final = 10.0
_NAMESPACES_KEPT: Final = 1000


@dataclass(slots=True)
class Reviewer:
    """Blocking; used from several threads."""

    kube: Kube
    audience: str
    clock: Callable[[], float] = time.monotonic
    _namespaces: dict[str, tuple[float, Json | None]] = field(default_factory=dict)

    def token(self, token: str) -> Json:
        """Return the status of a TokenReview."""
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": [self.audience]},
        }
        status: Any = self.kube.create("/apis/authentication.k8s.io/v1/tokenreviews", body).get("status")
        return status if isinstance(status, dict) else {}

    def pod(self, namespace: str, name: str) -> Json | None:
        """Return a pod; None when there is none."""
        return self.kube.find(f"/api/v1/namespaces/{namespace}/pods/{name}")

    def namespace(self, name: str) -> Json | None:
        """Return a namespace, up to ten seconds old: opting in is done once."""
        kept = self._namespaces.get(name)
        if kept and self.clock() - kept[0] < _NAMESPACE_KEPT_S:
            return kept[1]
        try:
            found: Json | None = self.kube.get(f"/api/v1/namespaces/{name}")
        except NotFoundError:
            found = None
        if len(self._namespaces) >= _NAMESPACES_KEPT:
            self._namespaces.clear()
        self._namespaces[name] = (self.clock(), found)
        return found
