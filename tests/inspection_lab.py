"""A sidecar whose calls are looked at: its page, asked as a browser asks it, and calls that go through it."""

import http.client
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sidecar_service_lab import PATIENCE_S, Got, Lab, backend, laboratory


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a page answered."""

    status: int
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True, kw_only=True)
class Page:
    """mitmweb's page. Without its token it is a stranger who asks."""

    port: int
    token: str

    @classmethod
    def of(cls, url: str) -> "Page":
        parts = urlsplit(url)
        assert parts.port is not None
        assert parts.hostname == "127.0.0.1"
        return cls(port=parts.port, token=parts.query.removeprefix("token="))

    def ask(self, method: str, path: str, value: Any = None, **fields: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        sent = {"Authorization": f"Bearer {self.token}", "Cookie": "_mitmproxy_xsrf=x", "X-XSRFToken": "x"}
        sent |= {"Content-Type": "application/json"} if value is not None else {}
        sent |= {name.replace("_", "-"): one for name, one in fields.items()}
        try:
            connection.request(method, path, None if value is None else json.dumps(value), sent)
            response = connection.getresponse()
            return Answer(status=response.status, body=response.read())
        finally:
            connection.close()

    def flows(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask("GET", "/flows").json()
        return found

    def view(self, flow: dict[str, Any], message: str, name: str = "auto") -> dict[str, Any]:
        found: dict[str, Any] = self.ask("GET", f"/flows/{flow['id']}/{message}/content/{name}.json").json()
        return found

    def everything(self) -> bytes:
        """All that the page can be asked for about its flows."""
        found = [self.ask("GET", path).body for path in ("/flows", "/flows/dump", "/events", "/options", "/state")]
        for flow in self.flows():
            for message in ("request", "response"):
                found.append(self.ask("GET", f"/flows/{flow['id']}/{message}/content.data").body)
                found.append(self.ask("GET", f"/flows/{flow['id']}/{message}/content/raw.json").body)
            found.append(self.ask("POST", "/commands/export", {"arguments": ["raw", f"@{flow['id']}"]}).body)
        return b"\n".join(found)


def told(lab: Lab, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Wait for a record in the log, which others write too."""
    deadline = time.monotonic() + 2 * PATIENCE_S
    with lab.log.open() as log:
        seen = ""
        while time.monotonic() < deadline:
            seen += log.readline()
            if seen.endswith("\n"):
                record = json.loads(seen)
                seen = ""
                if wanted(record):
                    return dict(record)
            lab.call(int)
    raise TimeoutError(lab.log.read_text())


def event(lab: Lab, name: str) -> dict[str, Any]:
    return told(lab, lambda record: record["event"] == name)


def call(lab: Lab, host: str, method: str = "GET", path: str = "/", body: bytes = b"", **fields: str) -> Answer:
    """Make one call through the sidecar."""
    with lab.tls(host, ("http/1.1",)) as tls:
        asking = http.client.HTTPConnection(host)
        asking.sock = tls
        sent = {name.replace("_", "-"): value for name, value in fields.items()}
        asking.request(method, path, body=body or None, headers={"Host": host, **sent})
        response = asking.getresponse()
        answer = Answer(status=response.status, body=response.read())
        asking.close()
        return answer


@contextmanager
def looked_at(tmp_path: Path, got: list[Got], **settings: object) -> Iterator[tuple[Lab, Page]]:
    """Run a sidecar with a page."""
    with backend(got) as port, laboratory(tmp_path, port=port, engine="inspect", **settings) as lab:
        yield lab, Page.of(event(lab, "inspect")["url"])
