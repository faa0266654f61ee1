"""Records say what happened and never what was secret; writing them never holds up the loop."""

import asyncio
import errno
import json
import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sidecar_lab import NOW, configuration, connection, request

from kecs.aws.head import RequestHead, ResponseHead
from kecs.calls.accesslog import LogWriter, Record, connection_record
from kecs.relay.decide import (
    Address,
    Exchange,
    Forward,
    Handover,
    Pass,
    Peeked,
    Refuse,
    Terminate,
    Upstream,
    Verdict,
    Wire,
)
from kecs.sidecar.decider import SidecarDecider

S3 = "b.s3.eu-west-1.amazonaws.com"


def logged(head: RequestHead, body: bytes = b"") -> Record:
    log: list[Record] = []
    made = SidecarDecider(configuration(), log=lambda line: log.append(json.loads(line)), clock=lambda: NOW)
    done = Exchange(connection=connection(), name=S3, head=head, started=1.0, ended=1.0125, request_bytes=3)
    found = made.request(done, body)
    if isinstance(found, Forward):
        done.context, done.upstream, done.status, done.response_bytes = found.context, found.upstream, 200, 11
        made.response(done, ResponseHead(status=200, reason=b"OK", fields=((b"x-amz-request-id", b"R1"),)))
    made.record(done)
    return log[0]


def test_a_call_is_one_record() -> None:
    assert logged(request("GET", "/key", Host=S3)) == {
        "time": "2026-11-21T05:28:30.000Z",
        "event": "call",
        "service": "s3",
        "operation": "GetObject",
        "region": "eu-west-1",
        "status": 200,
        "duration_ms": 12.5,
        "bytes_in": 3,
        "bytes_out": 11,
        "upstream": "127.0.0.1:4566",
        "request_id": "R1",
        "host": S3,
        "method": "GET",
        "verdict": "intercept",
        "reason": "",
    }


SECRET = "SeCrEtSeCrEt"


@given(
    st.sampled_from(["Authorization", "X-Amz-Security-Token", "Cookie", "X-Amz-Date", "Content-Type", "X-Api-Key"]),
    st.text(max_size=20),
    st.sampled_from(["/", "/k?", "/?X-Amz-Signature=", "/?X-Amz-Credential=", "/?X-Amz-Security-Token="]),
)
def test_no_record_holds_a_secret(field: str, around: str, target: str) -> None:
    value = (around + SECRET + around).encode("utf-8", "replace")
    scope = f"{SECRET}/20260101/eu-west-1/s3/aws4_request"
    credential = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature={SECRET}"
    fields = ((b"Host", S3.encode()), (field.encode(), value), (b"Authorization", credential.encode()))
    head = RequestHead(method=b"POST", target=target.encode() + SECRET.encode(), fields=fields)
    assert SECRET not in json.dumps(logged(head, b"Action=x&Secret=" + SECRET.encode()))


REFUSED = Refuse(reason="aws_name_wants_client_certificate")


@pytest.mark.parametrize(
    ("verdict", "reason", "event"),
    [
        (Terminate(name=S3), "tls_alert_unknown_ca", "client_distrusts"),
        (Terminate(name=S3), "tls_alert_certificate_unknown", "client_distrusts"),
        (Terminate(name=S3), "tls_no_shared_cipher", "tls_failed"),
        (Terminate(name=S3), "tls_client_closed", None),
        (REFUSED, "aws_name_wants_client_certificate", "refused"),
        (Pass(), "dial_refused", None),
        (Pass(), "", None),
        (Handover(address=Address("127.0.0.1", 1)), "", None),
    ],
)
def test_connections_that_failed_are_recorded(verdict: Verdict, reason: str, event: str | None) -> None:
    found = connection_record(connection(), verdict, Peeked(wire=Wire.TLS, name=S3), reason, NOW)
    assert (found and found["event"]) == event
    if found is not None:
        assert found["host"] == S3
        assert found["destination"] == "203.0.113.9:443"
    if event == "client_distrusts":
        assert found is not None
        assert "AWS_CA_BUNDLE" in found["hint"]


def test_ipv6_endpoints_have_brackets() -> None:
    found = connection_record(connection("fd00::1"), REFUSED, Peeked(wire=Wire.TLS), REFUSED.reason, NOW)
    assert found is not None
    assert found["destination"] == "[fd00::1]:443"
    done = Exchange(connection=connection(), name=S3, head=request("GET", "/", Host=S3))
    log: list[Record] = []
    made = SidecarDecider(replace(configuration(), backend_host="::1"), log=lambda line: log.append(json.loads(line)))
    answer = made.request(done, b"")
    assert isinstance(answer, Forward)
    done.context, done.upstream = answer.context, Upstream(host="::1", port=4566)
    made.record(done)
    assert log[0]["upstream"] == "[::1]:4566"


def with_pipe(work: Callable[[LogWriter, int], Awaitable[None]], **options: int) -> bytes:
    """Run with a writer on a pipe; returns everything that came through it."""

    async def run() -> bytes:
        reading, writing = os.pipe()
        try:
            writer = LogWriter(asyncio.get_running_loop(), writing, **options)
            await work(writer, reading)
            os.close(writing)
            writing = -1
            found = b""
            while chunk := os.read(reading, 1 << 16):
                found += chunk
            return found
        finally:
            os.close(reading)
            if writing >= 0:
                os.close(writing)

    return asyncio.run(run())


def test_records_come_out_as_lines_in_order() -> None:
    async def work(writer: LogWriter, _: int) -> None:
        for index in range(300):
            writer.write({"n": index})
        await asyncio.sleep(0)
        writer.write({"n": 300})
        writer.close()
        assert writer.dropped == 0

    assert [json.loads(line)["n"] for line in with_pipe(work).splitlines()] == list(range(301))


def test_lines_that_are_spelled_later_keep_their_place() -> None:
    async def work(writer: LogWriter, reading: int) -> None:
        for index in range(0, 300, 3):
            writer.later(lambda number, more: b'{"n":%d}\n' % (number + more), (index, 0))
            writer.later(lambda number: b'{"n":%d}\n' % number, (index + 1,))
            writer.write({"n": index + 2})
        writer.later(lambda: b'{"n":300}\n', ())
        assert await asyncio.to_thread(os.read, reading, 8) == b'{"n":0}\n'  # nobody has closed it
        writer.later(lambda: b'{"n":301}\n', ())
        writer.close()
        assert writer.dropped == 0

    assert [json.loads(line)["n"] for line in with_pipe(work).splitlines()] == list(range(1, 302))


def test_a_reader_that_does_not_read_holds_nobody_up_and_no_line_is_cut() -> None:
    dropped = 0

    async def work(writer: LogWriter, _: int) -> None:
        nonlocal dropped
        for _ in range(5000):
            writer.write({"text": "x" * 100})
        await asyncio.sleep(0)
        writer.close(wait_s=0)
        dropped = writer.dropped

    lines = with_pipe(work, bytes_max=300_000).splitlines()
    assert dropped > 0
    assert len(lines) + dropped == 5000
    assert {json.loads(line)["text"] for line in lines} == {"x" * 100}


def test_a_reader_that_is_gone_is_counted() -> None:
    async def run() -> int:
        reading, writing = os.pipe()
        os.close(reading)
        writer = LogWriter(asyncio.get_running_loop(), writing)
        writer.write({"n": 1})
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        writer.write({"n": 2})
        writer.close()
        os.close(writing)
        return writer.dropped

    assert asyncio.run(run()) == 2


@given(st.lists(st.integers(0, 5000), max_size=30))
def test_a_disk_that_is_full_cuts_no_line_and_costs_none(rooms: list[int]) -> None:
    """`rooms`: how many bytes the disk takes before it says again that it is full."""
    held, left = bytearray(), iter(rooms)

    def write(_: int, data: bytes) -> int:
        room = next(left, len(data))
        if not room:
            raise OSError(errno.ENOSPC, "No space left on device")
        held.extend(data[:room])
        return min(room, len(data))

    async def run(descriptor: int) -> int:
        writer = LogWriter(asyncio.get_running_loop(), descriptor)
        for number in range(200):
            writer.write({"n": number, "text": "x" * 100})
        for _ in range(len(rooms) + 1):
            writer._flush()
        writer.close()
        return writer.dropped

    with pytest.MonkeyPatch.context() as patched, Path(os.devnull).open("wb") as file:
        patched.setattr("kecs.calls.accesslog.os.write", write)
        assert asyncio.run(run(file.fileno())) == 0
    assert [json.loads(line)["n"] for line in held.splitlines()] == list(range(200))


@given(st.binary(max_size=40), st.binary(max_size=40), st.binary(max_size=300))
def test_a_line_is_json_whatever_was_spelled(method: bytes, host: bytes, request_id: bytes) -> None:
    lines: list[bytes] = []
    made = SidecarDecider(configuration(), log=lines.append, clock=lambda: NOW)
    head = RequestHead(method=method, target=b"/", fields=((b"Host", host + b".s3.amazonaws.com"),))
    done = Exchange(connection=connection(), name=S3, head=head, started=2.0, ended=1.0)
    found = made.request(done, b"")
    if isinstance(found, Forward):
        done.context = found.context
        made.response(done, ResponseHead(status=200, reason=b"OK", fields=((b"x-amz-request-id", request_id),)))
    made.record(done)
    record = json.loads(lines[0])
    assert lines[0].count(b"\n") == 1
    assert record["duration_ms"] == 0
    assert len(record["request_id"]) <= 256
    assert record["request_id"].isprintable()
