"""The models: defaults as the first documents promised them, and what each key refuses."""

import pytest

from kecs.core.settings import LocalStack, Proxy, Settings
from kecs.core.settings_keys import ALIASES, KEYS, VARIABLES, canonical, closest
from kecs.relay.config import RelayConfig


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
    given, own = Settings().relay, RelayConfig()
    names = {name: f"{name}_s" if name.endswith("_timeout") else name for name in type(given).model_fields}
    assert {name: getattr(given, name) for name in names} == {name: getattr(own, to) for name, to in names.items()}


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
