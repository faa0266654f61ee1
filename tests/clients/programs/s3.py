"""S3 as an application uses it. Nothing here knows of an emulator."""

import hashlib
import io
import urllib.request
from collections.abc import Callable  # noqa: TC003 - this program is no example of typing

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError

BUCKET = "client-tests"
LARGE = 64 * 1024 * 1024


def styles() -> None:
    for style in ("virtual", "path"):
        s3 = boto3.client("s3", config=Config(s3={"addressing_style": style}))
        s3.put_object(
            Bucket=BUCKET, Key=f"{style}/a key+with blanks & ümlauts", Body=b"x" * 2048, Metadata={"who": "ada"}
        )
        got = s3.get_object(Bucket=BUCKET, Key=f"{style}/a key+with blanks & ümlauts")
        assert got["Body"].read() == b"x" * 2048
        assert got["Metadata"] == {"who": "ada"}
        assert s3.head_object(Bucket=BUCKET, Key=f"{style}/a key+with blanks & ümlauts")["ContentLength"] == 2048
        listed = s3.list_objects_v2(Bucket=BUCKET, Prefix=f"{style}/")["Contents"]
        assert [entry["Size"] for entry in listed] == [2048]


def dotted_bucket() -> None:
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="dotted.bucket.name")
    s3.put_object(Bucket="dotted.bucket.name", Key="k", Body=b"dots")
    assert s3.get_object(Bucket="dotted.bucket.name", Key="k")["Body"].read() == b"dots"


def presigned() -> None:
    s3 = boto3.client("s3", config=Config(signature_version="s3v4"))
    put = s3.generate_presigned_url("put_object", Params={"Bucket": BUCKET, "Key": "presigned"}, ExpiresIn=60)
    assert put.startswith("https://"), put
    request = urllib.request.Request(put, data=b"by URL", method="PUT")
    with urllib.request.urlopen(request) as response:
        assert response.status == 200
    get = s3.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": "presigned"}, ExpiresIn=60)
    with urllib.request.urlopen(get) as response:
        assert response.read() == b"by URL"


def multipart() -> None:
    s3 = boto3.client("s3")
    body = bytes(range(256)) * (LARGE // 256)
    config = TransferConfig(multipart_threshold=8 * 1024 * 1024, multipart_chunksize=8 * 1024 * 1024)
    s3.upload_fileobj(io.BytesIO(body), BUCKET, "large", Config=config)
    assert "-8" in s3.head_object(Bucket=BUCKET, Key="large")["ETag"]
    back = io.BytesIO()
    s3.download_fileobj(BUCKET, "large", back, Config=config)
    assert hashlib.sha256(back.getvalue()).digest() == hashlib.sha256(body).digest()
    part = s3.get_object(Bucket=BUCKET, Key="large", Range="bytes=1000-1999")
    assert part["Body"].read() == body[1000:2000]


def errors() -> None:
    s3 = boto3.client("s3")
    calls: tuple[tuple[Callable[[], object], str], ...] = (
        (lambda: s3.get_object(Bucket=BUCKET, Key="absent"), "NoSuchKey"),
        (lambda: s3.list_objects_v2(Bucket="no-such-bucket-here"), "NoSuchBucket"),
        (lambda: s3.head_object(Bucket=BUCKET, Key="absent"), "404"),
    )
    for call, code in calls:
        try:
            call()
        except ClientError as error:
            assert error.response["Error"]["Code"] == code, error
        else:
            raise AssertionError(code)


def expect_continue() -> None:
    seen: list[str] = []
    s3 = boto3.client("s3")
    s3.meta.events.register(
        "before-send.s3.PutObject", lambda request, **_: seen.append(str(request.headers.get("Expect")))
    )
    s3.put_object(Bucket=BUCKET, Key="expected", Body=b"z" * 2 * 1024 * 1024)
    assert "100-continue" in seen[0], seen
    assert s3.head_object(Bucket=BUCKET, Key="expected")["ContentLength"] == 2 * 1024 * 1024


boto3.client("s3").create_bucket(Bucket=BUCKET)
for step in (styles, dotted_bucket, presigned, multipart, errors, expect_continue):
    step()
    print(step.__name__)
