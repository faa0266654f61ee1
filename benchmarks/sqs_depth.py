"""What a call of SQS costs the emulator while a queue gets deeper: CPU milliseconds, moto's own server beside ours.

Each arm is a process of its own on loopback. At every depth, one message is sent, one received and deleted, many times;
what the process used of the CPU in between is read from the kernel's clock of it. Medians, so that a page fault or a
collection counts for little.

Usage: python benchmarks/sqs_depth.py [--calls 50] [--depths 0,150,1000,10000] [--page FILE]
"""

import argparse
import os
import platform
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

BIN: Final = Path(sys.executable).parent
ARMS: Final[dict[str, tuple[str, ...]]] = {
    "embedded": (sys.executable, "-m", "kecs.emulator", "--listen", "127.0.0.1:{port}"),
    "moto_server": (str(BIN / "moto_server"), "-H", "127.0.0.1", "-p", "{port}"),
}
DEEPEST: Final = {"embedded": 1_000_000, "moto_server": 1_000}
"""Filling a queue is itself too slow beyond."""
CALLS: Final = ("SendMessage", "ReceiveMessage", "DeleteMessage")
KINDS: Final[dict[str, tuple[dict[str, str], dict[str, str]]]] = {
    "standard": ({}, {}),
    "FIFO, one group": ({"FifoQueue": "true", "ContentBasedDeduplication": "true"}, {"MessageGroupId": "g"}),
}
_READY_S: Final = 60.0

type Row = tuple[str, str, int, dict[str, float]]


def cpu_s(pid: int) -> float:
    """Return what a process has used of the CPU, its ended threads included (`clock_getcpuclockid(3)`)."""
    return time.clock_gettime((~pid << 3) | 2)


@contextmanager
def running(command: Sequence[str]) -> Iterator[tuple[int, Any]]:
    """Run an emulator; give its process id and a client of it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # An emulator's own log is a line for each call at most: not what is measured, and nobody reads it.
    process = subprocess.Popen([part.format(port=port) for part in command], stderr=subprocess.DEVNULL)
    try:
        client = boto3.client(
            "sqs",
            region_name="us-east-1",
            endpoint_url=f"http://127.0.0.1:{port}",
            aws_access_key_id="AKIAIOSFODNN7EXAMPLE",
            aws_secret_access_key="secret",  # noqa: S106 - an example, which nothing verifies
            config=Config(retries={"total_max_attempts": 1}),
        )
        wait_for(client)
        yield process.pid, client
    finally:
        process.terminate()
        process.wait(10)


def wait_for(client: Any) -> None:
    """Ask until there is an answer."""
    until = time.monotonic() + _READY_S
    while True:
        try:
            client.list_queues()
        except (BotoCoreError, ClientError):
            if time.monotonic() > until:
                raise
            time.sleep(0.1)
        else:
            return


def fill(client: Any, url: str, depth: int, named: dict[str, str]) -> None:
    """Put messages into a queue, each other than the rest."""
    for start in range(0, depth, 10):
        bodies = (f"message {number}" for number in range(start, min(start + 10, depth)))
        entries = [{"Id": str(number), "MessageBody": body, **named} for number, body in enumerate(bodies)]
        client.send_message_batch(QueueUrl=url, Entries=entries)


def measure(pid: int, client: Any, url: str, calls: int, named: dict[str, str]) -> dict[str, float]:
    """Return the median CPU milliseconds of each call."""
    used: dict[str, list[float]] = {name: [] for name in CALLS}
    for number in range(calls):
        marks = [cpu_s(pid)]
        client.send_message(QueueUrl=url, MessageBody=f"measured {number}", **named)
        marks.append(cpu_s(pid))
        (message,) = client.receive_message(QueueUrl=url)["Messages"]
        marks.append(cpu_s(pid))
        client.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        marks.append(cpu_s(pid))
        for name, before, after in zip(CALLS, marks, marks[1:], strict=False):
            used[name].append((after - before) * 1000)
    return {name: statistics.median(values) for name, values in used.items()}


def rows(depths: Sequence[int], calls: int) -> Iterator[Row]:
    """Measure everything."""
    for arm, command in ARMS.items():
        for kind, (attributes, named) in KINDS.items():
            for depth in depths:
                if depth > DEEPEST[arm]:
                    continue
                name = f"depth-{depth}" + (".fifo" if named else "")
                with running(command) as (pid, client):
                    url = client.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
                    fill(client, url, depth, named)
                    yield arm, kind, depth, measure(pid, client, url, calls, named)


def page(found: Sequence[Row], calls: int) -> str:
    """Write the page."""
    head = f"""# SQS and the depth of a queue

<!-- Written by benchmarks/sqs_depth.py. -->

{datetime.now(UTC).isoformat(timespec="seconds")}, {os.cpu_count()} CPUs, Python {platform.python_version()}, \
moto {version("moto")}; the machine was shared. `make bench-sqs` repeats it.

CPU milliseconds of the emulator's process for one call, median of {calls}; reading and answering HTTP is part of it.
Before each measurement the queue holds as many messages as *depth* says, none of them in flight.

| emulator | queue | depth | {" | ".join(CALLS)} |
|---|---|---|{"---|" * len(CALLS)}
"""
    lines = (
        f"| {arm} | {kind} | {depth:,} | {' | '.join(f'{used[name]:.2f}' for name in CALLS)} |"
        for arm, kind, depth, used in found
    )
    return head + "\n".join(lines) + "\n" + WHY


WHY: Final = """
## Why it grew, and what was done

moto (5.2.5) keeps a queue's messages in a list. `Queue.attributes` counts it three times, and SendMessage reads
`attributes` once or more, ReceiveMessage twice for each message that it gives; `Queue.messages` copies what is visible;
DeleteMessage and ChangeMessageVisibility compare every handle that every message ever had; a FIFO queue is searched for
duplicates. Each look at a message asks the clock through three `datetime` objects.

The embedded emulator gives moto queues that keep an index (`kecs.emulator.backlog`, `kecs.emulator.queues`):
messages by handle, by deduplication id and, in order, by group; heaps of when they become visible. moto's code goes on
deciding who gets what. It is installed when the emulator starts; no file of moto is changed.
`tests/emulator/test_queues.py` makes the same calls of moto as it is and of the index, in any order, and compares every
answer, attribute and message.

Two more faults of moto's go away with it:

- moto keeps every message that was ever made, and a copy of it for every time it was received, in a list that only the
  dashboard of its server reads (`BaseModel.instances_tracked`).
- A long poll of a FIFO queue whose groups are all in flight does not wait: `wait_for_messages` returns at once when
  there is any visible message, deliverable or not, so that the poll asks again and again until its time is over.

## For moto's maintainers

What would do without an index of our own: let `send_message` and `is_message_valid_based_on_retention_period` read
`queue.content_based_deduplication` and `queue.message_retention_period` instead of `queue.attributes`; keep messages in
a `dict` by id and receipt handles in a `dict` to them; read the clock once for each call.

Left as it is, because calls should answer as moto's do: a long poll of a FIFO queue notes which groups are in flight
only when it begins, so that two polls that began before may be given two messages of one group.
"""


def main() -> None:
    """Measure and print, or write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=50)
    parser.add_argument("--depths", default="0,150,1000,10000")
    parser.add_argument("--page", type=Path)
    options = parser.parse_args()
    found = []
    for row in rows([int(depth) for depth in options.depths.split(",")], options.calls):
        found.append(row)
        print(*row[:3], {name: round(value, 2) for name, value in row[3].items()}, flush=True)
    if options.page:
        options.page.write_text(page(found, options.calls))


if __name__ == "__main__":
    main()
