"""`python -m kecs.emulator --fd N | --listen HOST:PORT`: the embedded emulator, on the caller's socket or its own."""

import argparse
import logging
import os
import socket
import sys
from typing import Final

from kecs.core.names import DEFAULT_ACCOUNT
from kecs.emulator import seclusion

_BACKLOG: Final = 4096


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT, e.g. *:4566")
    return host.strip("[]"), int(port)


def _listener(host: str, port: int) -> socket.socket:
    """Listen; `*` is every address of every family that there is."""
    if host == "*":
        host = "::" if socket.has_dualstack_ipv6() else "0.0.0.0"
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=_BACKLOG, dualstack_ipv6=host == "::")


def main() -> None:
    """Serve until SIGTERM, SIGINT or the caller's end."""
    parser = argparse.ArgumentParser(prog="python -m kecs.emulator", description=__doc__)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--fd", type=int, help="a listening TCP socket; the caller's end is then ours")
    where.add_argument("--listen", type=_address, metavar="HOST:PORT", help="an address of our own; * for all of them")
    parser.add_argument("--account", default=DEFAULT_ACCOUNT, help="the account that answers (default: %(default)s)")
    parser.add_argument("--ready-fd", type=int, help="gets `ready` and a newline once calls are answered")
    parser.add_argument("--control-fd", type=int, help="its end of file is ours; else the parent thread's end")
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s", stream=sys.stderr)
    listener = _listener(*options.listen) if options.listen else socket.socket(fileno=options.fd)
    seclusion.clear_environment(os.environ)
    seclusion.close_network()
    seclusion.use_account(options.account)
    from kecs.emulator import server  # noqa: PLC0415 - imports moto's services, which copy the account

    if not options.listen:
        server.die_with_parent(options.control_fd)
    server.serve(listener, options.ready_fd)


if __name__ == "__main__":
    main()
