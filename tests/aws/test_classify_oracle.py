"""What botocore's clients do beyond endpoint rules: addressing styles, presigned URLs, operations that overlap."""

from typing import Any

import aws_lab
import pytest
from endpoints_lab import Endpoint, Request, credential, endpoints, requests, wrong

from kecs.aws.classify import classify


@pytest.mark.parametrize("service", ["s3", "s3control", "ecs", "elbv2", "elb", "sesv2", "lambda", "apigatewayv2", "es"])
def test_every_operation_of_services_that_share_or_overlap(service: str) -> None:
    known: dict[object, Endpoint] = {}
    for request in requests(service):
        key = repr(request.given)
        if key not in known:
            known[key] = next(endpoints(service, request.given, among=["us-gov-east-1"], variants=["standard"]))
        _assert_right(request, known[key])


def _assert_right(request: Request, endpoint: Endpoint) -> None:
    assert wrong(request, endpoint, credential(request, endpoint)) == ""
    assert wrong(request, endpoint, ()) == ""


@pytest.mark.parametrize(
    "config",
    [
        {"s3": {"addressing_style": "path"}},
        {"s3": {"addressing_style": "virtual"}},
        {"s3": {"use_dualstack_endpoint": True}},
        {"s3": {"use_accelerate_endpoint": True}},
        {"use_fips_endpoint": True, "region": "us-west-2"},
        {"unsigned": True},
    ],
    ids=["path", "virtual host", "dual stack", "accelerate", "fips", "anonymous"],
)
def test_s3_in_every_addressing_style(config: dict[str, Any]) -> None:
    region = config.get("region", "eu-west-1")
    made = aws_lab.client("s3", region, **{key: value for key, value in config.items() if key != "region"})
    for operation in (
        "PutObject",
        "ListObjectsV2",
        "CreateMultipartUpload",
        "UploadPart",
        "DeleteObjects",
        "CopyObject",
    ):
        sent = aws_lab.sent(made, operation)
        call = classify(sent.head)
        assert (call.service, call.operation, call.resource) == ("s3", operation, "some-bucket"), sent.url
        unsigned_accelerate = "accelerate" in sent.url and not call.access_key
        assert call.region == region or unsigned_accelerate


@pytest.mark.parametrize(
    ("service", "operation", "region"),
    [
        ("s3", "get_object", "eu-west-1"),
        ("sts", "get_caller_identity", "ap-south-1"),
        ("polly", "synthesize_speech", "us-east-2"),
    ],
)
def test_presigned_urls(service: str, operation: str, region: str) -> None:
    # Without this botocore still presigns S3 with version 2, whose URLs name no region.
    made = aws_lab.client(service, region, signature_version="s3v4" if service == "s3" else "v4")
    given: dict[str, dict[str, str]] = {
        "s3": {"Bucket": "some-bucket", "Key": "k"},
        "polly": {"OutputFormat": "mp3", "Text": "x", "VoiceId": "Amy"},
    }
    url = made.generate_presigned_url(operation, given.get(service, {}))
    method = b"POST" if service == "sts" else b"GET"
    call = classify(aws_lab.get_head(url, method))
    assert (call.service, call.region, call.access_key) == (service, region, "AKIDEXAMPLE")
    if service != "polly":  # presigning turns its POST into a GET that the model does not have
        assert call.operation == "".join(word.capitalize() for word in operation.split("_"))


def test_a_presigned_url_of_signature_version_2() -> None:
    made = aws_lab.client("s3", "us-east-1", signature_version="s3")
    url = made.generate_presigned_url("get_object", {"Bucket": "some-bucket", "Key": "k"})
    assert "AWSAccessKeyId" in url
    call = classify(aws_lab.get_head(url))
    assert (call.service, call.operation, call.access_key) == ("s3", "GetObject", "AKIDEXAMPLE")


@pytest.mark.parametrize(
    ("region", "settings"),
    [
        ("eu-west-1", {}),
        ("cn-north-1", {}),
        ("eu-west-1", {"addressing_style": "path"}),
        ("eu-west-1", {"use_dualstack_endpoint": True}),
        ("eu-west-1", {"use_accelerate_endpoint": True}),
    ],
    ids=["virtual host", "China", "path", "dual stack", "accelerate"],
)
@pytest.mark.parametrize("version", ["s3", "s3v4"])
def test_a_browsers_upload_by_a_signed_policy(region: str, settings: dict[str, Any], version: str) -> None:
    made = aws_lab.client("s3", region, signature_version=version, s3=settings)
    form = made.generate_presigned_post("some-bucket", "uploads/${filename}")
    boundary = (b"Content-Type", b"multipart/form-data; boundary=x")
    call = classify(aws_lab.get_head(form["url"], b"POST", boundary))
    assert (call.service, call.operation, call.resource) == ("s3", "PostObject", "some-bucket")
    # The credential is in the form, which is not looked into: a host without a region means what it means to AWS.
    assert call.region == (region if region in form["url"] else "us-east-1")


def test_a_token_of_eks_which_is_a_presigned_url_of_sts() -> None:
    made = aws_lab.client("sts", "eu-west-1")
    url = made.generate_presigned_url("get_caller_identity", HttpMethod="GET")
    call = classify(aws_lab.get_head(url, b"GET", (b"x-k8s-aws-id", b"cluster")))
    assert (call.service, call.operation, call.region) == ("sts", "GetCallerIdentity", "eu-west-1")
    assert (call.access_key, call.signing_name) == ("AKIDEXAMPLE", "sts")
