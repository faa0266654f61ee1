"""The acts of a rotation: what each makes of the records, when it is refused and why; what others' clients say."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from certs_lab import NAME, PERMITTED, SCOPE, OpenSsl, foreign, java_says, served, stepped
from cryptography import x509

from kecs.certs.adoption import Import
from kecs.certs.authority import ROOT_LIFETIME, certificate_pem, issue_root, permitted_domains
from kecs.certs.bundle import fingerprint
from kecs.certs.outcome import REMEDIES, SENTENCES
from kecs.certs.rotation import (
    CROSSES_MAX,
    NEXT,
    RENEW_BEFORE,
    SETTLE,
    Action,
    Reason,
    Refused,
    State,
    Step,
    Workload,
    adopt,
    create,
    due,
    emergency,
    issuer_due,
    prepare,
    renew_issuer,
    retire,
    settle,
    switch,
)
from kecs.certs.state import Phase, Waiting
from kecs.certs.verify import is_verified, verify_served

DAY = timedelta(days=1)
WIDE = replace(SCOPE, services=("kecs-system.svc",))


@pytest.fixture
def first(now: datetime) -> State:
    return create(WIDE, now)


@pytest.fixture
def prepared(first: State, now: datetime) -> State:
    return stepped(prepare(first, now, WIDE))


@pytest.fixture
def switched(prepared: State, now: datetime) -> State:
    return stepped(switch(prepared, now, WIDE))


@pytest.fixture
def retired(switched: State, now: datetime) -> State:
    return stepped(retire(switched, now))


def pod(name: str, roots: Sequence[x509.Certificate]) -> Workload:
    return Workload(name=f"default/{name}", kind="pod", trusted=tuple(map(fingerprint, roots)))


def why(outcome: Step | Refused) -> tuple[Reason, ...]:
    assert isinstance(outcome, Refused), outcome
    return outcome.reasons


def test_every_reason_has_a_sentence_and_a_remedy() -> None:
    assert set(SENTENCES) == set(REMEDIES) == set(Reason)
    assert all(sentence[0].islower() and not sentence.endswith(".") for sentence in SENTENCES.values())


def test_every_phase_has_an_act_that_leads_on() -> None:
    assert NEXT == {Phase.STABLE: Action.PREPARE, Phase.PREPARED: Action.SWITCH, Phase.SWITCHED: Action.RETIRE}


def test_a_rotation_from_begin_to_end(
    first: State, prepared: State, switched: State, retired: State, now: datetime
) -> None:
    old, new = first.authority.root, prepared.roots.newest.certificate
    (cross,) = switched.authority.above
    seen = [
        (state.authority.phase, state.authority.generation, state.authority.bundle, state.authority.above)
        for state in (first, prepared, switched, retired)
    ]
    assert seen == [
        (Phase.STABLE, 1, (old,), ()),
        (Phase.PREPARED, 1, (old, new), ()),
        (Phase.SWITCHED, 2, (new, old), (cross,)),
        (Phase.STABLE, 2, (new,), (cross,)),
    ]
    assert prepared.authority.issuer == first.authority.issuer
    assert retired.authority.issuer == switched.authority.issuer != first.authority.issuer
    assert cross == prepared.roots.cross
    assert [[root.number for root in state.roots.all] for state in (first, prepared, switched, retired)] == [
        [1],
        [2, 1],
        [2, 1],
        [2],
    ]
    assert permitted_domains(new) == permitted_domains(cross) == (*PERMITTED, "kecs-system.svc")
    assert retired.authority.permitted == PERMITTED
    assert settle(retired.authority, now + SETTLE).above == ()


def test_phases_begin_when_they_do(first: State, now: datetime) -> None:
    state, since = first, [first.authority.since]
    for hours, act in enumerate((prepare, switch), start=1):
        state = stepped(act(state, now + timedelta(hours=hours), WIDE))
        since.append(state.authority.since)
    state = stepped(retire(state, now + timedelta(hours=3)))
    since.append(state.authority.since)
    assert since == [now + timedelta(hours=hours) for hours in range(4)]
    renewed = stepped(renew_issuer(state, now + timedelta(hours=9), WIDE))
    assert renewed.authority.since == state.authority.since, "or renewing would serve a cross-certificate for ever"


def test_every_act_done_again_changes_nothing(prepared: State, switched: State, retired: State, now: datetime) -> None:
    for outcome, state in (
        (prepare(prepared, now, WIDE), prepared),
        (switch(switched, now, WIDE), switched),
        (retire(retired, now), retired),
    ):
        assert outcome == Step(state=state, changed=False)


def test_acts_out_of_turn_are_refused(first: State, prepared: State, switched: State, now: datetime) -> None:
    assert why(switch(first, now, WIDE)) == (Reason.NOT_PREPARED,)
    assert why(retire(prepared, now)) == (Reason.NOT_SWITCHED,)
    assert why(prepare(switched, now, WIDE)) == (Reason.NOT_RETIRED,)
    assert why(retire(prepared, now, force=True)) == (Reason.NOT_SWITCHED,)


def test_the_old_root_is_not_retired_while_a_workload_trusts_it_alone(switched: State, now: datetime) -> None:
    new, old = switched.authority.bundle
    stays = [pod("new", [new]), pod("both", [old, new])]
    goes = [pod("old", [old]), Workload(name="run 7", kind="kecs run", trusted=())]
    refused = retire(switched, now, stays + goes)
    assert refused == Refused(reasons=(Reason.OLD_ROOT_ONLY,), workloads=tuple(goes))
    said = refused.error()
    assert said.message == ("running workloads trust the old root alone (pod default/old, kecs run run 7)")
    assert "force" in said.hint
    forced = retire(switched, now, stays + goes, force=True)
    assert isinstance(forced, Step)
    assert forced.broken == tuple(goes)
    assert isinstance(retire(switched, now, stays), Step)


def test_a_forced_retirement_serves_the_cross_certificate_while_workloads_are_seen_that_need_it(
    switched: State, now: datetime
) -> None:
    old_only = pod("old", [switched.authority.bundle[1]])
    authority = stepped(retire(switched, now, [old_only], force=True)).authority
    late = now + 30 * DAY
    assert settle(authority, late, [old_only]).crosses == switched.authority.crosses
    assert settle(authority, late).crosses == ()


def test_a_root_that_has_ended_is_said_to_have(first: State, now: datetime) -> None:
    late = now + ROOT_LIFETIME
    assert why(prepare(first, late, WIDE)) == (Reason.ROOT_NOT_VALID,)
    assert why(renew_issuer(first, late, WIDE)) == (Reason.ROOT_NOT_VALID,)


def test_all_reasons_are_given_at_once(switched: State, now: datetime) -> None:
    keyless = replace(switched.roots, newest=replace(switched.roots.newest, key=None))
    reasons = why(prepare(replace(switched, roots=keyless), now + ROOT_LIFETIME, WIDE))
    assert reasons == (Reason.NOT_RETIRED, Reason.ROOT_NOT_VALID, Reason.ROOT_KEY_ABSENT)


def test_an_emergency_leaves_nothing_that_vouches_for_what_leaked(switched: State, now: datetime) -> None:
    running = [pod("old", switched.authority.bundle[1:]), pod("both", switched.authority.bundle)]
    step = emergency(2, now, WIDE, running)
    authority, roots = step.state.authority, step.state.roots
    assert step.broken == tuple(running)
    assert (authority.phase, authority.generation, authority.above) == (Phase.STABLE, 3, ())
    assert authority.bundle == (roots.newest.certificate,)
    assert (roots.previous, roots.cross, roots.waiting) == (None, None, None)
    assert not is_verified(served(authority, now), NAME, switched.authority.bundle, now)


@pytest.mark.parametrize("stage", ["first", "prepared", "switched", "retired"])
def test_an_issuer_is_renewed_below_its_root_and_keeps_the_cross(
    stage: str, request: pytest.FixtureRequest, now: datetime
) -> None:
    state: State = request.getfixturevalue(stage)
    renewed = stepped(renew_issuer(state, now, WIDE))
    assert renewed.authority.issuer != state.authority.issuer
    assert replace(renewed.authority, issuer=state.authority.issuer) == state.authority
    assert renewed.roots == state.roots
    chain = served(renewed.authority, now)
    for root in state.authority.bundle if stage == "switched" else state.authority.bundle[:1]:
        verify_served(chain, NAME, [root], now)


def test_crosses_pile_up_within_a_day_and_no_higher_than_a_chain_can_hold(first: State, now: datetime) -> None:
    """Rotating twice in a day is fine: a pod with the oldest bundle still verifies through both."""
    state, roots = first, [first.authority.root]
    for _ in range(CROSSES_MAX):
        for act in (prepare, switch):
            state = stepped(act(state, now, WIDE))
        state = stepped(retire(state, now))
        roots.append(state.authority.root)
        for root in roots:
            verify_served(served(state.authority, now), NAME, [root], now)
    assert len(state.authority.crosses) == CROSSES_MAX
    assert why(prepare(state, now, WIDE)) == (Reason.UNSETTLED,)
    settled = replace(state, authority=settle(state.authority, now + SETTLE))
    assert isinstance(prepare(settled, now + SETTLE, WIDE), Step)


@pytest.mark.parametrize(
    ("before", "renewed"),
    [
        pytest.param(RENEW_BEFORE + timedelta(seconds=1), False, id="just not near its end"),
        pytest.param(RENEW_BEFORE - timedelta(seconds=1), True, id="near its end"),
        pytest.param(timedelta(0), True, id="at its end"),
    ],
)
def test_when_an_issuer_is_due(first: State, before: timedelta, *, renewed: bool) -> None:
    assert issuer_due(first.authority, first.authority.issuer.not_after - before) == renewed


def test_an_issuer_that_ends_with_its_root_is_never_due(now: datetime) -> None:
    short = create(replace(WIDE, root_lifetime=10 * DAY), now)
    assert not issuer_due(short.authority, now + 9 * DAY)


@pytest.mark.parametrize(
    ("share", "days", "begins"),
    [
        pytest.param(0.8, 79, False, id="before the share"),
        pytest.param(0.8, 81, True, id="after it"),
        pytest.param(0.5, 51, True, id="a smaller share"),
        pytest.param(1.0, 99, False, id="the whole life"),
    ],
)
def test_when_a_rotation_is_due(now: datetime, share: float, days: int, *, begins: bool) -> None:
    state = create(replace(WIDE, root_lifetime=100 * DAY), now)
    assert due(state.authority, now + days * DAY, share) == begins
    prepared = stepped(prepare(state, now, WIDE))
    assert not due(prepared.authority, now + days * DAY, share), "a rotation is under way"


def test_a_new_root_may_permit_more_than_the_old_one(now: datetime) -> None:
    """A release that knows more domains: old workloads verify the names they always did."""
    state = create(replace(SCOPE, permitted=PERMITTED[:1]), now)
    old = state.authority.root
    state = stepped(switch(stepped(prepare(state, now, SCOPE)), now, SCOPE))
    assert state.authority.permitted == PERMITTED
    verify_served(served(state.authority, now), NAME, [old], now)
    other = "lambda.eu-west-1.api.aws"
    assert not is_verified(served(state.authority, now, other), other, [old], now)
    assert is_verified(served(state.authority, now, other), other, state.authority.bundle, now)


def imported_root(now: datetime) -> Import:
    root = issue_root(now, permitted=WIDE.all)
    return Import(signer=root, root=root.certificate)


def imported_issuer(now: datetime, *, between: int = 0) -> Import:
    path = [foreign(now)]
    path += [foreign(now, path[0]) for _ in range(min(between, 1))]
    issuer = foreign(now, path[-1])
    return Import(signer=issuer, chain=tuple(upper.certificate for upper in path[:0:-1]), root=path[0].certificate)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(imported_root, id="a root with its key"),
        pytest.param(imported_issuer, id="an issuer and its root"),
        pytest.param(lambda now: imported_issuer(now, between=1), id="an issuer, one above it, and the root"),
    ],
)
class TestImport:
    def test_as_the_first_generation(self, make: Callable[[datetime], Import], now: datetime) -> None:
        imported = make(now)
        state = stepped(adopt(None, imported, now, WIDE))
        assert (state.authority.generation, state.authority.phase) == (1, Phase.STABLE)
        assert state.authority.bundle == (imported.root,)
        assert state.authority.chain == imported.chain
        assert (state.roots.newest.key is None) == (imported.root_signer is None)
        verify_served(served(state.authority, now), NAME, [imported.root], now)

    def test_as_the_next_generation(self, make: Callable[[datetime], Import], first: State, now: datetime) -> None:
        """Who trusts our own root alone is led from it to the imported one."""
        imported = make(now)
        state = stepped(adopt(first, imported, now, WIDE))
        assert state.authority.phase is Phase.PREPARED
        assert state.authority.bundle == (first.authority.root, imported.root)
        state = stepped(switch(state, now, WIDE))
        assert state.authority.chain == imported.chain
        for trusted in (first.authority.root, imported.root):
            verify_served(served(state.authority, now), NAME, [trusted], now)
        state = stepped(retire(state, now))
        assert state.authority.bundle == (imported.root,)
        assert len(state.authority.crosses) == 1

    def test_not_during_a_rotation(self, make: Callable[[datetime], Import], switched: State, now: datetime) -> None:
        assert why(adopt(switched, make(now), now, WIDE)) == (Reason.NOT_RETIRED,)

    def test_not_what_is_there(self, make: Callable[[datetime], Import], now: datetime) -> None:
        imported = make(now)
        state = stepped(adopt(None, imported, now, WIDE))
        assert why(adopt(state, imported, now, WIDE)) == (Reason.ALREADY_THERE,)


def test_an_imported_issuer_is_replaced_by_importing_again(now: datetime) -> None:
    root = foreign(now)
    old, new = (Import(signer=foreign(now, root, days=days), root=root.certificate) for days in (20, 90))
    state = stepped(adopt(None, old, now, WIDE))
    assert why(prepare(state, now, WIDE)) == (Reason.ROOT_KEY_ABSENT,)
    assert why(renew_issuer(state, now, WIDE)) == (Reason.ROOT_KEY_ABSENT,)
    renewed = stepped(adopt(state, new, now, WIDE))
    assert renewed.authority == replace(state.authority, issuer=new.signer)
    verify_served(served(renewed.authority, now), NAME, [root.certificate], now)


def test_an_issuer_of_the_generation_that_is_prepared_waits(first: State, now: datetime) -> None:
    root = foreign(now)
    state = stepped(adopt(first, Import(signer=foreign(now, root), root=root.certificate), now, WIDE))
    again = Import(signer=foreign(now, root), root=root.certificate)
    assert why(adopt(state, again, now, WIDE)) == (Reason.ROTATING,)


def test_away_from_a_root_without_key_workloads_have_to_trust_both_first(now: datetime) -> None:
    """Nothing can cross-sign, so switching waits until no workload trusts the old root alone."""
    state = stepped(adopt(None, imported_issuer(now), now, WIDE))
    old = pod("old", state.authority.bundle)
    state = stepped(adopt(state, imported_root(now), now, WIDE))
    both = pod("both", state.authority.bundle)
    assert state.roots.cross is None
    refused = switch(state, now, WIDE, [old, both])
    assert refused == Refused(reasons=(Reason.UNCROSSED,), workloads=(old,))
    assert "pod default/old" in refused.error().message
    forced = switch(state, now, WIDE, [old, both], force=True)
    assert isinstance(forced, Step)
    assert forced.broken == (old,)
    done = stepped(switch(state, now, WIDE, [both]))
    assert done.authority.above == ()
    verify_served(served(done.authority, now), NAME, state.authority.bundle, now)


def test_an_imported_issuer_that_ended_while_it_waited_is_not_switched_to(first: State, now: datetime) -> None:
    root = foreign(now)
    short = Import(signer=foreign(now, root, days=1), root=root.certificate)
    state = stepped(adopt(first, short, now, WIDE))
    assert why(switch(state, now + DAY, WIDE)) == (Reason.ISSUER_NOT_VALID,)
    assert state.roots.waiting == Waiting(issuer=short.signer)
    assert why(switch(state, now + 365 * DAY, WIDE)) == (Reason.ROOT_NOT_VALID,)
    lost = replace(state, roots=replace(state.roots, waiting=None))
    assert why(switch(lost, now, WIDE)) == (Reason.ROOT_KEY_ABSENT,)


CLIENTS = {"old": slice(0, 1), "new": slice(1, 2), "both": slice(0, 2)}


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("stage", ["prepared", "switched", "retired"])
def test_openssl_takes_the_chain_of_every_phase(
    openssl: OpenSsl, stage: str, client: str, request: pytest.FixtureRequest, now: datetime
) -> None:
    """New workloads trust both until the switch, so that one who trusts the new root alone begins after it."""
    state, before = (request.getfixturevalue(name) for name in (stage, "prepared"))
    trusted = before.authority.bundle[CLIENTS[client]]
    said = openssl.verify(root=certificate_pem(*trusted), chain=certificate_pem(*served(state.authority, now)))
    if (stage, client) == ("prepared", "new"):
        assert "unable to get" in said
    else:
        assert said == ""


def test_a_jdk_takes_the_chain_of_every_phase(
    first: State, now: datetime, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Through one cross-certificate after a rotation, and through as many as a chain may hold after several."""
    state, roots = first, [first.authority.root]
    cases: dict[str, tuple[list[x509.Certificate], tuple[x509.Certificate, ...]]] = {}
    for rotated in range(CROSSES_MAX):
        state = stepped(prepare(state, now, WIDE))
        cases[f"{rotated}-prepared-old"] = served(state.authority, now), (roots[-1],)
        state = stepped(switch(state, now, WIDE))
        new, old = state.authority.bundle
        roots.append(new)
        cases[f"{rotated}-switched-both"] = served(state.authority, now), (new, old)
        for number, root in enumerate(roots):
            cases[f"{rotated}-switched-root{number}"] = served(state.authority, now), (root,)
        state = stepped(retire(state, now))
    uncrossed = served(replace(state.authority, above=()), now)
    cases["control"] = uncrossed, (roots[0],)
    said = java_says(tmp_path_factory.mktemp("java"), cases)
    assert said.pop("control").startswith("refused: ")
    assert said == dict.fromkeys(said, "trusted")
    assert len(said) == sum(4 + rotated for rotated in range(CROSSES_MAX))


def test_bundles_name_the_active_root_first(prepared: State, switched: State) -> None:
    for state in (prepared, switched):
        active = state.roots.of(state.authority.generation)
        assert active is not None
        assert state.authority.trust_sha256[0] == active.sha256
    assert set(prepared.authority.bundle) == set(switched.authority.bundle)
