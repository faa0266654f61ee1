"""What a relay may be told."""

from dataclasses import fields

import pytest

from kecs.core.errors import ConfigError
from kecs.relay.config import BOUNDS, SECONDS, RelayConfig


def test_every_limit_has_bounds_around_its_default() -> None:
    assert BOUNDS.keys() == {field.name for field in fields(RelayConfig)}
    assert {name for name in BOUNDS if name.endswith("_s")} == SECONDS


@pytest.mark.parametrize("name", BOUNDS)
def test_what_is_out_of_bounds_is_refused_by_name(name: str) -> None:
    least, most = BOUNDS[name]
    kind = float if name in SECONDS else int
    for value in (kind(least), kind(most)):
        assert getattr(RelayConfig.from_mapping({name: value}), name) == value
    for value in (kind(most) + 1, kind(least) - 1):
        with pytest.raises(ConfigError) as refused:
            RelayConfig.from_mapping({name: value})
        assert refused.value.message == f"relay.{name} is {value!r}"
        assert refused.value.hint == f"from {least:g} to {most:g}"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"idle_timeout": 1}, "relay has no 'idle_timeout'"),
        ({"idle_timeout_s": "1"}, "relay.idle_timeout_s '1' is no number of seconds"),
        ({"requests_max": 1.5}, "relay.requests_max 1.5 is no whole number"),
        ({"requests_max": True}, "relay.requests_max True is no whole number"),
        ({"idle_timeout_s": float("nan")}, "relay.idle_timeout_s is nan"),
    ],
)
def test_what_is_no_limit_is_refused(given: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError) as refused:
        RelayConfig.from_mapping(given)
    assert refused.value.message == says


def test_what_is_absent_is_default() -> None:
    assert RelayConfig.from_mapping({}) == RelayConfig()
