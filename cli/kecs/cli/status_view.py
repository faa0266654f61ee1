"""What `kecs proxy status` shows of a pod, from its manifest, its sidecar's log and the authority's roots. Pure."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from textwrap import wrap
from typing import Any, Final

from kecs.cli import pods
from kecs.cli.calls import printable
from kecs.cli.pods import Pod, Trusting
from kecs.core.names import SIDECAR_CONTAINER
from kecs.core.settings import ProxyMode

_WIDTH: Final = 80
_HEADINGS: Final = ("MODE", "VERSION", "TRUST", "CERT", "READY", "RESTARTS")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """The last that a sidecar said was wrong with its certificate."""

    event: str
    time: str
    reason: str
    message: str
    hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What a sidecar's log says of its certificate."""

    not_after: datetime | None = None
    """None where the log does not say."""
    generation: int | None = None
    trouble: Trouble | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One injected pod."""

    namespace: str
    pod: str
    mode: ProxyMode
    version: str
    trust: Trusting | None
    """None in environment mode, which needs no certificate."""
    certificate: Certificate
    left: timedelta | None
    ready: bool
    restarts: int
    broken: tuple[str, ...]
    """Why it does not work, each reason in a sentence."""


def certificate(log: Iterable[bytes]) -> Certificate:
    """Read the newest of what a sidecar said; lines that are no records are left out."""
    found = Certificate()
    for line in log:
        try:
            record = json.loads(line)
            event = record["event"]
        except (ValueError, KeyError, TypeError):
            continue
        if event == "certificate_issued":
            found = Certificate(not_after=_moment(record.get("not_after")), generation=record.get("generation"))
        elif event in _TROUBLES:
            said = {name: str(record.get(name, "")) for name in ("time", "reason", "message", "hint")}
            ends = _moment(record.get("not_after")) or found.not_after
            trouble = Trouble(event=event, **said)
            found = Certificate(not_after=ends, generation=found.generation, trouble=trouble)
    return found


_TROUBLES: Final = frozenset({"certificate_renewal_failed", "certificate_expiring", "certificate_poll_failed"})


def _moment(text: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment if moment.tzinfo else None


def row(pod: Pod, *, roots: Sequence[str], log: Iterable[bytes] | None, now: datetime) -> Row:
    """Judge one pod, which is injected. `log` is what its sidecar said of certificates; None where it is unknown."""
    namespace, name = pods.key(pod)
    mode = pods.mode(pod)
    if mode is None:
        raise ValueError(name)
    record = pods.recorded(pod)
    found = certificate(log or ())
    left = found.not_after - now if found.not_after else None
    status = pods.status_of(pod, SIDECAR_CONTAINER)
    sidecar = mode is ProxyMode.SIDECAR
    trust = pods.trusting(pod, roots) if sidecar else None
    return Row(
        namespace=namespace,
        pod=name,
        mode=mode,
        version=record.version if record else "?",
        trust=trust,
        certificate=found,
        left=left,
        ready=bool(status.get("ready")) if sidecar else True,
        restarts=int(status.get("restartCount") or 0),
        broken=tuple(_broken(pod, trust, left, found)) if sidecar else (),
    )


def _broken(pod: Pod, trust: Trusting | None, left: timedelta | None, found: Certificate) -> Iterator[str]:
    if pod["metadata"].get("deletionTimestamp"):
        return
    if trust is Trusting.LOST:
        yield "it trusts no root of the authority: delete it, so that it is made anew"
    if left is not None and left <= timedelta():
        yield "its certificate has ended"
    status = pods.status_of(pod, SIDECAR_CONTAINER)
    waiting = (status.get("state") or {}).get("waiting") or {}
    if waiting.get("reason") in _STUCK:
        yield f"the sidecar waits: {waiting['reason']}"
    elif "terminated" in (status.get("state") or {}):
        yield f"the sidecar has ended with exit code {status['state']['terminated'].get('exitCode')}"
    elif "running" in (status.get("state") or {}) and not status.get("ready") and status.get("started"):
        yield "the sidecar runs and is not ready"
    elif found.not_after is None and found.trouble is not None:
        yield "the sidecar has no certificate yet"


_STUCK: Final = frozenset(
    {
        "CrashLoopBackOff",
        "ImagePullBackOff",
        "ErrImagePull",
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
        "ErrImageNeverPull",
        "InvalidImageName",
    }
)


def as_data(rows: Iterable[Row]) -> dict[str, Any]:
    """Spell it for programs."""
    return {"pods": [_data(one) for one in rows]}


def _data(one: Row) -> dict[str, Any]:
    found = one.certificate
    trouble = found.trouble
    return {
        "namespace": one.namespace,
        "name": one.pod,
        "mode": one.mode.value,
        "version": one.version,
        "trust": one.trust.value if one.trust else None,
        "certificate": {
            "generation": found.generation,
            "not_after": found.not_after.isoformat() if found.not_after else None,
            "seconds_left": int(one.left.total_seconds()) if one.left is not None else None,
        },
        "last_error": {
            "time": trouble.time, "event": trouble.event, "reason": trouble.reason, "message": trouble.message,
            "hint": trouble.hint,
        } if trouble else None,
        "ready": one.ready,
        "restarts": one.restarts,
        "broken": list(one.broken),
    }  # fmt: skip


def lines(rows: Sequence[Row], *, where: str, with_namespace: bool) -> Iterator[str]:
    """Write the table, and under each pod what is wrong with it. A name that does not fit has a line of its own."""
    if not rows:
        yield f"no running pod is injected in {where}"
        return
    cells = [_HEADINGS, *(_cells(one) for one in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(_HEADINGS))]
    names = ["POD", *(f"{one.namespace}/{one.pod}" if with_namespace else one.pod for one in rows)]
    room = _WIDTH - sum(widths) - 2 * len(widths)
    width = min(room, max(map(len, names)))
    for number, (name, line) in enumerate(zip(names, cells, strict=True)):
        rest = "  ".join(f"{cell:<{size}}" for cell, size in zip(line, widths, strict=True)).rstrip()
        if len(name) > width:
            yield name
            name = ""  # noqa: PLW2901 - it has been written
        yield f"{name:<{width}}  {rest}"
        if number:
            yield from _remarks(rows[number - 1])


def _remarks(one: Row) -> Iterator[str]:
    said = [f"broken: {reason}" for reason in one.broken]
    trouble = one.certificate.trouble
    if trouble:
        said.append(f"{trouble.time[:19]}Z {trouble.event}: {trouble.message or trouble.reason}")
        said += [f"hint: {trouble.hint}"] if trouble.hint else []
    for text in said:
        yield from wrap(printable(text), _WIDTH, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False)


def _cells(one: Row) -> tuple[str, ...]:
    return (
        one.mode.value,
        one.version,
        one.trust.value if one.trust else "-",
        spelled(one.left) if one.mode is ProxyMode.SIDECAR else "-",
        "yes" if one.ready else "no",
        str(one.restarts),
    )


def spelled(left: timedelta | None) -> str:
    """Spell how long something is valid."""
    if left is None:
        return "?"
    seconds = int(left.total_seconds())
    if seconds <= 0:
        return "ended"
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
