"""What the planner says of calls holds for every call it is said of: decided, answered, logged and counted alike."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plans_lab import mutated, said, spelled
from sidecar_lab import NOW, configuration, connection

from kecs.aws.errors import extended_request_id
from kecs.aws.head import ResponseHead
from kecs.aws.profiles import PROFILES
from kecs.calls.metrics import Tally
from kecs.core.errors import ProtocolError
from kecs.relay import framing
from kecs.relay.decide import Exchange, Forward, Gather
from kecs.relay.plans import AnswerPlan, RequestPlan, plan_answer, plan_request
from kecs.sidecar.decider import SidecarDecider

FIELDS_MAX = 60
CALM = settings(suppress_health_check=list(HealthCheck))
KEY = "AKIDEXAMPLE/20260101/eu-west-1/{}/aws4_request"
SIGNED = "AWS4-HMAC-SHA256 Credential=" + KEY + ", SignedHeaders=host;x-amz-date, Signature=0123"
SIGNED_4A = "AWS4-ECDSA-P256-SHA256 Credential=AKIDEXAMPLE/20260101/{}/aws4_request, SignedHeaders=host, Signature=30"
JSON = "application/x-amz-json-1.0"
FORM = "application/x-www-form-urlencoded; charset=utf-8"
QUERY = (
    "?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKID%2F20260101%2Feu-west-1%2F{}%2Faws4_request&X-Amz-Date=d"
)
PRESIGNED = QUERY.format("s3") + "&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=00"
TOKENED = QUERY.format("s3") + "&X-Amz-Security-Token=real&X-Amz-Signature=00"
S3 = "s3.eu-west-1.amazonaws.com"
BUCKET = "b.s3.eu-west-1.amazonaws.com"
DDB = "dynamodb.eu-west-1.amazonaws.com"
LAMBDA = "lambda.eu-west-1.amazonaws.com"
EXPRESS = "b--euw1-az1--x-s3.s3express-euw1-az1.eu-west-1.amazonaws.com"


def raw(first: str, host: str, **fields: str) -> bytes:
    """Spell a request; underscores in names stand for hyphens."""
    pairs = [("Host", host), *((name.replace("_", "-"), value) for name, value in fields.items())]
    return spelled(f"{first} HTTP/1.1".encode(), [(name.encode(), value.encode()) for name, value in pairs])


def signed(first: str, host: str, service: str, **fields: str) -> bytes:
    """Spell a signed request."""
    return raw(first, host, X_Amz_Date="20260101T000000Z", Authorization=SIGNED.format(service), **fields)


def asks(first: str, host: str, service: str, target: str, content: str = JSON, **fields: str) -> bytes:
    """Spell a request of the JSON protocol."""
    return signed(first, host, service, X_Amz_Target=target, Content_Type=content, Content_Length="2", **fields)


TOKEN = {"X_Amz_Security_Token": "t"}
REQUESTS = {
    "get an object": signed("GET /b/key", S3, "s3"),
    "get an object with a token": signed("GET /b/a/key?x-id=GetObject", S3, "s3", **TOKEN),
    "put an object": signed("PUT /b/key?x-id=PutObject", S3, "s3", Content_Length="3", X_Amz_Content_SHA256="x"),
    "head an object": signed("HEAD /b/key", S3, "s3"),
    "delete an object": signed("DELETE /b/key", S3, "s3"),
    "post an object": signed("POST /b/key", S3, "s3", Content_Length="2", Content_Type="multipart/form-data"),
    "copy an object": signed("PUT /b/key", S3, "s3", x_amz_copy_source="/b/k", Content_Length="0"),
    "a key in the host's bucket": signed("GET /key", BUCKET, "s3", **TOKEN),
    "a deep key in the host's bucket": signed("PUT /a/key", BUCKET, "s3", Content_Length="3"),
    "a dotted bucket": signed("GET /key", "a.b.s3.eu-west-1.amazonaws.com", "s3"),
    "an old host": signed("GET /key", "b.s3-eu-west-1.amazonaws.com", "s3"),
    "accelerated": signed("GET /key", "b.s3-accelerate.amazonaws.com", "s3"),
    "dual stack": signed("GET /b/key", "s3.dualstack.eu-west-1.amazonaws.com", "s3"),
    "a directory bucket": signed("GET /key", EXPRESS, "s3express", x_amz_s3session_token="t"),
    "a part": signed("PUT /b/key?partNumber=1&uploadId=u", S3, "s3", Content_Length="3"),
    "a list": signed("GET /b?list-type=2&prefix=p", S3, "s3"),
    "buckets": signed("GET /", S3, "s3"),
    "the control plane of S3": signed(
        "GET /v20180820/bucket/b", "123456789012.s3-control.eu-west-1.amazonaws.com", "s3"
    ),
    "a path of the control plane on S3": signed("GET /v20180820/b/key", S3, "s3"),
    "a path of CBOR on S3": signed("GET /service/b/key", S3, "s3"),
    "unsigned": raw("GET /b/key", S3, Accept="*/*"),
    "presigned": raw("GET /b/key" + PRESIGNED, S3),
    "presigned with a token": raw("GET /b/key" + TOKENED, S3),
    "presigned on the host's bucket": raw("GET /key" + PRESIGNED, BUCKET),
    "signed by version 2": raw("GET /b/key", S3, Authorization="AWS AKID:sig"),
    "an item": asks("POST /", DDB, "dynamodb", "DynamoDB_20120810.PutItem"),
    "an item with a token": asks("POST /", DDB, "dynamodb", "DynamoDB_20120810.GetItem", **TOKEN),
    "an item with a trace": asks("POST /", DDB, "dynamodb", "DynamoDB_20120810.Query", smithy_protocol="x"),
    "an account's host": asks(
        "POST /", "123456789012.ddb.eu-west-1.amazonaws.com", "dynamodb", "DynamoDB_20120810.GetItem"
    ),
    "a message": asks(
        "POST /", "sqs.eu-west-1.amazonaws.com", "sqs", "AmazonSQS.SendMessage", x_amzn_query_mode="true"
    ),
    "an unsigned message": raw(
        "POST /", "sqs.eu-west-1.amazonaws.com", X_Amz_Target="AmazonSQS.SendMessage", Content_Length="2"
    ),
    "a queue's form": signed("POST /", "sqs.eu-west-1.amazonaws.com", "sqs", Content_Type=FORM, Content_Length="0"),
    "a role by query": signed(
        "GET /?Action=GetCallerIdentity&Version=2011-06-15", "sts.eu-west-1.amazonaws.com", "sts"
    ),
    "a task": asks(
        "POST /", "ecs.eu-west-1.amazonaws.com", "ecs", "AmazonEC2ContainerServiceV20141113.RunTask",
        "application/x-amz-json-1.1"
    ),
    "a function": signed("POST /2015-03-31/functions/f/invocations", LAMBDA, "lambda", Content_Length="2"),
    "a function in another protocol": signed(
        "POST /2015-03-31/functions/f/invocations", LAMBDA, "lambda", smithy_protocol="x", Content_Length="2"
    ),
    "functions": signed("GET /2015-03-31/functions", LAMBDA, "lambda", Origin="https://example.org"),
    "an object for a browser": signed("GET /b/key", S3, "s3", Origin="https://example.org"),
    "by version 4A": raw("GET /b/key", S3, X_Amz_Region_Set="eu-west-1", Authorization=SIGNED_4A.format("s3")),
    "events by version 4A": raw(
        "POST /", "events.eu-west-1.amazonaws.com", X_Amz_Region_Set="*", Authorization=SIGNED_4A.format("events"),
        X_Amz_Target="AWSEvents.PutEvents", Content_Type="application/x-amz-json-1.1", Content_Length="2"
    ),
    "by a bearer": raw(
        "POST /model/m/count-tokens", "bedrock-runtime.eu-west-1.amazonaws.com", Authorization="Bearer key",
        Content_Length="2"
    ),
    "metrics in CBOR": signed(
        "POST /service/GraniteServiceVersion20100801/operation/PutMetricData", "monitoring.eu-west-1.amazonaws.com",
        "monitoring", smithy_protocol="rpc-v2-cbor", Content_Type="application/cbor", Content_Length="2"
    ),
    "metrics without a type": signed(
        "POST /service/GraniteServiceVersion20100801/operation/PutMetricData", "monitoring.eu-west-1.amazonaws.com",
        "monitoring", smithy_protocol="rpc-v2-cbor"
    ),
    "records in CBOR": asks(
        "POST /", "kinesis.eu-west-1.amazonaws.com", "kinesis", "Kinesis_20131202.PutRecord",
        "application/x-amz-cbor-1.1"
    ),
    "an API": raw("GET /prod/x", "abc123.execute-api.eu-west-1.amazonaws.com", Accept="*/*"),
    "an API's connection": signed(
        "POST /prod/@connections/x", "abc123.execute-api.eu-west-1.amazonaws.com", "execute-api", Content_Length="2"
    ),
    "a website": raw("GET /key", "b.s3-website.eu-west-1.amazonaws.com"),
    "a function's URL": raw("GET /x", "abc.lambda-url.eu-west-1.on.aws"),
    "a certificate": raw("GET /SimpleNotificationService-0.pem", "sns.eu-west-1.amazonaws.com"),
    "a stranger": raw("GET /", "nosuch.eu-west-1.amazonaws.com"),
    "not AWS": raw("GET /", "example.org"),
}  # fmt: skip
KEYS = [
    "/b/other", "/b/a/b/c", "/b/%41%2F", "/b/", "/b", "/b//x", "/b/v20180820/x", "/v20180820/x",
        "/v20180820/bucket/b", "/service/x",
    "/service/a/operation/b", "/b/X-Amz-Signature=00", "/b/?", "/b/k?acl", "/b/k?x-id=GetObject",
        "/b/k?x-id=Get%20", "/b/k#x",
    "/other/key", "/WriteGetObjectResponse", "/b/WriteGetObjectResponse", "/", "//", "/x",
        "/SimpleNotificationService-1.pem", "/%62/k",
    "/b/k?X-Amz-Security-Token=t", "/b/k?Action=ListQueues", "/2015-03-31/functions", "/b/" + "k" * 600, "/k/",
]  # fmt: skip
TRAPS: dict[bytes, list[str]] = {
    b"host": [S3, BUCKET, DDB, "c.s3.eu-west-1.amazonaws.com", "example.org", "s3.eu-west-1.amazonaws.com:443",
        "S3.eu-west-1.amazonaws.com"],
    b"authorization": [
        SIGNED.format("s3").replace("0123", "4567"), SIGNED.format("s3").replace("AKID", "ASIA"), SIGNED.format("sqs"),
        SIGNED.format("s3").replace("eu-west", "us-west"), SIGNED_4A.format("s3"), "Bearer real", "AWS AKID:other", "x",
        "Basic x",
        "AWS4-HMAC-SHA256 Credential=A", SIGNED.format("s3").replace(", ", ","),
        SIGNED.format("s3").replace("host;x", "host;y;x"),
    ],
    b"content-type": [JSON, "application/json", "application/cbor", "application/x-amz-cbor-1.1", FORM,
        "multipart/form-data; b=c", "text/xml"],
    b"smithy-protocol": ["rpc-v2-cbor", "RPC-V2-CBOR", "x"],
    b"x-amz-target": ["DynamoDB_20120810.GetItem", "AmazonSQS.SendMessage", "x", "."],
    b"x-amzn-query-mode": ["true", "false"],
    b"x-amz-region-set": ["*", "us-east-1", "eu-west-1,us-east-1"],
    b"x-amz-date": ["20270101T000000Z", "x", "2026"],
    b"origin": ["null", "https://s3.eu-west-1.amazonaws.com"],
    b"content-length": ["0", "1", "5", "007", "70000"],
    b"x-amz-security-token": ["other", "x-amz-security-token"],
    b"x-amz-copy-source": ["/other/key", "x"],
}  # fmt: skip
WORDS = [
    "v",
    "gzip",
    "rpc-v2-cbor",
    "application/cbor",
    "true",
    "x-localstack",
    "aws-chunked",
    "100%",
    "Bearer x",
    "\u00e9",
]
PLACES = [(name, host) for name in PROFILES for host in ("127.0.0.1", "192.0.2.9")]


@dataclass(kw_only=True)
class Sidecar:
    """A decider and what it logs."""

    profile: str
    host: str
    accounts: tuple[str, ...] = ()
    lines: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        config = configuration(profile=self.profile, backend_host=self.host, accounts=self.accounts)
        self.decider = SidecarDecider(config, log=self.lines.append, clock=lambda: NOW)

    def decide(self, head: bytes, name: str) -> tuple[Exchange, Forward | None, framing.Request]:
        """Decide the ordinary way, as far as that needs no body."""
        request = framing.request(head, fields_max=FIELDS_MAX)
        exchange = Exchange(connection=connection(), name=name, head=request.head, body_whole=request.body.done)
        wanted = not request.body.done and self.decider.body_wanted(exchange.connection, request.head)
        decision = None if wanted else self.decider.request(exchange, b"")
        return exchange, decision if isinstance(decision, Forward) else None, request

    def plan(self, head: bytes, name: str) -> tuple[RequestPlan | None, Exchange]:
        """Return the plan made of a request, by the fast path's rules."""
        exchange, forward, request = self.decide(head, name)
        sized = b"content-length" in request.head.shape.index
        if forward is None or (sized and self.decider.body_wanted(exchange.connection, request.head)):
            return None, exchange
        same = self.decider.same(exchange, forward)
        if same is None:
            return None, exchange
        made = plan_request(
            request.head, forward.head, same, forward.upstream, keep_alive=request.keep_alive, fields_max=FIELDS_MAX
        )
        return made, exchange


def name_of(head: bytes) -> str:
    return re.search(rb"Host: ([^\r]*)", head)[1].decode()  # type: ignore[index]  # all have one


@st.composite
def changed(draw: st.DrawFn, head: bytes) -> bytes:
    """Change a request's key and values, as other calls of the program do, and as traps do."""
    first, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    if draw(st.integers(0, 2)) == 0:
        method, _, rest = first.split(b" ")
        first = b" ".join((method, draw(st.sampled_from(KEYS)).encode(), rest))
    spoken = []
    for line in lines:
        name, _, value = line.partition(b": ")
        if draw(st.integers(0, 3)) == 0:
            value = draw(st.sampled_from([*TRAPS.get(name.lower(), []), *WORDS])).encode("latin-1")
        spoken.append((name, value))
    return draw(mutated(spelled(first, spoken))) if draw(st.integers(0, 4)) == 0 else spelled(first, spoken)


def check(sidecar: Sidecar, plan: RequestPlan, head: bytes, name: str) -> Exchange | None:
    """Hold the plan to the ordinary decision on a request that it takes; return the exchange."""
    match = plan.match(head)
    if match is None:
        return None
    exchange, forward, request = sidecar.decide(head[: match.end()], name)
    assert forward is not None
    assert forward.body is None
    assert forward.upstream == plan.upstream
    assert request.keep_alive == plan.keep_alive
    assert said(request.body) == (int(match[plan.length]) if plan.length else 0)
    ordinary = framing.write_request(forward.head, upgrade=request.upgrade, http_1_0=request.http_1_0)
    assert (head[: match.end()] if plan.whole else plan.spell(match)) == ordinary
    exchange.upstream = forward.upstream
    return exchange


@pytest.mark.parametrize(("profile", "host"), PLACES)
@given(data=st.data(), which=st.sampled_from(sorted(REQUESTS)))
@CALM
def test_a_call_that_is_planned_is_forwarded_as_it_would_be(
    profile: str, host: str, which: str, data: st.DataObject
) -> None:
    sidecar = Sidecar(profile=profile, host=host)
    head = REQUESTS[which]
    plan, _ = sidecar.plan(head, name_of(head))
    if plan is None:
        return
    assert check(sidecar, plan, head, name_of(head)) is not None
    for _ in range(4):
        check(sidecar, plan, data.draw(changed(head)), name_of(head))


@pytest.mark.parametrize(("profile", "host"), PLACES)
@pytest.mark.parametrize("which", REQUESTS)
def test_every_trap_in_every_place(profile: str, host: str, which: str) -> None:
    meets_every_trap(Sidecar(profile=profile, host=host), REQUESTS[which])


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("which", REQUESTS)
def test_every_trap_in_every_place_where_keys_name_accounts(profile: str, which: str) -> None:
    accounts = ("AKIDEXAMPLE=111122223333", "AKID=222233334444")
    meets_every_trap(Sidecar(profile=profile, host="127.0.0.1", accounts=accounts), REQUESTS[which])


def meets_every_trap(sidecar: Sidecar, head: bytes) -> None:
    """Change the key, and each value, in every way that is known to matter somewhere."""
    plan, _ = sidecar.plan(head, name_of(head))
    if plan is None:
        return
    method, target, version = head.partition(b"\r\n")[0].split(b" ")
    for key in KEYS:
        check(
            sidecar,
            plan,
            head.replace(b" ".join((method, target, version)), b" ".join((method, key.encode(), version)), 1),
            name_of(head),
        )
    lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")[1:]
    for line in lines:
        name = line.partition(b": ")[0]
        for trap in (*TRAPS.get(name.lower(), []), *WORDS):
            check(sidecar, plan, head.replace(line, name + b": " + trap.encode("latin-1")), name_of(head))


ID = b"11111111-2222-4333-8444-555555555555"
AT = b"Sat, 21 Nov 2026 05:28:30 GMT"
ANSWERS = {
    "S3's": [(b"x-amz-request-id", ID), (b"x-amz-id-2", b"x"), (b"ETag", b"e"), (b"Date", AT), (b"Content-Length",
        b"3")],
    "S3's without ids": [(b"Server", b"Werkzeug"), (b"Content-Type", b"text/plain"), (b"Content-Length", b"3"),
        (b"Connection", b"keep-alive")],
    "S3's with another's id": [(b"x-amzn-RequestId", ID), (b"Content-Length", b"3")],
    "JSON": [(b"Content-Type", JSON.encode()), (b"x-amzn-requestid", ID), (b"Content-Length", b"3"), (b"Date", AT)],
    "both ids": [(b"x-amz-request-id", ID), (b"x-amzn-requestid", b"other"), (b"Content-Length", b"3")],
    "betraying": [(b"X-Localstack", b"true"), (b"x-moto-version", b"5"), (b"Content-Length", b"0"), (b"Server",
        b"hypercorn")],
    "for browsers": [(b"Access-Control-Allow-Origin", b"*"), (b"Content-Length", b"3"), (b"Date", AT)],
    "elsewhere": [(b"Location", b"http://localhost:4566/b"), (b"Content-Length", b"0")],
    "packed": [(b"Content-Type", b"application/json"), (b"Content-Encoding", b"gzip"), (b"Content-Length", b"3"),
        (b"x-amz-crc32", b"1")],
    "marks": [(b"X-A", b"(date)"), (b"x-b", b"(request id)"), (b"Content-Length", b"3")],
    "typed": [(b"Content-Type", b"application/xml"), (b"Content-Length", b"3"), (b"Cache-Control", b"x")],
}  # fmt: skip
ANSWER_WORDS = [
    b"other", b"gzip", b"(date)", b"(request id)", b"http://localhost.localstack.cloud:4566/x", b"x-localstack",
        b"text/html",
    b"application/json", b"\xe9id", b"a b", b"0", b"3", b"70000", b"5000000", b"keep-alive", b"close",
        b"text/event-stream", b"%b",
]  # fmt: skip


def of_ours(told: bytes, identity: bytes) -> bytes:
    """Put one word for a request id, and for its extension, which is random for one of ours."""
    told = told.replace(extended_request_id(identity.decode("latin-1")).encode(), b"EXTENDED").replace(identity, b"ID")
    return re.sub(rb"(x-amz-id-2: )[A-Za-z0-9+/]{75}=\r", rb"\1EXTENDED\r", told)


@st.composite
def other_answers(draw: st.DrawFn, taught: bytes) -> bytes:
    first, *lines = taught.removesuffix(b"\r\n\r\n").split(b"\r\n")
    spoken = []
    for line in lines:
        name, _, value = line.partition(b": ")
        spoken.append((name, draw(st.sampled_from(ANSWER_WORDS)) if draw(st.integers(0, 3)) == 0 else value))
    return draw(mutated(spelled(first, spoken))) if draw(st.integers(0, 4)) == 0 else spelled(first, spoken)


def counted(tally: Tally, note: Callable[[], None]) -> dict[object, float]:
    """Return what taking note counts."""

    def all_counts() -> dict[object, float]:
        tally.settle()
        found: dict[object, float] = {"seconds": tally.duration_sum, "in": tally.bytes_in, "out": tally.bytes_out}
        found.update({label: count for label, count in tally.calls.items()})  # noqa: C416 - labels are of another type
        found.update(enumerate(tally.durations))
        found.update(tally.failures)
        return found

    before = all_counts()
    note()
    return {name: count - before.get(name, 0) for name, count in all_counts().items() if count != before.get(name, 0)}


def check_answer(sidecar: Sidecar, plan: RequestPlan, answer: AnswerPlan, head: bytes, exchange: Exchange) -> None:
    """Hold an answer's plan to what the decider makes of the answer, says of it and counts."""
    match = answer.match(head)
    if match is None:
        return
    found = framing.response(head[: match.end()], method=plan.method)
    made = sidecar.decider.response(exchange, found.head)
    assert not isinstance(made, Gather)
    assert found.keep_alive
    told, identity = answer.spell(match)
    usual = exchange.context.request_id.encode("latin-1")
    given = found.head.get(b"x-amzn-requestid") or found.head.get(b"x-amz-request-id")
    assert identity == given if given else len(identity) == len(usual)
    ordinary = framing.write_response(made, extra=())
    if given:
        assert told == ordinary
    else:
        assert of_ours(told, identity) == of_ours(ordinary, usual)
    exchange.status, exchange.started, exchange.ended = answer.status, 5.0, 5.25
    exchange.request_bytes, exchange.response_bytes = 7, 11
    tally = sidecar.decider.tally
    usual_counts = counted(tally, lambda: sidecar.decider.record(exchange))
    counts = counted(tally, lambda: plan.same.note(5.0, 5.25, answer.status, 7, 11, identity))
    assert counts == usual_counts
    assert not tally.failures
    usual_line, planned_line = sidecar.lines[-2:]
    assert (
        planned_line.replace(identity, b"ID") == usual_line.replace(usual, b"ID")
        if not given
        else planned_line == usual_line
    )
    assert json.loads(planned_line)["status"] == answer.status


@pytest.mark.parametrize("place", PLACES)
@given(
    data=st.data(),
    which=st.sampled_from(sorted(REQUESTS)),
    kind=st.sampled_from(sorted(ANSWERS)),
    status=st.sampled_from([b"200 OK", b"206 Partial Content", b"202 Accepted"]),
)
@CALM
def test_a_planned_answer_is_told_noted_and_counted_as_it_would_be(
    place: tuple[str, str], which: str, kind: str, status: bytes, data: st.DataObject
) -> None:
    sidecar = Sidecar(profile=place[0], host=place[1])
    head = REQUESTS[which]
    plan, _ = sidecar.plan(head, name_of(head))
    if plan is None:
        return
    taught = spelled(b"HTTP/1.1 " + status, ANSWERS[kind])
    found = framing.response(taught, method=plan.method)
    same = plan.same.answer(found.head)
    answer = None if same is None else plan_answer(plan, found.head, same)
    if answer is None:
        return
    exchange = check(sidecar, plan, head, name_of(head))
    assert exchange is not None
    check_answer(sidecar, plan, answer, taught, exchange)
    for _ in range(3):
        check_answer(sidecar, plan, answer, data.draw(other_answers(taught)), exchange)


@pytest.mark.parametrize(
    ("which", "kind"),
    [("get an object", "S3's"), ("put an object", "S3's without ids"), ("head an object", "S3's"), ("an item", "JSON"),
     ("a deep key in the host's bucket", "typed"), ("a function", "JSON"), ("get an object with a token", "betraying")],
)  # fmt: skip
@pytest.mark.parametrize(("profile", "host"), PLACES)
def test_what_programs_do_all_day_is_planned(profile: str, host: str, which: str, kind: str) -> None:
    sidecar = Sidecar(profile=profile, host=host)
    head = REQUESTS[which]
    plan, _ = sidecar.plan(head, name_of(head))
    assert plan is not None
    other = (
        head.replace(b"key", b"another/key")
        .replace(b"Signature=0123", b"Signature=9")
        .replace(b"20260101T", b"20260102T")
    )
    exchange = check(sidecar, plan, other, name_of(head))
    assert exchange is not None
    taught = spelled(b"HTTP/1.1 200 OK", ANSWERS[kind])
    found = framing.response(taught, method=plan.method)
    same = plan.same.answer(found.head)
    assert same is not None
    answer = plan_answer(plan, found.head, same)
    assert answer is not None
    assert answer.match(taught) is not None
    check_answer(sidecar, plan, answer, taught, exchange)


@pytest.mark.parametrize("which", ["a queue's form", "by a bearer", "a stranger", "not AWS"])
def test_what_is_told_by_a_body_or_refused_is_never_planned(which: str) -> None:
    sidecar = Sidecar(profile="moto-server", host="192.0.2.9")
    plan, _ = sidecar.plan(REQUESTS[which], name_of(REQUESTS[which]))
    assert plan is None


def test_what_is_asked_of_an_answer_changes_nothing_of_the_call_the_plan_was_made_of() -> None:
    """That call may be under way yet: its line has the id that its own answer gave."""
    sidecar = Sidecar(profile="moto-server", host="127.0.0.1")
    head = REQUESTS["get an object"]
    plan, exchange = sidecar.plan(head, S3)
    assert plan is not None
    own = ResponseHead(status=200, reason=b"OK", fields=((b"x-amz-request-id", b"own"),))
    sidecar.decider.response(exchange, own)
    assert (
        plan.same.answer(ResponseHead(status=200, reason=b"OK", fields=((b"x-amz-request-id", b"other"),))) is not None
    )
    assert exchange.context.request_id == "own"


def test_a_date_of_ours_is_the_date_of_the_answer() -> None:
    now = [NOW]
    decider = SidecarDecider(configuration(profile="moto-server"), clock=lambda: now[0])
    sidecar = Sidecar(profile="moto-server", host="127.0.0.1")
    sidecar.decider = decider
    plan, _ = sidecar.plan(REQUESTS["get an object"], S3)
    assert plan is not None
    taught = spelled(b"HTTP/1.1 200 OK", ANSWERS["S3's without ids"])
    found = framing.response(taught, method=b"GET")
    same = plan.same.answer(found.head)
    assert same is not None
    answer = plan_answer(plan, found.head, same)
    assert answer is not None
    match = answer.match(taught)
    assert match is not None
    assert b"Date: Sat, 21 Nov 2026 05:28:30 GMT\r\n" in answer.spell(match)[0]
    now[0] += timedelta(seconds=61)
    assert b"Date: Sat, 21 Nov 2026 05:29:31 GMT\r\n" in answer.spell(match)[0]


def test_a_head_that_is_refused_has_no_plan() -> None:
    with pytest.raises(ProtocolError):
        Sidecar(profile="moto-server", host="127.0.0.1").plan(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "a")
