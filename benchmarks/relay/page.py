"""The results page: every promise with its figure and the peers beside it, written from what a run has found. Pure."""

from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import Final

from benchmarks.relay import nginx, svg, table
from benchmarks.relay.arms import ARMS, DIRECT, OURS, REFERENCE
from benchmarks.relay.figures import Sample, Spread, absolute
from benchmarks.relay.layout import STUB
from benchmarks.relay.loads import LOADS
from benchmarks.relay.material import Material
from benchmarks.relay.report import Report
from benchmarks.relay.targets import TARGETS, Target

_TEMPLATE: Final = Path(__file__).with_name("page.md")
_PEERS: Final = ("nginx-tls", "haproxy", "mitmdump")
_PANELS: Final = (
    ("small-c10", "rate", 0, "1 KB, 10 connections: requests/s"),
    ("small-c10", "cpu_us", 0, "1 KB, 10 connections: CPU µs per request"),
    ("small-c50", "rate", 0, "1 KB, 50 connections: requests/s"),
    ("small-c50", "cpu_us", 0, "1 KB, 50 connections: CPU µs per request"),
    ("tls-full", "rate", 0, "full TLS handshakes/s"),
    ("tls-full", "cpu_us", 0, "full TLS handshakes: CPU µs each"),
    ("down-256", "mb_s", 0, "256 MB down: MB/s"),
    ("down-256", "cpu_ms_mb", 2, "256 MB down: CPU ms per MB"),
    ("up-256", "mb_s", 0, "256 MB up: MB/s"),
    ("down-256", "peak_pss_mb", 0, "256 MB down: peak PSS, MB"),
    ("pass-new", "cpu_us", 0, "pass-through: CPU µs per connection"),
    ("pass-256", "cpu_ms_mb", 2, "pass-through: CPU ms per MB"),
    ("start", "pss_mb", 0, "at rest: PSS of the container, MB"),
    ("start", "ready_s", 2, "exec to first answered call, s"),
)


def render(report: Report) -> str:
    """Return the page as Markdown."""
    samples = report.samples
    return Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        rounds=report.rounds,
        seconds=f"{report.seconds:g}",
        promises=_promises(samples),
        arms="\n".join(f"- **{arm.name}**: {arm.title}" for arm in ARMS.values()),
        loads="\n".join(f"- **{load.name}**: {load.title}" for load in LOADS.values()),
        machine="\n".join(f"- {name}: {value}" for name, value in report.machine.items()),
        load_average=_load_average(samples),
        failures=_failures(samples),
        tables=table.render(samples, REFERENCE).rstrip(),
        nginx=_nginx(),
    )


def plot(report: Report) -> str:
    """Return the picture beside it."""
    arms = list(dict.fromkeys(one.arm for one in report.samples))
    panels = []
    for load, measure, digits, title in _PANELS:
        bars = [(arm, absolute(report.samples, load, arm, measure)) for arm in arms]
        known = [(arm, found) for arm, found in bars if found is not None]
        panels.append(svg.Panel(title=title, bars=known, digits=digits, mark=OURS))
    return svg.draw(panels)


def _promises(samples: Sequence[Sample]) -> str:
    lines = ["| figure | must | goal | measured | spread | stands | peers |", "|---|---|---|---|---|---|---|"]
    for target in TARGETS:
        found = target.found(samples)
        figure, between = ("", "") if found is None else (target.spell(found.median), _between(target, found))
        bounds = f"{target.bound(target.must)} | {target.bound(target.goal)}"
        stands = target.verdict(found).value
        title = f"{target.title}, of {target.against}" if target.against else target.title
        lines.append(f"| {title} | {bounds} | {figure} | {between} | {stands} | {_peers(target, samples)} |")
    return "\n".join(lines)


def _between(target: Target, found: Spread) -> str:
    return f"{found.low:.{target.digits}f}-{found.high:.{target.digits}f}"


def _peers(target: Target, samples: Sequence[Sample]) -> str:
    beside = [arm for arm in (REFERENCE, *_PEERS, DIRECT) if arm != target.against]
    known = [(arm, target.found(samples, arm)) for arm in beside]
    return ", ".join(f"{arm} {target.spell(found.median)}" for arm, found in known if found is not None)


def _load_average(samples: Sequence[Sample]) -> str:
    seen = [one.values["load_average"] for one in samples if "load_average" in one.values]
    return f"{min(seen):.1f} to {max(seen):.1f}" if seen else "unknown"


def _failures(samples: Sequence[Sample]) -> str:
    lines = [
        f"- {one.load}, round {one.round + 1}, {one.arm}: {one.failure.splitlines()[0]}"
        for one in samples
        if one.failure
    ]
    return "\n".join(["Measured without success:", "", *lines, ""]) if lines else "Every measurement succeeded.\n"


def _nginx() -> str:
    """Return the reference's configuration, with places in it that say what they are."""
    names = ("root", "trust", "issuer", "serving", "leaf", "leaf_key", "pair", "foreign", "foreign_key")
    material = Material(**{name: Path(f"/pod/{name}.pem") for name in names})
    return nginx.split(Path("/pod/nginx"), material, STUB, module=Path("modules/ngx_stream_module.so")).rstrip()
