"""The models: defaults as the first documents promised them, and what each key refuses."""

from dataclasses import fields

import pytest
from pydantic.alias_generators import to_camel

from kecs.core.settings import LocalStack, Proxy, Relay, Settings
from kecs.core.settings_keys import ALIASES, KEYS, VARIABLES, canonical, closest
from kecs.relay import config as relay_config
from kecs.relay.config import RelayConfig
from kecs.sidecar import config as sidecar_config
from kecs.sidecar.config import SidecarConfig

RELAY = tuple(Relay.model_fields)


def test_the_defaults_promised() -> None:
    settings = Settings()
    assert settings.localstack == LocalStack()
    assert settings.localstack.enabled
    assert settings.localstack.services == ("iam", "logs", "ssm", "secretsmanager", "elbv2")
    assert settings.localstack.persistence
    assert (settings.localstack.namespace, settings.localstack.port) == ("aws-services", 4566)
    assert settings.localstack.resources.model_dump(by_alias=True) == {
        "memory": "2Gi",
        "cpu": "1000m",
        "storageSize": "10Gi",
    }
    assert settings.localstack.data_dir == "/var/lib/localstack"
    assert settings.localstack.image == "localstack/localstack:4.14.0"
    assert settings.proxy == Proxy()
    assert settings.proxy.mode == "environment"
    assert settings.proxy.localstack_endpoint == "http://localstack.aws-services.svc.cluster.local:4566"
    assert settings.proxy.fallback_order == ("sidecar", "environment")
    assert (settings.server.port, settings.server.admin_port, settings.server.api_port) == (8080, 8081, 4566)


def test_the_relays_defaults_are_the_relays_own() -> None:
    given, own = Settings().relay, SidecarConfig(backend_host="::1", backend_port=1)
    names = {name: own if hasattr(own, name) or hasattr(own, f"{name}_s") else own.relay for name in RELAY}
    held = {name: getattr(to, f"{name}_s" if hasattr(to, f"{name}_s") else name) for name, to in names.items()}
    assert {name: getattr(given, name) for name in names} == held
    assert {field.name.removesuffix("_s") for field in fields(RelayConfig)} <= held.keys()


@pytest.mark.parametrize("name", RELAY)
def test_the_relays_bounds_are_the_relays_own(name: str) -> None:
    bounds = {**relay_config.BOUNDS, **sidecar_config.BOUNDS}
    allowed = bounds.get(name, bounds.get(f"{name}_s"))
    told = Relay.model_json_schema()
    schema = told["properties"][to_camel(name)]
    schema = told["$defs"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    if allowed is None or name == "workers":
        assert "maximum" not in schema
        return
    assert schema["maximum"] == allowed[1]
    assert schema["minimum"] == allowed[0] if "minimum" in schema else 0 < allowed[0] < 0.01


def test_what_is_told_is_what_was_changed() -> None:
    assert Relay().told() == {}
    assert Relay(idleTimeout=350).told() == {}
    changed = Relay(idleTimeout=5, requestsMax=7, workers="auto", drainTimeout=1, readyNeedsBackend=True, linger=1)
    assert changed.told() == {
        "workers": "auto",
        "drain_timeout_s": 1,
        "ready_needs_backend": True,
        "relay": {"idle_timeout_s": 5, "requests_max": 7, "linger_s": 1},
    }


@pytest.mark.parametrize("name", RELAY)
def test_each_setting_reaches_the_sidecar(name: str) -> None:
    default = getattr(Relay(), name)
    lists = {
        "engine_hosts": ["transcribestreaming.*.amazonaws.com"],
        "accounts": ["AKIA=111122223333", "*=444455556666"],
    }
    special = {"workers": "auto", **lists}
    other = special.get(name) or (not default if isinstance(default, bool) else default + 1)
    told = Relay.model_validate({to_camel(name): other}).told()
    config = SidecarConfig.from_mapping({"backend_host": "::1", "backend_port": 1, **told})
    assert config != SidecarConfig(backend_host="::1", backend_port=1)


def test_reading_settings_never_looks_at_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCALSTACK", '{"port": 1}')
    monkeypatch.setenv("KECS_LOCALSTACK_PORT", "1")
    assert Settings().localstack.port == 4566


def test_every_key_says_what_it_means_and_has_one_variable() -> None:
    assert all(key.meaning and key.type_name for key in KEYS.values())
    assert len(VARIABLES) == len(KEYS) + len(ALIASES)
    assert KEYS["localstack.resources.storageSize"].variable == "KECS_LOCALSTACK_RESOURCES_STORAGE_SIZE"
    assert VARIABLES["KECS_LOCALSTACK_EDGE_PORT"].path == "localstack.port"


@pytest.mark.parametrize(
    ("spelled", "path"),
    [
        pytest.param("localstack.port", "localstack.port", id="as it is"),
        pytest.param("localstack.edgePort", "localstack.port", id="older name"),
        pytest.param("localstack.edge_port", "localstack.port", id="older name, snake case"),
        pytest.param("proxy.localstack_endpoint", "proxy.localstackEndpoint", id="snake case"),
        pytest.param("nothing.at_all", "nothing.atAll", id="unknown"),
    ],
)
def test_spellings(spelled: str, path: str) -> None:
    assert canonical(spelled) == path


@pytest.mark.parametrize(
    ("word", "found"), [("localstack.prot", "localstack.port"), ("PROXY.MODE", "proxy.mode"), ("zzzzzz", "")]
)
def test_the_closest_key(word: str, found: str) -> None:
    assert closest(word, KEYS) == found
