"""What two records mean, row for row as the table in `recovery` says it."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pytest
from certs_lab import NAME, PERMITTED, SCOPE, served, stepped

from kecs.certs.authority import permitted_domains
from kecs.certs.outcome import State
from kecs.certs.recovery import check_usable, recover
from kecs.certs.rotation import Scope, create, emergency, prepare, renew_issuer, retire, switch
from kecs.certs.state import Authority, Phase, Roots
from kecs.certs.verify import verify_served
from kecs.core.errors import AuthorityError

DAY = timedelta(days=1)


@dataclass
class Past:
    """The states that one authority went through."""

    first: State
    prepared: State
    switched: State
    retired: State
    emergency: State


@pytest.fixture
def past(now: datetime) -> Past:
    first = create(SCOPE, now)
    prepared = stepped(prepare(first, now, SCOPE))
    switched = stepped(switch(prepared, now, SCOPE))
    retired = stepped(retire(switched, now))
    return Past(first, prepared, switched, retired, emergency(2, now, SCOPE).state)


ROWS = {
    "nothing yet": (None, None, Phase.STABLE, 1, 1),
    "created": ("first", None, Phase.STABLE, 1, 1),
    "the issuer record removed": ("prepared", None, Phase.SWITCHED, 2, 2),
    "prepare was cut short": ("prepared", "first", Phase.PREPARED, 1, 2),
    "prepared": ("prepared", "prepared", Phase.PREPARED, 1, 2),
    "switched": ("switched", "switched", Phase.SWITCHED, 2, 2),
    "retire was cut short": ("switched", "retired", Phase.STABLE, 2, 1),
    "retired": ("retired", "retired", Phase.STABLE, 2, 1),
    "retired, the issuer record removed": ("retired", None, Phase.STABLE, 2, 1),
    "an emergency was cut short": ("emergency", "switched", Phase.STABLE, 3, 1),
}
"""Whose root record, whose issuer record; the phase, generation and number of roots that come of it."""


@pytest.mark.parametrize("row", ROWS)
def test_what_was_found_and_what_is_made_of_it(past: Past, now: datetime, row: str) -> None:
    roots_of, authority_of, phase, generation, count = ROWS[row]
    roots: Roots | None = getattr(past, roots_of).roots if roots_of else None
    authority: Authority | None = getattr(past, authority_of).authority if authority_of else None
    state = recover(roots, authority, now, SCOPE)
    assert (state.authority.phase, state.authority.generation) == (phase, generation)
    assert len(state.roots.all) == len(state.authority.bundle) == count
    assert (state.roots.previous is None) == (count == 1)
    assert recover(state.roots, state.authority, now, SCOPE) == state, "what is in order stays as it is"
    verify_served(served(state.authority, now), NAME, [state.authority.root], now)
    if roots is not None and generation < 3:
        verify_served(served(state.authority, now), NAME, past.first.authority.bundle, now)


@pytest.mark.parametrize(
    ("roots_of", "authority_of", "complaint"),
    [
        pytest.param(None, "first", "the root record is gone", id="the root record removed"),
        pytest.param("first", "retired", "root is generation 2, the newest root 1", id="an older root record"),
        pytest.param("switched", "stranger", "root is generation 1, the newest root 2", id="a stranger's issuer"),
        pytest.param("retired", "active and prepared", "generation 2 is active and prepared", id="a wrong phase"),
        pytest.param("prepared", "switched too early", "generation 1 is switched to", id="another wrong phase"),
    ],
)
def test_anything_else_is_refused(
    past: Past, now: datetime, roots_of: str | None, authority_of: str, complaint: str
) -> None:
    edited = {
        "stranger": create(SCOPE, now).authority,
        "active and prepared": replace(past.retired.authority, phase=Phase.PREPARED),
        "switched too early": replace(past.first.authority, phase=Phase.SWITCHED),
    }
    authority = edited[authority_of] if authority_of in edited else getattr(past, authority_of).authority
    roots = getattr(past, roots_of).roots if roots_of else None
    with pytest.raises(AuthorityError, match=complaint) as raised:
        recover(roots, authority, now, SCOPE)
    assert "restore" in raised.value.hint
    assert "--emergency" in raised.value.hint


def test_house_is_kept(past: Past, now: datetime) -> None:
    """The bundle follows the roots, the domains the scope, the issuer its end, the cross-certificate its day."""
    mended = recover(
        past.prepared.roots, replace(past.prepared.authority, bundle=past.first.authority.bundle), now, SCOPE
    )
    assert mended.authority.bundle == past.prepared.authority.bundle
    fewer = recover(past.first.roots, past.first.authority, now, replace(SCOPE, permitted=PERMITTED[:1]))
    assert fewer.authority.permitted == PERMITTED[:1]
    late = recover(past.retired.roots, past.retired.authority, now + 80 * DAY, SCOPE).authority
    assert late.issuer_sha256 != past.retired.authority.issuer_sha256
    assert late.above == ()
    ended = recover(past.first.roots, past.first.authority, now + 5000 * DAY, SCOPE)
    assert ended == past.first, "below a root that has ended nothing can be renewed"


def test_pods_never_sign_for_our_services_whatever_domains_are_asked_for(now: datetime) -> None:
    """A root keeps its domains until it is rotated: settings may name none of them meanwhile."""
    scope = Scope(permitted=("amazonaws.com",), services=("kecs-system.svc",))
    state = create(scope, now)
    authority = recover(state.roots, state.authority, now, replace(scope, permitted=("corp.example",))).authority
    assert permitted_domains(authority.new_intermediate(now).signer.certificate) == ("amazonaws.com",)


def test_an_issuer_whose_root_key_is_not_here_is_left_alone(past: Past, now: datetime) -> None:
    keyless = replace(past.first.roots, newest=replace(past.first.roots.newest, key=None))
    late = now + 80 * DAY
    assert recover(keyless, past.first.authority, late, SCOPE).authority == past.first.authority
    with pytest.raises(AuthorityError, match="can't be made anew: root_key_absent"):
        recover(keyless, None, now, SCOPE)


@pytest.mark.parametrize(
    ("days", "permitted", "complaint"),
    [
        pytest.param(0, PERMITTED, "", id="in order"),
        pytest.param(0, (*PERMITTED, "api.amazonwebservices.com.cn"), "may not sign for api", id="another domain"),
        pytest.param(4000, PERMITTED, "root in root.pem expired", id="ended"),
        pytest.param(-1, PERMITTED, "root in root.pem begins", id="not begun"),
    ],
)
def test_whether_what_is_signed_would_be_accepted(
    past: Past, now: datetime, days: int, permitted: tuple[str, ...], complaint: str
) -> None:
    scope = replace(SCOPE, permitted=permitted)
    renewed = stepped(renew_issuer(past.first, now, SCOPE))
    if not complaint:
        check_usable(renewed, now, scope, source="root.pem")
        return
    with pytest.raises(AuthorityError, match=complaint) as raised:
        check_usable(renewed, now + days * DAY, scope, source="root.pem")
    assert raised.value.hint
