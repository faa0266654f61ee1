"""What the engine says to its clients itself: what the relay would, where stock mitmproxy has a page of HTML."""

import re
from datetime import UTC, datetime

import pytest
from engine_lab import OURS, S3, STOCK, Raw, backend, engine

from kecs.aws.head import RequestHead
from kecs.calls.refusals import refusal

BOTH = pytest.mark.parametrize("kind", [OURS, STOCK])
NOW = datetime(2026, 11, 21, 14, 45, tzinfo=UTC)
HOST = f"Host: {S3}\r\n".encode()


def answered(client: Raw) -> tuple[str, str]:
    """Return an answer's head and body."""
    head = client.head()
    length = re.search(r"\r\ncontent-length: (\d+)\r\n", head.lower())
    assert length
    return head, client.exactly(int(length[1])).decode()


def is_ours(head: str, body: str, kind: str) -> None:
    lower = head.lower()
    assert ("server: mitmproxy" in lower) is (kind == STOCK)
    assert ("<html>" in body) is (kind == STOCK)
    if kind == OURS:
        assert "content-type: application/xml\r\n" in lower
        assert "x-amz-request-id: " in lower
        assert "\r\ndate: " in lower
        assert "connection: close" in lower
        assert "<Error><Code>" in body


@BOTH
@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n", 400, id="no number"),
        pytest.param(b"GET /a HTTP/1.1\r\nbad field\r\n\r\n", 400, id="no field"),
        pytest.param(b"GET http:///a HTTP/1.1\r\n" + HOST + b"\r\n", 400, id="no authority"),
    ],
)
def test_a_head_that_is_none(kind: str, request_head: bytes, status: int) -> None:
    with backend() as behind, engine(kind, behind.port) as arm:
        client = arm.http1()
        client.sock.sendall(request_head)
        head, body = answered(client)
        assert head.startswith(f"HTTP/1.1 {status} ")
        is_ours(head, body, kind)
        if kind == OURS:  # stock mitmproxy ends TLS uncleanly
            assert client.sock.recv(1) == b""


def test_a_head_without_an_end() -> None:
    with backend() as behind, engine(OURS, behind.port) as arm:
        client = arm.http1()
        client.sock.sendall(b"GET / HTTP/1.1\r\nX: " + b"x" * (1 << 17))
        head, body = answered(client)
        assert head.startswith("HTTP/1.1 431 Request Header Fields Too Large\r\n")
        is_ours(head, body, OURS)


def test_a_body_that_the_relay_would_refuse() -> None:
    with backend() as behind, engine(OURS, behind.port) as arm:
        client = arm.http1()
        client.sock.sendall(b"PUT /k HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\nno chunk\r\n")
        head, body = answered(client)
        assert head.startswith("HTTP/1.1 400 Bad Request\r\n")
        is_ours(head, body, OURS)


@BOTH
def test_a_relay_that_is_gone(kind: str) -> None:
    with backend() as behind:
        port = behind.port
    with engine(kind, port) as arm:
        client = arm.http1()
        client.sock.sendall(b"GET /k HTTP/1.1\r\n" + HOST + b"\r\n")
        head, body = answered(client)
        assert head.startswith("HTTP/1.1 502 Bad Gateway\r\n")
        is_ours(head, body, kind)
        second = arm.http2()
        reply = second.reply(second.ask("GET", "/k"))
        assert reply.status == 502
        assert ("<html>" in reply.body.decode()) is (kind == STOCK)
        assert reply.fields.get("server", "").startswith("mitmproxy") is (kind == STOCK)
        if kind == OURS:
            assert reply.fields["content-type"] == "application/xml"
            assert b"<Code>BadGateway</Code>" in reply.body


@pytest.mark.parametrize(
    ("name", "content_type", "begins"),
    [
        pytest.param("s3.amazonaws.com", b"application/xml", b"<?xml", id="S3"),
        pytest.param("dynamodb.eu-west-1.amazonaws.com", b"application/x-amz-json-1.0", b"{", id="JSON"),
        pytest.param("", b"application/json", b"{", id="nobody"),
    ],
)
def test_the_form_is_the_services(name: str, content_type: bytes, begins: bytes) -> None:
    answer = refusal(400, "it is odd", name=name, now=NOW)
    fields = {key.lower(): value for key, value in answer.fields}
    assert answer.status == 400
    assert fields[b"content-type"] == content_type
    assert fields[b"date"] == b"Sat, 21 Nov 2026 14:45:00 GMT"
    assert answer.body.startswith(begins)
    assert b"it is odd" in answer.body


def test_head_is_answered_without_a_body() -> None:
    head = RequestHead(method=b"HEAD", target=b"/k", fields=())
    assert refusal(400, "it is odd", name=S3, head=head, now=NOW).body == b""
