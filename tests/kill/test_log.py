"""Whoever takes the log away: calls go on, what is not written is counted, and what is written is whole."""

import fcntl
import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kill_lab import PATIENCE_S, Load, World, kept, tell

DROPPED = "kecs_sidecar_log_dropped_total"
F_SETPIPE_SZ = 1031
SMALL = 65536


def dropped(world: World) -> float:
    return world.metrics()[DROPPED]


def until_dropped(world: World, more_than: float) -> float:
    """Wait until more lines were dropped."""
    deadline = time.monotonic() + PATIENCE_S
    while (found := dropped(world)) <= more_than:
        assert time.monotonic() < deadline, "nothing is counted as dropped"
    return found


def lines_of(read: int, count: int) -> list[bytes]:
    """Read that many lines of a pipe."""
    text = b""
    while text.count(b"\n") < count:
        piece = os.read(read, 65536)
        assert piece
        text += piece
    return text.split(b"\n")[:-1]


def test_a_pipe_that_nobody_reads(tmp_path: Path) -> None:
    """What does not fit into the pipe waits in the sidecar; nobody waits for the pipe."""
    read, write = os.pipe()
    try:
        with World.running(tmp_path, log=write) as world, Load.on(world, *[kept] * 6) as load:
            fcntl.fcntl(write, F_SETPIPE_SZ, 4096)
            load.wait(300)
            back = time.monotonic()
            lines = lines_of(read, 300)
            load.wait(50, since=back)
            assert dropped(world) == 0
            reader = threading.Thread(target=lambda: list(iter(lambda: os.read(read, 65536), b"")), daemon=True)
            reader.start()
        load.judge()
        assert {json.loads(line)["event"] for line in lines} <= {"call", "tls_failed"}
        tell("log: a pipe nobody reads", load, back)
    finally:
        os.close(write)
        reader.join(PATIENCE_S)
        os.close(read)


def test_a_pipe_that_was_closed(tmp_path: Path) -> None:
    read, write = os.pipe()
    try:
        with World.running(tmp_path, log=write) as world, Load.on(world, *[kept] * 3) as load:
            load.wait(20)
            os.close(read)
            closed = time.monotonic()
            count = until_dropped(world, 0)
            load.wait(100, since=closed)
            assert until_dropped(world, count) > count
        load.judge()
        tell("log: a pipe that was closed", load, closed)
    finally:
        os.close(write)


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """Mount a file system of 64 KiB in a namespace of its own; return how it is reached from here."""
    place = folder / "small"
    place.mkdir()
    script = f"mount -t tmpfs -o size={SMALL} tmpfs {place} && echo mounted && exec cat"
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        try:
            assert holder.stdout.readline() == b"mounted\n"
            yield Path(f"/proc/{holder.pid}/root{place}")
        finally:
            holder.stdin.close()
            holder.wait(PATIENCE_S)


def test_a_disk_that_is_full_and_has_room_again(tmp_path: Path) -> None:
    with small_disk(tmp_path) as disk:
        log = os.open(disk / "log", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        (disk / "other").write_bytes(bytes(SMALL - 8192))
        try:
            with World.running(tmp_path, log=log) as world, Load.on(world, *[kept] * 4) as load:
                deadline = time.monotonic() + PATIENCE_S
                while os.fstat(log).st_size < 8192:  # what there is room for beside the other file
                    assert time.monotonic() < deadline
                full = time.monotonic()
                load.wait(100, since=full)
                (disk / "other").unlink()
                back = time.monotonic()
                while os.fstat(log).st_size < 20_000:
                    assert time.monotonic() < deadline + PATIENCE_S
                again = time.monotonic() - back
                load.wait(20, since=back)
            load.judge()
            records = [json.loads(line) for line in (disk / "log").read_text().splitlines()]
        finally:
            os.close(log)
    assert {one["event"] for one in records} <= {"call", "tls_failed"}
    assert len({one["request_id"] for one in records if one["event"] == "call"}) > 20
    tell("log: disk full", load, back, log_again_s=round(again, 3))
