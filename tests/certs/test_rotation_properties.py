"""Whatever happens in whatever order: every running workload verifies every chain that its sidecar is served."""

from datetime import UTC, datetime, timedelta

from certs_lab import NAME, PERMITTED, DyingStore, Killed, MemoryStore, keeper
from cryptography import x509
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kecs.certs.bundle import fingerprint
from kecs.certs.leaf import Intermediate
from kecs.certs.records import Record, decode_authority
from kecs.certs.rotation import CROSSES_MAX, Action, Reason, Refused, Scope, Step, Workload
from kecs.certs.state import Authority, Phase
from kecs.certs.verify import verify_served

SCOPE = Scope(permitted=PERMITTED, services=("kecs-system.svc",), root_lifetime=timedelta(days=400))
BEGIN = datetime(2030, 1, 1, tzinfo=UTC)
STALE = timedelta(hours=1)
"""How old a bundle may be that a pod is made with."""
SKEWS = st.sampled_from([timedelta(0), timedelta(minutes=10), timedelta(minutes=-10)])
DEATHS = st.sampled_from([(0, False), (1, False), (1, True), (2, False), (2, True)])
"""At which write the process is killed, and whether the write was done; 0 for not at all."""


class Running:
    """A workload that runs: what it trusts until its end, and the intermediate that its sidecar holds."""

    def __init__(self, number: int, bundle: tuple[x509.Certificate, ...], holds: Intermediate) -> None:
        self.bundle, self.holds = bundle, holds
        trusted = tuple(fingerprint(root) for root in bundle)
        self.told = Workload(name=f"default/pod-{number}", kind="pod", trusted=trusted)

    @property
    def end(self) -> datetime:
        return max(root.not_valid_after_utc for root in self.bundle)


class Rotations(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.store, self.now, self.count = MemoryStore(), BEGIN, 0
        self.running: list[Running] = []
        self.published: list[tuple[datetime, tuple[x509.Certificate, ...]]] = []

    @property
    def authority(self) -> Authority:
        """What the service that signs reads: the issuer record alone, just as the last write left it."""
        kept = self.store.read(Record.ISSUER)
        assert kept
        return decode_authority(kept[0])

    @property
    def workloads(self) -> list[Workload]:
        return [one.told for one in self.running]

    @initialize()
    def begin(self) -> None:
        keeper(self.store, SCOPE).converge(self.now)
        self.publish()

    def publish(self) -> None:
        self.published.append((self.now, self.authority.bundle))

    def act(self, action: Action, death: tuple[int, bool], skew: timedelta, *, force: bool = False) -> None:
        """Do one act with a clock that is off, by a process that may be killed; restart whom it says it breaks."""
        writes, after = death
        keeping = keeper(DyingStore(self.store, writes, after), SCOPE)
        try:
            outcome = keeping.rotate(action, self.now + skew, workloads=self.workloads, force=force)
        except Killed:
            self.converge(skew)
            if force and self.authority.phase is Phase.STABLE:  # done: who is broken is found out again
                newest = fingerprint(self.authority.root)
                self.running = [one for one in self.running if newest in one.told.trusted]
            return
        if isinstance(outcome, Refused):
            assert outcome.reasons
            return
        self.restart(outcome)
        self.publish()

    def restart(self, step: Step) -> None:
        self.running = [one for one in self.running if one.told not in step.broken]

    def converge(self, skew: timedelta) -> None:
        keeper(self.store, SCOPE).converge(self.now + skew, self.workloads)
        self.publish()

    @rule(death=DEATHS, skew=SKEWS)
    def prepare(self, death: tuple[int, bool], skew: timedelta) -> None:
        self.act(Action.PREPARE, death, skew)

    @rule(death=DEATHS, skew=SKEWS)
    def switch(self, death: tuple[int, bool], skew: timedelta) -> None:
        self.act(Action.SWITCH, death, skew)

    @rule(death=DEATHS, skew=SKEWS, force=st.booleans())
    def retire(self, death: tuple[int, bool], skew: timedelta, *, force: bool) -> None:
        self.act(Action.RETIRE, death, skew, force=force)

    @rule(death=DEATHS, skew=SKEWS)
    def renew(self, death: tuple[int, bool], skew: timedelta) -> None:
        self.act(Action.RENEW, death, skew)

    @rule(skew=SKEWS)
    def rotate_as_far_as_it_goes(self, skew: timedelta) -> None:
        for action in (Action.PREPARE, Action.SWITCH, Action.RETIRE):
            self.act(action, (0, False), skew)

    @rule(death=DEATHS, skew=SKEWS)
    def leak(self, death: tuple[int, bool], skew: timedelta) -> None:
        """An emergency breaks whoever runs, says so of each, and leaves one generation that nothing vouches for."""
        told = keeper(self.store, SCOPE).plan(Action.EMERGENCY, self.now, workloads=self.workloads)
        assert isinstance(told, Step)
        assert list(told.broken) == self.workloads
        before = self.authority.generation
        self.act(Action.EMERGENCY, death, skew)
        if self.authority.generation != before:
            self.running = []
            self.published = self.published[-1:]
            assert (self.authority.phase, self.authority.above) == (Phase.STABLE, ())

    @precondition(lambda self: len(self.authority.crosses) < 2)
    @rule(skew=SKEWS)
    def lose_the_issuer_record(self, skew: timedelta) -> None:
        """Somebody deletes it, as the hint of a damaged one says."""
        del self.store.records[Record.ISSUER]
        self.converge(skew)

    @rule(fresh=st.booleans(), data=st.data())
    def start_a_workload(self, data: st.DataObject, *, fresh: bool) -> None:
        """A pod is told to trust the bundle of now, or what an injector took for it within the last hour."""
        recent = [bundle for at, bundle in self.published if self.now - at <= STALE]
        bundle = self.authority.bundle if fresh or not recent else data.draw(st.sampled_from(recent))
        if any(self.now < root.not_valid_after_utc - STALE for root in bundle):
            self.count += 1
            self.running.append(Running(self.count, bundle, self.authority.new_intermediate(self.now)))

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def end_a_workload(self, data: st.DataObject) -> None:
        self.running.remove(data.draw(st.sampled_from(self.running)))

    @precondition(lambda self: self.running)
    @rule(data=st.data(), skew=SKEWS)
    def renew_an_intermediate(self, data: st.DataObject, skew: timedelta) -> None:
        data.draw(st.sampled_from(self.running)).holds = self.authority.new_intermediate(self.now + skew)

    @rule(minutes=st.integers(1, 90), skew=SKEWS)
    def pass_minutes(self, minutes: int, skew: timedelta) -> None:
        self.wait(timedelta(minutes=minutes), skew)

    @rule(days=st.integers(1, 25), skew=SKEWS)
    def pass_days(self, days: int, skew: timedelta) -> None:
        self.wait(timedelta(days=days), skew)

    def wait(self, time: timedelta, skew: timedelta) -> None:
        """Sidecars renew long before their intermediates end; a workload whose roots have ended can't be served."""
        self.now += time
        self.running = [one for one in self.running if self.now < one.end - STALE]
        if self.now >= self.authority.root.not_valid_after_utc - STALE:
            self.act(Action.EMERGENCY, (0, False), timedelta(0))
            self.running = []
        self.converge(skew)
        for one in self.running:
            if one.holds.not_after < self.now + timedelta(hours=8):
                one.holds = self.authority.new_intermediate(self.now)

    @invariant()
    def every_workload_verifies_what_it_is_served(self) -> None:
        if not self.store.records:
            return
        authority = self.authority
        assert len(authority.crosses) <= CROSSES_MAX
        anew = authority.new_intermediate(self.now)
        for one in self.running:
            for signs in (one.holds, anew):
                chain = x509.load_pem_x509_certificates(signs.mint((NAME,), self.now)[0])
                for skew in (timedelta(minutes=-10), timedelta(0), timedelta(minutes=10)):
                    verify_served(chain, NAME, one.bundle, self.now + skew)

    @invariant()
    def at_most_two_generations_live(self) -> None:
        if self.store.records:
            authority = self.authority
            assert len(authority.bundle) == (1 if authority.phase is Phase.STABLE else 2)
            assert authority.bundle[0] == authority.root


Rotations.TestCase.settings = settings(max_examples=40, stateful_step_count=40)
TestRotations = Rotations.TestCase


def test_reasons_are_told_apart() -> None:
    """The machine above takes any refusal; that none is of an import shows that it reached none by accident."""
    store = MemoryStore()
    keeping = keeper(store, SCOPE)
    keeping.converge(BEGIN)
    refused = keeping.rotate(Action.SWITCH, BEGIN)
    assert isinstance(refused, Refused)
    assert refused.reasons == (Reason.NOT_PREPARED,)
