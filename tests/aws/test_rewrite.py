from typing import Any

import pytest

from kecs.aws.call import Call, Protocol
from kecs.aws.errors import extended_request_id
from kecs.aws.head import Fields, ResponseHead
from kecs.aws.profiles import PROFILES
from kecs.aws.rewrite import reads_values, rewrite_head

CALL = Call(
    service="s3",
    region="eu-west-1",
    operation="GetObject",
    protocol=Protocol.REST_XML,
    host="b.s3.eu-west-1.amazonaws.com",
)


def rewritten(
    *fields: tuple[bytes, bytes], call: Call = CALL, profile: str = "localstack", status: int = 200, **more: Any
) -> Fields:
    head = ResponseHead(status=status, reason=b"OK", fields=fields)
    return rewrite_head(call, head, PROFILES[profile], "ID", **more).fields


def test_s3_says_who_it_is_and_gives_its_two_ids() -> None:
    assert rewritten((b"Server", b"TwistedWeb/24"), (b"ETag", b'"x"')) == (
        (b"ETag", b'"x"'),
        (b"x-amz-request-id", b"ID"),
        (b"x-amz-id-2", extended_request_id("ID").encode()),
        (b"Server", b"AmazonS3"),
    )


def test_others_say_no_server_and_give_one_id() -> None:
    call = CALL._replace(service="sqs", host="sqs.eu-west-1.amazonaws.com")
    assert rewritten((b"server", b"Werkzeug/3"), call=call) == ((b"x-amzn-RequestId", b"ID"),)


def test_ids_of_the_backend_stay() -> None:
    call = CALL._replace(service="sqs")
    theirs = (b"X-Amzn-Requestid", b"theirs")
    assert rewritten(theirs, call=call) == (theirs,)


def test_new_buckets_have_a_path_in_the_first_region_and_urls_elsewhere() -> None:
    made = (b"Location", b"/b")
    first = CALL._replace(operation="CreateBucket", region="us-east-1", host="s3.us-east-1.amazonaws.com")
    assert rewritten(made, call=first)[0] == made
    china = first._replace(region="cn-north-1", host="s3.cn-north-1.amazonaws.com.cn")
    assert rewritten(made, call=china)[0] == (b"Location", b"http://b.s3.cn-north-1.amazonaws.com.cn/")


def test_ids_that_are_another_services_go() -> None:
    ids = ((b"x-amzn-RequestId", b"one"), (b"X-Amz-Request-Id", b"two"), (b"X-Amz-Id-2", b"three"))
    assert rewritten(*ids, call=CALL._replace(service="sqs")) == ids[:1]
    assert rewritten(*ids)[:2] == ids[1:]
    assert rewritten(*ids, call=CALL._replace(service="lambda-url")) == ids


@pytest.mark.parametrize(
    "name", [b"X-LocalStack-Anything", b"x-moto-y", b"X-Ministack-Z", b"x-amz-sdk-checksum-algorithm", b"X-Powered-By"]
)
def test_fields_that_only_an_emulator_sends_go(name: bytes) -> None:
    assert name not in dict(rewritten((name, b"x")))
    assert name not in dict(rewritten((name, b"x"), (b"Location", b"/k")))


@pytest.mark.parametrize(
    ("name", "status", "origin", "expected"),
    [
        (b"Location", 200, False, True),
        (b"Access-Control-Allow-Origin", 200, True, True),
        (b"Access-Control-Allow-Origin", 200, False, False),
        (b"ETag", 200, True, False),
        (b"ETag", 103, False, True),
    ],
)
def test_it_is_known_whose_values_are_read(name: bytes, status: int, *, origin: bool, expected: bool) -> None:
    assert reads_values(ResponseHead(status=status, reason=b"", fields=((name, b"x"),)), origin=origin) is expected


def test_customers_own_endpoints_get_nothing_added() -> None:
    call = CALL._replace(service="execute-api")
    assert rewritten((b"Content-Type", b"text/html"), (b"x-localstack", b"true"), call=call) == (
        (b"Content-Type", b"text/html"),
    )


def test_informational_answers_pass() -> None:
    head = ResponseHead(status=103, reason=b"Early Hints", fields=((b"Link", b"x"),))
    assert rewrite_head(CALL, head, PROFILES["generic"], "ID") is head


def test_a_date_is_added_only_where_there_is_none() -> None:
    assert (b"Date", b"now") in rewritten(date=b"now")
    fields = rewritten((b"date", b"then"), date=b"now")
    assert (b"date", b"then") in fields
    assert (b"Date", b"now") not in fields


def test_cors_fields_are_for_browsers_and_hold_no_emulators_words() -> None:
    fields = (
        (b"Access-Control-Allow-Origin", b"*"),
        (b"access-control-allow-headers", b"authorization, x-localstack-target,x-amz-date"),
    )
    assert rewritten(*fields)[:2] == (
        (b"Access-Control-Allow-Origin", b"*"),
        (b"access-control-allow-headers", b"authorization,x-amz-date"),
    )
    assert not any(name.lower().startswith(b"access-") for name, _ in rewritten(*fields, origin=False))


@pytest.mark.parametrize(
    ("operation", "profile", "location", "expected"),
    [
        (
            "PostObject",
            "ministack",
            b"http://b.s3.eu-west-1.amazonaws.com/k",
            b"https://b.s3.eu-west-1.amazonaws.com/k",
        ),
        (
            "CreateBucket",
            "localstack",
            b"http://b.s3.localhost.localstack.cloud:4566/",
            b"http://b.s3.amazonaws.com/",
        ),
        (
            "PostObject",
            "localstack",
            b"http://b.s3.localhost.localstack.cloud:4566/k?x=1#y",
            b"https://b.s3.amazonaws.com/k?x=1#y",
        ),
        ("PostObject", "moto-server", b"http://localhost:5000/k", b"https://b.s3.eu-west-1.amazonaws.com/k"),
        ("PostObject", "generic", b"https://127.0.0.1:4566/k", b"https://b.s3.eu-west-1.amazonaws.com/k"),
        ("CreateBucket", "embedded", b"/b", b"http://b.s3.amazonaws.com/"),
        ("CreateBucket", "embedded", b"/b/c", b"/b/c"),
        ("GetObject", "localstack", b"https://example.com/localhost", b"https://example.com/localhost"),
        ("GetObject", "localstack", b"https://notlocalhost/", b"https://notlocalhost/"),
        ("GetObject", "localstack", b"ftp://localhost/", b"ftp://localhost/"),
        ("GetObject", "localstack", b"http://[::1/", b"http://[::1/"),
        ("GetObject", "localstack", b"http://localhost/\xff", b"http://localhost/\xff"),
    ],
)
def test_locations(operation: str, profile: str, location: bytes, expected: bytes) -> None:
    call = CALL._replace(operation=operation)
    assert rewritten((b"Location", location), call=call, profile=profile)[0] == (b"Location", expected)


def test_a_location_stays_when_there_is_no_aws_name_to_put() -> None:
    call = CALL._replace(host="example.com")
    location = (b"location", b"http://localhost:4566/k")
    assert rewritten(location, call=call)[0] == location


def test_a_location_keeps_the_labels_before_a_marker_in_the_askers_partition() -> None:
    call = CALL._replace(host="sqs.cn-north-1.amazonaws.com.cn", service="sqs")
    location = (b"Location", b"http://sqs.cn-north-1.localhost.localstack.cloud:4566/1/q")
    assert rewritten(location, call=call)[0] == (b"Location", b"https://sqs.cn-north-1.amazonaws.com.cn/1/q")
    unknown = CALL._replace(host="")
    assert rewritten(location, call=unknown)[0] == (b"Location", b"https://sqs.cn-north-1.amazonaws.com/1/q")


def test_redirects_to_a_customers_own_server_stay() -> None:
    own = (b"Location", b"http://localhost:3000/callback")
    assert rewritten(own, status=303)[0] == own
    assert rewritten(own, call=CALL._replace(service="lambda-url"))[0] == own
    backend = (b"Location", b"http://b.s3.localhost.localstack.cloud:4566/k")
    assert rewritten(backend, status=307)[0] == (b"Location", b"https://b.s3.amazonaws.com/k")
