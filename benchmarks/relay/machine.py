"""The machine of a run: what is installed, what it is, and how busy others keep it."""

import os
import platform
import resource
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

from benchmarks.relay.arms import Arm

_PACKAGES: Final[Mapping[str, str]] = {
    "curl": "curl",
    "haproxy": "haproxy",
    "ip": "iproute2",
    "iptables-restore": "iptables",
    "nginx": "nginx-light libnginx-mod-stream",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "sysctl": "procps",
    "unshare": "util-linux",
    "wrk": "wrk",
}
_ALWAYS: Final = frozenset(_PACKAGES) - {"haproxy"}
_ASKED: Final[Mapping[str, tuple[str, ...]]] = {
    "nginx": ("nginx", "-v"),
    "haproxy": ("haproxy", "-v"),
    "wrk": ("wrk", "-v"),
    "curl": ("curl", "--version"),
    "OpenSSL of the system": ("openssl", "version"),
}


def check(arms: Iterable[Arm]) -> None:
    """Say what is missing, with what it takes; nothing is installed in passing."""
    if os.geteuid() != 0:
        raise SystemExit("error: namespaces and rules take root\n\nhint: sudo make bench")
    needed = _ALWAYS | {name for arm in arms for name in arm.needs}
    missing = sorted(name for name in needed if shutil.which(name) is None)
    if missing:
        packages = " ".join(dict.fromkeys(_PACKAGES[name] for name in missing))
        raise SystemExit(f"error: not installed: {', '.join(missing)}\n\nhint: apt-get install {packages}")
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def describe() -> dict[str, str]:
    """Return what is to be known about where figures come from."""
    cpu = next((line.partition(":")[2].strip() for line in _read("/proc/cpuinfo") if line.startswith("model name")), "")
    memory = int(next(line for line in _read("/proc/meminfo") if line.startswith("MemTotal")).split()[1])
    found = {
        "date": datetime.now(UTC).strftime("%d %B %Y, %H:%M UTC"),
        "cores": f"{len(os.sched_getaffinity(0))} of {cpu}",
        "memory": f"{memory / (1 << 20):.0f} GiB",
        "kernel": platform.release(),
        "revision": _said("git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"),
        "Python": f"{platform.python_version()}, {ssl.OPENSSL_VERSION}",
        **{name: version(name) for name in ("uvloop", "mitmproxy", "boto3", "moto")},
    }
    return found | {name: _said(*argv) for name, argv in _ASKED.items() if shutil.which(argv[0])}


def load_average() -> float:
    """Return how many programs wanted a core in the last minute, on average."""
    return os.getloadavg()[0]


def _read(path: str) -> list[str]:
    return Path(path).read_text(encoding="utf-8").splitlines()


def _said(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=20)
    lines = (done.stdout or done.stderr).splitlines()
    return lines[0].strip() if lines else ""


def tell(text: str) -> None:
    """Say how the run goes on."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
