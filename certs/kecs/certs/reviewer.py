"""What the API server knows of a token and its pod, asked over kept connections. An edge: it judges nothing."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from kecs.certs.kube import Json
from kecs.certs.kube_async import AsyncKube

_NAMESPACE_KEPT_S: Final = 10.0
_NAMESPACES_KEPT: Final = 1000


@dataclass(slots=True)
class Reviewer:
    """See the module. It belongs to one loop."""

    kube: AsyncKube
    audience: str
    clock: Callable[[], float] = time.monotonic
    _namespaces: dict[str, tuple[float, Json | None]] = field(default_factory=dict)

    async def token(self, token: str) -> Json:
        """Return the status of a TokenReview."""
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": [self.audience]},
        }
        reviewed = await self.kube.review("/apis/authentication.k8s.io/v1/tokenreviews", body)
        status: Any = reviewed.get("status")
        return status if isinstance(status, dict) else {}

    async def pod(self, namespace: str, name: str) -> Json | None:
        """Return a pod; None when there is none."""
        return await self.kube.find(f"/api/v1/namespaces/{namespace}/pods/{name}")

    async def namespace(self, name: str) -> Json | None:
        """Return a namespace, up to ten seconds old: opting in is done once."""
        kept = self._namespaces.get(name)
        if kept and self.clock() - kept[0] < _NAMESPACE_KEPT_S:
            return kept[1]
        found = await self.kube.find(f"/api/v1/namespaces/{name}")
        if len(self._namespaces) >= _NAMESPACES_KEPT:
            self._namespaces.clear()
        self._namespaces[name] = (self.clock(), found)
        return found
