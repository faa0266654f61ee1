"""One worker as its supervisor sees it: the process, what it is told, what it says. An edge."""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from kecs.calls.counts import Counts

_LINE_MAX: Final = 1 << 22
_READ: Final = 65536


@dataclass(slots=True, kw_only=True)
class Report:
    """What a worker said last."""

    counts: Counts = field(default_factory=Counts)
    certificate: dict[str, Any] = field(default_factory=dict)
    able: str = "it has not said yet"
    """What keeps it from serving; empty when nothing does."""


class Member:
    """See the module. `ended` is called once, when the process is gone or of no more use."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        number: int,
        *,
        pass_fds: tuple[int, ...],
        put: Callable[[bytes], None],
        ended: Callable[["Member"], None],
    ) -> None:
        self.number = number
        self.report = Report()
        self.begun = self.heard = loop.time()
        self._loop = loop
        self._put = put
        self._ended = ended
        self._said = bytearray()
        self._line = bytearray()
        self._control, theirs = socket.socketpair()
        self._control.setblocking(False)  # noqa: FBT003 - the library's signature
        reading, writing = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(reading, False)
        self._log = reading
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "kecs.sidecar.worker_process", "--control-fd", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=writing,
                pass_fds=(theirs.fileno(), *pass_fds),
                start_new_session=True,  # signals are for the supervisor, which says when to end
            )
        except OSError:
            self._control.close()
            os.close(reading)
            raise
        finally:
            theirs.close()
            os.close(writing)
        loop.add_reader(self._control.fileno(), self._hear)
        loop.add_reader(self._log, self._take_log)

    def tell(self, facts: Mapping[str, Any]) -> None:
        """Say one thing; a worker that has not listened for that long is ended."""
        data = json.dumps(facts, separators=(",", ":")).encode() + b"\n"
        try:
            sent = self._control.send(data)
        except OSError:
            sent = 0
        if sent < len(data):
            self.kill()

    def kill(self) -> None:
        """End it at once."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()

    def close(self) -> None:
        """Take what it still says, and let go of it."""
        self.kill()
        self._finish()

    def _hear(self) -> None:
        try:
            data = self._control.recv(_READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._finish()
            self._ended(self)
            return
        self.heard = self._loop.time()
        self._said += data
        if len(self._said) > _LINE_MAX:
            self.kill()
        while (end := self._said.find(b"\n")) >= 0:
            told = json.loads(self._said[:end])
            del self._said[: end + 1]
            self.report = Report(
                counts=Counts.from_plain(told["counts"]), certificate=told["certificate"], able=told["able"]
            )

    def _take_log(self) -> bool:
        """Take whole lines; say whether there was something."""
        try:
            data = os.read(self._log, _READ)
        except BlockingIOError:
            return False
        if not data:
            self._loop.remove_reader(self._log)
            return False
        *lines, rest = (bytes(self._line) + data).split(b"\n")
        self._line = bytearray(rest)
        for line in lines:
            self._put(line + b"\n")
        return True

    def _finish(self) -> None:
        """Note the end: its log is read to the end, and no half line is passed on."""
        if self._log < 0:
            return
        self._loop.remove_reader(self._control.fileno())
        self._control.close()
        self.kill()  # it has closed its end, so it is ending or of no more use
        self.process.wait()
        while self._take_log():
            pass
        self._loop.remove_reader(self._log)
        os.close(self._log)
        self._log = -1
