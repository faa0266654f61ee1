"""Rotation: what each act makes of the records, and when it is refused. Pure but for the keys it draws.

    stable ──prepare──► prepared ──switch──► switched ──retire──► stable, one generation on
       ▲                    │                    │                  │
       └────────────────────┴─── emergency ──────┴──────────────────┘  a new generation at once, uncrossed

Every running workload has to verify every chain that its sidecar is served, whatever roots it was told to trust when it
began. So the old generation is trusted until no workload needs it, and the new one is served with a certificate that
the old root signed. An act that has been done already is done again to no effect.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509

from kecs.certs.adoption import Import, check_import, is_valid
from kecs.certs.authority import ROOT_LIFETIME, Signer, issue_cross, issue_issuer, issue_root
from kecs.certs.bundle import fingerprint, ordered
from kecs.certs.outcome import Action, Reason, Refused, State, Step, Workload
from kecs.certs.state import Authority, Phase, Root, Roots, Waiting

__all__ = [
    "Action",
    "Reason",
    "Refused",
    "Scope",
    "State",
    "Step",
    "Workload",
    "adopt",
    "create",
    "due",
    "emergency",
    "issuer_due",
    "prepare",
    "renew_issuer",
    "retire",
    "settle",
    "switch",
]

RENEW_BEFORE: Final = timedelta(days=30)
"""How long before its end the issuer is renewed."""
SETTLE: Final = timedelta(hours=24)
"""How long a cross-certificate is served after its rotation is retired: for pods that were made with a stale bundle."""
CROSSES_MAX: Final = 3
"""Clients bound a chain: rustls follows six CAs, newer JDKs take ten certificates. JDK 17 took five crosses here."""
NEXT: Final = {Phase.STABLE: Action.PREPARE, Phase.PREPARED: Action.SWITCH, Phase.SWITCHED: Action.RETIRE}
"""The act that leads on from each phase."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What an authority may sign, and for how long its roots live."""

    permitted: tuple[str, ...]
    """The domains of intermediates."""
    services: tuple[str, ...] = ()
    """Further domains, for the serving certificates that the issuer signs itself."""
    root_lifetime: timedelta = ROOT_LIFETIME

    @property
    def all(self) -> tuple[str, ...]:
        """The domains that the root permits."""
        return (*self.permitted, *self.services)

    def new_root(self, now: datetime) -> Signer:
        """Make a root of this scope."""
        return issue_root(now, permitted=self.all, lifetime=self.root_lifetime)


def create(scope: Scope, now: datetime, *, number: int = 1) -> State:
    """Make the first generation, or one that has nothing to do with those before."""
    signer = scope.new_root(now)
    root = Root(number=number, certificate=signer.certificate, key=signer.key)
    return State(roots=Roots(newest=root), authority=stable(root, issue_issuer(signer, now), scope, now))


def prepare(state: State, now: datetime, scope: Scope) -> Step | Refused:
    """Make the next root and its cross-certificate; new workloads are to trust both."""
    if state.authority.phase is Phase.PREPARED:
        return Step(state=state, changed=False)
    absent = [Reason.ROOT_KEY_ABSENT] if state.roots.newest.key is None else []
    reasons = (*_not_ready(state, now), *absent)
    if reasons:
        return Refused(reasons=reasons)
    signer = scope.new_root(now)
    return _prepared(state, signer.certificate, now, key=signer)


def switch(
    state: State, now: datetime, scope: Scope, workloads: Sequence[Workload] = (), *, force: bool = False
) -> Step | Refused:
    """Let the new generation sign. It is served with the cross-certificate, so no workload need be restarted."""
    authority, roots = state.authority, state.roots
    if authority.phase is Phase.SWITCHED:
        return Step(state=state, changed=False)
    if authority.phase is Phase.STABLE or roots.previous is None:
        return Refused(reasons=(Reason.NOT_PREPARED,))
    crosses = tuple(cross for cross in (roots.cross,) if cross and is_valid(cross, now))
    broken = () if crosses else _without(workloads, roots.newest.sha256)
    issuer, reasons = issuer_of(roots, now, scope)
    if broken and not force:
        reasons = (*reasons, Reason.UNCROSSED)
    if issuer is None or reasons:
        return Refused(reasons=reasons, workloads=broken)
    switched = Authority(
        generation=roots.newest.number,
        phase=Phase.SWITCHED,
        issuer=issuer.issuer,
        above=(*issuer.chain, *crosses, *(authority.crosses if crosses else ())),
        bundle=bundle_of(roots, roots.newest),
        since=now.astimezone(UTC),
        domains=scope.permitted,
    )
    return Step(state=replace(state, authority=switched), broken=broken)


def retire(state: State, now: datetime, workloads: Sequence[Workload] = (), *, force: bool = False) -> Step | Refused:
    """Stop trusting the old root. The cross-certificate is served on for a while (`settle`)."""
    authority = state.authority
    if authority.phase is Phase.STABLE:
        return Step(state=state, changed=False)
    broken = _without(workloads, fingerprint(authority.root))
    reasons = [Reason.NOT_SWITCHED] if authority.phase is Phase.PREPARED else []
    if broken and not force and not reasons:
        reasons.append(Reason.OLD_ROOT_ONLY)
    if reasons:
        return Refused(reasons=tuple(reasons), workloads=broken)
    retired = replace(authority, phase=Phase.STABLE, bundle=(authority.root,), since=now.astimezone(UTC))
    return Step(state=State(roots=replace(state.roots, previous=None, waiting=None), authority=retired), broken=broken)


def emergency(generation: int, now: datetime, scope: Scope, workloads: Sequence[Workload] = ()) -> Step:
    """Replace everything up to a generation, because a key has leaked: a cross-certificate would go on vouching for it.

    Needs nothing of what was there. Every workload has to be restarted.
    """
    state = create(scope, now, number=generation + 1)
    return Step(state=state, broken=_without(workloads, fingerprint(state.authority.root)))


def renew_issuer(state: State, now: datetime, scope: Scope) -> Step | Refused:
    """Replace the issuer below the same root, in any phase; the cross-certificates stay."""
    root = state.roots.of(state.authority.generation)
    if root is None or root.signer is None:
        return Refused(reasons=(Reason.ROOT_KEY_ABSENT,))
    if not is_valid(root.certificate, now):
        return Refused(reasons=(Reason.ROOT_NOT_VALID,))
    issuer = issue_issuer(root.signer, now, permitted=scope.all)
    authority = replace(state.authority, issuer=issuer, above=state.authority.crosses)
    return Step(state=replace(state, authority=authority))


def adopt(state: State | None, imported: Import, now: datetime, scope: Scope) -> Step | Refused:
    """Take a root or an issuer that others made.

    As the first generation if there is none; as the next one, prepared, if its root is another; as a renewed issuer if
    its root is the one in use. A root whose key is not given, and its issuer, are replaced by importing again.
    """
    refused = check_import(imported, scope.all, now)
    if refused:
        return refused
    if state is None:
        return Step(state=_first(imported, now, scope))
    found = next((root for root in state.roots.all if root.certificate == imported.root), None)
    if found is not None:
        return _renewed(state, imported, found)
    reasons = _not_ready(state, now)
    if reasons:
        return Refused(reasons=reasons)
    return _prepared(state, imported.root, now, key=imported.root_signer, waiting=imported.waiting)


def settle(authority: Authority, now: datetime, workloads: Sequence[Workload] = ()) -> Authority:
    """Stop serving cross-certificates that have ended, or that nobody can need any more."""
    served = tuple(cross for cross in authority.crosses if now < cross.not_valid_after_utc)
    needed = (
        authority.phase is not Phase.STABLE
        or now < authority.since + SETTLE
        or bool(_without(workloads, fingerprint(authority.root)))
    )
    above = (*authority.chain, *(served if needed else ()))
    return authority if above == authority.above else replace(authority, above=above)


def issuer_due(authority: Authority, now: datetime) -> bool:
    """Say whether the issuer is near its end, and a new one could outlive it."""
    end = authority.issuer.not_after
    return end - now < RENEW_BEFORE and end < authority.root.not_valid_after_utc


def due(authority: Authority, now: datetime, share: float) -> bool:
    """Say whether the root has lived so great a share of its life that a rotation is to begin."""
    start, end = authority.root.not_valid_before_utc, authority.root.not_valid_after_utc
    return authority.phase is Phase.STABLE and now >= start + (end - start) * share


def as_prepared(authority: Authority, roots: Roots, now: datetime) -> Authority:
    """Have new workloads trust the new root too."""
    active = roots.of(authority.generation) or roots.newest
    return replace(authority, phase=Phase.PREPARED, bundle=bundle_of(roots, active), since=now.astimezone(UTC))


def bundle_of(roots: Roots, active: Root) -> tuple[x509.Certificate, ...]:
    """List the roots to trust, the active one first."""
    return ordered(active.certificate, (root.certificate for root in roots.all))


def issuer_of(roots: Roots, now: datetime, scope: Scope) -> tuple[Waiting | None, tuple[Reason, ...]]:
    """Make the newest generation's issuer, or take the imported one; without one, say why."""
    if not is_valid(roots.newest.certificate, now):
        return None, (Reason.ROOT_NOT_VALID,)
    if roots.waiting is not None:
        every = (roots.waiting.issuer.certificate, *roots.waiting.chain)
        ended = not all(is_valid(certificate, now) for certificate in every)
        return roots.waiting, (Reason.ISSUER_NOT_VALID,) if ended else ()
    signer = roots.newest.signer
    if signer is None:
        return None, (Reason.ROOT_KEY_ABSENT,)
    return Waiting(issuer=issue_issuer(signer, now, permitted=scope.all)), ()


def stable(
    root: Root, issuer: Signer, scope: Scope, now: datetime, *, above: tuple[x509.Certificate, ...] = ()
) -> Authority:
    """Say what holds when one generation is alive and none before it matters."""
    return Authority(
        generation=root.number,
        phase=Phase.STABLE,
        issuer=issuer,
        above=above,
        bundle=(root.certificate,),
        since=now.astimezone(UTC),
        domains=scope.permitted,
    )


def _not_ready(state: State, now: datetime) -> tuple[Reason, ...]:
    """List what keeps a next generation from being prepared."""
    authority = state.authority
    root = state.roots.of(authority.generation)
    holds = (
        (Reason.NOT_RETIRED, authority.phase is not Phase.STABLE),
        (Reason.UNSETTLED, len(authority.crosses) >= CROSSES_MAX),
        (Reason.ROOT_NOT_VALID, root is not None and not is_valid(root.certificate, now)),
    )
    return tuple(reason for reason, held in holds if held)


def _prepared(
    state: State, certificate: x509.Certificate, now: datetime, *, key: Signer | None, waiting: Waiting | None = None
) -> Step:
    old = state.roots.newest
    newest = Root(number=old.number + 1, certificate=certificate, key=key.key if key else None)
    cross = issue_cross(old.signer, certificate, now) if old.signer else None
    roots = Roots(newest=newest, previous=old, cross=cross, waiting=waiting)
    return Step(state=State(roots=roots, authority=as_prepared(state.authority, roots, now)))


def _first(imported: Import, now: datetime, scope: Scope) -> State:
    signer = imported.root_signer
    root = Root(number=1, certificate=imported.root, key=signer.key if signer else None)
    issuer = issue_issuer(signer, now, permitted=scope.all) if signer else imported.signer
    return State(roots=Roots(newest=root), authority=stable(root, issuer, scope, now, above=imported.chain))


def _renewed(state: State, imported: Import, root: Root) -> Step | Refused:
    """Take an issuer below a root that is here already."""
    authority = state.authority
    if root.number != authority.generation:
        return Refused(reasons=(Reason.ROTATING,))
    if imported.root_signer or imported.signer.certificate == authority.issuer.certificate:
        return Refused(reasons=(Reason.ALREADY_THERE,))
    renewed = replace(authority, issuer=imported.signer, above=(*imported.chain, *authority.crosses))
    return Step(state=replace(state, authority=renewed))


def _without(workloads: Sequence[Workload], sha256: str) -> tuple[Workload, ...]:
    return tuple(workload for workload in workloads if sha256 not in workload.trusted)
