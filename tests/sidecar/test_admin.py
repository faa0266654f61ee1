"""The admin port of a sidecar's process: what holds, what is needed, what was counted."""

import json
import socket
from pathlib import Path

import pytest
from loaded_lab import PATIENCE_S, call, loaded, until
from relay_lab import read_all

from kecs.calls.reach import Reach
from kecs.calls.readiness import Check, described, is_ready
from kecs.core.names import ADMIN_PORT
from kecs.relay.decide import Upstream


@pytest.mark.parametrize(
    ("checks", "ready"),
    [
        pytest.param((), True, id="nothing asked"),
        pytest.param((Check(name="a", reason=""), Check(name="b", reason="")), True, id="all hold"),
        pytest.param((Check(name="a", reason=""), Check(name="b", reason="no")), False, id="one does not"),
        pytest.param(
            (Check(name="a", reason=""), Check(name="b", reason="no", required=False)), True, id="one is told"
        ),
    ],
)
def test_readiness_is_what_is_required(checks: tuple[Check, ...], ready: bool) -> None:  # noqa: FBT001 - a table
    assert is_ready(checks) is ready
    assert described(checks)["ready"] is ready
    assert described(checks)["checks"].keys() == {check.name for check in checks}


def test_a_backend_is_told_of_apart_and_makes_nobody_unready(tmp_path: Path) -> None:
    with loaded(tmp_path) as lab:
        until(lambda: lab.told("/readyz")["checks"]["backend"]["ok"])
        ready = lab.told("/readyz")
        assert ready["ready"] is True
        assert ready["checks"]["listening"] == {"ok": True, "required": True, "reason": ""}
        assert ready["checks"]["certificate"] == {"ok": True, "required": True, "reason": ""}
        assert ready["checks"]["backend"] == {"ok": True, "required": False, "reason": ""}
        assert json.loads(lab.probe("/readyz")[1]) == ready


def test_a_backend_that_is_away_is_said_to_be(tmp_path: Path) -> None:
    with loaded(tmp_path, backend_port=1, controlplane_host="127.0.0.1", controlplane_port=2) as lab:
        until(lambda: "connection refused" in lab.told("/readyz")["checks"]["backend"]["reason"])
        status, text = lab.probe("/readyz")
        ready = json.loads(text)
        assert (status, ready["ready"], ready["checks"]["backend"]["ok"]) == (200, True, False)
        assert ready["checks"]["backend"]["reason"] == "127.0.0.1:1 can't be reached: connection refused"
        until(lambda: "127.0.0.1:2 can't be reached" in lab.told("/readyz")["checks"]["controlplane"]["reason"])
        metrics = lab.metrics()
        assert metrics["kecs_sidecar_ready:backend"] == 0
        assert metrics["kecs_sidecar_ready:certificate"] == 1


def test_where_it_is_asked_for_readiness_waits_for_the_backend(tmp_path: Path) -> None:
    needs = {"KECS_RELAY_READY_NEEDS_BACKEND": "true"}
    place = {"backend_host": "127.0.0.3", "backend_port": 4566}
    with loaded(tmp_path, environment=needs, **place) as lab, socket.socket() as held:  # type: ignore[arg-type]  # any
        until(lambda: "refused" in lab.told("/readyz")["checks"]["backend"]["reason"])
        assert lab.probe("/readyz")[0] == 503
        assert lab.probe("/livez")[0] == 200
        held.bind(("127.0.0.3", 4566))
        held.listen(8)
        until(lambda: lab.probe("/readyz")[0] == 200)


def test_settings_are_told_with_who_gave_them(tmp_path: Path) -> None:
    environment = {"KECS_RELAY_IDLE_TIMEOUT": "77"}
    with loaded(tmp_path, environment=environment, relay={"connections_max": 7}) as lab:
        told = lab.told("/config")
        assert told["settings"]["relay.idle_timeout_s"] == {"value": 77, "source": "KECS_RELAY_IDLE_TIMEOUT"}
        assert told["settings"]["relay.connections_max"] == {"value": 7, "source": "KECS_SIDECAR_CONFIG"}
        assert told["in_force"]["connections_max"] == 7
        assert told["in_force"]["workers"] == 1
        assert "PRIVATE" not in json.dumps(told)
        assert lab.probe("/config")[0] == 404


def test_metrics_tell_what_is_open_and_what_was_reached(tmp_path: Path) -> None:
    with loaded(tmp_path, relay={"idle_timeout_s": 0.3}) as lab:
        with lab.tls() as tls:
            assert call(tls) == 200
            assert lab.metrics()["kecs_sidecar_connections_now"] == 1
            assert tls.recv(1) == b""
        until(lambda: lab.metrics()["kecs_sidecar_connections_now"] == 0)
        metrics = lab.metrics()
        assert metrics["kecs_sidecar_limits_total:idle_timeout"] == 1
        assert metrics["kecs_sidecar_limits_total:head_timeout"] == 0
        assert metrics["kecs_sidecar_connections_limit_now"] == 8192
        assert metrics["kecs_sidecar_requests_limit_now"] == 4096
        assert metrics["kecs_sidecar_calls_total:s3:200"] == 1


@pytest.mark.parametrize(("method", "status"), [("GET", 200), ("HEAD", 200), ("POST", 405), ("DELETE", 405)])
def test_it_is_only_read(method: str, status: int, tmp_path: Path) -> None:
    with loaded(tmp_path), socket.create_connection(("127.0.0.1", ADMIN_PORT), PATIENCE_S) as sock:
        sock.sendall(f"{method} /config HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        answer = read_all(sock)
        assert answer.startswith(f"HTTP/1.1 {status} ".encode())
        assert (b"backend_host" in answer) is (method == "GET")


class Loop:
    """Time, as the test says."""

    def __init__(self) -> None:
        self.now = 100.0

    def time(self) -> float:
        return self.now


def test_a_place_is_tried_again_when_what_is_known_is_old() -> None:
    loop, asked = Loop(), []
    places = {"backend": Upstream(host="e", port=1)}
    reach = Reach(loop, lambda upstream, done: asked.append((upstream.host, done)), places)  # type: ignore[arg-type]  # only its clock
    assert reach.problems() == {"backend": "it has not been connected to yet"}
    reach.problems()
    assert len(asked) == 1, "one is under way"
    asked[0][1](None)
    assert reach.problems() == {"backend": ""}
    assert len(asked) == 1, "what is known is fresh"
    loop.now += 6
    assert reach.problems() == {"backend": ""}
    asked[1][1](OSError(111, "Connection refused"))
    assert reach.problems() == {"backend": "e:1 can't be reached: connection refused"}
    assert len(asked) == 2
    loop.now += 1.5
    reach.problems()
    assert len(asked) == 3, "what is wrong is looked at sooner"
