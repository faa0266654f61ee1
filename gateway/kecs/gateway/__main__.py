"""`python -m kecs.gateway`: the gateway as a process, told what to do by one variable or by its starter's descriptors.

In a pod KECS_GATEWAY_CONFIG holds the configuration as JSON, and the port is the one of --listen. `kecs server` hands
over listening sockets (--fd), a pipe for the log (--log-fd) and one whose end is the gateway's too (--control-fd).
"""

import argparse
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Final

from kecs.calls.listening import listening
from kecs.calls.process import follow, leave, run
from kecs.core.errors import ConfigError, KecsError
from kecs.gateway.config import GatewayConfig
from kecs.gateway.service import Gateway
from kecs.gateway.tls import LocalAuthority

VARIABLE: Final = "KECS_GATEWAY_CONFIG"
_STDOUT: Final = 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m kecs.gateway", description=__doc__)
    parser.add_argument("--config-fd", type=int, help=f"holds the configuration; else {VARIABLE} does")
    parser.add_argument("--listen", metavar="HOST:PORT", action="append", default=[], help="* for all addresses")
    parser.add_argument("--fd", type=int, action="append", default=[], help="a listening TCP socket")
    parser.add_argument("--authority", type=Path, required=True, help="directory of the authority of local names")
    parser.add_argument("--name", action="append", default=[], help="a further name that is the gateway's")
    parser.add_argument("--log-fd", type=int, default=_STDOUT, help="where calls are written")
    parser.add_argument("--control-fd", type=int, help="its end of file is ours")
    parser.add_argument("--ready-fd", type=int, help="gets a line once connections are accepted")
    return parser.parse_args()


def _config(descriptor: int | None) -> GatewayConfig:
    if descriptor is not None:
        with os.fdopen(descriptor) as file:
            return GatewayConfig.from_json(file.read())
    text = os.environ.get(VARIABLE, "")
    if not text:
        raise ConfigError(f"{VARIABLE} is not set", hint='e.g. {"backend_host":"localstack","backend_port":4566}')
    return GatewayConfig.from_json(text)


def main() -> None:
    """Serve until SIGTERM, SIGINT, or the end of the control pipe."""
    options = _arguments()
    try:
        config = _config(options.config_fd)
        authority = LocalAuthority(options.authority, names=tuple(options.name))
        authority.prepare()
        given = [socket.socket(fileno=one) for one in options.fd]
        sockets = given + [listening(one, example="*:4566") for one in options.listen]
    except KecsError as error:
        sys.stderr.write(f"error: {error.message}\nhint: {error.hint}\n" if error.hint else f"error: {error.message}\n")
        sys.exit(error.exit_code)

    def start() -> Gateway:
        gateway = Gateway(config, authority.mint, log_fd=options.log_fd, names=tuple(options.name))
        for sock in sockets:
            gateway.serve(sock)
        if options.control_fd is not None:
            follow(options.control_fd, lambda: signal.raise_signal(signal.SIGTERM))
        if options.ready_fd is not None:
            os.write(options.ready_fd, b'{"ready":true}\n')
            os.close(options.ready_fd)
        return gateway

    run(start)
    leave(0)


if __name__ == "__main__":
    main()
