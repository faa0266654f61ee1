"""Where the CPU of the sidecar goes, and of nginx beside it: the kernel, OpenSSL, the program. Needs root and perf.

python -m benchmarks.relay.breakdown --loads small-c10 --page docs/performance/breakdown.md
"""

import argparse
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from string import Template
from typing import Final

from benchmarks.relay import machine
from benchmarks.relay.__main__ import names, samples_of
from benchmarks.relay.arms import ARMS, OURS, REFERENCE
from benchmarks.relay.figures import Sample
from benchmarks.relay.loads import LOADS, Load
from benchmarks.relay.place import PATIENCE_S, clean, until
from benchmarks.relay.site import Running
from kecs.core.names import PROXY_UID

_TEMPLATE: Final = Path(__file__).with_name("breakdown.md")
_LOADS: Final = ("small-c10", "tls-full", "tls-resumed", "down-256", "up-256", "pass-new", "boto3")
_HERTZ: Final = 9973
"""No divisor of anything that happens on a beat."""
_LINE: Final = re.compile(r"\s*([0-9.]+)%\s+(\S+)\s*")
_UNITS: Final = {"cpu_us": 1.0, "cpu_ms_mb": 1000.0}
"""Measures of a load's CPU, with what makes microseconds of them."""
_PARTS: Final = {
    "kernel": re.compile(r"\[.*\]"),
    "OpenSSL": re.compile(r"lib(ssl|crypto)\b.*"),
    "C library": re.compile(r"(libc|ld-linux|libpthread|libm)\b.*"),
    "uvloop": re.compile(r"loop\.cpython.*"),
    "program": re.compile(r".*"),
}
"""Files that code was running from, by the first pattern that matches."""


def part_of(file: str) -> str:
    """Say which part of a program a file is, by the name that perf gives it."""
    return next(part for part, pattern in _PARTS.items() if pattern.fullmatch(file))


def parts_of(report: str) -> dict[str, float]:
    """Sum up what `perf report --sort dso` prints: percent of each part; 100 in all, but for what was rounded."""
    found = dict.fromkeys(_PARTS, 0.0)
    for line in report.splitlines():
        match = _LINE.fullmatch(line)
        if match is not None:
            found[part_of(match[2])] += float(match[1])
    return found


def _profiled(load: Load) -> Load:
    """Return the load as one that is put on twice: first nobody looks, then perf does."""

    def measure(running: Running, seconds: float) -> dict[str, float]:
        found = load.measure(running, seconds)
        unit = next(name for name in _UNITS if name in found)
        file = running.setting.directory / "perf.data"
        with _recording(running, file):
            load.measure(running, seconds)
        told = _run("perf", "report", "-i", str(file), "--no-children", "--sort", "dso", "--stdio")
        return {"us": found[unit] * _UNITS[unit], **parts_of(told)}

    return replace(load, measure=measure)


@contextmanager
def _recording(running: Running, file: Path) -> Iterator[None]:
    """Sample the proxy's processes while the block lasts."""
    pids = ",".join(map(str, running.pod.members(PROXY_UID)))
    argv = ("perf", "record", "-q", "-e", "cpu-clock", "-F", str(_HERTZ), "-o", str(file), "-p", pids)
    file.unlink(missing_ok=True)
    process = subprocess.Popen(argv, env=clean(), stdout=subprocess.DEVNULL)
    try:
        until(lambda: file.exists() or process.poll() is not None)
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE_S)


def _run(*argv: str) -> str:
    done = subprocess.run(argv, env=clean(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"error: {' '.join(argv)} ended with {done.returncode}: {done.stderr}")
    return done.stdout


def table(samples: Sequence[Sample]) -> str:
    """Return the Markdown table: microseconds of each part, medians over rounds."""
    lines = [f"| load | arm | CPU, µs | {' | '.join(_PARTS)} |", "|---|---|" + "---:|" * (1 + len(_PARTS))]
    arms = tuple(dict.fromkeys(one.arm for one in samples))
    for load in dict.fromkeys(one.load for one in samples):
        for arm in arms:
            rounds = [one.values for one in samples if (one.load, one.arm) == (load, arm) and not one.failure]
            if rounds:
                lines.append(f"| {load} | {arm} | {' | '.join(_figures(rounds))} |")
    return "\n".join(lines)


def _figures(rounds: Sequence[Mapping[str, float]]) -> list[str]:
    parts = [median(values["us"] * values[part] / 100 for values in rounds) for part in _PARTS]
    return [f"{figure:.1f}" for figure in (median(values["us"] for values in rounds), *parts)]


def main() -> None:
    """Measure and print."""
    options = _options()
    machine.check(options.arms)
    if shutil.which("perf") is None:
        raise SystemExit("error: not installed: perf\n\nhint: apt-get install linux-perf")
    samples = list(samples_of(options))
    failed = [one for one in samples if one.failure]
    if failed:
        raise SystemExit(f"error: {failed[0].load}, {failed[0].arm}: {failed[0].failure}")
    print(table(samples))
    if options.page:
        text = _TEMPLATE.read_text(encoding="utf-8")
        described = "\n".join(f"- {name}: {value}" for name, value in machine.describe().items())
        given = {"rounds": options.rounds, "seconds": f"{options.seconds:g}", "table": table(samples)}
        page = Template(text).substitute(given, machine=described)
        Path(options.page).write_text(page, encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--loads", type=names(LOADS.__getitem__), default=",".join(_LOADS), help=", ".join(_LOADS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="how long one load lasts in one round")
    parser.add_argument("--page", default="", help="where the page is written")
    options = parser.parse_args()
    options.loads = [_profiled(load) for load in options.loads]
    options.arms = [ARMS[OURS], ARMS[REFERENCE]]
    return options


if __name__ == "__main__":
    main()
