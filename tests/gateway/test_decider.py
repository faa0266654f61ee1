"""The truth tables of the gateway's decisions."""

import pytest
from sidecar_lab import NOW, connection, request

from kecs.aws.head import Answer, RequestHead, ResponseHead
from kecs.calls.context import CallContext
from kecs.gateway.config import GatewayConfig
from kecs.gateway.decider import GatewayDecider
from kecs.relay.decide import Exchange, Forward, Look, Peeked, Refuse, Serve, Terminate, Verdict, Wire

AUTH = "AWS4-HMAC-SHA256 Credential=AKID/20260101/eu-west-1/{}/aws4_request, SignedHeaders=host, Signature=00"
SEARCH = "d.opensearch.localhost.localstack.cloud"
ECS = "AmazonEC2ContainerServiceV20141113.ListClusters"


def decider(**changes: object) -> GatewayDecider:
    values: dict[str, object] = {
        "backend_host": "127.0.0.1",
        "backend_port": 4510,
        "profile": "localstack",
        "controlplane_host": "127.0.0.1",
        "controlplane_port": 8080,
        **changes,
    }
    config = GatewayConfig(**values)  # type: ignore[arg-type]  # the tests give what the fields want
    return GatewayDecider(config, own=lambda _: Answer(status=204), names=("plane.example",), clock=lambda: NOW)


def exchange(head: RequestHead) -> Exchange:
    return Exchange(connection=connection(origin="gateway"), name="localhost", head=head)


@pytest.mark.parametrize(
    ("peeked", "expected"),
    [
        (Peeked(wire=Wire.HTTP, name="localhost"), Serve()),
        (Peeked(wire=Wire.HTTP), Serve()),
        (Peeked(wire=Wire.TLS), Terminate(name="localhost")),
        (Peeked(wire=Wire.TLS, name="b.localhost"), Terminate(name="b.localhost")),
        (Peeked(wire=Wire.TLS, name="plane.example"), Terminate(name="plane.example")),
        (Peeked(wire=Wire.TLS, name="example.com"), Refuse(reason="name_is_not_the_gateways")),
        (Peeked(wire=Wire.CONNECT, name="localhost", port=1), Refuse(reason="neither_http_nor_tls")),
        (Peeked(wire=Wire.OTHER), Refuse(reason="neither_http_nor_tls")),
        (Peeked(wire=Wire.SILENT), Refuse(reason="neither_http_nor_tls")),
    ],
)
def test_what_becomes_of_a_connection(peeked: Peeked, expected: Verdict) -> None:
    made = decider()
    on = connection(origin="gateway")
    assert made.look(on) is Look.WAIT
    assert made.connection(on, peeked) == expected
    assert made.alike(on, "localhost") is None


@pytest.mark.parametrize(
    ("head", "port", "host"),
    [
        (request("POST", "/", Host="localhost:4566", X_Amz_Target=ECS), 8080, "ecs.us-east-1.amazonaws.com"),
        (
            request("POST", "/", Host="localhost", X_Amz_Target=ECS, Authorization=AUTH.format("ecs")),
            8080,
            "ecs.eu-west-1.amazonaws.com",
        ),
        (
            request("POST", "/?Action=DescribeTargetGroups&Version=2015-12-01", Host="localhost"),
            4510,
            "elasticloadbalancing.us-east-1.amazonaws.com",
        ),
        (
            request("POST", "/", Host="x:1", Content_Type="application/json", X_Amz_Target="AmazonSQS.ListQueues"),
            4510,
            "sqs.us-east-1.amazonaws.com",
        ),
        (
            request("GET", "/b/k", Host="localhost", Authorization=AUTH.format("s3")),
            4510,
            "s3.eu-west-1.amazonaws.com",
        ),
        (request("GET", "/b/k", Host="localhost:4566"), 4510, "s3.us-east-1.amazonaws.com"),
        (request("PUT", "/k", Host="b.localhost:4566"), 4510, "b.s3.us-east-1.amazonaws.com"),
        (
            request("GET", "/k", Host="events.localhost:4566", Authorization=AUTH.format("s3")),
            4510,
            "events.s3.eu-west-1.amazonaws.com",
        ),
        (request("GET", "/k", Host="b.s3.localhost.localstack.cloud:4566"), 4510, "b.s3.amazonaws.com"),
        (request("GET", "/p", Host="x.execute-api.localhost.localstack.cloud"), 4510, "x.execute-api.amazonaws.com"),
        (request("GET", "/k", Host="b.s3.eu-west-1.amazonaws.com"), 4510, "b.s3.eu-west-1.amazonaws.com"),
        (request("GET", "/_localstack/health", Host="localhost:4566"), 4510, "localhost:4566"),
        (
            request("GET", "/", Host="d.opensearch.localhost.localstack.cloud"),
            4510,
            "d.opensearch.localhost.localstack.cloud",
        ),
    ],
)
def test_where_a_request_goes_and_as_what(head: RequestHead, port: int, host: str) -> None:
    made = decider()
    made.body_wanted(connection(), head)
    found = made.request(exchange(head), b"")
    assert isinstance(found, Forward)
    assert found.upstream.port == port
    assert (found.head.get(b"host") or b"").decode() == host


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (request("GET", "/_kecs/health", Host="localhost"), 204),
        (request("GET", "/", Host="localhost"), 200),
        (request("POST", "/", Host="localhost", X_Amz_Target="Nobody.Do"), 501),
        (request("GET", "/", Host="localhost", Authorization=AUTH.format("nobody")), 501),
    ],
)
def test_what_is_answered_here(head: RequestHead, status: int) -> None:
    made = decider()
    asked = exchange(head)
    found = made.request(asked, b"")
    assert isinstance(found, Answer)
    assert found.status == status
    made.record(asked)


def test_everything_goes_to_the_backend_where_there_is_no_control_plane() -> None:
    made = decider(controlplane_host="", controlplane_port=0)
    found = made.request(exchange(request("POST", "/", Host="localhost", X_Amz_Target=ECS)), b"")
    assert isinstance(found, Forward)
    assert found.upstream.port == 4510


@pytest.mark.parametrize(
    ("host", "told"),
    [
        ("localhost:4566", b"http://localhost:4566/b/"),
        ("b.localhost:4566", b"http://localhost:4566/b/"),
        ("s3.eu-west-1.amazonaws.com", b"http://b.s3.amazonaws.com/"),
    ],
)
def test_a_location_leads_where_the_client_came_from(host: str, told: bytes) -> None:
    made = decider()
    asked = exchange(request("PUT", "/b", Host=host, Authorization=AUTH.format("s3")))
    forward = made.request(asked, b"")
    assert isinstance(forward, Forward)
    found = made.response(asked, ResponseHead(status=200, reason=b"OK", fields=((b"Location", b"/b"),)))
    assert isinstance(asked.context, CallContext)
    assert isinstance(found, ResponseHead)
    if host != "b.localhost:4566":  # there it is no new bucket but an object
        assert found.get(b"location") == told
