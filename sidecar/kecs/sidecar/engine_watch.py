"""All of mitmproxy, for those who look at flows: its master, page and addons around the same connections."""

import asyncio
import os
from collections.abc import Callable
from typing import Any, Final

import tornado.httpserver
import tornado.ioloop
from mitmproxy import addons, options
from mitmproxy.addons.command_history import CommandHistory
from mitmproxy.addons.next_layer import NextLayer
from mitmproxy.addons.onboarding import Onboarding
from mitmproxy.addons.tlsconfig import TlsConfig
from mitmproxy.flow import Flow
from mitmproxy.http import HTTPFlow
from mitmproxy.tls import TlsData
from mitmproxy.tools.dump import DumpMaster
from mitmproxy.tools.web.master import WebMaster

from kecs.sidecar import inspection
from kecs.sidecar.engine_front import Front
from kecs.sidecar.engine_settings import EngineSettings
from kecs.sidecar.engine_tls import Leaves

_LOOPBACK: Final = "127.0.0.1"
_SHOWN_MAX: Final = 1 << 20
"""Bodies up to this size are kept to be looked at. All are streamed, unless an addon of the user's may change them."""
_UNWANTED: Final = (Onboarding, CommandHistory, NextLayer)


class Tls(TlsConfig):  # type: ignore[misc]  # mitmproxy is untyped to us
    """mitmproxy's TLS with our leaves."""

    def __init__(self, leaves: Leaves) -> None:
        super().__init__()
        self._leaves = leaves

    def configure(self, updated: set[str]) -> None:
        """Make no store: it would write an authority to disk."""

    def running(self) -> None:
        """Make none here either."""

    async def request(self, flow: HTTPFlow) -> None:
        """Serve no revocation list: that is the original's use of this hook."""

    def tls_start_client(self, tls_start: TlsData) -> None:
        """Give a client its leaf, unless an addon has."""
        if tls_start.ssl_conn is None:
            self._leaves.tls_start_client(tls_start)

    def tls_start_server(self, tls_start: TlsData) -> None:
        """Never speak TLS to a server: the only one is ours, and plain."""
        tls_start.conn.error = "the engine speaks to the relay only"


class Copy:
    """Passes a body on as it comes, and keeps it unless it is too long."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def __call__(self, data: bytes) -> bytes:
        """Pass a part on."""
        self._size += len(data)
        if self._size <= _SHOWN_MAX:
            self._parts.append(data)
        else:
            self._parts.clear()
        return data

    @property
    def size(self) -> int:
        """Return how many bytes have passed."""
        return self._size

    @property
    def whole(self) -> bytes | None:
        """Return the body; None when it was too long to be kept."""
        return b"".join(self._parts) if self._size <= _SHOWN_MAX else None


class Bodies:
    """Decides which bodies are kept. The first of the addons, so that all others see what it has kept."""

    def __init__(self, *, may_change: bool) -> None:
        self._may_change = may_change

    def requestheaders(self, flow: HTTPFlow) -> None:
        """Choose for a request."""
        flow.request.stream = self._choose(flow.request)

    def request(self, flow: HTTPFlow) -> None:
        """Show what was kept."""
        if isinstance(flow.request.stream, Copy):
            flow.request.data.content = flow.request.stream.whole

    def responseheaders(self, flow: HTTPFlow) -> None:
        """Choose for a response."""
        if flow.response is not None:
            flow.response.stream = self._choose(flow.response)

    def response(self, flow: HTTPFlow) -> None:
        """Show what was kept."""
        if flow.response is not None and isinstance(flow.response.stream, Copy):
            flow.response.data.content = flow.response.stream.whole

    def _choose(self, message: Any) -> Copy | bool:
        length = message.headers.get("content-length", "")
        small = length.isdecimal() and int(length) <= _SHOWN_MAX
        return False if self._may_change and small else Copy()


class Started:
    """Tells when all addons run."""

    def __init__(self) -> None:
        self.event = asyncio.Event()

    def running(self) -> None:
        """Tell."""
        self.event.set()


class Watched:
    """The hooks where somebody watches: addons, which may make a flow wait."""

    def __init__(self, master: Any) -> None:
        self._master = master

    def now(self, hook: Any) -> bool:
        """Do nothing at once: addons may wait."""
        del hook
        return False

    async def later(self, hook: Any) -> None:
        """Have all addons told, and wait for a flow that one of them has stopped."""
        (data,) = hook.args()
        await self._master.addons.handle_lifecycle(hook)
        if isinstance(data, Flow):
            await data.wait_for_resume()


class Page(WebMaster):  # type: ignore[misc]  # mitmproxy is untyped to us
    """mitmweb, that says where it is."""

    async def running(self) -> None:
        """Serve the pages, then say where."""
        tornado.ioloop.IOLoop.current()
        sockets = inspection.bound(self.options.web_port)
        self.options.update(web_port=sockets[0].getsockname()[1])
        tornado.httpserver.HTTPServer(self.app).add_sockets(sockets)
        inspection.say("inspect", url=self.web_url, **inspection.way(os.environ, self.options.web_port))
        await super(WebMaster, self).running()


def _addons(leaves: Leaves, original: Callable[[], list[Any]]) -> list[Any]:
    """Return mitmproxy's addons without those that write files or serve its own pages, and with our TLS."""
    return [Tls(leaves) if isinstance(one, TlsConfig) else one for one in original() if not isinstance(one, _UNWANTED)]


async def watch(settings: EngineSettings, leaves: Leaves) -> Front:
    """Start mitmproxy's master, and return who accepts for it."""
    original = addons.default_addons
    addons.default_addons = lambda: _addons(leaves, original)
    chosen = options.Options(mode=[], server=False, confdir="/nonexistent", http3=False)
    if settings.inspect:
        master: Any = Page(chosen, with_termlog=False)
        chosen.update(web_open_browser=False, web_host=_LOOPBACK, web_port=settings.page_port)
    else:
        master = DumpMaster(chosen, with_termlog=False, with_dumper=False)
    chosen.update(keep_host_header=True, connection_strategy="lazy", showhost=True, http2_ping_keepalive=0)
    started = Started()
    master.addons.add(Bodies(may_change=bool(settings.addons)))
    inspection.install(master, settings)
    master.addons.add(started)
    running = asyncio.create_task(master.run())
    await started.event.wait()
    known = master.addons.get("proxyserver")
    front = Front(
        settings, chosen, Watched(master), lambda handler: known.register_connection(handler.client.id, handler)
    )
    running.add_done_callback(lambda _: front.ended.set())
    return front
