"""Running what carries calls as a process: its loop, its signals, its end."""

import asyncio
import contextlib
import os
import resource
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NoReturn, Protocol

import uvloop

_M_ARENA_MAX: Final = -8
_THREADS: Final = 4
_READ: Final = 4096
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class Serving(Protocol):
    """A sidecar or a gateway that serves."""

    async def drain(self) -> None:
        """Let requests finish, then close everything."""

    def close(self) -> None:
        """Close everything."""


def raise_descriptors() -> None:
    """Take as many descriptors as the machine grants: shells and container engines often give 1024 to begin with."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def have_one_arena() -> None:
    """Let all threads allocate from one place (mallopt(3), M_ARENA_MAX).

    glibc gives threads arenas of their own. Contexts of TLS are made on one thread and forgotten on another, and what
    becomes free in between is lost to the others: a sidecar that was asked for ever new names grew by 20 MB.
    """
    import ctypes  # noqa: PLC0415 - for this alone

    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


class _Threads(ThreadPoolExecutor):
    """Where names are resolved. At the end nobody waits for a resolver that hangs."""

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 - its signature
        """Leave threads behind."""
        super().shutdown(wait=False, cancel_futures=True)


def prepare(loop: asyncio.AbstractEventLoop) -> None:
    """Give a process of ours the descriptors it may have, and threads that nobody waits for."""
    raise_descriptors()
    have_one_arena()
    loop.set_default_executor(_Threads(max_workers=_THREADS, thread_name_prefix="resolve"))


def run(start: Callable[[], Serving]) -> None:
    """Run what `start` makes until SIGTERM or SIGINT, then drain. `start` is called on the running loop.

    A second signal ends the drain.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(start))


def follow(control_fd: int, ended: Callable[[], None]) -> None:
    """Call `ended`, on the running loop, once nobody holds the other end of a pipe. What comes before is dropped."""
    loop = asyncio.get_running_loop()

    def readable() -> None:
        if not os.read(control_fd, _READ):
            loop.remove_reader(control_fd)
            ended()

    loop.add_reader(control_fd, readable)


def leave(code: int) -> NoReturn:
    """End the process now: the interpreter would wait for threads, one of which may wait for a resolver."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


async def _serve(start: Callable[[], Serving]) -> None:
    loop = asyncio.get_running_loop()
    prepare(loop)
    asked = asyncio.Queue[int]()
    for number in _SIGNALS:
        loop.add_signal_handler(number, asked.put_nowait, number)
    serving = start()
    try:
        await asked.get()
        draining = loop.create_task(serving.drain())
        again = loop.create_task(asked.get())
        await asyncio.wait((draining, again), return_when=asyncio.FIRST_COMPLETED)
        again.cancel()
        draining.cancel()
        await asyncio.gather(draining, again, return_exceptions=True)
        if draining.done() and not draining.cancelled() and draining.exception() is not None:
            await draining
    finally:
        serving.close()
