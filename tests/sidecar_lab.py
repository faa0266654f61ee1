"""What the sidecar's tests share: heads, connections, a small HTTP server around a function."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from kecs.aws.head import Answer, RequestHead
from kecs.relay.decide import Address, Connection
from kecs.sidecar.config import EngineMode, SidecarConfig

NOW = datetime(2026, 11, 21, 5, 28, 30, tzinfo=UTC)


def configuration(**changes: object) -> SidecarConfig:
    values: dict[str, object] = {"backend_host": "127.0.0.1", "backend_port": 4566, "region": "eu-west-1", **changes}
    values["engine"] = EngineMode(str(values.get("engine", "on-demand")))
    return SidecarConfig(**values)  # type: ignore[arg-type]  # the tests give what the fields want


def request(method: str, target: str, **fields: str) -> RequestHead:
    """Make a head; underscores in field names stand for hyphens."""
    pairs = tuple((key.replace("_", "-").encode(), value.encode("latin-1")) for key, value in fields.items())
    return RequestHead(method=method.encode(), target=target.encode(), fields=pairs)


def connection(host: str = "203.0.113.9", port: int = 443, origin: str = "redirect") -> Connection:
    return Connection(number=1, client=Address("10.0.0.1", 40000), destination=Address(host, port), origin=origin)


@contextlib.contextmanager
def served(respond: Callable[[RequestHead], Answer]) -> Iterator[int]:
    """Serve answers over loopback; yields the port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            fields = tuple((key.encode(), value.encode("latin-1")) for key, value in self.headers.items())
            answer = respond(RequestHead(method=self.command.encode(), target=self.path.encode(), fields=fields))
            self.send_response_only(answer.status)
            for key, value in answer.fields:
                self.send_header(key.decode(), value.decode("latin-1"))
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        do_GET = do_PUT = do_POST = handle_any  # noqa: N815 - http.server's spelling

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
