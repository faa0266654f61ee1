r"""The command as P sees it: find it, forward signals to it, follow its stops, turn its end into an exit code.

The command is in P's process group, so the terminal's signals reach it directly: P ignores Ctrl-C and Ctrl-\, keeps
the default for Ctrl-Z (the shell must see it stop), and forwards what is sent to P alone.
"""

import errno
import os
import select
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Final

from kecs.core.errors import UsageError

_IGNORED: Final = (signal.SIGINT, signal.SIGQUIT)
_FORWARDED: Final = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


class CommandNotFound(UsageError):  # noqa: N818 - named for what it says
    """There is no such program; the shells' exit code for that."""

    exit_code = 127


class CommandNotExecutable(UsageError):  # noqa: N818 - named for what it says
    """The file is there but can't be executed; the shells' exit code for that."""

    exit_code = 126


def find_program(name: str, *, path: str | None, cwd: str) -> str:
    """Return the file to execute, as execvp would find it; raises CommandNotFound or CommandNotExecutable.

    execvp itself reports EACCES where PATH merely has a directory that can't be read, hence a look of our own.
    """
    if "/" in name:
        return _checked(name, Path(cwd) / name)
    found = shutil.which(name, path=os.defpath if path is None else path)
    if found is not None:
        return str(Path(cwd) / found)
    if os.path.isfile(Path(cwd) / name):  # noqa: PTH113 - an unreadable directory is no error here
        raise CommandNotFound(f"`{name}` is not on PATH", hint=f"the file in this directory is `./{name}`")
    raise CommandNotFound(f"`{name}` is not on PATH", hint="give the program's path, or set PATH before `kecs run`")


def _checked(name: str, file: Path) -> str:
    try:
        if file.is_dir():
            raise CommandNotExecutable(f"`{name}` is a directory", hint="give a program")
        file.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise CommandNotFound(f"`{name}` does not exist", hint="give the program's path") from None
    except PermissionError as error:
        raise not_executable(name, error) from None
    if not os.access(file, os.X_OK):
        raise not_executable(name, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))
    return name


def not_executable(name: str, error: OSError) -> CommandNotExecutable:
    """Return the error for a program that is there but that the kernel would not execute."""
    said = os.strerror(error.errno or errno.EACCES)
    hint = (
        f"`chmod +x {name}`" if error.errno == errno.EACCES else "is it built for this machine, its interpreter here?"
    )
    return CommandNotExecutable(f"`{name}` can't be executed: {said}", hint=hint)


@contextmanager
def held() -> Iterator[None]:
    """Keep back the signals that `forwarding` deals with, until it does: they are the command's as soon as it runs."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (*_IGNORED, *_FORWARDED))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def forwarding(pid: int) -> Iterator[None]:
    """Ignore the terminal's signals and forward others to the process, as long as this lasts. Main thread only.

    What P was started with as ignored (nohup) stays ignored.
    """

    def forward(number: int, _frame: FrameType | None) -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, number)

    before = {number: signal.getsignal(number) for number in (*_IGNORED, *_FORWARDED)}
    try:
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, signal.SIG_IGN if number in _IGNORED else forward)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, before)  # what came since the command was started: see `held`
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def wait(pid: int) -> int:
    """Wait for a child's end, forwarding signals and stopping when it stops; return its exit code."""
    with forwarding(pid):
        while True:
            _, status = os.waitpid(pid, os.WUNTRACED)
            if not os.WIFSTOPPED(status):
                return exit_code(status)
            _stop_with(pid)


def end(pid: int, grace_s: float = 2.0) -> None:
    """End a child that is not waited for in the ordinary way: SIGTERM, after the grace SIGKILL."""
    with suppress(ProcessLookupError, ChildProcessError):
        descriptor = os.pidfd_open(pid)
        try:
            for number, wait_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, None)):
                os.kill(pid, number)
                os.kill(pid, signal.SIGCONT)
                if select.select([descriptor], [], [], wait_s)[0]:
                    break
        finally:
            os.close(descriptor)
        os.waitpid(pid, 0)


def exit_code(status: int) -> int:
    """Return the code a shell would report: 128 + n for death by signal n."""
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def _stop_with(pid: int) -> None:
    """Stop as well, and later make the child go on, where its stop was not the terminal's to both.

    A child in our process group was stopped by Ctrl-Z as we were, or on its own by somebody who will continue it. One
    that made itself a group (an interactive shell told to `suspend`) would leave the terminal without an owner.
    """
    with suppress(ProcessLookupError):
        group = os.getpgid(pid)
        if group == os.getpgrp():
            return
        terminal = _terminal()
        if terminal is not None and os.tcgetpgrp(terminal) == group:
            _give(terminal, os.getpgrp())
        os.kill(os.getpid(), signal.SIGSTOP)
        if terminal is not None and os.tcgetpgrp(terminal) == os.getpgrp():
            _give(terminal, group)
        os.killpg(group, signal.SIGCONT)


def _terminal() -> int | None:
    return next((one for one in range(3) if os.isatty(one)), None)


def _give(terminal: int, group: int) -> None:
    """Make a process group the terminal's foreground: SIGTTOU would stop us if we are in the background."""
    before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    try:
        with suppress(OSError):
            os.tcsetpgrp(terminal, group)
    finally:
        signal.signal(signal.SIGTTOU, before)
