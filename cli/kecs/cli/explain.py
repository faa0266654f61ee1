"""`kecs proxy explain`: which mode holds for a workload, why, and what would be done to its pods."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from kecs.cli.inject import facts_options, files_option, offline, read_documents
from kecs.cli.live_options import CLUSTER_OPTIONS, scope_of
from kecs.cli.output import FORMATS, write
from kecs.core.errors import UsageError

if TYPE_CHECKING:
    from kecs.cli.inject_review import Reviewed

_CLUSTER: Final = ("context", "kubeconfig", "system_namespace")


def _with_cluster(command: Any) -> Any:
    for option in reversed(CLUSTER_OPTIONS):
        command = option(command)
    return command


@click.command("explain")
@click.argument("pods", metavar="[pod/NAME]...", nargs=-1)
@files_option(required=False)
@click.option(
    "-o", "--output", type=click.Choice(["text", *FORMATS]), default="text", help="How it is written. Default: text."
)
@facts_options
@_with_cluster
def explain_command(*, pods: tuple[str, ...], files: tuple[str, ...], output: str, **given: Any) -> int:
    """Say what the webhook does to pods, and why.

    Every reason is told, not the first: the mode and where it comes from, the
    evidence for AWS in mode auto, obstacles, warnings, and what each container
    would get. Of a pod in the cluster: how it runs now, and what it would be if it
    were made anew; of a manifest with -f: what it would be, without any cluster.

    \b
    Exit codes
      0  explained, whatever the outcome
      1  no such pod, or the cluster said no
      2  the command line is wrong
    """  # noqa: D301 - click's own mark: the paragraph keeps its lines
    if bool(pods) is bool(files):
        raise UsageError(
            "give either pods of the cluster or --filename", hint="kecs proxy explain pod/NAME, or -f FILE"
        )
    cluster = {name: given.pop(name) for name in _CLUSTER}
    if files:
        _manifests(files, output, given)
    else:
        _pods(pods, output, cluster, given)
    return 0


def _manifests(files: Sequence[str], output: str, given: dict[str, Any]) -> None:
    reviewed = [one for each in offline(**given).review(read_documents(files)) for one in each]
    if not reviewed and output == "text":
        click.echo("no workload: nothing in there makes pods", err=True)
    _show(output, [data(one) for one in reviewed], [text(one) for one in reviewed])


def _pods(names: Sequence[str], output: str, cluster: dict[str, Any], given: dict[str, Any]) -> None:
    from kecs.cli import explain_live, explain_pod  # noqa: PLC0415 - `kecs --help` need not load the client

    namespace = given.pop("namespace")
    if stray := [name for name, value in given.items() if value]:
        option = f"--{stray[0].replace('_', '-')}"
        raise UsageError(f"{option} stands for a cluster, and a pod has one", hint=f"leave out {option}")
    scope = scope_of(namespace=namespace, **cluster)
    found = [explain_live.explain(scope, name) for name in names]
    _show(output, [explain_pod.as_data(one) for one in found], [explain_pod.text(one) for one in found])


def _show(output: str, told: list[dict[str, Any]], texts: "list[Iterator[str]]") -> None:
    from kecs.cli.calls import printable  # noqa: PLC0415 - `kecs --help` need not load the client

    if output != "text":
        write(output, told)
        return
    for number, lines in enumerate(texts):
        click.echo(printable("\n".join((*([""] if number else []), *lines))))


def data(one: "Reviewed") -> dict[str, Any]:
    """Explain one workload as data."""
    from kecs.injector import evidence  # noqa: PLC0415 - pydantic takes 0.3 s that other commands save
    from kecs.injector.outcome import Patched, Refused, Untouched  # noqa: PLC0415 - the same
    from kecs.injector.pod import Pod, metadata_problems, spec_problems  # noqa: PLC0415 - the same
    from kecs.injector.reason import SENTENCES  # noqa: PLC0415 - the same

    pod, outcome = one.workload.pod, one.outcome
    sound = not metadata_problems(pod) and not spec_problems(pod)
    words = {Patched: "injected", Untouched: "untouched", Refused: "refused"}
    return {
        "kind": one.workload.kind,
        "name": one.workload.name,
        "namespace": one.namespace,
        "outcome": words[type(outcome)],
        "mode": outcome.mode.value if isinstance(outcome, Patched) else None,
        "reasons": [{"reason": reason.value, "sentence": SENTENCES[reason]} for reason in outcome.reasons],
        "errors": list(outcome.sentences) if isinstance(outcome, Refused) else [],
        "warnings": list(one.warnings),
        "evidence": list(evidence.find(Pod(pod), one.facts)) if sound else [],
        "added": dict(outcome.status) if isinstance(outcome, Patched) else {},
    }


def text(one: "Reviewed") -> Iterator[str]:
    """Explain one workload in lines."""
    found = data(one)
    mode = f", mode {found['mode']}" if found["mode"] else ""
    yield f"{one.title}: {found['outcome']}{mode}"
    for title, lines in sections(found):
        if lines:
            yield f"  {title}:"
            yield from (f"    {line}" for line in lines)


def sections(found: dict[str, Any]) -> tuple[tuple[str, list[str]], ...]:
    """Return what is said of a review, by title."""
    return (
        ("because", [f"{each['sentence']} ({each['reason']})" for each in found["reasons"]]),
        ("errors", found["errors"]),
        ("warnings", found["warnings"]),
        ("evidence for AWS", found["evidence"] or ["none"]),
        ("would be added", list(added(found["added"]))),
    )


def added(record: dict[str, Any]) -> Iterator[str]:
    """Say what a record holds, in lines."""
    words = (
        ("initContainers", "init containers"),
        ("volumes", "volumes"),
        ("imagePullSecrets", "image pull secrets"),
        ("annotations", "annotations"),
    )
    yield from (f"{word}: {', '.join(record[key])}" for key, word in words if key in record)
    for share in record.get("containers", []):
        what = (
            ("variables", share.get("env", [])),
            ("extended", list(share.get("extended", {}))),
            ("mounts", share.get("mounts", [])),
            ("kept", share.get("kept", [])),
        )
        said = "; ".join(f"{word} {', '.join(values)}" for word, values in what if values)
        yield f"to container {', '.join(share['names'])}: {said}"
