"""The second engine's supervisor: mitmproxy in a process of its own, for as long as somebody needs it.

Clients are joined to `front`, which is bound here before anything listens, and stays when the process ends: whoever
comes while it starts, or in the moment in which it stops for having nothing to do, waits in its backlog. While no
process runs, the backlog is watched here. Whatever the engine makes of requests comes back to `way_back`, a listener
of the relay, and is decided upon there like any other request. The engine gets no other address.
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
from kecs.relay.decide import Address, Connection, Handover
from kecs.sidecar import engine_origin
from kecs.sidecar.config import EngineMode, SidecarConfig
from kecs.sidecar.engine_backoff import Backoff
from kecs.sidecar.engine_settings import EngineSettings

_LOOPBACK: Final = "127.0.0.1"
_BACKLOG: Final = 1024
_LINE_MAX: Final = 65536
_GRACE_S: Final = 2.0

type Note = Callable[[str, Mapping[str, Any]], None]


def _listener() -> socket.socket:
    sock = socket.create_server((_LOOPBACK, 0), backlog=_BACKLOG)
    sock.settimeout(0)
    return sock


class Engine:
    """See the module. `note` is told what happens: `engine_started`, `engine_stopped`, `engine_failed`, `inspect`."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        intermediate: Intermediate | None,
        *,
        config: SidecarConfig,
        note: Note,
    ) -> None:
        self.secret = secrets.token_hex(24).encode()
        self.way_back = _listener()
        self.counters = {"starts": 0, "failures": 0, "idle_stops": 0}
        self._loop = loop
        self._intermediate = intermediate
        self._config = config
        self._note = note
        self._front: socket.socket | None = None
        self._watching = False
        self._process: subprocess.Popen[bytes] | None = None
        self._said = b""
        self._begun = 0.0
        self._ready = 0.0
        self._backoff = Backoff()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def pid(self) -> int:
        """Return the process' id; 0 when none runs."""
        return self._process.pid if self._process is not None else 0

    def handover(self, connection: Connection) -> Handover | None:
        """Say how a connection gets to the engine, starting it where it does not run; None when it can't be had."""
        address = self.wanted()
        if address is None:
            return None
        origin = engine_origin.Origin(client=connection.client, destination=connection.destination)
        return Handover(address=address, first=engine_origin.spell(origin, self.secret))

    def wanted(self) -> Address | None:
        """Return where the engine listens, starting it where it does not run yet; None when it can't be had."""
        if self._process is None and not self._come():
            return None
        return None if self._front is None else Address(*self._front.getsockname()[:2])

    def renew(self, intermediate: Intermediate) -> None:
        """Have leaves signed by a new intermediate from now on."""
        self._intermediate = intermediate
        self._tell(self._material(intermediate))

    def leave(self) -> None:
        """Have clients of the engine end their connections in order."""
        self._tell({"leave": True})

    def close(self) -> None:
        """End the process and its sockets."""
        self._closed = True
        self._wait_no_more()
        self._shut()
        self.way_back.close()
        process = self._forget()
        if process is not None:
            process.terminate()
            try:
                process.wait(_GRACE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    # starting

    def _come(self) -> bool:
        """Start the process, or have it started soon; say whether there is something to wait for."""
        if self._closed or self._intermediate is None or self._backoff.refuses(self._loop.time()):
            return False
        return self._timer is not None or self._start(self._intermediate)

    def _start(self, intermediate: Intermediate) -> bool:
        self._wait_no_more()
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
            self._failed(f"could not be started: {error}", served_s=-1.0)
            return False
        self._begun, self._ready = self._loop.time(), 0.0
        self._said = b""
        self.counters["starts"] += 1
        output = self._process.stdout
        if output is not None:
            os.set_blocking(output.fileno(), False)
            self._loop.add_reader(output.fileno(), self._hear, output)
        self._send(self._settings(front, intermediate).to_line())
        return True

    def _settings(self, front: int, intermediate: Intermediate) -> EngineSettings:
        config = self._config
        watched = config.engine in {EngineMode.INSPECT, EngineMode.WATCH}
        return EngineSettings(
            front=front,
            way_back=self.way_back.getsockname()[1],
            secret=self.secret.decode(),
            idle_s=0.0 if watched else config.engine_idle_s,  # what somebody looks at stays
            inspect=config.engine is EngineMode.INSPECT,
            page_port=config.page_port,
            record=config.record,
            addons=config.addons,
            unredacted=config.unredacted,
            patterns=config.engine_hosts,
            **self._material(intermediate),
        )

    @staticmethod
    def _material(intermediate: Intermediate) -> dict[str, str]:
        chain, key = intermediate.to_pem()
        return {"chain": chain.decode(), "key": key.decode()}

    def _tell(self, facts: Mapping[str, Any]) -> None:
        self._send(json.dumps(facts).encode() + b"\n")

    def _send(self, line: bytes) -> None:
        process = self._process
        if process is None or process.stdin is None:
            return
        descriptor = process.stdin.fileno()
        os.set_blocking(descriptor, False)
        try:
            taken = os.write(descriptor, line)
        except BlockingIOError:
            taken = 0
        except OSError:
            return  # it has ended, which its output tells
        if taken < len(line):
            process.kill()  # it stands still: many lines wait for it, and the others' connections must not

    # hearing

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
            if event == "ready":
                self._ready = self._loop.time()
                facts = {"duration_ms": round((self._ready - self._begun) * 1000)}
                event = "engine_started"
            self._note(event, facts)

    def _ended(self) -> None:
        process = self._forget()
        if process is None:
            return
        process.kill()  # it has closed its output, so it is ending or of no more use
        code = process.wait()
        if code == 0:
            self.counters["idle_stops"] += 1
            self._note("engine_stopped", {"reason": "idle"})
            self._watch()
        else:
            self._failed(f"ended with {code}", served_s=self._loop.time() - self._ready if self._ready else -1.0)

    # waiting

    def _failed(self, why: str, *, served_s: float) -> None:
        now = self._loop.time()
        wait_s = self._backoff.failed(now, served_s=served_s)
        self.counters["failures"] += 1
        self._note("engine_failed", {"reason": why, "attempt": self._backoff.failures, "retry_s": round(wait_s, 3)})
        if self._backoff.refuses(now):
            self._shut()  # who waits there is reset; who comes is served HTTP/1.1 by the relay
        elif not self._closed:
            self._timer = self._loop.call_later(wait_s, self._watch)

    def _watch(self) -> None:
        """Start again when somebody waits: at once when somebody does already."""
        self._timer = None
        if self._front is not None and not self._watching and not self._closed and self._process is None:
            self._watching = True
            self._loop.add_reader(self._front.fileno(), self._awaited)

    def _awaited(self) -> None:
        self._wait_no_more()
        if self._process is None:
            self._come()

    def _wait_no_more(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._watching and self._front is not None:
            self._loop.remove_reader(self._front.fileno())
        self._watching = False

    def _shut(self) -> None:
        self._wait_no_more()
        if self._front is not None:
            self._front.close()
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
