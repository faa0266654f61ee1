"""A worker: the relay on sockets that its supervisor listens on, and nothing else.

It is told what it needs through a socket pair: a line of settings first, then a line for each new intermediate, then
when to end. It says how it stands and what it has counted, whenever that has changed. When the pair ends, so does it.
"""

import argparse
import asyncio
import contextlib
import json
import os
import socket
import sys
from typing import Any, Final

import uvloop

from kecs.calls.process import leave, prepare
from kecs.certs.leaf import Intermediate
from kecs.relay.decide import Connection, Give
from kecs.relay.original import from_redirect
from kecs.sidecar.config import SidecarConfig
from kecs.sidecar.service import Sidecar
from kecs.sidecar.shared_names import SharedNames

_SAY_S: Final = 0.5
ANYWAY_S: Final = 5.0
"""A worker that has nothing to say says so: its supervisor ends one that is silent."""
_ORPHAN_S: Final = 5.0
"""How long requests may take to finish when the supervisor is gone."""


class Supervisor:
    """Who has what workers have not: the second engine. Connections are given to it with nothing read."""

    secret = b""
    """Nothing comes back to a worker from there."""

    def __init__(self, descriptor: int) -> None:
        self._sock = socket.socket(fileno=descriptor)
        self._sock.setblocking(False)  # noqa: FBT003 - the library's signature

    def handover(self, connection: Connection) -> Give:  # noqa: ARG002 - the engine's signature
        """Say how a connection gets there."""
        return Give(take=self._give)

    def _give(self, sock: socket.socket) -> bool:
        try:
            socket.send_fds(self._sock, [b"c"], [sock.fileno()])
        except OSError:  # it does not take them for now
            return False
        sock.close()
        return True


class Worker:
    """See the module."""

    def __init__(self, control: socket.socket, settings: dict[str, Any]) -> None:
        self._loop = asyncio.get_running_loop()
        self._control = control
        self._ended = asyncio.Event()
        self._drain_s = _ORPHAN_S
        self._heard = bytearray()
        self._last = self._unsent = b""
        self._said = 0.0
        self.sidecar = Sidecar(
            SidecarConfig.from_mapping(settings["config"]),
            _intermediate(settings),
            log_fd=sys.stdout.fileno(),
            names=SharedNames(settings["names"]),
            engine=Supervisor(settings["giving"]),
        )
        for descriptor in settings["listeners"]:
            # one at a time: whoever takes all that wait leaves the other workers idle
            self.sidecar.serve_tcp(socket.socket(fileno=descriptor), from_redirect, accepts=1)
        self._loop.add_reader(control.fileno(), self._hear)
        self._loop.call_soon(self._say)

    async def run(self) -> None:
        """Serve until told to end."""
        await self._ended.wait()
        await self.sidecar.drain(self._drain_s)
        self._control.settimeout(_ORPHAN_S)
        self._say()
        self._say()  # the first may only have ended what was begun

    def _hear(self) -> None:
        try:
            data = self._control.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._loop.remove_reader(self._control.fileno())
            self._ended.set()
        self._heard += data
        while (end := self._heard.find(b"\n")) >= 0:
            told = json.loads(self._heard[:end])
            del self._heard[: end + 1]
            if "drain" in told:
                self._drain_s = told["drain"]
                self._ended.set()
            renewed = _intermediate(told)
            if renewed is not None:
                self.sidecar.renew(renewed)

    def _say(self) -> None:
        """Tell how it stands, if that has changed since or was told long ago, as soon as the supervisor takes it."""
        if not self._unsent:
            said = json.dumps(self.sidecar.report(), separators=(",", ":")).encode() + b"\n"
            now = self._loop.time()
            if said != self._last or now - self._said > ANYWAY_S:
                self._last = self._unsent = said
                self._said = now
        with contextlib.suppress(OSError):  # not now; or it is gone, which its end of the pair tells
            while self._unsent:
                self._unsent = self._unsent[self._control.send(self._unsent) :]
        self._loop.call_later(_SAY_S, self._say)


def _intermediate(told: dict[str, Any]) -> Intermediate | None:
    return Intermediate.from_pem(told["chain"].encode(), told["key"].encode()) if "chain" in told else None


async def _serve(control: socket.socket, settings: dict[str, Any]) -> None:
    prepare(asyncio.get_running_loop())
    await Worker(control, settings).run()


def main() -> int:
    """Run until told to end, or until nobody is there to tell."""
    parser = argparse.ArgumentParser(prog="python -m kecs.sidecar.worker_process", description=__doc__)
    parser.add_argument("--control-fd", type=int, required=True)
    control = socket.socket(fileno=parser.parse_args().control_fd)
    os.set_inheritable(control.fileno(), False)  # noqa: FBT003 - the library's signature
    line = control.makefile("rb", buffering=0).readline()
    if not line:
        return 0
    control.settimeout(0)
    uvloop.run(_serve(control, json.loads(line)))
    return 0


if __name__ == "__main__":
    leave(main())
