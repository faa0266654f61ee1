"""CPU of one review, by kind of pod: the injector's part of what an admission costs, without HTTP and TLS.

    .venv/bin/python benchmarks/injection.py [ROUNDS]

Each figure is the median of the process's CPU time per round; a round reviews the pod once, from its JSON to the JSON
of its patch, as the webhook does. `first` is a pod's first call, `second` the one after the API server has edited it.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from kecs.injector.config import Endpoint, Facts, Images, Injection, Trust
from kecs.injector.inject import review
from kecs.injector.outcome import Patched

ROUNDS = 50
MEGABYTE = 1 << 20
CONFIG = Injection(
    version="0",
    images=Images(init="kecs-init", sidecar="kecs-sidecar"),
    endpoint=Endpoint.parse("http://localstack.aws-services.svc.cluster.local:4566", source="this benchmark"),
)
FACTS = Facts(trust=Trust(pem="-----BEGIN CERTIFICATE-----\n" * 30, sha256=("0" * 64,)), server_version=(1, 34))


def pod(containers: int, variables: int, value: int = 20, annotation: int = 0) -> dict[str, Any]:
    """Make a pod of some size."""
    env = [{"name": f"VARIABLE_{number}", "value": "x" * value} for number in range(variables)]
    annotations = {"kecs.io/aws-proxy-mode": "sidecar"} | ({"big": "x" * annotation} if annotation else {})
    return {
        "metadata": {"name": "benchmark", "annotations": annotations},
        "spec": {"containers": [{"name": f"c{number}", "image": "i", "env": env} for number in range(containers)]},
    }


def reviewed(body: str) -> str:
    """Do what the webhook does with the bytes of a pod."""
    outcome = review(json.loads(body), FACTS, CONFIG, namespace="demo")
    return json.dumps(outcome.operations if isinstance(outcome, Patched) else [], separators=(",", ":"))


def cpu_ms(work: Callable[[], object], rounds: int) -> float:
    """Return the median CPU time of one call, in milliseconds."""
    spent = []
    for _ in range(rounds):
        started = time.process_time_ns()
        work()
        spent.append((time.process_time_ns() - started) / 1e6)
    return statistics.median(spent)


def injected(body: str) -> str:
    """Return the pod as it comes to its second call."""
    import jsonpatch  # noqa: PLC0415 - no part of what is measured

    return json.dumps(jsonpatch.apply_patch(json.loads(body), json.loads(reviewed(body))))


def main(rounds: int) -> None:
    """Print the table."""
    cases = {
        "plain pod": pod(1, 2),
        "5 containers, 30 variables each": pod(5, 30),
        "1 MB of annotation": pod(1, 2, annotation=MEGABYTE),
        "1 MB in 20 containers of 50 long variables": pod(20, 50, value=1000),
        "1 MB in 200 containers of 60 short variables": pod(200, 60, value=40),
    }
    print(f"{'pod':<46}{'bytes':>9}{'first ms':>10}{'second ms':>11}{'patch bytes':>13}")
    for name, body in ((name, json.dumps(one)) for name, one in cases.items()):
        again = injected(body)
        first, second = (cpu_ms(lambda text=text: reviewed(text), rounds) for text in (body, again))  # type: ignore[misc]  # mypy: a lambda with a default
        print(f"{name:<46}{len(body):>9}{first:>10.2f}{second:>11.2f}{len(reviewed(body)):>13}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS)
