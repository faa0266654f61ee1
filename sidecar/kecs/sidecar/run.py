"""Running a sidecar as a process: its loop, its signals, its end."""

import asyncio
import contextlib
import resource
import signal
from collections.abc import Callable
from typing import Final

import uvloop

from kecs.sidecar.service import Sidecar

DRAIN_S: Final = 25.0
"""Less than the 30 s that Kubernetes gives a pod by default."""

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


def raise_descriptors() -> None:
    """Take as many descriptors as the machine grants: shells and container engines often give 1024 to begin with."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def run(start: Callable[[], Sidecar], *, drain_s: float = DRAIN_S) -> None:
    """Run what `start` makes until SIGTERM or SIGINT, then drain. `start` is called on the running loop.

    A second signal ends the drain.
    """
    raise_descriptors()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(start, drain_s))


async def _serve(start: Callable[[], Sidecar], drain_s: float) -> None:
    loop = asyncio.get_running_loop()
    asked = asyncio.Queue[int]()
    for number in _SIGNALS:
        loop.add_signal_handler(number, asked.put_nowait, number)
    sidecar = start()
    try:
        await asked.get()
        draining = loop.create_task(sidecar.drain(drain_s))
        again = loop.create_task(asked.get())
        await asyncio.wait((draining, again), return_when=asyncio.FIRST_COMPLETED)
        again.cancel()
        draining.cancel()
        await asyncio.gather(draining, again, return_exceptions=True)
        if draining.done() and not draining.cancelled() and draining.exception() is not None:
            await draining
    finally:
        sidecar.close()
