"""`python -m kecs.emulator --fd N`: the embedded emulator on a listening TCP socket that the caller made."""

import argparse
import logging
import os
import socket
import sys

from kecs.core.names import DEFAULT_ACCOUNT
from kecs.emulator import seclusion


def main() -> None:
    """Serve until SIGTERM, SIGINT or the caller's end."""
    parser = argparse.ArgumentParser(prog="python -m kecs.emulator", description=__doc__)
    parser.add_argument("--fd", type=int, required=True, help="a listening TCP socket")
    parser.add_argument("--account", default=DEFAULT_ACCOUNT, help="the account that answers (default: %(default)s)")
    parser.add_argument("--ready-fd", type=int, help="gets `ready` and a newline once calls are answered")
    parser.add_argument("--control-fd", type=int, help="its end of file is ours; else the parent thread's end")
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s", stream=sys.stderr)
    listener = socket.socket(fileno=options.fd)
    seclusion.clear_environment(os.environ)
    seclusion.close_network()
    seclusion.use_account(options.account)
    from kecs.emulator import server  # noqa: PLC0415 - imports moto's services, which copy the account

    server.die_with_parent(options.control_fd)
    server.serve(listener, options.ready_fd)


if __name__ == "__main__":
    main()
