"""What a sidecar makes of requests it can't understand: an error in the client's protocol, never a guess."""

import json

import pytest
from sidecar_lab import NOW, configuration, connection, request

from kecs.aws.head import Answer, RequestHead
from kecs.calls.accesslog import Record
from kecs.relay.decide import Exchange, Forward
from kecs.sidecar.decider import SidecarDecider

NOVEL = "novel.eu-west-1.amazonaws.com"
SIGNED = (
    "AWS4-HMAC-SHA256 Credential=AKIDSECRET/20260101/eu-west-1/novel/aws4_request, SignedHeaders=host, Signature=00"
)


def decider(log: list[Record]) -> SidecarDecider:
    return SidecarDecider(configuration(), log=lambda line: log.append(json.loads(line)), clock=lambda: NOW)


def asked(made: SidecarDecider, head: RequestHead, body: bytes = b"") -> Answer | Forward:
    done = Exchange(connection=connection(), name=NOVEL, head=head, started=1.0, ended=1.5)
    answer = made.request(done, body)
    if isinstance(answer, Answer):
        done.status = answer.status
    made.record(done)
    return answer


def refused(made: SidecarDecider, head: RequestHead, body: bytes = b"") -> Answer:
    answer = asked(made, head, body)
    assert isinstance(answer, Answer)
    return answer


def test_a_request_for_no_known_service_is_answered_501_with_what_was_seen() -> None:
    log: list[Record] = []
    head = request("GET", "/v1/things/7?X-Amz-Signature=private", Host=NOVEL, Authorization=SIGNED)
    answer = refused(decider(log), head)
    assert answer.status == 501
    said = json.loads(answer.body)["message"]
    assert f"host '{NOVEL}', signed for 'novel', GET /v1/things/7" in said
    seen, call = log
    assert (seen["event"], seen["host"], seen["scope"], seen["path"]) == (
        "unclassified", NOVEL, "novel", "/v1/things/*"
    )  # fmt: skip
    assert (call["event"], call["status"], call["reason"], call["verdict"]) == ("call", 501, "unclassified", "answer")
    assert "private" not in json.dumps(log)
    assert "AKIDSECRET" not in json.dumps(log)


def test_each_kind_is_told_once_and_every_one_is_counted() -> None:
    log: list[Record] = []
    made = decider(log)
    for number in range(1000):
        refused(made, request("GET", f"/v1/things/{number}", Host=NOVEL, Authorization=SIGNED))
    assert [record["event"] for record in log].count("unclassified") == 1
    assert made.tally.failures["unclassified"] == 1000
    assert made.tally.calls["unknown", "501"] == 1000


def test_kinds_without_end_do_not_fill_the_log() -> None:
    log: list[Record] = []
    made = decider(log)
    for number in range(1000):
        word = "".join(chr(ord("a") + int(digit)) for digit in str(number))
        refused(made, request("GET", f"/{word}", Host=NOVEL))
    assert [record["event"] for record in log].count("unclassified") == 256
    assert made.tally.failures["unclassified"] == 1000


@pytest.mark.parametrize(
    ("head", "content_type"),
    [
        pytest.param(
            request("POST", "/", Host=NOVEL, Content_Type="application/x-amz-json-1.1", X_Amz_Target="Novel_1.Do"),
            b"application/x-amz-json-1.1",
            id="JSON, with its version",
        ),
        pytest.param(
            request("POST", "/", Host=NOVEL, Content_Type="application/x-www-form-urlencoded; charset=utf-8"),
            b"text/xml",
            id="a form",
        ),
        pytest.param(
            request("POST", "/service/Novel/operation/Do", Host=NOVEL, Content_Type="application/cbor"),
            b"application/cbor",
            id="CBOR",
        ),
        pytest.param(request("PUT", "/x", Host=NOVEL, Content_Type="application/xml"), b"text/xml", id="XML"),
        pytest.param(request("GET", "/x", Host=NOVEL), b"application/json", id="nothing but a path"),
    ],
)
def test_it_is_told_in_the_likeliest_protocol(head: RequestHead, content_type: bytes) -> None:
    answer = refused(decider([]), head)
    assert (answer.status, dict(answer.fields)[b"Content-Type"]) == (501, content_type)


def test_a_head_request_gets_no_body() -> None:
    answer = refused(decider([]), request("HEAD", "/x", Host=NOVEL))
    assert (answer.status, answer.body) == (501, b"")


@pytest.mark.parametrize("host", ["s3.eu-west-1.amazonaws.com", "sqs.eu-west-1.amazonaws.com"])
def test_known_services_are_forwarded_whatever_the_operation(host: str) -> None:
    assert isinstance(asked(decider([]), request("POST", "/a/b/c/d", Host=host)), Forward)


FORM = "application/x-www-form-urlencoded; charset=utf-8"


@pytest.mark.parametrize(
    ("host", "begins"),
    [
        pytest.param("sts.amazonaws.com", b"<ErrorResponse", id="query"),
        pytest.param("sqs.eu-west-1.amazonaws.com", b"<ErrorResponse", id="query, to a service that speaks JSON too"),
        pytest.param("ec2.eu-west-1.amazonaws.com", b'<?xml version="1.0" encoding="UTF-8"?>\n<Response>', id="ec2"),
    ],
)
def test_a_long_form_whose_action_is_not_at_its_beginning_is_400(host: str, begins: bytes) -> None:
    """Its service may be told by the host, but neither the operation nor, on shared hosts, who is to answer."""
    head = request("POST", "/", Host=host, Content_Type=FORM, Content_Length="99999")
    answer = refused(decider([]), head, b"Attribute.1=" + b"x" * 16_372)
    assert (answer.status, answer.body.startswith(begins)) == (400, True)
    assert b"<Code>MissingAction</Code>" in answer.body
    assert b"no Action within the first 16384 bytes" in answer.body


@pytest.mark.parametrize(
    ("head", "begins"),
    [
        pytest.param(
            request("POST", "/", Host="sqs.eu-west-1.amazonaws.com", Content_Type=FORM), b"<ErrorResponse", id="a form"
        ),
        pytest.param(
            request("POST", "/", Host="sqs.eu-west-1.amazonaws.com", X_Amz_Target="AmazonSQS.SendMessage"),
            b'{"__type"',
            id="JSON",
        ),
        pytest.param(request("PUT", "/k", Host="b.s3.amazonaws.com"), b"<?xml", id="S3"),
        pytest.param(
            request("POST", "/", Host=NOVEL, X_Amz_Target="Novel_1.Do"), b'{"__type"', id="an unknown service's JSON"
        ),
        pytest.param(request("GET", "/?Action=Do&Version=1", Host=NOVEL), b"<ErrorResponse", id="an unknown query"),
        pytest.param(request("POST", "/", Host=NOVEL, smithy_protocol="rpc-v2-cbor"), b"\xa2", id="an unknown RPC"),
    ],
)
def test_a_body_that_is_malformed_is_400_in_what_the_request_spoke(head: RequestHead, begins: bytes) -> None:
    """The relay says so before anything of the body has been decided on."""
    answer = decider([]).invalid(Exchange(connection=connection(), name=NOVEL, head=head), 400, "a chunk is longer")
    assert (answer.status, answer.body.startswith(begins)) == (400, True), answer.body
    assert b"a chunk is longer" in answer.body


MALFORMED = (
    pytest.param(b"\xff", id="no item"),
    pytest.param(b"\xbf\x61a", id="an end in the middle"),
    pytest.param(b"\x81" * 5000, id="a deep nest"),
    pytest.param(b'{"a": 1}', id="JSON"),
)


@pytest.mark.parametrize("body", MALFORMED)
def test_cbor_that_has_to_be_read_and_is_none_is_400_in_cbor(body: bytes) -> None:
    head = request(
        "POST",
        "/service/GraniteServiceVersion20100801/operation/ListMetrics",
        Host="monitoring.eu-west-1.amazonaws.com",
        Content_Type="application/cbor",
        smithy_protocol="rpc-v2-cbor",
    )
    made = SidecarDecider(configuration(profile="embedded"), clock=lambda: NOW)
    done = Exchange(connection=connection(), name="monitoring.eu-west-1.amazonaws.com", head=head, body_whole=True)
    answer = made.request(done, body)
    assert isinstance(answer, Answer)
    assert (answer.status, dict(answer.fields)[b"Content-Type"]) == (400, b"application/cbor")
    assert b"SerializationException" in answer.body
    done.body_whole = False
    long = made.request(done, bytes(1 << 20))
    assert isinstance(long, Answer)
    assert long.status == 400
    assert b"RequestEntityTooLarge" in long.body
