"""`kecs proxy tap`: AWS calls as they are made, in all pods with a sidecar."""

from typing import Any

import click

from kecs.cli.live_options import Scope, scoped
from kecs.cli.logs import chosen_of, filtered, followed, note, printer_of


@click.command("tap")
@click.option("-l", "--selector", default="", metavar="LABELS", help="Only pods with these labels. Default: all.")
@click.option(
    "--for", "for_s", type=click.FloatRange(min=0), metavar="SECONDS", help="End after this long. Default: at Ctrl-C."
)
@click.option(
    "--limit", type=click.IntRange(min=1), metavar="CALLS", help="End after so many calls. Default: at Ctrl-C."
)
@filtered
@scoped(everywhere=True)
def tap_command(*, scope: Scope, selector: str, for_s: float | None, limit: int | None, **flags: Any) -> int:
    """Watch AWS calls as they are made, in all pods with a sidecar.

    From now on, until Ctrl-C: calls, and connections that failed to become one.
    Filters may be repeated: any of them is to fit. Pods that come later are taken
    up; 50 are watched at once.

    \b
    Exit codes
      0    --for or --limit was reached
      1    the cluster said no
      2    the command line is wrong
      130  ended by Ctrl-C
    """  # noqa: D301 - click's own mark: the paragraph keeps its lines
    from kecs.cli.live import Part  # noqa: PLC0415 - `kecs --help` need not load the client

    printer = printer_of(calls_only=True, limit=limit, **flags)
    chosen = chosen_of(scope, selector)
    if not chosen:
        note("no pod with a sidecar is there yet")
    return followed(scope, chosen, Part(tail=0), printer, selector=selector, watch=True, for_s=for_s)
