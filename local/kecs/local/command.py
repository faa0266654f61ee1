"""The command's process: wait for the word to start, join the namespaces, become the command. A child of P.

It is forked before P has threads and waits: so P may have threads by the time it starts, and the user namespace can
be joined (the kernel allows that to single-threaded processes only).
"""

import errno
import os
import signal
import socket
from collections.abc import Iterable, Sequence
from typing import Final, NoReturn

from kecs.local import channel, syscalls

_PYTHONS_OWN: Final = frozenset({signal.SIGPIPE, signal.SIGXFSZ})
"""Ignored by every Python process, whatever it was started with."""


def ignored() -> frozenset[signal.Signals]:
    """Return the signals that this process was started with as ignored (nohup, background jobs of `sh`)."""
    numbers = {signal.Signals(number) for number in signal.valid_signals() if number < signal.SIGRTMIN}
    return frozenset(one for one in numbers if signal.getsignal(one) is signal.SIG_IGN) - _PYTHONS_OWN


def run(control: socket.socket, joins: Sequence[int], parent: int, keep_ignored: frozenset[signal.Signals]) -> NoReturn:
    """Be the command's process, from the fork to exec or the end."""
    _reset_signals(keep_ignored)
    try:
        order = channel.receive(control)
        if order is None:
            os._exit(1)
        said = order[0]
        for descriptor in joins:
            os.setns(descriptor)
        os.chdir(said["cwd"])  # joining a mount namespace leaves us at its root
        syscalls.die_with_parent(parent)  # after joining: a change of credentials forgets it
        _execute(said["program"], said["argv"], said["env"])
    except OSError as error:
        channel.send(control, {"errno": error.errno or errno.EIO, "what": str(error.filename or "")})
    os._exit(126)


def _execute(program: str, argv: list[str], env: dict[str, str]) -> None:
    try:
        os.execve(program, argv, env)  # noqa: S606 - no shell is wanted
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            raise
        # a script without its first line: what every shell and env(1) do
        os.execve("/bin/sh", ["/bin/sh", program, *argv[1:]], env)  # noqa: S606 - the same


def _reset_signals(keep_ignored: Iterable[signal.Signals]) -> None:
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        wanted = signal.SIG_IGN if number in keep_ignored else signal.SIG_DFL
        if signal.getsignal(number) != wanted and signal.getsignal(number) is not None:
            signal.signal(number, wanted)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
