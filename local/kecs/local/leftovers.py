"""End what still runs in this process' network namespace: daemons that the command left, or all when P was killed."""

import os
import select
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

GRACE_S: Final = 2.0
_KILL_WAIT_S: Final = 2.0


def _others() -> list[int]:
    own = Path("/proc/self/ns/net").stat()
    found = []
    for entry in os.scandir("/proc"):
        if not entry.name.isdecimal() or int(entry.name) == os.getpid():
            continue
        with suppress(OSError):  # it has ended, or is another user's
            namespace = Path(f"/proc/{entry.name}/ns/net").stat()
            if (namespace.st_dev, namespace.st_ino) == (own.st_dev, own.st_ino):
                found.append(int(entry.name))
    return found


def _signal(number: signal.Signals) -> list[int]:
    """Signal every other process inside; return descriptors that tell of their ends."""
    descriptors = []
    for pid in _others():
        with suppress(OSError):
            descriptor = os.pidfd_open(pid)
            signal.pidfd_send_signal(descriptor, number)
            descriptors.append(descriptor)
            signal.pidfd_send_signal(descriptor, signal.SIGCONT)  # a stopped process would not see it
    return descriptors


def _ended(descriptors: list[int], wait_s: float) -> bool:
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    waiting = set(descriptors)
    deadline = time.monotonic() + wait_s
    while waiting and (left := deadline - time.monotonic()) > 0:
        for descriptor, _events in poll.poll(left * 1000):
            poll.unregister(descriptor)
            waiting.discard(descriptor)
    for descriptor in descriptors:
        os.close(descriptor)
    return not waiting


def end(grace_s: float = GRACE_S) -> None:
    """SIGTERM all, then SIGKILL what is left after the grace, until nobody is: a fork may slip past one look."""
    deadline = time.monotonic() + grace_s
    while descriptors := _signal(signal.SIGTERM):
        if not _ended(descriptors, deadline - time.monotonic()):
            break
    deadline = time.monotonic() + _KILL_WAIT_S
    while time.monotonic() < deadline and (descriptors := _signal(signal.SIGKILL)):
        _ended(descriptors, deadline - time.monotonic())
