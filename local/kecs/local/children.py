"""The edge that starts and ends the processes of a run: emulator and sidecar.

Each child has a control pipe: when the writing end closes, with the run or with its sudden death, the child ends. The
sidecar is told of new certificates there.
Each says that it is ready with a line on another pipe. Both are in sessions of their own, so that Ctrl-C reaches
the command alone.
"""

import contextlib
import os
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from kecs.core.errors import MachineError

_STOP_S = 10.0
_TELL_S = 5.0
_LINE_MAX = 65536


@dataclass(slots=True, kw_only=True)
class Child:
    """A process of ours. `control` and `ready` are our ends of its pipes."""

    name: str
    process: subprocess.Popen[bytes]
    control: int
    ready: int

    def wait_ready(self, timeout_s: float) -> str:
        """Return the child's readiness line; raise MachineError when it ends or stays silent."""
        deadline = time.monotonic() + timeout_s
        received = b""
        while b"\n" not in received:
            readable, _, _ = select.select([self.ready], [], [], max(0.0, deadline - time.monotonic()))
            chunk = os.read(self.ready, _LINE_MAX) if readable else b""
            if not chunk:
                raise MachineError(self._failure(silent=not readable, timeout_s=timeout_s), hint=_FAILURE_HINT)
            received += chunk
        return received.split(b"\n", 1)[0].decode()

    def _failure(self, *, silent: bool, timeout_s: float) -> str:
        if silent:
            return f"the {self.name} was not ready within {timeout_s:.0f} s"
        return f"the {self.name} ended at start with code {self.process.wait(_STOP_S)}"

    def obituary(self) -> tuple[str, ...]:
        """Say that the child has ended by itself, if it has: nobody asked it to."""
        code = self.process.poll()
        if code is None:
            return ()
        how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        return (f"the {self.name} {how} during the run: AWS calls after that failed, and none went elsewhere",)

    def stop(self) -> None:
        """Ask the child to end, wait, and kill it if it does not."""
        self.process.terminate()
        self.close()
        try:
            self.process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def tell(self, text: str) -> None:
        """Write a line to the child's control pipe; raise MachineError when it does not read it in time."""
        left = text.encode() + b"\n"
        deadline = time.monotonic() + _TELL_S
        os.set_blocking(self.control, False)
        while left:
            _, writable, _ = select.select([], [self.control], [], max(0.0, deadline - time.monotonic()))
            if not writable:
                raise MachineError(f"the {self.name} has not read what it was told for {_TELL_S:.0f} s")
            try:
                left = left[os.write(self.control, left) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                raise MachineError(f"the {self.name} has ended") from None

    def close(self) -> None:
        """Close our ends of the pipes; may be called again."""
        for descriptor in (self.control, self.ready):
            with contextlib.suppress(OSError):
                os.close(descriptor)
        self.control = self.ready = -1  # their numbers may be others' by the next call


_FAILURE_HINT = "what it wrote stands above this line; `kecs run --backend URL` does without the embedded emulator"


def start(name: str, module: str, arguments: Sequence[str], descriptors: Sequence[int]) -> Child:
    """Start `python -m module arguments` with these inherited descriptors, and the two pipes."""
    control_read, control_write = os.pipe()
    ready_read, ready_write = os.pipe()
    argv = [sys.executable, "-m", module, *arguments]
    argv += ["--control-fd", str(control_read), "--ready-fd", str(ready_write)]
    process = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=2,  # whatever it says is no output of the command
        pass_fds=(control_read, ready_write, *descriptors),
        start_new_session=True,
    )
    os.close(control_read)
    os.close(ready_write)
    return Child(name=name, process=process, control=control_write, ready=ready_read)
