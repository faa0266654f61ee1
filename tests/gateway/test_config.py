"""What a gateway is told."""

import json

import pytest

from kecs.core.errors import ConfigError
from kecs.gateway.config import GatewayConfig
from kecs.relay.config import RelayConfig

LEAST = {"backend_host": "127.0.0.1", "backend_port": 4566}


def test_it_travels_as_json() -> None:
    config = GatewayConfig(
        backend_host="::1",
        backend_port=1,
        backend_tls=True,
        profile="localstack",
        controlplane_host="plane",
        controlplane_port=8080,
        accounts=("*=111122223333",),
        relay=RelayConfig(requests_max=7),
    )
    assert GatewayConfig.from_json(config.to_json()) == config
    assert (config.backend_is_local, config.controlplane_is_local) == (True, False)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "backend_host '' is no host"),
        ({**LEAST, "x": 1}, "has no 'x'"),
        ({**LEAST, "backend_port": "4566"}, "'4566' is no int"),
        ({**LEAST, "backend_port": True}, "True is no int"),
        ({**LEAST, "backend_host": "s3.amazonaws.com"}, "is AWS itself"),
        ({**LEAST, "controlplane_host": "plane"}, "controlplane_port 0 is no port"),
        ({**LEAST, "profile": "x"}, "profile 'x' is unknown"),
        ({**LEAST, "accounts": ["x"]}, "accounts: "),
        ({**LEAST, "accounts": "x"}, "is no list of entries"),
        ({**LEAST, "relay": {"requests_max": "1"}}, "is no whole number"),
        ({**LEAST, "relay": {"x": 1}}, "relay has no 'x'"),
        ([], "no JSON object but list"),
    ],
)
def test_what_is_wrong_is_said(given: object, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        GatewayConfig.from_json(json.dumps(given))
    assert words in caught.value.message


def test_what_is_no_json_is_said() -> None:
    with pytest.raises(ConfigError, match="is no JSON"):
        GatewayConfig.from_json("{")
