"""The Kubernetes API asked from an event loop: one object at a time, over kept connections, without threads. An edge.

Configuration and credentials are the `kubernetes` package's, as `Kube` has loaded them. Its transport blocks: for the
service that issues certificates, two visits to a thread and that transport cost more CPU than all the cryptography.
What is asked here may be asked twice without harm, and is, when a kept connection turns out to have been closed.
"""

import asyncio
import json
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, override
from urllib.parse import urlsplit

import httptools

from kecs.certs.kube import TIMEOUT_S, Json, Kube, NotFoundError, UnavailableError, refusal

_BODY_MAX: Final = 8 << 20
"""Bytes of an answer. An object of the API has at most 3 MB as JSON."""
_AT_ONCE: Final = 64
_IDLE_S: Final = 60.0
"""A connection that was idle for longer may have been forgotten on the way, without a word."""
_HTTPS: Final = 443
_HTTP: Final = 80


class _Lost(Exception):  # noqa: N818 - what happened
    """The connection ended before an answer did."""


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: bytes
    retry_after: str


class _Channel(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._answered: asyncio.Future[tuple[_Answer, bool]] | None = None
        self._body = bytearray()
        self._retry_after = ""

    async def ask(self, request: bytes) -> tuple[_Answer, bool]:
        """Return the answer, and whether another may be asked for here; raise _Lost, HttpParserError."""
        transport = self._transport
        if transport is None or transport.is_closing():
            raise _Lost("the connection was closed")
        self._body.clear()
        self._retry_after = ""
        self._parser = httptools.HttpResponseParser(self)
        self._answered = asyncio.get_running_loop().create_future()
        transport.write(request)
        return await self._answered

    def close(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    # asyncio.Protocol

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = transport  # type: ignore[assignment]  # what create_connection makes

    @override
    def data_received(self, data: bytes) -> None:
        """Take a part of the answer."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(error)
            self.close()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        """End; who waits is told."""
        self._transport = None
        self._fail(_Lost(str(exc or "the connection was closed before the answer's end")))

    def _fail(self, error: Exception) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(error)

    # httptools

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep the one field that matters."""
        if name.lower() == b"retry-after":
            self._retry_after = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        """Gather."""
        self._body += body
        if len(self._body) > _BODY_MAX:
            raise ValueError("the answer is too long")

    def on_message_complete(self) -> None:
        """Wake who asked."""
        status = self._parser.get_status_code()
        answer = _Answer(status, bytes(self._body), self._retry_after)
        if self._answered is not None and not self._answered.done():
            self._answered.set_result((answer, self._parser.should_keep_alive()))


class AsyncKube:
    """See the module. It belongs to one loop, and knows nothing of proxies: it is for pods of the cluster itself."""

    def __init__(self, kube: Kube, *, timeout_s: float = TIMEOUT_S, idle_s: float = _IDLE_S) -> None:
        url = urlsplit(kube.host)
        self._kube = kube
        self._timeout_s = timeout_s
        self._idle_s = idle_s
        self._tls = kube.tls_context() if url.scheme == "https" else None
        self._host = url.hostname or ""
        self._port = url.port or (_HTTPS if self._tls else _HTTP)
        self._base = url.path.rstrip("/")
        self._authority = url.netloc.rpartition("@")[2]
        self._idle: deque[tuple[_Channel, float]] = deque()
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def get(self, path: str) -> Json:
        """Read an object; raise KubeError."""
        return await self._json("GET", path)

    async def find(self, path: str) -> Json | None:
        """Read an object; None when there is none."""
        try:
            return await self.get(path)
        except NotFoundError:
            return None

    async def review(self, path: str, body: Mapping[str, Any]) -> Json:
        """Have the API server judge something: a POST that leaves nothing behind."""
        return await self._json("POST", path, json.dumps(body, separators=(",", ":")).encode())

    def close(self) -> None:
        """Close idle connections."""
        while self._idle:
            self._idle.pop()[0].close()

    async def _json(self, method: str, path: str, body: bytes = b"") -> Json:
        try:
            async with asyncio.timeout(self._timeout_s), self._turns:
                answer = await self._asked(self._request(method, path, body))
        except TimeoutError as error:
            raise _away(path, f"not within {self._timeout_s:g} s") from error
        except (OSError, _Lost, httptools.HttpParserError) as error:
            raise _away(path, str(error)) from error
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise refusal(answer.status, answer.body, answer.retry_after)
        try:
            found = json.loads(answer.body)
        except ValueError as error:
            raise _away(path, f"in JSON: {error}") from error
        if not isinstance(found, dict):
            raise _away(path, "with an object")
        return found

    def _request(self, method: str, path: str, body: bytes) -> bytes:
        lines = [f"{method} {self._base}{path} HTTP/1.1", f"Host: {self._authority}", "Accept: application/json"]
        token = self._kube.bearer()
        if token:
            lines.append(f"Authorization: {token}")
        if body:
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        return "\r\n".join((*lines, "", "")).encode() + body

    async def _asked(self, request: bytes) -> _Answer:
        loop = asyncio.get_running_loop()
        while True:
            kept, channel = self._kept(loop.time())
            channel = channel or await self._connected(loop)
            try:
                answer, reusable = await channel.ask(request)
            except _Lost:
                if not kept:
                    raise
                continue  # the server had closed it meanwhile
            except BaseException:
                channel.close()
                raise
            if reusable:
                self._idle.append((channel, loop.time()))
            else:
                channel.close()
            return answer

    def _kept(self, now: float) -> tuple[bool, _Channel | None]:
        while self._idle:
            channel, since = self._idle.pop()
            if now - since < self._idle_s:
                return True, channel
            channel.close()
        return False, None

    async def _connected(self, loop: asyncio.AbstractEventLoop) -> _Channel:
        name = (self._kube.tls_name or self._host) if self._tls else None
        _, channel = await loop.create_connection(_Channel, self._host, self._port, ssl=self._tls, server_hostname=name)
        return channel


def _away(path: str, how: str) -> UnavailableError:
    return UnavailableError(f"the API server does not answer ({path}): {' '.join(how.split())}", status=0)
