"""The API of ECS over HTTP: a request read, its operation asked, what it changes kept, its outcome told. An edge.

Between an operation's look at the state and its changes in it nothing else runs: there is no await between them.
"""

import asyncio
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, Protocol

from kecs.aws.head import Answer, RequestHead
from kecs.controlplane.errors import ApiError
from kecs.controlplane.ids import RandomIds
from kecs.controlplane.operation import Ask, Ids, Operation, Outcome, Question, Request
from kecs.controlplane.operations import OPERATIONS, refuse
from kecs.controlplane.state import Changes, State
from kecs.controlplane.wire import answers as wire_answers
from kecs.controlplane.wire import requests as wire_requests
from kecs.controlplane.wire.model import model
from kecs.controlplane.wire.parsing import parse
from kecs.controlplane.wire.requests import BODY_MAX, Identity, NoOperationError, Spoken

_ROUNDS_MAX: Final = 8
"""Times that an operation may ask."""
_DRAINED_MAX: Final = 8 * BODY_MAX
"""Bytes of a body that is too long which are still read: a client that sends does not read its answer."""


class Store(Protocol):
    """What keeps the state."""

    @property
    def state(self) -> State:
        """Return everything that is known."""
        ...

    async def commit(self, changes: Changes) -> None:
        """Apply at once; return when it is durable, and all before it."""
        ...

    async def known[T](self, look: Callable[[], T], found: T) -> T:
        """Return what a look at the state found when all of it is durable; what it finds then, where it can't be.

        Raise ApiError where nobody knows what is kept.
        """
        ...


class Answers(Protocol):
    """What other services know."""

    async def answer(self, question: Question, request: Request) -> Any:
        """Return what an operation has asked."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One answered request, for logs and metrics."""

    request_id: str
    operation: str
    """Empty where there was none."""
    status: int
    code: str
    """Of the error; empty for a success."""
    duration_s: float
    misfits: tuple[str, ...] = ()
    """Values that the model has no room for: mistakes of ours, left out of the answer."""
    warnings: tuple[str, ...] = ()
    error: BaseException | None = None
    """What happened inside, where the answer is a ServerException that no operation meant."""

    @property
    def fields(self) -> dict[str, Any]:
        """What the log says of it. Never what a client sent: definitions hold secrets."""
        said: dict[str, Any] = {
            "request_id": self.request_id,
            "operation": self.operation,
            "status": self.status,
            "code": self.code,
            "duration_ms": round(self.duration_s * 1000, 3),
            "misfits": self.misfits,
            "warnings": self.warnings,
            "error": "".join(traceback.format_exception(self.error)) if self.error is not None else "",
        }
        return {name: value for name, value in said.items() if value or name == "duration_ms"}


def _utc() -> datetime:
    return datetime.now(UTC)


def _nothing(_told: Told) -> None:
    """Tell nobody."""


class App:
    """The API. An ASGI application, and for callers in the same process `answer`."""

    def __init__(
        self,
        store: Store,
        answers: Answers,
        *,
        identity: Identity | None = None,
        ids: Ids | None = None,
        now: Callable[[], datetime] = _utc,
        operations: Mapping[str, Operation] = OPERATIONS,
        told: Callable[[Told], None] = _nothing,
    ) -> None:
        self._store = store
        self._answers = answers
        self._identity = identity or Identity()
        self._ids = ids or RandomIds()
        self._now = now
        self._operations = operations
        self._told = told
        self._request_ids = RandomIds()

    async def answer(self, head: RequestHead, body: bytes) -> Answer:
        """Answer a request. Raises nothing: what goes wrong inside is a ServerException to the client."""
        exchange = _Exchange(request_id=self._request_ids.uuid(), protocol=wire_requests.spoken(head))
        try:
            outcome = await self._outcome(exchange, head, body)
            answer = exchange.success(outcome)
        except ApiError as error:
            answer = exchange.failure(error)
        except Exception as error:  # noqa: BLE001 - a mistake of ours is no business of the client's, who gets an answer
            exchange.error = error
            answer = exchange.failure(ApiError("ServerException", "Service Unavailable. Please try again later."))
        self._told(exchange.told(answer))
        return answer

    async def _outcome(self, exchange: "_Exchange", head: RequestHead, body: bytes) -> Outcome:
        if len(body) > BODY_MAX:
            raise NoOperationError(413, "RequestEntityTooLargeException", f"a request has {BODY_MAX} bytes at most")
        exchange.operation = wire_requests.operation_of(head)
        params = parse(exchange.operation, wire_requests.document_of(body, exchange.protocol))
        scope, principal = self._identity.of(head)
        request = Request(
            operation=exchange.operation,
            params=params,
            scope=scope,
            principal_arn=principal,
            now=self._now(),
            ids=self._ids,
        )
        return await self._asked(request)

    async def _asked(self, request: Request) -> Outcome:
        """Ask an operation, and answer what it asks, until there is something to tell.

        Nothing is told that is not kept: an answer or a refusal that has only read waits for what it may have seen.
        Where that can't be kept, its client is told of what is: the failure is of another's change. Only where that is
        not known either, because the store's file can't be read, it is a ServerException.
        """
        operation = self._operations.get(request.operation, refuse)
        for _ in range(_ROUNDS_MAX):
            look = partial(self._look, operation, request)
            found = look()
            if isinstance(found, Outcome) and found.changes:
                await self._store.commit(found.changes)
                return found
            if not isinstance(found, Ask):
                found = await self._store.known(look, found)
            match found:
                case ApiError():
                    raise found
                case Ask():
                    known = await self._learn(found, request)
                    request = replace(request, now=self._now(), answers={**request.answers, **known})
                case Outcome() if not found.changes:
                    return found
                case _:
                    pass  # what it was refused for was taken back: it is asked again where its changes can be applied
        raise RuntimeError(f"{request.operation} asks without end")

    def _look(self, operation: Operation, request: Request) -> Outcome | Ask | ApiError:
        try:
            return operation(request, self._store.state)
        except ApiError as error:
            return error

    async def _learn(self, ask: Ask, request: Request) -> dict[Question, Any]:
        known = await asyncio.gather(*(self._answers.answer(question, request) for question in ask.questions))
        return dict(zip(ask.questions, known, strict=True))

    async def __call__(
        self,
        scope: Mapping[str, Any],
        receive: Callable[[], Awaitable[Mapping[str, Any]]],
        send: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        """Serve one request of ASGI."""
        if scope["type"] != "http":
            return
        body = await _body(receive)
        if body is None:
            return
        answer = await self.answer(_head(scope), body)
        fields = [*answer.fields, (b"Content-Length", str(len(answer.body)).encode())]
        if len(body) > BODY_MAX:
            fields.append((b"Connection", b"close"))
        await send({"type": "http.response.start", "status": answer.status, "headers": fields})
        await send({"type": "http.response.body", "body": answer.body})


async def _body(receive: Callable[[], Awaitable[Mapping[str, Any]]]) -> bytes | None:
    """Read a body; None when its client is gone. Of one that is too long, no more than tells that it is."""
    body = bytearray()
    read = 0
    while read < _DRAINED_MAX:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        piece: bytes = message.get("body", b"")
        read += len(piece)
        body += piece[: BODY_MAX + 1 - len(body)]
        if not message.get("more_body", False):
            break
    return bytes(body)


def _head(scope: Mapping[str, Any]) -> RequestHead:
    target: bytes = scope.get("raw_path") or scope["path"].encode()
    query: bytes = scope.get("query_string", b"")
    return RequestHead(
        method=scope["method"].encode(),
        target=target + b"?" * bool(query) + query,
        fields=tuple((bytes(name), bytes(value)) for name, value in scope["headers"]),
    )


class _Exchange:
    """One request while it is answered."""

    def __init__(self, *, request_id: str, protocol: Spoken) -> None:
        self.request_id = request_id
        self.protocol = protocol
        self.operation = ""
        self.code = ""
        self.error: BaseException | None = None
        self._began = time.monotonic()
        self._misfits: list[str] = []
        self._warnings: tuple[str, ...] = ()

    def success(self, outcome: Outcome) -> Answer:
        self._warnings = outcome.warnings
        return wire_answers.success(
            self.operation, outcome, protocol=self.protocol, request_id=self.request_id, misfit=self._misfits.append
        )

    def failure(self, error: ApiError) -> Answer:
        self.code = error.code
        if (
            self.operation
            and error.code in model().shapes
            and error.code not in model().operations[self.operation].errors
        ):
            self._misfits.append(f"{self.operation}: {error.code}")
        return wire_answers.failure(
            error, protocol=self.protocol, request_id=self.request_id, misfit=self._misfits.append
        )

    def told(self, answer: Answer) -> Told:
        return Told(
            request_id=self.request_id,
            operation=self.operation,
            status=answer.status,
            code=self.code,
            duration_s=time.monotonic() - self._began,
            misfits=tuple(self._misfits),
            warnings=self._warnings,
            error=self.error,
        )
