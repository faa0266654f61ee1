"""One round of a cluster's authority: bring the records in order, publish what derives, do what is asked for. An edge.

Each round begins from what the API server holds, so one that was cut short, here or in a process before, is finished by
the next. Only the leader runs rounds; whoever has ceased to lead is stopped at the next write.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from kecs.certs import requests, workloads
from kecs.certs.chronicle import Chronicle
from kecs.certs.importing import Importing
from kecs.certs.keeper import Keeper
from kecs.certs.kube import ConflictError, Kube
from kecs.certs.kube_store import SecretStore
from kecs.certs.mailbox import Letter, Mailbox
from kecs.certs.outcome import Action, Refused, State, Step, Workload
from kecs.certs.publisher import Publisher
from kecs.certs.records import Record
from kecs.certs.recovery import check_usable
from kecs.certs.requests import PATIENT, PROPAGATING, Before, Report, Request, Stage, Wish
from kecs.certs.rotation import Scope
from kecs.certs.state import Authority, Phase
from kecs.core.errors import AuthorityError

RESYNC_S: Final = 30.0
"""How often a round runs although nothing seems to have changed."""
LOOK_S: Final = 5.0
"""How often pods are looked at while a request waits for them."""
_SINGLE: Final = frozenset({Wish.PREPARE, Wish.SWITCH, Wish.RETIRE, Wish.RENEW, Wish.EMERGENCY})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What an authority in a cluster is told."""

    namespace: str
    scope: Scope
    rotate_at: float = 0.67
    """The share of its root's life after which it rotates by itself."""
    propagation: timedelta = timedelta(minutes=3)
    """How long after a switch the old root is trusted at least. kubelet brings a changed Secret to kecs-certs within
    one and a half minutes; a pod that trusts the new root alone could not use what a replica behind that signs."""


class Controller:
    """See the module."""

    def __init__(
        self,
        kube: Kube,
        settings: Settings,
        chronicle: Chronicle,
        *,
        may_write: Callable[[], None] = lambda: None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        uptime: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kube, self._settings, self._chronicle = kube, settings, chronicle
        self._clock, self._uptime = clock, uptime
        store = SecretStore(kube=kube, namespace=settings.namespace, may_write=may_write)
        self._keeper = Keeper(store=store, scope=settings.scope, sources={one: store.source(one) for one in Record})
        self._mailbox = Mailbox(kube=kube, namespace=settings.namespace, may_write=may_write)
        self._publisher = Publisher(kube=kube, namespace=settings.namespace, may_write=may_write)
        self._importing = Importing(kube=kube, namespace=settings.namespace, keeper=self._keeper, may_write=may_write)
        self._phase: tuple[int, Phase] | None = None
        self._phase_since = 0.0
        self._cleared = ""
        self.problem = ""
        """What keeps the authority from being used, although the round went well."""

    def round(self) -> float:
        """Do one; return in how many seconds the next is due. Raises KecsError when it could not be done."""
        self.problem = ""
        letter = self._mailbox.read()
        if letter.refused:
            self._say(letter.refused)
        try:
            state = self._converged()
        except AuthorityError as error:
            return self._unreadable(letter, error)
        self._publish(state.authority)
        self._check(state)
        if letter.pending:
            return self._work(letter.pending, letter.report, state)
        self._clear(letter)
        return self._asked_by_itself(letter, state.authority)

    # what holds

    def _converged(self) -> State:
        """Finish what was begun. Pods are listed only where it matters who trusts what: there may be very many."""
        now, before = self._clock(), self._keeper.load()
        running = self._running() if before and _matters(before.authority) else None
        state = self._keeper.converge(now, running or ())
        self._tell(before, state)
        self._chronicle.authority(state.authority, running)
        self._note(state.authority)
        return state

    def _running(self) -> tuple[Workload, ...]:
        return workloads.listed(self._kube)

    def _tell(self, before: State | None, state: State) -> None:
        found, made = before.authority if before else None, state.authority
        if found is None:
            what, message = "authority_created", f"generation {made.generation} is there"
        elif found.issuer_sha256 != made.issuer_sha256:
            what, message = "issuer_renewed", f"generation {made.generation} has a new issuer"
        elif (found.generation, found.phase) != (made.generation, made.phase):
            what, message = "act_finished", f"generation {made.generation} is {made.phase}, as was begun"
        else:
            return
        reason = "".join(word.capitalize() for word in what.split("_"))
        self._chronicle.changed(what, reason, message, generation=made.generation, phase=made.phase.value)

    def _note(self, authority: Authority) -> None:
        """Take note since when this process has seen a phase: no clock of another replica is relied upon."""
        if self._phase != (authority.generation, authority.phase):
            self._phase, self._phase_since = (authority.generation, authority.phase), self._uptime()

    def _publish(self, authority: Authority) -> None:
        """Publish what can be: a root that may not sign for our services can still be rotated away."""
        self._chronicle.written(self._publisher.trust(authority))
        try:
            self._chronicle.written(self._publisher.serving(authority, self._clock()))
        except AuthorityError as error:
            self._trouble(error)

    def _check(self, state: State) -> None:
        try:
            check_usable(state, self._clock(), self._settings.scope, source=self._keeper.sources[Record.ROOT])
        except AuthorityError as error:
            self._trouble(error)

    def _trouble(self, error: AuthorityError) -> None:
        self._chronicle.troubled(error.message, error.hint)
        self.problem = _said(error)

    # what is asked for

    def _unreadable(self, letter: Letter, error: AuthorityError) -> float:
        """Records that can't be used stop everything but what makes or brings new ones."""
        request = letter.pending
        if request is None:
            raise error
        if request.wish in {Wish.EMERGENCY, Wish.IMPORT}:
            return self._work(request, letter.report, None)
        self._say(replace(_begun(request, letter.report, None), stage=Stage.FAILED, reasons=(_said(error),)))
        raise error

    def _work(self, request: Request, report: Report | None, state: State | None) -> float:
        """Take a request as far as it goes now."""
        if report is None:
            before = Before.of(state.authority) if state else self._unknown()
            report = _begun(request, None, before)
            self._say(report)
        if request.wish is Wish.IMPORT:
            return self._import(report, state)
        before = report.before or (Before.of(state.authority) if state else self._unknown())
        while action := requests.left(request.wish, before, state.authority if state else None):
            outcome = self._act(action, request, state)
            if not isinstance(outcome, Step):
                return self._halt(request, report, action, outcome)
            state = outcome.state
            report = self._done(report, action, outcome)
            if request.wish in _SINGLE:
                break
        self._say(self._ended(request, report, state))
        return 0.0

    def _act(self, action: Action, request: Request, state: State | None) -> Step | Refused | float:
        """Do an act; return its refusal, or in how many seconds it may be done."""
        running, now = self._running(), self._clock()
        wait = self._propagating(action, state)
        if wait > 0:
            planned = self._keeper.plan(action, now, workloads=running, force=request.force)
            return planned if isinstance(planned, Refused) else wait
        return self._keeper.rotate(action, now, workloads=running, force=request.force)

    def _propagating(self, action: Action, state: State | None) -> float:
        """Say how long what holds has to go on holding, so that it has reached everybody who needs it.

        Without a cross-certificate that goes for the prepared bundle too: nothing makes up for a stale one.
        """
        uncrossed = state is not None and state.roots.cross is None
        if action is Action.RETIRE or (action is Action.SWITCH and uncrossed):
            age = self._uptime() - self._phase_since
            return self._settings.propagation.total_seconds() - age
        return 0.0

    def _halt(self, request: Request, report: Report, action: Action, outcome: Refused | float) -> float:
        """Report why an act is not done now; return when to look again."""
        if isinstance(outcome, float):
            until = self._clock() + timedelta(seconds=outcome)
            reached = replace(report, stage=Stage.WAITING, reasons=(PROPAGATING,), workloads=())
            said = report.until if report.until > _moment(self._clock()) else _moment(until)
            self._say(replace(reached, until=said))
            return max(outcome, 0.01)
        passes = bool(outcome.workloads) and PATIENT.issuperset(outcome.reasons)
        stage = Stage.WAITING if passes and request.waits else Stage.REFUSED
        reasons = (*(reason.value for reason in outcome.reasons), *outcome.details)
        self._say(replace(report, stage=stage, reasons=reasons, workloads=outcome.workloads, until=""))
        if stage is Stage.REFUSED:
            self._chronicle.acted(action.value, "refused", "; ".join(outcome.sentences), reasons=reasons)
        return LOOK_S if stage is Stage.WAITING else RESYNC_S

    def _done(self, report: Report, action: Action, step: Step) -> Report:
        """Publish what an act has made, then report it."""
        authority = step.state.authority
        self._note(authority)
        self._publish(authority)
        said = requests.sentence(action, authority, changed=step.changed)
        self._chronicle.acted(
            action.value, "done" if step.changed else "unchanged", said.partition(": ")[2],
            generation=authority.generation, phase=authority.phase.value, broken=len(step.broken),
        )  # fmt: skip
        reached = replace(
            report.with_step(said), stage=Stage.RUNNING, reasons=(), workloads=step.broken, until="",
            phase=authority.phase.value,
        )  # fmt: skip
        self._say(reached)
        return reached

    def _ended(self, request: Request, report: Report, state: State | None) -> Report:
        """Say that all is done, and who has to be restarted: after a crash that is found out again."""
        authority = state.authority if state else None
        restart = report.workloads
        if authority and (request.force or request.wish is Wish.EMERGENCY):
            restart = tuple(one for one in self._running() if authority.trust_sha256[0] not in one.trusted)
        phase = authority.phase.value if authority else report.phase
        return replace(report, stage=Stage.DONE, reasons=(), workloads=restart, phase=phase, until="")

    def _import(self, report: Report, state: State | None) -> float:
        """Take an imported root or issuer, then remove the Secret that it came in."""
        try:
            outcome = self._importing.take(state, self._clock(), self._running())
        except AuthorityError as error:
            if self._mailbox.read().pending is None:
                return 0.0  # another replica has done it, and removed the Secret
            self._say(replace(report, stage=Stage.FAILED, reasons=(_said(error),)))
            self._importing.clear()
            return RESYNC_S
        if isinstance(outcome, Refused):
            reasons = (*(reason.value for reason in outcome.reasons), *outcome.details)
            self._say(replace(report, stage=Stage.REFUSED, reasons=reasons, workloads=outcome.workloads))
            self._chronicle.acted(Wish.IMPORT.value, "refused", "; ".join(outcome.sentences), reasons=reasons)
        else:
            authority = outcome.authority
            self._publish(authority)
            said = _taken(authority)
            self._chronicle.acted(Wish.IMPORT.value, "done", said, generation=authority.generation)
            self._say(replace(report.with_step(f"import: {said}"), stage=Stage.DONE, phase=authority.phase.value))
        self._importing.clear()
        return 0.0

    def _clear(self, letter: Letter) -> None:
        """Remove what an import left behind when it was cut short after its report. Once per request."""
        request = letter.request
        if request and request.wish is Wish.IMPORT and request.id != self._cleared:
            self._importing.clear()
            self._cleared = request.id

    def _asked_by_itself(self, letter: Letter, authority: Authority) -> float:
        request = requests.automatic(authority, self._clock(), self._settings.rotate_at)
        if request is None or request.id == letter.last:
            return RESYNC_S
        try:
            self._mailbox.ask(request, letter)
        except ConflictError:
            return 0.0  # somebody has asked for something: that first
        self._chronicle.changed(
            "rotation_due", "RotationDue", f"generation {authority.generation} is due", id=request.id
        )
        return 0.0

    def _unknown(self) -> Before:
        """Say what held, of records that can't be read: only the number can be told."""
        planned = self._keeper.plan(Action.EMERGENCY, self._clock())
        generation = planned.state.authority.generation - 1 if isinstance(planned, Step) else 0
        return Before(generation=generation, phase=Phase.STABLE, issuer_sha256="")

    def _say(self, report: Report) -> None:
        self._mailbox.report(report)


def _matters(authority: Authority) -> bool:
    """Say whether it depends on what pods trust what is done next."""
    return authority.phase is not Phase.STABLE or bool(authority.crosses)


def _begun(request: Request, report: Report | None, before: Before | None) -> Report:
    return report or Report(id=request.id, stage=Stage.RUNNING, wish=request.wish.value, before=before)


def _moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _said(error: AuthorityError) -> str:
    return f"{error.message}; {error.hint}" if error.hint else error.message


def _taken(authority: Authority) -> str:
    if authority.phase is Phase.PREPARED:
        return f"it is generation {authority.generation + 1}, prepared"
    return f"it is in use: generation {authority.generation}"
