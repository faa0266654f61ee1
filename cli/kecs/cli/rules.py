"""`kecs proxy rules`: what the init container of a pod has installed, from its log."""

from typing import TYPE_CHECKING

import click

from kecs.cli.live_options import Scope, scoped
from kecs.cli.output import FORMATS, write
from kecs.core.errors import KecsError
from kecs.core.names import INIT_CONTAINER

if TYPE_CHECKING:
    from kecs.cli.pods import Pod


@click.command("rules")
@click.argument("pod")
@click.option("--raw", is_flag=True, help="Write them as the init container did: input of iptables-restore.")
@click.option(
    "-o", "--output", type=click.Choice(["text", *FORMATS]), default="text", help="How it is written. Default: text."
)
@scoped(one_pod=True)
def rules_command(*, scope: Scope, pod: str, raw: bool, output: str) -> int:
    """Show which redirect rules a pod's init container installed.

    From the init container's log: nothing is run in the pod. Each rule with what it
    applies to, where that goes, and why.

    \b
    Exit codes
      0  rules are installed
      1  none are, or the log does not say, or the cluster said no
      2  the command line is wrong
    """  # noqa: D301 - click's own mark: the paragraph keeps its lines
    from kecs.cli import rules_view  # noqa: PLC0415 - `kecs --help` need not load the client
    from kecs.cli.calls import printable  # noqa: PLC0415 - the same
    from kecs.cli.live import found  # noqa: PLC0415 - the same
    from kecs.cli.pods import key, title  # noqa: PLC0415 - the same

    wanted = found(scope.kube, scope.namespace, pod)
    log = _log(scope, wanted)
    installed = rules_view.read(log)
    if not installed.backend and not installed.error:
        raise KecsError(
            f"the log of {INIT_CONTAINER} in pod {title(wanted)} tells of no rules",
            hint="the node may have dropped it: pods made anew have one, and `kubectl describe pod` says how it ended",
        )
    if raw:
        click.echo(log, nl=False)
    elif output == "text":
        for line in rules_view.lines(title(wanted), installed):
            click.echo(printable(line))
    else:
        write(output, rules_view.as_data(key(wanted), installed))
    return 1 if installed.error else 0


def _log(scope: Scope, pod: "Pod") -> str:
    """Read the log of an init container that has run."""
    from kecs.cli.live import log_path  # noqa: PLC0415 - see above
    from kecs.cli.pods import has_init, key, status_of, title  # noqa: PLC0415 - the same

    if not has_init(pod):
        raise KecsError(
            f"pod {title(pod)} has no init container of ours", hint=f"`kecs proxy explain pod/{key(pod)[1]}` says why"
        )
    status = status_of(pod, INIT_CONTAINER)
    waiting = (status.get("state") or {"waiting": {}}).get("waiting")
    if waiting is not None and not status.get("restartCount"):
        reason = waiting.get("reason") or "the pod is not on a node yet"
        raise KecsError(f"{INIT_CONTAINER} of pod {title(pod)} has not run: {reason}", hint="`kubectl describe pod`")
    return scope.kube.text(log_path(*key(pod)), container=INIT_CONTAINER).decode(errors="replace")
