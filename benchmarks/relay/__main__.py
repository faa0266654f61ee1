"""What the relay costs, beside native peers and no proxy at all. Needs root; changes nothing outside of namespaces.

python -m benchmarks.relay --arms ours,nginx-sni --loads small-c10 --rounds 5 --seconds 1
"""

import argparse
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn

from benchmarks.relay import machine, page, table
from benchmarks.relay.arms import ARMS, OURS, REFERENCE, at, find
from benchmarks.relay.figures import Sample, order
from benchmarks.relay.layout import EMULATOR, STUB
from benchmarks.relay.loads import LOADS, QUICK, Load
from benchmarks.relay.report import Report
from benchmarks.relay.site import Running, Site, emulate, site

_USUAL = {
    "arms": (list(ARMS.values()), [ARMS[name] for name in (REFERENCE, OURS)]),
    "loads": (list(LOADS.values()), [LOADS[name] for name in QUICK]),
    "rounds": (5, 3),
    "seconds": (2.0, 1.0),
}
"""What is done unless told otherwise: all, and quickly."""


def main() -> None:
    """Measure and print."""
    options = _options()
    if options.render:
        _write(Report.from_json(Path(options.render).read_text(encoding="utf-8")), options)
        return
    machine.check(options.arms)
    signal.signal(signal.SIGTERM, _ended)
    report = Report(machine=machine.describe(), rounds=options.rounds, seconds=options.seconds)
    report.samples.extend(samples_of(options))
    _write(report, options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arms = f"{', '.join(ARMS)}; ours@REVISION is the sidecar as it was then"
    parser.add_argument("--arms", type=names(find), help=arms)
    parser.add_argument("--loads", type=names(LOADS.__getitem__), help=", ".join(LOADS))
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float, help="how long one load lasts in one round")
    parser.add_argument("--quick", action="store_true", help="fewer arms, loads and rounds: under two minutes")
    parser.add_argument("--at", default="", metavar="REVISION", help="take the sidecar of a revision, not of this tree")
    parser.add_argument("--json", default="", help="where everything measured is written")
    parser.add_argument("--page", default="", help="where the results page is written, its plot beside it")
    parser.add_argument("--render", default="", metavar="JSON", help="measure nothing: write from an earlier run")
    options = parser.parse_args()
    for name, (whole, quick) in _USUAL.items():
        if getattr(options, name) is None:
            setattr(options, name, quick if options.quick else whole)
    if options.at:
        options.arms = [at(one, options.at) for one in options.arms]
    return options


def names[T](find: Callable[[str], T]) -> Callable[[str], list[T]]:
    """Return what reads an option that is a list of names."""

    def parse(text: str) -> list[T]:
        try:
            return [find(name.strip()) for name in text.split(",") if name.strip()]
        except KeyError as error:
            raise argparse.ArgumentTypeError(f"there is no {error}; see --help") from error

    return parse


def _memory() -> str | None:
    """Return where files are in memory, so that no disk is measured."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - a directory of our own is made in it


def _ended(_number: int, _frame: object) -> NoReturn:
    raise SystemExit("error: told to end")


def samples_of(options: argparse.Namespace) -> Iterator[Sample]:
    """Make the world, and run all loads in it; they end with it."""
    with tempfile.TemporaryDirectory(prefix="relay-bench-", dir=_memory()) as name:
        directory = Path(name)
        directory.chmod(0o755)
        with site(directory) as made:
            yield from _samples(made, options)


def _samples(made: Site, options: argparse.Namespace) -> Iterator[Sample]:
    """Run all loads; those that want another backend have pods of their own."""
    for backend in (STUB, EMULATOR):
        loads = [load for load in options.loads if load.backend == backend]
        if not loads:
            continue
        if backend == EMULATOR:
            emulate(made)
        with ExitStack() as stack:
            arms = [arm for arm in options.arms if any(load.suits(arm) for load in loads)]
            running = [stack.enter_context(made.running(arm, backend)) for arm in arms]
            for load in loads:
                yield from _rounds(load, running, options)


def _rounds(load: Load, running: Sequence[Running], options: argparse.Namespace) -> Iterator[Sample]:
    able = [one for one in running if load.suits(one.arm)]
    if load.warm:
        for one in able:
            _measured(load, one, min(1, options.seconds))
    for number in range(min(options.rounds * load.times, load.rounds_max)):
        for one in order(able, number):
            sample = _measured(load, one, options.seconds, number)
            told = " ".join(f"{key}={value:.4g}" for key, value in sample.values.items())
            machine.tell(f"{load.name} round {number + 1} {one.arm.name}: {told}{sample.failure}")
            yield sample


def _measured(load: Load, one: Running, seconds: float, number: int = 0) -> Sample:
    """Measure once; an arm that fails is part of the result."""
    values, failure = {}, ""
    try:
        values = load.measure(one, seconds)
    except (SystemExit, ValueError, OSError) as error:
        if str(error) == "error: told to end":
            raise
        failure = str(error)
    values = {"load_average": machine.load_average(), **values}
    return Sample(load=load.name, arm=one.arm.name, round=number, values=values, failure=failure)


def _write(report: Report, options: argparse.Namespace) -> None:
    reference = REFERENCE if any(one.arm == REFERENCE for one in report.samples) else report.samples[0].arm
    print(table.render(report.samples, reference))
    if options.json:
        Path(options.json).write_text(report.to_json(), encoding="utf-8")
    if options.page:
        path = Path(options.page)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page.render(report), encoding="utf-8")
        path.with_suffix(".svg").write_text(page.plot(report), encoding="utf-8")


if __name__ == "__main__":
    main()
