"""The admin port: health, readiness, metrics, settings, backups. An ASGI application; what it tells `run` gathers."""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs

from kecs.aws.head import Answer
from kecs.controlplane.health import Component, described, is_healthy
from kecs.core.errors import KecsError

type Scope = Mapping[str, Any]
type Receive = Callable[[], Awaitable[Mapping[str, Any]]]
type Send = Callable[[dict[str, Any]], Awaitable[None]]

_METRICS: Final = b"text/plain; version=0.0.4; charset=utf-8"
_JSON: Final = b"application/json"
_BYTES: Final = b"application/octet-stream"
_FILE: Final = b'attachment; filename="backup.kecs"'
_PATHS: Final = "/health /ready /live /health/detailed /metrics /config, or POST /backup /restore"
_BODY_MAX: Final = 1 << 30
"""Bytes of a backup: ten thousand tasks take some ten megabytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Admin:
    """What the admin port reads."""

    components: Callable[[], Sequence[Component]]
    """Those that are known without asking anybody."""
    neighbours: Callable[[], Awaitable[Sequence[Component]]]
    """Those that are asked now."""
    unready: Callable[[], str]
    """Why calls can't be served; empty while they can."""
    metrics: Callable[[], bytes]
    settings: Callable[[], Mapping[str, Any]]
    backup: Callable[[], Awaitable[bytes]]
    """Raises StoreError, as `restore` does."""
    restore: Callable[[bytes, bool], Awaitable[Mapping[str, int]]]
    """Takes a backup, and whether what is there may go; returns how many records of each kind there are then."""
    uptime_s: Callable[[], float]
    version: str

    async def answer(self, method: str, path: str, query: str = "", body: bytes = b"") -> Answer:
        """Answer one request."""
        if path in {"/backup", "/restore"}:
            return await self._kept(method, path, query, body)
        if method not in {"GET", "HEAD"}:
            return Answer(status=405, fields=((b"Allow", b"GET, HEAD"),))
        if path == "/health/detailed":
            return await self._detailed()
        known: Mapping[str, Callable[[], Answer]] = {
            "/health": self._health,
            "/ready": self._ready,
            "/live": lambda: _json(200, {"status": "ok"}),
            "/metrics": lambda: Answer(status=200, fields=((b"Content-Type", _METRICS),), body=self.metrics()),
            "/config": lambda: _json(200, self.settings()),
        }
        found = known.get(path)
        return _json(404, {"message": f"one of {_PATHS}"}) if found is None else found()

    async def _kept(self, method: str, path: str, query: str, body: bytes) -> Answer:
        if method != "POST":
            return Answer(status=405, fields=((b"Allow", b"POST"),))
        if len(body) > _BODY_MAX:
            return _json(413, {"message": f"a backup has {_BODY_MAX} bytes at most"})
        try:
            if path == "/backup":
                made = await self.backup()
                return Answer(
                    status=200, fields=((b"Content-Type", _BYTES), (b"Content-Disposition", _FILE)), body=made
                )
            force = parse_qs(query).get("force", [""])[-1] == "true"
            return _json(200, {"restored": dict(await self.restore(body, force))})
        except KecsError as error:
            return _json(409, {"message": error.message, "hint": error.hint})

    def _ready(self) -> Answer:
        why = self.unready()
        return _json(503 if why else 200, {"ready": not why, "reason": why})

    def _health(self) -> Answer:
        components = self.components()
        healthy = is_healthy(components)
        failing = {one.name: one.error for one in components if not one.ok}
        return _json(200 if healthy else 503, {"status": "ok" if healthy else "failing", "failing": failing})

    async def _detailed(self) -> Answer:
        own = self.components()
        components = [*own, *await self.neighbours()]
        report = described(components, uptime_s=self.uptime_s(), version=self.version)
        return _json(200 if is_healthy(own) else 503, report)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request of ASGI."""
        if scope["type"] != "http":
            return
        given = bytearray()
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            if len(given) <= _BODY_MAX:
                given += message.get("body", b"")
            more = message.get("more_body", False)
        query = scope.get("query_string", b"").decode("latin-1")
        answer = await self.answer(scope["method"], scope["path"], query, bytes(given))
        body = b"" if scope["method"] == "HEAD" else answer.body
        fields = [*answer.fields, (b"Content-Length", str(len(answer.body)).encode())]
        await send({"type": "http.response.start", "status": answer.status, "headers": fields})
        await send({"type": "http.response.body", "body": body})


def _json(status: int, facts: Mapping[str, Any]) -> Answer:
    body = json.dumps(facts, indent=2, default=str).encode() + b"\n"
    return Answer(status=status, fields=((b"Content-Type", _JSON),), body=body)
