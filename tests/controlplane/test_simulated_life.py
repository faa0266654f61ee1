"""Lives that are known from their beginning, looked at as time passes."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from ecs_lab import NOW, FakeIds
from hypothesis import given
from hypothesis import strategies as st
from tasks_lab import CLUSTER, NETWORK, container, definition

from kecs.controlplane.records import TaskDefinition
from kecs.controlplane.records.tasks import ContainerStatus
from kecs.controlplane.runtime import Launch
from kecs.controlplane.simulated_behaviour import LABEL
from kecs.controlplane.simulated_life import Delays, TaskLife, life, next_change, sight, stopped
from kecs.controlplane.tasks import TaskWish, new_task

SECOND = timedelta(seconds=1)
DELAYS = Delays(address=SECOND, pull=SECOND, start=SECOND, health=SECOND, stop=SECOND)


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def does(**said: Any) -> dict[str, Any]:
    return {"dockerLabels": {LABEL: json.dumps(said)}}


def begun(of: TaskDefinition, **overrides: Any) -> TaskLife:
    wish = TaskWish(network=NETWORK, overrides=overrides)
    task = new_task(cluster=CLUSTER, definition=of, wish=wish, now=NOW, ids=FakeIds())
    return life(Launch(task=task, definition=of, cluster=CLUSTER), delays=DELAYS, node="n", address="10.0.0.1")


def history(found: TaskLife) -> list[tuple[float, str]]:
    """Return what is seen whenever something changes: seconds, and each container's status, code and health."""
    now: datetime | None = NOW
    told = []
    while now is not None:
        seen = sight(found, now)
        words = [
            f"{one.name}:{one.status.value.lower()}"
            + (f"={one.exit_code}" if one.exit_code is not None else "")
            + (f" {one.health.value.lower()}" if one.health.value != "UNKNOWN" else "")
            for one in seen.containers
        ]
        told.append(((now - NOW).total_seconds(), ", ".join([*words, *([seen.failure] if seen.failure else [])])))
        now = next_change(found, now)
    return told


CHECK: dict[str, Any] = {"healthCheck": {"command": ["CMD", "true"], "startPeriod": 2}}


@pytest.mark.parametrize(
    ("containers", "expected"),
    [
        pytest.param(
            [container("app")],
            [(0, "app:pending"), (1, "app:pending"), (2, "app:pending"), (3, "app:running")],
            id="it runs for ever",
        ),
        pytest.param(
            [container("app", command=["sh", "-c", "sleep 4; exit 3"])],
            [(0, "app:pending"), (1, "app:pending"), (2, "app:pending"), (3, "app:running"), (7, "app:stopped=3")],
            id="it ends by itself",
        ),
        pytest.param(
            [container("app", **CHECK)],
            [
                (0, "app:pending"),
                (1, "app:pending"),
                (2, "app:pending"),
                (3, "app:running"),
                (6, "app:running healthy"),
            ],
            id="it is healthy after its start period",
        ),
        pytest.param(
            [container("app", **CHECK, **does(healthy=False))],
            [
                (0, "app:pending"),
                (1, "app:pending"),
                (2, "app:pending"),
                (3, "app:running"),
                (6, "app:running unhealthy"),
            ],
            id="it never is",
        ),
        pytest.param(
            [container("app", **CHECK, **does(unhealthyAfterSeconds=5))],
            [
                (0, "app:pending"),
                (1, "app:pending"),
                (2, "app:pending"),
                (3, "app:running"),
                (6, "app:running healthy"),
                (8, "app:running unhealthy"),
            ],
            id="it is for a while",
        ),
        pytest.param(
            [container("app", ("init", "SUCCESS")), container("init", command=["sleep", "2"])],
            [
                (0, "app:pending, init:pending"),
                (1, "app:pending, init:pending"),
                (2, "app:pending, init:pending"),
                (3, "app:pending, init:running"),
                (5, "app:running, init:stopped=0"),
            ],
            id="one waits for another's success",
        ),
        pytest.param(
            [container("app", ("init", "SUCCESS")), container("init", command=["false"])],
            [
                (0, "app:pending, init:pending"),
                (1, "app:pending, init:pending"),
                (2, "app:pending, init:pending"),
                (3, "app:pending, init:stopped=1"),
            ],
            id="which never comes",
        ),
        pytest.param(
            [container("app", ("db", "HEALTHY")), container("db", **CHECK), container("log", ("app", "START"))],
            [
                (0, "app:pending, db:pending, log:pending"),
                (1, "app:pending, db:pending, log:pending"),
                (2, "app:pending, db:pending, log:pending"),
                (3, "app:pending, db:running, log:pending"),
                (6, "app:running, db:running healthy, log:running"),
            ],
            id="one waits for another's health",
        ),
        pytest.param(
            [container("app", ("init", "COMPLETE")), container("init", command=["false"])],
            [
                (0, "app:pending, init:pending"),
                (1, "app:pending, init:pending"),
                (2, "app:pending, init:pending"),
                (3, "app:running, init:stopped=1"),
            ],
            id="one waits for another's end, whatever it is",
        ),
        pytest.param(
            [container("app", **does(pullFailure="no such image"))],
            [(0, "app:pending"), (1, "app:pending"), (2, "app:pending, CannotPullContainerError: no such image")],
            id="its image is not there",
        ),
        pytest.param(
            [container("app", **does(startFailure="no such file"))],
            [
                (0, "app:pending"),
                (1, "app:pending"),
                (2, "app:pending"),
                (3, "app:pending, CannotStartContainerError: no such file"),
            ],
            id="it can't be started",
        ),
    ],
)
def test_a_life(containers: list[dict[str, Any]], expected: list[tuple[float, str]]) -> None:
    assert history(begun(definition(*containers))) == expected


def test_what_is_said_and_not_understood_keeps_a_task_from_starting() -> None:
    found = begun(definition(container("app", dockerLabels={LABEL: "nonsense"})))
    assert sight(found, at(1)).failure.startswith(
        "ResourceInitializationError: kecs.io/simulate is no JSON: 'nonsense'"
    )


def test_an_override_reaches_a_container() -> None:
    found = begun(definition(), containerOverrides=[{"name": "app", "command": ["false"]}])
    assert sight(found, at(3)).containers[0].exit_code == 1


def test_the_network_and_the_image_are_there_in_time() -> None:
    found = begun(definition())
    first, addressed, pulled = (sight(found, at(seconds)) for seconds in (0, 1, 2))
    assert (first.address, first.pull_started_at, first.node) == ("", None, "n")
    assert (addressed.address, addressed.pull_started_at, addressed.pull_stopped_at) == ("10.0.0.1", at(1), None)
    assert pulled.pull_stopped_at == at(2)


@pytest.mark.parametrize(
    ("said", "stop", "expected"),
    [
        pytest.param({}, 5, (6, 143), id="it takes the signal"),
        pytest.param({"stopExitCode": 0}, 5, (6, 0), id="it ends well"),
        pytest.param({"stopSeconds": 3}, 5, (8, 143), id="it takes its time"),
        pytest.param({"stopSeconds": 60}, 5, (15, 137), id="it is killed"),
        pytest.param({"exitCode": 7, "afterSeconds": 1}, 5, (4, 7), id="it had ended before"),
        pytest.param({"exitCode": 7, "afterSeconds": 2.5}, 5, (5.5, 7), id="it ends meanwhile by itself"),
        pytest.param({}, 2, (2, None), id="it had not begun"),
    ],
)
def test_a_container_is_stopped(said: dict[str, Any], stop: float, expected: tuple[float, int | None]) -> None:
    found = stopped(begun(definition(container("app", stopTimeout=10, **does(**said)))), at(stop), DELAYS)
    for _ in range(2):  # a second order changes nothing
        [seen] = sight(found, at(100)).containers
        assert seen.finished_at is not None
        assert ((seen.finished_at - NOW).total_seconds(), seen.exit_code) == expected
        assert seen.status is ContainerStatus.STOPPED
        found = stopped(found, at(stop + 1), DELAYS)


@given(first=st.floats(0, 20), later=st.floats(0, 20), stop=st.booleans())
def test_what_was_seen_stays(first: float, later: float, *, stop: bool) -> None:
    app = container("app", ("init", "SUCCESS"), **CHECK, **does(exitCode=1, afterSeconds=5))
    found = begun(definition(app, container("init", command=["sleep", "2"])))
    found = stopped(found, at(7), DELAYS) if stop else found
    one, other = (sight(found, at(moment)) for moment in sorted((first, later)))
    order = list(ContainerStatus)
    for before, after in zip(one.containers, other.containers, strict=True):
        assert order.index(before.status) <= order.index(after.status)
        assert before.exit_code in {None, after.exit_code}
        assert before.started_at in {None, after.started_at}
