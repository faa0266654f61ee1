"""Leader election: every decision as a table, then replicas with clocks of their own against the fake API server."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kube_lab import ApiServer, Fault, api_server

from kecs.certs.kube import Kube
from kecs.certs.lease import Elector, NotLeaderError, Observed, Standing, Timing, claimed, observe, standing

WALL = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
TIMING = Timing()
NAMESPACE, NAME = "kecs-system", "kecs-authority"


class Clock:
    """Two clocks of one machine: how long it has been up, and what time it takes it to be."""

    def __init__(self, *, up: float = 0, wall: datetime = WALL) -> None:
        self.up, self.at = up, wall

    def tick(self, seconds: float) -> None:
        self.up += seconds
        self.at += timedelta(seconds=seconds)


@pytest.fixture
def api() -> Iterator[ApiServer]:
    with api_server() as found:
        yield found


@pytest.fixture
def kube(api: ApiServer, tmp_path: Path) -> Iterator[Kube]:
    found = Kube.load(kubeconfig=str(api.kubeconfig(tmp_path)))
    yield found
    found.close()


def elector(kube: Kube, identity: str, clock: Clock, **options: Any) -> Elector:
    return Elector(
        kube=kube,
        namespace=NAMESPACE,
        name=NAME,
        identity=identity,
        clock=lambda: clock.up,
        wall=lambda: clock.at,
        **options,
    )


def spec(api: ApiServer) -> dict[str, Any]:
    lease = api.at("leases", NAME, NAMESPACE)
    assert lease
    found: dict[str, Any] = lease["spec"]
    return found


@pytest.mark.parametrize(
    ("holder", "silent_s", "announced", "expected"),
    [
        pytest.param("me", 1000, 15, Standing.RENEW, id="mine, however old"),
        pytest.param("", 0, 15, Standing.TAKE, id="let go"),
        pytest.param("other", 14.9, 15, Standing.WAIT, id="another's, seen to change lately"),
        pytest.param("other", 15, 15, Standing.TAKE, id="another's, silent"),
        pytest.param("other", 20, 30, Standing.WAIT, id="another's, who announced more than our setting"),
        pytest.param("other", 15, 1, Standing.TAKE, id="another's, who announced less"),
        pytest.param("other", 15, None, Standing.TAKE, id="another's, who announced nothing"),
    ],
)
def test_what_to_do_about_a_lease(holder: str, silent_s: float, announced: int | None, expected: Standing) -> None:
    seen = Observed(holder=holder, spec={"leaseDurationSeconds": announced}, since=100)
    assert standing(seen, "me", TIMING, 100 + silent_s) is expected


def test_what_is_unchanged_keeps_its_time() -> None:
    lease = {"spec": {"holderIdentity": "other", "renewTime": "x"}}
    first = observe(lease, None, 5)
    assert observe(lease, first, 9) is first
    assert observe({"spec": {"holderIdentity": "other", "renewTime": "y"}}, first, 9).since == 9
    assert observe({}, None, 1).holder == ""


def test_what_a_claim_says() -> None:
    first = claimed({}, "a", TIMING, WALL)
    assert first == {
        "holderIdentity": "a",
        "leaseDurationSeconds": 15,
        "acquireTime": "2026-11-21T12:00:00.000000Z",
        "renewTime": "2026-11-21T12:00:00.000000Z",
        "leaseTransitions": 0,
    }
    later = claimed(first, "a", TIMING, WALL + timedelta(seconds=2))
    assert (later["acquireTime"], later["renewTime"]) == (first["acquireTime"], "2026-11-21T12:00:02.000000Z")
    assert claimed(later, "b", TIMING, WALL)["leaseTransitions"] == 1


@pytest.mark.parametrize("wrong", [{"lease": 10.0}, {"retry": 0.0}, {"deadline": 1.0}])
def test_a_timing_that_could_give_two_leaders_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="does not hold"):
        Timing(**wrong)


def test_one_leads_and_the_other_waits(api: ApiServer, kube: Kube) -> None:
    clock, told = Clock(), list[bool]()
    first, second = elector(kube, "a", clock, told=told.append), elector(kube, "b", clock)
    first.step()
    second.step()
    assert (first.leads, second.leads, second.holder, told) == (True, False, "a", [True])
    first.check()
    with pytest.raises(NotLeaderError, match="b does not hold"):
        second.check()
    assert spec(api)["leaseTransitions"] == 0


@pytest.mark.parametrize("skew_min", [-10, 10], ids=["behind", "ahead"])
def test_wrong_clocks_change_nothing(kube: Kube, skew_min: int) -> None:
    here, there = Clock(up=5), Clock(up=90_000, wall=WALL + timedelta(minutes=skew_min))
    first, second = elector(kube, "a", here), elector(kube, "b", there)
    for _ in range(20):
        first.step()
        second.step()
        assert (first.leads, second.leads) == (True, False)
        here.tick(2)
        there.tick(2)
    stopped, taken = 0.0, 0.0
    for _ in range(40):  # the first one is cut off
        here.tick(0.5)
        there.tick(0.5)
        second.step()
        assert not (first.leads and second.leads)
        stopped += 0.5 * first.leads
        taken += 0.5 * (not second.leads)
    assert (stopped, taken) == (7.5, 12.5)  # since the last renewal: 2 s more
    first.step()
    assert (first.leads, first.holder) == (False, "b")


def test_who_cannot_renew_stops_before_others_may_begin(api: ApiServer, kube: Kube) -> None:
    clock, told = Clock(), list[bool]()
    first = elector(kube, "a", clock, told=told.append)
    first.step()
    api.faults.append(Fault(status=503, times=1000))
    for _ in range(4):
        clock.tick(2)
        first.step()
        assert first.leads
    assert "injected" in first.failure
    clock.tick(2)
    assert not first.leads
    first.step()
    assert told == [True, False]
    api.faults.clear()
    first.step()
    assert (first.leads, first.failure, told) == (True, "", [True, False, True])


def test_an_answer_that_never_came_is_no_leadership(api: ApiServer, kube: Kube) -> None:
    clock = Clock()
    first = elector(kube, "a", clock)
    api.faults.append(Fault(method="POST", drop=True, after=True))
    first.step()
    assert not first.leads
    assert spec(api)["holderIdentity"] == "a"
    first.step()
    assert first.leads


def test_of_four_that_race_one_wins(api: ApiServer, tmp_path: Path) -> None:
    clocks = [Clock() for _ in range(4)]
    kubes = [Kube.load(kubeconfig=str(api.kubeconfig(tmp_path))) for _ in clocks]
    racers = [elector(one, f"r{place}", clock) for place, (one, clock) in enumerate(zip(kubes, clocks, strict=True))]
    for _ in range(10):
        start = threading.Barrier(len(racers))

        def race(one: Elector, start: threading.Barrier = start) -> None:
            start.wait()
            one.step()

        threads = [threading.Thread(target=race, args=(one,)) for one in racers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [one.identity for one in racers if one.leads] == [spec(api)["holderIdentity"]]
        for clock in clocks:
            clock.tick(60)
        for one in racers:  # nobody renewed: all see it, none changed
            one.release()
    for kube in kubes:
        kube.close()


def test_a_lease_that_is_deleted_is_not_taken_at_once(api: ApiServer, kube: Kube) -> None:
    clock = Clock()
    first, second = elector(kube, "a", clock), elector(kube, "b", clock)
    first.step()
    second.step()
    api.remove("leases", NAME, NAMESPACE)
    second.step()
    assert (first.leads, second.leads) == (True, False)
    clock.tick(15)
    second.step()
    assert (first.leads, second.leads) == (False, True)


def test_letting_go_lets_the_next_one_in_at_once(api: ApiServer, kube: Kube) -> None:
    clock = Clock()
    first, second = elector(kube, "a", clock), elector(kube, "b", clock)
    ended = threading.Event()
    thread = threading.Thread(target=first.run, args=(ended,))
    thread.start()
    api.wait(lambda: first.leads)
    second.step()
    assert not second.leads
    ended.set()
    thread.join(10)
    assert not first.leads
    second.step()
    assert second.leads


def test_letting_go_of_what_another_has_changes_nothing(api: ApiServer, kube: Kube) -> None:
    clock = Clock()
    first, second = elector(kube, "a", clock), elector(kube, "b", clock)
    first.step()
    second.step()
    second.release()
    assert spec(api)["holderIdentity"] == "a"
    api.faults.append(Fault(status=503, times=9))
    first.release()
    assert not first.leads
    assert first.failure


@settings(max_examples=25)
@given(
    acts=st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["step", "cut", "restart", "wait"])), max_size=60),
    rates=st.tuples(*[st.floats(0.9, 1.1)] * 3),
)
def test_never_two_leaders_whatever_happens(
    tmp_path_factory: pytest.TempPathFactory, acts: list[tuple[int, str]], rates: tuple[float, ...]
) -> None:
    """Clocks run up to a tenth too fast or too slow; 10 s and 15 s leave room for that."""
    with api_server() as api:
        kube = Kube.load(kubeconfig=str(api.kubeconfig(tmp_path_factory.mktemp("lease"))))
        clocks = [Clock(up=1000.0 * place) for place in range(3)]
        replicas = [elector(kube, f"r{place}", clock) for place, clock in enumerate(clocks)]
        for count, (place, act) in enumerate(acts):
            if act == "restart":
                replicas[place] = elector(kube, f"r{place}-{count}", clocks[place])
            elif act == "wait":
                for clock, rate in zip(clocks, rates, strict=True):
                    clock.tick(3 * rate)
            else:
                if act == "cut":
                    api.faults.append(Fault(method="P.T", drop=True, after=True))
                replicas[place].step()
                api.faults.clear()
            assert sum(one.leads for one in replicas) <= 1
        kube.close()
