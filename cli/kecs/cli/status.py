"""`kecs proxy status`: who is injected, and whether it works. The reading; what it means is in status_view."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import click

from kecs.cli.live_options import Scope, scoped
from kecs.cli.output import FORMATS, write

if TYPE_CHECKING:
    from kecs.cli.status_view import Row

_AT_ONCE: Final = 8
_TAIL: Final = 500


@click.command("status")
@click.option("-l", "--selector", default="", metavar="LABELS", help="Only pods with these labels. Default: all.")
@click.option(
    "-o", "--output", type=click.Choice(["table", *FORMATS]), default="table", help="How it is written. Default: table."
)
@scoped()
def status_command(*, scope: Scope, selector: str, output: str) -> int:
    """Show which pods are injected, and whether their sidecars work.

    A pod counts as injected by its containers, whatever its annotations say.
    TRUST compares its roots with the authority's: active, old (restart it before
    the old root is retired) or lost (no certificate can be made for it). CERT is
    how long its certificate is valid; the sidecar renews it in time.

    \b
    Exit codes
      0  nothing is wrong, or nothing is injected
      1  a sidecar does not work, or the cluster said no
      2  the command line is wrong
    """  # noqa: D301 - click's own mark: the paragraph keeps its lines
    from kecs.cli import status_view  # noqa: PLC0415 - `kecs --help` need not load the client

    rows = _rows(scope, selector)
    if output == "table":
        where = f"namespace {scope.namespace}" if scope.namespace else "any namespace"
        for line in status_view.lines(rows, where=where, with_namespace=not scope.namespace):
            click.echo(click.style(line, fg="red") if line.startswith("  broken") else line)
    else:
        write(output, status_view.as_data(rows))
    return 1 if any(row.broken for row in rows) else 0


def _rows(scope: Scope, selector: str) -> "tuple[Row, ...]":
    from kecs.cli import live, pods, status_view  # noqa: PLC0415 - see above

    chosen = [
        pod
        for pod in sorted(live.listed(scope.kube, scope.path(), selector), key=pods.key)
        if pods.is_running(pod) and pods.mode(pod) is not None
    ]
    roots = _roots(scope)
    now = datetime.now(UTC)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        logs = list(pool.map(lambda pod: _certificate_lines(scope, pod), chosen))
    return tuple(status_view.row(pod, roots=roots, log=log, now=now) for pod, log in zip(chosen, logs, strict=True))


def _roots(scope: Scope) -> Sequence[str]:
    """Read which roots the authority has; none where they can't be read."""
    from kecs.certs.kube import KubeError  # noqa: PLC0415 - see above
    from kecs.core.names import TRUST_CONFIG_MAP  # noqa: PLC0415 - the same

    path = f"/api/v1/namespaces/{scope.system_namespace}/configmaps/{TRUST_CONFIG_MAP}"
    try:
        data = (scope.kube.find(path) or {}).get("data") or {}
    except KubeError:
        return ()
    return tuple(filter(None, str(data.get("trust_sha256", "")).split(",")))


def _certificate_lines(scope: Scope, pod: Any) -> list[bytes] | None:
    """Find what a sidecar has said of its certificate; None where its log can't be read.

    It says so once in many hours: in a busy pod's log that is far from the end, and then all of it is read.
    """
    from kecs.certs.kube import KubeError  # noqa: PLC0415 - see above
    from kecs.cli import live, pods  # noqa: PLC0415 - the same
    from kecs.core.names import SIDECAR_CONTAINER  # noqa: PLC0415 - the same

    if not pods.has_sidecar(pod) or not live.is_started(pod):
        return []
    path = live.log_path(*pods.key(pod))
    try:
        for tail in ({"tailLines": _TAIL}, {}):
            lines = scope.kube.lines(path, container=SIDECAR_CONTAINER, **tail)
            if found := [line for line in lines if b'"certificate_' in line]:
                return found
    except KubeError:
        return None
    return []
