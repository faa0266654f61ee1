"""The API of ECS for tests: called as functions, or by a real boto3 client over a socket.

    lab = EcsLab()
    lab.call("CreateCluster", {"clusterName": "c"})         # an outcome's body; its changes are in lab.state
    assert lab.refused("DeleteCluster", {"cluster": "x"}).code == "ClusterNotFoundException"
    with lab.served() as url:
        ecs_client(url).describe_clusters(clusters=["c"])

Parameters are botocore's, outcomes are judged by the model: a member that it lacks fails the test.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
import uvicorn
from botocore.config import Config

from kecs.certs.web import listen
from kecs.controlplane.api import App, Told
from kecs.controlplane.errors import ApiError
from kecs.controlplane.operation import Ask, Operation, Outcome, Question, Request
from kecs.controlplane.operations import OPERATIONS, refuse
from kecs.controlplane.schema import read, spelled
from kecs.controlplane.state import Changes, Scope, State
from kecs.controlplane.wire.model import model
from kecs.controlplane.wire.parsing import parse
from kecs.controlplane.wire.writing import write

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SCOPE = Scope(region="us-east-1", account="000000000000")
PRINCIPAL = "arn:aws:iam::000000000000:root"


class FakeIds:
    """Ids that count: 00…01, 00…02."""

    def __init__(self, last: int = 0) -> None:
        self._last = last

    def _next(self) -> int:
        self._last += 1
        return self._last

    def hex32(self) -> str:
        return f"{self._next():032x}"

    def uuid(self) -> str:
        return f"00000000-0000-4000-8000-{self._next():012x}"

    def digits19(self) -> str:
        return f"{10**18 + self._next()}"


class MemoryStore:
    """A store that forgets at the end."""

    def __init__(self, state: State | None = None) -> None:
        self.state = state or State()
        self.subscribers: list[Callable[[Changes], None]] = []

    def apply(self, changes: Changes) -> None:
        if changes:
            self.state.apply(changes)
            for told in self.subscribers:
                told(changes)

    async def commit(self, changes: Changes) -> None:
        self.apply(changes)

    async def known[T](self, look: Callable[[], T], found: T) -> T:  # noqa: ARG002 - nothing is ever taken back
        return found

    def subscribe(self, callback: Callable[[Changes], None]) -> None:
        self.subscribers.append(callback)


def misfit(place: str) -> None:
    raise AssertionError(f"the model has no room for {place}")


@dataclass
class EcsLab:
    """One control plane's API on memory, with a clock that stands still."""

    operations: Mapping[str, Operation] = field(default_factory=lambda: OPERATIONS)
    answers: Mapping[Question, Any] = field(default_factory=dict)
    """What other services say when an operation asks; an ApiError is raised."""
    store: MemoryStore = field(default_factory=MemoryStore)
    now: datetime = NOW
    scope: Scope = SCOPE
    ids: FakeIds = field(default_factory=FakeIds)
    told: list[Told] = field(default_factory=list)

    @property
    def state(self) -> State:
        return self.store.state

    def later(self, **time: float) -> None:
        self.now += timedelta(**time)

    def outcome(
        self, operation: str, params: Mapping[str, Any] | None = None, *, scope: Scope | None = None
    ) -> Outcome:
        """Call an operation with botocore's parameters, keep its changes, return its outcome."""
        found = self.asked(self.request(operation, params or {}, scope=scope))
        self.judge(operation, found)
        self.store.apply(found.changes)
        return found

    def request(self, operation: str, params: Mapping[str, Any], *, scope: Scope | None = None) -> Request:
        """Make a request of botocore's parameters."""
        return Request(
            operation=operation,
            params=parse(operation, plain(params)),
            scope=scope or self.scope,
            principal_arn=PRINCIPAL,
            now=self.now,
            ids=self.ids,
        )

    def asked(self, request: Request) -> Outcome:
        """Ask an operation, and answer what it asks, until it has an outcome."""
        operation = self.operations.get(request.operation, refuse)
        found = operation(request, self.state)
        while isinstance(found, Ask):
            request = replace(request, answers={**request.answers, **self._learn(found)})
            found = operation(request, self.state)
        return found

    def judge(self, operation: str, outcome: Outcome) -> None:
        """Fail for what the model has no room for, and for what would not come back from a store as it was."""
        write(model().operations[operation].output, outcome.body, misfit)
        for record in outcome.changes.put:
            assert read(type(record), spelled(record).document) == record

    def _learn(self, ask: Ask) -> dict[Question, Any]:
        return {question: _raised(self.answers[question]) for question in ask.questions}

    def call(self, operation: str, params: Mapping[str, Any] | None = None, *, scope: Scope | None = None) -> Any:
        """Call an operation, return what it tells its client: without None, times as they are."""
        return told_body(self.outcome(operation, params, scope=scope).body)

    def refused(
        self, operation: str, params: Mapping[str, Any] | None = None, *, scope: Scope | None = None
    ) -> ApiError:
        """Call an operation that has to refuse; return how."""
        with pytest.raises(ApiError) as raised:
            self.outcome(operation, params, scope=scope)
        code = raised.value.code
        assert code not in model().shapes or code in model().operations[operation].errors
        return raised.value

    async def answer(self, question: Question, _request: Request) -> Any:
        return _raised(self.answers[question])

    def app(self) -> App:
        return App(
            self.store,
            self,
            ids=self.ids,
            now=lambda: self.now,
            operations=self.operations,
            told=self.told.append,
        )

    @contextmanager
    def served(self) -> Iterator[str]:
        """Serve the API on loopback, yield its URL. At the end no answer may have had misfits or been an accident."""
        with serving(self.app()) as url:
            yield url
        for told in self.told:
            if told.error is not None:
                raise told.error
            assert not told.misfits, told


def _raised(value: Any) -> Any:
    if isinstance(value, ApiError):
        raise value
    return value


def plain(value: Any) -> Any:
    """Make what botocore takes what JSON gives."""
    if isinstance(value, datetime):
        return value.timestamp()
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def told_body(value: Any) -> Any:
    """Leave out what is None, and make lists of tuples: what a client would see, times as they are."""
    if isinstance(value, Mapping):
        return {key: told_body(item) for key, item in value.items() if item is not None}
    return [told_body(item) for item in value] if isinstance(value, list | tuple) else value


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """Serve an ASGI application in a thread, on a port of loopback."""
    listener = listen("127.0.0.1", 0)
    config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", ws="none", server_header=False)
    server = _Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def ecs_client(url: str, *, region: str = "us-east-1", key: str = "test", **config: Any) -> Any:
    """Return a boto3 client that asks once."""
    return boto3.client(
        "ecs",
        endpoint_url=url,
        region_name=region,
        aws_access_key_id=key,
        aws_secret_access_key="test",
        config=Config(retries={"total_max_attempts": 1}, proxies={}, **config),
    )
