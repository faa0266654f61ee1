"""Linux calls that Python lacks: unshare's flags are there, prctl, capset, mount are not."""

import ctypes
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_PR_CAP_AMBIENT: Final = 47
_AMBIENT_RAISE, _AMBIENT_CLEAR = 2, 4
_CAPABILITY_VERSION_3: Final = 0x20080522
CAP_NET_ADMIN: Final = 12
CAP_NET_RAW: Final = 13
CAP_SYS_ADMIN: Final = 21
MS_BIND: Final = 0x1000
MS_REC: Final = 0x4000
MS_SLAVE: Final = 1 << 19


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


_LIBC: Final = ctypes.CDLL(None, use_errno=True)


def _check(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _prctl(option: int, *values: int) -> None:
    padded = [ctypes.c_ulong(value) for value in (*values, 0, 0, 0, 0)[:4]]
    _check(_LIBC.prctl(option, *padded))


def die_with_parent(parent: int, number: signal.Signals = signal.SIGTERM) -> None:
    """Ask for a signal when the thread that forked this process ends; raises ProcessLookupError if it has ended."""
    _prctl(_PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:  # it ended before the request was made
        raise ProcessLookupError(f"the parent process {parent} has ended")


def effective() -> int:
    """Return the bits of this process' effective capabilities."""
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0


def has(*wanted: int) -> bool:
    """Say whether all these capabilities are effective."""
    bits = effective()
    return all(bits >> number & 1 for number in wanted)


@contextmanager
def ambient() -> Iterator[None]:
    """Let programs that are executed keep NET_ADMIN and NET_RAW, though the user is not root."""
    header = _Header(_CAPABILITY_VERSION_3, 0)
    sets = (_Sets * 2)()
    _check(_LIBC.capget(ctypes.byref(header), sets))
    before = [one.inheritable for one in sets]
    wanted = (CAP_NET_ADMIN, CAP_NET_RAW)
    sets[0].inheritable |= sum(1 << number for number in wanted)
    _check(_LIBC.capset(ctypes.byref(header), sets))
    try:
        for number in wanted:
            _prctl(_PR_CAP_AMBIENT, _AMBIENT_RAISE, number)
        yield
    finally:
        _prctl(_PR_CAP_AMBIENT, _AMBIENT_CLEAR)
        sets[0].inheritable, sets[1].inheritable = before
        _check(_LIBC.capset(ctypes.byref(header), sets))


def mount(source: str, target: str, flags: int) -> None:
    """Bind one path over another, or set propagation."""
    _check(_LIBC.mount(os.fsencode(source), os.fsencode(target), None, ctypes.c_ulong(flags), None))
