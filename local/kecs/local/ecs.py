"""ECS in a run: a control plane that is started by the first call for it, and not at all without one. An edge.

It costs a third of a second of CPU to start, which most commands have no use for. Its socket listens from the
beginning, so that the first call waits in the backlog and is answered like all others.
"""

import os
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from kecs.controlplane.config import ControlPlaneConfig
from kecs.emulator.backend import Backend
from kecs.local import children

if TYPE_CHECKING:
    from kecs.local.children import Child

_BACKLOG: Final = 1024
_DRAIN_S: Final = 1.0


class OnDemand:
    """A listening socket, and who will serve it."""

    def __init__(self, config: ControlPlaneConfig, listener: socket.socket) -> None:
        self.child: Child | None = None
        """None until somebody has called."""
        self._config = config
        self._listener = listener
        self._woken, self._wakes = os.pipe()
        self._thread = threading.Thread(target=self._wait, name="ecs", daemon=True)

    @property
    def address(self) -> Backend:
        """Where it answers."""
        host, port = self._listener.getsockname()
        return Backend(scheme="http", host=host, port=port)

    def start(self) -> None:
        """Begin to wait for the first call. Call it once no process is made by namespaces any more."""
        self._thread.start()

    def _wait(self) -> None:
        woken = self._woken
        readable, _, _ = select.select([self._listener.fileno(), woken], [], [])
        if woken in readable:
            return
        told = os.memfd_create("told")
        try:
            os.write(told, self._config.to_json().encode())
            os.lseek(told, 0, os.SEEK_SET)
            passed = [self._listener.fileno(), told]
            words = ["--fd", str(passed[0]), "--no-admin", "--log-faults", "--config-fd", str(told)]
            self.child = children.start("control plane", "kecs.controlplane", words, passed)
        finally:
            os.close(told)

    def obituary(self) -> tuple[str, ...]:
        """Say that it has ended by itself, if it was there and has."""
        return self.child.obituary() if self.child is not None else ()

    def stop(self) -> None:
        """End it, or the waiting for a call."""
        os.write(self._wakes, b"x")
        if self._thread.ident is not None:
            self._thread.join()
        if self.child is not None:
            self.child.stop()
        for descriptor in (self._woken, self._wakes):
            os.close(descriptor)


@contextmanager
def on_demand(emulator: Backend, *, region: str, account: str, accounts: tuple[str, ...]) -> Iterator[OnDemand]:
    """Have ECS answered until the end of the block. What is made is forgotten then."""
    config = ControlPlaneConfig(
        region=region, account=account, accounts=accounts, emulator=str(emulator), drain_timeout_s=_DRAIN_S
    )
    with socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG) as listener:
        found = OnDemand(config, listener)
        try:
            yield found
        finally:
            found.stop()
