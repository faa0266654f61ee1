"""`kecs proxy check`: what is wrong with a cluster, and what to do about it."""

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from textwrap import wrap
from typing import TYPE_CHECKING, Any, Final

import click

from kecs.cli.calls import printable
from kecs.cli.checks import DOCS, Result, run
from kecs.cli.live_options import Duration
from kecs.cli.observed import Status
from kecs.cli.output import FORMATS, write
from kecs.core.errors import UsageError
from kecs.core.names import SYSTEM_NAMESPACE

if TYPE_CHECKING:
    from kecs.cli.observe import Target

_MARKS: Final = {
    Status.PASSED: ("√", "ok  "),
    Status.WARNING: ("‼", "warn"),
    Status.FAILED: ("×", "FAIL"),  # noqa: RUF001 - it is the sign
    Status.UNKNOWN: ("?", "?   "),
}
"""As a terminal shows them, and where only ASCII can be written."""
_COLOURS: Final = {
    Status.PASSED: "green",
    Status.WARNING: "yellow",
    Status.FAILED: "red",
    Status.UNKNOWN: "yellow",
}
_AGAIN_S: Final = 2.0


@click.command("check")
@click.option(
    "-n",
    "--namespace",
    "--system-namespace",
    default=SYSTEM_NAMESPACE,
    metavar="NAME",
    help=f"Namespace of KECS. Default: {SYSTEM_NAMESPACE}.",
)
@click.option("--context", default="", metavar="NAME", help="Context of the kubeconfig. Default: its current one.")
@click.option("--kubeconfig", default="", metavar="FILE", help="The cluster. Default: KUBECONFIG, else ~/.kube/config.")
@click.option(
    "--probe-namespace", default="default", metavar="NAME", help="Namespace that pods are tried in. Default: default."
)
@click.option("--leak-probe", is_flag=True, help="Also run a pod that tries to get past its sidecar.")
@click.option("--image", metavar="IMAGE", default="", help="Image of the pod of --leak-probe. Default: the sidecar's.")
@click.option(
    "--wait",
    "wait_s",
    metavar="DURATION",
    type=Duration(),
    default=0.0,
    help="Try again until nothing fails, so long at most, e.g. 2m. Default: once.",
)
@click.option(
    "-o", "--output", type=click.Choice(["table", *FORMATS]), default="table", help="How it is written. Default: table."
)
def check_command(**flags: Any) -> int:
    """Say what is wrong with a cluster, and what to do about it.

    Nothing is changed: a pod is made in a dry run only. With --leak-probe one short
    pod does run, and is deleted. What this account may not see is marked with ?.

    \b
    Exit codes
      0  nothing failed; warnings don't count
      1  something failed, still so after --wait
      2  the command line is wrong
    """  # noqa: D301 - click's own mark: the paragraph keeps its lines
    from kecs.certs.kube import Kube  # noqa: PLC0415 - `kecs --help` need not load the client
    from kecs.cli.observe import Target  # noqa: PLC0415 - the same

    if flags["image"] and not flags["leak_probe"]:
        raise UsageError("--image is the leak probe's", hint="add --leak-probe, or leave out --image")
    target = Target(
        kube=Kube.load(kubeconfig=flags["kubeconfig"], context=flags["context"]),
        namespace=flags["namespace"],
        context=flags["context"],
        probe_namespace=flags["probe_namespace"],
        leak_image=flags["image"],
    )
    results = _looked(target, wait_s=flags["wait_s"], leak=flags["leak_probe"])
    if flags["output"] == "table":
        symbols = (sys.stdout.encoding or "").lower().startswith("utf")
        for line in lines(results, symbols=symbols):
            click.echo(line)
    else:
        write(flags["output"], as_data(results))
    return 1 if failed(results) else 0


def _looked(target: "Target", *, wait_s: float, leak: bool) -> tuple[Result, ...]:
    """Look until nothing fails or the time is over; the leak probe runs once, at the end."""
    from kecs.cli.observe import observe  # noqa: PLC0415 - see above

    deadline = time.monotonic() + wait_s
    results = run(observe(target))
    while failed(results) and time.monotonic() < deadline:
        time.sleep(min(_AGAIN_S, max(0.0, deadline - time.monotonic())))
        results = run(observe(target))
    return run(observe(replace(target, leak=True))) if leak else results


def failed(results: Sequence[Result]) -> bool:
    """Say whether anything failed."""
    return any(result.status is Status.FAILED for result in results)


def as_data(results: Sequence[Result]) -> dict[str, Any]:
    """Return the results as data."""
    checks = [
        {
            "name": result.check.name,
            "category": result.check.category,
            "title": result.check.title,
            "status": result.status.value,
            "findings": [
                {"status": one.status.value, "message": one.message, "hint": one.hint}
                for one in result.findings
                if one.message
            ],
            "docs": f"{DOCS}#{result.check.name}",
        }
        for result in results
    ]
    return {"passed": not failed(results), "checks": checks}


def lines(results: Sequence[Result], *, symbols: bool) -> Iterator[str]:
    """Write the list as people read it: by category, each finding with what to do."""
    category = ""
    for result in results:
        if result.check.category != category:
            yield from ([""] if category else [])
            category = result.check.category
            yield click.style(category, bold=True)
        mark = _MARKS[result.status][0 if symbols else 1]
        yield f"{click.style(mark, fg=_COLOURS[result.status])} {result.check.title}"
        for finding in result.findings:
            if finding.message:
                yield from _wrapped(finding.message)
                yield from _wrapped(f"hint: {finding.hint}")
        if result.status is not Status.PASSED:
            yield f"    see {DOCS}#{result.check.name}"
    yield ""
    counts = {status: sum(result.status is status for result in results) for status in Status}
    said = [f"{counts[Status.PASSED]} passed"]
    said += [f"{counts[status]} {word}" for status, word in _WORDS.items() if counts[status]]
    yield ", ".join(said)


def _wrapped(text: str) -> Iterator[str]:
    """Indent what a finding says; names and URLs stay whole, to be copied."""
    text = printable(text)
    yield from wrap(
        text, 80, initial_indent="    ", subsequent_indent="      ", break_long_words=False, break_on_hyphens=False
    )


_WORDS: Final = {Status.FAILED: "failed", Status.WARNING: "with warnings", Status.UNKNOWN: "could not be looked at"}
