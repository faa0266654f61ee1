"""Why no namespace could be made, and what to do about it: a refused step, its errno and facts in, an error out.

Pure but for `Facts.read`.
"""

import errno
import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, Self

from kecs.core.errors import MachineError

_SUDO: Final = 'run it as root: `sudo env "PATH=$PATH" kecs run …`'
_GRANT: Final = (
    "start the container with `--cap-add SYS_ADMIN --cap-add NET_ADMIN --security-opt seccomp=unconfined "
    "--security-opt apparmor=unconfined`, or with `--privileged`"
)


class Step(StrEnum):
    """What was being done."""

    UNSHARE = "unshare"
    MAPS = "user and group maps"
    LINKS = "addresses and routes"
    RULES = "redirect rules"
    SOCKETS = "sockets"
    MOUNTS = "mounts"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What of the machine explains a refusal. None: this kernel has no such setting."""

    user_namespace: bool = True
    """Whether a user namespace was asked for, because the user is not root or root lacks capabilities."""
    unprivileged_userns_clone: int | None = None
    apparmor_restrict: int | None = None
    max_user_namespaces: int | None = None
    max_net_namespaces: int | None = None
    max_mnt_namespaces: int | None = None
    root: bool = False
    seccomp: bool = False
    container: bool = False

    @classmethod
    def read(cls, *, user_namespace: bool, root: bool) -> Self:
        """Read them from /proc."""
        status = _text("/proc/self/status")
        return cls(
            user_namespace=user_namespace,
            unprivileged_userns_clone=_number("/proc/sys/kernel/unprivileged_userns_clone"),
            apparmor_restrict=_number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
            max_user_namespaces=_number("/proc/sys/user/max_user_namespaces"),
            max_net_namespaces=_number("/proc/sys/user/max_net_namespaces"),
            max_mnt_namespaces=_number("/proc/sys/user/max_mnt_namespaces"),
            root=root,
            seccomp="\nSeccomp:\t2" in status,
            container=any(Path(mark).exists() for mark in ("/.dockerenv", "/run/.containerenv")),
        )


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _number(path: str) -> int | None:
    text = _text(path).strip()
    return int(text) if text.isdecimal() else None


_FORBIDDEN: Final = frozenset({errno.EPERM, errno.EACCES})


def explain(step: Step, number: int, facts: Facts) -> MachineError:
    """Return the error for a step that the kernel refused."""
    said = f"{step}: {os.strerror(number)}"
    if facts.user_namespace and number in _FORBIDDEN and facts.apparmor_restrict:
        return _apparmor(said)
    if facts.root and facts.user_namespace and step is Step.MAPS:
        # since Linux 5.12 nobody maps the outer root without CAP_SETFCAP
        return MachineError(
            f"this root has neither the capabilities to make a network namespace nor CAP_SETFCAP ({said})", hint=_GRANT
        )
    if step is Step.UNSHARE:
        return _unshare(number, said, facts)
    if number in _FORBIDDEN and (facts.seccomp or facts.container):
        return _in_container(said)
    return MachineError(f"the network namespace can't be set up ({said})", hint=_SUDO if facts.user_namespace else "")


def _apparmor(said: str) -> MachineError:
    # Ubuntu ≥ 23.10: unshare itself succeeds, but without capabilities; a later step then fails
    return MachineError(
        f"AppArmor keeps users from setting up namespaces: kernel.apparmor_restrict_unprivileged_userns is 1 ({said})",
        hint="`sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0` allows it until the next boot; "
        f"or {_SUDO}; or give the python that runs kecs an AppArmor profile with `userns,`",
    )


def _unshare(number: int, said: str, facts: Facts) -> MachineError:
    if number == errno.ENOSPC:
        return _exhausted(said, facts)
    if number in _FORBIDDEN and facts.unprivileged_userns_clone == 0:
        return MachineError(
            f"this kernel keeps users from making namespaces: kernel.unprivileged_userns_clone is 0 ({said})",
            hint=f"`sudo sysctl -w kernel.unprivileged_userns_clone=1` allows it until the next boot; or {_SUDO}",
        )
    if number in _FORBIDDEN and (facts.seccomp or facts.container):
        return _in_container(said)
    if number in _FORBIDDEN:
        return MachineError(
            f"no namespace may be made here ({said})",
            hint=f"in a chroot this is never allowed; a security module may forbid it; else {_SUDO}",
        )
    if number in {errno.EINVAL, errno.ENOSYS}:
        return MachineError(
            f"this kernel has no network or user namespaces ({said})",
            hint=f"it needs CONFIG_NET_NS and CONFIG_USER_NS; without the latter {_SUDO}",
        )
    return MachineError(f"no namespace could be made ({said})", hint=_SUDO if facts.user_namespace else "")


def _exhausted(said: str, facts: Facts) -> MachineError:
    limits = {
        "user.max_user_namespaces": facts.max_user_namespaces,
        "user.max_net_namespaces": facts.max_net_namespaces,
        "user.max_mnt_namespaces": facts.max_mnt_namespaces,
    }
    name = min(
        (key for key, value in limits.items() if value is not None), key=lambda key: limits[key] or 0, default=""
    )
    if not name:
        return MachineError(f"no more namespaces may be made ({said})", hint="end other containers or sandboxes")
    return MachineError(
        f"no more namespaces may be made: {name} is {limits[name]} ({said})",
        hint=f"`sudo sysctl -w {name}=15000` allows more until the next boot",
    )


def _in_container(said: str) -> MachineError:
    return MachineError(
        f"this container may not make network namespaces ({said})",
        hint=_GRANT,
    )
