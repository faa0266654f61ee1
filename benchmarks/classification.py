"""What it costs to say what a request is for: CPU time of one head, and of loading the tables.

    python benchmarks/classification.py [--rounds 15] [--page docs/performance/classification.md]

Heads are botocore's: every operation of every service, in random order. Once at its service's endpoint in one region,
signed by one key, as from a program; once each at any endpoint of its service in any region and variant, signed by a
key and on a day of its own, so that nothing of one helps with the next. Times are CPU times of the thread. Of each head
the best of several rounds counts, since what disturbs only ever adds: between two rounds lie thousands of others.
"""

import argparse
import gc
import os
import platform
import random
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import botocore
from endpoints_lab import Endpoint, Request, endpoints, head_of, requests, services

from kecs.aws.classify import body_wanted, classify
from kecs.aws.head import RequestHead
from kecs.aws.recall import Recall

SEED = 14566
APPLICATION = 40
"""Calls that one program makes again and again."""
TURNS = 200
LOADED = """
import json, sys, time, tracemalloc
from kecs.aws import tables
if sys.argv[1] == "memory":
    tracemalloc.start()
began = time.process_time()
tables.tables()
tables.rest_lines()
took = (time.process_time() - began) * 1e3
print(json.dumps(tracemalloc.get_traced_memory()[0] / 1e6 if sys.argv[1] == "memory" else took))
"""
"""Tables are loaded in a process of their own, which then has them once; tracing memory would slow it down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request, as the relay gives it to the classifier."""

    head: RequestHead
    body: bytes


def asked(request: Request, endpoint: Endpoint, *, key: str, date: str, signature: str) -> Asked:
    """Make a request at an endpoint, signed as told."""
    scope = f"{key}/{date}/{endpoint.region}/{endpoint.signing_name}/aws4_request"
    value = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host;x-amz-date, Signature={signature}"
    return Asked(head=head_of(request, endpoint, ((b"Authorization", value.encode()),)), body=request.body)


def corpora(names: list[str]) -> tuple[list[Asked], list[Asked]]:
    """Return every operation's request as one program makes them, and as if each were another program's."""
    luck = random.Random(SEED)  # noqa: S311 - no secret: the same heads each time
    program: list[Asked] = []
    strange: list[Asked] = []
    for service in names:
        places: dict[str, list[Endpoint]] = {}
        for request in requests(service):
            said = repr(request.given)
            if said not in places:
                places[said] = list(endpoints(service, request.given))
            # The first of them is what the commercial partition's first region and no variant give.
            signature = luck.randbytes(32).hex()
            program.append(asked(request, places[said][0], key="AKIDEXAMPLE", date="20260101", signature=signature))
            key = "AKIA" + "".join(luck.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", k=16))
            date = str(luck.randrange(20200101, 20301231))
            strange.append(asked(request, luck.choice(places[said]), key=key, date=date, signature=signature))
    luck.shuffle(program)
    luck.shuffle(strange)
    return program, strange


def told(one: Asked) -> None:
    """Classify as the relay does: a form's beginning is asked for first."""
    wanted = body_wanted(one.head)
    classify(one.head, body=one.body[:wanted] if wanted else b"")


def each(heads: list[Asked]) -> list[float]:
    """Return the CPU time of each classification, in microseconds, without the clock's own."""
    clock, took = time.thread_time_ns, []
    empty = min(-(clock() - clock()) for _ in range(1000))
    for one in heads:
        one.head.known = None  # what its names say is worked out anew
        began = clock()
        told(one)
        took.append((clock() - began - empty) / 1e3)
    return took


def best(heads: list[Asked], rounds: int) -> list[float]:
    """Return the lowest time of each head, in order."""
    each(heads)  # the trees of REST paths are made now
    return sorted(map(min, zip(*[each(heads) for _ in range(rounds)], strict=True)))


def at(times: list[float], share: float) -> float:
    """Return the time that this share of the heads does not exceed."""
    return times[int(share * (len(times) - 1))]


def recalled(heads: list[Asked], rounds: int) -> float:
    """Return the CPU time of a call that is remembered, in microseconds."""
    recall, took = Recall(), []
    for one in heads:
        recall.classify(one.head)
    for _ in range(rounds):
        began = time.thread_time_ns()
        for _ in range(TURNS):
            for one in heads:
                recall.classify(one.head)
        took.append((time.thread_time_ns() - began) / 1e3 / TURNS / len(heads))
    return min(took)


def loading(what: str, rounds: int) -> float:
    """Return the CPU time of loading the tables, in milliseconds, or what they take, in megabytes."""
    command = [sys.executable, "-c", LOADED, what]
    done = [subprocess.run(command, check=True, capture_output=True, text=True).stdout for _ in range(rounds)]
    return min(map(float, done))


def measure(rounds: int) -> dict[str, float]:
    """Measure everything, and return the figures by name."""
    program, strange = corpora(services())
    gc.freeze()
    first = sorted(each(program))
    known, unknown = best(program, rounds), best(strange, rounds)
    few = [one for one in program if not body_wanted(one.head)][:APPLICATION]
    return {
        "heads": len(program),
        "median_us": at(known, 0.5),
        "p99_us": at(known, 0.99),
        "strange_median_us": at(unknown, 0.5),
        "strange_p99_us": at(unknown, 0.99),
        "first_median_us": at(first, 0.5),
        "first_max_ms": first[-1] / 1e3,
        "application_us": at(best(few, rounds * 10), 0.5),
        "recalled_us": recalled(few, rounds),
        "load_ms": loading("time", rounds),
        "load_mb": loading("memory", 3),
    }


PAGE = """# Classification

<!-- Written by benchmarks/classification.py; figures below are of the last run that was kept. -->

{when}, {cpus} CPUs, {kernel}, Python {python}, botocore {botocore}. The machine was shared: load average {load} while
this ran, so the figures are higher than on a machine of its own. CPU time of the thread; of each head the best of
{rounds} rounds. `make bench-classification` repeats it.

| figure | limit | measured |
|---|---|---|
| one head, median of {heads:,} different ones of one program | 20 µs | {median_us:.1f} µs |
| the same, 99 of 100 are below | | {p99_us:.1f} µs |
| one head of a program that makes {application} calls again and again, median | 20 µs | {application_us:.1f} µs |
| the same, as the relay remembers it | | {recalled_us:.1f} µs |
| one head of which nothing was seen before, median of {heads:,} | | {strange_median_us:.1f} µs |
| the same, 99 of 100 are below | | {strange_p99_us:.1f} µs |
| loading the tables, CPU time | 30 ms | {load_ms:.1f} ms |
| what they take | 10 MB | {load_mb:.1f} MB |

The heads are every operation of every service of botocore, in each protocol that the service speaks, in random order.
One program asks in one region and signs by one key: hosts and credentials return, paths and operations don't. Where
nothing was seen before, each head has another key, another day and any host of its service, in any of botocore's
regions, FIPS or dual stack or both. The time includes asking whether the beginning of a form is needed.

The first request to a REST service costs more, since its paths are made into a tree then: in the first pass through all
heads the median was {first_median_us:.1f} µs, and the worst head took {first_max_ms:.1f} ms.
"""


def main() -> None:
    """Measure, print, and write the page when one is named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--page", type=Path)
    options = parser.parse_args()
    before = os.getloadavg()[0]
    figures = measure(options.rounds)
    load = (before + os.getloadavg()[0]) / 2
    for name, value in figures.items():
        print(f"{name:16} {value:,.2f}")
    if options.page:
        options.page.write_text(
            PAGE.format(
                when=datetime.now(UTC).replace(microsecond=0).isoformat(),
                cpus=os.cpu_count(),
                kernel=f"{platform.system()} {platform.release()}",
                python=platform.python_version(),
                botocore=botocore.__version__,
                load=f"{load:.1f}",
                rounds=options.rounds,
                application=APPLICATION,
                **figures,
            ),
            encoding="utf-8",
        )


if __name__ == "__main__":
    main()
