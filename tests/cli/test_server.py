"""`kecs server` as a person has it: its first screen, a line per call, its end."""

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from kecs.cli.server import server_command
from kecs.core.settings_keys import KEYS
from kecs.local.restarts import WAITS_S

_TRUST = ("SSL_CERT_FILE", "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    process: subprocess.Popen[str]
    screen: str
    ports: dict[str, int]

    def client(self, service: str) -> Any:
        return boto3.client(  # type: ignore[call-overload]  # any service
            service,
            region_name="eu-west-1",
            endpoint_url=f"http://localhost:{self.ports['api-port']}",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(retries={"total_max_attempts": 1}),
        )

    def next_line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def pids_of(self, module: str) -> set[int]:
        """Return the processes of a part that live."""
        found = set()
        for pid in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split():
            with suppress(OSError):  # it has ended meanwhile
                if module.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                    found.add(int(pid))
        return found

    def pid_of(self, module: str) -> int:
        (pid,) = self.pids_of(module)
        return pid

    def told(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['admin-port']}{path}", timeout=60) as answer:
            return json.loads(answer.read())


def until[T](holds: Callable[[], T]) -> T:
    """Poll until it is so."""
    deadline = time.monotonic() + 60
    while not (found := holds()):
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)
    return found


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def waiting(port: int) -> int:
    """Return how many connections wait to be accepted at a port of 127.0.0.1 (proc_net_tcp: a listener's rx_queue)."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(int(row[4].split(":")[1], 16) for row in rows if row[1].endswith(f":{port:04X}") and row[3] == "0A")


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    found = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return found


def environment(home: Path, **further: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in _TRUST and not name.startswith("KECS_")}
    return {**kept, "HOME": str(home), "XDG_DATA_HOME": str(home / "data"), "XDG_CONFIG_HOME": str(home), **further}


_TRIES = 5


def begun(home: Path, arguments: tuple[str, ...], further: dict[str, str]) -> Server:
    """Start one. A port that was free a moment ago may be taken by now: then others are."""
    for _ in range(_TRIES):
        numbers = dict(zip(("api-port", "port", "admin-port"), free_ports(3), strict=True))
        process = started(home, numbers, arguments, further)
        assert process.stdout is not None
        assert process.stderr is not None
        lines: list[str] = []
        while not lines or not lines[-1].startswith("Ctrl-C"):
            line = process.stdout.readline()
            if not line:
                break
            lines.append(line)
        else:
            process.stdout.readline()
            return Server(process=process, screen="".join(lines), ports=numbers)
        with process.stdout, process.stderr:
            said = process.stderr.read()
            process.wait(60)
        assert "is taken" in said, said
    raise AssertionError("every port is taken")


def started(
    home: Path, numbers: dict[str, int], arguments: tuple[str, ...], further: dict[str, str]
) -> subprocess.Popen[str]:
    flags = [word for name, number in numbers.items() for word in (f"--{name}", str(number))]
    return subprocess.Popen(
        [sys.executable, "-m", "kecs.cli", "server", *flags, *arguments],
        env=environment(home, **further),
        cwd=home,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def serving(home: Path, *arguments: str, **further: str) -> Iterator[Server]:
    server = begun(home, arguments, further)
    process = server.process
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout, process.stderr:
        try:
            yield server
        finally:
            process.terminate()
            process.wait(60)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("home"), "--localstack-enabled") as found:
        yield found


def test_the_first_screen_and_a_line_for_each_call(server: Server) -> None:
    assert f"export AWS_ENDPOINT_URL=http://localhost:{server.ports['api-port']}" in server.screen
    server.client("ecs").create_cluster(clusterName="shown")
    assert re.match(r"\d\d:\d\d:\d\d ecs CreateCluster +eu-west-1 +200 ", server.next_line())
    server.client("sts").get_caller_identity()
    assert " sts GetCallerIdentity " in server.next_line()


def test_ecs_is_answered_on_its_own_port_too(server: Server) -> None:
    asked = urllib.request.Request(
        f"http://localhost:{server.ports['port']}/v1/ListClusters",
        data=b"{}",
        headers={
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amz-Target": "AmazonEC2ContainerServiceV20141113.ListClusters",
        },
    )
    with urllib.request.urlopen(asked, timeout=60) as answer:
        assert "clusterArns" in json.loads(answer.read())


def test_a_client_needs_nothing_but_what_the_first_screen_says(server: Server, tmp_path: Path) -> None:
    told = [line for line in server.screen.splitlines() if line.startswith("  export ")]
    variables = dict(word.split("=", 1) for line in told for word in shlex.split(line)[1:])
    program = "import boto3; print(boto3.client('ecs').list_clusters()['ResponseMetadata']['HTTPStatusCode'])"
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.stdout, ran.stderr) == ("200\n", "")


def test_all_parts_tell_how_they_are(server: Server) -> None:
    found = server.told("/health/detailed")["components"]
    assert {name: one["status"] for name, one in found.items()} == dict.fromkeys(
        ("store", "runtime", "targets", "reconciler", "emulator", "gateway"), "ok"
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_cleanly_and_state_stays(tmp_path: Path, number: signal.Signals) -> None:
    with serving(tmp_path) as first:
        first.client("ecs").create_cluster(clusterName="kept")
        first.process.send_signal(number)
        assert first.process.wait(60) == 0
        assert first.process.stderr is not None
        assert first.process.stderr.read() == ""
    with serving(tmp_path) as second:
        assert second.client("ecs").list_clusters()["clusterArns"] == [
            "arn:aws:ecs:eu-west-1:000000000000:cluster/kept"
        ]


def test_settings_come_from_flags_variables_and_a_file(tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text("controlplane:\n  region: ap-south-1\n  account: '111122223333'\n")
    directory = str(tmp_path / "state")
    flags = ("--config", "my.yaml", "--data-dir", directory, "--localstack-enabled=false")
    with serving(tmp_path, *flags, KECS_CONTROLPLANE_HISTORY_HOURS="3") as found:
        assert "nobody: localstack.enabled is false" in found.screen
        told = found.told("/config")
        assert told["region"] == {"value": "ap-south-1", "source": "my.yaml:2"}
        assert told["history_hours"] == {"value": 3, "source": "KECS_CONTROLPLANE_HISTORY_HOURS"}
        assert told["data"] == {"value": f"{directory}/state.duckdb", "source": "--data-dir"}
        assert found.client("ecs").list_clusters()["clusterArns"] == []
        client = found.client("sqs")
        with pytest.raises(client.exceptions.ClientError, match="without an emulator"):
            client.list_queues()


def test_its_parts_end_with_it(tmp_path: Path) -> None:
    with serving(tmp_path) as found:
        found.process.kill()
        assert found.process.stderr is not None
        assert found.process.stderr.read() == ""  # which ends when the last of them has


@pytest.mark.parametrize(("module", "name"), [("kecs.controlplane", "control plane"), ("kecs.gateway", "gateway")])
def test_a_part_that_ends_by_itself_ends_the_rest(tmp_path: Path, module: str, name: str) -> None:
    with serving(tmp_path) as found:
        os.kill(found.pid_of(module), signal.SIGKILL)
        assert found.process.wait(60) == 1
        assert found.process.stderr is not None
        assert f"the {name} has ended by itself, code -9" in found.process.stderr.read()


def test_an_emulator_that_was_killed_is_started_again_and_ecs_goes_on(tmp_path: Path) -> None:
    with serving(tmp_path) as found:
        ecs, s3 = found.client("ecs"), found.client("s3")
        ecs.create_cluster(clusterName="kept")
        s3.create_bucket(Bucket="lost", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        first = found.pid_of("kecs.emulator")
        os.kill(first, signal.SIGKILL)
        assert found.process.stderr is not None
        told = found.process.stderr.readline()
        assert told.startswith("kecs: the emulator was killed by signal 9 and is started again: buckets, queues, ")
        assert found.client("s3").list_buckets()["Buckets"] == []  # an answer of the next one, however long it takes
        s3.create_bucket(Bucket="new", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        assert [one["Name"] for one in s3.list_buckets()["Buckets"]] == ["new"]
        assert ecs.list_clusters()["clusterArns"] == ["arn:aws:ecs:eu-west-1:000000000000:cluster/kept"]
        assert found.pid_of("kecs.emulator") != first
        assert {one["status"] for one in found.told("/health/detailed")["components"].values()} == {"ok"}
        found.process.send_signal(signal.SIGINT)
        assert found.process.wait(60) == 0
        assert found.process.stderr.read() == ""


def test_a_call_that_is_made_while_there_is_no_emulator_waits_for_the_next_one(tmp_path: Path) -> None:
    with serving(tmp_path) as found, ThreadPoolExecutor() as pool:
        port = int(found.told("/config")["emulator"]["value"].rpartition(":")[2])
        dead = found.pid_of("kecs.emulator")
        found.process.send_signal(signal.SIGSTOP)  # so that the next one does not come before the call
        os.kill(dead, signal.SIGKILL)
        try:
            until(lambda: state(dead) == "Z")
            call = pool.submit(found.client("s3").list_buckets)
            until(lambda: waiting(port))
            assert not call.done()
        finally:
            found.process.send_signal(signal.SIGCONT)
        assert call.result(timeout=60)["Buckets"] == []


_UNDER_WAY_BYTES = 1 << 26
"""More than all buffers on the way hold: once it is sent, the emulator has begun to read it."""


def test_a_call_that_is_under_way_when_the_emulator_is_killed_is_told_so(tmp_path: Path) -> None:
    with serving(tmp_path) as found:
        with closing(HTTPConnection("127.0.0.1", found.ports["api-port"], timeout=60)) as connection:
            connection.putrequest("PUT", "/bucket/key")
            connection.putheader("Content-Length", str(_UNDER_WAY_BYTES + 1))
            connection.endheaders()
            connection.send(bytes(_UNDER_WAY_BYTES))
            os.kill(found.pid_of("kecs.emulator"), signal.SIGKILL)
            answer = connection.getresponse()
            assert (answer.status, b"<Code>BadGateway</Code>" in answer.read()) == (502, True)
        assert found.client("s3").list_buckets()["Buckets"] == []


def another_emulator(server: Server, dead: int) -> int:
    """Wait for the process that comes after one that was killed."""
    return until(lambda: server.pids_of("kecs.emulator") - {dead}).pop()


def test_an_emulator_that_ends_again_and_again_is_given_up(tmp_path: Path) -> None:
    with serving(tmp_path) as found:
        assert found.process.stderr is not None
        dead = 0
        for _ in WAITS_S:
            dead = another_emulator(found, dead)
            os.kill(dead, signal.SIGKILL)
            assert "the emulator was killed by signal 9 and is started again" in found.process.stderr.readline()
        os.kill(another_emulator(found, dead), signal.SIGKILL)
        assert found.process.wait(60) == 1
        assert found.process.stderr.read() == "kecs: the emulator has ended by itself, code -9\n"


def test_calls_are_not_told_at_level_warning(tmp_path: Path) -> None:
    with serving(tmp_path, "--log-level", "warning") as found:
        found.client("ecs").list_clusters()
        found.process.send_signal(signal.SIGINT)
        assert found.process.wait(60) == 0
        assert found.process.stdout is not None
        assert found.process.stdout.read() == ""


def failed(home: Path, *arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "kecs.cli", *arguments],
        env=environment(home),
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return done.returncode, done.stderr


def test_a_taken_port_is_told_with_who_has_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, text = failed(tmp_path, "server", "--api-port", str(port))
    assert code == 1
    assert f"port {port}, which the endpoint for all of AWS wants, is taken by " in text
    assert "--api-port PORT" in text


def test_a_file_is_validated_whole(tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text("localstack:\n  port: 70000\n  enable: true\nserver:\n  logLevel: loud\n")
    code, text = failed(tmp_path, "config", "validate", "wrong.yaml")
    assert code == 2
    assert "3 settings can't be used" in text
    assert 'localstack.port is "70000" (from wrong.yaml:2): is too large (the limit is 65535)' in text
    assert "wrong.yaml:3: localstack.enable is no setting" in text
    assert "did you mean localstack.enabled?" in text
    assert 'server.logLevel is "loud"' in text
    (tmp_path / "right.yaml").write_text("server:\n  port: 8080\n")
    assert failed(tmp_path, "config", "validate", "right.yaml") == (0, "")
    assert failed(tmp_path, "config", "validate", "none.yaml")[0] == 2


def test_the_document_has_every_flag_with_its_setting_and_default() -> None:
    text = (Path(__file__).parents[2] / "docs" / "ecs.md").read_text(encoding="utf-8")
    rows = {
        cells[0].strip("`").partition(" ")[0].partition("[")[0]: cells
        for line in text.splitlines()
        if line.startswith("| `--") and (cells := [cell.strip() for cell in line.strip("|").split("|")])
    }
    flags = {option for parameter in server_command.params for option in parameter.opts}
    assert set(rows) == flags - {"-h", "--help"}
    for flag, (_, setting, default, _) in rows.items():
        if flag == "--config":
            continue
        key = KEYS[setting.strip("`")]
        if isinstance(key.default, bool | int):
            assert default == str(key.default).lower()
