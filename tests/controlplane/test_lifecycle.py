"""Whole lives of tasks, read from top to bottom."""

from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any

import pytest
from ecs_lab import NOW
from hypothesis import given, settings
from hypothesis import strategies as st
from tasks_lab import Life, container, definition, exited

from kecs.controlplane import lifecycle
from kecs.controlplane.records import Task
from kecs.controlplane.records.tasks import ContainerStatus, Health, Registration, StopCode, TaskStatus
from kecs.controlplane.runtime import ContainerSighting, Sighting
from kecs.controlplane.tasks import describe

VPC = definition(networkMode="awsvpc")
TWO = definition(container("app"), container("side", essential=False))
PULL = "CannotPullContainerError: pull access denied for x"


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def test_a_task_with_an_interface_runs_and_ends_well() -> None:
    life = Life(VPC).tells("PROVISIONING", desiredStatus="RUNNING", version=1, connectivity=None).orders("launch")
    life.sees({"app": "pending"}).tells("PROVISIONING", version=1).orders("nothing")
    life.sees(address="10.0.0.9").tells("PENDING", connectivity="CONNECTED", connectivityAt=after(2), version=2)
    life.sees(pull_started_at=after(2.5)).tells("PENDING", pullStartedAt=after(2.5))
    life.sees(pull_stopped_at=after(3.5)).tells("PENDING", pullStoppedAt=after(3.5))
    life.sees({"app": "running"}).tells("RUNNING", startedAt=after(4)).orders("nothing")
    life.sees({"app": exited(0, at=after(5.5))})
    life.tells("DEPROVISIONING", desiredStatus="STOPPED", stopCode="EssentialContainerExited")
    life.tells("DEPROVISIONING", stoppedReason="Essential container in task exited", executionStoppedAt=after(5.5))
    life.tells_of("app", exitCode=0, lastStatus="STOPPED").orders("forget")
    life.sees(gone=True).tells("STOPPED", stoppedAt=life.now).orders("nothing")


def test_an_interface_says_what_it_is_when_it_has_its_address() -> None:
    life = Life(VPC)
    assert describe(life.task)["attachments"][0]["status"] == "PRECREATED"
    life.sees(address="10.0.0.9")
    attachment = describe(life.task)["attachments"][0]
    told = {one["name"]: one["value"] for one in attachment["details"]}
    assert attachment["status"] == "ATTACHED"
    assert told["subnetId"] == "subnet-1"
    assert told["privateIPv4Address"] == "10.0.0.9"
    assert told["privateDnsName"] == "ip-10-0-0-9.ec2.internal"
    assert told["networkInterfaceId"].startswith("eni-0")
    assert len(told["networkInterfaceId"]) == len("eni-") + 17
    assert len(told["macAddress"].split(":")) == 6
    life.tells_of(
        "app", networkInterfaces=[{"attachmentId": attachment["id"], "privateIpv4Address": "10.0.0.9"}]
    ).stops().sees(gone=True)
    assert describe(life.task)["attachments"][0]["status"] == "DELETED"


def test_a_task_on_a_machine_s_network_has_no_interface_to_wait_for() -> None:
    life = Life(definition(container("app", portMappings=[{"containerPort": 80, "protocol": "tcp"}])))
    life.tells("PENDING", attachments=[])
    life.sees({"app": "running"}, host_ports={("app", 80): 32768}).tells("RUNNING")
    binding = {"bindIP": "0.0.0.0", "containerPort": 80, "hostPort": 32768, "protocol": "tcp"}
    life.tells_of("app", networkBindings=[binding])
    life.stops().tells("STOPPING", stopCode="UserInitiated", stoppedReason="Task stopped by user").orders("stop")
    life.sees({"app": exited(137)}).tells("STOPPED").tells_of("app", exitCode=137).orders("forget")
    life.sees(gone=True).orders("nothing").tells_of("app", exitCode=137)


def test_the_end_of_a_container_that_is_not_essential_is_nothing() -> None:
    life = Life(TWO).sees({"app": "running", "side": "running"}).tells("RUNNING")
    life.sees({"side": exited(1)}).tells("RUNNING", desiredStatus="RUNNING").tells_of("side", exitCode=1)
    life.sees({"app": exited(3)}).tells("STOPPED", stopCode="EssentialContainerExited").tells_of("app", exitCode=3)


def test_the_others_of_a_task_are_stopped_when_an_essential_one_ends() -> None:
    life = Life(TWO).sees({"app": "running", "side": "running"})
    life.sees({"app": exited(137, reason="OutOfMemoryError: Container killed due to memory usage")})
    life.tells("STOPPING", stopCode="EssentialContainerExited").orders("stop")
    life.tells_of("app", reason="OutOfMemoryError: Container killed due to memory usage")
    life.sees({"side": exited(143)}).tells("STOPPED").tells_of("side", exitCode=143)


def test_a_task_that_is_over_before_anybody_looked_still_had_started() -> None:
    life = Life(definition()).sees({"app": exited(0, at=after(0.5))})
    life.tells("STOPPED", startedAt=after(0.5), executionStoppedAt=after(0.5), stopCode="EssentialContainerExited")


def test_an_image_that_can_t_be_pulled_keeps_a_task_from_starting() -> None:
    life = Life(VPC).sees({"app": "pending"}, address="10.0.0.9", pull_started_at=NOW)
    life.sees(failure=PULL).tells("STOPPING", stopCode="TaskFailedToStart", stoppedReason=PULL, startedAt=None)
    life.orders("stop").sees(gone=True).tells("STOPPED", stopCode="TaskFailedToStart", executionStoppedAt=None)
    life.tells_of("app", exitCode=None, lastStatus="STOPPED")


def test_a_task_is_stopped_before_anything_of_it_was_there() -> None:
    life = Life(VPC).stops(reason="no longer needed").tells("STOPPING", stoppedReason="no longer needed").orders("stop")
    life.sees(gone=True).tells("STOPPED", startedAt=None, stopCode="UserInitiated").orders("nothing")


def test_the_first_reason_for_a_stop_stays() -> None:
    life = Life(TWO).sees({"app": "running", "side": "running"}).stops(reason="first")
    life.stops(reason="second").sees({"app": exited(1)}).tells("STOPPING", stoppedReason="first")
    life.sees({"side": exited(1)}).tells("STOPPED", stopCode="UserInitiated", stoppedReason="first")
    before = life.task
    assert life.stops(reason="third").task is before


def test_a_stop_by_a_service_says_so() -> None:
    reason = "Scaling activity initiated by (deployment ecs-svc/1)"
    life = Life(definition()).sees({"app": "running"}).stops(StopCode.SERVICE_SCHEDULER_INITIATED, reason)
    life.sees({"app": exited(143)}).tells("STOPPED", stopCode="ServiceSchedulerInitiated", stoppedReason=reason)


def test_a_task_that_is_to_be_registered_is_activating_until_it_is() -> None:
    life = Life(definition(), registration=Registration.WANTED).sees({"app": "running"}).tells("ACTIVATING")
    version = life.task.version
    life.registers(Registration.DONE).tells("RUNNING", version=version + 1)
    life.stops().tells("DEACTIVATING").orders("nothing")
    life.passes().tells("DEACTIVATING")
    life.registers(Registration.GONE).tells("STOPPING").orders("stop")
    life.sees({"app": exited(0)}).tells("STOPPED")


def test_a_registered_task_whose_container_ended_waits_for_nobody() -> None:
    life = Life(definition(), registration=Registration.DONE).sees({"app": "running"}).tells("RUNNING")
    life.sees({"app": exited(1)}).tells("STOPPED", stopCode="EssentialContainerExited")


def test_a_task_that_was_removed_by_hand_ended_somehow() -> None:
    life = Life(definition()).sees({"app": "running"}).sees(gone=True)
    life.tells("STOPPED", stopCode="EssentialContainerExited").tells_of("app", exitCode=None, lastStatus="STOPPED")


@pytest.mark.parametrize(
    ("launch_type", "code", "reason"),
    [
        pytest.param("EC2", "TerminationNotice", "Host EC2 (instance node-a) terminated.", id="a machine"),
        pytest.param(
            "FARGATE",
            "InfrastructureHealth",
            "ECS is performing maintenance on the underlying infrastructure hosting the task.",
            id="Fargate's",
        ),
    ],
)
def test_a_task_whose_machine_is_lost(launch_type: str, code: str, reason: str) -> None:
    life = Life(definition(), launch_type=launch_type).sees({"app": "running"}, node="node-a")
    life.sees(gone=True, node_lost=True).tells("STOPPED", stopCode=code, stoppedReason=reason)


def test_what_a_runtime_says_of_a_task_it_threw_out_is_the_reason() -> None:
    life = Life(definition()).sees({"app": "running"}).sees(failure="The node was low on resource: memory.")
    life.tells("STOPPING", stopCode="InfrastructureHealth", stoppedReason="The node was low on resource: memory.")


CHECK: dict[str, Any] = {"healthCheck": {"command": ["CMD", "true"]}}


@pytest.mark.parametrize(
    ("seen", "health"),
    [
        pytest.param({"a": "healthy", "b": "healthy"}, "HEALTHY", id="all of them"),
        pytest.param({"a": "healthy", "b": "running"}, "UNKNOWN", id="one is not known yet"),
        pytest.param({"a": "healthy", "b": "unhealthy"}, "UNHEALTHY", id="one is not"),
        pytest.param(
            {"a": "healthy", "b": "healthy", "side": "unhealthy"}, "HEALTHY", id="one that does not count is not"
        ),
        pytest.param({"a": "healthy", "b": "healthy", "plain": "unhealthy"}, "HEALTHY", id="one has no check"),
    ],
)
def test_a_task_s_health_is_the_worst_of_its_essential_containers_that_are_checked(
    seen: dict[str, str | ContainerSighting], health: str
) -> None:
    life = Life(
        definition(
            container("a", **CHECK),
            container("b", **CHECK),
            container("side", essential=False, **CHECK),
            container("plain"),
        )
    )
    everybody: dict[str, str | ContainerSighting] = dict.fromkeys(("a", "b", "side", "plain"), "running")
    life.sees(everybody).tells("RUNNING", healthStatus="UNKNOWN")
    life.sees(seen).tells("RUNNING", healthStatus=health, desiredStatus="RUNNING")


def test_a_dependency_that_takes_longer_than_its_start_timeout_ends_who_waits() -> None:
    life = Life(definition(container("init", essential=False, startTimeout=5), container("app", ("init", "SUCCESS"))))
    life.sees({"init": "running", "app": "pending"})
    assert life.sighting is not None
    assert lifecycle.due(life.task, life.definition, life.sighting) == after(5)
    life.passes(2).tells("PENDING")
    life.passes(3).tells("STOPPING", stopCode="EssentialContainerExited").orders("stop")
    late = "dependency graph: container ordering dependency [init] for target [app] has timed out."
    life.tells_of("app", exitCode=143, reason=late, lastStatus="STOPPED")
    assert lifecycle.due(life.task, life.definition, life.sighting) is None


def test_a_dependency_that_failed_ends_all_who_wait_for_its_success() -> None:
    life = Life(
        definition(
            container("last", ("app", "START")),
            container("init", essential=False),
            container("app", ("init", "SUCCESS"), essential=False),
        )
    )
    life.sees({"init": exited(1, at=NOW), "app": "pending", "last": "pending"})
    life.tells("STOPPED", stopCode="EssentialContainerExited")
    life.tells_of("app", exitCode=143).tells_of("last", exitCode=143)


def test_a_dependency_that_is_done_lets_a_task_run() -> None:
    life = Life(definition(container("init", essential=False), container("app", ("init", "SUCCESS"))))
    life.sees({"init": exited(0, at=NOW), "app": "pending"}).tells("PENDING")
    life.sees({"app": "running"}).tells("RUNNING")


def test_nothing_new_is_the_same_task() -> None:
    life = Life(definition()).sees({"app": "running"})
    before = life.task
    assert life.passes().task is before


def test_what_no_client_sees_does_not_grow_the_version() -> None:
    life = Life(definition()).sees({"app": "pending"})
    assert life.task.seen
    life.tells("PENDING", version=1)
    assert life.registers(Registration.GONE).task.version == 1


def test_a_runtime_s_clock_that_is_behind_does_not_put_times_out_of_order() -> None:
    life = Life(VPC).sees(address="10.0.0.9", pull_started_at=after(-60), pull_stopped_at=after(90))
    seen = ContainerSighting(name="app", status=ContainerStatus.RUNNING, started_at=after(-30))
    life.sees({"app": seen}).tells("RUNNING", pullStartedAt=NOW, pullStoppedAt=after(1), startedAt=after(1))


_moment = st.none() | st.integers(-100, 100).map(after)
_containers = st.builds(
    ContainerSighting,
    name=st.sampled_from(["app", "side", "stranger"]),
    status=st.sampled_from(ContainerStatus),
    exit_code=st.none() | st.integers(0, 255),
    reason=st.sampled_from(["", "why"]),
    health=st.sampled_from(Health),
    started_at=_moment,
    finished_at=_moment,
)
_sightings = st.builds(
    Sighting,
    task_arn=st.just("arn"),
    node=st.sampled_from(["", "node-a"]),
    address=st.sampled_from(["", "10.0.0.9", "10.0.0.10"]),
    containers=st.lists(_containers, max_size=3).map(tuple),
    pull_started_at=_moment,
    pull_stopped_at=_moment,
    failure=st.sampled_from(["", "", "", PULL]),
    gone=st.sampled_from([False, False, False, True]),
    node_lost=st.booleans(),
)
_happening = _sightings | st.sampled_from(["stop", *Registration]) | st.none()
_definitions = st.sampled_from(
    [
        definition(container("app", **CHECK), container("side", essential=False), networkMode="awsvpc"),
        definition(container("app"), container("side", ("app", "HEALTHY"), startTimeout=3)),
        definition(container("app", ("side", "SUCCESS")), container("side", essential=False, startTimeout=3)),
    ]
)


@settings(max_examples=300)
@given(definition=_definitions, happenings=st.lists(_happening, max_size=12))
def test_whatever_is_seen_a_life_only_goes_forward(definition: Any, happenings: list[Any]) -> None:
    life = Life(definition)
    for one in happenings:
        before = life.task
        match one:
            case "stop":
                life.stops()
            case Registration():
                life.registers(one)
            case None:
                life.passes(2)
            case sighting:
                life.sighting = sighting
                life.passes()
        _judge(before, life.task)
        assert lifecycle.advance(life.task, definition, life.sighting, life.now) == life.task


def _judge(before: Task, after: Task) -> None:
    order = lifecycle.ORDER
    assert order.index(before.last_status) <= order.index(after.last_status)
    told = [{name: value for name, value in describe(one).items() if name != "version"} for one in (before, after)]
    assert (after.version > before.version) == (told[0] != told[1])
    if before.last_status is TaskStatus.STOPPED:
        assert told[0] == told[1]
    if before.desired_status is TaskStatus.STOPPED:
        assert (after.desired_status, after.stop_code) == (before.desired_status, before.stop_code)
    for was, now in zip(before.containers, after.containers, strict=True):
        assert list(ContainerStatus).index(was.status) <= list(ContainerStatus).index(now.status)
        assert was.exit_code is None or now.exit_code == was.exit_code
    for one in fields(after):
        if one.name.endswith("_at"):
            assert getattr(before, one.name) in {None, getattr(after, one.name)}
    beginning = [
        after.created_at,
        after.connectivity_at,
        after.pull_started_at,
        after.pull_stopped_at,
        after.started_at,
    ]
    for last in (after.stopping_at, after.execution_stopped_at):
        times = [at for at in (*beginning, last, after.stopped_at) if at is not None]
        assert times == sorted(times)
    assert (after.desired_status is TaskStatus.STOPPED) == (after.stop_code is not None)
    assert (after.last_status is TaskStatus.STOPPED) == (after.stopped_at is not None)
