"""The backend is killed and started again while calls are made, and misbehaves in every way known."""

import threading
import time
from pathlib import Path

import pytest
from kill_lab import Load, Outcome, World, call, tell

BROKEN = ("IncompleteRead", "ConnectionResetError")
"""An answer that has begun can only be broken off."""


def test_calls_are_503_while_there_is_no_backend_and_go_on_with_it(tmp_path: Path) -> None:
    with World.running(tmp_path) as world, Load.on(world) as load:
        load.wait(50)
        back = 0.0
        for _ in range(3):
            world.kill_backend()
            died = time.monotonic()
            load.wait(20, "503", since=died)
            world.start_backend()
            back = time.monotonic()
            load.wait(50, since=back)
        counted = {what: world.relay(what) for what in ("upstream_connect", "upstream_reset", "upstream_stale")}
    load.judge("503", *BROKEN)
    assert counted["upstream_connect"] > 0
    tell("backend killed", load, back, **counted)


@pytest.mark.parametrize(
    ("behaviour", "kind", "reason"),
    [
        pytest.param("hang", "503", "upstream_first_byte_timeout", id="says nothing"),
        pytest.param("half-head", "503", "upstream_timeout", id="stops inside a head"),
        pytest.param("half-body", "broken", "upstream_timeout", id="stops inside a body"),
        pytest.param("garbage", "503", "upstream_invalid_response", id="answers garbage"),
        pytest.param("no-answer", "503", "upstream_reset", id="ends without an answer"),
        pytest.param("cut", "broken", "upstream_reset", id="ends inside a body"),
        pytest.param("cut-by-reset", "broken", "upstream_reset", id="resets inside a body"),
        pytest.param("cut-chunks", "broken", "upstream_reset", id="ends inside a chunk"),
        pytest.param("too-much", "ok", "", id="says more than it announced"),
        pytest.param("too-much-later", "ok", "", id="says more when nobody asks"),
    ],
)
def test_a_backend_that_misbehaves_harms_nobody_else(behaviour: str, kind: str, reason: str, tmp_path: Path) -> None:
    """One client in two gets the misbehaviour; what the others get is always their own, and right."""
    relay = {"response_timeout_s": 2.0, "first_byte_timeout_s": 2.0}
    bad: list[Outcome] = []
    with World.running(tmp_path, relay=relay) as world, Load.on(world) as load:
        load.wait(20)
        connection = world.connection()
        bad += [call(connection, method, behaviour) for method in ("PUT", "GET", "POST")]
        connection.close()
        load.wait(100, since=bad[-1].ended)
        failures = world.metrics()
    load.judge()
    kinds = {"broken" if one.kind in BROKEN else one.kind for one in bad}
    assert kinds == {kind}, bad
    counted = failures.get(f'kecs_sidecar_call_failures_total{{reason="{reason}"}}', 0.0)
    assert counted == (len(bad) if reason else 0)


def test_nothing_is_done_twice_however_connections_die(tmp_path: Path) -> None:
    """Answers as if the connection were kept, then ends it, for every call of many clients: all meet dying ones."""
    outcomes: list[Outcome] = []

    def calls(world: World) -> None:
        connection = world.connection()
        for number in range(60):
            method = ("PUT", "POST", "DELETE", "GET")[number % 4]
            outcomes.append(call(connection, method, "silent-end", bytes((0, 500, 30_000)[number % 3])))
        connection.close()

    with World.running(tmp_path) as world:
        threads = [threading.Thread(target=calls, args=(world,)) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        journal = world.journal()
    assert {one.kind for one in outcomes} <= {"ok", "503"}
    seen = {one.name: journal[one.method, one.name] for one in outcomes if one.method != "GET"}
    assert set(seen.values()) <= {0, 1}
    assert all(seen[one.name] == 1 for one in outcomes if one.kind == "ok" and one.method != "GET")
