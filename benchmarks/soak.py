"""A sidecar under mixed load for long: memory, descriptors and tasks must not grow.

Clients of every kind (kept and new connections, resumed TLS, bulk both ways, clients that reset or read slowly, passes,
plain HTTP, HTTP/2 through the second engine, ever new names) check every answer; meanwhile certificates are renewed and
the backend is killed. Every few seconds the sidecar's memory, descriptors, tasks and Python objects are noted.

Two verdicts. The trend: after the warm-up (the first quarter) a Theil-Sen line is laid through the samples; what it
rises until the end must stay within an allowance and the samples' own scatter. And the rest: when all clients left,
what is open must be what was open when others had left before.

Usage: python benchmarks/soak.py [--minutes 15] [--every 5] [--page FILE] [--json FILE]
"""

import argparse
import contextlib
import json
import os
import platform
import random
import signal
import socket
import ssl
import statistics
import struct
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import h2_lab  # noqa: E402 - the tests' folder is no package
import kill_lab  # noqa: E402 - the same
from kill_lab import AWS, NAME, OTHER, OTHER_SERVER, PATIENCE_S, Load, Outcome, World  # noqa: E402 - the same

RESET: Final = struct.pack("ii", 1, 0)
ELSEWHERE: Final = "elsewhere.example"
CLOSED: Final = ("open", "descriptors", "tasks")
SETTLED_S: Final = 60.0
HOSTS_FIRST: Final = 6000
"""How many names are asked for before anything is measured: more than any cache of names keeps (4,096)."""
RENEWED_S, KILLED_S = 60.0, 45.0
ALLOWED: Final[dict[str, tuple[float, str]]] = {
    "pss_kb": (2048, "proportional memory (PSS), kB"),
    "rss_kb": (2048, "resident memory (RSS), kB"),
    "private_kb": (2048, "private memory, kB"),
    "descriptors": (8, "descriptors"),
    "open": (8, "connections carried"),
    "tasks": (2, "asyncio tasks"),
    "objects": (2500, "Python objects known to the collector"),
    "log_dropped": (0, "log lines dropped"),
}
"""How much the trend may rise over the measured time beyond the samples' scatter, and what it is."""

Sample = dict[str, float]


def pause(load: Load, seconds: float) -> None:
    """Wait, or less when the load is over."""
    until = time.monotonic() + seconds
    nothing = threading.Event()
    while load.goes_on() and time.monotonic() < until:
        nothing.wait(min(0.2, seconds))


# clients that `kill_lab` does not have


def resumed(load: Load, luck: random.Random) -> None:
    """Connect anew each time with the session of the connection before."""
    del luck
    context, session = load.world.trust(), None
    while load.goes_on():
        connection = load.world.connection()
        with contextlib.closing(connection), contextlib.suppress(OSError):
            sock = socket.create_connection((load.world.host, AWS), PATIENCE_S)
            connection.sock = tls = context.wrap_socket(sock, server_hostname=NAME, session=session)
            load.add(kill_lab.call(connection))
            session = tls.session


def huge(load: Load, luck: random.Random) -> None:
    """Move 32 MB up, then down, then rest."""
    while load.goes_on():
        with contextlib.closing(load.world.connection()) as connection:
            load.add(kill_lab.call(connection, "PUT", "ok", luck.randbytes(32 << 20)))
            load.add(kill_lab.call(connection, "GET", "ok", size=32 << 20))
        pause(load, 2)


def names(load: Load, luck: random.Random) -> None:
    """Ask under names that nobody has asked for: each needs a leaf of its own."""
    context = load.world.trust()
    while load.goes_on():
        name = f"x.{luck.randrange(1 << 40):x}.s3.us-east-1.amazonaws.com"
        with contextlib.closing(kill_lab.Connection(load.world, context, name)) as connection:
            load.add(kill_lab.call(connection))
        pause(load, 0.05)


def hosts(load: Load, luck: random.Random) -> None:
    """Ask under ever new names without TLS, on one connection: caches of names are soon as full as they get."""
    with contextlib.closing(load.world.connection(plain=True)) as connection:
        while load.goes_on():
            connection.name = f"{luck.randrange(1 << 40):x}.s3.us-east-1.amazonaws.com"
            load.add(kill_lab.call(connection))


def aborted(load: Load, luck: random.Random) -> None:
    """Leave with a reset wherever it hurts: in a handshake, a head, a body, an answer."""
    head = b"PUT /ok/gone HTTP/1.1\r\nHost: kill.s3.us-east-1.amazonaws.com\r\nContent-Length: 100000\r\n\r\n"
    while load.goes_on():
        with contextlib.suppress(OSError), socket.create_connection((load.world.host, AWS), PATIENCE_S) as sock:
            if luck.choice((True, False, False, False)):
                sock.sendall(b"\x16\x03\x01\x02\x00\x01"[: luck.randrange(1, 7)])
                leave(sock)
                continue
            with load.world.trust().wrap_socket(sock, server_hostname=NAME) as tls:
                asked = f"GET /ok/{kill_lab.a_name()}?size=3000000 HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode()
                tls.sendall(luck.choice((head[:30], head + bytes(20000), asked)))
                if luck.choice((True, False)):
                    tls.settimeout(0.05)
                    with contextlib.suppress(TimeoutError):
                        tls.recv(1000)
                leave(tls)
        pause(load, 0.02)


def secured(world: World, port: int, context: ssl.SSLContext, name: str) -> ssl.SSLSocket:
    """Connect to the sidecar, with TLS."""
    sock = socket.create_connection((world.host, port), PATIENCE_S)
    try:
        return context.wrap_socket(sock, server_hostname=name)
    except BaseException:
        sock.close()
        raise


def leave(sock: socket.socket) -> None:
    """Reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


def slow(load: Load, luck: random.Random) -> None:
    """Read 4 MB in small sips; every other time lose interest."""
    while load.goes_on():
        with contextlib.suppress(OSError), secured(load.world, AWS, load.world.trust(), NAME) as tls:
            tls.sendall(f"GET /ok/{kill_lab.a_name()}?size=4000000 HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode())
            for _ in range(luck.choice((20, 60))):
                if not tls.recv(16384):
                    break
                pause(load, 0.05)


def passed(load: Load, luck: random.Random) -> None:
    """Reach another server, through TLS that the sidecar does not end."""
    context = ssl.create_default_context(cafile=str(load.world.folder / "other-root"))
    while load.goes_on():
        said = luck.randbytes(luck.choice((100, 5000, 2_000_000)))
        began, kind = time.monotonic(), "ok"
        try:
            with secured(load.world, OTHER, context, ELSEWHERE) as tls:
                tls.sendall(struct.pack("!I", len(said)) + said)
                got = b"".join(iter(lambda: tls.recv(1 << 20), b""))
                kind = "ok" if got == said else "wrong"
        except OSError as error:
            kind = f"pass {type(error).__name__}"
        load.add(Outcome(name="pass", method="-", kind=kind, began=began, ended=time.monotonic()))
        pause(load, 0.02)


def http_2(load: Load, luck: random.Random) -> None:
    """Speak HTTP/2 alone, with long pauses in which the engine may end."""
    client = h2_lab.Client(load.world)
    while load.goes_on():
        for _ in range(luck.randrange(1, 30)):
            load.add(client.call("PUT", "ok", luck.randbytes(luck.choice((0, 3000, 50000)))))
        client.close()
        pause(load, luck.choice((0.2, 1, 8)))


WORKERS: Final = (
    kill_lab.kept, kill_lab.kept, kill_lab.kept, kill_lab.anew, kill_lab.anew, kill_lab.bulk,
    resumed, huge, names, aborted, slow, slow, passed, http_2,
)  # fmt: skip


@contextlib.contextmanager
def elsewhere(world: World) -> Iterator[None]:
    """Serve a non-AWS name over TLS: give back what was said, then end."""
    root, intermediate = authority_for_elsewhere()
    (world.folder / "other-root").write_text(root)
    chain, key = intermediate
    (world.folder / "other.pem").write_bytes(chain + key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(world.folder / "other.pem")
    listener = socket.create_server((world.host, OTHER_SERVER), backlog=128)

    def serve(sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError):
            sock.settimeout(PATIENCE_S)
            with context.wrap_socket(sock, server_side=True) as tls:
                file = tls.makefile("rb")
                (length,) = struct.unpack("!I", file.read(4))
                tls.sendall(file.read(length))
                tls.unwrap()

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def authority_for_elsewhere() -> tuple[str, tuple[bytes, bytes]]:
    """Make a root, and a leaf for the other server."""
    from cryptography.hazmat.primitives.serialization import Encoding  # noqa: PLC0415 - the same
    from relay_lab import Authority  # noqa: PLC0415 - only here

    other = Authority()
    chain, key, _ = other.mint((ELSEWHERE,))
    return other.root.public_bytes(Encoding.PEM).decode(), (chain, key)


# what happens meanwhile


def trouble(load: Load, counts: Counter[str]) -> None:
    """Renew certificates and kill the backend, each in its time."""
    world = load.world
    renewed = killed = time.monotonic()
    while load.goes_on():
        pause(load, 1)
        now = time.monotonic()
        if now - renewed > RENEWED_S:
            renewed = now
            world.renew()
            counts["renewals"] += 1
        if now - killed > KILLED_S:
            world.kill_backend()
            pause(load, 1)
            world.start_backend()
            killed = time.monotonic()
            counts["backend restarts"] += 1


# samples


def sample(world: World, began: float) -> Sample:
    """Look at the sidecar once."""
    assert world.sidecar is not None
    pid = world.sidecar.pid
    state = world.folder / "state"
    before = state.stat().st_mtime_ns if state.exists() else 0
    world.signal(signal.SIGUSR1)
    deadline, nothing = time.monotonic() + PATIENCE_S, threading.Event()
    while not state.exists() or state.stat().st_mtime_ns == before:
        assert time.monotonic() < deadline, "the sidecar says nothing"
        nothing.wait(0.01)
    told = json.loads(state.read_text())
    memory = rollup(pid)
    engine = int(told.pop("engine"))
    return {
        "s": round(time.monotonic() - began, 1),
        "rss_kb": memory["Rss"],
        "pss_kb": memory["Pss"],
        "private_kb": memory["Private_Dirty"] + memory["Private_Clean"],
        "descriptors": sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir()),
        "engine_pss_kb": rollup(engine)["Pss"] if engine else 0,
        **told,
    }


def rollup(pid: int) -> dict[str, int]:
    """Read a process' memory as the kernel adds it up; nothing of one that has ended."""
    found: dict[str, int] = Counter()
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
            key, value, *_ = line.split()
            found[key.rstrip(":")] = int(value)
    return found


def trend(times: list[float], values: list[float]) -> tuple[float, float]:
    """Return what a Theil-Sen line rises over the time, and the scatter around it (median absolute deviation)."""
    slopes = [
        (values[j] - values[i]) / (times[j] - times[i])
        for i in range(len(times))
        for j in range(i + 1, len(times))
        if times[j] > times[i]
    ]
    slope = statistics.median(slopes) if slopes else 0.0
    rests = [value - slope * at for at, value in zip(times, values, strict=True)]
    middle = statistics.median(rests)
    return slope * (times[-1] - times[0]), statistics.median(abs(rest - middle) for rest in rests)


def judge(samples: list[Sample]) -> list[dict[str, Any]]:
    """Say of each figure whether it grew after the warm-up."""
    warm = [one for one in samples if one["s"] >= samples[-1]["s"] / 4]
    times = [one["s"] for one in warm]
    rows = []
    for key, (allowed, what) in ALLOWED.items():
        values = [one[key] for one in warm]
        rise, scatter = trend(times, values)
        limit = allowed + 2 * scatter
        rows.append({
            "what": what, "first": values[0], "median": statistics.median(values), "highest": max(values),
            "last": values[-1], "rise": round(rise, 1), "scatter": round(scatter, 1), "limit": round(limit, 1),
            "grows": rise > limit,
        })  # fmt: skip
    return rows


def settle(world: World, began: float, before: Sample) -> Sample:
    """Wait until everything that clients left behind is closed, or it is clear that something stays."""
    deadline, nothing = time.monotonic() + SETTLED_S, threading.Event()
    while True:
        now = sample(world, began)
        if all(now[key] <= before[key] for key in CLOSED) or time.monotonic() > deadline:
            return now
        nothing.wait(1)


def rehearsed(world: World, began: float) -> Sample:
    """Have clients of every kind once, so that all is loaded that will be; then look at what stays."""
    with Load.on(world, *WORKERS) as load:
        load.wait(300)
    with Load.on(world, *[hosts] * 4) as load:
        for count in range(500, HOSTS_FIRST + 1, 500):
            load.wait(count)
    nothing = Sample(dict.fromkeys(CLOSED, 0) | {"descriptors": 19, "tasks": 1})
    return settle(world, began, nothing)


def run(minutes: float, every: float) -> dict[str, Any]:
    """Soak."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
        relay = {"pool_idle_timeout_s": 5.0}
        world = stack.enter_context(World.running(folder, engine="on-demand", engine_idle_s=5.0, relay=relay))
        stack.enter_context(elsewhere(world))
        began, samples, counts = time.monotonic(), [], Counter[str]()
        before = rehearsed(world, began)
        load = stack.enter_context(Load.on(world, *WORKERS))
        worker = threading.Thread(target=trouble, args=(load, counts))
        worker.start()
        nothing = threading.Event()
        while time.monotonic() - began < minutes * 60:
            nothing.wait(every)
            samples.append(sample(world, began))
            show(samples[-1], load)
        load.end()
        worker.join()
        metrics = world.metrics()
        after = settle(world, began, before)
        wrong = [one for one in load.outcomes if one.kind in {"wrong", "hang"}]
        log = sum(1 for _ in (folder / "log").open())
    leaks = [key for key in CLOSED if after[key] > before[key]]
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"), "minutes": minutes,
        "machine": f"{os.cpu_count()} CPUs, Linux {platform.release()}, Python {platform.python_version()}",
        "outcomes": dict(load.kinds()), "events": dict(counts), "log_lines": log, "before": before, "after": after,
        "left_open": leaks, "wrong": [repr(one) for one in wrong[:5]], "trends": judge(samples),
        "counters": {key: value for key, value in metrics.items() if "relay_total" in key}, "samples": samples,
    }  # fmt: skip


def show(found: Sample, load: Load) -> None:
    """Print a sample."""
    cells = " ".join(f"{key}={value:g}" for key, value in found.items())
    print(f"{cells} calls={len(load.outcomes)}", flush=True)


PAGE: Final = """# Soak

<!-- Written by benchmarks/soak.py; figures below are of the last run that was kept. -->

{at}, {minutes:g} minutes, {machine}; the machine was shared. `make soak` repeats it.

Clients of every kind at once: kept and new connections, resumed TLS, bulk both ways, clients that reset in handshakes,
heads, bodies and answers, slow readers, passes, plain HTTP, HTTP/2 through the second engine, names never asked for
before. Meanwhile: {events}. Every answer was checked: {wrong} wrong, {outcomes}.

## What grew

After the warm-up, the first quarter, a Theil-Sen line is laid through the samples. It *grows* when the line rises more
until the end than an allowance and twice the scatter (median absolute deviation) around it.

| figure | first | median | highest | last | rise | limit | grows |
|---|---|---|---|---|---|---|---|
{trends}

## What was left

| | before | after all clients had left |
|---|---|---|
{left}

## Memory

| time, s | PSS, MB | descriptors | connections | tasks | engine's PSS, MB |
|---|---|---|---|---|---|
{course}

Counted by the relay: {counters}.
"""


def page(found: dict[str, Any]) -> str:
    """Spell a report."""
    trends = "\n".join(
        f"| {one['what']} | {one['first']:g} | {one['median']:g} | {one['highest']:g} | {one['last']:g} "
        f"| {one['rise']:+g} | {one['limit']:g} | {'**yes**' if one['grows'] else 'no'} |"
        for one in found["trends"]
    )
    left = "\n".join(
        f"| {key.replace('_', ' ')} | {found['before'][key]:g} | {found['after'][key]:g} |"
        for key in ("open", "descriptors", "tasks", "objects", "pss_kb")
    )
    samples = found["samples"]
    course = "\n".join(
        f"| {one['s']:g} | {one['pss_kb'] / 1024:.1f} | {one['descriptors']:g} | {one['open']:g} | {one['tasks']:g} "
        f"| {one['engine_pss_kb'] / 1024:.1f} |"
        for one in samples[:: max(1, len(samples) // 15)]
    )
    counters = {key.split('"')[1]: value for key, value in found["counters"].items() if value}
    return PAGE.format(
        at=found["at"], minutes=found["minutes"], machine=found["machine"], trends=trends, left=left, course=course,
        events=listed(found["events"]), wrong=len(found["wrong"]), outcomes=listed(found["outcomes"]),
        counters=listed(counters),
    )  # fmt: skip


def listed(counts: dict[str, float]) -> str:
    """Spell counts in a row."""
    return ", ".join(f"{count:g} {what}" for what, count in sorted(counts.items(), key=lambda one: -one[1]))


def main() -> int:
    """Soak, write the report, and fail when something grew, was left or was wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two samples")
    parser.add_argument("--page", type=Path, help="where the report is written")
    parser.add_argument("--json", type=Path, help="where all samples are written")
    asked = parser.parse_args()
    found = run(asked.minutes, asked.every)
    print(page(found))
    if asked.page:
        asked.page.write_text(page(found))
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1) + "\n")
    grown = [one["what"] for one in found["trends"] if one["grows"]]
    for what, which in (("grew", grown), ("left open", found["left_open"]), ("wrong", found["wrong"])):
        print(f"{what}: {which or 'nothing'}")
    return 1 if grown or found["left_open"] or found["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
