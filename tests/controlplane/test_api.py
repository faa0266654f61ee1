"""The API over HTTP: who is answered what, and when."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import ecs_shapes_lab as shapes
import pytest
from botocore.exceptions import ClientError
from ecs_lab import NOW, EcsLab, MemoryStore, ecs_client, serving
from hypothesis import given, settings
from hypothesis import strategies as st

from kecs.aws import cbor
from kecs.aws.head import Answer, RequestHead
from kecs.controlplane.api import App, Told
from kecs.controlplane.errors import ApiError
from kecs.controlplane.operation import Ask, Operation, Outcome, Question, Request, changed
from kecs.controlplane.records import Cluster
from kecs.controlplane.state import Changes, State
from kecs.controlplane.wire.requests import BODY_MAX

TARGET = "AmazonEC2ContainerServiceV20141113"
QUESTION = Question("target_group", "arn:aws:elasticloadbalancing:…")


def a_cluster(name: str) -> Cluster:
    return Cluster(arn=f"arn:aws:ecs:us-east-1:000000000000:cluster/{name}", name=name, created_at=NOW)


def create(request: Request, _state: State) -> Outcome:
    cluster = a_cluster(request.params.get("clusterName", "default"))
    return Outcome(body={"cluster": {"clusterArn": cluster.arn}}, changes=changed(cluster))


def listed(_request: Request, state: State) -> Outcome:
    return Outcome(body={"clusterArns": [cluster.arn for cluster in state.every(Cluster)]})


def broken(_request: Request, _state: State) -> Outcome:
    raise KeyError("secret of ours")


def asking(request: Request, _state: State) -> Outcome | Ask:
    if QUESTION not in request.answers:
        return Ask((QUESTION,))
    return Outcome(body={"clusterArns": [request.answers[QUESTION]]})


def insatiable(request: Request, _state: State) -> Outcome | Ask:
    return Ask((Question("more", str(len(request.answers))),))


def refusing(_request: Request, state: State) -> Outcome:
    raise ApiError("ClientException", f"There are {state.count(Cluster)} clusters.")


TOYS: Mapping[str, Operation] = {
    "CreateCluster": create,
    "ListClusters": listed,
    "DeleteCluster": broken,
    "ListServices": asking,
    "ListTasks": insatiable,
    "DescribeClusters": refusing,
}


class Knows:
    """Another service, that knows what it is given."""

    def __init__(self, value: Any = "known") -> None:
        self.value = value
        self.asked: list[Question] = []

    async def answer(self, question: Question, _request: Request) -> Any:
        self.asked.append(question)
        if isinstance(self.value, Exception):
            raise self.value
        return self.value


def an_app(store: Any = None, knows: Knows | None = None, told: list[Told] | None = None) -> App:
    seen: list[Told] = [] if told is None else told
    return App(store or MemoryStore(), knows or Knows(), operations=TOYS, told=seen.append)


def asked(app: App, operation: str, params: Any = None, *, body: bytes | None = None) -> Answer:
    head = RequestHead(
        method=b"POST", target=b"/", fields=((b"Host", b"x"), (b"X-Amz-Target", f"{TARGET}.{operation}".encode()))
    )
    return asyncio.run(app.answer(head, json.dumps(params or {}).encode() if body is None else body))


def code_of(answer: Answer) -> str:
    code: str = json.loads(answer.body)["__type"]
    return code


def test_what_an_operation_changes_is_there_for_the_next() -> None:
    app = an_app()
    assert asked(app, "CreateCluster", {"clusterName": "c"}).status == 200
    assert json.loads(asked(app, "ListClusters").body) == {"clusterArns": [a_cluster("c").arn]}


def test_every_answer_has_an_id_of_its_own_which_the_log_has_too() -> None:
    told: list[Told] = []
    app = an_app(told=told)
    answers = [asked(app, name) for name in ("ListClusters", "DeleteCluster", "NoOperation")]
    ids = [dict(answer.fields)[b"x-amzn-RequestId"].decode() for answer in answers]
    assert [one.request_id for one in told] == ids
    assert len({*ids}) == 3
    assert all(str(UUID(one)) == one for one in ids)


def test_a_mistake_of_ours_is_a_server_exception_without_its_reason() -> None:
    told: list[Told] = []
    answer = asked(an_app(told=told), "DeleteCluster", {"cluster": "x"})
    assert (answer.status, code_of(answer)) == (500, "ServerException")
    assert b"secret" not in answer.body
    (one,) = told
    assert isinstance(one.error, KeyError)
    assert "secret of ours" in one.fields["error"]
    assert (one.operation, one.status, one.code) == ("DeleteCluster", 500, "ServerException")


def test_what_is_told_of_calls() -> None:
    told: list[Told] = []
    app = an_app(told=told)
    asked(app, "ListClusters")
    asked(app, "RunTask", {"taskDefinition": "t"})
    asked(app, "NoOperation")
    asked(app, "ListClusters", body=b"{")
    assert [(one.operation, one.status, one.code) for one in told] == [
        ("ListClusters", 200, ""),
        ("RunTask", 400, "UnsupportedFeatureException"),
        ("", 400, "UnknownOperationException"),
        ("ListClusters", 400, "SerializationException"),
    ]
    assert all(one.duration_s >= 0 and one.error is None and not one.misfits for one in told)
    assert told[0].fields.keys() == {"request_id", "operation", "status", "duration_ms"}


def test_questions_are_answered_and_the_operation_called_again() -> None:
    knows = Knows("arn:known")
    answer = asked(an_app(knows=knows), "ListServices")
    # The output of ListServices has no clusterArns: what the toy says is left out, and counted.
    assert (answer.status, answer.body) == (200, b"{}")
    assert knows.asked == [QUESTION]


def test_misfits_are_counted() -> None:
    told: list[Told] = []
    asked(an_app(told=told), "ListServices")
    assert told[0].misfits == ("ListServicesResponse.clusterArns",)


def test_an_exception_that_the_operations_model_lacks_is_a_misfit() -> None:
    told: list[Told] = []
    knows = Knows(ApiError("TaskSetNotFoundException", "x"))
    answer = asked(an_app(knows=knows, told=told), "ListServices")
    assert (answer.status, code_of(answer)) == (400, "TaskSetNotFoundException")
    assert told[0].misfits == ("ListServices: TaskSetNotFoundException",)


def test_what_another_service_refuses_is_told() -> None:
    knows = Knows(ApiError("InvalidParameterException", "The target group does not exist."))
    answer = asked(an_app(knows=knows), "ListServices")
    assert json.loads(answer.body) == {
        "__type": "InvalidParameterException",
        "message": "The target group does not exist.",
    }


def test_an_operation_that_asks_without_end_is_stopped() -> None:
    told: list[Told] = []
    knows = Knows()
    assert asked(an_app(knows=knows, told=told), "ListTasks").status == 500
    assert len(knows.asked) == 8
    assert "asks without end" in str(told[0].error)


class GatedStore(MemoryStore):
    """A store whose disk waits to be told."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.third = asyncio.Event()
        self.commits: list[bool] = []

    async def commit(self, changes: Changes) -> None:
        self.apply(changes)
        await self._durable(changed=True)

    async def known[T](self, look: Callable[[], T], found: T) -> T:  # noqa: ARG002 - nothing is taken back
        await self._durable(changed=False)
        return found

    async def _durable(self, *, changed: bool) -> None:
        self.commits.append(changed)
        if len(self.commits) > 2:
            self.third.set()
        await self.gate.wait()


def test_nothing_is_told_before_it_is_kept() -> None:
    async def play() -> None:
        store = GatedStore()
        app = an_app(store)
        heads = {
            name: RequestHead(method=b"POST", target=f"/v1/{name}".encode(), fields=((b"Host", b"x"),))
            for name in ("CreateCluster", "ListClusters", "DescribeClusters")
        }
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(app.answer(head, b"")) for head in heads.values()]
            await store.third.wait()
            # The list and the refusal have seen the cluster that is not kept yet: they wait as well.
            assert store.commits == [True, False, False]
            assert not any(call.done() for call in calls)
            store.gate.set()
        assert [call.result().status for call in calls] == [200, 200, 400]

    asyncio.run(play())


def test_who_was_told_what_is_taken_back_is_asked_anew_when_its_changes_can_be_applied_at_once() -> None:
    """An operation that had nothing to do, for what another had done and could not be kept, does it itself."""

    def once(request: Request, state: State) -> Outcome | Ask:
        if QUESTION not in request.answers:
            return Ask((QUESTION,))
        return Outcome(body={}) if state.count(Cluster) else create(request, state)

    class TakesBack(MemoryStore):
        async def known[T](self, look: Callable[[], T], found: T) -> T:
            self.apply(Changes(delete=tuple(self.state.every(Cluster))))
            return look() if found == Outcome(body={}) else found

    store = TakesBack(State([a_cluster("theirs")]))
    answer = asked(App(store, Knows(), operations={"CreateCluster": once}), "CreateCluster", {"clusterName": "ours"})
    assert json.loads(answer.body)["cluster"]["clusterArn"] == a_cluster("ours").arn
    assert [cluster.name for cluster in store.state.every(Cluster)] == ["ours"]


def test_what_can_not_be_kept_is_refused() -> None:
    class Full(MemoryStore):
        async def commit(self, changes: Changes) -> None:
            raise ApiError("ServerException", f"no space left for {len(changes.put)} records")

    answer = asked(an_app(Full()), "CreateCluster")
    assert (answer.status, code_of(answer)) == (500, "ServerException")


def test_an_operation_knows_its_request() -> None:
    seen: list[Request] = []

    def look(request: Request, _state: State) -> Outcome:
        seen.append(request)
        return Outcome(body={})

    app = App(MemoryStore(), Knows(), operations={"ListClusters": look})
    before = datetime.now(UTC)
    asked(app, "ListClusters", {"maxResults": 5})
    (request,) = seen
    assert (request.operation, request.params) == ("ListClusters", {"maxResults": 5})
    assert request.principal_arn == "arn:aws:iam::000000000000:root"
    assert before <= request.now <= datetime.now(UTC)
    assert len(request.ids.hex32()) == 32
    assert request.ids.digits19().isdigit()
    assert len(request.ids.digits19()) == 19
    assert str(UUID(request.ids.uuid()))


def test_boto3_over_a_socket() -> None:
    lab = EcsLab(operations=TOYS)
    with lab.served() as url:
        client = ecs_client(url)
        client.create_cluster(clusterName="c")
        assert client.list_clusters()["clusterArns"] == [a_cluster("c").arn]
        with pytest.raises(client.exceptions.InvalidParameterException, match=r"1 validation error detected"):
            client.list_tasks(launchType="MOON")
        with pytest.raises(ClientError) as raised:
            client.list_gateways()
    assert raised.value.response["Error"] == {
        "Code": "UnsupportedFeatureException",
        "Message": "ListGateways is not supported by this control plane.",
    }
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def sent(
    url: str, method: str, path: str, body: bytes = b"", fields: Mapping[str, str] | None = None
) -> tuple[int, Any, Mapping[str, str]]:
    connection = HTTPConnection(urlsplit(url).netloc, timeout=30)
    try:
        connection.request(method, path, body, dict(fields or {}))
        response = connection.getresponse()
        raw = response.read()
        return response.status, raw, {name.lower(): value for name, value in response.getheaders()}
    finally:
        connection.close()


def test_the_plain_form_by_curl() -> None:
    with EcsLab(operations=TOYS).served() as url:
        fields = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": f"{TARGET}.CreateCluster"}
        status, raw, _ = sent(url, "POST", "/v1/CreateCluster", b'{"clusterName": "c"}', fields)
        assert (status, json.loads(raw)) == (200, {"cluster": {"clusterArn": a_cluster("c").arn}})
        status, raw, answered = sent(url, "POST", "/v1/ListClusters")
        assert (status, json.loads(raw)) == (200, {"clusterArns": [a_cluster("c").arn]})
        assert answered["content-type"] == "application/x-amz-json-1.1"


def test_cbor_over_a_socket() -> None:
    fields = {"Smithy-Protocol": "rpc-v2-cbor", "Content-Type": "application/cbor", "Accept": "application/cbor"}
    with EcsLab(operations=TOYS).served() as url:
        path = f"/service/{TARGET}/operation/CreateCluster"
        status, raw, answered = sent(url, "POST", path, cbor.dumps({"clusterName": "c"}), fields)
        assert (status, cbor.loads(raw)) == (200, {"cluster": {"clusterArn": a_cluster("c").arn}})
        assert answered["smithy-protocol"] == "rpc-v2-cbor"
        status, raw, _ = sent(url, "POST", path, b"\xff", fields)
        assert (status, cbor.loads(raw)) == (400, {"__type": "com.amazonaws.ecs#SerializationException"})


def test_what_is_no_call_is_refused_politely() -> None:
    with EcsLab(operations=TOYS).served() as url:
        status, raw, answered = sent(url, "GET", "/")
        assert (status, answered["allow"]) == (405, "POST")
        assert "by POST" in json.loads(raw)["message"]
        assert sent(url, "GET", "/robots.txt")[0] == 404
        assert sent(url, "HEAD", "/")[:2] == (405, b"")
        status, raw, _ = sent(url, "POST", "/")
        assert (status, json.loads(raw)) == (400, {"__type": "UnknownOperationException"})


def test_bodies_have_a_bound() -> None:
    with EcsLab(operations=TOYS).served() as url:
        fits = json.dumps({"clusterName": "c", "x": "y" * (BODY_MAX - 100)}).encode()
        assert sent(url, "POST", "/v1/CreateCluster", fits)[0] == 200
        status, raw, answered = sent(url, "POST", "/v1/CreateCluster", b" " * (BODY_MAX + 1))
        assert (status, json.loads(raw)["__type"]) == (413, "RequestEntityTooLargeException")
        assert answered["connection"] == "close"


def asgi(app: App, messages: list[dict[str, Any]], **scope: Any) -> list[dict[str, Any]]:
    """Call an ASGI application with messages; return what it sends."""
    waiting = iter(messages)
    answered: list[dict[str, Any]] = []

    async def receive() -> Mapping[str, Any]:
        return next(waiting)

    async def send(message: dict[str, Any]) -> None:
        answered.append(message)

    usual = {"type": "http", "method": "POST", "path": "/v1/ListClusters", "headers": [], "query_string": b""}
    asyncio.run(app(usual | scope, receive, send))
    return answered


def test_bodies_come_in_pieces() -> None:
    pieces: list[dict[str, Any]] = [
        {"type": "http.request", "body": b'{"max', "more_body": True},
        {"type": "http.request", "more_body": True},
        {"type": "http.request", "body": b'Results": "x"}'},
    ]
    start, body = asgi(an_app(), pieces)
    assert start["status"] == 400
    assert json.loads(body["body"])["message"] == "STRING_VALUE cannot be converted to Integer"


def test_a_client_that_goes_is_not_answered() -> None:
    pieces: list[dict[str, Any]] = [
        {"type": "http.request", "body": b"{", "more_body": True},
        {"type": "http.disconnect"},
    ]
    assert asgi(an_app(), pieces) == []
    assert asgi(an_app(), [], type="websocket") == []


def test_an_endless_body_is_not_read_to_its_end() -> None:
    piece = {"type": "http.request", "body": b"x" * (1 << 19), "more_body": True}
    start, _ = asgi(an_app(), [piece] * 16)
    assert start["status"] == 413


METHODS = st.sampled_from(["POST", "GET", "PUT", "DELETE", "OPTIONS", "x"])
NAMES = st.sampled_from([b"x-amz-target", b"authorization", b"content-type", b"smithy-protocol", b"host"])
TARGETS = st.sampled_from([f"{TARGET}.{name}".encode() for name in shapes.operation_names()])
PATHS = st.sampled_from(["/", "/v1/ListTasks", f"/service/{TARGET}/operation/RunTask"]) | st.text(max_size=8)


@settings(max_examples=300)
@given(METHODS, PATHS, st.lists(st.tuples(NAMES, st.binary(max_size=40) | TARGETS), max_size=3), st.binary(max_size=60))
def test_any_bytes_get_an_answer_of_ours(
    method: str, path: str, fields: list[tuple[bytes, bytes]], body: bytes
) -> None:
    told: list[Told] = []
    head = RequestHead(method=method.encode(), target=path.encode("utf-8", "replace") or b"/", fields=tuple(fields))
    answer = asyncio.run(App(MemoryStore(), Knows(), told=told.append).answer(head, body))
    names = {name for name, _ in answer.fields}
    assert {b"Content-Type", b"x-amzn-RequestId"} <= names
    assert told[0].error is None
    assert not told[0].misfits
    assert answer.status in {200, 400, 404, 405}
    if dict(answer.fields)[b"Content-Type"] == b"application/cbor":
        document = cbor.loads(answer.body)
    else:
        document = json.loads(answer.body)
    assert isinstance(document, dict)
    assert answer.status == 200 or isinstance(document["__type"], str)


def test_the_lab_serves_any_application() -> None:
    async def app(_scope: Any, _receive: Any, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    with serving(app) as url:
        assert sent(url, "GET", "/")[0] == 204
