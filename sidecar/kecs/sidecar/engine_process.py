"""The engine's process: mitmproxy's layers between a listening socket and the relay, and nowhere else.

It is told what it needs on its standard input (`engine_settings`, then a line for each new intermediate), and says what
happens on its standard output, one JSON object a line. When its input ends, so does the process. It decides nothing:
requests go back to the relay with their Host, marked with the run's secret.

Where nobody watches, mitmproxy's layers run without its master and addons, which are most of its start and memory.
"""

import asyncio
import gc
import json
import logging
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any, Final

from mitmproxy.proxy.layers.tls import TlsStartClientHook

from kecs.sidecar.engine_front import Front
from kecs.sidecar.engine_settings import EngineSettings
from kecs.sidecar.engine_tls import Leaves

_GRACE_S: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What mitmproxy's layers ask of its options. Our layers have other answers for most of it."""

    body_size_limit: str | None = None
    connection_strategy: str = "lazy"
    http2_ping_keepalive: int = 0
    keep_host_header: bool = True
    normalize_outbound_headers: bool = True
    proxy_debug: bool = False
    rawtcp: bool = True
    store_streamed_bodies: bool = False
    stream_large_bodies: str | None = None
    tcp_timeout: int = 7200
    validate_inbound_headers: bool = True
    websocket: bool = False
    """What was upgraded is passed as it is: nobody looks at messages."""


class Nobody:
    """The hooks where nobody watches: leaves are given out, that is all."""

    def __init__(self, leaves: Leaves) -> None:
        self._leaves = leaves

    def now(self, hook: Any) -> bool:
        """Do at once what a hook is for."""
        if isinstance(hook, TlsStartClientHook):
            self._leaves.tls_start_client(hook.data)
        return True

    async def later(self, hook: Any) -> None:
        """Wait for nothing: all was done at once."""


def say(event: str, **facts: object) -> None:
    """Tell the sidecar."""
    os.write(1, json.dumps({"event": event, **facts}).encode() + b"\n")


def _follow(source: IO[str], loop: asyncio.AbstractEventLoop, told: Callable[[dict[str, Any]], None]) -> None:
    """Take what the sidecar says; end with it."""
    for line in source:
        loop.call_soon_threadsafe(told, json.loads(line))
    loop.call_soon_threadsafe(os._exit, 0)  # connections have no other end left either; a recording's line is ended
    threading.Event().wait(_GRACE_S)
    os._exit(0)  # the loop hangs


async def serve(settings: EngineSettings) -> None:
    """Serve until there is nothing to do."""
    leaves = Leaves(settings.chain, settings.key, settings.patterns)
    if settings.watched:
        from kecs.sidecar.engine_watch import watch  # noqa: PLC0415 - it loads all of mitmproxy

        front = await watch(settings, leaves)
    else:
        front = Front(settings, Options(), Nobody(leaves))

    def told(facts: dict[str, Any]) -> None:
        if facts.get("leave"):
            front.leave()
        else:
            leaves.renew(facts["chain"], facts["key"])

    threading.Thread(target=_follow, args=(sys.stdin, asyncio.get_running_loop(), told), daemon=True).start()
    front.start()
    say("ready")
    await front.ended.wait()


def main() -> None:
    """Run until standard input ends, or nobody needs it."""
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr, format="engine: %(message)s")
    settings = EngineSettings.from_line(sys.stdin.readline())
    gc.freeze()  # what was imported stays
    asyncio.run(serve(settings))
    sys.stdout.flush()
    os._exit(0)  # the thread that reads the input has no other end


if __name__ == "__main__":
    main()
