from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from ecs_lab import NOW
from tasks_lab import Life, container, definition

from kecs.controlplane.dependencies import NEVER_STARTED, dependents_last, may_start, next_timeout
from kecs.controlplane.records.tasks import ContainerStatus, Health
from kecs.controlplane.runtime import ContainerSighting, Sighting

SECONDS = timedelta(seconds=1)


def after(seconds: float) -> datetime:
    return NOW + SECONDS * seconds


def sighting(**seen: ContainerSighting) -> Sighting:
    return Sighting(task_arn="a", containers=tuple(replace(one, name=name) for name, one in seen.items()))


WAITS = ContainerSighting(name="", status=ContainerStatus.PENDING)
RUNS = ContainerSighting(name="", status=ContainerStatus.RUNNING, started_at=NOW)
DONE = ContainerSighting(name="", status=ContainerStatus.STOPPED, started_at=NOW, exit_code=0)
FAILED = replace(DONE, exit_code=1)
NEVER_BEGUN = ContainerSighting(name="", status=ContainerStatus.STOPPED)


@pytest.mark.parametrize(
    ("condition", "dependency", "why"),
    [
        pytest.param("START", WAITS, "", id="start: it may still come"),
        pytest.param("START", DONE, "", id="start: it did"),
        pytest.param("START", NEVER_BEGUN, "because dependency will never start", id="start: it never will"),
        pytest.param("COMPLETE", RUNS, "", id="complete: it runs"),
        pytest.param("COMPLETE", FAILED, "", id="complete: it ended"),
        pytest.param("SUCCESS", DONE, "", id="success: it did"),
        pytest.param("SUCCESS", FAILED, "as dependency did not exit successfully", id="success: it did not"),
        pytest.param("HEALTHY", RUNS, "", id="healthy: it may still come"),
        pytest.param("HEALTHY", DONE, "as dependency has stopped", id="healthy: it is over"),
    ],
)
def test_which_containers_never_start(condition: str, dependency: ContainerSighting, why: str) -> None:
    of = definition(container("app", ("on", condition)), container("on", essential=False))
    life = Life(of).sees({"on": dependency, "app": "pending"})
    [app, _] = life.task.containers
    assert (app.status is ContainerStatus.STOPPED) is bool(why)
    assert why in app.reason
    assert app.exit_code == (NEVER_STARTED if why else None)


@pytest.mark.parametrize(
    ("condition", "seen", "expected"),
    [
        pytest.param("START", None, False, id="start: nothing seen"),
        pytest.param("START", WAITS, False, id="start: pending"),
        pytest.param("START", RUNS, True, id="start: running"),
        pytest.param("START", DONE, True, id="start: it did once"),
        pytest.param("COMPLETE", RUNS, False, id="complete: running"),
        pytest.param("COMPLETE", FAILED, True, id="complete: ended anyhow"),
        pytest.param("SUCCESS", FAILED, False, id="success: failed"),
        pytest.param("SUCCESS", DONE, True, id="success: done"),
        pytest.param("HEALTHY", RUNS, False, id="healthy: not known"),
        pytest.param("HEALTHY", replace(RUNS, health=Health.HEALTHY), True, id="healthy: it is"),
    ],
)
def test_when_a_container_may_start(condition: str, seen: ContainerSighting | None, *, expected: bool) -> None:
    known = {} if seen is None else {"on": seen}
    assert may_start(container("app", ("on", condition)), known) is expected
    assert may_start(container("free"), known)


@pytest.mark.parametrize(
    ("condition", "seen", "expected"),
    [
        pytest.param("SUCCESS", sighting(on=RUNS, app=WAITS), after(5), id="it runs"),
        pytest.param("HEALTHY", sighting(on=RUNS), after(5), id="the other was not seen yet"),
        pytest.param("HEALTHY", sighting(on=replace(RUNS, health=Health.HEALTHY), app=WAITS), None, id="it is healthy"),
        pytest.param("START", sighting(on=RUNS, app=WAITS), None, id="a start has no limit"),
        pytest.param("SUCCESS", sighting(on=WAITS, app=WAITS), None, id="it has not begun"),
        pytest.param("SUCCESS", sighting(on=DONE, app=WAITS), None, id="it is done"),
        pytest.param("SUCCESS", sighting(on=RUNS, app=RUNS), None, id="nobody waits"),
        pytest.param("SUCCESS", sighting(), None, id="nothing was seen"),
    ],
)
def test_when_a_start_timeout_passes(condition: str, seen: Sighting, expected: datetime | None) -> None:
    of = definition(container("app", ("on", condition)), container("on", startTimeout=5))
    assert next_timeout(of, seen) == expected


def test_without_a_start_timeout_one_waits_for_ever() -> None:
    of = definition(container("app", ("on", "SUCCESS")), container("on"))
    assert next_timeout(of, sighting(on=RUNS)) is None


def test_each_comes_after_those_it_waits_for() -> None:
    found = definition(container("c", ("b", "START")), container("b", ("a", "START")), container("a"))
    assert [one["name"] for one in dependents_last(found)] == ["a", "b", "c"]


def test_a_circle_is_no_reason_to_stand_still() -> None:
    found = definition(container("a", ("b", "START")), container("b", ("a", "START")), container("c"))
    assert {one["name"] for one in dependents_last(found)} == {"a", "b", "c"}
