"""When rounds run: after changes, after failures, only while leading. The rounds are the test's own."""

import io
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from kube_lab import ApiServer, Fault, api_server

from kecs.certs.chronicle import Chronicle
from kecs.certs.kube import Kube, UnavailableError
from kecs.certs.lease import Elector, NotLeaderError, Timing
from kecs.certs.loop import WATCHED, Loop, mirrors
from kecs.core.errors import AuthorityError, KecsError

NAMESPACE = "kecs-system"


class Scripted:
    """Rounds that end as they are told to."""

    def __init__(self, *outcomes: float | KecsError, problem: str = "") -> None:
        self.outcomes = list(outcomes)
        self.problem = problem
        self.count = 0

    def round(self) -> float:
        self.count += 1
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if isinstance(outcome, KecsError):
            raise outcome
        return outcome


@pytest.fixture
def api() -> Iterator[ApiServer]:
    with api_server() as found:
        yield found


@pytest.fixture
def kube(api: ApiServer, tmp_path: Path) -> Iterator[Kube]:
    found = Kube.load(kubeconfig=str(api.kubeconfig(tmp_path)))
    yield found
    found.close()


def elector(kube: Kube) -> Elector:
    timing = Timing(lease=60, deadline=50, retry=0.05)
    return Elector(kube=kube, namespace=NAMESPACE, name="l", identity="me", timing=timing)


def loop(kube: Kube, rounds: Scripted, log: io.StringIO | None = None) -> tuple[Loop, Elector, Chronicle]:
    chronicle = Chronicle(None, NAMESPACE, stream=log or io.StringIO())
    found = elector(kube)
    return Loop(rounds, found, chronicle), found, chronicle


def test_a_failure_is_tried_again_ever_later(kube: Kube) -> None:
    log = io.StringIO()
    rounds = Scripted(*[AuthorityError("it is broken", hint="mend it")] * 9, 30.0)
    made, _, chronicle = loop(kube, rounds, log)
    pauses = [made.once() for _ in range(9)]
    for pause, longest in zip(pauses, [0.5, 1, 2, 4, 8, 16, 30, 30, 30], strict=True):
        assert longest / 2 <= pause <= longest
    assert made.failure == "it is broken"
    assert log.getvalue().count("round_failed") == 1
    assert b"kecs_authority_failures_total 9.0" in chronicle.metrics()
    assert made.once() == 30
    assert made.failure == ""
    assert '"recovered"' in log.getvalue()


def test_the_api_server_s_own_wish_is_kept(kube: Kube) -> None:
    made, *_ = loop(kube, Scripted(UnavailableError("busy", status=429, retry_after_s=17)))
    assert made.once() == 17


def test_ceasing_to_lead_is_no_failure(kube: Kube) -> None:
    made, *_ = loop(kube, Scripted(NotLeaderError("no")))
    made.failure = ""
    assert (made.once(), made.failure) == (0, "")


def test_a_round_that_found_a_problem_is_not_ready(kube: Kube) -> None:
    made, leader, _ = loop(kube, Scripted(30.0, problem="the root may not sign"))
    leader.step()
    made.once()
    assert made.missing() == ("the root may not sign",)


def test_who_is_ready(api: ApiServer, kube: Kube) -> None:
    made, leader, _ = loop(kube, Scripted(30.0))
    assert made.missing() == ("nobody holds the lease yet",)
    leader.step()
    assert made.missing() == ("no round was run yet",)
    made.once()
    assert made.missing() == ()
    leader.release()
    api.faults.append(Fault(status=503, times=9))
    leader.step()
    assert made.missing() == ("injected by the test",)
    api.faults.clear()
    lease = api.at("leases", "l", NAMESPACE)
    assert lease
    lease["spec"]["holderIdentity"] = "another"
    api.put("leases", lease)
    leader.step()
    assert (leader.leads, made.missing()) == (False, ())


def test_a_change_causes_a_round_and_nothing_else_does(api: ApiServer, kube: Kube) -> None:
    rounds = Scripted(1000.0)
    made, leader, _ = loop(kube, rounds)
    watched = mirrors(kube, NAMESPACE, made.wake)
    for mirror in watched:
        mirror.start()
    for mirror in watched:
        assert mirror.wait(20)
    ended = threading.Event()
    thread = threading.Thread(target=made.run, args=(ended,))
    leader.step()
    thread.start()
    for resource, name in WATCHED:
        before = rounds.count
        api.put(resource, {"metadata": {"name": name, "namespace": NAMESPACE}})
        api.wait(lambda before=before: rounds.count > before)  # type: ignore[misc]
    api.wait(lambda: made.failure == "")
    ended.set()
    made.wake()
    thread.join(10)
    assert not thread.is_alive()
    selectors = {request.query.get("fieldSelector") for request in api.requests if request.path.endswith("s")}
    assert {f"metadata.name={name}" for _, name in WATCHED} <= selectors
    for mirror in watched:
        mirror.close()


def test_who_does_not_lead_runs_no_round(api: ApiServer, kube: Kube) -> None:
    rounds = Scripted(0.01)
    made, leader, _ = loop(kube, rounds)
    ended = threading.Event()
    thread = threading.Thread(target=made.run, args=(ended,))
    thread.start()
    made.wake()
    assert rounds.count == 0
    leader.step()
    made.wake()
    api.wait(lambda: rounds.count >= 2)
    leader.release()
    ended.set()
    made.wake()
    thread.join(10)
    assert not thread.is_alive()
