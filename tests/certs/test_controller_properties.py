"""Whatever is asked of an authority, wherever it is killed: every running pod verifies what its sidecar is served.

Pods are made with what the injector last saw, which may be hours old; leaders' clocks are up to ten minutes wrong.
"""

from datetime import timedelta

import pytest
from authority_lab import Cluster, cluster
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kube_lab import Fault

from kecs.core.errors import KecsError

WRITES = "P.+|DELETE"
ACTIONS = ("rotate", "prepare", "switch", "retire", "renew")

asking = st.tuples(st.just("ask"), st.sampled_from(ACTIONS), st.booleans())
rounds = st.tuples(st.just("round"), st.integers(0, 12), st.sampled_from(["well", "before", "after", "conflict"]))
others = st.sampled_from([("pod", 0, 0), ("stop", 0, 0), ("see", 0, 0), ("process", 0, 0)])
times = st.tuples(st.just("time"), st.sampled_from([1, 240, 11 * 60, 15 * 24 * 60]), st.integers(-10, 10))


class Run:
    """One sequence of steps, and the invariant after each."""

    def __init__(self, lab: Cluster) -> None:
        self.lab, self.pods, self.count = lab, list[str](), 0
        self.replica = lab.replica()
        self.replica.round()
        self.seen, self.seen_at = self.published(), lab.now
        self.skew = timedelta()

    def published(self) -> str:
        self.lab.start_pod("probe")  # so that the roots are known
        self.lab.stop_pod("probe")
        return self.lab.fields("configmaps", "kecs-trust")["trust_sha256"].decode()

    def ask(self, action: str, force: bool) -> None:  # noqa: FBT001 - one step of a table
        self.count += 1
        self.lab.ask(str(self.count), action, force=force)

    def round(self, place: int, how: str) -> None:
        faults = {
            "before": [Fault(method=WRITES, skip=place, drop=True, times=1000)],
            "after": [
                Fault(method=WRITES, skip=place, drop=True, after=True),
                Fault(method=WRITES, skip=place, drop=True, times=1000),
            ],
            "conflict": [Fault(method=WRITES, skip=place, status=409, times=3)],
        }
        self.lab.api.faults[:] = faults.get(how, [])
        self.lab.now += self.skew
        try:
            self.replica.round()
        except KecsError:
            self.process(0, 0)
        finally:
            self.lab.now -= self.skew
            self.lab.api.faults.clear()

    def process(self, *_: object) -> None:
        self.replica = self.lab.replica()

    def pod(self, *_: object) -> None:
        self.count += 1
        self.pods.append(f"pod-{self.count}")
        self.lab.start_pod(self.pods[-1], self.seen)

    def stop(self, *_: object) -> None:
        if self.pods:
            self.lab.stop_pod(self.pods.pop(0))

    def see(self, *_: object) -> None:
        self.seen, self.seen_at = self.published(), self.lab.now

    def time(self, minutes: int, skew: int) -> None:
        self.lab.pass_time(minutes=minutes)
        self.skew = timedelta(minutes=skew)
        for _ in range(3):
            self.round(0, "well")
        if self.lab.now - self.seen_at > timedelta(hours=12):
            self.see()


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(asking | rounds | others | times, max_size=25))
def test_every_running_pod_verifies_what_is_served(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, object, object]]
) -> None:
    with cluster(tmp_path_factory.mktemp("cluster")) as lab:
        run = Run(lab)
        for name, *arguments in steps:
            getattr(run, name)(*arguments)
            assert lab.cannot_verify() == [], (name, arguments)
        for pod in run.pods:
            lab.stop_pod(pod)
        run.skew = timedelta()
        lab.settle(lab.replica(), rounds=60)
        assert lab.fields("configmaps", "kecs-trust")["ca.crt"] == lab.authority.bundle_pem
