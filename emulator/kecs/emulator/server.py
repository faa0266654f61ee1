"""The edge: serves the application on an inherited socket until told to stop or its parent is gone."""

import contextlib
import ctypes
import os
import signal
import socket
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Final

import uvicorn

from kecs.emulator.app import App
from kecs.emulator.callers import mend_iam, mend_sts
from kecs.emulator.patches import mend_sqs

_PR_SET_PDEATHSIG: Final = 1
_KEEP_ALIVE_S: Final = 600


class _Server(uvicorn.Server):
    """Says that it is ready, once it is, to whoever holds the other end of a file descriptor."""

    def __init__(self, config: uvicorn.Config, ready_fd: int | None) -> None:
        super().__init__(config)
        self._ready_fd = ready_fd

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to `serve`: waiting for calls that nobody needs any more would hold up the caller's end."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._ready_fd is not None:
            os.write(self._ready_fd, b"ready\n")
            os.close(self._ready_fd)


def die_with_parent(control_fd: int | None) -> None:
    """End this process when its parent does: at the control descriptor's end of file, else by the kernel's signal.

    The kernel's signal comes when the *thread* that started us ends, which is why the descriptor is the better way.
    """
    if control_fd is None:
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        return
    threading.Thread(target=_wait_for_end, args=(control_fd,), name="control", daemon=True).start()


def _wait_for_end(control_fd: int) -> None:
    while os.read(control_fd, 1):
        pass
    os._exit(0)


def _leave(_signal: int, _frame: FrameType | None) -> None:
    """End at once: threads may be inside long polls, and all state is in memory."""
    os._exit(0)


def serve(listener: socket.socket, ready_fd: int | None) -> None:
    """Serve HTTP/1.1 until SIGTERM or SIGINT."""
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGINT, _leave)
    mend_sqs()
    mend_iam()
    mend_sts()
    config = uvicorn.Config(
        App(),
        http="httptools",
        loop="uvloop",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
    )
    _Server(config, ready_fd).run(sockets=[listener])
