"""What clients of streaming services do, through the whole sidecar: relay, engine, and the relay once more."""

import json
from pathlib import Path

import pytest
from engine_lab import OK, Backend, Http2, Raw, backend
from sidecar_service_lab import laboratory

KINESIS = "123456789012.control-kinesis.eu-west-1.amazonaws.com"
TRANSCRIBE = "transcribestreaming.eu-west-1.amazonaws.com"
GRPC = "grpc.lambda-url.eu-west-1.on.aws"
EVENTS = "application/vnd.amazon.eventstream"


def signed(service: str) -> tuple[str, str]:
    scope = f"AKIDEXAMPLE/20260101/eu-west-1/{service}/aws4_request"
    return "authorization", f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=00"


def begin(got: Raw, kind: str, *more: str) -> None:
    fields = "".join(f"{one}\r\n" for one in (f"Content-Type: {kind}", "Transfer-Encoding: chunked", *more))
    got.send(f"HTTP/1.1 200 OK\r\n{fields}\r\n".encode())


def say(got: Raw, data: bytes) -> None:
    got.send(b"%x\r\n%b\r\n" % (len(data), data))


def held(behind: Backend, count: int) -> list[Raw]:
    found = [behind.accept() for _ in range(count)]
    for got in found:
        head = got.head().lower()
        got.exactly(int(head.partition("content-length: ")[2].split()[0]))
    return found


def test_kinesis_consumers_get_events_of_all_shards(tmp_path: Path) -> None:
    """SubscribeToShard: one request, one event stream for minutes; a client has one stream per shard."""
    with backend() as behind, laboratory(tmp_path, port=behind.port) as lab:
        with lab.tls(KINESIS, ("h2",)) as tls:
            client = Http2(tls)
            streams = []
            for shard in range(8):
                body = json.dumps({"ConsumerARN": "arn:aws:kinesis:x", "ShardId": str(shard)}).encode()
                stream = client.open(
                    "POST", "/", ("x-amz-target", "Kinesis_20131202.SubscribeToShard"), signed("kinesis"),
                    ("content-type", "application/x-amz-json-1.1"), ("content-length", str(len(body))), host=KINESIS,
                )  # fmt: skip
                client.data(stream, body, end=True)
                streams.append(stream)
            shards = held(behind, len(streams))
            for got in shards:
                begin(got, EVENTS)
            for turn in range(5):
                for number, got in enumerate(shards):
                    say(got, b"event %d of %d;" % (turn, number))
            client.until(lambda: all(client.replies[one].body.count(b";") == 5 for one in streams))
            for got in shards:
                got.send(b"0\r\n\r\n")
            replies = [client.reply(one) for one in streams]
        records = [one for one in lab.records() if one["event"] == "call"]
    assert {reply.fields["content-type"] for reply in replies} == {EVENTS}
    assert all(reply.ended and reply.reset is None for reply in replies)
    assert [(one["service"], one["operation"], one["verdict"]) for one in records] == [
        ("kinesis", "SubscribeToShard", "engine")
    ] * 8


def test_transcribe_hears_and_answers_at_the_same_time(tmp_path: Path) -> None:
    with (
        backend() as behind,
        laboratory(tmp_path, port=behind.port, engine_hosts=("transcribestreaming.*.amazonaws.com",)) as lab,
        lab.tls(TRANSCRIBE, ("h2", "http/1.1")) as tls,
    ):
        client = Http2(tls)
        stream = client.open(
            "POST", "/stream-transcription", ("content-type", EVENTS), signed("transcribe"), host=TRANSCRIBE
        )
        got = behind.accept()
        assert "transfer-encoding: chunked" in got.head().lower()
        begin(got, EVENTS)
        client.until(lambda: client.replies[stream].status == 200)
        for number in range(10):
            client.data(stream, b"audio %d" % number)
            assert got.chunk() == b"audio %d" % number
            say(got, b"text %d;" % number)
            client.until(lambda: client.replies[stream].body.count(b";") == number + 1)  # noqa: B023 - at once
        client.data(stream, b"", end=True)
        assert got.chunk() == b""
        got.send(b"0\r\n\r\n")
        reply = client.reply(stream)
        assert (reply.ended, reply.reset) == (True, None)


def test_grpc_gets_its_status_after_the_body(tmp_path: Path) -> None:
    with backend() as behind, laboratory(tmp_path, port=behind.port) as lab, lab.tls(GRPC, ("h2",)) as tls:
        client = Http2(tls)
        stream = client.open("POST", "/pkg.Service/Call", ("content-type", "application/grpc"), ("te", "trailers"),
                             host=GRPC)  # fmt: skip
        client.data(stream, b"\0\0\0\0\2hi", end=True)
        got = behind.accept()
        got.head()
        assert got.chunk() == b"\0\0\0\0\2hi"
        assert got.chunk() == b""
        begin(got, "application/grpc", "Trailer: grpc-status, grpc-message")
        say(got, b"\0\0\0\0\2ho")
        got.send(b"0\r\nGrpc-Status: 0\r\nGrpc-Message: fine\r\n\r\n")
        reply = client.reply(stream)
    assert bytes(reply.body) == b"\0\0\0\0\2ho"
    assert reply.trailers == {"grpc-status": "0", "grpc-message": "fine"}


@pytest.mark.parametrize("status", [100, 103])
def test_interim_responses_come_from_the_backend(tmp_path: Path, status: int) -> None:
    with backend() as behind, laboratory(tmp_path, port=behind.port) as lab, lab.tls(TRANSCRIBE, ("h2",)) as tls:
        client = Http2(tls)
        stream = client.open("PUT", "/k", ("content-length", "4"), ("expect", "100-continue"), host=TRANSCRIBE)
        got = behind.accept()
        assert "expect: 100-continue" in got.head().lower()
        got.send(b"HTTP/1.1 %d X\r\nX-Hint: a\r\n\r\n" % status)
        client.until(lambda: [one[0] for one in client.replies[stream].interim] == [status])
        client.data(stream, b"body", end=True)
        assert got.exactly(4) == b"body"
        got.send(OK)
        assert client.reply(stream).body == b"ok"
