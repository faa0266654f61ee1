"""What each backend is never asked, and what a client is told instead. Every cell was measured at the backend itself.

x: refused; o: passed on, since the backend answers it.
"""

from typing import Any

import aws_lab
import pytest
from botocore.parsers import create_parser
from hypothesis import given
from hypothesis import strategies as st

from kecs.aws.canonical import canonicalise
from kecs.aws.canonical_types import Changed, Refusal
from kecs.aws.classify import classify
from kecs.aws.errors import error_answer
from kecs.aws.forms import Form, form_of
from kecs.aws.head import RequestHead
from kecs.aws.profiles import PROFILES

BACKENDS = ("embedded", "moto-server", "ministack", "localstack", "generic")
POINT = "arn:aws:s3:eu-west-1:123456789012:accesspoint/some"
LAMBDA = "arn:aws:s3-object-lambda:eu-west-1:123456789012:accesspoint/some"
OUTPOST = "arn:aws:s3-outposts:eu-west-1:123456789012:outpost/op-01234567890123456/accesspoint/some"


def called(service: str, operation: str, **given: Any) -> RequestHead:
    return aws_lab.sent(aws_lab.client(service, "eu-west-1"), operation, **given).head


def asked(host: str, path: str = "/") -> RequestHead:
    return aws_lab.get_head(f"https://{host}{path}")


REQUESTS = {
    Form.UNKNOWN: lambda: asked("something.eu-west-1.amazonaws.com"),
    Form.WEBSITE: lambda: asked("b.s3-website-eu-west-1.amazonaws.com"),
    Form.ACCESS_POINT: lambda: called("s3", "GetObject", Bucket=POINT, Key="k"),
    Form.ACCESS_POINT_ALIAS: lambda: called("s3", "GetObject", Bucket="some-abcdef-s3alias", Key="k"),
    Form.OBJECT_LAMBDA: lambda: called("s3", "GetObject", Bucket=LAMBDA, Key="k"),
    Form.MULTI_REGION: lambda: asked("mfzwi23gnjvgw.mrap.accesspoint.s3-global.amazonaws.com", "/k"),
    Form.OUTPOSTS: lambda: called("s3", "GetObject", Bucket=OUTPOST, Key="k"),
    Form.SELECT: lambda: called("s3", "SelectObjectContent"),
    Form.EXECUTE_API: lambda: asked("a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com", "/prod/x"),
    Form.FUNCTION_URL: lambda: asked("abc.lambda-url.eu-west-1.on.aws"),
    Form.REGISTRY: lambda: asked("123456789012.dkr.ecr.eu-west-1.amazonaws.com", "/v2/"),
    Form.LOAD_BALANCER: lambda: asked("lb-123.eu-west-1.elb.amazonaws.com"),
    Form.SEARCH_DOMAIN: lambda: asked("search-d-x.eu-west-1.es.amazonaws.com", "/_cat"),
    Form.CLUSTER: lambda: asked("ABC.gr7.eu-west-1.eks.amazonaws.com", "/api"),
    Form.IOT_CREDENTIALS: lambda: asked("x.credentials.iot.eu-west-1.amazonaws.com"),
    Form.GRAPHQL: lambda: asked("abc.appsync-api.eu-west-1.amazonaws.com", "/graphql"),
    Form.PACKAGES: lambda: asked("d-123456789012.d.codeartifact.eu-west-1.amazonaws.com", "/pypi/r/simple/"),
    Form.SIGNING_CERTIFICATE: lambda: asked("sns.eu-west-1.amazonaws.com", "/SimpleNotificationService-0.pem"),
    Form.SUBSCRIBE_TO_SHARD: lambda: called("kinesis", "SubscribeToShard"),
    Form.LIVE_TAIL: lambda: called("logs", "StartLiveTail"),
    Form.SYNC_EXECUTION: lambda: called("stepfunctions", "StartSyncExecution"),
    Form.CONVERSE: lambda: called("bedrock-runtime", "Converse"),
    Form.STRAY: lambda: called("s3files", "ListFileSystems"),
}

CELLS = {
    # in the order of BACKENDS
    Form.UNKNOWN: "xxxxx",
    Form.WEBSITE: "oxxox",
    Form.ACCESS_POINT: "oooxx",
    Form.ACCESS_POINT_ALIAS: "xxoxx",
    Form.OBJECT_LAMBDA: "xxoxx",
    Form.MULTI_REGION: "xxoxx",
    Form.OUTPOSTS: "xxxxx",
    Form.SELECT: "ooxxo",
    Form.EXECUTE_API: "xxoox",
    Form.FUNCTION_URL: "xxoox",
    Form.REGISTRY: "xxoxx",
    Form.LOAD_BALANCER: "xxoxx",
    Form.SEARCH_DOMAIN: "xxxxx",
    Form.CLUSTER: "xxxxx",
    Form.IOT_CREDENTIALS: "xxxxx",
    Form.GRAPHQL: "xxoxx",
    Form.PACKAGES: "xxxxx",
    Form.SIGNING_CERTIFICATE: "ooxox",
    Form.SUBSCRIBE_TO_SHARD: "xxooo",
    Form.LIVE_TAIL: "oooxo",
    Form.SYNC_EXECUTION: "xxooo",
    Form.CONVERSE: "xxoxo",
    Form.STRAY: "oxooo",
}


def outcome(head: RequestHead, profile: str) -> RequestHead | Changed | Refusal:
    return canonicalise(classify(head), head, PROFILES[profile], body=b"")


def test_every_form_and_every_backend_has_a_cell() -> None:
    assert set(REQUESTS) == set(CELLS) == set(Form)
    assert set(BACKENDS) == set(PROFILES)
    assert {len(row) for row in CELLS.values()} == {len(BACKENDS)}


@pytest.mark.parametrize("form", Form)
def test_a_request_is_of_its_form(form: Form) -> None:
    head = REQUESTS[form]()
    assert form_of(classify(head), head.target) is (None if form is Form.STRAY else form)


@pytest.mark.parametrize("form", Form)
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_form_is_refused_or_passed_on(form: Form, backend: str) -> None:
    found = outcome(REQUESTS[form](), backend)
    wanted = CELLS[form][BACKENDS.index(backend)]
    assert isinstance(found, Refusal) is (wanted == "x"), found


@pytest.mark.parametrize("form", Form)
def test_a_refusal_names_what_was_asked_and_the_backend(form: Form) -> None:
    head = REQUESTS[form]()
    for backend in BACKENDS:
        found = outcome(head, backend)
        if isinstance(found, Refusal):
            assert (found.status, found.code) == (501, "NotImplemented")
            assert f"({backend})" in found.message
            named = classify(head).host if form is Form.UNKNOWN else form.value
            assert named in found.message


@pytest.mark.parametrize(
    ("service", "operation", "protocol", "code"),
    [
        ("kinesis", "SubscribeToShard", "json", "NotImplementedException"),
        ("stepfunctions", "StartSyncExecution", "json", "NotImplementedException"),
        ("bedrock-runtime", "Converse", "rest-json", "NotImplementedException"),
        ("s3", "SelectObjectContent", "rest-xml", "NotImplemented"),
    ],
)
def test_a_client_reads_the_refusal(service: str, operation: str, protocol: str, code: str) -> None:
    head = called(service, operation)
    refusal = outcome(head, "ministack" if service == "s3" else "moto-server")
    assert isinstance(refusal, Refusal)
    answer = error_answer(
        classify(head), status=refusal.status, code=refusal.code, message=refusal.message, request_id="an-id"
    )
    headers = {key.decode().lower(): value.decode() for key, value in answer.fields}
    response = {"status_code": answer.status, "headers": headers, "body": answer.body, "context": {}}
    shape: Any = aws_lab.session().get_service_model(service).operation_model(operation).output_shape
    error = create_parser(protocol).parse(response, shape)["Error"]
    assert (error["Code"], error["Message"]) == (code, refusal.message)


def test_names_that_are_not_awss_never_reach_a_backend() -> None:
    for host in ("example.com", "s3.amazonaws.com.evil.example", "amazonaws.com", "127.0.0.1", ""):
        for backend in BACKENDS:
            assert isinstance(outcome(asked(host), backend), Refusal), host


@given(st.text("abcs3.-", max_size=30), st.sampled_from(BACKENDS))
def test_no_host_that_says_nothing_reaches_a_backend(label: str, backend: str) -> None:
    head = asked(f"{label}.eu-west-1.amazonaws.com")
    call = classify(head)
    assert isinstance(outcome(head, backend), Refusal) or call.service


@pytest.mark.parametrize(
    ("host", "path", "wanted"),
    [
        ("e5486cd3.execute-api.eu-west-1.amazonaws.com", "/prod/a?b=c", b"/_aws/execute-api/e5486cd3/prod/a?b=c"),
        ("my-lb-0a1b2c.eu-west-1.elb.amazonaws.com", "/a", b"/_alb/my-lb/a"),
        ("internal-my-lb-0a1b2c.eu-west-1.elb.amazonaws.com", "/", b"/_alb/my-lb/"),
    ],
)
def test_ministack_finds_resources_by_path(host: str, path: str, wanted: bytes) -> None:
    found = outcome(asked(host, path), "ministack")
    assert isinstance(found, RequestHead)
    assert (found.target, found.get(b"host")) == (wanted, host.encode())


def test_localstack_has_the_certificate_below_a_path_of_its_own() -> None:
    found = outcome(REQUESTS[Form.SIGNING_CERTIFICATE](), "localstack")
    assert isinstance(found, RequestHead)
    assert found.target == b"/_aws/sns/SimpleNotificationService-0.pem"


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_bearer_token_becomes_a_scope(backend: str) -> None:
    head = asked("bedrock.eu-west-1.amazonaws.com", "/foundation-models").with_fields(
        add=((b"Authorization", b"Bearer ABSKabc"),)
    )
    found = outcome(head, backend)
    assert isinstance(found, RequestHead)
    scope = b"Credential=test/20000101/eu-west-1/bedrock/aws4_request"
    assert scope in (found.get(b"authorization") or b"")
