"""Patterns of names that the engine serves."""

import pytest
from sidecar_lab import configuration

from kecs.core.errors import ConfigError
from kecs.sidecar.config import SidecarConfig
from kecs.sidecar.engine_hosts import check, matches

TRANSCRIBE = "transcribestreaming.*.amazonaws.com"


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        (TRANSCRIBE, "transcribestreaming.eu-west-1.amazonaws.com", True),
        (TRANSCRIBE, "TranscribeStreaming.EU-west-1.amazonaws.com.", True),
        (TRANSCRIBE, "a.transcribestreaming.eu-west-1.amazonaws.com", False),
        (TRANSCRIBE, "transcribestreaming.eu-west-1.x.amazonaws.com", False),
        (TRANSCRIBE, "transcribestreaming.amazonaws.com", False),
        (TRANSCRIBE, "transcribestreaming.eu-west-1.amazonaws.com.cn", False),
        (TRANSCRIBE, "xtranscribestreaming.eu-west-1.amazonaws.com", False),
        (TRANSCRIBE, "", False),
        ("*.control-kinesis.*.amazonaws.com", "123.control-kinesis.eu-west-1.amazonaws.com", True),
        ("sqs.eu-west-1.amazonaws.com", "sqs.eu-west-1.amazonaws.com", True),
        ("sqs.eu-west-1.amazonaws.com", "sqs.eu-west-2.amazonaws.com", False),
    ],
)
def test_a_star_stands_for_one_label(*, pattern: str, name: str, expected: bool) -> None:
    check(pattern)
    assert matches((pattern,), name) is expected
    assert matches(("sns.us-east-1.amazonaws.com", pattern), name) is expected
    assert matches((), name) is False


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("transcribe*.eu-west-1.amazonaws.com", "has a * that is a part of a label"),
        ("**.amazonaws.com", "has a * that is a part of a label"),
        ("sqs..amazonaws.com", "is no host name"),
        ("", "is no host name"),
        ("a b.amazonaws.com", "is no host name"),
        ("api.example.com", "is no AWS name"),
        ("*.example.com", "is no AWS name"),
        ("*", "is no"),
        ("*.com", "is no AWS name"),
        ("sqs.*.*", "is no AWS name"),
    ],
)
def test_what_can_not_match_is_refused_with_the_pattern(pattern: str, message: str) -> None:
    for make in (lambda: check(pattern), lambda: configuration(engine_hosts=(pattern,))):
        with pytest.raises(ConfigError) as refused:
            make()
        assert refused.value.message.startswith(f"engine_hosts: {pattern!r} ")
        assert message in refused.value.message
        assert "* may stand for a whole label" in refused.value.hint


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ('"sqs.*.amazonaws.com"', "engine_hosts 'sqs.*.amazonaws.com' is no list of patterns"),
        ("[1]", "engine_hosts [1] is no list of patterns"),
    ],
)
def test_the_key_is_a_list(given: str, message: str) -> None:
    text = '{"backend_host":"127.0.0.1","backend_port":4566,"engine_hosts":%s}'
    with pytest.raises(ConfigError) as refused:
        SidecarConfig.from_json(text % given)
    assert refused.value.message == message
    config = SidecarConfig.from_json(text % f'["{TRANSCRIBE}"]')
    assert config.engine_hosts == (TRANSCRIBE,)
    assert SidecarConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("-1", "engine_idle_s is -1"),
        ("86401", "engine_idle_s is 86401"),
        ('"x"', "engine_idle_s 'x' is no number of seconds"),
        ("true", "engine_idle_s True is no number of seconds"),
    ],
)
def test_the_time_without_connections_has_bounds(given: str, message: str) -> None:
    text = '{"backend_host":"127.0.0.1","backend_port":4566,"engine_idle_s":%s}'
    with pytest.raises(ConfigError) as refused:
        SidecarConfig.from_json(text % given)
    assert refused.value.message == message
    assert SidecarConfig.from_json(text % "0.5").engine_idle_s == 0.5
