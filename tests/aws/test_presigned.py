"""botocore is the oracle: a URL signed anew is the one it would have made with the key that emulators know."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aws_lab
import pytest
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from kecs.aws.head import RequestHead
from kecs.aws.presigned import is_expired, is_presigned, signed_anew

KEYS = ["k", "a b/ü+~*", "%41%2f", "x?y=z&w", "tail/"]


def presigned(version: str, key: str, *, style: str = "virtual", token: str | None = None, **given: Any) -> RequestHead:
    config: Any = {"signature_version": version, "s3": {"addressing_style": style}}
    made: Any = aws_lab.session().create_client(
        "s3",
        region_name="eu-west-1",
        aws_access_key_id="AKIAIOSFODNN7EXAMPLE",
        aws_secret_access_key="secret",
        aws_session_token=token,
        config=Config(**config),
    )
    url: str = made.generate_presigned_url("get_object", Params={"Bucket": "b", "Key": key, **given}, ExpiresIn=100)
    return aws_lab.get_head(url)


def botocores(head: RequestHead) -> str:
    """Return the signature that botocore makes for what was signed anew."""
    said = parse_qs(head.target.decode().partition("?")[2], keep_blank_values=True)
    kept = "&".join(
        pair
        for pair in head.target.decode().partition("?")[2].split("&")
        if not pair.startswith(
            ("X-Amz-Algorithm", "X-Amz-Cred", "X-Amz-Date", "X-Amz-Exp", "X-Amz-Signed", "X-Amz-Signa")
        )
    )
    host = (head.get(b"host") or b"").decode()
    url = f"https://{host}{head.target.decode().partition('?')[0]}" + (f"?{kept}" if kept else "")
    request: Any = AWSRequest(method="GET", url=url)
    request.context["timestamp"] = said["X-Amz-Date"][0]
    key, _, region, _, _ = said["X-Amz-Credential"][0].split("/")
    signer: Any = S3SigV4QueryAuth(Credentials(key, "test"), "s3", region, expires=int(said["X-Amz-Expires"][0]))
    # What add_auth does, but for taking the time from the clock.
    signer._modify_request_before_signing(request)
    text = signer.string_to_sign(request, signer.canonical_request(request))
    signer._inject_signature_to_request(request, signer.signature(text, request))
    made: str = request.url
    return parse_qs(urlsplit(made).query)["X-Amz-Signature"][0]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("style", ["virtual", "path"])
def test_it_is_botocores_signature(style: str, key: str) -> None:
    head = presigned("s3v4", key, style=style, token="a+b/c=", ResponseContentType="text/x; y=z")
    assert is_presigned(head)
    after = signed_anew(head, key="AKIAIOSFODNN7EXAMPLE")
    said = parse_qs(after.target.decode().partition("?")[2])
    assert said["X-Amz-Signature"] == [botocores(after)]
    assert said["X-Amz-Credential"][0].startswith("test/")
    assert said["response-content-type"] == ["text/x; y=z"]
    assert "a%2Bb" not in after.target.decode()
    assert after.target.partition(b"?")[0] == head.target.partition(b"?")[0]


def test_an_account_is_a_key() -> None:
    after = signed_anew(presigned("s3v4", "k"), key="111122223333")
    assert b"X-Amz-Credential=111122223333%2F" in after.target


def test_it_expires_when_it_would_have() -> None:
    head = presigned("s3v4", "k")
    before = parse_qs(head.target.decode().partition("?")[2])
    after = parse_qs(signed_anew(head, key="").target.decode().partition("?")[2])
    assert after["X-Amz-Expires"] == ["100"]
    assert after["X-Amz-Date"] == before["X-Amz-Date"]


@pytest.mark.parametrize(("key", "known"), [("111122223333", "111122223333"), ("AKIAIOSFODNN7EXAMPLE", "test")])
def test_version_2_is_of_no_region_and_stays_so(key: str, known: str) -> None:
    """boto3's own URLs for most regions: signed anew for one region, they were refused for buckets of the others."""
    head = presigned("s3", "a b/ü+~*", token="a+b/c=", ResponseContentType="text/x; y=z")
    before = parse_qs(head.target.decode().partition("?")[2])
    path, _, query = signed_anew(head, key=key).target.decode().partition("?")
    assert path == head.target.decode().partition("?")[0]
    assert parse_qs(query) == {
        "response-content-type": ["text/x; y=z"],
        "AWSAccessKeyId": [known],
        "Signature": before["Signature"],
        "Expires": before["Expires"],
    }


V4 = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=A/20260203/eu-west-1/s3/aws4_request&X-Amz-Signature=x"


@pytest.mark.parametrize(
    ("query", "second", "expired"),
    [
        (f"{V4}&X-Amz-Date=20260203T040506Z&X-Amz-Expires=10", 16, False),
        (f"{V4}&X-Amz-Date=20260203T040506Z&X-Amz-Expires=10", 17, True),
        (f"{V4}&X-Amz-Date=20260203T040506Z&X-Amz-Expires=-10", 17, False),
        (f"{V4}&X-Amz-Date=20260203T040506Z", 17, False),
        (f"{V4}&X-Amz-Date=now&X-Amz-Expires=10", 17, False),
        ("AWSAccessKeyId=A&Signature=x&Expires=1770091516", 16, False),
        ("AWSAccessKeyId=A&Signature=x&Expires=1770091516", 17, True),
        ("AWSAccessKeyId=A&Signature=x&Expires=soon", 17, False),
        ("Signature=x", 17, False),
    ],
)
def test_it_is_over_when_its_time_is(query: str, second: int, expired: bool) -> None:  # noqa: FBT001 - a table's column
    head = aws_lab.get_head(f"https://b.s3.amazonaws.com/k?{query}")
    assert is_expired(head, datetime(2026, 2, 3, 4, 5, second, tzinfo=UTC)) is expired


@pytest.mark.parametrize(
    "query",
    [
        "X-Amz-Signature=x",
        "X-Amz-Signature=x&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=a/b/c&X-Amz-Date=20260101T000000Z",
        "X-Amz-Signature=x&X-Amz-Algorithm=other&X-Amz-Credential=a/b/c/s3/aws4_request&X-Amz-Date=20260101T000000Z",
        "AWSAccessKeyId=A&Signature=x&Expires=soon",
        "AWSAccessKeyId=A&Signature=x&Expires=99999999999999",
        "AWSAccessKeyId=A&Signature=x",
    ],
)
def test_what_is_no_whole_signature_is_left_to_the_backend(query: str) -> None:
    head = aws_lab.get_head(f"https://b.s3.amazonaws.com/k?{query}")
    assert signed_anew(head, key="") is head


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_any_bytes_are_signed_or_left(path: bytes, query: bytes) -> None:
    signed = b"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=a/b/c/s3/aws4_request&X-Amz-Date=20260101T000000Z"
    head = RequestHead(
        method=b"GET", target=b"/" + path + b"?" + query + b"&" + signed + b"&X-Amz-Signature=", fields=()
    )
    after = signed_anew(head, key="")
    assert after is head or b"&X-Amz-Signature=" in after.target
