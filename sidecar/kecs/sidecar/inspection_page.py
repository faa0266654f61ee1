"""The edge that makes mitmweb a page for looking: who may ask it, what it may be asked, what it shows.

It shows copies of flows, so nothing that is done on the page reaches a call. What would change the engine (options,
scripts, replays, loaded files) is refused, and so is whoever comes by another name than this machine's own.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from mitmproxy import http
from mitmproxy.tools.web import app as web
from tornado import httputil
from tornado.web import Application, RequestHandler

FLOWS_MAX: Final = 2000
BYTES_MAX: Final = 32 << 20
"""Of bodies. The oldest flows go first: in a pod all of this is within the sidecar's memory limit."""
COLUMNS: Final = ("comment", "path", "status", "size", "time")
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_LOOKING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_NOT_SHOWN: Final = ("/processes", "/executable-icon")
_REFUSED: Final = ("/flows/dump", "/flows/resume", "/flows/kill")
_REFUSED_ENDS: Final = ("/replay", "/resume", "/kill")
_COMMANDS: Final = frozenset({"export"})
_OPTIONS: Final = frozenset({"web_columns", "content_view_lines_cutoff", "view_order", "view_order_reversed"})
_HOOKS: Final = ("requestheaders", "response", "error", "intercept", "resume", "kill")
_STYLE: Final = b"""<style>
.flow-table .col-comment { width: 320px; }
.flow-table td.col-comment { text-align: left; }
.flow-table th.col-comment { font-size: 0; }
.flow-table th.col-comment::before { font-size: 14px; content: "Call"; }
.main-menu .menu-group:nth-child(2) { display: none; }
</style></head>"""
"""What a call is for is what people look for; nothing is intercepted here."""
_ONLY_SHOWS: Final = "this page shows calls and changes nothing: use --addon for that"


class Refused(RequestHandler):
    """Answers 403 and why."""

    def initialize(self, why: str) -> None:
        """Take the reason."""
        self._why = why

    def prepare(self) -> None:
        """Answer before anything else is done."""
        self.set_status(403)
        ended = self.finish(f"{self._why}\n")
        ended.add_done_callback(lambda done: done.exception())  # a client that left is nobody's error

    def check_xsrf_cookie(self) -> None:
        """Need none: nothing is done."""


class Index(web.IndexHandler):  # type: ignore[misc]  # mitmproxy is untyped to us
    """mitmweb's page, with room for what a call is for."""

    def get(self) -> None:
        """Serve it."""
        page: bytes = self.render_string("../index.html")
        page = page.replace(b"<title>mitmproxy</title>", b"<title>AWS calls - kecs</title>")
        self.write(page.replace(b"</head>", _STYLE))

    post = get


class Options(web.Options):  # type: ignore[misc]  # mitmproxy is untyped to us
    """mitmweb's options, of which those may be changed that are about the page."""

    def put(self) -> None:
        """Change some."""
        if set(self.json) - _OPTIONS:
            raise web.APIError(403, _ONLY_SHOWS)
        super().put()


_OURS: Final[Mapping[str, type[RequestHandler]]] = {"/": Index, "/options": Options, "/options.json": Options}


def refusal(request: httputil.HTTPServerRequest) -> str:
    """Say why a request is refused; empty where it is not. Tokens are asked for elsewhere.

    A page of somebody else's that has its name resolve to 127.0.0.1 comes with that name as Host.
    """
    asked = urlsplit(f"//{request.headers.get('Host', '')}").hostname or ""
    if asked not in _LOOPBACK:
        return f"this page is not for {asked!r}"
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("Host"):
        return f"this page is not for pages of {origin!r}"
    path = request.path
    if path in _NOT_SHOWN:
        return _ONLY_SHOWS
    if request.method in _LOOKING:
        return ""
    if path.startswith("/commands/"):
        return "" if path.removeprefix("/commands/") in _COMMANDS else _ONLY_SHOWS
    return _ONLY_SHOWS if path in _REFUSED or path.endswith(_REFUSED_ENDS) else ""


def guard(application: Application) -> None:
    """Have an application of mitmweb ask `refusal` first."""
    original = application.find_handler

    def find_handler(request: httputil.HTTPServerRequest, **more: Any) -> Any:
        why = refusal(request)
        if why:
            return application.get_handler_delegate(request, Refused, {"why": why})
        ours = _OURS.get(request.path)
        return application.get_handler_delegate(request, ours) if ours else original(request, **more)

    application.find_handler = find_handler  # type: ignore[method-assign]  # mitmweb makes its application itself


def _size(flow: http.HTTPFlow) -> int:
    messages = (flow.request, flow.response) if flow.response is not None else (flow.request,)
    return sum(len(one.raw_content or b"") for one in messages)


class Page:
    """The flows on the page: copies, the newest of them, by the id of the flow that each is a copy of."""

    def __init__(self, *, flows_max: int = FLOWS_MAX, bytes_max: int = BYTES_MAX) -> None:
        self._flows_max = flows_max
        self._bytes_max = bytes_max
        self._sizes: OrderedDict[str, int] = OrderedDict()
        self._bytes = 0
        self._view: Any = None

    def start(self, master: Any) -> None:
        """Take over mitmproxy's view, and guard its pages."""
        self._view = view = master.view
        for hook in _HOOKS:
            setattr(view, hook, _ignore)
        original = view.update

        def update(flows: Sequence[Any]) -> None:
            """Take what is done on the page; mitmproxy calls this for the calls themselves too, which are not shown."""
            original([one for one in flows if view.get_by_id(one.id) is one])

        view.update = update
        guard(master.app)
        master.options.update(web_columns=list(COLUMNS))

    def put(self, copy: http.HTTPFlow) -> None:
        """Show a flow, or what has become of it."""
        known = self._view.get_by_id(copy.id)
        self._bytes += _size(copy) - self._sizes.pop(copy.id, 0)
        self._sizes[copy.id] = _size(copy)
        if known is None:
            self._view.add([copy])
        else:
            for part in ("request", "response", "error", "websocket", "client_conn", "server_conn", "comment"):
                setattr(known, part, getattr(copy, part))
            self._view.update([known])
        while len(self._sizes) > self._flows_max or (self._bytes > self._bytes_max and len(self._sizes) > 1):
            self._drop()

    def _drop(self) -> None:
        oldest, size = self._sizes.popitem(last=False)
        self._bytes -= size
        flow = self._view.get_by_id(oldest)
        if flow is not None:  # else somebody has removed it on the page
            self._view.remove([flow])


def _ignore(_: Any) -> None:
    """Take no notice: what is shown is put here."""
