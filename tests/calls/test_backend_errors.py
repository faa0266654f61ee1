"""A backend's own error pages through the whole sidecar: over HTTP/1.1 and, by the engine, over HTTP/2."""

import contextlib
import http.client
import json
import socket
from pathlib import Path

import pytest
from engine_lab import Http2
from relay_lab import Handler, read_head, server
from sidecar_service_lab import Lab, laboratory

JSON = "dynamodb.eu-west-1.amazonaws.com"
XML = "iam.amazonaws.com"
S3 = "b.s3.eu-west-1.amazonaws.com"
PAGE = b"<!doctype html><title>500</title><h1>Internal Server Error</h1><p>It broke.</p>"


def answering(status: int, content_type: str, body: bytes, *, chunked: bool = False) -> Handler:
    """Answer every request alike, on kept connections."""
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % len(body)
    said = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if chunked else body
    head = b"HTTP/1.1 %d Whatever\r\nContent-Type: %b\r\nServer: Werkzeug/3.1\r\n%b\r\n\r\n"

    def serve(sock: socket.socket) -> None:
        held = bytearray()
        while read_head(sock, held):
            sock.sendall(head % (status, content_type.encode(), framing) + said)

    return serve


def ask(lab: Lab, host: str, fields: dict[str, str], method: str = "GET") -> tuple[int, bytes, dict[str, str]]:
    """Ask twice on one connection; both answers are alike."""
    asking = http.client.HTTPConnection(host)
    asking.sock = lab.tls(host, ("http/1.1",))
    found: list[tuple[int, bytes, dict[str, str]]] = []
    with contextlib.closing(asking):
        for _ in range(2):
            asking.request(method, "/", headers={"Host": host, **fields})
            answer = asking.getresponse()
            found.append((answer.status, answer.read(), {key.lower(): value for key, value in answer.getheaders()}))
    assert found[0][:2] == found[1][:2] or b"RequestId" in found[0][1]
    return found[1]


@pytest.mark.parametrize("chunked", [False, True], ids=["with a length", "in chunks"])
@pytest.mark.parametrize("size", [0, 100_000], ids=["short", "longer than is looked at"])
def test_a_page_is_told_in_the_services_form(tmp_path: Path, size: int, *, chunked: bool) -> None:
    page = PAGE + b" " * size
    with (
        server(answering(500, "text/html", page, chunked=chunked)) as address,
        laboratory(tmp_path, port=address.port, engine="off") as lab,
    ):
        status, body, fields = ask(lab, JSON, {"X-Amz-Target": "DynamoDB_20120810.ListTables"})
        assert (status, fields["content-type"]) == (500, "application/x-amz-json-1.0")
        said = json.loads(body)
        assert said["__type"] == "InternalFailureException"
        assert "server" not in fields
        status, body, fields = ask(lab, XML, {})
        assert (status, fields["content-type"]) == (500, "text/xml")
        assert b"<ErrorResponse" in body
        records = lab.records()
    assert [record["status"] for record in records] == [500] * 4


def test_what_is_not_there_is_501_whatever_the_backend_says_it_with(tmp_path: Path) -> None:
    with (
        server(answering(404, "text/html", b"<h1>Not Found</h1>")) as address,
        laboratory(tmp_path, port=address.port, engine="off") as lab,
    ):
        status, body, _ = ask(lab, JSON, {"X-Amz-Target": "DynamoDB_20120810.ListTables"})
        assert status == 501
        assert "the backend (localstack) does not have ListTables of dynamodb" in json.loads(body)["message"]
        assert ask(lab, S3, {}, "HEAD")[:2] == (404, b"")
        assert [record["status"] for record in lab.records()] == [501, 501, 404, 404]


def test_the_services_own_errors_pass_as_they_are(tmp_path: Path) -> None:
    said = b'{"__type":"ResourceNotFoundException","message":"no table","Extra":[1]}'
    with (
        server(answering(400, "application/x-amz-json-1.0", said)) as address,
        laboratory(tmp_path, port=address.port, engine="off") as lab,
    ):
        assert ask(lab, JSON, {"X-Amz-Target": "DynamoDB_20120810.GetItem"})[:2] == (400, said)


def test_customers_functions_say_what_they_want(tmp_path: Path) -> None:
    with (
        server(answering(500, "text/html", PAGE)) as address,
        laboratory(tmp_path, port=address.port, engine="off") as lab,
    ):
        assert ask(lab, "abc.lambda-url.eu-west-1.on.aws", {})[:2] == (500, PAGE)


def test_it_is_the_same_over_http_2(tmp_path: Path) -> None:
    with (
        server(answering(500, "text/html", PAGE)) as address,
        laboratory(tmp_path, port=address.port) as lab,
        lab.tls(S3, ("h2",)) as tls,
    ):
        client = Http2(tls)
        reply = client.reply(client.ask("GET", "/k"))
    assert reply.status == 500
    assert b"<Error><Code>InternalFailure</Code><Message>500 Internal Server Error It broke.</Message>" in reply.body
