"""The truth tables of the decider."""

import json
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sidecar_lab import NOW, configuration, connection, request

from kecs.aws.head import Answer, RequestHead, ResponseHead
from kecs.calls.accesslog import Record
from kecs.calls.routes import without_secrets
from kecs.core.errors import ConfigError
from kecs.core.names import METADATA_IPV4, METADATA_IPV6
from kecs.relay.decide import (
    Address,
    Connection,
    Exchange,
    Failure,
    Forward,
    Handover,
    Look,
    Pass,
    Peeked,
    Refuse,
    Serve,
    Terminate,
    Verdict,
    Wire,
)
from kecs.sidecar.config import EngineMode
from kecs.sidecar.decider import ADMIN, ENGINE, PROBE, SidecarDecider

S3 = "b.s3.eu-west-1.amazonaws.com"
GIVEN = "198.19.0.7"
EKS = "abc.gr7.eu-west-1.eks.amazonaws.com"
AUTH = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260101/eu-west-1/{}/aws4_request, SignedHeaders=host, Signature=00"


class Given:
    def name_of(self, address: str) -> str | None:
        return "sqs.eu-west-1.amazonaws.com" if address == GIVEN else None


class Waiting:
    """An engine that listens."""

    secret = b"right"

    def handover(self, connection: Connection) -> Handover | None:
        return Handover(address=Address("127.0.0.1", 9999), first=connection.client.host.encode())


class Broken(Waiting):
    """An engine that can't be started."""

    def handover(self, connection: Connection) -> Handover | None:  # noqa: ARG002 - the protocol's signature
        return None


def decider(log: list[Record] | None = None, **changes: object) -> SidecarDecider:
    return SidecarDecider(
        configuration(**changes),
        names=Given(),
        log=None if log is None else lambda line: log.append(json.loads(line)),
        clock=lambda: NOW,
    )


def exchange(head: RequestHead, name: str = S3, on: Connection | None = None) -> Exchange:
    return Exchange(connection=on or connection(), name=name, head=head)


@pytest.mark.parametrize(
    ("host", "port", "origin", "expected"),
    [
        *((host, 80, "redirect", Look.SERVE) for host in (*METADATA_IPV4, *METADATA_IPV6)),
        (METADATA_IPV4[0], 443, "redirect", Look.PEEK),
        (METADATA_IPV4[0], 8080, "redirect", Look.DIAL),
        ("10.0.0.5", 14580, ADMIN, Look.SERVE),
        ("127.0.0.1", 40000, ENGINE, Look.SERVE),
        ("203.0.113.9", 443, "redirect", Look.PEEK),
        ("203.0.113.9", 80, "redirect", Look.PEEK),
        ("203.0.113.9", 22, "redirect", Look.DIAL),
        (GIVEN, 443, "redirect", Look.WAIT),
        (GIVEN, 5432, "redirect", Look.WAIT),
        ("198.19.0.8", 5432, "redirect", Look.DIAL),
    ],
)
def test_how_a_connection_is_looked_at(host: str, port: int, origin: str, expected: Look) -> None:
    assert decider().look(connection(host, port, origin)) is expected


REFUSED_PROTOCOL = Refuse(reason="aws_address_other_protocol")
REFUSED_NAME = Refuse(reason="other_name_at_aws_address")
VERDICTS: list[tuple[str, int, Wire, str, Verdict]] = [
    ("203.0.113.9", 443, Wire.TLS, S3, Terminate(name=S3)),
    ("203.0.113.9", 443, Wire.TLS, "example.com", Pass()),
    ("203.0.113.9", 443, Wire.TLS, "s3.amazonaws.com.example.com", Pass()),
    ("203.0.113.9", 443, Wire.TLS, "", Pass()),
    ("203.0.113.9", 443, Wire.OTHER, "", Pass()),
    ("203.0.113.9", 443, Wire.SILENT, "", Pass()),
    ("203.0.113.9", 80, Wire.HTTP, S3, Serve()),
    ("203.0.113.9", 80, Wire.HTTP, "example.com", Pass()),
    ("203.0.113.9", 3128, Wire.CONNECT, S3, Serve()),
    ("203.0.113.9", 3128, Wire.CONNECT, "example.com", Pass()),
    ("203.0.113.9", 3128, Wire.TLS, S3, Terminate(name=S3)),
    ("203.0.113.9", 3128, Wire.HTTP, S3, Serve()),
    ("127.0.0.1", 4566, Wire.HTTP, S3, Pass()),
    ("127.0.0.1", 4566, Wire.TLS, S3, Pass()),
    ("127.0.0.1", 3128, Wire.CONNECT, S3, Serve()),
    ("127.0.0.1", 443, Wire.TLS, S3, Terminate(name=S3)),
    ("::1", 80, Wire.HTTP, S3, Serve()),
    (GIVEN, 443, Wire.TLS, S3, Terminate(name=S3)),
    (GIVEN, 443, Wire.TLS, "", Terminate(name="sqs.eu-west-1.amazonaws.com")),
    (GIVEN, 443, Wire.TLS, "example.com", REFUSED_NAME),
    (GIVEN, 80, Wire.HTTP, S3, Serve()),
    (GIVEN, 80, Wire.HTTP, "", Serve()),
    (GIVEN, 80, Wire.HTTP, "example.com", REFUSED_NAME),
    (GIVEN, 80, Wire.CONNECT, "example.com", REFUSED_NAME),
    (GIVEN, 5432, Wire.OTHER, "", REFUSED_PROTOCOL),
    (GIVEN, 5432, Wire.SILENT, "", REFUSED_PROTOCOL),
    ("203.0.113.9", 443, Wire.TLS, EKS, Refuse(reason="aws_name_wants_client_certificate")),
]


@pytest.mark.parametrize(("host", "port", "wire", "name", "expected"), VERDICTS)
def test_what_becomes_of_a_connection(host: str, port: int, wire: Wire, name: str, expected: Verdict) -> None:
    assert decider().connection(connection(host, port), Peeked(wire=wire, name=name)) == expected


@pytest.mark.parametrize("name", [EKS, "x.iot.eu-west-1.amazonaws.com"])
def test_names_that_were_asked_to_pass_pass(name: str) -> None:
    peeked = Peeked(wire=Wire.TLS, name=name, alpn=("x-amzn-mqtt-ca",))
    assert decider().connection(connection(), peeked) == Refuse(reason="aws_name_wants_client_certificate")
    for asked in (name, f"*.{name.partition('.')[2]}"):
        assert decider(pass_hosts=(asked,)).connection(connection(), peeked) == Pass()
    assert decider(pass_hosts=(f"*.{name}",)).connection(connection(), peeked) != Pass()


@pytest.mark.parametrize(
    ("mode", "wire", "alpn", "handed"),
    [
        (EngineMode.OFF, Wire.TLS, ("h2",), False),
        (EngineMode.ON_DEMAND, Wire.TLS, ("h2",), True),
        (EngineMode.ON_DEMAND, Wire.TLS, ("h2", "http/1.1"), False),
        (EngineMode.ON_DEMAND, Wire.TLS, (), False),
        (EngineMode.ON_DEMAND, Wire.HTTP, (), False),
        (EngineMode.INSPECT, Wire.TLS, ("h2", "http/1.1"), True),
        (EngineMode.INSPECT, Wire.TLS, (), True),
        (EngineMode.INSPECT, Wire.HTTP, (), True),
        (EngineMode.INSPECT, Wire.CONNECT, (), False),
    ],
)
def test_when_the_engine_takes_over(*, mode: EngineMode, wire: Wire, alpn: tuple[str, ...], handed: bool) -> None:
    peeked = Peeked(wire=wire, name=S3, alpn=alpn)
    made = SidecarDecider(configuration(engine=mode), engine=Waiting())
    assert isinstance(made.connection(connection(), peeked), Handover) is handed
    without = SidecarDecider(configuration(engine=mode), engine=Broken())
    assert not isinstance(without.connection(connection(), peeked), Handover)


@pytest.mark.parametrize("mode", list(EngineMode))
def test_names_that_were_asked_to_get_the_engine_do(mode: EngineMode) -> None:
    if mode is EngineMode.OFF:
        with pytest.raises(ConfigError, match="engine_hosts is given, and the engine is off"):
            configuration(engine=mode, engine_hosts=("b.*.*.amazonaws.com",))
        return
    made = SidecarDecider(configuration(engine=mode, engine_hosts=("b.*.*.amazonaws.com",)), engine=Waiting())
    found = made.connection(connection(), Peeked(wire=Wire.TLS, name=S3, alpn=("http/1.1",)))
    assert found == Handover(address=Address("127.0.0.1", 9999), first=connection().client.host.encode())
    other = made.connection(connection(), Peeked(wire=Wire.TLS, name=f"c.{S3}", alpn=("http/1.1",)))
    assert isinstance(other, Handover) is (mode is not EngineMode.ON_DEMAND)


def test_the_engine_gets_no_connection_without_a_name() -> None:
    made = SidecarDecider(configuration(engine=EngineMode.INSPECT), names=Given(), engine=Waiting())
    found = made.connection(connection(GIVEN), Peeked(wire=Wire.TLS, alpn=("h2",)))
    assert found == Terminate(name="sqs.eu-west-1.amazonaws.com")


def forwarded(made: SidecarDecider, head: RequestHead, name: str = S3, on: Connection | None = None) -> Forward:
    found = made.request(exchange(head, name, on), b"")
    assert isinstance(found, Forward)
    return found


@pytest.mark.parametrize(
    ("service", "fields", "port"),
    [
        ("s3", {}, 4566),
        ("ecs", {"X_Amz_Target": "AmazonEC2ContainerServiceV20141113.ListClusters"}, 8080),
        ("elasticloadbalancing", {}, 4566),
        ("sqs", {"X_Amz_Target": "AmazonSQS.ListQueues"}, 4566),
    ],
)
def test_calls_go_where_the_configuration_says(service: str, fields: dict[str, str], port: int) -> None:
    host = f"{service}.eu-west-1.amazonaws.com"
    target = "/?Action=DescribeTargetGroups&Version=2015-12-01" if service == "elasticloadbalancing" else "/"
    head = request("POST", target, Host=host, Authorization=AUTH.format(service), **fields)
    both = decider(controlplane_host="127.0.0.1", controlplane_port=8080)
    assert forwarded(both, head, host).upstream.port == port
    assert forwarded(decider(), head, host).upstream.port == 4566


@pytest.mark.parametrize(
    ("tls", "name", "url"), [(True, "plane", "https://plane:8443"), (False, "", "http://plane:8443")]
)
def test_the_control_plane_is_spoken_to_as_the_configuration_says(*, tls: bool, name: str, url: str) -> None:
    made = decider(controlplane_host="plane", controlplane_port=8443, controlplane_tls=tls)
    assert (made.routes.controlplane.upstream.tls_name, made.routes.controlplane.url) == (name, url)
    assert made.routes.backend.upstream.tls_name == ""


@pytest.mark.parametrize("host", ["example.com", "127.0.0.1", "[::1]:80", "s3.amazonaws.com.evil.example", "a b", "*"])
def test_a_name_that_is_not_of_aws_is_never_forwarded(host: str) -> None:
    made = decider()
    found = made.request(exchange(request("GET", "/", Host=host)), b"")
    assert isinstance(found, Answer)
    assert found.status == 421


def test_no_host_means_the_name_of_the_connection() -> None:
    assert forwarded(decider(), request("GET", "/")).head.target == b"/"
    at_given = connection(GIVEN, 80)
    assert forwarded(decider(), request("GET", "/"), "", at_given).upstream.port == 4566
    found = decider().request(exchange(request("GET", "/"), ""), b"")
    assert isinstance(found, Answer)


SECRET = {"X-Amz-Security-Token": "real", "x-amz-sso_bearer_token": "real", "Authorization": "Bearer real"}


@pytest.mark.parametrize(("backend", "kept"), [("127.0.0.1", True), ("::1", True), ("emulator.example", False)])
def test_tokens_reach_local_backends_only(*, backend: str, kept: bool) -> None:
    query = "/k?X-Amz-Security-Token=real&x=%2F&X%2DAmz%2DSecurity%2DToken=real"
    fields = tuple((key.encode(), value.encode()) for key, value in SECRET.items())
    head = RequestHead(method=b"GET", target=query.encode(), fields=((b"Host", S3.encode()), *fields))
    found = forwarded(decider(backend_host=backend, profile="localstack"), head).head
    text = found.target + b"".join(b"".join(field) for field in found.fields)
    assert (b"real" in text) is kept
    if not kept:
        assert found.target == b"/k?x=%2F"


def test_signatures_are_not_tokens() -> None:
    head = request("GET", "/", Host=S3, Authorization=AUTH.format("s3"))
    assert without_secrets(head) == head


def test_the_way_back_from_the_engine_needs_its_secret() -> None:
    made = SidecarDecider(configuration(), engine=Waiting())
    back = connection("127.0.0.1", 40000, ENGINE)
    for value in ("wrong", "wrong 10.1.2.3 40001 203.0.113.9 443", "right", "right 10.1.2.3"):
        wrong = made.request(exchange(request("GET", "/", Host=S3, X_KECS_Engine=value), "", back), b"")
        assert isinstance(wrong, Answer)
        assert wrong.status == 403
    done = exchange(request("GET", "/", Host=S3, X_KECS_Engine="right 10.1.2.3 40001 203.0.113.9 443"), "", back)
    right = made.request(done, b"")
    assert isinstance(right, Forward)
    assert right.head.get(b"x-kecs-engine") is None
    assert (done.connection.client, done.connection.destination) == (("10.1.2.3", 40001), ("203.0.113.9", 443))
    assert done.connection.origin == ENGINE
    without = SidecarDecider(configuration()).request(exchange(request("GET", "/", Host=S3), "", back), b"")
    assert isinstance(without, Answer)


def test_a_clients_own_engine_field_goes_nowhere() -> None:
    assert forwarded(decider(), request("GET", "/", Host=S3, X_KECS_Engine="x")).head.get(b"x-kecs-engine") is None


def test_metadata_is_answered_and_needs_no_host() -> None:
    on = connection(METADATA_IPV4[0], 80)
    log: list[Record] = []
    made = decider(log)
    done = exchange(request("GET", "/latest/meta-data/placement/region"), "", on)
    found = made.request(done, b"")
    assert isinstance(found, Answer)
    assert found.body == b"eu-west-1"
    assert made.body_wanted(on, done.head) == 0
    made.record(done)
    assert log[0]["event"] == "metadata"


def test_an_unreachable_backend_is_a_503_that_names_it() -> None:
    made = decider()
    done = exchange(request("POST", "/", Host="dynamodb.eu-west-1.amazonaws.com", X_Amz_Target="DynamoDB_20120810.X"))
    done.context = made.request(done, b"").context  # type: ignore[union-attr]  # a Forward
    found = made.failed(done, Failure.CONNECT, "connection refused")
    assert found.status == 503
    said = json.loads(found.body)
    assert said["__type"] == "ServiceUnavailableException"
    assert said["message"].startswith("emulator unreachable: http://127.0.0.1:4566 (")
    assert "connection refused" in said["message"]


@pytest.mark.parametrize("status", [400, 408, 413, 431, 501])
def test_what_can_not_be_understood_is_answered_with_that_status(status: int) -> None:
    made = decider()
    empty = exchange(RequestHead(method=b"", target=b"", fields=()))
    assert made.invalid(None, status, "why").status == status
    found = made.invalid(empty, status, "the head is too long")
    assert found.status == status
    assert b"the head is too long" in found.body
    assert b"<Error>" in found.body  # it was on S3's name


def test_a_response_is_dressed_as_awss() -> None:
    made = decider()
    done = exchange(request("GET", "/", Host=S3))
    done.context = forwarded(made, done.head).context
    head = made.response(done, ResponseHead(status=200, reason=b"OK", fields=((b"X-Localstack", b"1"),)))
    assert isinstance(head, ResponseHead)
    assert head.get(b"x-localstack") is None
    assert head.get(b"x-amz-request-id") == done.context.request_id.encode()
    assert head.get(b"date") == b"Sat, 21 Nov 2026 05:28:30 GMT"
    own = made.response(done, ResponseHead(status=200, reason=b"OK", fields=((b"x-amz-request-id", b"OWN"),)))
    assert isinstance(own, ResponseHead)
    assert own.get(b"x-amz-request-id") == b"OWN"
    assert done.context.request_id == "OWN"


def test_the_admin_port_is_not_logged() -> None:
    log: list[Record] = []
    made = SidecarDecider(
        configuration(), admin=lambda _: Answer(status=204), log=lambda line: log.append(json.loads(line))
    )
    on = connection("127.0.0.1", 14580, ADMIN)
    done = exchange(request("GET", "/livez", Host="localhost"), "", on)
    assert made.request(done, b"") == Answer(status=204)
    assert made.body_wanted(on, request("POST", "/", content_type="application/x-www-form-urlencoded")) == 0
    made.record(done)
    assert log == []


def test_the_probe_port_is_served_by_who_answers_probes() -> None:
    made = SidecarDecider(configuration(), admin=lambda _: Answer(status=204), probe=lambda _: Answer(status=202))
    on = connection("10.0.0.5", 14581, PROBE)
    assert made.look(on) is Look.SERVE
    assert made.request(exchange(request("GET", "/livez", Host="localhost"), "", on), b"") == Answer(status=202)
    nobody = SidecarDecider(configuration()).request(exchange(request("GET", "/"), "", on), b"")
    assert nobody == Answer(status=404)
    assert made.body_wanted(on, request("POST", "/", content_type="application/x-www-form-urlencoded")) == 0
    assert made.invalid(exchange(request("GET", "/"), "", on), 400, "no").body == b"no\n"


@pytest.mark.parametrize(
    ("wire", "name", "expected"),
    [
        pytest.param(Wire.TLS, S3, Refuse(reason="no_certificate"), id="TLS to AWS is refused, not passed"),
        pytest.param(Wire.TLS, "", Refuse(reason="no_certificate"), id="and to an address given out for it"),
        pytest.param(Wire.HTTP, S3, Serve(), id="HTTP needs no certificate"),
        pytest.param(Wire.CONNECT, S3, Serve(), id="what follows CONNECT is asked about again"),
        pytest.param(Wire.TLS, "x.passed.amazonaws.com", Pass(), id="passed names need none either"),
    ],
)
def test_without_a_certificate(wire: Wire, name: str, expected: Verdict) -> None:
    config = configuration(engine="inspect", pass_hosts=("*.passed.amazonaws.com",))
    made = SidecarDecider(config, names=Given(), engine=Broken(), lack=lambda: "no_certificate")
    host = "203.0.113.9" if name else GIVEN
    assert made.connection(connection(host), Peeked(wire=wire, name=name)) == expected


def clock() -> datetime:
    return NOW


@given(
    st.binary(max_size=80), st.binary(max_size=80), st.binary(max_size=80), st.text(max_size=40), st.binary(max_size=99)
)
def test_no_bytes_break_a_decision(method: bytes, target: bytes, value: bytes, name: str, body: bytes) -> None:
    made = SidecarDecider(configuration(backend_host="emulator.example"), clock=clock)
    for field in (b"Host", b"Authorization", b"Content-Type", b"X-Amz-Target"):
        head = RequestHead(method=method, target=target, fields=((field, value),))
        done = exchange(head, name)
        made.body_wanted(done.connection, head)
        found = made.request(done, body)
        assert isinstance(found, Answer) or found.upstream.host == "emulator.example"
        made.failed(done, Failure.RESET, "x")
        made.record(done)
    for wire in Wire:
        made.connection(connection(), Peeked(wire=wire, name=name))


def test_event_streams_are_never_held() -> None:
    made = decider(profile="localstack")
    done = exchange(request("POST", "/", Host="transcribestreaming.eu-west-1.amazonaws.com"))
    done.context = forwarded(made, done.head).context
    stream = ((b"Content-Type", b"application/vnd.amazon.eventstream"), (b"Transfer-Encoding", b"chunked"))
    assert isinstance(made.response(done, ResponseHead(status=200, reason=b"OK", fields=stream)), ResponseHead)
