"""The admin port, part by part."""

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from kecs.controlplane import neighbours
from kecs.controlplane.admin import Admin
from kecs.controlplane.errors import StoreError
from kecs.controlplane.health import Component
from kecs.controlplane.metrics import CallTally, Measured, render


def admin(*components: Component, beside: Sequence[Component] = (), unready: str = "") -> Admin:
    async def backup() -> bytes:
        return b"everything"

    async def restore(document: bytes, force: bool) -> Mapping[str, int]:  # noqa: FBT001 - the seam's
        if not force:
            raise StoreError("the state is not empty", hint="force=true replaces all of it")
        return {"clusters": len(document)}

    async def asked() -> Sequence[Component]:
        return beside

    return Admin(
        components=lambda: components,
        neighbours=asked,
        unready=lambda: unready,
        metrics=lambda: b"counted 1\n",
        settings=lambda: {"data": {"value": ":memory:", "source": "default"}},
        backup=backup,
        restore=restore,
        uptime_s=lambda: 12.34,
        version="1.2.3",
    )


STORE = Component(name="store", ok=True, latency_ms=1.23456, details={"path": ":memory:"})
BROKEN = Component(name="store", ok=False, error="the disk is full")
LAME = Component(name="runtime", ok=False, required=False, error="it is away")


@pytest.mark.parametrize(
    ("made", "path", "status", "expected"),
    [
        (admin(), "/live", 200, {"status": "ok"}),
        (admin(), "/ready", 200, {"ready": True, "reason": ""}),
        (admin(unready="it ends"), "/ready", 503, {"ready": False, "reason": "it ends"}),
        (admin(STORE), "/health", 200, {"status": "ok", "failing": {}}),
        (admin(STORE, LAME), "/health", 200, {"status": "ok", "failing": {"runtime": "it is away"}}),
        (admin(BROKEN), "/health", 503, {"status": "failing", "failing": {"store": "the disk is full"}}),
        (admin(), "/config", 200, {"data": {"value": ":memory:", "source": "default"}}),
    ],
)
def test_what_is_told(made: Admin, path: str, status: int, expected: object) -> None:
    answer = asyncio.run(made.answer("GET", path))
    assert (answer.status, json.loads(answer.body)) == (status, expected)


def test_every_component_tells_how_it_is() -> None:
    emulator = Component(name="emulator", ok=False, required=False, error="away", details={"url": "http://x:1"})
    answer = asyncio.run(admin(STORE, beside=[emulator]).answer("GET", "/health/detailed"))
    assert answer.status == 200
    assert json.loads(answer.body) == {
        "status": "ok",
        "version": "1.2.3",
        "uptime_s": 12.3,
        "components": {
            "store": {"status": "ok", "required": True, "latency_ms": 1.235, "error": "", "path": ":memory:"},
            "emulator": {
                "status": "failing",
                "required": False,
                "latency_ms": None,
                "error": "away",
                "url": "http://x:1",
            },
        },
    }
    assert asyncio.run(admin(BROKEN).answer("GET", "/health/detailed")).status == 503


def test_what_is_not_there_and_what_is_no_question() -> None:
    assert asyncio.run(admin().answer("GET", "/metrics")).body == b"counted 1\n"
    assert asyncio.run(admin().answer("GET", "/else")).status == 404
    assert asyncio.run(admin().answer("PUT", "/health")).status == 405


def test_backups_are_made_and_restored_by_post() -> None:
    made = asyncio.run(admin().answer("POST", "/backup"))
    assert (made.status, made.body) == (200, b"everything")
    assert asyncio.run(admin().answer("GET", "/backup")).status == 405
    refused = asyncio.run(admin().answer("POST", "/restore", "", b"abc"))
    assert refused.status == 409
    assert json.loads(refused.body) == {
        "message": "the state is not empty",
        "hint": "force=true replaces all of it",
    }
    done = asyncio.run(admin().answer("POST", "/restore", "force=true", b"abc"))
    assert json.loads(done.body) == {"restored": {"clusters": 3}}


def test_it_is_an_application() -> None:
    sent: list[dict[str, Any]] = []
    messages: Iterator[dict[str, Any]] = iter([{"type": "http.request", "more_body": True}, {"type": "http.request"}])

    async def receive() -> dict[str, Any]:
        return next(messages)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(admin()({"type": "http", "method": "HEAD", "path": "/live"}, receive, send))
    assert sent[0]["status"] == 200
    assert (b"Content-Length", b"21") in sent[0]["headers"]
    assert sent[1]["body"] == b""
    asyncio.run(admin()({"type": "lifespan"}, receive, send))


def test_metrics_tell_calls_by_operation_and_states_by_status() -> None:
    tally = CallTally()
    tally.add("RunTask", "", 0.002, warnings=2)
    tally.add("RunTask", "ClusterNotFoundException", 9.0)
    measured = Measured(
        calls=tally,
        tasks={"RUNNING": 2},
        services={"ACTIVE": 1},
        records={"Cluster": 3},
        gauges={"store_waiting": 0, "store_last_write_seconds": 0.5},
        counters={"store_commits": 4, "store_transactions": 2},
        reconciler={"turns": 5},
    )
    lines = render(measured).decode().splitlines()
    assert {
        'kecs_controlplane_calls_total{code="",operation="RunTask"} 1.0',
        'kecs_controlplane_calls_total{code="ClusterNotFoundException",operation="RunTask"} 1.0',
        'kecs_controlplane_call_duration_seconds_bucket{le="0.005",operation="RunTask"} 1.0',
        'kecs_controlplane_call_duration_seconds_count{operation="RunTask"} 2.0',
        'kecs_controlplane_warnings_total{operation="RunTask"} 2.0',
        'kecs_controlplane_tasks{status="RUNNING"} 2.0',
        'kecs_controlplane_services{status="ACTIVE"} 1.0',
        'kecs_controlplane_records{kind="Cluster"} 3.0',
        "kecs_controlplane_store_last_write_seconds 0.5",
        "kecs_controlplane_store_commits_total 4.0",
        'kecs_controlplane_reconciler_total{what="turns"} 5.0',
    } <= set(lines)
    assert not any(line.startswith("kecs_controlplane_reconciler_waiting ") for line in lines)


async def _looked(answer: bytes) -> Component:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        return await neighbours.look("emulator", f"http://127.0.0.1:{port}", "/health")


@pytest.mark.parametrize(
    ("answer", "ok", "words"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", True, ""),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", True, ""),
        (b"HTTP/1.1 503 Away\r\n\r\n", False, "answered 503"),
        (b"SSH-2.0-x\r\n", False, "does not speak HTTP"),
        (b"", False, "does not speak HTTP"),
    ],
)
def test_a_neighbour_is_asked(answer: bytes, *, ok: bool, words: str) -> None:
    found = asyncio.run(_looked(answer))
    assert (found.ok, found.required) == (ok, False)
    assert words in found.error
    assert (found.latency_ms is not None) is (ok or "503" in words)


def test_a_neighbour_that_is_not_there_is_told() -> None:
    import socket  # noqa: PLC0415 - for this alone

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody answers there, nor takes the port
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        found = asyncio.run(neighbours.look("emulator", url, "/"))
    assert not found.ok
    assert found.error.startswith(url)


def test_a_neighbour_that_says_nothing_is_not_waited_for_long() -> None:
    async def silent() -> Component:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            return await neighbours.look("emulator", f"http://127.0.0.1:{port}", "/", timeout_s=0.05)

    assert "did not answer in time" in asyncio.run(silent()).error
