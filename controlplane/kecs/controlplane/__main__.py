"""`python -m kecs.controlplane`: the control plane as a process, told what to do by one variable or by its starter.

In a pod KECS_CONTROLPLANE_CONFIG holds the configuration as JSON. `kecs server` hands over listening sockets (--fd,
--admin-fd), the configuration (--config-fd), and a pipe whose end is the control plane's too (--control-fd).
"""

import argparse
import contextlib
import os
import socket
import sys
from collections.abc import Mapping
from typing import Any, Final

import uvloop

from kecs.calls.listening import listening
from kecs.calls.process import follow
from kecs.controlplane.clock import RealClock
from kecs.controlplane.config import ControlPlaneConfig
from kecs.controlplane.run import ControlPlane, Log, Sockets, complain, log_lines, opened, runtime, stopping
from kecs.core.errors import KecsError

VARIABLE: Final = "KECS_CONTROLPLANE_CONFIG"
_STDERR: Final = 2
_ROUTINE: Final = frozenset({"task_status", "warned"})
"""Events that nobody has to see who runs one command."""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m kecs.controlplane", description=__doc__)
    parser.add_argument("--no-admin", action="store_true", help="serve the API alone")
    parser.add_argument("--config-fd", type=int, help=f"holds the configuration; else {VARIABLE} does")
    parser.add_argument("--listen", metavar="HOST:PORT", default="*:8080", help="of the API (default: %(default)s)")
    parser.add_argument("--admin", metavar="HOST:PORT", default="*:8081", help="of the admin port (%(default)s)")
    parser.add_argument("--fd", type=int, help="a listening socket for the API")
    parser.add_argument("--admin-fd", type=int, help="a listening socket for the admin port")
    parser.add_argument("--log-fd", type=int, default=_STDERR, help="where events are written")
    parser.add_argument("--log-faults", action="store_true", help="write of events only what went wrong")
    parser.add_argument("--control-fd", type=int, help="its end of file is ours")
    parser.add_argument("--ready-fd", type=int, help="gets a line once calls are answered")
    return parser.parse_args()


def _config(descriptor: int | None) -> ControlPlaneConfig:
    if descriptor is not None:
        with os.fdopen(descriptor) as file:
            return ControlPlaneConfig.from_json(file.read())
    return ControlPlaneConfig.from_json(os.environ.get(VARIABLE) or "{}")


def _listener(descriptor: int | None, address: str) -> socket.socket:
    """Return the socket that was handed over, or listen on HOST:PORT."""
    if descriptor is not None:
        return socket.socket(fileno=descriptor)
    return listening(address, example="*:8080")


async def _serve(config: ControlPlaneConfig, options: argparse.Namespace, sockets: Sockets) -> None:
    async with stopping() as stop:
        if options.control_fd is not None:
            follow(options.control_fd, stop.set)
        with log_lines(options.log_fd) as lines, opened(config) as store:
            log = _log(options, lines)
            clock = RealClock()
            plane = ControlPlane(config, store, runtime(config, store, clock, log), log=log, clock=clock)
            await plane.serve(sockets, stop, lambda: _say_ready(options.ready_fd))


def _log(options: argparse.Namespace, log: Log) -> Log:
    if not options.log_faults:
        return log

    def faults(event: str, facts: Mapping[str, Any]) -> None:
        if event not in _ROUTINE:
            log(event, facts)

    return faults


def _say_ready(descriptor: int | None) -> None:
    if descriptor is not None:
        with contextlib.suppress(BrokenPipeError):
            os.write(descriptor, b'{"ready":true}\n')
        os.close(descriptor)


def main() -> None:
    """Serve until SIGTERM, SIGINT, or the end of the control pipe."""
    options = _arguments()
    try:
        config = _config(options.config_fd)
        admin = None if options.no_admin else _listener(options.admin_fd, options.admin)
        sockets = (_listener(options.fd, options.listen), admin)
        uvloop.run(_serve(config, options, sockets))
    except KecsError as error:
        complain(error.message, error.hint)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
