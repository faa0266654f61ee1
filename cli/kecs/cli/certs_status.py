"""What `kecs proxy certs status` shows, from the values that an authority consists of. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cryptography import x509
from cryptography.x509.oid import NameOID

from kecs.certs.authority import Kind
from kecs.certs.bundle import fingerprint
from kecs.certs.outcome import Workload
from kecs.certs.state import Authority, Phase

_SUBJECT_WIDTH: Final = 27
_WORKLOAD_WIDTH: Final = 58
_SHA_SHOWN: Final = 12
_SOON: Final = timedelta(days=30)
_VERY_SOON: Final = timedelta(days=7)
_HOURS_BELOW: Final = timedelta(days=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One certificate."""

    kind: Kind
    generation: int
    certificate: x509.Certificate
    workloads: int | None = None
    """How many workloads trust it; None for what is no root."""

    @property
    def subject(self) -> str:
        """The common name, or the whole subject of an imported certificate without one."""
        names = self.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return str(names[0].value) if names else self.certificate.subject.rfc4514_string()

    def left(self, now: datetime) -> timedelta:
        """How long it is still valid."""
        return self.certificate.not_valid_after_utc - now


@dataclass(frozen=True, slots=True, kw_only=True)
class Trusting:
    """A workload, and the generations that it trusts; what is known of none is left out."""

    workload: Workload
    generations: tuple[int, ...]
    waited_for: bool
    """A root that it needs is about to leave."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What exists, at a moment."""

    place: str
    authority: Authority
    rows: tuple[Row, ...]
    trusting: tuple[Trusting, ...]
    now: datetime

    @property
    def waited_for(self) -> tuple[Trusting, ...]:
        """The workloads that a retirement waits for."""
        return tuple(one for one in self.trusting if one.waited_for)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of text, and how a terminal shows it."""

    text: str
    style: str = ""


def status(authority: Authority, workloads: Sequence[Workload], *, place: str, now: datetime) -> Status:
    """Gather what is shown."""
    numbers = generations(authority)
    known = {fingerprint(root): number for number, root in numbers.items()}
    newest = max(numbers)
    leaving = authority.phase is not Phase.STABLE
    trusting = []
    for workload in workloads:
        trusted = tuple(sorted(known[one] for one in workload.trusted if one in known))
        waited_for = newest not in trusted if leaving else authority.generation not in trusted
        trusting.append(Trusting(workload=workload, generations=trusted, waited_for=waited_for))
    return Status(
        place=place, authority=authority, rows=tuple(_rows(authority, trusting)), trusting=tuple(trusting), now=now
    )


def generations(authority: Authority) -> dict[int, x509.Certificate]:
    """Number the roots of a bundle: beside the active one stands the next while it is prepared, else the one before."""
    active = authority.generation
    other = active + 1 if authority.phase is Phase.PREPARED else active - 1
    return dict(zip((active, other), authority.bundle, strict=False))


def next_step(found: Status) -> str:
    """Say in a sentence what comes next."""
    waiting = len(found.waited_for)
    match found.authority.phase:
        case Phase.STABLE:
            stale = f"; {counted(waiting, 'workload')} must be restarted to trust it" if waiting else ""
            return f"nothing is under way{stale}"
        case Phase.PREPARED:
            return "switch: the new generation is to sign"
        case Phase.SWITCHED if waiting:
            return f"retire waits for {counted(waiting, 'workload')}: the newest root is not trusted there"
        case _:
            return "retire: nobody needs the old root any more"


def counted(count: int, word: str) -> str:
    """Spell a number of things."""
    return f"{count} {word}{'' if count == 1 else 's'}"


def as_data(found: Status) -> dict[str, Any]:
    """Spell it for programs."""
    authority = found.authority
    return {
        "place": found.place,
        "generation": authority.generation,
        "phase": authority.phase.value,
        "since": _moment(authority.since),
        "next": next_step(found),
        "certificates": [
            {
                "kind": row.kind.value,
                "generation": row.generation,
                "subject": row.certificate.subject.rfc4514_string(),
                "sha256": fingerprint(row.certificate),
                "not_before": _moment(row.certificate.not_valid_before_utc),
                "not_after": _moment(row.certificate.not_valid_after_utc),
                "days_left": row.left(found.now).days,
                **({} if row.workloads is None else {"workloads": row.workloads}),
            }
            for row in found.rows
        ],
        "workloads": [
            {
                "kind": one.workload.kind,
                "name": one.workload.name,
                "generations": list(one.generations),
                "trust_sha256": list(one.workload.trusted),
                "waited_for": one.waited_for,
            }
            for one in found.trusting
        ],
    }


def lines(found: Status) -> list[Line]:
    """Spell it for people, in 80 columns."""
    authority = found.authority
    shown = [
        Line(text=f"authority  {found.place}"),
        Line(text=f"phase      {authority.phase.value}, since {authority.since:%Y-%m-%d %H:%M}Z"),
        Line(text=f"next       {next_step(found)}"),
        Line(text=""),
        Line(
            text=f"{'CERTIFICATE':<{11 + _SUBJECT_WIDTH}}  {'SHA-256':<12}  {'VALID UNTIL':<11} {'LEFT':>6}  TRUST",
            style="bold",
        ),
    ]
    for number in sorted({row.generation for row in found.rows}, reverse=True):
        rows = [row for row in found.rows if row.generation == number]
        shown.append(Line(text=f"generation {number}, {_role(authority, number)}"))
        shown += [_row_line(row, found.now, last=row is rows[-1]) for row in rows]
    return shown + _workload_lines(found)


def _rows(authority: Authority, trusting: Sequence[Trusting]) -> Iterable[Row]:
    for number, root in sorted(generations(authority).items(), reverse=True):
        count = sum(number in one.generations for one in trusting)
        yield Row(kind=Kind.ROOT, generation=number, certificate=root, workloads=count)
        if number == authority.generation:
            for certificate in (authority.issuer.certificate, *authority.chain):
                yield Row(kind=Kind.ISSUER, generation=number, certificate=certificate)
            for certificate in authority.crosses:
                yield Row(kind=Kind.CROSS, generation=number, certificate=certificate)


def _role(authority: Authority, number: int) -> str:
    if number == authority.generation:
        return "signs"
    return "signs next" if number > authority.generation else "trusted until it is retired"


def _row_line(row: Row, now: datetime, *, last: bool) -> Line:
    left = row.left(now)
    branch = "└─" if last else "├─"
    subject = cut(row.subject, _SUBJECT_WIDTH)
    sha = fingerprint(row.certificate)[:_SHA_SHOWN]
    count = "" if row.workloads is None else str(row.workloads)
    text = (
        f"{branch} {row.kind.value:<7} {subject:<{_SUBJECT_WIDTH}}  {sha}"
        f"  {row.certificate.not_valid_after_utc:%Y-%m-%d}  {_left(left):>6}  {count:>5}"
    )
    return Line(text=text.rstrip(), style="red" if left < _VERY_SOON else "yellow" if left < _SOON else "")


def _workload_lines(found: Status) -> list[Line]:
    if not found.trusting:
        return [Line(text=""), Line(text="no workload is running")]
    shown = [Line(text=""), Line(text=f"{'WORKLOAD':<{_WORKLOAD_WIDTH}}  TRUSTS", style="bold")]
    word = "  restart it" if found.authority.phase is Phase.STABLE else "  waited for"
    for one in found.trusting:
        name = cut(f"{one.workload.kind} {one.workload.name}", _WORKLOAD_WIDTH)
        trusted = ", ".join(map(str, one.generations)) or "none"
        mark = word if one.waited_for else ""
        shown.append(Line(text=f"{name:<{_WORKLOAD_WIDTH}}  {trusted}{mark}", style="yellow" if one.waited_for else ""))
    return shown


def cut(text: str, width: int) -> str:
    """Shorten a text to a width, and show that it was."""
    return text if len(text) <= width else text[: width - 1] + "…"


def _left(left: timedelta) -> str:
    if left <= timedelta():
        return "ended"
    return f"{left // timedelta(hours=1)} h" if left < _HOURS_BELOW else f"{left.days} d"


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
