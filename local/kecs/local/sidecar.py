"""The sidecar of a run: `python -m kecs.local.sidecar`. It serves outside, on sockets that were made inside."""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from datetime import UTC, datetime
from typing import Final

import uvloop

from kecs.calls.process import prepare
from kecs.certs.leaf import Intermediate
from kecs.local import publish
from kecs.local.helper import Helper
from kecs.local.options import Publish
from kecs.local.orders import Orders
from kecs.local.publish import Publisher
from kecs.local.sockets import Sockets
from kecs.local.synhold import SynHold, dials_early
from kecs.relay.decide import Connection, Dialled
from kecs.relay.original import from_getsockname, from_redirect
from kecs.sidecar.config import SidecarConfig
from kecs.sidecar.service import Sidecar

_DRAIN_S: Final = 5.0
_DNS_PORT: Final = 53
_LINES_MAX: Final = 65536


async def serve(orders: Orders, *, log_fd: int, control_fd: int, ready_fd: int) -> None:
    """Serve until SIGTERM or the end of the control pipe; then let requests in progress finish."""
    loop = asyncio.get_running_loop()
    prepare(loop)
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    sockets = Sockets.adopt(orders.sockets)
    helper = Helper(loop, sockets.helper)
    published = tuple(Publish(host_port=host, inside_port=inside) for host, inside in orders.published)

    def allocated(host: str) -> bool:
        return sidecar.allocator.name_of(host) is not None

    def dial(connection: Connection, done: Dialled) -> None:
        if connection.destination.port != _DNS_PORT:
            hold.dial(connection, done)
            return
        # DNS over TCP is answered here too, whichever server was asked
        theirs, ours = socket.socketpair()
        for one in (theirs, ours):
            one.settimeout(0)
        sidecar.serve_dns_stream(ours)
        loop.call_soon(done, theirs)

    sidecar = Sidecar(
        SidecarConfig.from_json(orders.sidecar),
        Intermediate.from_pem(orders.chain.encode(), orders.key.encode(), now=datetime.now(UTC)),
        log_fd=log_fd,
        dial=dial,
    )
    hold = SynHold(
        loop,
        sockets.queue,
        may_dial=lambda destination: dials_early(destination, allocated=allocated),
        refuses=lambda destination: publish.is_own(destination, published),
        inside=helper if sockets.method.inside_first else None,
    )
    for listener in sockets.listeners:
        sidecar.serve_tcp(listener, from_redirect if sockets.method.inside_first else from_getsockname)
    sidecar.serve_dns(sockets.dns)
    _follow(loop, control_fd, stop, sidecar)
    publisher = Publisher(helper)
    for descriptor, port in orders.publish:
        publisher.serve(socket.socket(fileno=descriptor), port)
    with contextlib.suppress(BrokenPipeError):  # the run was killed meanwhile: the control pipe has ended too
        os.write(ready_fd, b'{"ready":true}\n')
    os.close(ready_fd)
    await stop.wait()
    await sidecar.drain(_DRAIN_S)
    await publisher.close()
    hold.close()
    helper.close()


def _follow(loop: asyncio.AbstractEventLoop, control_fd: int, stop: asyncio.Event, sidecar: Sidecar) -> None:
    """Take new intermediates from the control pipe; stop when nobody holds its other end any more."""
    received = bytearray()

    def readable() -> None:
        chunk = os.read(control_fd, _LINES_MAX)
        if not chunk:
            loop.remove_reader(control_fd)
            stop.set()
        received.extend(chunk)
        while (end := received.find(b"\n")) >= 0:
            said = json.loads(received[:end])
            del received[: end + 1]
            sidecar.renew(Intermediate.from_pem(said["chain"].encode(), said["key"].encode()))

    loop.add_reader(control_fd, readable)


def main() -> None:
    """Run the sidecar of a run."""
    parser = argparse.ArgumentParser(prog="python -m kecs.local.sidecar", description=__doc__)
    for name in ("orders", "log", "control", "ready"):
        parser.add_argument(f"--{name}-fd", type=int, required=True)
    options = parser.parse_args()
    for descriptor in (options.log_fd, options.control_fd, options.ready_fd):
        os.set_inheritable(descriptor, False)  # noqa: FBT003 - not for the engine's process
    with os.fdopen(options.orders_fd) as file:
        orders = Orders.from_json(json.load(file))
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(serve(orders, log_fd=options.log_fd, control_fd=options.control_fd, ready_fd=options.ready_fd))
    sys.stderr.flush()


if __name__ == "__main__":
    main()
