"""Addons for people who look at flows: titles, their own addons, the page, the recording. For the engine's process."""

import asyncio
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Mapping
from importlib import metadata
from typing import Any, Final

from mitmproxy import contentviews, ctx, http
from mitmproxy.io import tnetstring
from tornado.netutil import bind_sockets

from kecs.core.errors import KecsError
from kecs.sidecar import har, inspection_addons
from kecs.sidecar.engine_settings import EngineSettings
from kecs.sidecar.inspection_flows import CALL, call_of, exchange_of, shown, title
from kecs.sidecar.inspection_page import Page
from kecs.sidecar.inspection_views import Aws
from kecs.sidecar.recording import Recording
from kecs.sidecar.redaction import Exchange, Redactor

CREATOR: Final = metadata.version("kecs")
_HELD_MAX: Final = 1 << 20
_TITLE: Final = "kecs_title"


def say(event: str, **facts: object) -> None:
    """Tell the sidecar: a line on standard output."""
    os.write(1, json.dumps({"event": event, **facts}).encode() + b"\n")


def bound(port: int) -> list[socket.socket]:
    """Bind the page's port on loopback, or one of the kernel's choice where somebody else has it."""
    try:
        return bind_sockets(port, "127.0.0.1")
    except OSError:
        return bind_sockets(0, "127.0.0.1")


def way(environment: Mapping[str, str], port: int) -> dict[str, str]:
    """Say how to get to the page from outside of a pod; nothing where there is no pod."""
    pod, namespace = environment.get("POD_NAME", ""), environment.get("POD_NAMESPACE", "")
    if not pod or not namespace:
        return {}
    return {"hint": f"type: kubectl -n {namespace} port-forward pod/{pod} {port} -- then open the url in a browser"}


def addons(settings: EngineSettings) -> list[object]:
    """Return the addon objects to load, in this order, after the engine's own."""
    sys.stdout = sys.stderr  # what addons print is for people; descriptor 1 is for the sidecar
    own = inspection_addons.load(settings.addons, _tell)
    if own:
        logging.getLogger().addHandler(inspection_addons.Errors(settings.addons, _tell))
    contentviews.add(Aws())
    recording = _recording(settings.record)
    page = Page() if settings.inspect else None
    return [Titles(), *own, Looker(page, recording, unredacted=settings.unredacted)]


def install(master: Any, settings: EngineSettings) -> None:
    """Add the addons to mitmproxy's master, those of the user that it takes; the others are told of."""
    for addon in addons(settings):
        try:
            master.addons.add(addon)
        except Exception as error:
            path = getattr(addon, "__file__", None)
            if path not in settings.addons:
                raise
            place = inspection_addons.place(error, (path,))
            _tell("addon_failed", *place, inspection_addons.said(error))


def _tell(event: str, file: str, line: int, reason: str) -> None:
    say(event, file=file, line=line, reason=reason)


def _recording(record: str) -> Recording | None:
    if not record:
        return None
    try:
        return Recording.open(record, creator=CREATOR)
    except KecsError as error:
        say("record_failed", reason=error.message)
        return None


class Titles:
    """Says what each call is for, before other addons see it: as the flow's comment, and in its metadata."""

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Judge by the head."""
        self._note(flow)

    def request(self, flow: http.HTTPFlow) -> None:
        """Judge again: some calls say in their body what they are."""
        self._note(flow)

    def _note(self, flow: http.HTTPFlow) -> None:
        call = call_of(flow)
        ours = flow.metadata.get(_TITLE, "")
        flow.metadata[CALL] = {
            "service": call.service,
            "operation": call.operation,
            "region": call.region,
            "account": call.account,
            "resource": call.resource,
        }
        if flow.comment == ours:  # else an addon has said something better
            flow.comment = flow.metadata[_TITLE] = title(call)


class Looker:
    """Shows and records flows, after all other addons are done with them."""

    def __init__(self, page: Page | None, recording: Recording | None, *, unredacted: bool) -> None:
        self._page = page
        self._recording = recording
        self._redactor = None if unredacted else Redactor()
        self._told = 0

    def running(self) -> None:
        """Take over the page; end in order when told to."""
        if self._page is not None:
            self._page.start(ctx.master)
        # Without a handler the signal would end the process in the middle of a line.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ctx.master.shutdown)

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Show that a call has begun."""
        self._show(flow)

    def request(self, flow: http.HTTPFlow) -> None:
        """Show what was asked."""
        if flow.request.raw_content:
            self._show(flow)

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        """Hold back a short answer until it is shown and recorded: who has it finds it there."""
        length = flow.response.headers.get("content-length", "") if flow.response is not None else ""
        if flow.response is not None and length.isdecimal() and int(length) <= _HELD_MAX:
            flow.response.stream = False

    def response(self, flow: http.HTTPFlow) -> None:
        """Show and record what was answered."""
        exchange = self._show(flow)
        if flow.websocket is None:
            self._record(flow, exchange)

    def error(self, flow: http.HTTPFlow) -> None:
        """Show and record that nothing was, or not all."""
        self._record(flow, self._show(flow))

    def websocket_message(self, flow: http.HTTPFlow) -> None:
        """Show what was said since."""
        self._show(flow)

    def websocket_end(self, flow: http.HTTPFlow) -> None:
        """Record all of it."""
        self._record(flow, self._show(flow))

    def done(self) -> None:
        """Close the files."""
        if self._recording is not None:
            self._recording.close()

    def _show(self, flow: http.HTTPFlow) -> Exchange:
        exchange = exchange_of(flow)
        if self._redactor is not None:
            exchange = self._redactor.redact(exchange)
        if self._page is not None:
            self._page.put(shown(exchange, flow))
        return exchange

    def _record(self, flow: http.HTTPFlow, exchange: Exchange) -> None:
        if self._recording is None:
            return
        state: dict[str, Any] = shown(exchange, flow).get_state()
        whole = self._recording.write(tnetstring.dumps(state), har.line(exchange))
        if not whole and not self._told:
            self._told = 1
            say("record_failed", reason=self._recording.trouble)
