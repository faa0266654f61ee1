"""Which of several replicas acts: leader election by a Lease. The decisions are pure; `Elector` is the edge.

No two clocks are ever compared, so it does not matter how wrong they are. Who wants the lease measures on its own
monotonic clock how long ago it last saw the Lease change, and takes it after `Timing.lease`. Who has it counts from
before it asked for a renewal that succeeded, and stops acting after `Timing.deadline`, which is shorter: others can
only have seen that renewal later, so they wait longer.
"""

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from kecs.certs.kube import ConflictError, Json, Kube, KubeError
from kecs.core.errors import KecsError

_MICRO: Final = "%Y-%m-%dT%H:%M:%S.%fZ"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How long things take, in seconds. The defaults are those of Kubernetes' own controllers."""

    lease: float = 15.0
    """After how long without a change the lease may be taken."""
    deadline: float = 10.0
    """After how long without a renewal a leader stops acting."""
    retry: float = 2.0
    """How often it is looked at."""

    def __post_init__(self) -> None:
        if not 0 < self.retry < self.deadline < self.lease:
            raise ValueError(f"retry < deadline < lease does not hold: {self}")


class Standing(StrEnum):
    """What a replica does about the Lease that it has read."""

    RENEW = "renew"
    """It is the holder: say so again."""
    TAKE = "take"
    """Nobody holds it, or its holder has been silent for too long."""
    WAIT = "wait"
    """Another holds it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """The Lease as it was last seen to change, and when that was, on the observer's monotonic clock."""

    holder: str
    spec: Json
    since: float


class NotLeaderError(KecsError):
    """Another replica may be acting: nothing is written."""


def observe(lease: Json, before: Observed | None, now: float) -> Observed:
    """Take note of a Lease. What is unchanged keeps the time when it was first seen."""
    spec = lease.get("spec") or {}
    if before is not None and before.spec == spec:
        return before
    return Observed(holder=str(spec.get("holderIdentity") or ""), spec=spec, since=now)


def standing(observed: Observed, identity: str, timing: Timing, now: float) -> Standing:
    """Decide.

    The duration that the holder has announced counts if it is the longer one: it may have been told another setting.
    """
    if observed.holder == identity:
        return Standing.RENEW
    announced = observed.spec.get("leaseDurationSeconds")
    lasts = max(timing.lease, float(announced) if isinstance(announced, int | float) else 0.0)
    if not observed.holder or now - observed.since >= lasts:
        return Standing.TAKE
    return Standing.WAIT


def claimed(spec: Json, identity: str, timing: Timing, wall: datetime) -> Json:
    """Spell the Lease as it is when `identity` holds it. Its times are for people: nothing here reads them."""
    moment = f"{wall.astimezone(UTC):{_MICRO}}"
    mine = spec.get("holderIdentity") == identity
    transitions = int(spec.get("leaseTransitions") or 0)
    return spec | {
        "holderIdentity": identity,
        "leaseDurationSeconds": math.ceil(timing.lease),
        "acquireTime": (spec.get("acquireTime") if mine else None) or moment,
        "renewTime": moment,
        "leaseTransitions": transitions if mine or not spec else transitions + 1,
    }


@dataclass(slots=True, kw_only=True)
class Elector:
    """One replica's part in the election."""

    kube: Kube
    namespace: str
    name: str
    identity: str
    """Unlike every other replica's, and unlike an earlier process' of the same pod."""
    timing: Timing = field(default_factory=Timing)
    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], datetime] = lambda: datetime.now(UTC)
    told: Callable[[bool], None] = lambda _: None
    """Called when this replica begins to lead, and when it has stopped."""
    failure: str = ""
    """Why the Lease could not be read or written the last time."""
    _observed: Observed | None = None
    _until: float = float("-inf")
    _led: bool = False

    @property
    def leads(self) -> bool:
        """Whether this replica may act now."""
        return self.clock() < self._until

    @property
    def holder(self) -> str:
        """Who was last seen to hold the lease."""
        return self._observed.holder if self._observed else ""

    def check(self) -> None:
        """Raise NotLeaderError when this replica may not act."""
        if not self.leads:
            raise NotLeaderError(
                f"{self.identity} does not hold the lease {self.namespace}/{self.name}",
                hint="it could not be renewed in time, or another replica has it; nothing has to be done",
            )

    def step(self) -> None:
        """Read the Lease and do what is to be done about it. Never raises for what the API server says."""
        began = self.clock()
        try:
            self._step(began)
            self.failure = ""
        except ConflictError:
            pass  # another replica was first: its Lease is read the next time
        except KubeError as error:
            self.failure = error.message
        self._tell()

    def run(self, ended: threading.Event) -> None:
        """Take part until told to end, then let the lease go."""
        while not ended.is_set():
            self.step()
            ended.wait(self.timing.retry)
        self.release()

    def release(self) -> None:
        """Stop leading and say so, so that another replica need not wait."""
        self._until = float("-inf")
        self._tell()
        try:
            lease = self.kube.get(self._path)
            if lease.get("spec", {}).get("holderIdentity") == self.identity:
                lease["spec"] |= {"holderIdentity": "", "leaseDurationSeconds": 1}
                self.kube.replace(self._path, lease)
        except KubeError as error:
            self.failure = error.message  # it ends by itself

    @property
    def _collection(self) -> str:
        return f"/apis/coordination.k8s.io/v1/namespaces/{self.namespace}/leases"

    @property
    def _path(self) -> str:
        return f"{self._collection}/{self.name}"

    def _step(self, began: float) -> None:
        found = self.kube.find(self._path)
        if found is not None:
            self._observed = observe(found, self._observed, self.clock())
        # A Lease that was deleted says nothing about its holder, who may be acting: wait as if it were there.
        if (
            self._observed is not None
            and standing(self._observed, self.identity, self.timing, self.clock()) is Standing.WAIT
        ):
            self._until = float("-inf")
            return
        held = self._make() if found is None else self._claim(found)
        self._observed = observe(held, None, self.clock())
        self._until = began + self.timing.deadline

    def _claim(self, lease: Json) -> Json:
        lease["spec"] = claimed(lease.get("spec") or {}, self.identity, self.timing, self.wall())
        return self.kube.replace(self._path, lease)

    def _make(self) -> Json:
        body = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self.name, "namespace": self.namespace},
            "spec": claimed({}, self.identity, self.timing, self.wall()),
        }
        return self.kube.create(self._collection, body)

    def _tell(self) -> None:
        if self.leads is not self._led:
            self._led = not self._led
            self.told(self._led)
