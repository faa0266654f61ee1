"""`kecs proxy logs`: one pod's log, many at once, and logs that are followed through all that happens to pods."""

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from kube_lab import Fault
from live_lab import READY, Lab, code, lab, pod
from log_lab import lines, record

from kecs.cli import live

EXITED_BY_CTRL_C = 130


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Lab]:
    with lab(tmp_path) as made:
        yield made


class Running:
    """A command as a process."""

    def __init__(self, cluster: Lab, *arguments: str) -> None:
        self.cluster = cluster
        self.process = subprocess.Popen(
            cluster.argv(*arguments), env=cluster.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def line(self) -> str:
        """Return the next line; the test's own limit ends a wait for one that never comes."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def interrupted(self) -> tuple[int, str]:
        """Press Ctrl-C, and return the exit code and what was said after the end of the line with ^C in it."""
        self.process.send_signal(signal.SIGINT)
        _, said = self.process.communicate(timeout=20)
        return self.process.returncode, said.removeprefix("\n")

    def ended(self) -> tuple[int, str]:
        """Wait for its end."""
        _, said = self.process.communicate(timeout=20)
        return self.process.returncode, said


@contextmanager
def running(cluster: Lab, *arguments: str) -> Iterator[Running]:
    made = Running(cluster, *arguments)
    try:
        yield made
    finally:
        made.process.kill()
        made.process.communicate()


def at(second: int, **fields: Any) -> bytes:
    return lines(record(at=f"2026-11-21T09:00:{second:02d}.000Z", **fields))


def clocks(output: str) -> list[str]:
    return [line.split()[0][-2:] for line in output.splitlines()]


def test_one_pods_log_has_no_prefix(cluster: Lab) -> None:
    cluster.add(pod("app"), at(1) + at(2, status=404, operation="GetObject"))
    result = cluster.kecs("logs", "pod/app", "-n", "shop")
    assert code(result) == 0
    assert result.output.splitlines() == [
        "09:00:01 s3 PutObject                       us-east-1      200  3.2 ms    1.2 kB",
        "09:00:02 s3 GetObject                       us-east-1      404  3.2 ms    1.2 kB",
    ]


def test_several_pods_logs_are_told_in_order_of_time(cluster: Lab) -> None:
    cluster.add(pod("app-1"), at(1) + at(4))
    cluster.add(pod("app-2"), at(2) + at(3))
    result = cluster.kecs("logs", "-l", "app=shop", "-n", "shop")
    assert [line[:18] for line in result.output.splitlines()] == [
        "shop/app-1 09:00:0", "shop/app-2 09:00:0", "shop/app-2 09:00:0", "shop/app-1 09:00:0",
    ]  # fmt: skip


def test_filters(cluster: Lab) -> None:
    cluster.add(pod("app"), at(1) + at(2, status=503) + at(3, service="sqs", operation="SendMessage", status=400))
    named = ("logs", "app", "-n", "shop")
    assert clocks(cluster.kecs(*named, "--status", "error").output) == ["02", "03"]
    assert clocks(cluster.kecs(*named, "--status", "5xx", "--status", "200").output) == ["01", "02"]
    assert clocks(cluster.kecs(*named, "--service", "s3", "--operation", "Put*").output) == ["01", "02"]


def test_parts_of_a_log(cluster: Lab) -> None:
    cluster.api.date = lambda: 1795251660.0  # 2026-11-21T09:01:00Z
    cluster.add(pod("app"), at(1) + at(30) + at(59))
    cluster.api.logs["shop", "app", "aws-proxy-sidecar before"] = at(7)
    named = ("logs", "app", "-n", "shop")
    assert clocks(cluster.kecs(*named, "--tail", "1").output) == ["59"]
    assert clocks(cluster.kecs(*named, "--since", "40s").output) == ["30", "59"]
    assert clocks(cluster.kecs(*named, "--previous").output) == ["07"]


def test_raw_and_json(cluster: Lab) -> None:
    cluster.add(pod("app"), at(1) + b"not a record\n")
    named = ("logs", "app", "-n", "shop")
    assert cluster.kecs(*named, "--raw").output == (at(1) + b"not a record\n").decode()
    found = [json.loads(line) for line in cluster.kecs(*named, "-o", "json").output.splitlines()]
    assert found[0]["pod"] == "app"
    assert found[1] == {"namespace": "shop", "pod": "app", "text": "not a record"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param((), "give either a pod's name or --selector", id="nothing named"),
        pytest.param(("app", "-l", "a=b"), "give either", id="both"),
        pytest.param(("app", "-f", "--previous"), "nothing to follow", id="follow what is over"),
        pytest.param(("app", "--since", "soon"), "--since is 'soon'", id="no duration"),
        pytest.param(("app", "--status", "9xx"), "--status is '9xx'", id="no status"),
        pytest.param(("app", "--raw", "-o", "json"), "two ways", id="two spellings"),
        pytest.param(("deployment/app",), "'deployment/app' is no pod", id="no pod's name"),
    ],
)
def test_command_lines_that_are_wrong(cluster: Lab, arguments: tuple[str, ...], said: str) -> None:
    result = cluster.kecs("logs", *arguments)
    assert said in str(result.exception)
    assert getattr(result.exception, "exit_code", 0) == 2


def test_pods_that_have_no_log_to_show(cluster: Lab) -> None:
    cluster.add(pod("plain", sidecar=None))
    assert "no pod nowhere in namespace shop" in str(cluster.kecs("logs", "nowhere", "-n", "shop").exception)
    plain = cluster.kecs("logs", "plain", "-n", "shop").exception
    assert "has no sidecar" in str(plain)
    assert getattr(plain, "hint", "") == "`kecs proxy explain pod/plain` says why"
    assert "no pod with a sidecar has app=x" in str(cluster.kecs("logs", "-l", "app=x", "-n", "shop").exception)


def test_a_log_that_is_refused_does_not_hide_the_others(cluster: Lab) -> None:
    cluster.add(pod("app-1"), at(1))
    cluster.add(pod("app-2"), at(2))
    cluster.api.faults.append(Fault(path="app-1/log", status=403, message="you may not"))
    result = cluster.kecs("logs", "-l", "app=shop", "-n", "shop")
    assert code(result) == 1
    assert "app-2" in result.output
    assert "note: shop/app-1: you may not" in result.output


def test_no_more_than_fifty_at_once_and_that_is_said(cluster: Lab) -> None:
    for number in range(live.PODS_MAX + 1):
        cluster.add(pod(f"app-{number:02d}"), at(1))
    result = cluster.kecs("logs", "-l", "app=shop", "-n", "shop")
    assert "note: 51 pods have a sidecar: the first 50 are shown; narrow it down with -n or -l" in result.output
    assert len(result.output.splitlines()) == live.PODS_MAX + 1


def test_a_followed_log_goes_on_over_lost_connections_and_ends_with_its_pod(cluster: Lab) -> None:
    cluster.add(pod("app"), at(1))
    with running(cluster, "logs", "-f", "app", "-n", "shop") as command:
        assert command.line().startswith("09:00:01")
        cluster.api.faults.append(Fault(path="/log", drop=True))
        cluster.api.cut_logs()
        cluster.api.wait(lambda: cluster.followers() >= 2)
        cluster.log("app", at(2) + at(2, operation="CopyObject"))
        assert command.line().startswith("09:00:02 s3 PutObject")
        assert command.line().startswith("09:00:02 s3 CopyObject")
        cluster.gone("app")
        assert command.ended() == (0, "")


def test_a_followed_log_goes_on_with_the_restarted_sidecar(cluster: Lab) -> None:
    cluster.add(pod("app"), at(1))
    with running(cluster, "logs", "-f", "app", "-n", "shop") as command:
        assert command.line().startswith("09:00:01")
        cluster.api.logs["shop", "app", "aws-proxy-sidecar"] = at(9)
        cluster.api.cut_logs()
        assert command.line().startswith("09:00:09")
        cluster.api.put("pods", pod("app", phase="Succeeded"))
        cluster.api.cut_logs()
        assert command.ended() == (0, "")


def test_a_log_may_begin_later(cluster: Lab) -> None:
    cluster.add(pod("app", sidecar={"state": {"waiting": {"reason": "PodInitializing"}}}), at(1))
    cluster.api.faults.append(Fault(path="/log", status=400, message="waiting to start", times=2))
    with running(cluster, "logs", "-f", "app", "-n", "shop") as command:
        assert command.line().startswith("09:00:01")
        assert command.interrupted() == (EXITED_BY_CTRL_C, "")


def test_what_is_refused_ends_with_a_sentence(cluster: Lab) -> None:
    cluster.add(pod("app"), at(1))
    cluster.api.faults.append(Fault(path="/log", status=403, message="you may not"))
    result = cluster.kecs("logs", "-f", "app", "-n", "shop")
    assert code(result) == 1
    assert result.output == "note: shop/app: you may not\n"


def test_pods_of_the_selector_that_come_later_are_followed_too(cluster: Lab) -> None:
    cluster.add(pod("app-1"), at(1))
    with running(cluster, "logs", "-f", "-l", "app=shop", "-n", "shop") as command:
        assert command.line().startswith("09:00:01")
        cluster.add(pod("app-2", sidecar={"state": {"waiting": {}}}), at(2))
        cluster.api.put("pods", pod("app-2", sidecar=READY))
        assert command.line().startswith("shop/app-2 09:00:02")
        cluster.gone("app-1")
        cluster.log("app-2", at(3))
        assert command.line().startswith("shop/app-2 09:00:03")
        assert command.interrupted() == (EXITED_BY_CTRL_C, "")
