"""`kecs proxy certs`: flags in, exit codes out. What is shown is made by certs_status, certs_rotation, certs_verify."""

import functools
import json
import os
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from kecs.cli.config import CONFIG_HELP

if TYPE_CHECKING:
    from kecs.certs.outcome import Workload
    from kecs.cli.certs_place import Place
    from kecs.cli.certs_status import Line

_FILE: Final = click.Path(path_type=Path)
_OUTPUT: Final = click.Choice(["table", "json", "yaml"])


@click.group("certs")
def certs_group() -> None:
    """Show, replace, export and check the certificates.

    \b
    Which authority a command is about:
      --embedded                          this machine's, of `kecs run`
      --cluster, --context, --kubeconfig,
      --namespace                         the cluster's
      none of them                        the cluster's if KUBECONFIG is set or
                                          in a pod, else this machine's
    """  # noqa: D301 - click's own mark: the paragraph keeps its lines


def _located(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that say whose certificates are meant, and the place that they mean."""

    @click.option("--embedded", is_flag=True, help="This machine's authority.")
    @click.option("--cluster", is_flag=True, help="The cluster's authority.")
    @click.option("--context", default="", metavar="NAME", help="Context of the kubeconfig. Default: its current one.")
    @click.option(
        "--kubeconfig", default="", metavar="FILE", help="The cluster. Default: KUBECONFIG, else ~/.kube/config."
    )
    @click.option("-n", "--namespace", default="", metavar="NAME", help="Namespace of KECS. Default: kecs-system.")
    @click.option("--config", default="", metavar="FILE", help=CONFIG_HELP)
    @functools.wraps(command)
    def located(
        *,
        embedded: bool,
        cluster: bool,
        context: str,
        kubeconfig: str,
        namespace: str,
        config: str,
        **flags: Any,
    ) -> Any:
        from kecs.cli.certs_place import Asked  # noqa: PLC0415 - `kecs --help` need not load the machinery
        from kecs.cli.certs_places import found  # noqa: PLC0415 - the same

        asked = Asked(embedded=embedded, cluster=cluster, context=context, kubeconfig=kubeconfig, namespace=namespace)
        return command(place=found(asked, os.environ, config=config), **flags)

    return located


@certs_group.command("status")
@_located
@click.option("-o", "--output", type=_OUTPUT, default="table", help="How it is written. Default: table.")
def status_command(*, place: "Place", output: str) -> None:
    """Show what exists, how long it is valid and who trusts it."""
    from kecs.cli import certs_status  # noqa: PLC0415 - see above

    found = certs_status.status(place.authority(), place.workloads(), place=place.title, now=_now())
    _show(output, certs_status.as_data(found), certs_status.lines(found))


@certs_group.command("rotate")
@_located
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--wait", is_flag=True, help="Wait until nobody needs the old root, and retire it.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="Wait no longer than this. Default: as long as it takes.",
)
@click.option(
    "--phase",
    type=click.Choice(["prepare", "switch", "retire"]),
    help="Do this act alone. Default: all that can be done now.",
)
@click.option("--force", is_flag=True, help="Go on even if workloads that run break.")
@click.option("--emergency", is_flag=True, help="A key has leaked: replace it at once; workloads must restart.")
@click.option("--yes", is_flag=True, help="Do not ask before --emergency.")
def rotate_command(
    *,
    place: "Place",
    dry_run: bool,
    wait: bool,
    timeout: float | None,
    phase: str | None,
    force: bool,
    emergency: bool,
    yes: bool,
) -> int:
    """Replace the root without a restart: prepare, switch, retire.

    Goes as far as it can; --wait goes to the end. A rotation that was
    interrupted, at whatever point, goes on where it was.

    \b
    Exit codes
      0    all that was asked for is done
      1    an act was refused, or failed: the reasons are written
      2    the command line is wrong
      3    the old root stays trusted: workloads that run need it
      130  interrupted; nothing is half done
    """  # noqa: D301 - click's own mark: the paragraph keeps its lines
    from kecs.certs.outcome import Action  # noqa: PLC0415 - see above
    from kecs.cli.certs_rotation import Wanted  # noqa: PLC0415 - see above
    from kecs.core.errors import UsageError  # noqa: PLC0415 - see above

    if emergency and (phase or wait):
        raise UsageError("--emergency knows neither phases nor waiting", hint="leave out --phase and --wait")
    if timeout is not None and not wait:
        raise UsageError("--timeout is about --wait", hint="add --wait")
    wanted = Wanted(phase=Action(phase) if phase else None, force=force, wait=wait, timeout_s=timeout)
    if emergency:
        return _replaced(place, dry_run=dry_run, yes=yes)
    return _planned(place, wanted) if dry_run else _rotated(place, wanted)


@certs_group.command("export")
@_located
@click.option(
    "-f",
    "--format",
    "form",
    type=click.Choice(["pem", "jks", "pkcs12"]),
    default="pem",
    help="Form of what is written. Default: pem.",
)
@click.option("-O", "--output", "file", type=_FILE, metavar="FILE", help="File to write. Default: standard output.")
@click.option(
    "--password", default="changeit", metavar="PASSWORD", help="Password of a jks or pkcs12 file. Default: changeit."
)
def export_command(*, place: "Place", form: str, file: Path | None, password: str) -> None:
    """Write the roots to trust: certificates, never a key."""
    from kecs.cli.certs_export import Form, spelled  # noqa: PLC0415 - see above
    from kecs.core.errors import MachineError, UsageError  # noqa: PLC0415 - see above

    content = spelled(place.authority().bundle, Form(form), password)
    if file is None:
        if form != Form.PEM and sys.stdout.isatty():
            raise UsageError(f"{form} is no text for a terminal", hint="name a file: -O FILE")
        sys.stdout.buffer.write(content)
        return
    try:
        file.write_bytes(content)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise MachineError(f"{file} can't be written: {why}", hint="name another file") from error


@certs_group.command("verify")
@_located
@click.argument("host")
@click.option("-o", "--output", type=_OUTPUT, default="table", help="How it is written. Default: table.")
def verify_command(*, place: "Place", host: str, output: str) -> int:
    """Check what a workload would be served for HOST.

    It is judged as clients would that trust the old root alone, the new one
    alone, and both. The exit code is 1 when one of them refuses it.
    """
    from kecs.cli import certs_verify  # noqa: PLC0415 - see above

    name = certs_verify.host_of(host)
    found = certs_verify.verified(place.authority(), name, _now())
    _show(output, certs_verify.as_data(found), certs_verify.lines(found))
    return 0 if found.holds else 1


@certs_group.command("import")
@_located
@click.argument("directory", type=_FILE, required=False)
@click.option(
    "--cert", type=_FILE, metavar="FILE", help="The certificate, then what signed it, PEM. Instead of DIRECTORY."
)
@click.option("--key", type=_FILE, metavar="FILE", help="Its private key, PEM, unencrypted.")
@click.option("--ca", type=_FILE, metavar="FILE", help="The root above an issuer, PEM.")
@click.option("--dry-run", is_flag=True, help="Check everything, and change nothing.")
def import_command(
    *, place: "Place", directory: Path | None, cert: Path | None, key: Path | None, ca: Path | None, dry_run: bool
) -> None:
    """Bring a root or an issuer of your own.

    DIRECTORY holds tls.crt, tls.key and ca.crt, as cert-manager's Secrets do.
    A new root becomes the next generation, prepared: `rotate` goes on from
    there. An issuer below the root in use replaces the one that signs.
    """
    from kecs.cli.certs_import import read_fields  # noqa: PLC0415 - see above

    fields, source = read_fields(directory, certificate=cert, key=key, root=ca)
    sentence = place.adopt(fields, source=source, now=_now(), dry_run=dry_run)
    click.echo(f"would be: {sentence}" if dry_run else sentence)


def _planned(place: "Place", wanted: Any) -> int:
    from kecs.cli.certs_rotation import planned  # noqa: PLC0415 - see above

    authority, workloads = place.authority(), place.workloads()
    refused = place.refused(wanted)
    if refused is not None:
        raise refused.error()
    _say_place(place)
    for action, sentence in planned(authority, wanted, workloads):
        click.echo(f"{action.value:<9} {sentence}")
    return 0


def _rotated(place: "Place", wanted: Any) -> int:
    from kecs.cli.certs_progress import Progress  # noqa: PLC0415 - see above
    from kecs.cli.certs_rotation import GO_ON  # noqa: PLC0415 - see above

    _say_place(place)
    with Progress(_console()).shown() as progress:
        try:
            return int(place.rotate(wanted, progress))
        except KeyboardInterrupt:
            progress.quiet()
            click.echo(f"interrupted; {GO_ON}", err=True)
            raise


def _replaced(place: "Place", *, dry_run: bool, yes: bool) -> int:
    from kecs.cli.certs_progress import Progress  # noqa: PLC0415 - see above
    from kecs.core.errors import UsageError  # noqa: PLC0415 - see above

    _say_place(place)
    _list("to be restarted, because they trust what is replaced:", place.workloads())
    if dry_run:
        click.echo("emergency would replace root and issuer, without a cross-certificate")
        return 0
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("--emergency breaks what runs, and nobody can be asked", hint="add --yes if it is meant")
        click.confirm("Replace root and issuer now? What runs fails until it is restarted.", abort=True)
    with Progress(_console()).shown() as progress:
        broken = place.replace(progress)
    _list("restart now:", broken)
    return 0


def _list(title: str, workloads: "Iterable[Workload]") -> None:
    found = [f"  {workload.kind} {workload.name}" for workload in workloads]
    if found:
        click.echo("\n".join([title, *found]))


def _say_place(place: "Place") -> None:
    click.echo(f"authority: {place.title}", err=True)


def _show(output: str, data: Any, lines: "Iterable[Line]") -> None:
    if output == "json":
        click.echo(json.dumps(data, indent=2))
    elif output == "yaml":
        import yaml  # noqa: PLC0415 - see above

        click.echo(yaml.safe_dump(data, sort_keys=False, allow_unicode=True), nl=False)
    else:
        console = _console()
        for line in lines:
            console.print(line.text, style=line.style or None, markup=False, soft_wrap=True)


def _console() -> Any:
    from rich.console import Console  # noqa: PLC0415 - see above

    return Console(highlight=False)


def _now() -> datetime:
    return datetime.now(UTC)
