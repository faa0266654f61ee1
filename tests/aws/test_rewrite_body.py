"""Bodies as clients get them. What botocore makes of them is the measure: its parsers, and its own checksum tests."""

import gzip
import hashlib
import json
import zlib
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

import botocore.awsrequest
import botocore.parsers
import botocore.session
import pytest
from botocore.exceptions import ChecksumError
from botocore.retryhandler import CRC32Checker
from hypothesis import given
from hypothesis import strategies as st

from kecs.aws.call import Call, Protocol
from kecs.aws.head import ResponseHead
from kecs.aws.profiles import PROFILES
from kecs.aws.rewrite_addresses import Place, place_of
from kecs.aws.rewrite_body import BodyFilter, Passed, body_filter, holds_text, rewrite_body
from kecs.aws.rewrite_fields import Sheet, sheet_of
from kecs.core.errors import ProtocolError

PORTS = frozenset({"4566"})
SESSION = botocore.session.get_session()


def call_of(service: str, operation: str, host: str = "", **more: Any) -> Call:
    host = host or f"{service}.eu-west-1.amazonaws.com"
    return Call(service=service, region="eu-west-1", operation=operation, protocol=Protocol.JSON, host=host, **more)


def placed(call: Call, profile: str = "localstack", target: str = "/") -> Place:
    return place_of(call, PROFILES[profile], ports=PORTS, target=target)


def sheet_for(call: Call, status: int = 200) -> Sheet:
    sheet = sheet_of(call.service, call.operation, PROFILES["localstack"], status)
    assert sheet is not None
    return sheet


def body_of(call: Call, body: bytes, *fields: tuple[bytes, bytes], profile: str = "localstack") -> bytes:
    head = ResponseHead(status=200, reason=b"OK", fields=fields)
    found = rewrite_body(head, body, sheet_for(call), placed(call, profile))
    assert not found.passed
    return found.body


def parsed(service: str, operation: str, body: bytes) -> dict[str, Any]:
    """Return what botocore makes of an answer."""
    model = SESSION.get_service_model(service)
    parser = botocore.parsers.create_parser(model.resolved_protocol)
    shape: Any = model.operation_model(operation).output_shape
    found: dict[str, Any] = parser.parse({"status_code": 200, "headers": {}, "body": body}, shape)
    return found


def texts(body: bytes, name: str) -> list[str]:
    """Return the texts of XML elements: botocore's model of SQS has no query protocol any more."""
    return [element.text or "" for element in ET.fromstring(body).iter(name)]  # noqa: S314 - our own


# SNS within SQS


def envelope(base: str = "http://localhost.localstack.cloud:4566", message: str = "hello") -> str:
    return json.dumps(
        {
            "Type": "Notification",
            "MessageId": "m",
            "TopicArn": "arn:aws:sns:eu-central-1:000000000000:t",
            "Message": message,
            "SigningCertURL": f"{base}/_aws/sns/SimpleNotificationService-6c6f.pem",
            "UnsubscribeURL": f"{base}/?Action=Unsubscribe&SubscriptionArn=arn:aws:sns:eu-central-1:000000000000:t:1",
        },
        ensure_ascii=False,
    )


def received(*bodies: str, md5_first: bool = True) -> bytes:
    messages = []
    for body in bodies:
        md5 = {"MD5OfBody": hashlib.md5(body.encode(), usedforsecurity=False).hexdigest()}
        message = {"MessageId": "1", "ReceiptHandle": "r"}
        messages.append(message | md5 | {"Body": body} if md5_first else message | {"Body": body} | md5)
    return json.dumps({"Messages": messages}).encode()


def received_xml(*bodies: str) -> bytes:
    messages = "".join(
        f"<Message><MD5OfBody>{hashlib.md5(body.encode(), usedforsecurity=False).hexdigest()}</MD5OfBody>"
        f"<Body>{escape(body, {'"': '&quot;', chr(13): '&#13;'})}</Body></Message>"
        for body in bodies
    )
    return (
        f"<ReceiveMessageResponse><ReceiveMessageResult>{messages}</ReceiveMessageResult></ReceiveMessageResponse>"
    ).encode()


RECEIVE = call_of("sqs", "ReceiveMessage")


@pytest.mark.parametrize("message", ["hello", "ümläut <&>\r\n\"'\\", "http://localhost:4566/own", "\U0001f600"])
@pytest.mark.parametrize("form", ["json", "json, sum last", "xml"])
def test_notifications_in_messages_are_respelled_and_their_sums_hold(message: str, form: str) -> None:
    bodies = ("plain", envelope(message=message), "{}", envelope("http://localhost:4566"))
    spelled = received_xml(*bodies) if form == "xml" else received(*bodies, md5_first=form == "json")
    body = body_of(RECEIVE, spelled)
    found = (
        [
            {"Body": one, "MD5OfBody": md5}
            for one, md5 in zip(texts(body, "Body"), texts(body, "MD5OfBody"), strict=True)
        ]
        if form == "xml"
        else parsed("sqs", "ReceiveMessage", body)["Messages"]
    )
    for one in found:
        # as SDKs do (Java, Go, .NET and PHP refuse a message whose sum is wrong)
        assert hashlib.md5(one["Body"].encode(), usedforsecurity=False).hexdigest() == one["MD5OfBody"]
    assert found[0]["Body"] == "plain"
    for at, given_message in ((1, message), (3, "hello")):
        notification = json.loads(found[at]["Body"])
        assert notification["Message"] == given_message
        assert notification["UnsubscribeURL"].startswith("https://sns.eu-central-1.amazonaws.com/?Action=Unsubscribe&")
        assert notification["SigningCertURL"] == (
            "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-6c6f.pem"
        )


@pytest.mark.parametrize(
    "body",
    [
        "http://sqs.eu-west-1.localhost.localstack.cloud:4566/1/q",
        '{"UnsubscribeURL": "http://localhost:4566/"}',
        '["SigningCertURL", "http://localhost:4566/"]',
        "no json at all, http://localhost:4566/",
        "nothing of anybody's",
    ],
)
def test_messages_of_customers_stay(body: str) -> None:
    assert body_of(RECEIVE, received(body)) == received(body)


def test_a_sum_that_was_wrong_stays_wrong() -> None:
    spelled = received(envelope()).replace(b'"MD5OfBody": "', b'"MD5OfBody": "00')
    found = json.loads(body_of(RECEIVE, spelled))["Messages"][0]
    assert found["MD5OfBody"].startswith("00")


# sums and codings


def verified(body: bytes, head: ResponseHead) -> None:
    """Let botocore verify DynamoDB's sum, over what is on the wire."""
    fields: Any = {name.decode(): value.decode() for name, value in head.fields}
    response: Any = botocore.awsrequest.AWSResponse("https://x", 200, fields, None)
    response._content = body  # as it has read it
    checker: Any = CRC32Checker("x-amz-crc32")
    checker(attempt_number=1, response=(response, {}), caught_exception=None)


ENDPOINTS = b'{"Endpoints":[{"Address":"localhost:4566","CachePeriodInMinutes":1440}]}'


type Coder = Callable[[bytes], bytes]
PACKERS: dict[bytes, Coder] = {b"gzip": gzip.compress, b"x-gzip": gzip.compress, b"deflate": zlib.compress}
UNPACKERS: dict[bytes, Coder] = {b"gzip": gzip.decompress, b"x-gzip": gzip.decompress, b"deflate": zlib.decompress}


@pytest.mark.parametrize("coding", [b"", b"gzip", b"x-gzip", b"deflate", b"identity"])
def test_the_sum_of_a_changed_body_is_that_of_the_wire(coding: bytes) -> None:
    wire = PACKERS.get(coding, bytes)(ENDPOINTS)
    fields = ((b"x-amz-crc32", b"%d" % zlib.crc32(wire)), (b"Content-MD5", b"old"), (b"ETag", b'"x"'))
    head = ResponseHead(status=200, reason=b"OK", fields=(*fields, (b"Content-Encoding", coding)) if coding else fields)
    verified(wire, head)
    call = call_of("dynamodb", "DescribeEndpoints")
    found = rewrite_body(head, wire, sheet_for(call), placed(call, "ministack"))
    verified(found.body, found.head)
    with pytest.raises(ChecksumError):
        verified(found.body, head)
    text = UNPACKERS.get(coding, bytes)(found.body)
    assert json.loads(text)["Endpoints"][0]["Address"] == "dynamodb.eu-west-1.amazonaws.com"
    assert found.head.get(b"content-md5") is None
    assert found.head.get(b"etag") == b'"x"'


def test_what_does_not_change_keeps_its_bytes_and_its_sums() -> None:
    call = call_of("dynamodb", "DescribeEndpoints")
    wire = gzip.compress(ENDPOINTS.replace(b"localhost:4566", b"dynamodb.eu-west-1.amazonaws.com"))
    head = ResponseHead(
        status=200,
        reason=b"OK",
        fields=((b"x-amz-crc32", b"1"), (b"Content-MD5", b"x"), (b"Content-Encoding", b"gzip")),
    )
    found = rewrite_body(head, wire, sheet_for(call), placed(call))
    assert found.head is head
    assert found.body is wire


BOMB = gzip.compress(bytes(32 * 1024 * 1024), mtime=0)


@pytest.mark.parametrize(
    ("coding", "body", "why"),
    [
        (b"br", ENDPOINTS, Passed.CODING),
        (b"gzip", ENDPOINTS, Passed.CODING),
        (b"gzip", gzip.compress(ENDPOINTS, mtime=0)[:-3], Passed.CODING),
        (b"gzip", gzip.compress(ENDPOINTS, mtime=0) + b"x", Passed.CODING),
        (b"gzip, br", ENDPOINTS, Passed.CODING),
        (b"gzip", BOMB, Passed.DECODED),
    ],
)
def test_what_is_not_understood_is_passed_with_a_reason(coding: bytes, body: bytes, why: str) -> None:
    call = call_of("dynamodb", "DescribeEndpoints")
    head = ResponseHead(status=200, reason=b"OK", fields=((b"Content-Encoding", coding),))
    found = rewrite_body(head, body, sheet_for(call), placed(call))
    assert (found.head, found.body, found.passed) == (head, body, why)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (None, True),
        (b"application/json", True),
        (b"text/xml;charset=utf-8", True),
        (b"application/x-amz-json-1.1", True),
        (b"application/octet-stream", False),
        (b"application/vnd.amazon.eventstream", False),
        (b"application/cbor", False),
    ],
)
def test_only_text_is_looked_at(kind: bytes | None, expected: bool) -> None:  # noqa: FBT001 - a table
    head = ResponseHead(status=200, reason=b"OK", fields=() if kind is None else ((b"Content-Type", kind),))
    assert holds_text(head) is expected


# streams

MARKERS = (*PROFILES["localstack"].markers, "ministack.local")
BASES = ("http://localhost:4566", "http://sqs.eu-west-1.localhost.localstack.cloud:4566", "http://127.0.0.1:4566")
LIST = call_of("sqs", "ListQueues")


def filtered(kind: BodyFilter, pieces: list[bytes]) -> bytes:
    return b"".join([*map(kind.feed, pieces), kind.end()])


QUEUES = st.lists(st.tuples(st.sampled_from(BASES), st.from_regex(r"[A-Za-z0-9_-]{1,20}", fullmatch=True)), max_size=8)


@given(QUEUES, st.sampled_from(["json", "xml"]), st.integers(1, 40), st.booleans())
def test_a_list_of_queues_is_respelled_whole_and_in_pieces_and_holds_no_marker(
    queues: list[tuple[str, str]],
    form: str,
    size: int,
    packed: bool,  # noqa: FBT001 - hypothesis'
) -> None:
    urls = [f"{base}/000000000000/{name}" for base, name in queues]
    expected = [f"https://sqs.eu-west-1.amazonaws.com/000000000000/{name}" for _, name in queues]
    if form == "json":
        text = b" " + json.dumps({"QueueUrls": urls}).encode()
    else:
        inner = "".join(f"<QueueUrl>{url}</QueueUrl>" for url in urls)
        text = f"<ListQueuesResponse><ListQueuesResult>{inner}</ListQueuesResult></ListQueuesResponse>".encode()
    whole = body_of(LIST, text)
    found = texts(whole, "QueueUrl") if form == "xml" else parsed("sqs", "ListQueues", whole).get("QueueUrls", [])
    assert found == expected
    assert not any(marker.encode() in whole for marker in MARKERS)
    wire = gzip.compress(text) if packed else text
    fields = ((b"x-amz-crc32", b"1"), *(((b"Content-Encoding", b"gzip"),) if packed else ()))
    streamed = body_filter(ResponseHead(status=200, reason=b"OK", fields=fields), sheet_for(LIST), placed(LIST))
    assert not isinstance(streamed, Passed)
    head, stream = streamed
    assert head.fields == ()
    assert filtered(stream, [wire[at : at + size] for at in range(0, len(wire), size)]) == whole


def test_what_cannot_be_changed_as_it_streams_says_so() -> None:
    head = ResponseHead(status=200, reason=b"OK", fields=((b"Content-Encoding", b"br"),))
    assert body_filter(head, sheet_for(RECEIVE), placed(RECEIVE)) is Passed.TOO_LONG
    assert body_filter(head, sheet_for(LIST), placed(LIST)) is Passed.CODING


def test_a_stream_of_nothing_is_nothing() -> None:
    assert filtered(BodyFilter(sheet_for(LIST), placed(LIST)), []) == b""
    assert filtered(BodyFilter(sheet_for(LIST), placed(LIST), packed=True), [gzip.compress(b"")]) == b""


def test_a_stream_may_be_packed_in_parts() -> None:
    wire = b"".join(gzip.compress(part) for part in (b'{"QueueUrls":["http://localhost:45', b'66/000000000000/q"]}'))
    for size in (1, 7, len(wire)):
        stream = BodyFilter(sheet_for(LIST), placed(LIST), packed=True)
        got = filtered(stream, [wire[at : at + size] for at in range(0, len(wire), size)])
        assert got == b'{"QueueUrls":["https://sqs.eu-west-1.amazonaws.com/000000000000/q"]}'


@pytest.mark.parametrize(
    "wire", [b"not packed", gzip.compress(b"{}", mtime=0)[:-1], gzip.compress(b"{}", mtime=0) + b"x", b""]
)
def test_a_stream_that_is_not_packed_as_it_says_is_broken_off(wire: bytes) -> None:
    with pytest.raises(ProtocolError):
        filtered(BodyFilter(sheet_for(LIST), placed(LIST), packed=True), [wire])


def test_owners_have_no_name_of_the_backends() -> None:
    call = call_of("s3", "ListBuckets")
    text = b"<Owner><ID>1</ID><DisplayName>ministack</DisplayName></Owner><Name>ministack</Name>"
    sheet = sheet_of("s3", "ListBuckets", PROFILES["ministack"], 200)
    assert sheet is not None
    head = ResponseHead(status=200, reason=b"OK", fields=())
    found = rewrite_body(head, text, sheet, placed(call, "ministack"))
    assert found.body == text.replace(b"<DisplayName>ministack", b"<DisplayName>webfile")
    assert sheet_of("s3", "ListBuckets", PROFILES["localstack"], 200) is None


def test_errors_of_all_services_are_looked_at() -> None:
    call = call_of("dynamodb", "GetItem")
    text = b'{"__type":"X","message":"no queue http://localhost:4566/a, see http://localhost:3000","Item":"localhost:4566"}'
    found = rewrite_body(ResponseHead(status=400, reason=b"", fields=()), text, sheet_for(call, 400), placed(call))
    assert found.body == text.replace(b"http://localhost:4566/a", b"https://dynamodb.eu-west-1.amazonaws.com/a")


def test_a_servers_fault_names_no_address_at_all() -> None:
    call = call_of("dynamodb", "GetItem")
    text = b'{"__type":"X","message":"(host=\'localhost\', port=52437): refused","Item":"localhost"}'
    head = ResponseHead(status=500, reason=b"", fields=())
    found = rewrite_body(head, text, sheet_for(call, 500), placed(call))
    assert found.body == text.replace(b"'localhost'", b"'dynamodb.eu-west-1.amazonaws.com'")


def test_an_organizations_mail_names_no_backend() -> None:
    text = b'{"MasterAccountEmail": "master+1@ministack.local", "Email": "a@customer.example"}'
    found = body_of(call_of("organizations", "DescribeOrganization"), text, profile="ministack")
    assert found == b'{"MasterAccountEmail": "master+1@example.com", "Email": "a@customer.example"}'
