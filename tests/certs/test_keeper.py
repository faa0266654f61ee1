"""The keeper: what it reads, decides and writes, and in which order; plans; imports; what it can not write."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from certs_lab import NAME, PERMITTED, SCOPE, MemoryStore, foreign, keeper, served

from kecs.certs.adoption import Import
from kecs.certs.authority import (
    ISSUER_LIFETIME,
    ROOT_LIFETIME,
    Signer,
    certificate_pem,
    issue_root,
    key_pem,
    permitted_domains,
)
from kecs.certs.bundle import fingerprint
from kecs.certs.keeper import Keeper
from kecs.certs.outcome import Action, Reason, Refused, Step, Workload
from kecs.certs.records import Record, decode_roots
from kecs.certs.rotation import RENEW_BEFORE
from kecs.certs.state import Phase
from kecs.certs.verify import verify_served
from kecs.core.errors import AuthorityError, MachineError

SECOND = timedelta(seconds=1)


class ReadOnly(MemoryStore):
    """Records that can be read alone."""

    def write(self, record: Record, fields: Mapping[str, bytes], version: str | None) -> str:
        raise MachineError(f"{record} with {len(fields)} fields can't be written over {version}")


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def keeping(store: MemoryStore) -> Keeper:
    return keeper(store)


def test_the_first_authority_is_made_once(keeping: Keeper, store: MemoryStore, now: datetime) -> None:
    assert keeping.load() is None
    first = keeping.load_or_create(now)
    assert store.written == [Record.ROOT, Record.ISSUER]
    again = keeping.load_or_create(now + timedelta(days=1))
    assert store.written == [Record.ROOT, Record.ISSUER]
    assert again.issuer_sha256 == first.issuer_sha256
    loaded = keeping.load()
    assert loaded is not None
    assert loaded.authority.trust_sha256 == first.trust_sha256


def test_what_adds_a_root_writes_it_first_and_what_drops_one_last(
    keeping: Keeper, store: MemoryStore, now: datetime
) -> None:
    keeping.load_or_create(now)
    written = {}
    for action in (Action.PREPARE, Action.SWITCH, Action.RENEW, Action.RETIRE, Action.EMERGENCY):
        before = len(store.written)
        keeping.rotate(action, now)
        written[action] = store.written[before:]
    assert written == {
        Action.PREPARE: [Record.ROOT, Record.ISSUER],
        Action.SWITCH: [Record.ISSUER],
        Action.RENEW: [Record.ISSUER],
        Action.RETIRE: [Record.ISSUER, Record.ROOT],
        Action.EMERGENCY: [Record.ROOT, Record.ISSUER],
    }


def test_the_key_of_a_retired_root_is_gone(keeping: Keeper, store: MemoryStore, now: datetime) -> None:
    keeping.load_or_create(now)
    old = decode_roots(store.records[Record.ROOT][0]).newest.key
    assert old
    for action in (Action.PREPARE, Action.SWITCH, Action.RETIRE):
        keeping.rotate(action, now)
    texts = [text for fields, _ in store.records.values() for text in fields.values()]
    assert not any(key_pem(old).strip() in text for text in texts)


@pytest.mark.parametrize("action", Action)
def test_a_plan_says_the_same_and_writes_nothing(
    keeping: Keeper, store: MemoryStore, now: datetime, action: Action
) -> None:
    authority = keeping.load_or_create(now)
    written = len(store.written)
    workloads = [Workload(name="default/web", kind="pod", trusted=authority.trust_sha256)]
    planned = keeping.plan(action, now, workloads=workloads)
    assert len(store.written) == written
    done = keeping.rotate(action, now, workloads=workloads)
    assert type(planned) is type(done)
    if isinstance(planned, Step) and isinstance(done, Step):
        assert (planned.changed, planned.broken) == (done.changed, done.broken)
        assert planned.state.authority.phase is done.state.authority.phase
    else:
        assert planned == done


def test_a_refusal_writes_nothing(keeping: Keeper, store: MemoryStore, now: datetime) -> None:
    keeping.load_or_create(now)
    written = len(store.written)
    assert keeping.rotate(Action.SWITCH, now) == Refused(reasons=(Reason.NOT_PREPARED,))
    assert len(store.written) == written


def test_rotating_names_who_stands_in_the_way_and_force_who_breaks(keeping: Keeper, now: datetime) -> None:
    old = keeping.load_or_create(now)
    keeping.rotate(Action.PREPARE, now)
    keeping.rotate(Action.SWITCH, now)
    web = Workload(name="default/web", kind="pod", trusted=old.trust_sha256)
    refused = keeping.rotate(Action.RETIRE, now, workloads=[web])
    assert refused == Refused(reasons=(Reason.OLD_ROOT_ONLY,), workloads=(web,))
    forced = keeping.rotate(Action.RETIRE, now, workloads=[web], force=True)
    assert isinstance(forced, Step)
    assert forced.broken == (web,)


@pytest.mark.parametrize(
    ("later", "renewed"),
    [
        pytest.param(ISSUER_LIFETIME - RENEW_BEFORE, False, id="just not near its end"),
        pytest.param(ISSUER_LIFETIME - RENEW_BEFORE + SECOND, True, id="near its end"),
        pytest.param(ISSUER_LIFETIME + SECOND, True, id="past its end"),
    ],
)
def test_the_issuer_is_renewed(keeping: Keeper, now: datetime, later: timedelta, *, renewed: bool) -> None:
    first, second = keeping.load_or_create(now), keeping.load_or_create(now + later)
    assert (first.issuer_sha256 != second.issuer_sha256) == renewed
    assert second.trust_sha256 == first.trust_sha256


@pytest.mark.parametrize(
    ("later", "works"),
    [
        pytest.param(timedelta(0), True, id="nothing is due"),
        pytest.param(ISSUER_LIFETIME - SECOND, True, id="an issuer that is due still holds"),
        pytest.param(ISSUER_LIFETIME, False, id="it has ended"),
    ],
)
def test_what_can_not_be_written_is_used_while_it_holds(
    keeping: Keeper, store: MemoryStore, now: datetime, later: timedelta, *, works: bool
) -> None:
    first = keeping.load_or_create(now)
    reading = keeper(ReadOnly(store.records))
    if works:
        assert reading.load_or_create(now + later).issuer_sha256 == first.issuer_sha256
        return
    with pytest.raises(MachineError, match="can't be written"):
        reading.load_or_create(now + later)


def test_nothing_that_can_not_be_written_is_made(now: datetime) -> None:
    with pytest.raises(MachineError, match="can't be written"):
        keeper(ReadOnly()).load_or_create(now)


@pytest.mark.parametrize(
    ("moment", "complaint"),
    [
        pytest.param(ROOT_LIFETIME, "expired", id="ended"),
        pytest.param(-timedelta(minutes=31), "begins", id="not begun"),
    ],
)
def test_a_root_outside_its_validity_is_refused_by_name(
    store: MemoryStore, now: datetime, moment: timedelta, complaint: str
) -> None:
    sources = {Record.ROOT: "Secret kecs-root", Record.ISSUER: "Secret kecs-issuer"}
    keeping = Keeper(store=store, scope=SCOPE, sources=sources)
    keeping.load_or_create(now)
    with pytest.raises(AuthorityError, match=f"Secret kecs-root {complaint}"):
        keeping.load_or_create(now + moment)


def test_more_domains_need_another_root(store: MemoryStore, keeping: Keeper, now: datetime) -> None:
    """Until then nothing that could be signed is lost."""
    keeping.load_or_create(now)
    wider = keeper(store, replace(SCOPE, permitted=(*PERMITTED, "amazonaws.eu")))
    with pytest.raises(AuthorityError, match=r"may not sign for amazonaws\.eu") as raised:
        wider.load_or_create(now)
    assert "rotate" in raised.value.hint
    assert wider.converge(now).authority.permitted == PERMITTED
    wider.rotate(Action.PREPARE, now)
    wider.rotate(Action.SWITCH, now)
    assert "amazonaws.eu" in wider.load_or_create(now).permitted


def test_fewer_domains_hold_at_once(store: MemoryStore, keeping: Keeper, now: datetime) -> None:
    keeping.load_or_create(now)
    narrow = keeper(store, replace(SCOPE, permitted=PERMITTED[:1]))
    assert narrow.load_or_create(now).new_intermediate(now).permitted == PERMITTED[:1]


def test_an_import_into_an_empty_store(keeping: Keeper, store: MemoryStore, now: datetime) -> None:
    root = foreign(now)
    imported = Import(signer=foreign(now, root), root=root.certificate)
    assert isinstance(keeping.adopt(imported, now, dry_run=True), Step)
    assert store.written == []
    assert isinstance(keeping.adopt(imported, now), Step)
    authority = keeping.load_or_create(now)
    assert authority.trust_sha256 == (fingerprint(root.certificate),)
    verify_served(served(authority, now), NAME, [root.certificate], now)


def test_an_import_over_an_authority_begins_a_rotation(keeping: Keeper, store: MemoryStore, now: datetime) -> None:
    old = keeping.load_or_create(now)
    root = issue_root(now, permitted=PERMITTED)
    imported = Import(signer=root, root=root.certificate)
    written = len(store.written)
    assert isinstance(keeping.adopt(imported, now, dry_run=True), Step)
    assert len(store.written) == written
    keeping.adopt(imported, now)
    assert keeping.load_or_create(now).phase is Phase.PREPARED
    keeping.rotate(Action.SWITCH, now)
    for trusted in (old.root, root.certificate):
        verify_served(served(keeping.load_or_create(now), now), NAME, [trusted], now)


def test_an_issuer_that_was_lost_is_imported_again(keeping: Keeper, store: MemoryStore, now: datetime) -> None:
    root = foreign(now)
    keeping.adopt(Import(signer=foreign(now, root), root=root.certificate), now)
    del store.records[Record.ISSUER]
    with pytest.raises(AuthorityError, match="root_key_absent") as raised:
        keeping.load_or_create(now)
    assert "import" in raised.value.hint
    another = foreign(now)
    with pytest.raises(AuthorityError, match="is gone"):
        keeping.adopt(Import(signer=another, root=another.certificate), now)
    written = len(store.written)
    again = Import(signer=foreign(now, root), root=root.certificate)
    assert isinstance(keeping.adopt(again, now, dry_run=True), Step)
    assert len(store.written) == written
    narrow = Import(signer=foreign(now, root, path_length=0), root=root.certificate)
    assert isinstance(keeping.adopt(narrow, now), Refused)
    keeping.adopt(again, now)
    verify_served(served(keeping.load_or_create(now), now), NAME, [root.certificate], now)


def test_our_issuer_below_an_imported_root_is_constrained(keeping: Keeper, now: datetime) -> None:
    """Whatever the root itself permits."""
    root = foreign(now)
    keeping.adopt(Import(signer=root, root=root.certificate), now)
    late = now + ISSUER_LIFETIME - RENEW_BEFORE + SECOND
    issuers = [keeping.load_or_create(moment).issuer.certificate for moment in (now, late)]
    assert issuers[0] != issuers[1]
    assert [permitted_domains(issuer) for issuer in issuers] == [PERMITTED, PERMITTED]


def test_a_bad_import_is_refused_with_its_reasons(keeping: Keeper, store: MemoryStore, now: datetime) -> None:
    root = foreign(now, permitted=("example.org",))
    refused = keeping.adopt(Import(signer=root, root=root.certificate), now)
    assert isinstance(refused, Refused)
    assert refused.reasons == (Reason.DOMAINS_MISSING,)
    assert store.written == []


def test_an_imported_issuer_goes_on_near_its_end(keeping: Keeper, now: datetime) -> None:
    """Nothing here can renew it; it is used to its end, then says what to do."""
    root = foreign(now)
    keeping.adopt(Import(signer=foreign(now, root, days=10), root=root.certificate), now)
    late = now + timedelta(days=9)
    assert keeping.load_or_create(late).new_intermediate(late).not_after == now + timedelta(days=10)
    ended = keeping.load_or_create(now + timedelta(days=11))
    with pytest.raises(AuthorityError, match="ended at"):
        ended.new_intermediate(now + timedelta(days=11))


def test_records_of_before_rotations_are_used_and_completed(
    store: MemoryStore, keeping: Keeper, root: Signer, issuer: Signer, now: datetime
) -> None:
    for record, signer in ((Record.ROOT, root), (Record.ISSUER, issuer)):
        fields = {"tls.crt": certificate_pem(signer.certificate), "tls.key": key_pem(signer.key)}
        store.write(record, fields, None)
    authority = keeping.load_or_create(now)
    assert authority.root == root.certificate
    assert authority.issuer.certificate == issuer.certificate
    keeping.rotate(Action.PREPARE, now)
    assert keeping.load_or_create(now).trust_sha256[0] == fingerprint(root.certificate)


@pytest.mark.parametrize("text", [b"{", b"[]", b'{"newest": "many"}', b'{"newest": null}'])
def test_an_emergency_needs_nothing_that_can_be_read(
    keeping: Keeper, store: MemoryStore, now: datetime, text: bytes
) -> None:
    keeping.load_or_create(now)
    store.edit(Record.ROOT, state_json=text, tls_crt=b"garbage")
    with pytest.raises(AuthorityError):
        keeping.load_or_create(now)
    planned = keeping.plan(Action.EMERGENCY, now)
    assert isinstance(planned, Step)
    keeping.rotate(Action.EMERGENCY, now)
    authority = keeping.load_or_create(now)
    assert (authority.generation, authority.phase) == (2, Phase.STABLE)


def test_an_emergency_in_an_empty_store_is_a_first_generation(keeping: Keeper, now: datetime) -> None:
    keeping.rotate(Action.EMERGENCY, now)
    assert keeping.load_or_create(now).generation == 1
