"""What two records that were found mean, whatever write was the last that a crashed process did. Pure but for keys.

Every act that adds a root writes the root record first; every act that drops one writes the issuer record first. So
the issuer record is the truth about the phase, and what the root record is ahead or behind says which act to finish:

    newest root   previous root   issuer record   what happened, and what is done
    none          none            none            nothing yet: the first generation is made
    n             none            none            created, or the issuer record removed: a new issuer
    n             n - 1           none            the issuer record removed: as switched, which every workload verifies
    n             n - 1           n - 1, stable   prepare was cut short: prepared
    n             n - 1           n - 1, prepared in order
    n             n - 1           n, switched     in order
    n             n - 1           n, stable       retire was cut short: the old root goes
    n             none            n, stable       in order
    n             none            below n         an emergency was cut short: the new root alone
    anything else                                 refused: the records are not of one authority
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from kecs.certs.adoption import is_valid
from kecs.certs.authority import is_within, permitted_domains
from kecs.certs.outcome import State, Step, Workload
from kecs.certs.rotation import (
    Scope,
    as_prepared,
    bundle_of,
    create,
    issuer_due,
    issuer_of,
    renew_issuer,
    settle,
    stable,
)
from kecs.certs.state import Authority, Phase, Roots
from kecs.core.errors import AuthorityError


def recover(
    roots: Roots | None,
    authority: Authority | None,
    now: datetime,
    scope: Scope,
    workloads: Sequence[Workload] = (),
) -> State:
    """Finish what was cut short, then keep house: renew the issuer, drop what is served no more, mend the bundle."""
    if roots is None and authority is None:
        return create(scope, now)
    if roots is None:
        raise AuthorityError(
            "the root record is gone, and an issuer is there that its root signed",
            hint="restore it from a backup; without one, make a new root: `kecs proxy certs rotate --emergency`",
        )
    state = _finish(roots, authority, now, scope)
    return _keep_house(state, now, scope, workloads)


def check_usable(state: State, now: datetime, scope: Scope, *, source: str) -> None:
    """Raise AuthorityError when nothing that is signed now would be accepted, or not for all names."""
    root, remedy = state.authority.root, "make a new root, which clients have to trust anew: "
    if now >= root.not_valid_after_utc:
        raise AuthorityError(
            f"the root in {source} expired at {root.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}",
            hint=f"{remedy}`kecs proxy certs rotate --emergency`",
        )
    if now < root.not_valid_before_utc:
        raise AuthorityError(
            f"the root in {source} begins at {root.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ},"
            f" and it is {now:%Y-%m-%dT%H:%M:%SZ}",
            hint="check the clock of this machine",
        )
    permitted = permitted_domains(root)
    missing = sorted(domain for domain in scope.all if permitted and not is_within(domain, permitted))
    if missing:
        raise AuthorityError(
            f"the root in {source} may not sign for {', '.join(missing)}", hint=f"{remedy}`kecs proxy certs rotate`"
        )


def _finish(roots: Roots, authority: Authority | None, now: datetime, scope: Scope) -> State:
    newest = roots.newest
    if authority is None or (roots.previous is None and authority.generation < newest.number):
        return _without_issuer(roots, now, scope)
    active = roots.of(authority.generation)
    if active is None or active.certificate != authority.root:
        raise _foreign(f"the issuer's root is generation {authority.generation}, the newest root {newest.number}")
    if active is newest:
        if authority.phase is Phase.PREPARED:
            raise _foreign(f"generation {newest.number} is active and prepared at once")
        pruned = replace(roots, previous=None, waiting=None) if authority.phase is Phase.STABLE else roots
        return State(roots=pruned, authority=authority)
    if authority.phase is Phase.SWITCHED:
        raise _foreign(f"generation {authority.generation} is switched to, and {newest.number} is newer")
    prepared = authority if authority.phase is Phase.PREPARED else as_prepared(authority, roots, now)
    return State(roots=roots, authority=prepared)


def _without_issuer(roots: Roots, now: datetime, scope: Scope) -> State:
    """Make the issuer record from the roots. With two of them, the one phase in which every workload verifies."""
    issuer, reasons = issuer_of(roots, now, scope)
    if issuer is None or reasons:
        raise AuthorityError(
            f"the issuer record is gone and can't be made anew: {', '.join(reasons)}",
            hint="restore it from a backup, or import an issuer of the same root: `kecs proxy certs import`",
        )
    crosses = (roots.cross,) if roots.cross and is_valid(roots.cross, now) else ()
    single = stable(roots.newest, issuer.issuer, scope, now, above=(*issuer.chain, *crosses))
    if roots.previous is None:
        return State(roots=roots, authority=single)
    switched = replace(single, phase=Phase.SWITCHED, bundle=bundle_of(roots, roots.newest))
    return State(roots=roots, authority=switched)


def _keep_house(state: State, now: datetime, scope: Scope, workloads: Sequence[Workload]) -> State:
    authority = state.authority
    root = state.roots.of(authority.generation) or state.roots.newest
    if issuer_due(authority, now) and root.key is not None and is_valid(root.certificate, now):
        renewed = renew_issuer(state, now, scope)
        authority = renewed.state.authority if isinstance(renewed, Step) else authority
    permitted = permitted_domains(root.certificate)
    domains = tuple(domain for domain in scope.permitted if not permitted or is_within(domain, permitted))
    # None would mean all that the issuer may, the names of KECS' own services too: a pod could then speak for those.
    domains = domains or authority.domains
    trusted = bundle_of(state.roots, root)
    if domains != authority.domains:
        authority = replace(authority, domains=domains)
    if trusted != authority.bundle:
        authority = replace(authority, bundle=trusted)
    return replace(state, authority=settle(authority, now, workloads))


def _foreign(what: str) -> AuthorityError:
    return AuthorityError(
        f"the root record and the issuer record are not of one authority: {what}",
        hint="restore both from one backup; without one, make a new root: `kecs proxy certs rotate --emergency`",
    )
