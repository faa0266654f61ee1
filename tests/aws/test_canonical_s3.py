"""Directory buckets as common ones, and presigned URLs for a backend that verifies them. botocore asks and reads."""

from datetime import UTC, datetime
from typing import Any

import aws_lab
import pytest
from botocore.parsers import create_parser

from kecs.aws.canonical import body_wanted, canonicalise
from kecs.aws.canonical_answers import answered
from kecs.aws.canonical_types import Back, Changed, Refusal
from kecs.aws.classify import classify
from kecs.aws.head import Answer, RequestHead, ResponseHead
from kecs.aws.profiles import PROFILES, PathStyle
from kecs.aws.scope import from_header

NOW = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
BUCKET = "some--euw1-az1--x-s3"
WHERE = {
    "Location": {"Type": "AvailabilityZone", "Name": "euw1-az1"},
    "Bucket": {"Type": "Directory", "DataRedundancy": "SingleAvailabilityZone"},
}


def outcome(head: RequestHead, profile: str, body: bytes | None = b"") -> RequestHead | Changed | Refusal:
    return canonicalise(classify(head), head, PROFILES[profile], body=body)


def sent(operation: str, region: str = "eu-west-1", **given: Any) -> RequestHead:
    return aws_lab.sent(aws_lab.client("s3", region), operation, **given).head


def read(operation: str, answer: Answer) -> Any:
    shape: Any = aws_lab.session().get_service_model("s3").operation_model(operation).output_shape
    headers = {key.decode().lower(): value.decode() for key, value in answer.fields}
    response = {"status_code": answer.status, "headers": headers, "body": answer.body, "context": {}}
    return create_parser("rest-xml").parse(response, shape)


def session_head() -> RequestHead:
    # botocore opens the session before it asks for anything else.
    return sent("ListObjectsV2", Bucket=BUCKET)


@pytest.mark.parametrize("profile", PROFILES)
def test_a_session_is_asked_as_a_question_about_the_bucket(profile: str) -> None:
    head = session_head()
    assert classify(head).operation == "CreateSession"
    found = outcome(head, profile)
    assert isinstance(found, Changed)
    in_path = PROFILES[profile].path_style is PathStyle.ALWAYS
    assert found.head.get(b"host") == ("" if in_path else f"{BUCKET}.").encode() + b"s3.eu-west-1.amazonaws.com"
    target = (f"/{BUCKET}" if in_path else "").encode() + b"/?location"
    assert (found.head.method, found.head.target) == (b"GET", target)
    assert (found.body, found.answered) == (None, Back.SESSION)
    scope = from_header((found.head.get(b"authorization") or b"").decode())
    assert (scope.access_key, scope.region, scope.service) == ("AKIDEXAMPLE", "eu-west-1", "s3")


def test_the_answer_is_a_session() -> None:
    call = classify(session_head())
    body = b'<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/">eu-west-1</LocationConstraint>'
    head = ResponseHead(status=200, reason=b"OK", fields=((b"Content-Type", b"text/xml"), (b"x-amz-id-2", b"i")))
    answer = answered(Back.SESSION, call, head, body, now=NOW)
    given = read("CreateSession", answer)["Credentials"]
    assert given["AccessKeyId"] == "AKIDEXAMPLE"
    assert given["SecretAccessKey"]
    assert given["SessionToken"]
    assert given["Expiration"] == datetime(2026, 2, 3, 4, 10, 6, tzinfo=UTC)
    assert (b"x-amz-id-2", b"i") in answer.fields


def test_a_session_with_a_bucket_that_is_not_there_is_the_backends_error() -> None:
    body = b"<Error><Code>NoSuchBucket</Code><Message>none</Message></Error>"
    head = ResponseHead(status=404, reason=b"", fields=((b"Content-Type", b"text/xml"),))
    answer = answered(Back.SESSION, classify(session_head()), head, body, now=NOW)
    assert (answer.status, answer.body) == (404, body)


def test_what_is_done_in_a_session_is_done_with_the_bucket() -> None:
    fields = (
        (b"x-amz-s3session-token", b"kecs"),
        (b"Authorization", b"AWS4-HMAC-SHA256 Credential=A/20260203/eu-west-1/s3express/aws4_request, Signature=x"),
    )
    head = aws_lab.get_head(
        f"https://{BUCKET}.s3express-euw1-az1.eu-west-1.amazonaws.com/a/b?x-id=GetObject", b"GET", *fields
    )
    found = outcome(head, "embedded")
    assert isinstance(found, RequestHead)
    assert found.target == head.target
    assert found.get(b"x-amz-s3session-token") is None
    assert from_header((found.get(b"authorization") or b"").decode()).service == "s3"


@pytest.mark.parametrize(
    ("region", "body"),
    [
        (
            "eu-west-1",
            (
                b'<CreateBucketConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
                b"<LocationConstraint>eu-west-1</LocationConstraint></CreateBucketConfiguration>"
            ),
        ),
        ("us-east-1", b""),
    ],
)
def test_a_directory_bucket_is_made_in_its_zones_region(region: str, body: bytes) -> None:
    head = sent("CreateBucket", region, Bucket=BUCKET, CreateBucketConfiguration=WHERE)
    assert body_wanted(head, PROFILES["embedded"]) > 0
    found = outcome(head, "embedded", b"<CreateBucketConfiguration/>")
    assert isinstance(found, Changed)
    assert found.head.get(b"host") == f"s3.{region}.amazonaws.com".encode()
    assert found.head.target == f"/{BUCKET}".encode()
    assert found.body == body
    assert found.head.get(b"content-length") == str(len(body)).encode()
    assert not [name for name in found.head.shape.names if name.startswith((b"x-amz-checksum", b"x-amz-sdk"))]
    refusal = outcome(head, "embedded", None)
    assert isinstance(refusal, Refusal)
    assert refusal.status == 400


def test_only_directory_buckets_are_listed_as_such() -> None:
    head = sent("ListDirectoryBuckets", MaxDirectoryBuckets=5)
    found = outcome(head, "ministack")
    assert isinstance(found, Changed)
    assert (found.head.get(b"host"), found.head.target) == (b"s3.eu-west-1.amazonaws.com", b"/")
    listed = (
        b"<ListAllMyBucketsResult><Owner/><Buckets><Bucket><Name>plain</Name></Bucket><Bucket><Name>"
        + BUCKET.encode()
        + b"</Name><CreationDate>2026-02-03T04:05:06.000Z</CreationDate></Bucket></Buckets></ListAllMyBucketsResult>"
    )
    answer = answered(
        Back.DIRECTORIES, classify(head), ResponseHead(status=200, reason=b"", fields=()), listed, now=NOW
    )
    assert read("ListDirectoryBuckets", answer)["Buckets"] == [{"Name": BUCKET, "CreationDate": NOW}]


def test_presigned_urls_are_signed_anew_only_where_they_are_verified() -> None:
    url = aws_lab.client("s3", "eu-west-1").generate_presigned_url("get_object", Params={"Bucket": "b.c", "Key": "k"})
    head = aws_lab.get_head(url)
    for profile in ("embedded", "localstack"):
        assert outcome(head, profile) is head
    found = outcome(head, "ministack")
    assert isinstance(found, RequestHead)
    assert found.target.startswith(b"/b.c/k?Signature=")  # version 2 stays: it says no region
    assert found.target.endswith(b"&AWSAccessKeyId=test")
