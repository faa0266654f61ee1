"""The admin port: alive, ready, metrics, settings, certificate. Answers only; the relay serves them.

The probe port has the first two alone: kubelet never reaches a loopback port, so these are served on the pod's address,
where anybody in the cluster may ask.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from kecs.aws.head import Answer, RequestHead
from kecs.calls import readiness
from kecs.calls.readiness import Check

_TEXT: Final = b"text/plain; charset=utf-8"
_METRICS: Final = b"text/plain; version=0.0.4; charset=utf-8"
_JSON: Final = b"application/json"
_PROBES: Final = frozenset({b"/livez", b"/readyz"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Admin:
    """What the admin port reads."""

    checks: Callable[[], Sequence[Check]]
    metrics: Callable[[], bytes]
    settings: Callable[[], Mapping[str, Any]]
    certificates: Callable[[], Mapping[str, Any]]

    def answer(self, head: RequestHead) -> Answer:
        """Answer one request."""
        if head.method not in (b"GET", b"HEAD"):
            return Answer(status=405, fields=((b"Allow", b"GET, HEAD"),))
        match head.target.partition(b"?")[0]:
            case b"/livez":
                return _text(200, "alive")
            case b"/readyz":
                checks = self.checks()
                return _json(200 if readiness.is_ready(checks) else 503, readiness.described(checks))
            case b"/metrics":
                return Answer(status=200, fields=((b"Content-Type", _METRICS),), body=self.metrics())
            case (b"/config" | b"/certs") as path:
                return _json(200, self.settings() if path == b"/config" else self.certificates())
        return _text(404, "one of /livez /readyz /metrics /config /certs")

    def probe(self, head: RequestHead) -> Answer:
        """Answer one request on the probe port."""
        if head.target.partition(b"?")[0] in _PROBES:
            return self.answer(head)
        return _text(404, "one of /livez /readyz")


def _text(status: int, text: str) -> Answer:
    return Answer(status=status, fields=((b"Content-Type", _TEXT),), body=f"{text}\n".encode())


def _json(status: int, facts: Mapping[str, Any]) -> Answer:
    body = json.dumps(facts, indent=2).encode() + b"\n"
    return Answer(status=status, fields=((b"Content-Type", _JSON),), body=body)
