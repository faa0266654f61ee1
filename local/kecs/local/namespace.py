"""The namespace of a run, as P holds it: made by a keeper, joined by the command, gone when both are."""

import os
import signal
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Final, Self

from kecs.core.errors import MachineError
from kecs.local import channel, command, counters, processes
from kecs.local.shape import Options
from kecs.local.sockets import Sockets

_READY_TIMEOUT_S: Final = 90.0

__all__ = ["Making", "Namespace", "Options", "begin", "create"]


class Namespace:
    """A network namespace with a keeper in it and a command that has not started yet."""

    def __init__(
        self, *, sockets: Sockets, keeper_pid: int, control: socket.socket, pid: int, order: socket.socket
    ) -> None:
        self.sockets = sockets
        """What the sidecar inherits; `close()` them here once it has."""
        self.pid = pid
        """The command's process."""
        self._keeper_pid = keeper_pid
        self._control = control
        self._order = order
        self._waited = False

    def start(self, argv: Sequence[str], *, env: Mapping[str, str], cwd: str | None = None) -> int:
        """Start the command; return its pid. Raises CommandNotFound or CommandNotExecutable; call it once."""
        directory = os.getcwd() if cwd is None else cwd  # noqa: PTH109 - a str, for the message
        program = processes.find_program(argv[0], path=env.get("PATH"), cwd=directory)
        order = {"program": program, "argv": list(argv), "env": dict(env), "cwd": directory}
        try:
            channel.send(self._order, order)
            refusal = channel.receive(self._order)  # exec closes its end without a word
        except OSError as error:
            _, status = os.waitpid(self.pid, 0)
            self._waited = True
            code = processes.exit_code(status)
            raise MachineError(f"the process for `{argv[0]}` ended early with code {code}: {error}") from error
        self._order.close()
        if refusal is not None:
            raise processes.not_executable(program, OSError(refusal[0]["errno"], os.strerror(refusal[0]["errno"])))
        return self.pid

    def wait(self) -> int:
        """Wait for the command's end, forwarding signals and following job control; return its exit code."""
        code = processes.wait(self.pid)
        self._waited = True
        return code

    def notes(self) -> tuple[str, ...]:
        """Return sentences about what did not work inside, for the end of the run."""
        try:
            channel.send(self._control, {"ask": "counters"})
            answer = channel.receive(self._control)
        except (OSError, EOFError):
            return ()
        return () if answer is None else counters.notes(answer[0].get("snmp", ""), answer[0].get("snmp6", ""))

    def close(self) -> None:
        """End what still runs inside, then the keeper. Returns when both have ended; may be called again."""
        self._order.close()
        self._control.close()
        self.sockets.close()
        if not self._waited:
            processes.end(self.pid)
            self._waited = True
        with suppress(ChildProcessError):
            os.waitpid(self._keeper_pid, 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Making:
    """A namespace that a keeper is making meanwhile."""

    def __init__(self, *, keeper_pid: int, control: socket.socket) -> None:
        self._keeper_pid = keeper_pid
        self._control = control

    def ready(self) -> Namespace:
        """Wait until it is made; call it in the main thread, before any other thread exists. Raises MachineError."""
        try:
            joins, sockets = _made(self._control)
        except BaseException:
            self.abandon()
            raise
        order, pid = _fork_command(joins)
        return Namespace(sockets=sockets, keeper_pid=self._keeper_pid, control=self._control, pid=pid, order=order)

    def abandon(self) -> None:
        """End the keeper instead."""
        self._control.close()
        os.waitpid(self._keeper_pid, 0)


def begin(options: Options) -> Making:
    """Let a keeper make the namespace; call it in the main thread, before any other thread exists.

    The keeper needs most of its time to import pyroute2 (0.3 s), which P itself never needs: P has other things to do.
    """
    control, control_inside = socket.socketpair()
    helper, helper_inside = socket.socketpair()
    with control_inside, helper_inside, helper, _signals_held():
        keeper_pid = os.fork()
        if keeper_pid == 0:
            try:
                control.close()  # or its end would never be seen
                from kecs.local import keeper  # noqa: PLC0415 - see above

                keeper.run(options, control_inside, helper_inside, helper)
            finally:
                os._exit(1)  # whatever happens, a copy of P must not go on in P's code
    return Making(keeper_pid=keeper_pid, control=control)


def create(options: Options) -> Namespace:
    """Make the namespace; call it in the main thread, before any other thread exists. Raises MachineError."""
    return begin(options).ready()


@contextmanager
def _signals_held() -> Iterator[None]:
    """Keep Ctrl-C for after a fork: an exception that a handler raises inside Python's fork hooks is swallowed."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _made(control: socket.socket) -> tuple[list[int], Sockets]:
    control.settimeout(_READY_TIMEOUT_S)
    try:
        report = channel.receive(control)
    except TimeoutError:
        raise MachineError(f"the namespace was not made within {_READY_TIMEOUT_S:.0f} s", hint="try again") from None
    control.settimeout(None)
    if report is None:
        raise MachineError("the process that makes the namespace ended without a word", hint="was it killed?")
    said, descriptors = report
    if "error" in said:
        raise MachineError(said["error"], hint=said["hint"])
    joins = said["joins"]
    sockets = Sockets.build(descriptors[joins:], listeners=said["listeners"], dns=said["dns"], method=said["method"])
    return descriptors[:joins], sockets


def _fork_command(joins: Sequence[int]) -> tuple[socket.socket, int]:
    order, order_inside = socket.socketpair()
    parent, ignored = os.getpid(), command.ignored()
    with order_inside, _signals_held():
        pid = os.fork()
        if pid == 0:
            try:
                order.close()
                command.run(order_inside, joins, parent, ignored)
            finally:
                os._exit(1)  # as above
    for descriptor in joins:
        os.close(descriptor)
    return order, pid
