"""`kecs proxy explain`: which mode holds for a workload, why, and what would be done to its pods."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from kecs.cli.inject import facts_options, files_option, offline, read_documents

if TYPE_CHECKING:
    from kecs.cli.inject_review import Reviewed


@click.command("explain")
@files_option
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@facts_options
def explain_command(*, files: tuple[str, ...], output: str, **given: Any) -> None:
    """Say what the webhook would do to workloads, and why.

    Every reason is told, not the first: the mode and where it comes from, the
    evidence for AWS in mode auto, obstacles, warnings, and what each container
    would get.
    """
    reviewed = [one for each in offline(**given).review(read_documents(files)) for one in each]
    if output == "json":
        click.echo(json.dumps([data(one) for one in reviewed], indent=2, ensure_ascii=False))
        return
    if not reviewed:
        click.echo("no workload: nothing in there makes pods", err=True)
    for number, one in enumerate(reviewed):
        click.echo("\n".join((*([""] if number else []), *text(one))))


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
    sections = (
        ("because", [f"{each['sentence']} ({each['reason']})" for each in found["reasons"]]),
        ("errors", found["errors"]),
        ("warnings", found["warnings"]),
        ("evidence for AWS", found["evidence"] or ["none"]),
        ("would be added", list(_added(found["added"]))),
    )
    for title, lines in sections:
        if lines:
            yield f"  {title}:"
            yield from (f"    {line}" for line in lines)


def _added(added: dict[str, Any]) -> Iterator[str]:
    words = (
        ("initContainers", "init containers"),
        ("volumes", "volumes"),
        ("imagePullSecrets", "image pull secrets"),
        ("annotations", "annotations"),
    )
    yield from (f"{word}: {', '.join(added[key])}" for key, word in words if key in added)
    for share in added.get("containers", []):
        what = (
            ("variables", share.get("env", [])),
            ("extended", list(share.get("extended", {}))),
            ("mounts", share.get("mounts", [])),
            ("kept", share.get("kept", [])),
        )
        said = "; ".join(f"{word} {', '.join(values)}" for word, values in what if values)
        yield f"to container {', '.join(share['names'])}: {said}"
