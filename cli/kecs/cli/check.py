"""`kecs proxy check`: what is wrong with a cluster, and what to do about it."""

import json
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final

import click

from kecs.cli.checks import DOCS, Result, run
from kecs.cli.observed import Status
from kecs.core.names import SYSTEM_NAMESPACE

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
@click.option("-n", "--namespace", default=SYSTEM_NAMESPACE, show_default=True, help="Where KECS runs.")
@click.option("--context", default="", help="A context of the kubeconfig. Default: the current one.")
@click.option("--kubeconfig", default="", metavar="FILE", help="Default: KUBECONFIG, else ~/.kube/config.")
@click.option("--probe-namespace", default="default", show_default=True, help="Where the dry run's pod would be made.")
@click.option("--leak-probe", metavar="IMAGE", default="", help="Also run a pod of kecs-cli that tries to get out.")
@click.option(
    "--wait",
    "wait_s",
    metavar="SECONDS",
    type=click.FloatRange(min=0),
    default=0.0,
    help="Look again until nothing fails.",
)
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
def check_command(**flags: Any) -> int:
    """Say what is wrong with a cluster, and what to do about it.

    Nothing is changed: a pod is made in a dry run only. The exit code is 0
    when nothing failed (warnings don't count), 1 when something did.
    """
    from kecs.certs.kube import Kube  # noqa: PLC0415 - `kecs --help` need not load the client
    from kecs.cli.observe import Target, observe  # noqa: PLC0415 - the same

    target = Target(
        kube=Kube.load(kubeconfig=flags["kubeconfig"], context=flags["context"]),
        namespace=flags["namespace"],
        context=flags["context"],
        probe_namespace=flags["probe_namespace"],
        leak_image=flags["leak_probe"],
    )
    deadline = time.monotonic() + flags["wait_s"]
    results = run(observe(target))
    while failed(results) and time.monotonic() < deadline:
        time.sleep(_AGAIN_S)
        results = run(observe(target))
    if flags["output"] == "json":
        click.echo(json.dumps(as_json(results), indent=2))
    else:
        symbols = (sys.stdout.encoding or "").lower().startswith("utf")
        for line in lines(results, symbols=symbols):
            click.echo(line)
    return 1 if failed(results) else 0


def failed(results: Sequence[Result]) -> bool:
    """Say whether anything failed."""
    return any(result.status is Status.FAILED for result in results)


def as_json(results: Sequence[Result]) -> dict[str, Any]:
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
                yield f"    {finding.message}"
                yield f"    hint: {finding.hint}"
        if result.status is not Status.PASSED:
            yield f"    see {DOCS}#{result.check.name}"
    yield ""
    counts = {status: sum(result.status is status for result in results) for status in Status}
    said = [f"{counts[Status.PASSED]} passed"]
    said += [f"{counts[status]} {word}" for status, word in _WORDS.items() if counts[status]]
    yield ", ".join(said)


_WORDS: Final = {Status.FAILED: "failed", Status.WARNING: "with warnings", Status.UNKNOWN: "could not be looked at"}
