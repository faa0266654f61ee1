"""The second engine's supervisor: mitmproxy in a process of its own, started on first need.

Clients connect to `front`, which is bound here before anything listens: while the engine starts, they wait in its
backlog. Whatever the engine makes of their requests comes back to `way_back`, a listener of the relay, and is decided
upon there like any other request. The engine gets no other address.
"""

import asyncio
import json
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import IO, Any, Final

from kecs.certs.leaf import Intermediate
from kecs.relay.decide import Address

_LOOPBACK: Final = "127.0.0.1"
_BACKLOG: Final = 256
_ATTEMPTS: Final = 3
_SETTLED_S: Final = 10.0
"""An engine that lived this long did not fail to start."""
_LINE_MAX: Final = 65536
_GRACE_S: Final = 2.0

type Note = Callable[[str, Mapping[str, Any]], None]


def _listener() -> socket.socket:
    sock = socket.create_server((_LOOPBACK, 0), backlog=_BACKLOG)
    sock.settimeout(0)
    return sock


class Engine:
    """See the module. `note` is told of events: `inspect` with its URL, `engine_failed`."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, intermediate: Intermediate | None, *, inspect: bool, note: Note
    ) -> None:
        self.secret = secrets.token_hex(24).encode()
        self.way_back = _listener()
        self._loop = loop
        self._intermediate = intermediate
        self._inspect = inspect
        self._note = note
        self._front: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._said = b""
        self._started = 0.0
        self._failures = 0
        self._closed = False

    @property
    def pid(self) -> int:
        """Return the process' id; 0 when none runs."""
        return self._process.pid if self._process is not None else 0

    def wanted(self) -> Address | None:
        """Return where the engine listens, starting it where it does not run yet; None when it can't be had."""
        if self._process is None and not self._start():
            return None
        return None if self._front is None else Address(*self._front.getsockname()[:2])

    def renew(self, intermediate: Intermediate) -> None:
        """Have leaves signed by a new intermediate from now on."""
        self._intermediate = intermediate
        self._tell(self._material(intermediate))

    def close(self) -> None:
        """End the process and its sockets."""
        self._closed = True
        if self._front is not None:
            self._front.close()
            self._front = None
        self.way_back.close()
        process = self._forget()
        if process is not None:
            process.terminate()
            try:
                process.wait(_GRACE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    @staticmethod
    def _material(intermediate: Intermediate) -> dict[str, str]:
        chain, key = intermediate.to_pem()
        return {"chain": chain.decode(), "key": key.decode()}

    def _start(self) -> bool:
        intermediate = self._intermediate
        if self._closed or intermediate is None or self._failures >= _ATTEMPTS:
            return False
        if self._front is None:
            self._front = _listener()
        front = self._front.fileno()
        try:
            # Keys go through its standard input, and stay in memory; the end of that pipe is the end of the engine.
            self._process = subprocess.Popen(
                [sys.executable, "-m", "kecs.sidecar.engine_process"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pass_fds=(front,),
                env={key: value for key, value in os.environ.items() if not key.startswith("AWS_")},
                start_new_session=True,  # the terminal's Ctrl-C is for the command; the sidecar says when to end
            )
        except OSError as error:
            self._failed(f"could not be started: {error}")
            return False
        self._started = self._loop.time()
        self._said = b""
        output = self._process.stdout
        if output is not None:
            os.set_blocking(output.fileno(), False)
            self._loop.add_reader(output.fileno(), self._hear, output)
        settings = {
            "front": front,
            "way_back": self.way_back.getsockname()[1],
            "secret": self.secret.decode(),
            "inspect": self._inspect,
        }
        self._tell(settings | self._material(intermediate))
        return True

    def _tell(self, facts: Mapping[str, Any]) -> None:
        pipe = self._process.stdin if self._process is not None else None
        if pipe is None:
            return
        try:
            pipe.write(json.dumps(facts).encode() + b"\n")
            pipe.flush()
        except OSError:
            return  # it has ended, which its output tells

    def _hear(self, output: IO[bytes]) -> None:
        """Take what the engine says: one JSON object per line."""
        try:
            data = os.read(output.fileno(), _LINE_MAX)
        except BlockingIOError:
            return
        if not data:
            self._ended()
            return
        *lines, self._said = (self._said + data)[-_LINE_MAX:].split(b"\n")
        for line in lines:
            try:
                facts = json.loads(line)
                event = facts.pop("event")
            except (ValueError, KeyError, AttributeError, TypeError):
                continue  # something else that mitmproxy printed
            self._note(event, facts)

    def _ended(self) -> None:
        process = self._forget()
        if process is None:
            return
        process.kill()  # it has closed its output, so it is ending or of no more use
        code = process.wait()
        if self._loop.time() - self._started > _SETTLED_S:
            self._failures = 0
        self._failed(f"ended with {code}")
        self._start()  # connections wait in the backlog

    def _failed(self, why: str) -> None:
        self._failures += 1
        self._note("engine_failed", {"reason": why, "attempt": self._failures})
        if self._failures >= _ATTEMPTS and self._front is not None:
            self._front.close()  # who waits there is reset; who comes is served HTTP/1.1 by the relay
            self._front = None

    def _forget(self) -> subprocess.Popen[bytes] | None:
        process, self._process = self._process, None
        if process is not None:
            for pipe in (process.stdin, process.stdout):
                if pipe is None:
                    continue
                if pipe is process.stdout:
                    self._loop.remove_reader(pipe.fileno())
                try:
                    pipe.close()
                except OSError:
                    continue  # what it did not take can't be flushed
        return process
