"""The ASGI application around moto: reads a request whole, finds its place and its lane, sends the answer."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Final

from kecs.emulator import index
from kecs.emulator.answers import Answer, Request, error
from kecs.emulator.ask import ask
from kecs.emulator.endpoint import locate_by_scope
from kecs.emulator.hosts import Place, locate
from kecs.emulator.lanes import Lanes, lane_of

type Scope = dict[str, Any]
type Receive = Callable[[], Awaitable[dict[str, Any]]]
type Send = Callable[[dict[str, Any]], Awaitable[None]]

HEALTH_PATH: Final = "/_kecs/health"
LOCALSTACK_HEALTH_PATH: Final = "/_localstack/health"
"""Asked by tools that wait for LocalStack: which services there are."""
_HEALTH_PATHS: Final = frozenset({HEALTH_PATH, LOCALSTACK_HEALTH_PATH})
_CHUNK: Final = 256 * 1024


class App:
    """Answers AWS names by moto; on any other name what is signed for a service, and `/_kecs/health`."""

    def __init__(self) -> None:
        self._lanes = Lanes()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":  # websockets: uvicorn answers 403 when the application closes
            await send({"type": "websocket.close"})
            return
        body = await _body(receive)
        if body is None:
            return
        await _send(send, await self._answer(_request(scope, body)))

    async def _answer(self, request: Request) -> Answer:
        place = locate(request.host)
        if place is None and request.path not in _HEALTH_PATHS:
            place = locate_by_scope(request)
        if place is None:
            return _not_aws(request)
        service = index.service_of(place, request.path)
        if not service and place.regional:
            place = replace(place, asked=place.regional, host=place.regional)
            service = index.service_of(place, request.path)
        if not service:
            return _unknown(request, place)
        pool = self._lanes.pool(lane_of(service, request))
        return await asyncio.get_running_loop().run_in_executor(pool, ask, service, place, request)


def _not_aws(request: Request) -> Answer:
    if request.path == HEALTH_PATH:
        return Answer(status=200, headers={"content-type": "application/json"}, body=b'{"status":"running"}')
    if request.path == LOCALSTACK_HEALTH_PATH:
        told = {"services": dict.fromkeys(index.services(), "available"), "edition": "kecs"}
        return Answer(status=200, headers={"content-type": "application/json"}, body=json.dumps(told).encode())
    message = (
        f"{request.host or 'a request without Host'} is not a name of AWS, and no signature says what service is meant"
    )
    return error(request, status=400, code="InvalidHost", message=message)


def _unknown(request: Request, place: Place) -> Answer:
    message = f"the embedded emulator has no service at {place.host}; another backend may (kecs run --backend URL)"
    return error(request, status=501, code="NotImplemented", message=message)


def _request(scope: Scope, body: bytes) -> Request:
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1").lower(), _text(raw_value)
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    host = headers.get("host", "").lower().partition(":")[0]
    path = scope["raw_path"].decode("latin-1")
    query = scope["query_string"].decode("latin-1")
    return Request(method=scope["method"], host=host, path=path, query=query, headers=headers, body=body)


def _text(value: bytes) -> str:
    """Read a field value as moto expects it: UTF-8 where it is (S3 metadata of some SDKs), Latin-1 otherwise."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


async def _body(receive: Receive) -> bytes | None:
    """Read the whole body; None when the client goes away before its end."""
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


async def _send(send: Send, answer: Answer) -> None:
    headers = [(name.encode("latin-1"), value.encode()) for name, value in answer.headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    for start in range(0, len(answer.body) - _CHUNK, _CHUNK):
        await send({"type": "http.response.body", "body": answer.body[start : start + _CHUNK], "more_body": True})
    rest = max(0, (len(answer.body) - 1) // _CHUNK * _CHUNK)
    await send({"type": "http.response.body", "body": answer.body[rest:]})
