"""What a review costs the injector: CPU and latency, beside an empty endpoint of the same server in the same run.

    python benchmarks/webhook.py [--rounds 7] [--reviews 200]

The injector runs as in a cluster: its own process, TLS, a fake API server beside it. CPU is the kernel's account of
that process. Rounds are interleaved; a figure is the median over rounds, spread is the lowest and highest.
"""

import argparse
import http.client
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from kube_lab import api_server
from webhook_lab import Injector, injector, new_state, publish


def cpu_s(pid: int) -> float:
    """Return the CPU that all threads of a process have used, in seconds, by the scheduler's own account."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text(encoding="ascii").split()[0]) for thread in threads) / 1e9


def review(pod: dict[str, Any]) -> bytes:
    """Wrap a pod as the API server does."""
    request = {
        "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
        "operation": "CREATE",
        "namespace": "demo",
        "object": pod,
        "oldObject": None,
        "dryRun": True,
    }
    whole = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
    return json.dumps(whole).encode()


def plain() -> dict[str, Any]:
    """Make a pod as most are."""
    env = [{"name": f"SETTING_{number}", "value": "x" * 20} for number in range(12)]
    return {
        "metadata": {"name": "app", "namespace": "demo", "labels": {"app": "app"}},
        "spec": {"containers": [{"name": "app", "image": "app:1", "env": env}], "volumes": []},
    }


def large() -> dict[str, Any]:
    """Make a pod of a megabyte."""
    pod = plain()
    env = [{"name": f"SETTING_{number}", "value": "x" * 500} for number in range(100)]
    pod["spec"]["containers"] = [{"name": f"app-{number}", "image": "app:1", "env": env} for number in range(19)]
    return pod


def post(connection: http.client.HTTPSConnection, path: str, body: bytes) -> float:
    """Ask once; return how long it took."""
    began = time.perf_counter()
    connection.request("POST", path, body=body, headers={"Content-Type": "application/json"})
    response = connection.getresponse()
    answer = response.read()
    if path == "/mutate" and b'"allowed":true' not in answer:
        raise SystemExit(f"the review failed: {answer[:300]!r}")
    return time.perf_counter() - began


def measure(running: Injector, path: str, body: bytes, count: int) -> tuple[float, float]:
    """Return CPU and median latency of one request, in milliseconds."""
    with running.connection() as connection:
        post(connection, path, body)
        before = cpu_s(running.process.pid)
        latencies = [post(connection, path, body) for _ in range(count)]
        spent = cpu_s(running.process.pid) - before
    return spent / count * 1000, statistics.median(latencies) * 1000


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--reviews", type=int, default=200)
    options = parser.parse_args()
    arms = {
        "empty endpoint": ("/nothing", review(plain()), options.reviews),
        "plain pod": ("/mutate", review(plain()), options.reviews),
        "empty endpoint, 1 MB": ("/nothing", review(large()), max(5, options.reviews // 20)),
        "pod of 1 MB": ("/mutate", review(large()), max(5, options.reviews // 20)),
    }
    results: dict[str, list[tuple[float, float]]] = {name: [] for name in arms}
    with tempfile.TemporaryDirectory() as name, api_server() as api:
        directory = Path(name)
        api.put("namespaces", {"metadata": {"name": "demo", "labels": {"kecs.io/aws-proxy": "enabled"}}})
        publish(api, directory, new_state())
        with injector(api, directory) as running:
            api.wait(lambda: b'"ready":true' in running.health("/readyz")[1])
            for _ in range(options.rounds):
                for arm, (path, body, count) in arms.items():
                    results[arm].append(measure(running, path, body, count))
            memory = Path(f"/proc/{running.process.pid}/smaps_rollup").read_text(encoding="ascii")
    print(f"{'':22}{'CPU ms':>8} {'spread':>14} {'latency ms':>11}")
    for arm, figures in results.items():
        cpu, latency = (statistics.median(column) for column in zip(*figures, strict=True))
        low, high = min(one for one, _ in figures), max(one for one, _ in figures)
        print(f"{arm:22}{cpu:8.2f} {f'{low:.2f}-{high:.2f}':>14} {latency:11.2f}")
    pss = next(line.split()[1] for line in memory.splitlines() if line.startswith("Pss:"))
    print(f"PSS of the injector afterwards: {int(pss) / 1024:.0f} MB")


if __name__ == "__main__":
    main()
