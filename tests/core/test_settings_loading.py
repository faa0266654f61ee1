"""Layers merged: which wins, where it says it came from, and every refusal at once."""

import pytest

from kecs.aws.accounts import Accounts
from kecs.core.settings_keys import KEYS
from kecs.core.settings_loading import SettingsError, load
from kecs.core.settings_sources import File, Flag

FILE = File(name="kecs.yaml", text="localstack:\n  port: 3\nrun:\n  region: eu-west-3\n")
HOME = File(name="home.yaml", text="localstack:\n  port: 4\n  debug: true\n")
VARIABLES = {"KECS_LOCALSTACK_EDGE_PORT": "2"}
FLAGS = {"localstack.port": Flag(name="--localstack-port", value=1)}


@pytest.mark.parametrize(
    ("flags", "environ", "files", "port", "origin"),
    [
        pytest.param(FLAGS, VARIABLES, [HOME, FILE], 1, "--localstack-port", id="flag wins"),
        pytest.param({}, VARIABLES, [HOME, FILE], 2, "KECS_LOCALSTACK_EDGE_PORT", id="then the variable"),
        pytest.param({}, {}, [HOME, FILE], 3, "kecs.yaml:2", id="then the nearer file"),
        pytest.param({}, {}, [HOME], 4, "home.yaml:2", id="then the farther file"),
        pytest.param({}, {}, [], 4566, "default", id="then the default"),
    ],
)
def test_who_wins(
    *, flags: dict[str, Flag], environ: dict[str, str], files: list[File], port: int, origin: str
) -> None:
    loaded = load(flags=flags, environ=environ, files=files)
    assert loaded.settings.localstack.port == port
    assert loaded.value("localstack.port") == port
    assert str(loaded.origin("localstack.port")) == origin


def test_all_that_was_given_is_remembered() -> None:
    loaded = load(flags=FLAGS, environ=VARIABLES, files=[HOME, FILE])
    assert [given.value for given in loaded.considered["localstack.port"]] == [1, "2", 3, 4, 4566]
    assert loaded.settings.localstack.debug
    assert loaded.settings.run.region == "eu-west-3"


def test_every_key_has_a_value_and_an_origin() -> None:
    loaded = load()
    assert all(loaded.value(path) == key.default for path, key in KEYS.items())
    assert {str(loaded.origin(path)) for path in KEYS} == {"default"}


@pytest.mark.parametrize("text", ["false", "0", "no", "off", "False"])
def test_localstack_is_switched_off_by_variable(text: str) -> None:
    assert not load(environ={"KECS_LOCALSTACK_ENABLED": text}).settings.localstack.enabled


@pytest.mark.parametrize(
    ("name", "value", "message", "hint"),
    [
        pytest.param(
            "KECS_LOCALSTACK_ENABLED",
            "maybe",
            "is not true or false",
            "localstack.enabled is true or false",
            id="boolean",
        ),
        pytest.param("KECS_SERVER_PORT", "http", "is not a whole number", "server.port is whole number", id="number"),
        pytest.param("KECS_SERVER_PORT", "0", "is too small", "the limit is 1", id="small port"),
        pytest.param("KECS_SERVER_PORT", "65536", "is too large", "the limit is 65535", id="large port"),
        pytest.param("KECS_RELAY_IDLE_TIMEOUT", "-1", "is too small", "it must be above 0", id="negative time"),
        pytest.param("KECS_RELAY_IDLE_TIMEOUT", "0", "is too small", "it must be above 0", id="no time"),
        pytest.param(
            "KECS_RELAY_IDLE_TIMEOUT", "soon", "is not a number", "relay.idleTimeout is number", id="time in words"
        ),
        pytest.param(
            "KECS_RELAY_WORKERS",
            "many",
            "is neither auto nor a number of processes",
            "give 1 to 64",
            id="workers in words",
        ),
        pytest.param(
            "KECS_RELAY_WORKERS", "0", "is neither auto nor a number of processes", "give 1 to 64", id="no workers"
        ),
        pytest.param(
            "KECS_PROXY_MODE",
            "sidcar",
            "is not environment | sidecar | disabled | auto",
            "did you mean sidecar?",
            id="mode",
        ),
        pytest.param(
            "KECS_PROXY_MODE",
            "x",
            "is not environment | sidecar | disabled | auto",
            "proxy.mode is environment | sidecar | disabled | auto",
            id="mode like no other",
        ),
        pytest.param(
            "KECS_RUN_BACKEND", "ftp://x", "is not an HTTP URL", "give one like http://localhost:4566", id="URL"
        ),
        pytest.param(
            "KECS_RUN_BACKEND", "http://[", "is not an HTTP URL", "give one like http://localhost:4566", id="broken URL"
        ),
        pytest.param(
            "KECS_RUN_BACKEND", "http://x:0", "is not an HTTP URL", "give one like http://localhost:4566", id="port 0"
        ),
        pytest.param(
            "KECS_RUN_ACCOUNT",
            "12",
            "is not an account id: 12 digits, e.g. 000000000000",
            "run.account is text",
            id="account",
        ),
        pytest.param("KECS_RUN_REGION", "Ireland", "is not a region as AWS spells it", "e.g. eu-west-1", id="region"),
        pytest.param("KECS_LOCALSTACK_IMAGE", "", "is empty", "localstack.image is text", id="empty"),
        pytest.param(
            "KECS_LOCALSTACK_RESOURCES_MEMORY", "2", "has no unit Kubernetes knows", "e.g. 512Mi or 2Gi", id="unit"
        ),
        pytest.param("KECS_LOCALSTACK_RESOURCES_CPU", "much", "is not an amount of CPU", "e.g. 500m or 2", id="cpu"),
        pytest.param(
            "KECS_LOCALSTACK_NAMESPACE", "A_B", "is not a name Kubernetes takes", "e.g. aws-services", id="namespace"
        ),
    ],
)
def test_what_is_refused(name: str, value: str, message: str, hint: str) -> None:
    with pytest.raises(SettingsError) as error:
        load(environ={name: value})
    assert error.value.message.endswith(f'is "{value}" (from {name}): {message}')
    assert error.value.hint == hint
    assert error.value.exit_code == 2


def test_values_inside_lists_are_checked() -> None:
    with pytest.raises(SettingsError) as error:
        load(environ={"KECS_PROXY_FALLBACK_ORDER": "sidecar,environmnt"})
    assert error.value.message.startswith('proxy.fallbackOrder is "environmnt" (from KECS_PROXY_FALLBACK_ORDER)')
    assert error.value.hint == "did you mean environment?"
    with pytest.raises(SettingsError) as error:
        load(environ={"KECS_LOCALSTACK_SERVICES": "s3,s3"})
    assert "names something twice" in error.value.message


@pytest.mark.parametrize(
    "entry",
    ["AKIAIOSFODNN7EXAMPLE=111122223333", "*=111122223333", "000000000000=111122223333", f"{'K' * 128}=111122223333"],
)
def test_an_account_is_understood_by_the_sidecar_too(entry: str) -> None:
    assert load(environ={"KECS_RELAY_ACCOUNTS": entry}).settings.relay.accounts == (entry,)
    assert list(Accounts.parse((entry,)).named.values()) == ["111122223333"]


@pytest.mark.parametrize(
    "entry",
    [
        "AKIA",
        "=111122223333",
        "AKIA*=111122223333",
        "AKIA/x=111122223333",
        f"{'K' * 129}=111122223333",
        "AKIA=1111-2222-3333",
        "AKIA=1111222233334",
        "AKIA=\u0661\u0662\u0663\u0664\u0665\u0666\u0667\u0668\u0669\u0660\u0661\u0662",
    ],
)
def test_no_account_is_refused_before_the_sidecar_would(entry: str) -> None:
    with pytest.raises(ValueError, match="names no"):
        Accounts.parse((entry,))
    with pytest.raises(SettingsError) as error:
        load(environ={"KECS_RELAY_ACCOUNTS": entry})
    sentence = "is not KEY=ACCOUNT, an access key or * and 12 digits"
    assert error.value.message.startswith(f'relay.accounts is "{entry[:40]}')
    assert error.value.message.endswith(f"(from KECS_RELAY_ACCOUNTS): {sentence}")
    assert error.value.hint == "e.g. AKIAIOSFODNN7EXAMPLE=111122223333"


def test_an_access_key_has_one_account() -> None:
    text = 'relay:\n  accounts: [AKIA=111122223333, "*=111122223333", AKIA=444455556666]\n'
    with pytest.raises(SettingsError) as error:
        load(files=[File(name="kecs.yaml", text=text)])
    assert error.value.message.startswith("relay.accounts is ")
    assert error.value.message.endswith("(from kecs.yaml:2): names AKIA twice")
    assert error.value.hint == "give each access key one account"


def test_a_wrong_value_that_is_overridden_does_not_hurt_in_a_variable() -> None:
    flags = {"server.port": Flag(name="--port", value=8000)}
    assert load(flags=flags, environ={"KECS_SERVER_PORT": "http"}).settings.server.port == 8000


def test_all_problems_at_once_each_with_its_hint() -> None:
    file = File(name="kecs.yaml", text="localstack:\n  prot: 1\nserver:\n  port: 99999\n")
    with pytest.raises(SettingsError) as error:
        load(environ={"KECS_RUN_BACKND": "x"}, files=[file])
    assert error.value.message.splitlines() == [
        "3 settings can't be used",
        '  KECS_RUN_BACKND is no setting; it is "x" (did you mean KECS_RUN_BACKEND?)',
        '  kecs.yaml:2: localstack.prot is no setting; it is "1" (did you mean localstack.port?)',
        '  server.port is "99999" (from kecs.yaml:4): is too large (the limit is 65535)',
    ]
    assert len(error.value.problems) == 3
