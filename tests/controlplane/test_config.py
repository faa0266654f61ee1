"""What a control plane is told."""

import json

import pytest

from kecs.controlplane.config import ControlPlaneConfig, RuntimeKind, kind_of
from kecs.core.errors import ConfigError


def test_it_travels_as_json() -> None:
    config = ControlPlaneConfig(
        data="/data/state.duckdb",
        runtime=RuntimeKind.KUBERNETES,
        accounts=("*=111122223333",),
        emulator="http://localhost:4510",
        drain_timeout_s=1,
        sources={"data": "--data-dir"},
    )
    assert ControlPlaneConfig.from_json(config.to_json()) == config
    assert ControlPlaneConfig.from_json("{}") == ControlPlaneConfig()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"x": 1}, "has no 'x'"),
        ({"runtime": "docker"}, "runtime 'docker' is unknown"),
        ({"emulator": "localhost:4566"}, "is no HTTP URL"),
        ({"gateway": "ftp://x"}, "is no HTTP URL"),
        ({"history_hours": 0}, "history_hours is 0"),
        ({"history_hours": True}, "is no int"),
        ({"account": "1"}, "is no account number"),
        ({"accounts": ["x"]}, "accounts: "),
        ({"drain_timeout_s": -1}, "drain_timeout_s is -1"),
        ({"data": ""}, "data is empty"),
        ({"pods": {"a": 1}}, "is no table of text"),
        ([], "no JSON object but list"),
    ],
)
def test_what_is_wrong_is_said(given: object, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ControlPlaneConfig.from_json(json.dumps(given))
    assert words in caught.value.message


def test_what_is_shown_has_sources_and_no_secrets() -> None:
    config = ControlPlaneConfig(
        emulator="http://user:secret@localhost:4510/x",
        accounts=("AKIAIOSFODNN7EXAMPLE=111122223333", "*=000000000000"),
        pods={"registryToken": "t", "service_account": "runner", "pull_secret": "s"},
        sources={"emulator": "KECS_X"},
    )
    shown = config.described()
    assert shown["emulator"] == {"value": "http://***@localhost:4510/x", "source": "KECS_X"}
    assert shown["accounts"]["value"] == ["***=111122223333", "*=000000000000"]
    assert shown["pods"]["value"] == {"registryToken": "t", "service_account": "runner", "pull_secret": "***"}
    assert shown["data"] == {"value": ":memory:", "source": "default"}
    assert "sources" not in shown


@pytest.mark.parametrize(
    ("runtime", "kubeconfig", "environ", "expected"),
    [
        ("auto", "", {}, RuntimeKind.SIMULATED),
        ("auto", "/k", {}, RuntimeKind.KUBERNETES),
        ("auto", "", {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, RuntimeKind.KUBERNETES),
        ("simulated", "/k", {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, RuntimeKind.SIMULATED),
        ("kubernetes", "", {}, RuntimeKind.KUBERNETES),
    ],
)
def test_what_auto_means(runtime: str, kubeconfig: str, environ: dict[str, str], expected: RuntimeKind) -> None:
    assert kind_of(RuntimeKind(runtime), kubeconfig, environ) is expected
