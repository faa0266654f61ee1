"""Name resolution inside: the resolv.conf of the namespace, and the host's daemons that would answer past it."""

from pathlib import Path
from typing import Final

from kecs.local import syscalls

_RESOLV_CONF: Final = Path("/etc/resolv.conf")
_DAEMONS: Final = (Path("/run/systemd/resolve/io.systemd.Resolve"), Path("/run/nscd/socket"))
"""Sockets with a path reach the host's daemons: nss-resolve and nscd would ask the host's resolver. Refused there, the
C library goes on to DNS."""


def resolv_conf(host: str, nameserver: str) -> str:
    """Return the text for inside: our name server, the host's search list and ndots."""
    kept = [line.strip() for line in host.splitlines() if line.split()[:1] in (["search"], ["domain"])]
    options = [word for line in host.splitlines() if line.split()[:1] == ["options"] for word in line.split()[1:]]
    ndots = [word for word in options if word.startswith("ndots:")]
    return "\n".join([f"nameserver {nameserver}", *kept, " ".join(["options", "edns0", *ndots]), ""])


def install(directory: Path, nameserver: str) -> None:
    """Bind our file and /dev/null in the mount namespace of this process, as far as the machine allows.

    The bind's source stays in `directory` while the run lasts: over a source that was unlinked nothing can be bound,
    so a nested run would fail.
    """
    target = _RESOLV_CONF.resolve()
    if target.is_file():
        source = directory / "resolv.conf"
        host = target.read_text(encoding="utf-8", errors="surrogateescape")
        source.write_text(resolv_conf(host, nameserver), encoding="utf-8", errors="surrogateescape")
        source.chmod(0o644)
        syscalls.mount(str(source), str(target), syscalls.MS_BIND)
    for daemon in _DAEMONS:
        if daemon.is_socket():
            syscalls.mount("/dev/null", str(daemon), syscalls.MS_BIND)
