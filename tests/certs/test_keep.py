"""`python -m kecs.certs keep`: its environment, and whole processes against the fake API server."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from authority_lab import NAMESPACE, Cluster, cluster
from kube_lab import Fault

from kecs.certs.keep import Authority, Options
from kecs.certs.kube import Kube
from kecs.certs.lease import Timing
from kecs.certs.requests import Stage
from kecs.certs.state import Phase
from kecs.core.errors import ConfigError

ENVIRON = {
    "POD_NAMESPACE": NAMESPACE,
    "POD_NAME": "kecs-authority-x",
    "KECS_AUTHORITY_DOMAINS": "amazonaws.com,api.aws",
}
QUICK = Timing(lease=1.0, deadline=0.6, retry=0.1)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Cluster]:
    with cluster(tmp_path) as found:
        yield found


def test_what_the_environment_says() -> None:
    options = Options.read(ENVIRON)
    settings = options.settings
    assert settings.scope.permitted == ("amazonaws.com", "api.aws")
    assert settings.scope.services == ("kecs-system.svc", "kecs-system.svc.cluster.local")
    assert (settings.scope.root_lifetime.days, settings.rotate_at, settings.propagation.seconds) == (3650, 0.67, 180)
    assert options.health_port == 8081
    assert options.identity.startswith("kecs-authority-x-")
    assert options.identity != Options.read(ENVIRON).identity


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DOMAINS", ""),
        ("DOMAINS", "*.amazonaws.com"),
        ("DOMAINS", "amazonaws..com"),
        ("ROOT_DAYS", "1"),
        ("ROOT_DAYS", "ten"),
        ("ROTATE_AT", "1"),
        ("ROTATE_AT", "nan"),
        ("PROPAGATION_SECONDS", "-1"),
        ("HEALTH_PORT", "70000"),
    ],
)
def test_a_setting_that_is_wrong_is_named(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"KECS_AUTHORITY_{name}") as caught:
        Options.read(ENVIRON | {f"KECS_AUTHORITY_{name}": value})
    assert caught.value.hint


class Replica:
    """An authority on threads of this process."""

    def __init__(self, lab: Cluster, directory: Path, number: int) -> None:
        directory.mkdir()
        self.kube = Kube.load(kubeconfig=str(lab.api.kubeconfig(directory)))
        settings = replace(Options.read(ENVIRON).settings, propagation=lab.now - lab.now)
        options = Options(identity=f"r{number}", settings=settings, health_port=0, timing=QUICK)
        self.authority = Authority(self.kube, options)
        self.threads = [threading.Thread(target=part, daemon=True) for part in self.authority.parts]
        self.authority.start()
        for thread in self.threads:
            thread.start()

    @property
    def leads(self) -> bool:
        return self.authority.elector.leads

    def close(self) -> None:
        self.authority.close()
        for thread in self.threads:
            thread.join(20)
            assert not thread.is_alive()
        self.kube.close()


@pytest.fixture
def replicas(lab: Cluster, tmp_path: Path) -> Iterator[list[Replica]]:
    found = [Replica(lab, tmp_path / str(number), number) for number in range(2)]
    lab.api.wait(lambda: any(one.leads for one in found))
    lab.api.wait(lambda: lab.api.at("secrets", "kecs-injector-tls", NAMESPACE) is not None)
    yield found
    for one in found:
        one.close()


@pytest.mark.parametrize(
    ("resource", "name"), [("configmaps", "kecs-trust"), ("secrets", "kecs-injector-tls"), ("secrets", "kecs-issuer")]
)
@pytest.mark.usefixtures("replicas")
def test_drift_is_repaired_within_seconds(lab: Cluster, resource: str, name: str) -> None:
    lab.api.remove(resource, name, NAMESPACE)
    lab.api.wait(lambda: lab.api.at(resource, name, NAMESPACE) is not None, timeout_s=5)


@pytest.mark.usefixtures("replicas")
def test_drift_is_repaired_although_the_watch_was_cut_and_forgotten(lab: Cluster) -> None:
    lab.api.compact()
    lab.edit("configmaps", "kecs-trust", ca_crt="theirs")
    lab.api.wait(lambda: lab.fields("configmaps", "kecs-trust")["ca.crt"] != b"theirs", timeout_s=5)


@pytest.mark.usefixtures("replicas")
def test_a_rotation_in_the_background(lab: Cluster) -> None:
    lab.ask("a", "rotate")
    lab.api.wait(lambda: not lab.pending)
    assert (lab.report.stage, lab.authority.generation) == (Stage.DONE, 2)


def test_another_takes_over_in_the_middle_of_a_rotation(lab: Cluster, replicas: list[Replica]) -> None:
    leader, other = sorted(replicas, key=lambda one: not one.leads)
    lab.start_pod("old")
    lab.ask("a", "rotate")
    lab.api.wait(lambda: lab.api.at("configmaps", "kecs-rotation", NAMESPACE) is not None and waiting(lab))
    leader.close()
    lab.api.wait(lambda: other.leads, timeout_s=5)
    lab.stop_pod("old")
    lab.ask("b", "rotate")  # instead of waiting until pods are looked at again
    lab.api.wait(lambda: not lab.pending)
    assert (lab.report.stage, lab.authority.phase) == (Stage.DONE, Phase.STABLE)
    # who took over may have looked at pods before "b" was asked, which then is another rotation
    assert lab.authority.generation in {2, 3}


def waiting(lab: Cluster) -> bool:
    with contextlib.suppress(KeyError):
        return lab.report.stage is Stage.WAITING
    return False


def test_the_api_server_goes_away_and_comes_back(lab: Cluster, replicas: list[Replica]) -> None:
    away = [Fault(status=503, times=100_000), Fault(drop=True, times=100_000)]
    lab.api.faults += away
    lab.api.wait(lambda: not any(one.leads for one in replicas), timeout_s=10)
    lab.edit("configmaps", "kecs-trust", ca_crt="theirs")
    lab.api.faults.clear()
    lab.api.wait(lambda: lab.fields("configmaps", "kecs-trust")["ca.crt"] != b"theirs", timeout_s=20)
    lab.api.wait(lambda: sum(one.leads for one in replicas) == 1)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def get(port: int, path: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
    except OSError:
        return 0, b""


def process(lab: Cluster, directory: Path, port: int, **environ: str) -> subprocess.Popen[str]:
    told = ENVIRON | {"KUBECONFIG": str(lab.api.kubeconfig(directory)), "KECS_AUTHORITY_HEALTH_PORT": str(port)}
    return subprocess.Popen(
        [sys.executable, "-m", "kecs.certs", "keep"],
        env={"PATH": os.environ["PATH"], **told, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_process(lab: Cluster, tmp_path: Path) -> None:
    port = free_port()
    running = process(lab, tmp_path, port)
    try:
        lab.api.wait(lambda: get(port, "/readyz")[0] == 200, timeout_s=30)
        assert get(port, "/livez") == (200, b"ok\n")
        metrics = get(port, "/metrics")[1].decode()
        for line in ("kecs_authority_leader 1.0", "kecs_authority_generation 1.0", "kecs_authority_troubled 0.0"):
            assert line in metrics
        assert lab.authority.generation == 1
        running.send_signal(signal.SIGTERM)
        out, err = running.communicate(timeout=20)
    finally:
        running.kill()
        running.wait()
    assert (running.returncode, err) == (0, "")
    events = [json.loads(line)["event"] for line in out.splitlines()]
    assert events[0] == "started"
    assert events[-1] == "stopped"
    assert {"leadership_gained", "authority_created", "leadership_ended"} <= set(events)
    lease = lab.api.at("leases", "kecs-authority", NAMESPACE)
    assert lease
    assert lease["spec"]["holderIdentity"] == ""


def test_a_record_that_is_damaged_shows_in_health_and_log(lab: Cluster, tmp_path: Path) -> None:
    lab.replica().round()
    lab.edit("secrets", "kecs-root", tls_crt=b"XX")
    port = free_port()
    running = process(lab, tmp_path, port)
    try:
        lab.api.wait(lambda: b"is damaged" in get(port, "/readyz")[1], timeout_s=30)
        assert get(port, "/livez")[0] == 200
        running.send_signal(signal.SIGTERM)
        out, _ = running.communicate(timeout=20)
    finally:
        running.kill()
        running.wait()
    assert "restore Secret kecs-system/kecs-root from a backup" in out


def test_without_its_settings_it_says_which(lab: Cluster, tmp_path: Path) -> None:
    running = process(lab, tmp_path, free_port(), KECS_AUTHORITY_DOMAINS="")
    _, err = running.communicate(timeout=30)
    assert running.returncode == 2
    assert err.startswith("error: KECS_AUTHORITY_DOMAINS is not set\nhint: ")
