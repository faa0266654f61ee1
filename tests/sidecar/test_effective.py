"""What holds, and who said so."""

import json

import pytest
from sidecar_lab import configuration

from kecs.core.errors import ConfigError
from kecs.core.settings_keys import KEYS
from kecs.sidecar.effective import CONFIG, VARIABLES, Effective

GIVEN = json.dumps({"backend_host": "emulator", "backend_port": 4566, "workers": 2, "relay": {"idle_timeout_s": 20}})


def test_values_know_where_they_came_from() -> None:
    found = Effective.read(GIVEN, {"KECS_RELAY_HEAD_TIMEOUT": "5", "KECS_RELAY_WORKERS": "auto", "HOME": "/"})
    assert (found.config.workers, found.config.relay.idle_timeout_s, found.config.relay.head_timeout_s) == (0, 20, 5)
    said = found.described()
    assert said["backend_host"] == {"value": "emulator", "source": CONFIG}
    assert said["workers"] == {"value": 0, "source": "KECS_RELAY_WORKERS"}
    assert said["relay.idle_timeout_s"] == {"value": 20, "source": CONFIG}
    assert said["relay.head_timeout_s"] == {"value": 5, "source": "KECS_RELAY_HEAD_TIMEOUT"}
    assert said["relay.body_timeout_s"] == {"value": 120.0, "source": "default"}
    assert said["region"]["source"] == "default"
    assert json.loads(json.dumps(said)) == said


def test_a_list_is_told_in_one_variable() -> None:
    found = Effective.read(GIVEN, {"KECS_RELAY_ENGINE_HOSTS": "kinesis.*.amazonaws.com, s3.amazonaws.com"})
    assert found.config.engine_hosts == ("kinesis.*.amazonaws.com", "s3.amazonaws.com")
    assert found.described()["engine_hosts"]["source"] == "KECS_RELAY_ENGINE_HOSTS"


def test_accounts_are_told_in_one_variable() -> None:
    given = ["AKIAIOSFODNN7EXAMPLE=111122223333", "*=444455556666"]
    found = Effective.read(GIVEN, {"KECS_RELAY_ACCOUNTS": ", ".join(given)})
    assert found.config.accounts == tuple(given)
    assert found.described()["accounts"] == {"value": given, "source": "KECS_RELAY_ACCOUNTS"}


def test_every_value_is_told() -> None:
    found = Effective.read(configuration().to_json(), {}).described()
    whole = json.loads(configuration().to_json())
    assert found.keys() == {*whole, *(f"relay.{name}" for name in whole["relay"])} - {"relay"}


def test_variables_are_those_of_the_settings() -> None:
    known = {key.variable for path, key in KEYS.items() if path.startswith("relay.")}
    assert known <= VARIABLES.keys()


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("KECS_RELAY_IDLE_TIMEOUT", "soon", "KECS_RELAY_IDLE_TIMEOUT is 'soon'"),
        ("KECS_RELAY_IDLE_TIMEOUT", "0", "KECS_RELAY_IDLE_TIMEOUT: relay.idle_timeout_s is 0"),
        ("KECS_RELAY_REQUESTS_MAX", "1.5", "KECS_RELAY_REQUESTS_MAX: relay.requests_max 1.5 is no whole number"),
        ("KECS_RELAY_WORKERS", "65", "KECS_RELAY_WORKERS: workers is 65"),
        ("KECS_RELAY_READY_NEEDS_BACKEND", "yes", "KECS_RELAY_READY_NEEDS_BACKEND is 'yes'"),
        ("KECS_RELAY_ACCOUNTS", "AKIA", "KECS_RELAY_ACCOUNTS: accounts: 'AKIA' names no account of twelve digits"),
        ("KECS_RELAY_ENGINE_HOSTS", "a.example", "KECS_RELAY_ENGINE_HOSTS: engine_hosts: 'a.example' is no AWS name"),
        ("KECS_RELAY_DRAIN_TIMEOUT", "-1", "KECS_RELAY_DRAIN_TIMEOUT: drain_timeout_s is -1"),
    ],
)
def test_what_is_wrong_names_its_variable(name: str, value: str, says: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Effective.read(GIVEN, {name: value})
    assert refused.value.message == says
    assert refused.value.hint or "whole number" in says


def test_what_is_wrong_in_the_configuration_is_not_hidden_by_a_variable() -> None:
    with pytest.raises(ConfigError, match=r"relay\.idle_timeout_s is 0"):
        Effective.read(GIVEN.replace("20", "0"), {"KECS_RELAY_IDLE_TIMEOUT": "5"})


def test_a_services_own_variables_are_left_alone() -> None:
    """Kubernetes tells every pod of each service: one called kecs-relay must not keep a sidecar from starting."""
    kubernetes = {"KECS_RELAY_PORT": "tcp://10.0.0.1:80", "KECS_RELAY_SERVICE_HOST": "10.0.0.1"}
    assert not kubernetes.keys() & VARIABLES.keys()
    assert Effective.read(GIVEN, kubernetes).config.workers == 2


def test_what_may_be_a_secret_is_masked() -> None:
    from kecs.sidecar.effective import _shown  # noqa: PLC0415 - no setting is one today

    assert [_shown(name, "x") for name in ("relay.token", "api_key", "password", "region")] == ["***"] * 3 + ["x"]
    assert _shown("api_key", "") == ""
