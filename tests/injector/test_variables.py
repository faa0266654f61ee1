"""What one container is told, case by case: its variables in, ours out."""

from typing import Any

import pytest

from kecs.init_container.bundle import ADDED_VARIABLES, INSTEAD_VARIABLES
from kecs.init_container.bundle import JAVA_OPTION as INIT_JAVA_OPTION
from kecs.injector.variables import (
    EXCEPTIONS,
    JAVA_OPTION,
    PHP_DIRECTORY,
    ROOTS,
    TRUST,
    TRUSTSTORE,
    Given,
    for_environment,
    for_sidecar,
)

STORE = f"{JAVA_OPTION}{TRUSTSTORE}"
FROM = {"valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}
EVERYTHING = ",".join(EXCEPTIONS)


def env(**values: Any) -> list[dict[str, Any]]:
    return [
        {"name": name, **(value if isinstance(value, dict) else {"value": value})} for name, value in values.items()
    ]


def sidecar(*, env_from: list[dict[str, Any]] | None = None, **values: Any) -> Given:
    container = {"name": "app", "env": env(**values)} | ({"envFrom": env_from} if env_from else {})
    return for_sidecar(container, region="us-east-1")


def environment(**values: Any) -> Given:
    endpoints = {"AWS_ENDPOINT_URL": "http://ls:4566", "AWS_ENDPOINT_URL_S3": "http://s3:9000"}
    return for_environment({"name": "app", "env": env(**values)}, endpoints=endpoints, host="ls", region="us-east-1")


def test_the_variables_are_those_that_the_init_container_knows() -> None:
    assert set(TRUST) == {*INSTEAD_VARIABLES, *ADDED_VARIABLES}
    assert {TRUST[name] for name in ADDED_VARIABLES} == {ROOTS}
    assert JAVA_OPTION == INIT_JAVA_OPTION


def test_a_container_that_says_nothing() -> None:
    found = sidecar()
    assert found.added == {
        **TRUST,
        "PHP_INI_SCAN_DIR": f":{PHP_DIRECTORY}",
        "JAVA_TOOL_OPTIONS": STORE,
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    assert (found.extended, found.kept, found.notes) == ({}, (), ())


@pytest.mark.parametrize("name", TRUST)
@pytest.mark.parametrize("value", ["/company.pem", "", FROM])
def test_a_trust_variable_of_its_own_is_kept_and_told(name: str, value: Any) -> None:
    found = sidecar(**{name: value})
    assert name not in {**found.added, **found.extended}
    assert found.kept == (name,)
    assert f"sets {name} itself" in found.notes[0]


@pytest.mark.parametrize(
    ("given", "extended", "kept"),
    [
        pytest.param({"JAVA_TOOL_OPTIONS": "-Xmx1g"}, {"JAVA_TOOL_OPTIONS": f" {STORE}"}, (), id="options"),
        pytest.param({"JAVA_TOOL_OPTIONS": ""}, {"JAVA_TOOL_OPTIONS": STORE}, (), id="no options"),
        pytest.param({"JAVA_TOOL_OPTIONS": f"-Xmx1g {STORE}"}, {}, (), id="ours already"),
        pytest.param({"JAVA_TOOL_OPTIONS": f"{JAVA_OPTION}/a"}, {}, ("JAVA_TOOL_OPTIONS",), id="their store"),
        pytest.param({"_JAVA_OPTIONS": f"{JAVA_OPTION}/a"}, {}, ("_JAVA_OPTIONS",), id="their store, elsewhere"),
        pytest.param({"JAVA_TOOL_OPTIONS": FROM}, {}, ("JAVA_TOOL_OPTIONS",), id="from a Secret"),
    ],
)
def test_java(given: dict[str, Any], extended: dict[str, str], kept: tuple[str, ...]) -> None:
    found = sidecar(**given)
    assert "JAVA_TOOL_OPTIONS" not in found.added
    assert (found.extended, found.kept, len(found.notes)) == (extended, kept, len(kept))


@pytest.mark.parametrize(
    ("value", "extended", "kept"),
    [
        pytest.param("/etc/php", f":{PHP_DIRECTORY}", (), id="a directory"),
        pytest.param(":", f":{PHP_DIRECTORY}", (), id="the built-in one"),
        pytest.param("", PHP_DIRECTORY, (), id="none"),
        pytest.param(f"/a:{PHP_DIRECTORY}", None, (), id="ours already"),
        pytest.param(FROM, None, ("PHP_INI_SCAN_DIR",), id="from a Secret"),
    ],
)
def test_php(value: Any, extended: str | None, kept: tuple[str, ...]) -> None:
    found = sidecar(PHP_INI_SCAN_DIR=value)
    assert found.extended == ({} if extended is None else {"PHP_INI_SCAN_DIR": extended})
    assert (found.kept, len(found.notes)) == (kept, len(kept))


@pytest.mark.parametrize(
    ("given", "added", "notes"),
    [
        pytest.param({"AWS_REGION": "eu-west-1"}, {"AWS_DEFAULT_REGION": "eu-west-1"}, 0, id="one speaks for both"),
        pytest.param({"AWS_DEFAULT_REGION": "eu-west-1"}, {"AWS_REGION": "eu-west-1"}, 0, id="so does the other"),
        pytest.param({"AWS_REGION": "a", "AWS_DEFAULT_REGION": "b"}, {}, 0, id="both are set"),
        pytest.param({"AWS_REGION": FROM}, {}, 1, id="what can't be seen can't be repeated"),
        pytest.param({"AWS_REGION": ""}, {}, 0, id="empty on purpose"),
    ],
)
def test_region(given: dict[str, Any], added: dict[str, str], notes: int) -> None:
    found = sidecar(**given)
    assert {name: value for name, value in found.added.items() if name.endswith("REGION")} == added
    assert len(found.notes) == notes
    assert found.kept == tuple(given)


@pytest.mark.parametrize(
    ("env_from", "hidden"),
    [
        pytest.param([{"configMapRef": {"name": "c"}}], True, id="any name"),
        pytest.param([{"prefix": "AWS_", "secretRef": {"name": "s"}}], True, id="a prefix that fits"),
        pytest.param([{"prefix": "APP_", "secretRef": {"name": "s"}}], False, id="a prefix that does not"),
    ],
)
def test_what_may_come_from_env_from(env_from: list[dict[str, Any]], hidden: bool) -> None:  # noqa: FBT001 - a column
    found = sidecar(env_from=env_from)
    assert ("AWS_REGION" not in found.added) == hidden
    assert set(TRUST) <= set(found.added)
    assert any("envFrom" in note for note in found.notes) == hidden


@pytest.mark.parametrize(
    ("given", "added", "extended", "notes"),
    [
        pytest.param({"HTTPS_PROXY": "p"}, {"NO_PROXY": EVERYTHING, "no_proxy": EVERYTHING}, {}, 0, id="a proxy"),
        pytest.param({"HTTPS_PROXY": ""}, {}, {}, 0, id="none"),
        pytest.param({"NO_PROXY": "a"}, {}, {}, 0, id="exceptions without a proxy"),
        pytest.param({"http_proxy": FROM, "no_proxy": "a"}, {}, {"no_proxy": f",{EVERYTHING}"}, 0, id="exceptions"),
        pytest.param({"ALL_PROXY": "p", "NO_PROXY": ""}, {}, {"NO_PROXY": EVERYTHING}, 0, id="no exceptions"),
        pytest.param({"ALL_PROXY": "p", "NO_PROXY": EVERYTHING}, {}, {}, 0, id="ours already"),
        pytest.param({"ALL_PROXY": "p", "NO_PROXY": FROM}, {}, {}, 1, id="exceptions from a Secret"),
    ],
)
def test_proxies(given: dict[str, Any], added: dict[str, str], extended: dict[str, str], notes: int) -> None:
    found = sidecar(**given)
    assert {name: value for name, value in found.added.items() if "PROXY" in name.upper()} == added
    assert (found.extended, len(found.notes)) == (extended, notes)


def test_of_a_name_that_is_given_twice_the_last_one_holds() -> None:
    container = {"name": "app", "env": [*env(AWS_REGION="a"), *env(AWS_REGION="b")]}
    assert for_sidecar(container, region="us-east-1").added["AWS_DEFAULT_REGION"] == "b"


@pytest.mark.parametrize(
    ("given", "notes"),
    [
        ({"AWS_ENDPOINT_URL_S3": "http://x"}, 1),
        ({"AWS_ENDPOINT_URL": "http://x", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "TRUE"}, 0),
        ({"AWS_EC2_METADATA_DISABLED": "true"}, 1),
        ({"AWS_EC2_METADATA_DISABLED": "true", "AWS_ACCESS_KEY_ID": "x"}, 0),
    ],
)
def test_detours_are_told(given: dict[str, Any], notes: int) -> None:
    assert len(sidecar(**given).notes) == notes


def test_environment_mode_of_a_container_that_says_nothing() -> None:
    assert environment().added == {
        "AWS_ENDPOINT_URL": "http://ls:4566",
        "AWS_ENDPOINT_URL_S3": "http://s3:9000",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
    }


def test_half_a_pair_of_credentials_is_not_completed() -> None:
    found = environment(AWS_ACCESS_KEY_ID=FROM)
    assert not {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} & set(found.added)
    assert found.kept == ("AWS_ACCESS_KEY_ID",)


def test_environment_mode_keeps_endpoints_and_spares_the_emulator_the_proxy() -> None:
    found = environment(AWS_ENDPOINT_URL="http://mine", https_proxy="p", no_proxy="a")
    assert "AWS_ENDPOINT_URL" not in found.added
    assert found.extended == {"no_proxy": ",ls"}
    assert found.notes == ("sets AWS_ENDPOINT_URL itself: its calls go there",)


def test_environment_mode_said_twice_is_said_once() -> None:
    found = environment(**environment().added)
    assert (found.added, found.extended, found.kept) == ({}, {}, ())
