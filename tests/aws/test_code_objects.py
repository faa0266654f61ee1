import pytest

from kecs.aws.call import Call, Protocol
from kecs.aws.code_objects import at_backend
from kecs.aws.head import RequestHead
from kecs.aws.profiles import PROFILES
from kecs.aws.rewrite_addresses import code_location, place_of

OBJECT = b"/snapshots/code/000000000000/us-east-1/f?X-Amz-Date=1"


def call_for(bucket: str) -> Call:
    host = f"{bucket}.s3.us-east-1.amazonaws.com"
    return Call(
        service="s3", region="us-east-1", operation="GetObject", protocol=Protocol.REST_XML, host=host, resource=bucket
    )


@pytest.mark.parametrize(
    ("bucket", "target", "profile", "expected"),
    [
        ("awslambda-us-east-1-tasks", OBJECT, "ministack", b"/_ministack/lambda-" + OBJECT[11:]),
        ("awslambda-us-east-1-tasks", OBJECT, "localstack", OBJECT),
        ("awslambda-us-east-1-tasks", b"/other", "ministack", b"/other"),
        ("mine", OBJECT, "ministack", OBJECT),
    ],
)
def test_objects_of_lambda_are_where_the_backend_has_them(
    bucket: str, target: bytes, profile: str, expected: bytes
) -> None:
    head = RequestHead(method=b"GET", target=target, fields=())
    assert at_backend(call_for(bucket), head, PROFILES[profile]).target == expected


def test_what_is_told_leads_back() -> None:
    profile = PROFILES["ministack"]
    told = "http://localhost:4566/_ministack/lambda-layers/000000000000/us-east-1/l/1/content"
    call = Call(
        service="lambda",
        region="us-east-1",
        operation="GetLayerVersion",
        protocol=Protocol.REST_JSON,
        host="lambda.us-east-1.amazonaws.com",
    )
    given = code_location(told, place_of(call, profile))
    bucket, _, path = given.removeprefix("https://").partition(".s3.us-east-1.amazonaws.com")
    head = RequestHead(method=b"GET", target=path.encode(), fields=())
    assert at_backend(call_for(bucket), head, profile).target.decode() in told
