"""What containers write comes to CloudWatch Logs: each line once, whatever is cut, away or begun anew meanwhile."""

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from emulator_lab import Emulator
from emulator_lab import running as emulating
from hypothesis import given
from hypothesis import strategies as st
from kube_lab import ApiServer, Fault, api_server
from kubernetes_lab import a_launch, an_app, ended, kubelet, running

from kecs.certs.kube import Kube
from kecs.controlplane.kubernetes.config import PodConfig
from kecs.controlplane.kubernetes.logs import (
    BYTES_MAX,
    EVENT_BYTES,
    EVENTS_MAX,
    LINE_MAX,
    Destination,
    LogLine,
    Place,
    batch,
    destination,
    events,
    milliseconds,
    read,
    spelled,
)
from kecs.controlplane.kubernetes.logs_loop import LogShipper
from kecs.controlplane.kubernetes.pods import manifest
from kecs.controlplane.kubernetes.resolver_client import EmulatorResolver
from kecs.controlplane.kubernetes.runtime import ResolveError
from kecs.controlplane.runtime import Launch

type Json = dict[str, Any]

ARN = "arn:aws:ecs:us-east-1:000000000000:task/c/0123"
TIME = "2026-01-02T03:04:05.123456789Z"


def logged(group: str = "shop", **options: str) -> Json:
    said = {"awslogs-group": group, "awslogs-stream-prefix": "ecs", "awslogs-region": "us-east-1", **options}
    return {"logConfiguration": {"logDriver": "awslogs", "options": said}}


@pytest.mark.parametrize(
    ("container", "expected"),
    [
        pytest.param(an_app(), None, id="no driver"),
        pytest.param(an_app(logConfiguration={"logDriver": "json-file"}), None, id="another driver"),
        pytest.param(an_app(logConfiguration={"logDriver": "awslogs", "options": {}}), None, id="no group"),
        pytest.param(
            an_app(**logged()),
            Destination(account="000000000000", region="us-east-1", group="shop", stream="ecs/app/0123"),
            id="a prefix",
        ),
        pytest.param(
            an_app(
                logConfiguration={
                    "logDriver": "awslogs",
                    "options": {"awslogs-group": "g", "awslogs-region": "eu-west-1", "awslogs-create-group": "true"},
                }
            ),
            Destination(
                account="000000000000", region="eu-west-1", group="g", stream="app/0123", create_group=True
            ),
            id="no prefix, another region, a group to be made",
        ),
    ],
)  # fmt: skip
def test_where_lines_go(container: Json, expected: Destination | None) -> None:
    assert destination(container, ARN) == expected


def test_a_line_has_its_time_to_the_nanosecond() -> None:
    assert read(f"{TIME} hello  world".encode()) == LogLine(TIME, "hello  world")
    assert read(b"2026-01-02T03:04:05.12Z x") == LogLine("2026-01-02T03:04:05.120000000Z", "x")
    assert read(b"2026-01-02T03:04:05Z ") == LogLine("2026-01-02T03:04:05.000000000Z", "")
    assert read(b"unable to retrieve container logs") is None
    long = read(TIME.encode() + b" " + "é".encode() * LINE_MAX)
    assert long is not None
    assert long.text == "é" * (LINE_MAX // 2)
    assert milliseconds(TIME) == 1767323045123
    assert spelled(1767323045123) == "2026-01-02T03:04:05.123000000Z"


def test_a_batch_is_what_one_call_takes() -> None:
    assert batch([]) == 0
    assert batch([LogLine(TIME, "x")] * (EVENTS_MAX + 1)) == EVENTS_MAX
    line = LogLine(TIME, "x" * (BYTES_MAX // 4 - EVENT_BYTES))
    assert batch([line] * 5) == 4
    assert (
        events([LogLine(TIME.replace("05.", "06."), "b"), LogLine(TIME, ""), LogLine(TIME, "a")])[0]["message"] == "a"
    )


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.text("ab", min_size=1)), max_size=20),
    st.data(),
)
def test_each_line_is_had_once_however_often_reading_begins_anew(found: list[Any], data: st.DataObject) -> None:
    lines = [
        LogLine(f"2026-01-02T03:04:0{s}.00{n}000000Z", text) for s, n, text in sorted(found, key=lambda one: one[:2])
    ]
    place = Place()
    had: list[LogLine] = []
    for _ in range(3):
        upto = data.draw(st.integers(len(had), len(lines)))
        had += list(
            place.fresh(line for line in lines[:upto] if not place.since or line.time[:19] + "Z" >= place.since)
        )
    had += list(place.fresh(iter(lines)))
    assert had == lines


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9), st.text("ab")), max_size=20), st.data())
def test_each_line_is_stored_once_when_the_place_is_a_streams_end(found: list[Any], data: st.DataObject) -> None:
    lines = [
        LogLine(f"2026-01-02T03:04:0{s}.001{n:06}Z", text) for s, n, text in sorted(found, key=lambda one: one[:2])
    ]
    cut = data.draw(st.integers(0, len(lines)))
    stored = events(lines[:cut])
    again = list(Place.after(stored).fresh(iter(lines)))
    assert [*stored, *events(again)] == events(lines)


@pytest.fixture
def api() -> Iterator[ApiServer]:
    with api_server() as found:
        yield found


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with emulating() as found:
        yield found


def stream_of(launch: Launch) -> str:
    return f"ecs/app/{launch.task.id}"


def stored(emulator: Emulator, launch: Launch, group: str) -> list[str]:
    logs = emulator.client("logs")
    where = {"logGroupName": group, "logStreamName": stream_of(launch)}
    try:
        found = logs.get_log_events(**where, startFromHead=True)
    except logs.exceptions.ResourceNotFoundException:
        return []
    return [json.loads(one["message"])["said"] for one in found["events"]]


def a_pod(api: ApiServer, launch: Launch, status: Json) -> Json:
    pod = kubelet(manifest(launch, config=PodConfig()), app=status)
    return api.put("pods", pod)


def shipper(api: ApiServer, tmp_path: Path, endpoint: str) -> LogShipper:
    return LogShipper(Kube.load(kubeconfig=str(api.kubeconfig(tmp_path)), environ={}), endpoint, send_s=0.02)


def write(api: ApiServer, launch: Launch, *lines: str) -> None:
    """Write lines of now: CloudWatch Logs takes none that are weeks old."""
    time = datetime.now(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
    text = "".join(json.dumps({"time": time, "said": line}) + "\n" for line in lines)
    api.log("shop-us-east-1", f"task-{launch.task.id}", "app", text.encode())


def test_lines_come_in_order_until_the_container_ends(api: ApiServer, tmp_path: Path, emulator: Emulator) -> None:
    launch = a_launch([an_app(**logged("one", **{"awslogs-create-group": "true"}))])
    url = f"http://127.0.0.1:{emulator.port}"
    found = shipper(api, tmp_path, url)
    write(api, launch, "first")
    found.saw(a_pod(api, launch, running()))
    api.wait(lambda: stored(emulator, launch, "one") == ["first"], timeout_s=60)
    write(api, launch, "second", "third")
    api.wait(lambda: stored(emulator, launch, "one") == ["first", "second", "third"], timeout_s=60)
    api.cut_logs()
    write(api, launch, "fourth")
    pod = a_pod(api, launch, ended(0))
    found.saw(pod)
    api.cut_logs()
    api.wait(lambda: stored(emulator, launch, "one") == ["first", "second", "third", "fourth"], timeout_s=60)
    found.gone(pod)
    assert (found.counts.sent, found.counts.refused) == (4, 0)
    asyncio.run(found.close())


def test_lines_that_are_refused_are_counted(api: ApiServer, tmp_path: Path, emulator: Emulator) -> None:
    launch = a_launch([an_app(**logged("old", **{"awslogs-create-group": "true"}))], seed=5)
    found = shipper(api, tmp_path, f"http://127.0.0.1:{emulator.port}")
    api.log("shop-us-east-1", f"task-{launch.task.id}", "app", b"of the first of January\n")
    write(api, launch, "of today")
    found.saw(a_pod(api, launch, ended(0)))
    api.wait(lambda: (found.counts.sent, found.counts.refused) == (1, 1), timeout_s=60)
    assert stored(emulator, launch, "old") == ["of today"]
    asyncio.run(found.close())


def test_those_that_wait_are_read_when_others_have_ended(api: ApiServer, tmp_path: Path, emulator: Emulator) -> None:
    made = logged("many", **{"awslogs-create-group": "true"})
    first, second, third = (a_launch([an_app(**made)], seed=seed) for seed in (6, 7, 8))
    kube = Kube.load(kubeconfig=str(api.kubeconfig(tmp_path)), environ={})
    found = LogShipper(kube, f"http://127.0.0.1:{emulator.port}", send_s=0.02, at_once=1)
    for launch in (first, second, third):
        write(api, launch, launch.task.id)
        found.saw(a_pod(api, launch, running()))
    found.gone(a_pod(api, third, running()))
    api.wait(lambda: stored(emulator, first, "many") == [first.task.id], timeout_s=60)
    found.saw(a_pod(api, first, ended(0)))
    api.cut_logs()
    api.wait(lambda: stored(emulator, second, "many") == [second.task.id], timeout_s=60)
    assert stored(emulator, third, "many") == []
    asyncio.run(found.close())


def test_after_a_restart_no_line_comes_twice(api: ApiServer, tmp_path: Path, emulator: Emulator) -> None:
    launch = a_launch([an_app(**logged("two", **{"awslogs-create-group": "true"}))], seed=2)
    url = f"http://127.0.0.1:{emulator.port}"
    write(api, launch, "a", "b", "b")
    pod = a_pod(api, launch, running())
    before = shipper(api, tmp_path, url)
    before.saw(pod)
    api.wait(lambda: stored(emulator, launch, "two") == ["a", "b", "b"], timeout_s=60)
    asyncio.run(before.close())
    write(api, launch, "c")
    after = shipper(api, tmp_path, url)
    after.saw(pod)
    api.wait(lambda: stored(emulator, launch, "two") == ["a", "b", "b", "c"], timeout_s=60)
    asyncio.run(after.close())


def test_lines_wait_for_an_api_server_that_is_away(api: ApiServer, tmp_path: Path, emulator: Emulator) -> None:
    launch = a_launch([an_app(**logged("three", **{"awslogs-create-group": "true"}))], seed=3)
    api.faults.append(Fault(path="/log", status=500, times=2))
    write(api, launch, "a")
    found = shipper(api, tmp_path, f"http://127.0.0.1:{emulator.port}")
    found.saw(a_pod(api, launch, ended(0)))
    api.wait(lambda: stored(emulator, launch, "three") == ["a"], timeout_s=60)
    asyncio.run(found.close())


def test_a_group_that_is_not_there_ends_the_task_before_it_begins(emulator: Emulator) -> None:
    resolver = EmulatorResolver(f"http://127.0.0.1:{emulator.port}")
    with pytest.raises(ResolveError, match="failed to create Cloudwatch log stream: ResourceNotFoundException"):
        asyncio.run(resolver.resolve(a_launch([an_app(**logged("nowhere"))])))
    made = an_app(**logged("made", **{"awslogs-create-group": "true"}))
    for _ in range(2):
        asyncio.run(resolver.resolve(a_launch([made], seed=4)))
    streams = emulator.client("logs").describe_log_streams(logGroupName="made")["logStreams"]
    assert [one["logStreamName"].partition("/0")[0] for one in streams] == ["ecs/app"]
    resolver.close()


def test_a_container_with_another_driver_is_left_alone(api: ApiServer, tmp_path: Path) -> None:
    found = shipper(api, tmp_path, "http://127.0.0.1:1")
    found.saw(a_pod(api, a_launch([an_app()]), running()))
    assert not [one for one in api.requests if one.path.endswith("/log")]
    asyncio.run(found.close())
