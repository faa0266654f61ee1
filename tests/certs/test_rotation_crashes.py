"""Killed at every write of every act, raced at every write by every other act: what is served always verifies."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pytest
from certs_lab import NAME, SCOPE, DyingStore, Killed, MemoryStore, RacedStore, keeper, served
from cryptography import x509

from kecs.certs.keeper import Keeper
from kecs.certs.outcome import Action, Refused, Step, Workload
from kecs.certs.records import Conflict, Record, decode_authority
from kecs.certs.rotation import RENEW_BEFORE, SETTLE
from kecs.certs.state import Authority, Phase
from kecs.certs.verify import is_verified, verify_served
from kecs.core.errors import AuthorityError

FORWARD = (Action.PREPARE, Action.SWITCH, Action.RETIRE)
ORDER = {Phase.STABLE: 0, Phase.PREPARED: 1, Phase.SWITCHED: 2}


@dataclass
class Stage:
    """A store with an authority in some phase, and one workload for each bundle that was ever published."""

    store: MemoryStore
    bundles: list[tuple[x509.Certificate, ...]]


def stage(phase: Phase, now: datetime, *, rotated: int = 0) -> Stage:
    """Bring a new authority to a phase."""
    store = MemoryStore()
    keeping = keeper(store)
    bundles = [keeping.converge(now).authority.bundle]
    for action in (*FORWARD * rotated, *FORWARD[: ORDER[phase]]):
        step = keeping.rotate(action, now)
        assert isinstance(step, Step)
        bundles.append(step.state.authority.bundle)
    return Stage(store=store, bundles=bundles)


def signing(store: MemoryStore) -> Authority | None:
    """Return what the service that signs would use: the issuer record alone."""
    kept = store.read(Record.ISSUER)
    return decode_authority(kept[0]) if kept else None


def assert_all_verify(store: MemoryStore, bundles: list[tuple[x509.Certificate, ...]], now: datetime) -> None:
    authority = signing(store)
    if authority is None:
        return
    chain = served(authority, now)
    for bundle in (*bundles, authority.bundle):
        verify_served(chain, NAME, bundle, now)


def renew(keeping: Keeper, now: datetime) -> object:
    return keeping.rotate(Action.RENEW, now)


def house(keeping: Keeper, now: datetime) -> object:
    return keeping.converge(now)


ACTS: dict[str, tuple[Phase, Callable[[Keeper, datetime], object], Phase, int, int]] = {
    "prepare": (Phase.STABLE, lambda keeping, now: keeping.rotate(Action.PREPARE, now), Phase.PREPARED, 1, 2),
    "switch": (Phase.PREPARED, lambda keeping, now: keeping.rotate(Action.SWITCH, now), Phase.SWITCHED, 2, 1),
    "retire": (Phase.SWITCHED, lambda keeping, now: keeping.rotate(Action.RETIRE, now), Phase.STABLE, 2, 2),
    "renew when stable": (Phase.STABLE, renew, Phase.STABLE, 1, 1),
    "renew when prepared": (Phase.PREPARED, renew, Phase.PREPARED, 1, 1),
    "renew when switched": (Phase.SWITCHED, renew, Phase.SWITCHED, 2, 1),
}
"""From which phase, what, to which phase, generation, and how many writes."""


@pytest.mark.parametrize("after", [False, True], ids=["before it", "after it"])
@pytest.mark.parametrize("writes", [1, 2])
@pytest.mark.parametrize("act", ACTS)
def test_killed_at_a_write(now: datetime, act: str, writes: int, *, after: bool) -> None:
    begin, do, end, generation, needed = ACTS[act]
    staged = stage(begin, now)
    if writes > needed:
        assert do(keeper(DyingStore(staged.store, writes, after)), now)
        return
    with pytest.raises(Killed):
        do(keeper(DyingStore(staged.store, writes, after)), now)
    assert_all_verify(staged.store, staged.bundles, now)

    state = keeper(staged.store).converge(now)
    assert_all_verify(staged.store, staged.bundles, now)
    begun = after or writes > 1
    assert state.authority.phase is (end if begun else begin)
    written = len(staged.store.written)
    assert keeper(staged.store).converge(now).authority.phase is state.authority.phase
    assert len(staged.store.written) == written, "what is in order is not written again"

    do(keeper(staged.store), now)
    assert_all_verify(staged.store, staged.bundles, now)
    final = keeper(staged.store).load()
    assert final is not None
    assert (final.authority.phase, final.authority.generation) == (end, generation)
    assert (final.roots.previous is None) == (end is Phase.STABLE)


@pytest.mark.parametrize("after", [False, True], ids=["before it", "after it"])
@pytest.mark.parametrize("writes", [1, 2])
def test_killed_while_the_first_authority_is_made(now: datetime, writes: int, *, after: bool) -> None:
    store = MemoryStore()
    with pytest.raises(Killed):
        keeper(DyingStore(store, writes, after)).load_or_create(now)
    root = store.read(Record.ROOT)
    authority = keeper(store).load_or_create(now)
    kept = store.read(Record.ROOT)
    assert kept is not None
    assert root is None or root == kept, "a root that was written is used"
    assert authority.generation == 1
    assert keeper(store).load_or_create(now).issuer_sha256 == authority.issuer_sha256


@pytest.mark.parametrize("after", [False, True], ids=["before it", "after it"])
@pytest.mark.parametrize("writes", [1, 2])
@pytest.mark.parametrize("phase", Phase)
def test_killed_in_an_emergency(now: datetime, phase: Phase, writes: int, *, after: bool) -> None:
    """Once its root is written, the act is finished as what it is: never resumed as a rotation that cross-signs."""
    staged = stage(phase, now)
    generation = 2 if phase is not Phase.STABLE else 1
    with pytest.raises(Killed):
        keeper(DyingStore(staged.store, writes, after)).rotate(Action.EMERGENCY, now)
    state = keeper(staged.store).converge(now)
    if writes == 1 and not after:
        assert_all_verify(staged.store, staged.bundles, now)
        return
    authority = state.authority
    assert (authority.generation, authority.phase, authority.above) == (generation + 1, Phase.STABLE, ())
    assert state.roots.all == (state.roots.newest,)
    chain = served(authority, now)
    assert not any(is_verified(chain, NAME, bundle, now) for bundle in staged.bundles)
    assert is_verified(chain, NAME, authority.bundle, now)


OTHERS: dict[str, Callable[[Keeper, datetime], object]] = {
    "keeps house": house,
    "renews": renew,
    "prepares": lambda keeping, now: keeping.rotate(Action.PREPARE, now),
    "switches": lambda keeping, now: keeping.rotate(Action.SWITCH, now),
    "retires": lambda keeping, now: keeping.rotate(Action.RETIRE, now),
    "rotates": lambda keeping, now: [keeping.rotate(action, now) for action in FORWARD],
}


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("writes", [1, 2])
@pytest.mark.parametrize("act", ACTS)
def test_two_replicas_race(now: datetime, act: str, writes: int, other: str) -> None:
    """A second replica, its clock behind by ten minutes, does something right before a write of the first."""
    begin, do, *_ = ACTS[act]
    staged = stage(begin, now)

    def meanwhile() -> None:
        OTHERS[other](keeper(staged.store), now - timedelta(minutes=10))
        assert_all_verify(staged.store, staged.bundles, now)

    do(keeper(RacedStore(staged.store, writes, meanwhile)), now)
    assert_all_verify(staged.store, staged.bundles, now)
    before = len(staged.store.written)
    state = keeper(staged.store).converge(now)
    assert len(staged.store.written) == before, "both left the records in order"
    assert state.roots.newest.number <= 3
    assert len(state.authority.bundle) == (1 if state.authority.phase is Phase.STABLE else 2)


class Contested(MemoryStore):
    """A store that another writes before each of our writes."""

    def write(self, record: Record, fields: Mapping[str, bytes], version: str | None) -> str:
        raise Conflict(f"{record} with {len(fields)} fields is not {version}")


@pytest.mark.parametrize("action", [Action.RENEW, Action.EMERGENCY])
def test_whoever_always_loses_says_so(now: datetime, action: Action) -> None:
    with pytest.raises(Conflict, match="in a row"):
        keeper(Contested(stage(Phase.STABLE, now).store.records)).rotate(action, now)


@pytest.mark.parametrize("skew", [timedelta(minutes=10), timedelta(minutes=-10)], ids=["ahead", "behind"])
@pytest.mark.parametrize("phase", Phase)
def test_clocks_that_are_off(now: datetime, phase: Phase, skew: timedelta) -> None:
    """The authority's clock is off by ten minutes one way, the client's by ten the other: the chain holds at once."""
    store = MemoryStore()
    keeping = keeper(store)
    bundles = [keeping.converge(now + skew).authority.bundle]
    for action in FORWARD[: ORDER[phase]]:
        keeping.rotate(action, now + skew)
        bundles.append(keeping.converge(now - skew).authority.bundle)
    authority = signing(store)
    assert authority is not None
    for signs, mints, checks in ((skew, -skew, -skew), (skew, skew, -skew), (-skew, skew, skew)):
        minting = authority.new_intermediate(now + signs)
        chain = x509.load_pem_x509_certificates(minting.mint((NAME,), now + mints)[0])
        for bundle in bundles:
            verify_served(chain, NAME, bundle, now + checks)


def test_a_clock_that_jumps_back_undoes_nothing(now: datetime) -> None:
    staged = stage(Phase.SWITCHED, now)
    before = signing(staged.store)
    keeper(staged.store).converge(now - timedelta(minutes=20))
    assert signing(staged.store) is not None
    assert before is not None
    assert before.above == keeper(staged.store).converge(now - timedelta(minutes=20)).authority.above


def test_the_cross_certificate_goes_a_day_after_retirement_unless_it_is_needed(now: datetime) -> None:
    staged = stage(Phase.STABLE, now, rotated=1)
    old = keeper(staged.store).load()
    assert old is not None
    (cross,) = old.authority.crosses
    stale = Workload(name="default/stale", kind="pod", trusted=("of a root that was",))
    late = now + SETTLE
    assert keeper(staged.store).converge(late - timedelta(seconds=1)).authority.crosses == (cross,)
    assert keeper(staged.store).converge(late, [stale]).authority.crosses == (cross,)
    assert keeper(staged.store).converge(late).authority.crosses == ()


@pytest.mark.parametrize("acts", [2, 3], ids=["switched", "retired"])
def test_a_cross_certificate_that_has_ended_harms_nobody(now: datetime, acts: int) -> None:
    """The old root ends while it is still served for: it is left out at once, and who trusts the new one goes on."""
    store = MemoryStore()
    keeper(store, replace(SCOPE, root_lifetime=timedelta(hours=30))).converge(now)
    for action in FORWARD[:acts]:
        keeper(store).rotate(action, now + timedelta(hours=20))
    authority = signing(store)
    assert authority is not None
    (cross,) = authority.crosses
    end = cross.not_valid_after_utc
    held = authority.new_intermediate(end - timedelta(hours=1))
    assert held.above == (authority.issuer.certificate, cross)
    for signs in (held, authority.new_intermediate(end)):
        chain = x509.load_pem_x509_certificates(signs.mint((NAME,), end)[0])
        assert len(chain) == 3
        verify_served(chain, NAME, authority.bundle, end)
        verify_served(chain, NAME, (authority.root,), end)
    assert keeper(store).converge(end).authority.crosses == ()


def test_an_issuer_is_renewed_in_time_in_every_phase(now: datetime) -> None:
    for phase in Phase:
        staged = stage(phase, now)
        before = signing(staged.store)
        assert before is not None
        late = before.issuer.not_after - RENEW_BEFORE + timedelta(seconds=1)
        after = keeper(staged.store).converge(late).authority
        assert after.issuer_sha256 != before.issuer_sha256
        assert (after.above, after.phase, after.bundle) == (before.above, before.phase, before.bundle)
        assert_all_verify(staged.store, staged.bundles, late)


GARBAGE = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


def of_another(record: Record, field: str, now: datetime) -> bytes:
    kept = stage(Phase.SWITCHED, now).store.read(record)
    assert kept is not None
    return kept[0][field]


EDITS: dict[str, tuple[Record, str, Callable[[Keeper, MemoryStore, datetime], bytes | None], str]] = {
    "garbage for a certificate": (Record.ISSUER, "tls.crt", lambda *_: GARBAGE, "block 1 of tls.crt"),
    "nothing for a certificate": (Record.ISSUER, "tls.crt", lambda *_: b"", "holds no certificate"),
    "the key of another": (
        Record.ISSUER,
        "tls.key",
        lambda _, __, now: of_another(Record.ISSUER, "tls.key", now),
        "is not the certificate's",
    ),
    "garbage for a key": (Record.ISSUER, "tls.key", lambda *_: b"secret", "tls.key can't be read"),
    "a foreign root in the bundle": (
        Record.ISSUER,
        "ca.crt",
        lambda _, store, now: store.records[Record.ISSUER][0]["ca.crt"] + of_another(Record.ROOT, "tls.crt", now),
        "holds other roots",
    ),
    "a root missing in the bundle": (
        Record.ISSUER,
        "ca.crt",
        lambda _, __, now: of_another(Record.ROOT, "tls.crt", now),
        "holds other roots",
    ),
    "a private key in the bundle": (
        Record.ISSUER,
        "ca.crt",
        lambda _, store, __: store.records[Record.ISSUER][0]["ca.crt"] + store.records[Record.ISSUER][0]["tls.key"],
        "is a PRIVATE KEY, which must never be distributed",
    ),
    "an issuer in the bundle": (
        Record.ISSUER,
        "ca.crt",
        lambda _, store, __: store.records[Record.ISSUER][0]["tls.crt"],
        "holds what is no root",
    ),
    "no JSON for the state": (Record.ISSUER, "state.json", lambda *_: b"{", "is no JSON"),
    "a phase that is none": (
        Record.ISSUER,
        "state.json",
        lambda _, store, __: store.records[Record.ISSUER][0]["state.json"].replace(b"switched", b"half"),
        "phase 'half'",
    ),
    "a state of the future": (Record.ISSUER, "state.json", lambda *_: b'{"version": 2}', "version 2"),
    "another generation": (
        Record.ISSUER,
        "state.json",
        lambda _, store, __: store.records[Record.ISSUER][0]["state.json"].replace(
            b'"generation": 2', b'"generation": 1'
        ),
        "not of one authority",
    ),
    "garbage for the root": (Record.ROOT, "tls.crt", lambda *_: GARBAGE, "block 1 of tls.crt"),
    "the root's key of another": (
        Record.ROOT,
        "tls.key",
        lambda _, __, now: of_another(Record.ROOT, "tls.key", now),
        "is not the certificate's",
    ),
    "another root": (Record.ROOT, "ca.crt", lambda _, __, now: of_another(Record.ROOT, "ca.crt", now), "other roots"),
    "a foreign cross-certificate": (
        Record.ROOT,
        "cross.crt",
        lambda _, __, now: of_another(Record.ROOT, "cross.crt", now),
        "cross.crt was not signed by the previous root",
    ),
}


@pytest.mark.parametrize("edit", EDITS)
def test_a_record_edited_by_hand_stops_with_what_to_do(now: datetime, edit: str) -> None:
    """Nothing is guessed and nothing written; what the hint says, works."""
    staged = stage(Phase.SWITCHED, now)
    record, field, change, complaint = EDITS[edit]
    text = change(keeper(staged.store), staged.store, now)
    written = len(staged.store.written)
    staged.store.edit(record, **{field.replace(".", "_"): text})
    with pytest.raises(AuthorityError, match=complaint) as raised:
        keeper(staged.store).converge(now)
    assert len(staged.store.written) == written
    hint = raised.value.hint
    assert "remove" in hint or "restore" in hint or "import" in hint or "use the KECS" in hint
    if record is Record.ISSUER:
        del staged.store.records[Record.ISSUER]
        keeper(staged.store).converge(now)
        assert_all_verify(staged.store, staged.bundles, now)
    step = keeper(staged.store).rotate(Action.EMERGENCY, now)
    assert not isinstance(step, Refused)
    assert keeper(staged.store).converge(now).authority.phase is Phase.STABLE


@pytest.mark.parametrize("phase", Phase)
def test_an_issuer_record_that_is_removed_is_made_so_that_every_workload_verifies(now: datetime, phase: Phase) -> None:
    staged = stage(phase, now)
    del staged.store.records[Record.ISSUER]
    keeper(staged.store).load_or_create(now)
    assert_all_verify(staged.store, staged.bundles, now)


def test_a_retired_rotation_survives_the_loss_of_the_issuer_record(now: datetime) -> None:
    """A pod with a stale bundle still verifies: the root record keeps the cross-certificate."""
    staged = stage(Phase.STABLE, now, rotated=1)
    del staged.store.records[Record.ISSUER]
    state = keeper(staged.store).converge(now)
    assert (state.authority.phase, state.authority.generation) == (Phase.STABLE, 2)
    assert_all_verify(staged.store, staged.bundles, now)


def test_a_root_record_that_is_removed_is_not_made_anew_in_silence(now: datetime) -> None:
    staged = stage(Phase.STABLE, now)
    del staged.store.records[Record.ROOT]
    with pytest.raises(AuthorityError, match="root record is gone") as raised:
        keeper(staged.store).load_or_create(now)
    assert "--emergency" in raised.value.hint
    assert_all_verify(staged.store, staged.bundles, now)
    step = keeper(staged.store).rotate(Action.EMERGENCY, now)
    assert isinstance(step, Step)
    assert step.state.authority.generation == 2


def test_an_older_copy_of_a_record_is_told_from_a_crash(now: datetime) -> None:
    """Restoring one record from a backup: the root record may not be older than what is signed with."""
    staged = stage(Phase.STABLE, now)
    backup = staged.store.copy()
    for action in FORWARD:
        keeper(staged.store).rotate(action, now)
    staged.store.records[Record.ROOT] = backup.records[Record.ROOT]
    with pytest.raises(AuthorityError, match="not of one authority"):
        keeper(staged.store).converge(now)
