import pytest
from hypothesis import given
from hypothesis import strategies as st

from kecs.aws.scope import NOTHING, Scope, from_header, from_query

V4 = "AWS4-HMAC-SHA256 Credential=AKID/20260101/eu-west-1/sqs/aws4_request, SignedHeaders=host, Signature=00"
KNOWN = Scope(access_key="AKID", date="20260101", region="eu-west-1", service="sqs")


@pytest.mark.parametrize(
    ("header", "region_set", "expected"),
    [
        pytest.param(V4, "", KNOWN, id="SigV4"),
        pytest.param(V4.replace(", ", ","), "", KNOWN, id="no blanks"),
        pytest.param(V4.replace("eu-west-1", "EU-WEST-1"), "", KNOWN, id="a region in capitals"),
        pytest.param(
            "AWS4-HMAC-SHA256 SignedHeaders=host, Credential=AKID/20260101/eu-west-1/sqs/aws4_request",
            "",
            KNOWN,
            id="another order",
        ),
        pytest.param(
            "AWS4-HMAC-SHA256 Credential=a/b/20260101/eu-west-1/sqs/aws4_request,x",
            "",
            Scope(access_key="a/b", date="20260101", region="eu-west-1", service="sqs"),
            id="a key with a slash",
        ),
        pytest.param(
            "AWS4-ECDSA-P256-SHA256 Credential=AKID/20260101/s3/aws4_request, SignedHeaders=host",
            "*, us-west-2,us-east-1",
            Scope(access_key="AKID", date="20260101", region="us-west-2", service="s3", asymmetric=True),
            id="SigV4A",
        ),
        pytest.param(
            "AWS4-ECDSA-P256-SHA256 Credential=AKID/20260101/s3/aws4_request",
            "*",
            Scope(access_key="AKID", date="20260101", service="s3", asymmetric=True),
            id="SigV4A for all regions",
        ),
        pytest.param("AWS AKID:c2ln", "", Scope(access_key="AKID", service="s3"), id="S3's version 2"),
        pytest.param(
            "AWS3-HTTPS AWSAccessKeyId=AKID,Algorithm=HmacSHA256,Signature=x",
            "",
            Scope(access_key="AKID"),
            id="version 3",
        ),
        pytest.param("Bearer abc", "", NOTHING, id="bearer"),
        pytest.param("Basic QVdTOng=", "", NOTHING, id="the registry's"),
        pytest.param("", "", NOTHING, id="empty"),
        pytest.param("AWS4-HMAC-SHA256", "", NOTHING, id="no parameters"),
        pytest.param("AWS4-HMAC-SHA256 Credential=AKID/20260101/sqs/aws4_request", "", NOTHING, id="a part missing"),
        pytest.param("AWS4-HMAC-SHA256 Credential=a/b/c/d/e", "", NOTHING, id="another end"),
    ],
)
def test_authorization(header: str, region_set: str, expected: Scope) -> None:
    assert from_header(header, region_set) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param(
            {"X-Amz-Algorithm": "AWS4-HMAC-SHA256", "X-Amz-Credential": "AKID/20260101/eu-west-1/sts/aws4_request"},
            Scope(access_key="AKID", date="20260101", region="eu-west-1", service="sts", presigned=True),
            id="SigV4",
        ),
        pytest.param(
            {
                "X-Amz-Algorithm": "AWS4-ECDSA-P256-SHA256",
                "X-Amz-Credential": "AKID/20260101/s3/aws4_request",
                "X-Amz-Region-Set": "us-west-2",
            },
            Scope(
                access_key="AKID", date="20260101", region="us-west-2", service="s3", asymmetric=True, presigned=True
            ),
            id="SigV4A",
        ),
        pytest.param(
            {"AWSAccessKeyId": "AKID", "Signature": "x", "Expires": "1"},
            Scope(access_key="AKID", service="s3", presigned=True),
            id="S3's version 2",
        ),
        pytest.param(
            {"AWSAccessKeyId": "AKID", "Signature": "x", "Expires": "1", "Action": "SendMessage"},
            Scope(access_key="AKID", presigned=True),
            id="the query protocol's version 2",
        ),
        pytest.param({"AWSAccessKeyId": "AKID"}, NOTHING, id="no signature"),
        pytest.param({"X-Amz-Credential": "AKID"}, NOTHING, id="no scope"),
        pytest.param({}, NOTHING, id="nothing"),
    ],
)
def test_query(query: dict[str, str], expected: Scope) -> None:
    assert from_query(query) == expected


@given(st.text(max_size=300), st.text(max_size=50))
def test_any_text_is_a_scope(text: str, region_set: str) -> None:
    for scheme in ("", "AWS4-HMAC-SHA256 Credential=", "AWS4-ECDSA-P256-SHA256 Credential=", "AWS ", "AWS3-HTTPS "):
        assert isinstance(from_header(scheme + text, region_set), Scope)
    assert isinstance(from_query({"X-Amz-Credential": text, "AWSAccessKeyId": text, "Signature": ""}), Scope)
