"""`kecs config`: the table at 80 columns, JSON and YAML for programs, the story of one key, files refused."""

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from kecs.cli.config import config_group
from kecs.cli.settings_files import read_settings
from kecs.core.errors import ConfigError, UsageError
from kecs.core.settings_keys import KEYS
from kecs.core.settings_loading import load
from kecs.core.settings_sources import File


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory and a home without settings, so that the machine's own say nothing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path


def kecs(*arguments: str, **environ: str) -> str:
    result = CliRunner().invoke(config_group, arguments, env=environ, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_show_fits_80_columns_and_names_sources() -> None:
    text = kecs("show", KECS_RUN_REGION="eu-west-1", KECS_INSTANCE="x")
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["KEY", "VALUE", "SOURCE"]
    assert [line.split() for line in lines if line.startswith("run.region")] == [
        ["run.region", "eu-west-1", "KECS_RUN_REGION"]
    ]
    assert all(any(line.startswith(path) for line in lines) for path in KEYS)
    assert lines[-1] == "not settings, left alone: KECS_INSTANCE"


def test_show_as_json() -> None:
    rows = json.loads(kecs("show", "--output", "json", KECS_LOCALSTACK_SERVICES="s3,sqs"))
    assert list(rows) == list(KEYS)
    assert rows["localstack.services"] == {"value": ["s3", "sqs"], "source": "KECS_LOCALSTACK_SERVICES"}
    assert rows["localstack.port"] == {"value": 4566, "source": "default"}


def test_accounts_are_shown_and_read_again() -> None:
    given = ["AKIAIOSFODNN7EXAMPLE=111122223333", "*=444455556666"]
    row = json.loads(kecs("show", "-o", "json", KECS_RELAY_ACCOUNTS=", ".join(given)))["relay.accounts"]
    assert row == {"value": given, "source": "KECS_RELAY_ACCOUNTS"}
    text = kecs("show", "-o", "yaml", KECS_RELAY_ACCOUNTS=", ".join(given))
    assert load(files=[File(name="again.yaml", text=text)]).settings.relay.accounts == tuple(given)


def test_show_as_yaml_means_the_same_settings() -> None:
    text = kecs("show", "-o", "yaml", KECS_LOCALSTACK_PORT="4567", KECS_PROXY_MODE="sidecar")
    assert "# localstack.port: KECS_LOCALSTACK_PORT\n" in text
    again = load(files=[File(name="again.yaml", text=text)])
    assert (again.settings.localstack.port, again.settings.proxy.mode) == (4567, "sidecar")
    assert yaml.safe_load(text)["proxy"]["fallbackOrder"] == ["sidecar", "environment"]


def test_tokens_are_not_shown() -> None:
    variable = "LOCALSTACK_AUTH_TOKEN=ls-hidden,DEBUG=1"
    for arguments in (("show",), ("show", "-o", "json"), ("show", "-o", "yaml"), ("explain", "localstack.environment")):
        text = kecs(*arguments, KECS_LOCALSTACK_ENVIRONMENT=variable)
        assert "ls-hidden" not in text
        assert "LOCALSTACK_AUTH_TOKEN" in text


def test_explain(nowhere: Path) -> None:
    (nowhere / "kecs.yaml").write_text("localstack:\n  port: 4568\n", encoding="utf-8")
    text = kecs("explain", "localstack.edgePort", KECS_LOCALSTACK_PORT="4567")
    assert text == (
        "localstack.port\n"
        "meaning    Port of LocalStack's service; localstack.edgePort is an older name for it.\n"
        "type       whole number\n"
        "variable   KECS_LOCALSTACK_PORT\n"
        "older name localstack.edgePort\n"
        "value      4567\n"
        "sources, the strongest first:\n"
        "  * KECS_LOCALSTACK_PORT                 4567\n"
        "    kecs.yaml:2                          4568\n"
        "    default                              4566\n"
    )


def test_explain_refuses_what_is_no_key() -> None:
    with pytest.raises(UsageError) as error:
        CliRunner().invoke(config_group, ["explain", "localstack.prot"], catch_exceptions=False)
    assert error.value.message == "localstack.prot is no setting"
    assert error.value.hint == "did you mean localstack.port?"


def test_the_nearer_file_is_stronger(nowhere: Path) -> None:
    home = nowhere / "config" / "kecs"
    home.mkdir(parents=True)
    (home / "kecs.yaml").write_text("server: {port: 1, adminPort: 2}", encoding="utf-8")
    (nowhere / "kecs.yaml").write_text("server: {port: 3}", encoding="utf-8")
    settings = read_settings(environ={"XDG_CONFIG_HOME": str(nowhere / "config")}).settings
    assert (settings.server.port, settings.server.admin_port) == (3, 2)


def test_a_named_file_is_the_only_one(nowhere: Path) -> None:
    (nowhere / "kecs.yaml").write_text("server: {port: 3}", encoding="utf-8")
    other = nowhere / "other.yaml"
    other.write_text("server: {adminPort: 2}", encoding="utf-8")
    for loaded in (read_settings(config=str(other), environ={}), read_settings(environ={"KECS_CONFIG": str(other)})):
        assert (loaded.settings.server.port, loaded.settings.server.admin_port) == (8080, 2)
        assert str(loaded.origin("server.adminPort")) == f"{other}:1"


@pytest.mark.parametrize(
    ("content", "ending"),
    [
        pytest.param(None, "(from --config): no such file or directory", id="missing"),
        pytest.param(b"\xff\xfe", "is not UTF-8", id="not text"),
    ],
)
def test_files_that_can_not_be_read(nowhere: Path, content: bytes | None, ending: str) -> None:
    path = nowhere / "x.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError) as error:
        read_settings(config=str(path), environ={})
    assert str(path) in error.value.message
    assert error.value.message.endswith(ending)
    assert error.value.hint
