"""The second engine's process is killed while clients of HTTP/2 make calls."""

import contextlib
import json
import os
import random
import signal
import time
from pathlib import Path

from h2_lab import Client
from kill_lab import PATIENCE_S, Load, World, kept, tell


def over_http_2(load: Load, luck: random.Random) -> None:
    client = Client(load.world)
    with contextlib.closing(client):
        while load.goes_on():
            load.add(client.call(luck.choice(("PUT", "POST", "GET")), "ok", luck.randbytes(luck.choice((0, 5000)))))


def engine_of(world: World) -> int:
    """Return the engine's process id."""
    state = world.folder / "state"
    state.unlink(missing_ok=True)
    world.signal(signal.SIGUSR1)
    deadline = time.monotonic() + PATIENCE_S
    while not state.exists():
        assert time.monotonic() < deadline
    return int(json.loads(state.read_text())["engine"])


def test_calls_over_http_2_go_on_with_another_engine_and_others_do_not_notice(tmp_path: Path) -> None:
    workers = (over_http_2, over_http_2, kept)
    with World.running(tmp_path, engine="on-demand") as world, Load.on(world, *workers) as load:
        load.wait(60)
        killed, died = set[int](), 0.0
        for _ in range(2):
            killed.add(engine := engine_of(world))
            died = time.monotonic()
            os.kill(engine, signal.SIGKILL)
            load.wait(1, "broken")
            deadline = time.monotonic() + PATIENCE_S
            while (now := engine_of(world)) in killed or not now:
                assert time.monotonic() < deadline
            load.wait(200, since=time.monotonic())
        failures = [one for one in world.records() if one["event"] == "engine_failed"]
    load.judge("broken")
    assert len(failures) == len(killed) == 2
    tell("engine killed", load, died)


def test_an_engine_that_stands_still_holds_nobody_else_up(tmp_path: Path) -> None:
    """Renewals are told to it through a pipe, which fills when it does not read; the others must not wait for that."""
    with World.running(tmp_path, engine="on-demand") as world:
        client = Client(world)
        assert client.call().kind == "ok"
        client.close()
        engine = engine_of(world)
        os.kill(engine, signal.SIGSTOP)
        with Load.on(world, kept, kept) as load:
            for _ in range(60):
                world.renew()
                load.wait(1, since=time.monotonic())
            assert engine_of(world) != engine  # it was given up
        load.judge()
