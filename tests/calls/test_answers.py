"""Answers with addresses of the backend's in their bodies, through the whole sidecar: what clients get of them."""

import contextlib
import gzip
import hashlib
import http.client
import json
import re
import socket
import urllib.request
import zlib
from pathlib import Path

import pytest
from relay_lab import Handler, read_head, server
from sidecar_lab import configuration
from sidecar_service_lab import Lab, laboratory

from kecs.aws.profiles import PROFILES
from kecs.calls.answers import GATHERED_MAX, MESSAGES_MAX
from kecs.calls.metrics import NOT_REWRITTEN
from kecs.calls.routes import Routes, known_by

SQS = "sqs.eu-west-1.amazonaws.com"
S3 = "b.s3.eu-west-1.amazonaws.com"
DYNAMODB = "dynamodb.eu-west-1.amazonaws.com"
LOCAL = "http://sqs.eu-west-1.localhost.localstack.cloud:4566/000000000000/"
AWS = f"https://{SQS}/000000000000/"


def answering(body: bytes, fields: str = "", *, framing: str = "length") -> Handler:
    """Answer every request alike."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\nServer: TwistedWeb/24\r\n{fields}"
    match framing:
        case "length":
            said = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        case "chunks":
            pieces = [body[at : at + 1000] for at in range(0, len(body), 1000)]
            chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
            said = f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + chunks + b"0\r\n\r\n"
        case _:
            said = f"{head}\r\n".encode() + body

    def serve(sock: socket.socket) -> None:
        held = bytearray()
        while asked := read_head(sock, held):
            length = re.search(rb"(?i)content-length: (\d+)", asked)
            while length is not None and len(held) < int(length[1]):
                held += sock.recv(65536)
            held.clear()
            sock.sendall(said)
            if framing == "end":
                return

    return serve


def asked(
    lab: Lab, host: str, target: str = "", method: str = "POST", path: str = "/"
) -> tuple[bytes, dict[str, str], int]:
    """Return an answer's body, its fields by their names in lower case, and its status."""
    asking = http.client.HTTPConnection(host)
    asking.sock = lab.tls(host, ("http/1.1",))
    service = host.split(".", 2)[1 if host == S3 else 0]
    fields = {
        "Host": host,
        "Authorization": f"AWS4-HMAC-SHA256 Credential=AKIA/20260101/eu-west-1/{service}/aws4_request, "
        "SignedHeaders=host, Signature=0",
    }
    with contextlib.closing(asking):
        asking.request(method, path, headers=fields | ({"X-Amz-Target": target} if target else {}))
        answer = asking.getresponse()
        body = answer.read()
    return body, {key.lower(): value for key, value in answer.getheaders()}, answer.status


@pytest.mark.parametrize("framing", ["length", "chunks", "end"])
def test_a_queues_url_is_awss_and_the_length_is_right(tmp_path: Path, framing: str) -> None:
    body = json.dumps({"QueueUrl": f"{LOCAL}q"}).encode()
    with (
        server(answering(body, framing=framing)) as address,
        laboratory(tmp_path, port=address.port, engine="off") as lab,
    ):
        got, fields, _ = asked(lab, SQS, "AmazonSQS.CreateQueue")
        assert json.loads(got) == {"QueueUrl": f"{AWS}q"}
        assert fields["content-length"] == str(len(got))
        assert "server" not in fields
        assert "transfer-encoding" not in fields
        (record,) = [one for one in lab.records() if one["event"] == "call"]
        assert (record["operation"], record["bytes_out"], record["reason"]) == ("CreateQueue", len(got), "")


def test_it_is_so_for_the_hundredth_call_of_a_connection(tmp_path: Path) -> None:
    body = json.dumps({"QueueUrl": f"{LOCAL}q"}).encode()
    scope = "AWS4-HMAC-SHA256 Credential=AKIA/20260101/eu-west-1/sqs/aws4_request, SignedHeaders=host, Signature=0"
    with server(answering(body)) as address, laboratory(tmp_path, port=address.port, engine="off") as lab:
        asking = http.client.HTTPConnection(SQS)
        asking.sock = lab.tls(SQS, ("http/1.1",))
        with contextlib.closing(asking):
            for number in range(100):  # calls that are alike are decided once
                operation, expected = (
                    ("SendMessage", body) if number % 10 < 5 else ("GetQueueUrl", f'{{"QueueUrl": "{AWS}q"}}'.encode())
                )
                fields = {"Host": SQS, "Authorization": scope, "X-Amz-Target": f"AmazonSQS.{operation}"}
                asking.request("POST", "/", "{}", fields)
                answer = asking.getresponse()
                assert (answer.read(), answer.getheader("content-length")) == (expected, str(len(expected)))


def test_a_packed_answer_is_packed_again_and_its_sum_is_right(tmp_path: Path) -> None:
    body = gzip.compress(b'{"Endpoints":[{"Address":"localhost:4566","CachePeriodInMinutes":1440}]}')
    fields = f"Content-Encoding: gzip\r\nx-amz-crc32: {zlib.crc32(body)}\r\n"
    with server(answering(body, fields)) as address, laboratory(tmp_path, port=address.port, engine="off") as lab:
        got, found, _ = asked(lab, DYNAMODB, "DynamoDB_20120810.DescribeEndpoints")
        assert json.loads(gzip.decompress(got))["Endpoints"][0]["Address"] == DYNAMODB
        assert found["x-amz-crc32"] == str(zlib.crc32(got))
        assert found["content-length"] == str(len(got))


@pytest.mark.parametrize("framing", ["length", "chunks", "end"])
def test_a_list_that_is_too_long_to_be_held_is_changed_as_it_streams(tmp_path: Path, framing: str) -> None:
    count = GATHERED_MAX // len(LOCAL)
    body = json.dumps({"QueueUrls": [f"{LOCAL}queue-{number}" for number in range(count)]}).encode()
    assert len(body) > GATHERED_MAX
    with (
        server(answering(body, framing=framing)) as address,
        laboratory(tmp_path, port=address.port, engine="off") as lab,
    ):
        got, fields, _ = asked(lab, SQS, "AmazonSQS.ListQueues")
        assert json.loads(got)["QueueUrls"] == [f"{AWS}queue-{number}" for number in range(count)]
        assert fields["transfer-encoding"] == "chunked"
        assert 'kecs_sidecar_relay_total{what="bodies_filtered"} 1.0' in metrics(lab)


def metrics(lab: Lab) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{lab.admin}/metrics", timeout=30) as answer:
        found: bytes = answer.read()
    return found.decode()


def test_what_cannot_be_changed_is_passed_counted_and_told(tmp_path: Path) -> None:
    message = "x" * (MESSAGES_MAX + 1)
    md5 = hashlib.md5(message.encode(), usedforsecurity=False).hexdigest()
    body = json.dumps({"Messages": [{"MD5OfBody": md5, "Body": message}]}).encode()
    with server(answering(body)) as address, laboratory(tmp_path, port=address.port, engine="off") as lab:
        got, fields, _ = asked(lab, SQS, "AmazonSQS.ReceiveMessage")
        assert got == body
        assert fields["content-length"] == str(len(body))
        assert [one["reason"] for one in lab.records() if one["event"] == "call"] == [NOT_REWRITTEN]
        counted = metrics(lab)
        assert f'kecs_sidecar_events_total{{event="{NOT_REWRITTEN}",reason="too_long"}} 1.0' in counted
        assert 'kecs_sidecar_relay_total{what="bodies_too_long"} 1.0' in counted
        assert f'kecs_sidecar_call_failures_total{{reason="{NOT_REWRITTEN}"}}' not in counted


def test_a_coding_that_is_not_known_is_passed_counted_and_told(tmp_path: Path) -> None:
    with (
        server(answering(b"packed", "Content-Encoding: br\r\n")) as address,
        laboratory(tmp_path, port=address.port, engine="off") as lab,
    ):
        got, fields, _ = asked(lab, SQS, "AmazonSQS.ListQueues")
        assert (got, fields["content-encoding"]) == (b"packed", "br")
        assert f'kecs_sidecar_events_total{{event="{NOT_REWRITTEN}",reason="content_coding"}} 1.0' in metrics(lab)


@pytest.mark.parametrize(
    ("host", "target", "method", "path"),
    [
        (S3, "", "GET", "/key"),
        (DYNAMODB, "DynamoDB_20120810.GetItem", "POST", "/"),
        (SQS, "AmazonSQS.SendMessage", "POST", "/"),
        ("lambda.eu-west-1.amazonaws.com", "", "POST", "/2015-03-31/functions/f/invocations"),
        ("abc.lambda-url.eu-west-1.on.aws", "", "GET", "/"),
        ("ssm.eu-west-1.amazonaws.com", "AmazonSSM.GetParameter", "POST", "/"),
    ],
)
def test_customers_bytes_are_never_held_nor_changed(
    tmp_path: Path, host: str, target: str, method: str, path: str
) -> None:
    body = b'{"QueueUrl": "http://localhost:4566/000000000000/q", "UnsubscribeURL": "http://localhost:4566/"}'
    with server(answering(body)) as address, laboratory(tmp_path, port=address.port, engine="off") as lab:
        got, _, status = asked(lab, host, target, method, path)
        assert (got, status) == (body, 200)
        assert 'what="bodies_gathered"' not in metrics(lab)


def test_a_backend_is_known_by_the_name_it_is_reached_by_too(tmp_path: Path) -> None:
    body = json.dumps({"QueueUrls": ["http://localhost:4566/000000000000/q"]}).encode()
    with server(answering(body)) as address, laboratory(tmp_path, port=address.port, engine="off") as lab:
        assert json.loads(asked(lab, SQS, "AmazonSQS.ListQueues")[0]) == {"QueueUrls": [f"{AWS}q"]}
    localstack = PROFILES["localstack"]
    assert known_by(localstack, "LocalStack.aws").markers == (*localstack.markers, "localstack.aws")
    assert known_by(localstack, "127.0.0.1") is localstack
    assert known_by(localstack, "10.0.0.1") is localstack
    assert known_by(localstack, "::1") is localstack
    assert known_by(localstack, "localhost") is localstack
    assert known_by(PROFILES["embedded"], "emulator.svc") is PROFILES["embedded"]
    routes = Routes.of(configuration(backend_host="floci.svc", controlplane_host="control.svc", controlplane_port=80))
    assert routes.backend.profile.markers[-1] == "floci.svc"
    assert routes.controlplane.profile.markers[-1] == "control.svc"
