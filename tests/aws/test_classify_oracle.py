"""botocore's clients of every service, in every partition, against classification."""

from typing import Any

import aws_lab
import botocore.exceptions
import pytest
from botocore.endpoint_provider import EndpointProvider

from kecs.aws.classify import body_wanted, classify
from kecs.aws.hosts import AwsHost, is_aws_name, parse_host

REGIONS = (
    "us-west-2",
    "us-gov-west-1",
    "eu-central-1",
    "cn-north-1",
    "ap-southeast-5",
    "eusc-de-east-1",
    "us-iso-east-1",
    "us-isob-east-1",
    "eu-isoe-west-1",
    "us-isof-south-1",
)
GLOBAL_REGIONS = {
    "us-east-1",
    "us-west-2",
    "us-gov-west-1",
    "cn-north-1",
    "cn-northwest-1",
    "eusc-de-east-1",
    "us-iso-east-1",
    "us-isob-east-1",
    "eu-isoe-west-1",
    "us-isof-south-1",
}
"""Where services are signed for that have one endpoint for a whole partition."""

NOT_AWS = {
    ("signin", "CreateOAuth2Token"): "asked at <region>.signin.aws.amazon.com, the console's",
    ("signin", "CreateOAuth2TokenWithIAM"): "asked at <region>.oauth.signin.aws, the console's",
    ("signin", "IntrospectOAuth2TokenWithIAM"): "asked at <region>.oauth.signin.aws, the console's",
    ("signin", "RevokeOAuth2TokenWithIAM"): "asked at <region>.oauth.signin.aws, the console's",
}
"""Operations at names that are never intercepted."""

SAME_WIRE = {
    "docdb": ("rds", "same host, scope, version and actions as RDS"),
    "neptune": ("rds", "same host, scope, version and actions as RDS"),
    "greengrassv2": ("greengrass", "tags, service role and connectivity have the same paths in both"),
    "lambda-microvms": ("lambda", "tags have the same path in both"),
    "signer-data": ("signer", "one operation stands in both models, at the same host and path"),
    "sms-voice": ("pinpoint-sms-voice", "two names of one API"),
    "wisdom": ("qconnect", "the older name of one API"),
}
"""Services that can't be told from another by anything on the wire, for the operations that both have."""

SAME_OPERATION = {
    "GetBucketLifecycle": "GetBucketLifecycleConfiguration",
    "GetBucketNotification": "GetBucketNotificationConfiguration",
    "PutBucketLifecycle": "PutBucketLifecycleConfiguration",
    "PutBucketNotification": "PutBucketNotificationConfiguration",
}
"""S3's deprecated names of the same requests."""

NEEDED = {
    "ServiceType": "ACM",
    "ApiType": "ControlPlane",
    "KvsARN": "arn:aws:cloudfront::123456789012:key-value-store/some",
}
"""Parameters without which some services' rules give no endpoint."""

SERVICES = sorted(aws_lab.session().get_available_services())


def told(url: str) -> AwsHost:
    host = parse_host(url.split("/")[2])
    assert host is not None, url
    return host


def _client(service: str, region: str) -> tuple[Any, str]:
    try:
        return aws_lab.client(service, region), region
    except botocore.exceptions.BotoCoreError:
        return aws_lab.client(service, "us-east-1"), "us-east-1"


def _assert_classified(made: Any, service: str, operation: str, region: str) -> None:
    try:
        sent = aws_lab.sent(made, operation)
    except botocore.exceptions.EndpointResolutionError:
        # The service has no endpoint in that partition.
        made = aws_lab.client(service, "us-east-1")
        sent, region = aws_lab.sent(made, operation), "us-east-1"
    call = classify(sent.head, body=sent.body[: body_wanted(sent.head)])
    assert call.service in {service, SAME_WIRE.get(service, (service,))[0]}, sent.url
    assert call.operation == SAME_OPERATION.get(operation, operation), sent.url
    assert call.region in {region, *GLOBAL_REGIONS}, sent.url
    assert is_aws_name(call.host)
    assert call.host == told(sent.url).name


@pytest.mark.parametrize(("service", "region"), [(name, REGIONS[i % len(REGIONS)]) for i, name in enumerate(SERVICES)])
def test_first_middle_and_last_operation_of_every_service(service: str, region: str) -> None:
    made, region = _client(service, region)
    names = made.meta.service_model.operation_names
    for operation in {names[0], names[len(names) // 2], names[-1]} - {name for of, name in NOT_AWS if of == service}:
        _assert_classified(made, service, operation, region)


@pytest.mark.parametrize("service", ["s3", "s3control", "ecs", "elbv2", "elb", "sesv2", "lambda", "apigatewayv2", "es"])
@pytest.mark.parametrize("region", ["eu-west-1", "us-gov-east-1"])
def test_every_operation_of_services_that_share_or_overlap(service: str, region: str) -> None:
    made = aws_lab.client(service, region)
    for operation in made.meta.service_model.operation_names:
        _assert_classified(made, service, operation, region)


@pytest.mark.parametrize(("service", "operation"), NOT_AWS)
def test_what_is_not_intercepted_has_no_aws_name(service: str, operation: str) -> None:
    made = aws_lab.client(service, "us-west-2")
    assert not is_aws_name(aws_lab.sent(made, operation).url.split("/")[2])


@pytest.mark.parametrize("service", sorted(SAME_WIRE))
def test_services_of_the_same_wire_share_their_host_and_have_an_operation_in_common(service: str) -> None:
    other = SAME_WIRE[service][0]
    made, twin = aws_lab.client(service, "us-east-1"), aws_lab.client(other, "us-east-1")
    assert {*made.meta.service_model.operation_names} & {*twin.meta.service_model.operation_names}
    assert other in told(made.meta.endpoint_url).services


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


@pytest.mark.parametrize("service", SERVICES)
def test_every_endpoint_rule_names_a_host_that_tells_service_and_region(service: str) -> None:
    loader = aws_lab.session().get_component("data_loader")
    rules = loader.load_service_model(service, "endpoint-rule-set-1")
    provider = EndpointProvider(rules, loader.load_data("partitions"))
    seen = 0
    for region in (*REGIONS, "us-east-1"):
        for variant in ({}, {"UseFIPS": True}, {"UseDualStack": True}, {"UseFIPS": True, "UseDualStack": True}):
            given = {**NEEDED, "Region": region, "UseFIPS": False, "UseDualStack": False, **variant}
            try:
                endpoint = provider.resolve_endpoint(**{k: v for k, v in given.items() if k in rules["parameters"]})
            except botocore.exceptions.EndpointProviderError:
                continue
            if service == "signin" and not is_aws_name(endpoint.url.split("/")[2]):
                continue  # the console's names, see NOT_AWS
            host = told(endpoint.url)
            assert service in host.services, endpoint.url
            assert host.region in {region, "", *GLOBAL_REGIONS}, endpoint.url
            assert host.default_region in {region, *GLOBAL_REGIONS}, endpoint.url
            seen += 1
    assert seen
