"""What is remembered is what would be said anew, whatever was asked before."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kecs.aws.classify import classify
from kecs.aws.head import RequestHead
from kecs.aws.recall import Recall

HOSTS = [
    "s3.us-east-1.amazonaws.com", "bucket.s3.eu-west-1.amazonaws.com", "a.b.s3.amazonaws.com",
    "b.s3-website.eu-west-1.amazonaws.com", "123456789012.s3-control.eu-west-1.amazonaws.com",
    "s3express-control.us-west-2.amazonaws.com", "dynamodb.us-east-1.amazonaws.com", "sqs.eu-west-1.amazonaws.com",
    "lambda.us-east-1.amazonaws.com", "monitoring.us-east-1.amazonaws.com",
    "abc.execute-api.us-east-1.amazonaws.com", "vpce-1.execute-api.us-east-1.vpce.amazonaws.com", "example.com", "",
]  # fmt: skip
SIGNED = "AWS4-HMAC-SHA256 Credential={}/20260101/{}/{}/aws4_request, SignedHeaders=host, Signature={}"
TARGETS = [
    "/", "", "/bucket", "/bucket/", "/bucket//", "/bucket/key", "/bucket/other/key", "/bucket/key/",
    "/bu%63ket/key", "/other/key", "/key", "/a//b", "/v20180820/bucket/b", "/v20180820/jobs",
    "/WriteGetObjectResponse", "/service/DynamoDB_20120810/operation/PutItem",
    "/service/GraniteServiceVersion20100801/operation/PutMetricData", "/bucket/key?x-id=GetObject",
    "/bucket/key?x-id=PutObject", "/bucket/key?acl", "/bucket/key?uploads", "/bucket?list-type=2",
    "/bucket/key?partNumber=1&uploadId=u", "/?Action=ListQueues", "/2015-03-31/functions",
    "/2015-03-31/functions/f/invocations", "/prod/@connections/x", "/bucket/key?x-id=Get%20",
    "/bucket/key?X-Amz-Credential=A%2F20260101%2Feu-west-1%2Fsqs%2Faws4_request",
]  # fmt: skip


@st.composite
def heads(draw: st.DrawFn) -> tuple[RequestHead, str]:
    host = draw(st.sampled_from(HOSTS))
    fields: list[tuple[bytes, bytes]] = [(b"Host", host.encode())] if host else []
    if draw(st.booleans()):
        service = draw(st.sampled_from(["s3", "dynamodb", "sqs", "lambda", "monitoring", "nonsense"]))
        key, region, signature = (
            draw(st.sampled_from(pair)) for pair in (("A", "B"), ("eu-west-1", "us-east-1"), "01")
        )
        fields.append((b"Authorization", SIGNED.format(key, region, service, signature).encode()))
    elif draw(st.booleans()):
        fields.append(
            (
                b"Authorization",
                draw(st.sampled_from([b"AWS A:b", b"AWS C:d", b"Bearer x", b"AWS4-ECDSA-P256-SHA256 x"])),
            )
        )
    for name, values in (
        (b"X-Amz-Target", [b"DynamoDB_20120810.PutItem", b"DynamoDB_20120810.GetItem", b"AmazonSQS.SendMessage", b"."]),
        (b"Content-Type", [b"application/x-amz-json-1.0", b"application/x-amz-json-1.1", b"multipart/form-data; b=c"]),
        (b"x-amz-copy-source", [b"/a/b"]),
        (b"x-amzn-query-mode", [b"true", b"false"]),
        (b"X-Amz-Region-Set", [b"eu-west-1", b"*"]),
        (b"smithy-protocol", [b"rpc-v2-cbor"]),
        (b"x-apigw-api-id", [b"abc", b"def"]),
    ):
        if draw(st.integers(0, 3)) == 0:
            fields.append((name, draw(st.sampled_from(values))))
    method = draw(st.sampled_from([b"GET", b"PUT", b"POST", b"DELETE", b"HEAD"]))
    head = RequestHead(method=method, target=draw(st.sampled_from(TARGETS)).encode(), fields=tuple(fields))
    return head, draw(st.sampled_from(["", "s3.us-east-1.amazonaws.com", "sqs.eu-west-1.amazonaws.com"]))


@given(st.lists(heads(), min_size=1, max_size=12))
def test_a_call_is_classified_as_if_it_were_the_first(asked: list[tuple[RequestHead, str]]) -> None:
    recall = Recall()
    for head, name in [*asked, *asked]:
        assert recall.classify(head, name=name) == classify(head, name=name)


@given(heads(), st.lists(st.sampled_from(TARGETS), min_size=1, max_size=12))
def test_what_is_alike_is_the_same_call(asked: tuple[RequestHead, str], others: list[str]) -> None:
    head, name = asked
    recall = Recall()
    call = recall.classify(head, name=name)
    pattern = recall.alike(head, name=name)
    assert pattern is None or re.fullmatch(pattern, head.target)
    for target in others if pattern is not None else ():
        if re.fullmatch(pattern or b"", target.encode()):
            other = RequestHead(method=head.method, target=target.encode(), fields=head.fields)
            assert classify(other, name=name) == call


def test_keys_are_alike_and_buckets_are_not() -> None:
    recall = Recall()
    recall.classify(s3(b"GET", b"/bucket/key"))
    pattern = recall.alike(s3(b"GET", b"/bucket/key"))
    assert pattern is not None
    assert re.fullmatch(pattern, b"/bucket/another/key")
    assert not re.fullmatch(pattern, b"/other/key")
    assert not re.fullmatch(pattern, b"/bucket/key?acl")


@pytest.mark.parametrize("target", [b"/bucket/a b", b"/bucket/\xff", b"/" + b"x" * 600, b""])
def test_nothing_is_like_a_target_that_no_pattern_says(target: bytes) -> None:
    assert Recall().alike(s3(b"GET", target)) is None


def s3(method: bytes, target: bytes) -> RequestHead:
    return RequestHead(method=method, target=target, fields=((b"Host", b"s3.us-east-1.amazonaws.com"),))


def test_another_key_is_the_same_call_and_another_bucket_is_not() -> None:
    recall = Recall()
    first = recall.classify(s3(b"GET", b"/bucket/key"))
    assert (first.operation, first.resource) == ("GetObject", "bucket")
    for number in range(100):
        assert recall.classify(s3(b"GET", b"/bucket/%d/key" % number)) is first
    assert recall.classify(s3(b"GET", b"/other/key")).resource == "other"
    assert recall.classify(s3(b"PUT", b"/bucket/key")).operation == "PutObject"


def test_memory_has_bounds() -> None:
    recall = Recall(kept=8)
    for number in range(100):
        assert recall.classify(s3(b"GET", b"/bucket-%d/key" % number)).resource == f"bucket-{number}"
        host = RequestHead(method=b"GET", target=b"/", fields=((b"Host", b"b%d.s3.amazonaws.com" % number),))
        assert recall.classify(host).resource == f"b{number}"
    assert len(recall._calls) <= 8
    assert len(recall._keyed) <= 8


def test_forms_are_read_each_time() -> None:
    recall = Recall()
    fields = ((b"Host", b"sns.us-east-1.amazonaws.com"), (b"Content-Type", b"application/x-www-form-urlencoded"))
    form = RequestHead(method=b"POST", target=b"/", fields=fields)
    for action in ("Publish", "Subscribe"):
        assert recall.classify(form, body=f"Action={action}&Version=2010-03-31".encode()).operation == action
