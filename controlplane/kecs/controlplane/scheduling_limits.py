"""How many tasks a service may and must have, how many failures it is forgiven, and how long it pauses. Pure."""

from collections.abc import Mapping
from datetime import timedelta
from math import ceil
from typing import Any, Final

STARTING: Final = 50
"""Tasks of one service that are on their way at once."""
SETTLED_AFTER: Final = timedelta(seconds=5)
"""How long a task without a health check has to run before a rollout relies on it. AWS waits 40 seconds (API reference
of DeploymentConfiguration, minimumHealthyPercent); here tasks start in a second, and people wait for them."""
PAUSE_MOST: Final = timedelta(minutes=27)
"""AWS's page "Amazon ECS service throttle logic"."""
PLACED_AGAIN_AFTER: Final = timedelta(seconds=5)
"""When a task that found no room is tried to be placed again."""
IMPAIRED_AFTER: Final = 3
"""Rounds of failures after which a service is said to be unable to start its tasks."""

DEFAULTS: Final[Mapping[str, tuple[int, int]]] = {"REPLICA": (100, 200), "DAEMON": (0, 100)}
"""minimumHealthyPercent and maximumPercent where a request says nothing, by scheduling strategy."""


def least(wanted: int, configuration: Mapping[str, Any]) -> int:
    """Return how many healthy tasks a rollout must leave: minimumHealthyPercent, rounded up."""
    return -(-wanted * int(configuration["minimumHealthyPercent"]) // 100)


def most(wanted: int, configuration: Mapping[str, Any]) -> int:
    """Return how many tasks there may be during a rollout: maximumPercent, rounded down."""
    return wanted * int(configuration["maximumPercent"]) // 100


def threshold(wanted: int, breaker: Mapping[str, Any]) -> int:
    """Return how many failures trip the circuit breaker.

    Half of the desired count, rounded up, at least 3 and at most 200: the developer guide's page "How the Amazon ECS
    deployment circuit breaker detects failures" and the API reference of ServiceDeploymentCircuitBreaker as of 2026.
    The guide of 2023 said at least 10. Since July 2026 thresholdConfiguration (same reference) may say it otherwise:

    | type              | value | threshold                                 |
    |-------------------|-------|-------------------------------------------|
    | BOUNDED_PERCENT   | v     | v % of the desired count, between 3 and 200 |
    | UNBOUNDED_PERCENT | v     | v % of the desired count                  |
    | COUNT             | v     | v                                         |

    Whatever is said, one failure is needed.
    """
    configured = breaker.get("thresholdConfiguration") or {}
    value = int(configured.get("value", 50))
    percent = ceil(wanted * value / 100)
    match configured.get("type", "BOUNDED_PERCENT"):
        case "COUNT":
            found = value
        case "UNBOUNDED_PERCENT":
            found = percent
        case _:
            found = min(max(percent, 3), 200)
    return max(found, 1)


def rounds(failures: int, wanted: int) -> int:
    """Return how often all of a service's tasks have failed since the last that was healthy."""
    return failures // max(wanted, 1)


def pause(failures: int, wanted: int) -> timedelta:
    """Return how long to wait after a failure until tasks are started again: a second, doubled with each round."""
    repeated = rounds(failures, wanted)
    return min(timedelta(seconds=2 ** min(repeated - 1, 12)), PAUSE_MOST) if repeated else timedelta()
