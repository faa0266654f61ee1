"""`kecs proxy logs`: what sidecars have said, of one pod or of many, as it is or as it comes."""

import sys
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click

from kecs.cli.live_options import Scope, scoped
from kecs.core.errors import KecsError, UsageError

if TYPE_CHECKING:
    from kecs.cli.calls import Filter, Line, Spelling
    from kecs.cli.live import Part
    from kecs.cli.pods import Pod

_OUTPUT: Final = click.Choice(["text", "json"])
_FILTERS: Final = (
    click.option("--service", "services", multiple=True, metavar="NAME", help="Only calls of this service, e.g. s3."),
    click.option(
        "--operation", "operations", multiple=True, metavar="NAME", help="Only calls of this operation; * is any text."
    ),
    click.option(
        "--status",
        "statuses",
        multiple=True,
        metavar="STATUS",
        help="Only calls that ended so: 4xx, 5xx, 404, error or ok.",
    ),
    click.option("--raw", is_flag=True, help="Write lines as the sidecar did."),
    click.option("-o", "--output", type=_OUTPUT, default="text", help="json: an object per line. Default: text."),
)


def filtered(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that say which lines are wanted, and how they are written."""
    for option in reversed(_FILTERS):
        command = option(command)
    return command


@click.command("logs")
@click.argument("pod", required=False, default="")
@click.option("-l", "--selector", default="", metavar="LABELS", help="All pods with these labels, in the place of POD.")
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@click.option("--since", default="", metavar="DURATION", help="Only what is newer, e.g. 10m. Default: all there is.")
@click.option(
    "--tail",
    type=click.IntRange(min=0),
    metavar="LINES",
    help="Only so many lines at the end of each log. Default: all.",
)
@click.option("--previous", is_flag=True, help="The log of the sidecar before its last restart.")
@filtered
@scoped()
def logs_command(*, scope: Scope, pod: str, selector: str, follow: bool, **flags: Any) -> int:
    """Show what the sidecar of a pod, or of several, has logged.

    A line per call, and one with a hint per connection that failed. Filters may be
    repeated: any of them is to fit. With several pods each line says whose it is.
    A log that is followed goes on over restarts and lost connections; with -l, pods
    that come later are followed too.

    \b
    Exit codes
      0    done; with -f POD: the pod has ended
      1    no such pod, or it has no sidecar, or the cluster said no
      2    the command line is wrong
      130  ended by Ctrl-C
    """  # noqa: D301 - click's own mark: the paragraph keeps its lines
    from kecs.cli.calls import seconds_ago  # noqa: PLC0415 - `kecs --help` need not load the client
    from kecs.cli.live import Part  # noqa: PLC0415 - the same

    if bool(pod) is bool(selector):
        raise UsageError("give either a pod's name or --selector", hint="kecs proxy logs POD, or -l app=shop")
    if flags["previous"] and follow:
        raise UsageError("--previous is over: there is nothing to follow", hint="leave out --follow")
    part = Part(since_s=seconds_ago(flags["since"]), tail=flags["tail"], previous=flags["previous"])
    printer = printer_of(**flags)
    chosen: tuple[Pod, ...]
    if pod:
        chosen = (one_of(scope, pod),)
    else:
        chosen = chosen_of(scope, selector)
        if not chosen and not follow:
            raise KecsError(f"no pod with a sidecar has {selector}", hint="`kecs proxy status -A` lists them all")
    if follow:
        return followed(scope, chosen, part, printer, selector=selector)
    return _as_is(scope, chosen, part, printer, alone=bool(pod))


def _as_is(scope: Scope, chosen: "tuple[Pod, ...]", part: "Part", printer: "Printer", *, alone: bool) -> int:
    from kecs.cli.live import is_started, read  # noqa: PLC0415 - see above

    failures: list[str] = []
    readable = chosen if alone else tuple(one for one in chosen if is_started(one))
    printer.show(read(scope.kube, readable, part, failures.append), several=lambda: len(chosen) > 1)
    for failure in failures:
        note(failure)
    return 1 if failures else 0


@dataclass(slots=True, kw_only=True)
class Printer:
    """Writes the lines that are wanted."""

    wanted: "Filter"
    spelling: "Spelling"
    narrow: bool = False
    limit: int | None = None

    def show(self, lines: "Iterable[Line]", *, several: Callable[[], bool]) -> None:
        """Write lines until they end, or there were enough."""
        from kecs.cli.calls import spelled  # noqa: PLC0415 - see above

        count = 0
        for line in lines:
            if self.wanted.wants(line):
                click.echo(spelled(line, self.spelling, several=several(), narrow=self.narrow))
                count += 1
                if count == self.limit:
                    return


def printer_of(*, calls_only: bool = False, limit: int | None = None, **flags: Any) -> Printer:
    """Read the filters and the spelling."""
    from kecs.cli.calls import Filter, Spelling  # noqa: PLC0415 - see above

    if flags["raw"] and flags["output"] == "json":
        raise UsageError("--raw and --output json are two ways to write a line", hint="leave out one of them")
    wanted = Filter(
        services=flags["services"], operations=flags["operations"], statuses=flags["statuses"], calls_only=calls_only
    )
    spelling = Spelling.RAW if flags["raw"] else Spelling(flags["output"])
    return Printer(wanted=wanted, spelling=spelling, narrow=sys.stdout.isatty(), limit=limit)


def one_of(scope: Scope, name: str) -> "Pod":
    """Read a pod that must have a sidecar."""
    from kecs.cli.live import found  # noqa: PLC0415 - see above
    from kecs.cli.pods import has_sidecar, title  # noqa: PLC0415 - the same

    pod = found(scope.kube, scope.namespace, name)
    if not has_sidecar(pod):
        raise KecsError(f"pod {title(pod)} has no sidecar", hint=f"`kecs proxy explain pod/{name}` says why")
    return pod


def chosen_of(scope: Scope, selector: str) -> "tuple[Pod, ...]":
    """List the pods with a sidecar, those that run first; no more than can be read at once."""
    from kecs.cli.live import PODS_MAX, listed  # noqa: PLC0415 - see above
    from kecs.cli.pods import has_sidecar, is_running, key  # noqa: PLC0415 - the same

    having = (one for one in listed(scope.kube, scope.path(), selector) if has_sidecar(one))
    pods = sorted(having, key=lambda one: (not is_running(one), key(one)))
    if len(pods) > PODS_MAX:
        note(f"{len(pods)} pods have a sidecar: the first {PODS_MAX} are shown; narrow it down with -n or -l")
    return tuple(pods[:PODS_MAX])


def followed(
    scope: Scope,
    chosen: "tuple[Pod, ...]",
    part: "Part",
    printer: Printer,
    *,
    selector: str = "",
    watch: bool = False,
    for_s: float | None = None,
) -> int:
    """Write what comes; with a selector, or when told to watch, of pods that come later too."""
    from kecs.cli.live import Following, Watcher, is_started  # noqa: PLC0415 - see above

    watch = watch or bool(selector)
    following = Following(kube=scope.kube, part=part, complain=note)
    following.start([one for one in chosen if not watch or is_started(one)])
    until = None if for_s is None else time.monotonic() + for_s
    with closing(following):
        if watch:
            watcher = Watcher(scope.kube, scope.path(), selector, following.take_up)
            watcher.start()
            with closing(watcher):
                printer.show(following.lines(until=until, forever=True), several=lambda: following.several)
        else:
            printer.show(following.lines(until=until), several=lambda: False)
    return 1 if following.failed else 0


def note(message: str) -> None:
    """Say something that is no line of a log."""
    click.echo(f"note: {message}", err=True)
