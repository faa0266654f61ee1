"""The sidecar itself is ended: asked to, and killed; its certificate is replaced; the clock is wrong."""

import json
import signal
import threading
import time
from pathlib import Path

from kill_lab import PATIENCE_S, Load, World, anew, bulk, call, kept, tell

GONE = (
    "BrokenPipeError",
    "ConnectionRefusedError",
    "ConnectionResetError",
    "RemoteDisconnected",
    "SSLEOFError",
    "SSLZeroReturnError",
)
"""What clients of a process meet that is ending, or has ended; an answer is never among them."""


def test_asked_to_end_it_finishes_what_it_has_begun(tmp_path: Path) -> None:
    outcomes = []
    with World.running(tmp_path, drain_timeout_s=20.0) as world:
        connections = [world.connection() for _ in range(8)]
        threads = [
            threading.Thread(target=lambda one=one: outcomes.append(call(one, "POST", "slow", size=200_000)))
            for one in connections
        ]
        before = world.relay("requests")
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + PATIENCE_S
        while world.journal().total() < len(threads):
            assert time.monotonic() < deadline
        assert world.relay("requests") >= before
        world.signal(signal.SIGTERM)
        for thread in threads:
            thread.join()
        assert world.sidecar is not None
        assert world.sidecar.wait(PATIENCE_S) == 0
        for one in connections:
            one.close()
        assert max(world.journal().values()) == 1
        assert [one["status"] for one in world.records() if one["event"] == "call"] == [200] * len(threads)
    assert [one.kind for one in outcomes] == ["ok"] * len(threads)


def test_asked_to_end_under_load_no_answer_is_wrong(tmp_path: Path) -> None:
    with World.running(tmp_path, drain_timeout_s=1.0) as world, Load.on(world) as load:
        load.wait(100)
        world.signal(signal.SIGTERM)
        assert world.sidecar is not None
        assert world.sidecar.wait(PATIENCE_S) == 0
        world.start_sidecar()
        back = time.monotonic()
        load.wait(100, since=back)
    load.judge(*GONE, "IncompleteRead")
    tell("sidecar asked to end", load, back)


def test_killed_and_started_again(tmp_path: Path) -> None:
    with World.running(tmp_path) as world, Load.on(world) as load:
        load.wait(100)
        world.signal(signal.SIGKILL)
        assert world.sidecar is not None
        world.sidecar.wait(PATIENCE_S)
        died = time.monotonic()
        load.wait(3, "ConnectionRefusedError", since=died)
        world.start_sidecar()
        back = time.monotonic()
        load.wait(100, since=back)
    load.judge(*GONE, "IncompleteRead")
    tell("sidecar killed", load, back)


def serial(world: World) -> int:
    """Return the serial number of the intermediate in use."""
    return int(json.loads(world.ask("/certs")[1])["serial_number"], 16)


def test_a_certificate_that_is_renewed_costs_no_call(tmp_path: Path) -> None:
    with World.running(tmp_path) as world, Load.on(world, kept, kept, anew, anew, bulk) as load:
        load.wait(50)
        seen = {serial(world)}
        last = 0.0
        for _ in range(5):
            world.renew()
            deadline = time.monotonic() + PATIENCE_S
            while serial(world) in seen:
                assert time.monotonic() < deadline
            seen.add(serial(world))
            last = time.monotonic()
            load.wait(30, since=last)
    load.judge()
    assert len(seen) == 6
    tell("certificate renewed", load, last)


def test_a_clock_that_jumps(tmp_path: Path) -> None:
    """Kept connections go on; new ones fail while the intermediate does not hold by that clock, and then go on too."""
    with World.running(tmp_path) as world, Load.on(world, kept, kept, anew, anew) as load:
        load.wait(50)
        back = 0.0
        for seconds in ("864000", "-864000"):
            world.set_clock_wrong_by(seconds)
            wrong = time.monotonic()
            load.wait(3, "ConnectionResetError", since=wrong)
            load.wait(20, since=wrong)
            world.set_clock_wrong_by("0")
            back = time.monotonic()
            load.wait(50, since=back)
        refused = world.relay("refused_certificate_not_valid")
    load.judge("ConnectionResetError", "SSLEOFError")
    assert refused > 0
    tell("clock wrong by ten days", load, back, refused=refused)


def test_it_ends_while_a_client_is_in_the_middle_of_a_head(tmp_path: Path) -> None:
    with World.running(tmp_path, drain_timeout_s=1.0) as world:
        quiet = world.connection(plain=True)
        quiet.connect()
        quiet.sock.sendall(b"PUT / HTTP/1.1\r\n")
        world.signal(signal.SIGTERM)
        assert world.sidecar is not None
        assert world.sidecar.wait(PATIENCE_S) == 0
        quiet.close()
