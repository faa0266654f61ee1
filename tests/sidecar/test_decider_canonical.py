"""Requests that are changed or refused on their way: what the backend gets, and what the client is told."""

import json
from typing import Any

import aws_lab
import pytest
from sidecar_lab import NOW, configuration, connection

from kecs.aws import cbor
from kecs.aws.canonical_bodies import BODY_MAX
from kecs.aws.canonical_types import Back
from kecs.aws.head import Answer, RequestHead, ResponseHead
from kecs.calls.context import CallContext
from kecs.calls.decider import NOT_IN_BACKEND
from kecs.relay.decide import Exchange, Forward, Gather
from kecs.sidecar.decider import SidecarDecider

CLOUDWATCH = "monitoring.eu-west-1.amazonaws.com"


def decider(log: list[dict[str, Any]] | None = None, **changes: object) -> SidecarDecider:
    lines = [] if log is None else log
    return SidecarDecider(configuration(**changes), log=lambda line: lines.append(json.loads(line)), clock=lambda: NOW)


def exchange(head: RequestHead, *, whole: bool = True) -> Exchange:
    host = (head.get(b"host") or b"").decode()
    return Exchange(connection=connection(), name=host, head=head, body_whole=whole)


def metrics(operation: str) -> RequestHead:
    return aws_lab.get_head(
        f"https://{CLOUDWATCH}/service/GraniteServiceVersion20100801/operation/{operation}",
        b"POST",
        (b"smithy-protocol", b"rpc-v2-cbor"),
        (b"Content-Type", b"application/cbor"),
        (b"Authorization", b"AWS4-HMAC-SHA256 Credential=AKID/20260203/eu-west-1/monitoring/aws4_request, Signature=x"),
    )


def forwarded(made: SidecarDecider, asked: Exchange, body: bytes = b"") -> Forward:
    found = made.request(asked, body)
    assert isinstance(found, Forward), found
    return found


def test_cbor_is_translated_both_ways() -> None:
    made = decider(profile="ministack")
    asked = exchange(metrics("ListMetrics"))
    assert made.body_wanted(asked.connection, asked.head) == BODY_MAX
    found = forwarded(made, asked, cbor.dumps({"Namespace": "N"}))
    assert found.body == b'{"Namespace":"N"}'
    assert found.head.get(b"x-amz-target") == b"GraniteServiceVersion20100801.ListMetrics"
    said = b'{"Metrics":[{"MetricName":"m"}]}'
    head = ResponseHead(status=200, reason=b"OK", fields=((b"Content-Type", b"application/x-amz-json-1.0"),))
    gather = made.response(asked, head)
    assert isinstance(gather, Gather)
    assert gather.bytes_max > len(said)
    answer = made.gathered(asked, gather.head, said)
    assert cbor.loads(answer.body) == {"Metrics": [{"MetricName": "m"}]}
    assert dict(answer.fields)[b"smithy-protocol"] == b"rpc-v2-cbor"


def test_an_informational_answer_is_not_the_answer() -> None:
    made = decider(profile="ministack")
    asked = exchange(metrics("ListMetrics"))
    forwarded(made, asked, b"\xa0")
    early = ResponseHead(status=103, reason=b"", fields=())
    assert made.response(asked, early) is early


def test_a_body_that_was_not_seen_whole_is_refused_in_cbor() -> None:
    answer = decider(profile="ministack").request(exchange(metrics("ListMetrics"), whole=False), b"\xa0")
    assert isinstance(answer, Answer)
    error: Any = cbor.loads(answer.body)
    assert (answer.status, error["__type"]) == (400, "com.amazonaws#RequestEntityTooLarge")


@pytest.mark.parametrize(
    ("profile", "host", "named"),
    [
        ("ministack", "b.s3-website.eu-west-1.amazonaws.com", "S3 static website hosting"),
        ("moto-server", "a.execute-api.eu-west-1.amazonaws.com", "invoking APIs of API Gateway"),
        ("localstack", "123456789012.dkr.ecr.eu-west-1.amazonaws.com", "the ECR image registry"),
    ],
)
def test_what_a_backend_has_not_is_answered_here(profile: str, host: str, named: str) -> None:
    asked = exchange(aws_lab.get_head(f"https://{host}/"))
    answer = decider(profile=profile).request(asked, b"")
    assert isinstance(answer, Answer)
    assert answer.status == 501
    assert f"the backend ({profile}) does not have {named}".encode() in answer.body
    assert asked.reason == NOT_IN_BACKEND


def test_a_backends_page_becomes_an_error() -> None:
    made = decider(profile="moto-server")
    asked = exchange(aws_lab.sent(aws_lab.client("glacier", "eu-west-1"), "ListVaults").head)
    forwarded(made, asked)
    gather = made.response(asked, ResponseHead(status=500, reason=b"", fields=((b"Content-Type", b"text/html"),)))
    assert isinstance(gather, Gather)
    answer = made.gathered(asked, gather.head, b"<!doctype html>\n<title>500</title>")
    assert answer.status == 501
    assert b"does not have ListVaults of glacier" in answer.body
    assert b"doctype" not in answer.body
    assert asked.reason == NOT_IN_BACKEND


def test_a_query_by_get_is_posted() -> None:
    asked = exchange(aws_lab.get_head("https://sns.eu-west-1.amazonaws.com/?Action=ListTopics&Version=2010-03-31"))
    found = forwarded(decider(profile="moto-server"), asked)
    assert (found.head.method, found.head.target) == (b"POST", b"/")
    assert found.body == b"Action=ListTopics&Version=2010-03-31"


def test_a_query_by_get_that_has_a_body_is_never_replaced() -> None:
    asked = exchange(aws_lab.get_head("https://sns.eu-west-1.amazonaws.com/?Action=ListTopics"), whole=False)
    answer = decider(profile="moto-server").request(asked, b"")
    assert isinstance(answer, Answer)
    assert answer.status == 400


def test_a_directory_buckets_session_is_remembered() -> None:
    asked = exchange(aws_lab.sent(aws_lab.client("s3", "eu-west-1"), "ListObjectsV2", Bucket="b--euw1-az1--x-s3").head)
    found = forwarded(decider(profile="embedded"), asked)
    assert found.head.target == b"/?location"
    assert isinstance(asked.context, CallContext)
    assert asked.context.answered is Back.SESSION


@pytest.mark.parametrize(
    ("profile", "field", "said"),
    [
        ("localstack", b"authorization", b"Credential=111122223333/"),
        ("moto-server", b"x-moto-account-id", b"111122223333"),
    ],
)
def test_a_credential_may_mean_another_account(profile: str, field: bytes, said: bytes) -> None:
    head = aws_lab.sent(aws_lab.client("dynamodb", "eu-west-1"), "ListTables").head
    named = decider(profile=profile, accounts=("AKIDEXAMPLE=111122223333",))
    assert said in (forwarded(named, exchange(head)).head.get(field) or b"")
    other = decider(profile=profile, accounts=("AKIDOTHER=111122223333",))
    assert said not in (forwarded(other, exchange(head)).head.get(field) or b"")


def test_a_presigned_url_whose_time_is_over_is_told_so() -> None:
    end = int(NOW.timestamp())
    url = "https://b.s3.eu-west-1.amazonaws.com/k?AWSAccessKeyId=A&Signature=x&Expires="
    made = decider(profile="embedded")
    asked = exchange(aws_lab.get_head(f"{url}{end}"))
    found = forwarded(made, asked)
    assert made.same(asked, found) is None
    late = exchange(aws_lab.get_head(f"{url}{end - 1}"))
    answer = made.request(late, b"")
    assert isinstance(answer, Answer)
    assert answer.status == 403
    assert b"<Code>AccessDenied</Code><Message>Request has expired</Message>" in answer.body
    assert late.reason == ""
