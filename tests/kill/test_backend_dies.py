"""The backend is killed and started again while calls are made, and misbehaves in every way known."""

import contextlib
import threading
import time
from collections import Counter
from pathlib import Path

from kill_lab import Load, Outcome, World, anew, call, kept, tell

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
    load.judge("503", "502", *BROKEN)
    assert counted["upstream_connect"] > 0
    tell("backend killed", load, back, **counted)


MISBEHAVIOURS = (
    # what it does, what its client meets, what is counted
    ("hang", "504", "upstream_timeout"),
    ("half-head", "504", "upstream_timeout"),
    ("half-body", "504", "upstream_timeout"),
    ("garbage", "502", "upstream_invalid_response"),
    ("no-answer", "502", "upstream_reset"),
    ("cut", "502", "upstream_reset"),
    ("cut-by-reset", "502", "upstream_reset"),
    ("cut-chunks", "broken", "upstream_reset"),
    ("too-much", "502", "upstream_invalid_response"),
)


def test_a_backend_that_misbehaves_harms_nobody_else(tmp_path: Path) -> None:
    """One client gets the misbehaviour; what the others get meanwhile is always their own, and right."""
    relay = {"response_timeout_s": 1.0, "first_byte_timeout_s": 1.0}
    with World.running(tmp_path, relay=relay) as world, Load.on(world, kept, kept, anew) as load:
        load.wait(20)
        with contextlib.closing(world.connection()) as connection:
            for behaviour, kind, reason in MISBEHAVIOURS:
                before = failures(world)
                bad = [call(connection, method, behaviour) for method in ("PUT", "GET")]
                assert {"broken" if one.kind in BROKEN else one.kind for one in bad} == {kind}, bad
                assert failures(world) - before == Counter({reason: len(bad)} if reason else {}), behaviour
                load.wait(5, since=bad[-1].ended)
    load.judge()


def failures(world: World) -> Counter[str]:
    """Return how many calls have failed for which reason; of what kind the waiting was does not matter here."""
    name, found = 'kecs_sidecar_call_failures_total{reason="', Counter[str]()
    for key, count in world.metrics().items():
        if key.startswith(name):
            found[key[len(name) : -2].replace("first_byte_", "")] += int(count)
    return found


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
    assert {one.kind for one in outcomes} <= {"ok", "502"}
    seen = {one.name: journal[one.method, one.name] for one in outcomes if one.method != "GET"}
    assert set(seen.values()) <= {0, 1}
    assert all(seen[one.name] == 1 for one in outcomes if one.kind == "ok" and one.method != "GET")
