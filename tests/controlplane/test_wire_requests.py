"""Requests of botocore, of anybody else, and bytes that are none."""

import ecs_shapes_lab as shapes
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kecs.aws.accounts import Accounts
from kecs.aws.head import RequestHead
from kecs.controlplane.errors import ApiError
from kecs.controlplane.state import Scope
from kecs.controlplane.wire.parsing import parse
from kecs.controlplane.wire.requests import Identity, NoOperationError, Spoken, document_of, operation_of, spoken

TARGET = (b"X-Amz-Target", b"AmazonEC2ContainerServiceV20141113.ListClusters")


def a_head(target: str = "/", *fields: tuple[bytes, bytes], method: str = "POST") -> RequestHead:
    return RequestHead(method=method.encode(), target=target.encode(), fields=((b"Host", b"localhost:8080"), *fields))


def signed(region: str, key: str = "test") -> tuple[bytes, bytes]:
    credential = f"{key}/20260101/{region}/ecs/aws4_request"
    return (b"Authorization", f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=ab".encode())


@pytest.mark.parametrize("protocol", shapes.PROTOCOLS)
@pytest.mark.parametrize("name", shapes.operation_names())
@settings(max_examples=10, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_what_botocore_serialises_is_read_as_it_was_given(name: str, protocol: str, data: st.DataObject) -> None:
    params = data.draw(shapes.values(shapes.input_of(name)))
    head, body = shapes.request(name, params, protocol=protocol)
    assert spoken(head) is (Spoken.JSON if protocol == "json" else Spoken.CBOR)
    assert operation_of(head) == name
    assert parse(name, document_of(body, spoken(head))) == params


@pytest.mark.parametrize(
    ("head", "name"),
    [
        pytest.param(a_head("/", TARGET), "ListClusters", id="X-Amz-Target"),
        pytest.param(a_head("/?x=1", TARGET), "ListClusters", id="a query beside it"),
        pytest.param(
            a_head("/", (b"x-amz-target", b"AmazonEC2ContainerServiceV20300101.RunTask")), "RunTask", id="another date"
        ),
        pytest.param(a_head("/v1/CreateService"), "CreateService", id="/v1/ and no target"),
        pytest.param(a_head("/v1/CreateService", TARGET), "CreateService", id="/v1/ goes before the target"),
        pytest.param(
            a_head("/service/AmazonEC2ContainerServiceV20141113/operation/RunTask"), "RunTask", id="the path of CBOR"
        ),
        pytest.param(
            a_head("/service/com.amazonaws.ecs.AmazonEC2ContainerServiceV20141113/operation/RunTask"),
            "RunTask",
            id="with its namespace",
        ),
    ],
)
def test_where_an_operation_is_named(head: RequestHead, name: str) -> None:
    assert operation_of(head) == name


@pytest.mark.parametrize(
    ("head", "status"),
    [
        pytest.param(a_head("/", method="GET"), 405, id="GET"),
        pytest.param(a_head("/v1/RunTask", method="PUT"), 405, id="PUT of an operation"),
        pytest.param(a_head("/favicon.ico", method="GET"), 404, id="GET of something else"),
        pytest.param(a_head("/something", TARGET), 404, id="another path"),
        pytest.param(a_head("/v2/RunTask"), 404, id="another version of the plain form"),
        pytest.param(a_head("/"), 400, id="no target"),
        pytest.param(a_head("/", (b"X-Amz-Target", b"")), 400, id="an empty target"),
        pytest.param(a_head("/", (b"X-Amz-Target", b"RunTask")), 400, id="a target without a service"),
        pytest.param(a_head("/", (b"X-Amz-Target", b"DynamoDB_20120810.ListTables")), 400, id="another service's"),
        pytest.param(a_head("/", (b"X-Amz-Target", TARGET[1] + b"X")), 400, id="no operation of the model"),
        pytest.param(a_head("/", (b"X-Amz-Target", b"\xff.\xfe")), 400, id="no text"),
        pytest.param(a_head("/v1/"), 400, id="the plain form without a name"),
        pytest.param(a_head("/v1/%ff"), 400, id="the plain form without a character"),
        pytest.param(a_head("/service/GraniteServiceVersion20100801/operation/RunTask"), 400, id="CloudWatch's CBOR"),
        pytest.param(a_head("/service/AmazonEC2ContainerServiceV20141113/x/RunTask"), 400, id="no path of CBOR"),
    ],
)
def test_what_is_no_operation_of_ours(head: RequestHead, status: int) -> None:
    with pytest.raises(NoOperationError) as raised:
        operation_of(head)
    assert (raised.value.status, raised.value.code) == (status, "UnknownOperationException")


def test_who_asks_cbor_without_saying_so_is_answered_in_it() -> None:
    assert spoken(a_head("/service/AmazonEC2ContainerServiceV20141113/operation/RunTask")) is Spoken.CBOR
    assert spoken(a_head("/", (b"Smithy-Protocol", b"RPC-v2-CBOR"))) is Spoken.CBOR
    assert spoken(a_head("/", TARGET)) is Spoken.JSON


@pytest.mark.parametrize(
    ("fields", "target", "scope"),
    [
        pytest.param((), "/", ("aws", "us-east-1", "000000000000"), id="unsigned"),
        pytest.param((signed("eu-west-3"),), "/", ("aws", "eu-west-3", "000000000000"), id="signed"),
        pytest.param((signed("eu-west-3", "123456789012"),), "/", ("aws", "eu-west-3", "123456789012"), id="account"),
        pytest.param((signed("eu-west-3", "AKIANAMED"),), "/", ("aws", "eu-west-3", "111122223333"), id="a named key"),
        pytest.param((signed("us-gov-west-1"),), "/", ("aws-us-gov", "us-gov-west-1", "000000000000"), id="partition"),
        pytest.param(
            (),
            "/?X-Amz-Credential=210987654321%2F20260101%2Fcn-north-1%2Fecs%2Faws4_request",
            ("aws-cn", "cn-north-1", "210987654321"),
            id="presigned",
        ),
        pytest.param((signed("../../x y"),), "/", ("aws", "us-east-1", "000000000000"), id="a region that is none"),
        pytest.param(((b"Authorization", b"\xff\xfe"),), "/", ("aws", "us-east-1", "000000000000"), id="garbage"),
        pytest.param(
            ((b"Host", b"ecs.ap-south-1.amazonaws.com"),), "/", ("aws", "ap-south-1", "000000000000"), id="by its host"
        ),
    ],
)
def test_whose_records_a_request_is_about(
    fields: tuple[tuple[bytes, bytes], ...], target: str, scope: tuple[str, str, str]
) -> None:
    identity = Identity(accounts=Accounts.parse(("AKIANAMED=111122223333",)))
    head = RequestHead(method=b"POST", target=target.encode(), fields=(*fields, (b"Host", b"localhost:8080"), TARGET))
    partition, region, account = scope
    found, principal = identity.of(head)
    assert found == Scope(partition=partition, region=region, account=account)
    assert principal == f"arn:{partition}:iam::{account}:root"


def test_settings_say_what_is_taken_where_nothing_is_said() -> None:
    identity = Identity(account="999999999999", region="ap-northeast-1", accounts=Accounts.parse(("*=888888888888",)))
    assert identity.of(a_head("/", TARGET))[0].region == "ap-northeast-1"
    assert identity.of(a_head("/", signed("eu-west-1")))[0].account == "888888888888"
    assert Identity(account="999999999999").of(a_head("/", TARGET))[0].account == "999999999999"


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"\xff",
        b'{"a":NaN}',
        b'{"a":-Infinity}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"a":' + b"9" * 5000 + b"}",
        b"{} {}",
        b"hello",
    ],
    ids=lambda body: body[:12].decode("latin-1"),
)
def test_what_is_no_json(body: bytes) -> None:
    with pytest.raises(ApiError) as raised:
        document_of(body, Spoken.JSON)
    assert raised.value.code == "SerializationException"


@given(st.binary(max_size=64), st.sampled_from(Spoken))
def test_any_bytes_are_a_document_or_none(body: bytes, protocol: Spoken) -> None:
    try:
        document_of(body, protocol)
    except ApiError as error:
        assert error.code == "SerializationException"  # noqa: PT017 - a value or this error


def test_no_body_is_no_parameters() -> None:
    assert parse("ListClusters", document_of(b"", Spoken.JSON)) == {}
    assert parse("ListClusters", document_of(b"null", Spoken.JSON)) == {}
    assert parse("ListClusters", document_of(b"", Spoken.CBOR)) == {}
