"""What `kecs server` is made of: its options, its first screen, its ports."""

import socket
from pathlib import Path

import pytest

from kecs.controlplane.config import RuntimeKind
from kecs.controlplane.kubernetes.config import PodConfig
from kecs.core.errors import MachineError, UsageError
from kecs.core.settings import LogLevel
from kecs.core.settings_loading import load
from kecs.core.settings_sources import File, Flag
from kecs.emulator.backend import Backend
from kecs.local import ports
from kecs.local.server import instance
from kecs.local.server_options import ServerOptions, data_directory
from kecs.local.server_screen import Screen, screen

HOME = {"HOME": "/home/me"}


def test_the_defaults_need_nothing() -> None:
    options = ServerOptions.of(load(), HOME)
    assert (options.port, options.admin_port, options.api_port, options.host) == (8080, 8081, 4566, "127.0.0.1")
    assert options.directory == Path("/home/me/.local/share/kecs/server")
    assert (options.emulator, options.backend, options.runtime) == (True, "", RuntimeKind.AUTO)
    assert options.log_level is LogLevel.INFO


def test_flags_are_stronger_than_variables_than_files_than_defaults() -> None:
    text = "server:\n  port: 1001\n  adminPort: 1002\n  apiPort: 1003\nlocalstack:\n  enabled: false\n"
    loaded = load(
        flags={"server.port": Flag(name="--port", value=3001)},
        environ={"KECS_SERVER_ADMIN_PORT": "2002", "KECS_SERVER_PORT": "2001", "KECS_LOCALSTACK_ENABLED": "true"},
        files=[File(name="kecs.yaml", text=text)],
    )
    options = ServerOptions.of(loaded, HOME)
    assert (options.port, options.admin_port, options.api_port) == (3001, 2002, 1003)
    assert options.emulator


def test_every_part_is_told_who_the_others_are() -> None:
    loaded = load(
        flags={"server.dataDir": Flag(name="--data-dir", value="/state")},
        environ={"KECS_CONTROLPLANE_PROXY_MODE": "disabled", "KECS_RELAY_REQUESTS_MAX": "7"},
    )
    options = ServerOptions.of(loaded, HOME)
    emulator = Backend(scheme="http", host="127.0.0.1", port=4510)
    gateway = Backend(scheme="http", host="127.0.0.1", port=4566)
    plane = options.controlplane(emulator, gateway, "server-1")
    assert (plane.data, plane.emulator, plane.gateway) == (
        "/state/state.duckdb",
        "http://127.0.0.1:4510",
        "http://127.0.0.1:4566",
    )
    assert plane.pods == {"instance": "server-1", "proxy_mode": "disabled"}
    assert plane.sources["data"] == "--data-dir"
    assert plane.sources["region"] == "default"
    told = options.gateway(emulator, "embedded", Backend(scheme="http", host="127.0.0.1", port=8080))
    assert (told.backend_port, told.controlplane_port, told.relay.requests_max) == (4510, 8080, 7)
    alone = options.gateway(None, "generic", Backend(scheme="http", host="127.0.0.1", port=8080))
    assert (alone.backend_host, alone.controlplane_port) == ("", 8080)
    assert options.controlplane(None, gateway, "server-1").emulator == ""


@pytest.mark.parametrize(
    ("given", "environ", "expected"),
    [
        ("", {"XDG_DATA_HOME": "/data", **HOME}, "/data/kecs/server"),
        ("", {"XDG_DATA_HOME": "data", **HOME}, "/home/me/.local/share/kecs/server"),
        ("/x", {}, "/x"),
        ("~/x", HOME, "/home/me/x"),
    ],
)
def test_where_state_is_kept(given: str, environ: dict[str, str], expected: str) -> None:
    assert data_directory(given, environ) == Path(expected)


@pytest.mark.parametrize("given", ["", "~/x"])
def test_without_a_home_a_directory_has_to_be_named(given: str) -> None:
    with pytest.raises(MachineError):
        data_directory(given, {})


def test_the_first_screen_says_how_it_is_used() -> None:
    told = Screen(
        host="127.0.0.1",
        port=8080,
        admin_port=8081,
        api_port=4567,
        emulator="embedded",
        runtime="simulated",
        directory="/home/me/.local/share/kecs/server",
        root="/r/ca.crt",
    )
    text = screen(told)
    assert "export AWS_ENDPOINT_URL=http://localhost:4567\n" in text
    assert "http://localhost:8081/health/detailed" in text
    assert max(map(len, text.splitlines())) <= 80
    elsewhere = Screen(
        host="192.0.2.1", port=1, admin_port=2, api_port=3, emulator="", runtime="x", directory="/d", root="/r"
    )
    assert "http://192.0.2.1:3" in screen(elsewhere)
    assert "nobody: localstack.enabled is false" in screen(elsewhere)


def test_a_taken_port_is_told_with_who_has_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert any("process" in holder for holder in ports.holders(port))
        with pytest.raises(MachineError) as caught:
            ports.listen("127.0.0.1", port, flag="--port", what="the ECS API")
    assert f"port {port}, which the ECS API wants, is taken by " in caught.value.message
    assert "--port PORT" in caught.value.hint


def test_nobody_holds_a_port_that_is_free() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # bound and not listening
        assert list(ports.holders(bound.getsockname()[1])) == []


@pytest.mark.parametrize(("host", "kind"), [("203.0.113.1", MachineError), ("no such host", UsageError)])
def test_an_address_that_is_not_ours_is_refused(host: str, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        ports.listen(host, 0, flag="--port", what="the ECS API")


def test_every_address_of_both_families() -> None:
    with ports.listen("::", 0, flag="--port", what="x") as sock:
        assert sock.getsockname()[1]


def test_a_state_has_one_name_among_the_control_planes_of_a_cluster(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    found = instance(tmp_path)
    assert instance(tmp_path) == found != instance(tmp_path / "other")
    assert PodConfig(instance=found).instance == found
