"""Bad input through the whole sidecar: the error has the service's form, and the connection is right afterwards."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from engine_lab import Http2
from relay_lab import read_all, read_exactly, read_head, server
from sidecar_service_lab import Got, backend, laboratory

from kecs.relay.config import RelayConfig

STS = "sts.eu-west-1.amazonaws.com"
JSON = "dynamodb.eu-west-1.amazonaws.com"
NOVEL = "novel.eu-west-1.amazonaws.com"
FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"
TARGET = b"X-Amz-Target: DynamoDB_20120810.ListTables\r\nContent-Type: application/x-amz-json-1.0\r\n"


def head(first: str, host: str, fields: bytes = b"") -> bytes:
    return f"{first} HTTP/1.1\r\nHost: {host}\r\n".encode() + fields + b"\r\n"


def answered(sock: socket.socket, held: bytearray) -> tuple[int, bytes, bytes]:
    """Return status, head and body of the next answer."""
    got = read_head(sock, held)
    length = int(got.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
    return int(got.split(b" ")[1]), got, read_exactly(sock, length, held)


@pytest.mark.parametrize("body", [0, 10, 100_000], ids=["no body", "a short body", "a body that is still coming"])
def test_after_an_unclassifiable_request_the_connection_goes_on(tmp_path: Path, body: int) -> None:
    got: list[Got] = []
    with backend(got) as port, laboratory(tmp_path, port=port, engine="off") as lab, lab.tls(NOVEL) as sock:
        held = bytearray()
        for number in range(3):
            sock.sendall(head(f"POST /v1/things/{number}", NOVEL, b"Content-Length: %d\r\n" % body) + bytes(body))
            status, _, said = answered(sock, held)
            assert (status, json.loads(said)["message"][:45]) == (501, "no AWS service is known for this request: hos")
        records = lab.records()
    assert got == []
    assert [record["event"] for record in records] == ["unclassified", "call", "call", "call"]
    assert {record["reason"] for record in records[1:]} == {"unclassified"}


def test_it_is_the_same_over_http_2(tmp_path: Path) -> None:
    got: list[Got] = []
    with backend(got) as port, laboratory(tmp_path, port=port) as lab, lab.tls(NOVEL, ("h2",)) as tls:
        client = Http2(tls)
        reply = client.reply(client.ask("GET", "/v1/things", host=NOVEL))
        assert reply.status == 501
        assert b"no AWS service is known" in reply.body
        assert client.reply(client.ask("GET", "/v1/things", host=NOVEL)).status == 501
    assert got == []


def test_a_form_that_is_too_long_to_be_read_is_400_and_its_rest_is_no_request(tmp_path: Path) -> None:
    got: list[Got] = []
    long = b"Attribute.1=" + b"x" * 200_000 + b"&Action=GetCallerIdentity"
    with backend(got) as port, laboratory(tmp_path, port=port, engine="off") as lab, lab.tls(STS) as sock:
        held = bytearray()
        sock.sendall(head("POST /", STS, FORM + b"Content-Length: %d\r\n" % len(long)) + long)
        status, _, said = answered(sock, held)
        assert (status, b"<Code>MissingAction</Code>" in said) == (400, True)
        short = b"Action=GetCallerIdentity&Version=2011-06-15"
        sock.sendall(head("POST /", STS, FORM + b"Content-Length: %d\r\n" % len(short)) + short)
        assert answered(sock, held)[0] == 200
    assert [one.body for one in got] == [short]


@pytest.mark.parametrize(
    ("fields", "body", "begins"),
    [
        pytest.param(FORM, b"5\r\nActio\r\nzz\r\n", b"<ErrorResponse", id="a form"),
        pytest.param(TARGET, b"zz\r\n", b'{"__type": "BadRequest"', id="JSON"),
    ],
)
def test_malformed_chunks_are_400_in_the_services_form_and_the_end(
    tmp_path: Path, fields: bytes, body: bytes, begins: bytes
) -> None:
    got: list[Got] = []
    host = JSON if fields is TARGET else STS
    with backend(got) as port, laboratory(tmp_path, port=port, engine="off") as lab, lab.tls(host) as sock:
        sock.sendall(head("POST /", host, fields + b"Transfer-Encoding: chunked\r\n") + body)
        held = bytearray()
        status, fields_got, said = answered(sock, held)
        assert (status, said.startswith(begins)) == (400, True), said
        assert b"Connection: close" in fields_got
        assert read_all(sock) == b""
    assert [one for one in got if one.body] == []


LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: "
BROKEN = {
    "says nothing": (b"", 502, "BadGatewayException", "upstream_reset"),
    "speaks SSH": (b"SSH-2.0-OpenSSH_9.2\r\n", 502, "BadGatewayException", "upstream_invalid_response"),
    "gives two lengths": (
        LENGTH + b"2\r\nContent-Length: 3\r\n\r\n{}", 502, "BadGatewayException", "upstream_invalid_response"
    ),
    "gives too little": (LENGTH + b"9\r\n\r\n{}", 502, "BadGatewayException", "upstream_reset"),
    "gives too much": (LENGTH + b"2\r\n\r\n{}{}", 502, "BadGatewayException", "upstream_invalid_response"),
}  # fmt: skip


@contextmanager
def broken(said: bytes) -> Iterator[int]:
    def serve(sock: socket.socket) -> None:
        read_head(sock, bytearray())
        sock.sendall(said)

    with server(serve) as address:
        yield address.port


@pytest.mark.parametrize("name", BROKEN)
def test_a_backend_that_breaks_its_answer_is_502_and_the_connection_goes_on(tmp_path: Path, name: str) -> None:
    said, status, code, reason = BROKEN[name]
    with broken(said) as port, laboratory(tmp_path, port=port, engine="off") as lab, lab.tls(JSON) as sock:
        held = bytearray()
        for _ in range(2):
            sock.sendall(head("GET /", JSON, TARGET))
            got, _, body = answered(sock, held)
            told = json.loads(body)
            assert (got, told["__type"]) == (status, code)
            assert f"http://127.0.0.1:{port}" in told["message"]
        records = lab.records()
    assert [record["reason"] for record in records if record["event"] == "call"] == [reason] * 2


@pytest.mark.parametrize("name", BROKEN)
def test_so_it_is_over_http_2(tmp_path: Path, name: str) -> None:
    said, status, code, _ = BROKEN[name]
    with broken(said) as port, laboratory(tmp_path, port=port) as lab, lab.tls(JSON, ("h2",)) as sock:
        client = Http2(sock)
        for _ in range(2):
            stream = client.open("GET", "/", ("x-amz-target", "DynamoDB_20120810.ListTables"), end=True, host=JSON)
            reply = client.reply(stream)
            assert (reply.status, json.loads(bytes(reply.body))["__type"]) == (status, code)


@pytest.mark.parametrize("said", [b"", LENGTH + b"9\r\n\r\n{}"], ids=["at all", "to its end"])
def test_a_backend_that_does_not_answer_is_504(tmp_path: Path, said: bytes) -> None:
    def serve(sock: socket.socket) -> None:
        held = bytearray()
        while read_head(sock, held):
            sock.sendall(said)
            sock.recv(1)

    relay = RelayConfig(first_byte_timeout_s=0.2, response_timeout_s=0.2)
    with (
        server(serve) as address,
        laboratory(tmp_path, port=address.port, engine="off", relay=relay) as lab,
        lab.tls(JSON) as sock,
    ):
        for _ in range(2):
            sock.sendall(head("GET /", JSON, TARGET))
            status, _, body = answered(sock, bytearray())
            assert (status, json.loads(body)["__type"]) == (504, "GatewayTimeoutException")
