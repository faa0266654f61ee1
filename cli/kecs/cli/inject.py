"""`kecs proxy inject` and `uninject`: the webhook's work on files, without a cluster."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from kecs.core.errors import UsageError

if TYPE_CHECKING:
    from kecs.cli.inject_documents import Document
    from kecs.cli.inject_review import Offline, Reviewed, Undone
    from kecs.injector.config import Injection, Trust

_REFUSED: Final = 1
_MODES: Final = ("sidecar", "environment", "auto")


def files_option(*, required: bool = True) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add the option that names manifests."""
    return click.option(
        "-f",
        "--filename",
        "files",
        multiple=True,
        required=required,
        type=click.Path(exists=True, dir_okay=False, allow_dash=True),
        help="Manifest, YAML or JSON; - for standard input. May be repeated.",
    )


output_option = click.option(
    "-o", "--output", type=click.Choice(["yaml", "json"]), help="How it is written. Default: each document as it came."
)
_FACTS: Final = (
    click.option(
        "--settings",
        type=click.File("r", encoding="utf-8"),
        metavar="FILE",
        help="The injector's settings, as the chart writes them.",
    ),
    click.option(
        "--trust-roots",
        type=click.File("rb"),
        metavar="FILE",
        help="The authority's roots, PEM; `kecs proxy certs export` writes them.",
    ),
    click.option("--init-image", metavar="IMAGE", help="Image of the init container. Default: that of the settings."),
    click.option("--sidecar-image", metavar="IMAGE", help="Image of the sidecar. Default: that of the settings."),
    click.option("--endpoint", metavar="URL", help="Who answers AWS calls. Default: that of the settings."),
    click.option(
        "-n", "--namespace", metavar="NAME", default="", help="Namespace of what names none. Default: default."
    ),
    click.option(
        "--mode",
        type=click.Choice(_MODES),
        help="Do as if every namespace asked for this mode. Default: what manifests and settings say.",
    ),
    click.option("--server-version", metavar="X.Y", help="Version of the API server, e.g. 1.34."),
)


def facts_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that stand for a cluster."""
    for option in reversed(_FACTS):
        command = option(command)
    return command


@click.command("inject")
@files_option()
@output_option
@facts_options
def inject_command(*, files: tuple[str, ...], output: str | None, **given: Any) -> int:
    """Write manifests with the proxy in them, as the webhook would.

    Pods, Deployments, Jobs, CronJobs and their like, in lists and files of
    several documents. What does not change stays as it is, comments and all. A
    line per workload tells on standard error what was done, and why. If one is
    refused, nothing is written, and the exit code is 1.
    """
    from kecs.cli.inject_review import injected, lacks_roots, refusals  # noqa: PLC0415 - as below

    documents = read_documents(files)
    reviewed = offline(**given).review(documents)
    flat = [one for each in reviewed for one in each]
    _say(line for one in flat for line in _report(one))
    if refused := refusals(reviewed):
        if lacks_roots(refused):
            click.echo("hint: give the roots with --trust-roots; `kecs proxy certs export` writes them", err=True)
        return _REFUSED
    if not flat:
        _say(["no workload: nothing in there makes pods"])
    changed = injected(documents, reviewed)
    _say(_lost(documents, changed))
    _write(changed, output or "")
    return 0


@click.command("uninject")
@files_option()
@output_option
def uninject_command(*, files: tuple[str, ...], output: str | None) -> int:
    """Write manifests as they were before they were injected."""
    from kecs.cli.inject_review import undone  # noqa: PLC0415 - as below

    documents = read_documents(files)
    pairs = [undone(document) for document in documents]
    found = [one for _, each in pairs for one in each]
    _say(line for one in found for line in _undone(one))
    if any(one.problems for one in found):
        return _REFUSED
    changed = [document for document, _ in pairs]
    _say(_lost(documents, changed))
    _write(changed, output or "")
    return 0


def read_documents(files: Sequence[str]) -> tuple["Document", ...]:
    """Read all files, in order."""
    from kecs.cli.inject_documents import read  # noqa: PLC0415 - as below

    documents: list[Document] = []
    for name in files:
        source = "standard input" if name == "-" else name
        with click.open_file(name, "rb") as file:
            content = file.read()
        try:
            documents.extend(read(content.decode(), source=source))
        except UnicodeDecodeError as error:
            raise UsageError(f"{source} is not UTF-8", hint="save it as UTF-8") from error
    return tuple(documents)


def offline(**given: Any) -> "Offline":
    """Build what stands for a cluster from the options."""
    # pydantic and cryptography take 0.3 s that other commands save
    from kecs.cli.inject_review import Offline  # noqa: PLC0415
    from kecs.core.settings import ProxyMode  # noqa: PLC0415
    from kecs.injector.config import Facts  # noqa: PLC0415

    return Offline(
        config=_injection(given),
        facts=Facts(trust=_trust(given["trust_roots"]), server_version=_version(given["server_version"])),
        namespace=given["namespace"],
        mode=ProxyMode(given["mode"]) if given["mode"] else None,
    )


def _injection(given: dict[str, Any]) -> "Injection":
    from dataclasses import replace  # noqa: PLC0415
    from importlib.metadata import version  # noqa: PLC0415

    from kecs.injector.config import Endpoint  # noqa: PLC0415
    from kecs.injector.document import Document  # noqa: PLC0415

    file = given["settings"]
    document = Document.parse(file.read(), source=file.name) if file else Document()
    config = document.injection(version("kecs"))
    images = replace(
        config.images,
        init=given["init_image"] or config.images.init,
        sidecar=given["sidecar_image"] or config.images.sidecar,
    )
    url = given["endpoint"]
    endpoint = Endpoint.parse(url, source="--endpoint") if url else config.endpoint
    return replace(config, images=images, endpoint=endpoint)


def _trust(file: Any) -> "Trust | None":
    from kecs.injector.config import Trust  # noqa: PLC0415

    return Trust.from_pem(file.read(), source=file.name) if file else None


def _version(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    parts = text.removeprefix("v").split(".")[:2]
    if len(parts) != 2 or not all(part.isdecimal() for part in parts):  # noqa: PLR2004 - major and minor
        raise UsageError(f"--server-version is {text!r}", hint="give major and minor, e.g. 1.34")
    return int(parts[0]), int(parts[1])


def _report(one: "Reviewed") -> Iterator[str]:
    from kecs.injector.outcome import Patched, Refused, Untouched  # noqa: PLC0415
    from kecs.injector.reason import SENTENCES  # noqa: PLC0415

    because = "; ".join(f"{SENTENCES[reason]} ({reason})" for reason in one.outcome.reasons)
    match one.outcome:
        case Patched(mode=mode):
            yield f"{one.title}: injected, mode {mode}: {because}"
        case Untouched():
            yield f"{one.title}: untouched: {because}"
        case Refused(sentences=sentences):
            yield f"{one.title}: refused ({', '.join(one.outcome.reasons)})"
            yield from (f"  error: {sentence}" for sentence in sentences)
    yield from (f"  warning: {warning}" for warning in one.warnings)


def _undone(one: "Undone") -> Iterator[str]:
    title = f"{one.workload.kind.lower()}/{one.workload.name or '(no name)'}"
    if one.problems:
        yield f"{title}: refused"
        yield from (f"  error: {problem}" for problem in one.problems)
    else:
        yield f"{title}: {'taken back' if one.steps else 'untouched: it is not injected'}"


def _lost(before: Iterable["Document"], after: Iterable["Document"]) -> Iterator[str]:
    lost = sum(one.has_comments for one, other in zip(before, after, strict=True) if one is not other)
    if lost:
        yield f"{lost} changed document{'s' if lost > 1 else ''} had comments inside, which are not kept"


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        click.echo(line, err=True)


def _write(documents: Sequence["Document"], output: str) -> None:
    from kecs.cli.inject_documents import spell  # noqa: PLC0415

    click.echo(spell(documents, output).encode(), nl=False)
