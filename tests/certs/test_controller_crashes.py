"""The authority's process is killed at every write of everything that it does, and replicas race each other.

Each write is killed twice: before the API server sees it, and after it was done but before that is known.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from authority_lab import NAMESPACE, SCOPE, Cluster, cluster
from kube_lab import Fault

from kecs.certs.authority import certificate_pem, issue_issuer, issue_root, key_pem
from kecs.certs.lease import Elector, NotLeaderError
from kecs.certs.requests import Stage
from kecs.certs.state import Phase
from kecs.core.errors import KecsError

WRITES = "P.+|DELETE"


def nothing(_: Cluster) -> None:
    """A cluster where nobody has been."""


def running(lab: Cluster) -> None:
    lab.replica().round()
    lab.start_pod("a")


def asked(action: str, **flags: bool) -> Callable[[Cluster], None]:
    def ask(lab: Cluster) -> None:
        running(lab)
        lab.ask("it", action, **flags)

    return ask


def after(*actions: str, then: str, **flags: bool) -> Callable[[Cluster], None]:
    def ask(lab: Cluster) -> None:
        running(lab)
        replica = lab.replica(propagation_s=0)
        for number, action in enumerate(actions):
            lab.ask(str(number), action)
            replica.round()
        lab.start_pod("b")
        lab.ask("it", then, **flags)

    return ask


def imported(*, root: bool) -> Callable[[Cluster], None]:
    def ask(lab: Cluster) -> None:
        running(lab)
        theirs = issue_root(lab.now, permitted=SCOPE.all)
        signer = theirs if root else issue_issuer(theirs, lab.now)
        above = () if root else (theirs.certificate,)
        chain = certificate_pem(signer.certificate, *above)
        lab.edit("secrets", "kecs-import", tls_crt=chain, tls_key=key_pem(signer.key))
        lab.ask("it", "import")

    return ask


def aged(lab: Cluster) -> None:
    running(lab)
    lab.pass_time(days=75)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Something that the authority does, and what is to hold when it was done."""

    before: Callable[[Cluster], None]
    generation: int
    phase: Phase
    pods_break: bool = False


CASES = {
    "the first authority": Case(before=nothing, generation=1, phase=Phase.STABLE),
    "renewal": Case(before=aged, generation=1, phase=Phase.STABLE),
    "renewal on request": Case(before=asked("renew"), generation=1, phase=Phase.STABLE),
    "prepare": Case(before=asked("prepare"), generation=1, phase=Phase.PREPARED),
    "switch": Case(before=after("prepare", then="switch"), generation=2, phase=Phase.SWITCHED),
    "retire by force": Case(
        before=after("prepare", "switch", then="retire", force=True), generation=2, phase=Phase.STABLE
    ),
    "a whole rotation by force": Case(before=asked("rotate", force=True), generation=2, phase=Phase.STABLE),
    "an emergency": Case(before=asked("emergency"), generation=2, phase=Phase.STABLE, pods_break=True),
    "an emergency in a rotation": Case(
        before=after("prepare", "switch", then="emergency"), generation=3, phase=Phase.STABLE, pods_break=True
    ),
    "an imported root": Case(before=imported(root=True), generation=1, phase=Phase.PREPARED),
    "an imported issuer": Case(before=imported(root=False), generation=1, phase=Phase.PREPARED),
}


@contextmanager
def prepared(case: Case, directory: Path) -> Iterator[Cluster]:
    with cluster(directory) as lab:
        case.before(lab)
        lab.api.requests.clear()
        yield lab


def writes(lab: Cluster) -> int:
    return sum(request.method != "GET" for request in lab.api.requests)


def check(lab: Cluster, case: Case) -> None:
    """Look whether a pod would be refused, or be given what it refuses."""
    if lab.api.at("secrets", "kecs-issuer", NAMESPACE) and not case.pods_break:
        assert lab.cannot_verify() == []


def check_end(lab: Cluster, case: Case) -> None:
    authority = lab.authority
    assert (authority.generation, authority.phase) == (case.generation, case.phase)
    assert lab.fields("configmaps", "kecs-trust")["ca.crt"] == authority.bundle_pem
    assert lab.fields("secrets", "kecs-injector-tls")["ca.crt"] == authority.bundle_pem
    assert lab.api.at("secrets", "kecs-import", NAMESPACE) is None
    if lab.api.at("configmaps", "kecs-rotation", NAMESPACE):
        assert (lab.report.id, lab.report.stage) == ("it", Stage.DONE)
    check(lab, case)


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items()])
def test_undisturbed(case: Case, tmp_path: Path) -> None:
    with prepared(case, tmp_path) as lab:
        lab.settle(lab.replica(propagation_s=0))
        assert writes(lab) >= 2
        check_end(lab, case)


@pytest.mark.parametrize("done", [False, True], ids=["before the write", "after the write"])
@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items()])
def test_killed_at_every_write(case: Case, tmp_path: Path, *, done: bool) -> None:
    with prepared(case, tmp_path) as lab:
        lab.settle(lab.replica(propagation_s=0))
        total = writes(lab)
    for place in range(total):
        with prepared(case, tmp_path) as lab:
            lab.api.faults += [
                Fault(method=WRITES, skip=place, drop=True, after=done),
                Fault(method=WRITES, skip=place, drop=True, times=1000),
            ]
            victim = lab.replica(propagation_s=0)
            for _ in range(6):
                try:
                    lab.pass_time(seconds=victim.round())
                except KecsError:
                    break
                check(lab, case)
            check(lab, case)
            lab.api.faults.clear()
            lab.settle(lab.replica(propagation_s=0))
            check_end(lab, case)


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items()])
def test_two_that_both_believe_to_lead(case: Case, tmp_path: Path) -> None:
    """The lease should prevent it. If it ever does not, versions do."""
    with prepared(case, tmp_path) as lab:
        start = threading.Barrier(2)
        failures: list[BaseException] = []

        def run() -> None:
            replica = lab.replica(propagation_s=0)
            start.wait(10)
            for _ in range(6):
                try:
                    replica.round()
                except KecsError:
                    continue
                except BaseException as error:  # noqa: BLE001 - a thread's failure is the test's
                    failures.append(error)
                    return

        threads = [threading.Thread(target=run) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert failures == []
        check(lab, case)
        lab.settle(lab.replica(propagation_s=0))
        if not case.pods_break:
            check_end(lab, case)


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items()])
def test_a_leader_that_is_cut_off_in_the_middle(case: Case, tmp_path: Path) -> None:
    """Its lease runs out before one of its writes; another one takes over and finishes."""
    stopped = True
    place = 0
    while stopped:
        with prepared(case, tmp_path) as lab:
            stopped = stop_before(lab, place)
            second = elector(lab, "b")
            second.step()
            lab.up += 60
            second.step()
            assert second.leads
            lab.settle(lab.replica(propagation_s=0))
            check_end(lab, case)
        place += 1
    assert place >= 3


def stop_before(lab: Cluster, place: int) -> bool:
    """Run a leader whose machine sleeps before its n-th write; say whether that kept it from writing."""
    first = elector(lab, "a")
    first.step()
    left = place

    def check_and_count() -> None:
        nonlocal left
        lab.up += 60 * (left == 0)
        left -= 1
        first.check()

    replica = lab.replica(propagation_s=0, may_write=check_and_count)
    for _ in range(8):
        try:
            replica.round()
        except NotLeaderError:
            return True
    return False


def elector(lab: Cluster, identity: str) -> Elector:
    return Elector(kube=lab.kube, namespace=NAMESPACE, name="kecs-authority", identity=identity, clock=lambda: lab.up)
