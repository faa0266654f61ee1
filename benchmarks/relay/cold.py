"""What is measured while nothing happens: the start, the rest after it, and connections that are only held."""

import json
import subprocess
import time
from collections.abc import Callable

from benchmarks.relay.accounting import Memory, Meter, cpu_ns, memory
from benchmarks.relay.layout import AWS_NAME, head_fields
from benchmarks.relay.place import python
from benchmarks.relay.site import Running, await_line, redirect, started
from benchmarks.relay.transfers import download, upload
from kecs.core.names import PROXY_UID

_REST_S = 1.0
_PATIENCE_S = 60


def start(running: Running, _seconds: float) -> dict[str, float]:
    """Start the arm anew in a pod of its own, and let it rest."""
    program, site = running.arm.program, running.site
    assert program is not None
    setting = site.setting(running.arm, running.setting.backend)
    with site.pod() as pod:
        redirect(pod)
        asking = pod.start(*python("client.py", "await", AWS_NAME, f"--seconds={_PATIENCE_S}"), stdout=subprocess.PIPE)
        await_line(asking)
        made = program(setting)
        began = time.monotonic()
        with started(made, pod, setting.directory):
            answered = json.loads(await_line(asking))["answered"]
            asking.wait()
            time.sleep(_REST_S)
            pids = pod.members(PROXY_UID)
            cpu, held = sum(cpu_ns(pids).values()), memory(pids)
            meter = Meter(pod, PROXY_UID)
            time.sleep(_REST_S)
            rest_s = meter.used_s()
    spent = {"start_cpu_s": cpu / 1e9, "rest_cpu_ms": rest_s * 1000 / _REST_S}
    return {"ready_s": answered - began, **spent, **_megabytes(held)}


def idle_connections(count: int) -> Callable[[Running, float], dict[str, float]]:
    """Hold so many connections."""

    def measure(running: Running, _seconds: float) -> dict[str, float]:
        program, site = running.arm.program, running.site
        assert program is not None
        with site.running(running.arm, running.setting.backend) as fresh:  # one that holds no pages of earlier loads
            before = memory(fresh.pod.members(PROXY_UID))
            argv = python("client.py", "idle", AWS_NAME, f"--count={count}", f"--fields={json.dumps(head_fields())}")
            holding = fresh.pod.start(*argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            await_line(holding)
            time.sleep(_REST_S)
            after = memory(fresh.pod.members(PROXY_UID))
            assert holding.stdin
            holding.stdin.close()
            holding.wait()
        return {
            "kb_each": (after.private - before.private) / 1e3 / count,
            **_megabytes(after),
        }

    return measure


def growth(size: int) -> Callable[[Running, float], dict[str, float]]:
    """Move an object down and up through an arm that has served one small call."""

    def measure(running: Running, seconds: float) -> dict[str, float]:
        with running.site.running(running.arm, running.setting.backend) as fresh:
            before = memory(fresh.pod.members(PROXY_UID)).rss / 1e6
            moves = {"down": download(size), "up": upload(size)}
            peaks = {way: move(fresh, seconds)["peak_rss_mb"] for way, move in moves.items()}
        return {f"rss_growth_{way}_mb": peak - before for way, peak in peaks.items()}

    return measure


def _megabytes(held: Memory) -> dict[str, float]:
    return {"pss_mb": held.pss / 1e6, "rss_mb": held.rss / 1e6, "private_mb": held.private / 1e6}
