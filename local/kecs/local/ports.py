"""Ports of this machine that a server wants: taken, or who has them. An edge."""

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from kecs.core.errors import MachineError, UsageError

_BACKLOG: Final = 4096
_LISTENING: Final = "0A"
"""The state in /proc/net/tcp (proc(5))."""
_PRIVILEGED: Final = 1024


def listen(host: str, port: int, *, flag: str, what: str) -> socket.socket:
    """Listen on an address; raise MachineError that names the flag which chooses another port, and who has this one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG, dualstack_ipv6=host == "::")
    except OSError as error:
        if (error.errno or 0) < 0:  # the resolver's numbers
            raise UsageError(f'--host is "{host}": it is no address of this machine', hint="e.g. 127.0.0.1") from error
        raise _unavailable(error, host, port, flag=flag, what=what) from error


def _unavailable(error: OSError, host: str, port: int, *, flag: str, what: str) -> MachineError:
    if error.errno == errno.EADDRINUSE:
        holder = next(holders(port), "")
        by = f" by {holder}" if holder else ""
        return MachineError(
            f"port {port}, which {what} wants, is taken{by}", hint=f"end that program, or choose another: {flag} PORT"
        )
    reason = os.strerror(error.errno or 0).lower()
    hint = f"ports below {_PRIVILEGED} are root's: {flag} PORT" if error.errno == errno.EACCES else f"{flag} PORT"
    return MachineError(f"{host}:{port}, which {what} wants, can't be listened on: {reason}", hint=hint)


def holders(port: int) -> Iterator[str]:
    """Yield the programs that listen on a TCP port, as far as we may see them: name and process id."""
    wanted = {f"socket:[{inode}]" for inode in _inodes(port)}
    if not wanted:
        return
    for directory in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if any(_link(one) in wanted for one in (directory / "fd").iterdir()):
                name = (directory / "comm").read_text(encoding="utf-8", errors="replace").strip()
                yield f"{name} (process {directory.name})"


def _inodes(port: int) -> Iterator[str]:
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            lines = Path("/proc/net", table).read_text(encoding="ascii").splitlines()[1:]
            for columns in map(str.split, lines):
                if columns[3] == _LISTENING and int(columns[1].rpartition(":")[2], 16) == port:
                    yield columns[9]


def _link(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:
        return ""
