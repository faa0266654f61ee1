"""Health checks as kubelet runs them. Pure.

A readiness probe only tells; a liveness probe would restart the container, which ECS never does.
"""

from typing import Any, Final

type Json = dict[str, Any]

INTERVAL_S: Final = 30
TIMEOUT_S: Final = 5
RETRIES: Final = 3
_SHELL: Final = ["/bin/sh", "-c"]


def probe(container: Json) -> Json:
    """Return the readinessProbe of a container; empty where it has no health check."""
    check = container.get("healthCheck") or {}
    kind, *words = check.get("command") or ["NONE"]
    if kind == "NONE" or not words:
        return {}
    return {
        "exec": {"command": words if kind == "CMD" else [*_SHELL, " ".join(words)]},
        "periodSeconds": int(check.get("interval") or INTERVAL_S),
        "timeoutSeconds": int(check.get("timeout") or TIMEOUT_S),
        "failureThreshold": int(check.get("retries") or RETRIES),
        "successThreshold": 1,
    }


def patience_s(spelled: Json, start_period_s: int) -> int:
    """Return how long after its start a container that has never been healthy is unhealthy."""
    period = int(spelled.get("periodSeconds") or INTERVAL_S)
    retries = int(spelled.get("failureThreshold") or RETRIES)
    return start_period_s + retries * period + int(spelled.get("timeoutSeconds") or TIMEOUT_S)
