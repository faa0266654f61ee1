"""The sidecar whole, over loopback: real sockets, real TLS, the real relay."""

import http.client
import json
import socket
import ssl
from pathlib import Path

import pytest
from sidecar_service_lab import Got, Lab, backend, laboratory

from kecs.core.names import IMDS_IPV4
from kecs.relay.decide import Connection, Dialled

S3 = "b.s3.eu-west-1.amazonaws.com"


def exchange(
    sock: socket.socket, method: str, target: str, *, host: str = S3, body: bytes = b""
) -> tuple[int, bytes, dict[str, str]]:
    """Ask over a socket that is connected already."""
    asking = http.client.HTTPConnection(host)
    asking.sock = sock
    asking.request(method, target, body=body or None, headers={"Host": host})
    answer = asking.getresponse()
    found = answer.status, answer.read(), {key.lower(): value for key, value in answer.getheaders()}
    asking.close()
    return found


def test_a_call_over_tls_reaches_the_backend_and_is_logged(tmp_path: Path) -> None:
    got: list[Got] = []
    with backend(got) as port, laboratory(tmp_path, port=port, engine="off") as lab:
        status, body, fields = exchange(lab.tls(S3, ("h2", "http/1.1")), "PUT", "/k", body=b"12345")
        records = lab.records()
    assert (status, json.loads(body)) == (200, {"bytes": 5})
    assert (got[0].path, got[0].body, got[0].fields["host"]) == ("/k", b"12345", S3)
    assert fields["server"] == "AmazonS3"
    (record,) = records
    assert (record["event"], record["service"], record["operation"]) == ("call", "s3", "PutObject")
    assert (record["bytes_in"], record["status"], record["upstream"]) == (5, 200, f"127.0.0.1:{port}")
    assert record["request_id"] == fields["x-amz-request-id"]


def test_plain_http_on_port_80_and_connect(tmp_path: Path) -> None:
    got: list[Got] = []
    with backend(got) as port, laboratory(tmp_path, port=port, engine="off") as lab:
        assert exchange(lab.connect(port=80), "GET", "/plain")[0] == 200
        with lab.connect(port=80) as sock:
            sock.sendall(f"CONNECT {S3}:443 HTTP/1.1\r\nHost: {S3}\r\n\r\n".encode())
            assert sock.recv(100).startswith(b"HTTP/1.1 200")
            context = ssl.create_default_context(cadata=lab.root)
            with context.wrap_socket(sock, server_hostname=S3) as tls:
                assert exchange(tls, "GET", "/tunnelled")[0] == 200
    assert [one.path for one in got] == ["/plain", "/tunnelled"]


def test_metadata_is_served(tmp_path: Path) -> None:
    with laboratory(tmp_path, port=1, engine="off") as lab:
        status, body, _ = exchange(
            lab.connect(IMDS_IPV4, 80), "GET", "/latest/meta-data/placement/region", host=IMDS_IPV4
        )
        records = lab.records()
    assert (status, body) == (200, b"eu-west-1")
    assert [(record["event"], record["status"]) for record in records] == [("metadata", 200)]


def test_no_backend_is_a_503_that_names_it(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with laboratory(tmp_path, port=port, engine="off") as lab:
            status, body, _ = exchange(lab.tls(S3), "GET", "/k")
            records = lab.records()
    assert status == 503
    assert f"emulator unreachable: http://127.0.0.1:{port}".encode() in body
    assert records[0]["reason"] == "upstream_connect"


def test_a_client_without_our_root_is_recognised(tmp_path: Path) -> None:
    with laboratory(tmp_path, port=1, engine="off") as lab:
        with pytest.raises(ssl.SSLCertVerificationError):
            lab.tls(S3, trust=False)
        with lab.tls(S3):  # a handshake later, the first one has been dealt with
            pass
        records = lab.records()
    assert records[0]["event"] == "client_distrusts"
    assert records[0]["host"] == S3
    assert "AWS_CA_BUNDLE" in records[0]["hint"]


def test_a_given_address_stands_for_its_name(tmp_path: Path) -> None:
    got: list[Got] = []
    with backend(got) as port, laboratory(tmp_path, port=port, engine="off") as lab:
        address = lab.call(lab.sidecar.allocator.address_of, "sqs.eu-west-1.amazonaws.com")
        with lab.tls(None, to=address) as tls:
            tls.sendall(b"GET / HTTP/1.1\r\nHost: sqs.eu-west-1.amazonaws.com\r\n\r\n")
            assert tls.recv(100).startswith(b"HTTP/1.1 200")
        with lab.connect(address, 5432) as sock:
            sock.sendall(b"\0\0\0\x08\x04\xd2\x16\x2f")
            with pytest.raises(ConnectionResetError):
                sock.recv(1)
        records = lab.records()
    assert ("refused", "aws_address_other_protocol") in [(one["event"], one["reason"]) for one in records]


def admin(lab: Lab, path: str) -> tuple[int, str]:
    asking = http.client.HTTPConnection("127.0.0.1", lab.admin, timeout=30)
    asking.request("GET", path)
    answer = asking.getresponse()
    found = answer.status, answer.read().decode()
    asking.close()
    return found


def test_the_admin_port(tmp_path: Path) -> None:
    with backend([]) as port, laboratory(tmp_path, port=port, engine="off") as lab:
        exchange(lab.tls(S3), "GET", "/k")
        assert admin(lab, "/livez")[0] == 200
        status, ready = admin(lab, "/readyz")
        assert (status, json.loads(ready)["ready"]) == (200, True)
        status, text = admin(lab, "/metrics")
        assert status == 200
        assert 'kecs_sidecar_calls_total{service="s3",status="200"} 1.0' in text
        assert 'kecs_sidecar_connections_total{verdict="terminate"} 1.0' in text
        assert "kecs_sidecar_call_duration_seconds_count 1.0" in text
        certs = json.loads(admin(lab, "/certs")[1])
        assert "amazonaws.com" in certs["permitted"]
        assert certs["leaves_minted"] == 1
        assert admin(lab, "/")[0] == 404
        lab.sidecar._draining = True
        assert admin(lab, "/readyz")[0] == 503


def test_draining_ends_everything(tmp_path: Path) -> None:
    with backend([]) as port, laboratory(tmp_path, port=port, engine="off") as lab:
        assert exchange(lab.tls(S3), "GET", "/k")[0] == 200
        lab.run(lab.sidecar.drain(5))
        with pytest.raises(ConnectionRefusedError):
            lab.connect()


def test_what_was_meant_for_a_plain_proxy_is_served_here(tmp_path: Path) -> None:
    """A client that is told of a proxy sends whole URLs: the relay dials nobody with them."""
    got: list[Got] = []
    with backend(got) as port, laboratory(tmp_path, port=port, engine="off") as lab:
        dialled: list[Connection] = []

        def dial(connection: Connection, done: Dialled) -> None:
            dialled.append(connection)
            done(OSError("closed"))

        lab.sidecar.relay.dial = dial
        with lab.connect(port=80) as sock:
            sock.sendall(f"GET http://{S3}/k HTTP/1.1\r\nHost: {S3}\r\n\r\n".encode())
            status = int(sock.recv(1000).split()[1])
    assert dialled == []
    assert (status, [one.path for one in got]) == (200, ["/k"])


def test_a_host_that_is_not_awss_is_answered_421_and_the_connection_goes_on(tmp_path: Path) -> None:
    got: list[Got] = []
    with backend(got) as port, laboratory(tmp_path, port=port, engine="off") as lab:
        with lab.tls(S3) as tls:
            tls.sendall(b"GET /a HTTP/1.1\r\nHost: example.com\r\n\r\n")
            assert tls.recv(4096).startswith(b"HTTP/1.1 421")
            tls.sendall(f"GET /b HTTP/1.1\r\nHost: {S3}\r\n\r\n".encode())
            answer = b""
            while not answer.endswith(b"}"):
                answer += tls.recv(4096)
            assert answer.startswith(b"HTTP/1.1 200")
        records = lab.records()
    assert [one.path for one in got] == ["/b"]
    assert [(one["status"], one["verdict"], one["reason"]) for one in records] == [
        (421, "answer", "misdirected"),
        (200, "intercept", ""),
    ]


def test_bad_requests_are_answered_in_the_services_own_form(tmp_path: Path) -> None:
    with laboratory(tmp_path, port=1, engine="off") as lab:
        with lab.tls(S3) as tls:
            tls.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n")
            answer = b""
            while piece := tls.recv(4096):
                answer += piece
        records = lab.records()
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"<Error><Code>BadRequest</Code>" in answer
    assert [(one["event"], one["status"]) for one in records] == [("invalid", 400)]
