"""The admin port: alive, ready, metrics, certificate. Answers only; the relay serves them.

The probe port has the first two alone: kubelet never reaches a loopback port, so these are served on the pod's address,
where anybody in the cluster may ask.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from kecs.aws.head import Answer, RequestHead

_TEXT: Final = b"text/plain; charset=utf-8"
_METRICS: Final = b"text/plain; version=0.0.4; charset=utf-8"
_PROBES: Final = frozenset({b"/livez", b"/readyz"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Admin:
    """What the admin port reads. Readiness asks for certificate and listener, never for the backend."""

    certificate: Callable[[], str]
    """What keeps leaves from being signed; empty when nothing does."""
    listening: Callable[[], bool]
    """Whether new connections are accepted: false before the first listener and while draining."""
    metrics: Callable[[], bytes]
    certificates: Callable[[], Mapping[str, Any]]

    def answer(self, head: RequestHead) -> Answer:
        """Answer one request."""
        if head.method not in (b"GET", b"HEAD"):
            return Answer(status=405, fields=((b"Allow", b"GET, HEAD"),))
        path = head.target.partition(b"?")[0]
        match path:
            case b"/livez":
                return _text(200, "alive")
            case b"/readyz":
                reasons = self._not_ready()
                return _text(503, "\n".join(reasons)) if reasons else _text(200, "ready")
            case b"/metrics":
                return Answer(status=200, fields=((b"Content-Type", _METRICS),), body=self.metrics())
            case b"/certs":
                body = json.dumps(self.certificates(), indent=2).encode() + b"\n"
                return Answer(status=200, fields=((b"Content-Type", b"application/json"),), body=body)
        return _text(404, "one of /livez /readyz /metrics /certs")

    def probe(self, head: RequestHead) -> Answer:
        """Answer one request on the probe port."""
        if head.target.partition(b"?")[0] in _PROBES:
            return self.answer(head)
        return _text(404, "one of /livez /readyz")

    def _not_ready(self) -> list[str]:
        reasons = []
        if not self.listening():
            reasons.append("no connections are accepted")
        problem = self.certificate()
        if problem:
            reasons.append(problem)
        return reasons


def _text(status: int, text: str) -> Answer:
    return Answer(status=status, fields=((b"Content-Type", _TEXT),), body=f"{text}\n".encode())
