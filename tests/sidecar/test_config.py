"""What a sidecar may be told."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kecs.core.errors import ConfigError
from kecs.sidecar.config import EngineMode, SidecarConfig

WHOLE = SidecarConfig(
    backend_host="::1",
    backend_port=4566,
    backend_tls=True,
    profile="localstack",
    controlplane_host="controlplane.kecs-system.svc",
    controlplane_port=8080,
    controlplane_tls=True,
    region="eu-west-1",
    account="123456789012",
    accounts=("AKIAIOSFODNN7EXAMPLE=111122223333", "*=444455556666"),
    role="app",
    pass_hosts=("*.eks.amazonaws.com",),
    engine=EngineMode.INSPECT,
    page_port=14582,
    record="/tmp/calls",
    addons=("/src/addon.py",),
    unredacted=True,
)


def test_it_comes_back_as_it_was_written() -> None:
    assert SidecarConfig.from_json(WHOLE.to_json()) == WHOLE
    assert "\n" not in WHOLE.to_json()


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("backend_port", 0, "backend_port 0 is no port"),
        ("backend_port", "80", "backend_port '80' is no int"),
        ("backend_port", True, "is no int"),
        ("backend_host", "", "backend_host '' is no host"),
        ("backend_host", "a b", "is no host"),
        ("backend_host", "http://x", "is no host"),
        ("backend_host", "s3.eu-west-1.amazonaws.com", "is AWS itself"),
        ("controlplane_host", "ecs.us-east-1.amazonaws.com", "is AWS itself"),
        ("controlplane_port", 65536, "is no port"),
        ("controlplane_tls", "yes", "controlplane_tls 'yes' is no bool"),
        ("profile", "other", "profile 'other' is unknown"),
        ("account", "123", "account '123' is no account number"),
        ("account", "\u0661" * 12, "is no account number"),
        ("accounts", "x", "is no list of entries"),
        ("accounts", ["AKIA=1"], "accounts: 'AKIA=1' names no account of twelve digits"),
        ("pass_hosts", "x", "is no list of names"),
        ("pass_hosts", [1], "is no list of names"),
        ("pass_hosts", ["*"], "'*' is no host name"),
        ("engine", "maybe", "engine 'maybe' is unknown"),
        ("engine", 1, "engine 1 is no str"),
        ("page_port", -1, "page_port -1 is no port"),
        ("page_port", 65536, "page_port 65536 is no port"),
        ("addons", ["addon.py"], "'addon.py' is no absolute path"),
        ("addons", "/addon.py", "is no list of paths"),
        ("record", "calls", "'calls' is no absolute path"),
        ("engine", "on-demand", "record is given, and the engine is on-demand"),
        ("unredacted", "yes", "unredacted 'yes' is no bool"),
        ("surprise", 1, "has no 'surprise'"),
    ],
)
def test_what_is_wrong_is_refused_by_name(key: str, value: object, says: str) -> None:
    with pytest.raises(ConfigError) as refused:
        SidecarConfig.from_json(json.dumps({**json.loads(WHOLE.to_json()), key: value}))
    assert says in refused.value.message


def test_tls_to_no_control_plane_is_refused() -> None:
    with pytest.raises(ConfigError, match="there is no controlplane_host"):
        SidecarConfig(backend_host="::1", backend_port=1, controlplane_tls=True)


@pytest.mark.parametrize(
    ("text", "says"), [("{", "no JSON"), ("[]", "no JSON object but list"), ("{}", "lacks backend_host")]
)
def test_what_is_no_configuration_is_refused(text: str, says: str) -> None:
    with pytest.raises(ConfigError) as refused:
        SidecarConfig.from_json(text)
    assert says in refused.value.message


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3)))
def test_no_value_breaks_it(value: object) -> None:
    for key in json.loads(WHOLE.to_json()):
        with contextlib.suppress(ConfigError):
            SidecarConfig.from_json(json.dumps({**json.loads(WHOLE.to_json()), key: value}))


@pytest.mark.parametrize(
    ("host", "local"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("10.0.0.1", False)],
)
def test_what_stays_on_this_machine(*, host: str, local: bool) -> None:
    assert SidecarConfig(backend_host=host, backend_port=1).backend_is_local is local
