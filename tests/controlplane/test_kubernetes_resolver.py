"""Secrets, environment files and registries' credentials, from a real emulator by way of boto3."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from emulator_lab import Emulator, running
from hypothesis import given
from hypothesis import strategies as st
from kubernetes_lab import a_launch, an_app

from kecs.controlplane.kubernetes.effective import Resolved
from kecs.controlplane.kubernetes.references import (
    Parameter,
    Secret,
    UnresolvedError,
    bucket_and_key,
    credentials,
    login,
    picked,
    reference,
    variables,
)
from kecs.controlplane.kubernetes.resolver_client import EmulatorResolver
from kecs.controlplane.kubernetes.runtime import ResolveError
from kecs.controlplane.state import Scope

type Json = dict[str, Any]

HERE = Scope(region="us-east-1", account="000000000000")
STEM = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:db-AbCdEf"
PULL = "ResourceInitializationError: unable to pull secrets or registry auth: "


@pytest.mark.parametrize(
    ("value_from", "expected"),
    [
        pytest.param("name", Parameter(region="us-east-1", account="000000000000", names=("name",)), id="a name"),
        pytest.param("/a/b", Parameter(region="us-east-1", account="000000000000", names=("/a/b",)), id="a path"),
        pytest.param(
            "arn:aws:ssm:eu-west-1:111122223333:parameter/a/b",
            Parameter(region="eu-west-1", account="111122223333", names=("/a/b",)),
            id="an ARN with a path",
        ),
        pytest.param(
            "arn:aws:ssm:eu-west-1:111122223333:parameter/x",
            Parameter(region="eu-west-1", account="111122223333", names=("x", "/x")),
            id="an ARN does not say whether there was a slash",
        ),
        pytest.param(STEM, Secret(region="eu-west-1", account="111122223333", id=STEM), id="a secret"),
        pytest.param(
            f"{STEM}:user::", Secret(region="eu-west-1", account="111122223333", id=STEM, json_key="user"), id="a key"
        ),
        pytest.param(
            f"{STEM}::AWSPREVIOUS:", Secret(region="eu-west-1", account="111122223333", id=STEM, stage="AWSPREVIOUS"),
            id="a stage",
        ),
        pytest.param(
            f"{STEM}:::9d4c", Secret(region="eu-west-1", account="111122223333", id=STEM, version="9d4c"),
            id="a version",
        ),
    ],
)  # fmt: skip
def test_what_is_named(value_from: str, expected: Parameter | Secret) -> None:
    assert reference(value_from, HERE) == expected


@pytest.mark.parametrize("value_from", ["arn:aws:s3", "arn:aws:s3:::b/k", "arn:aws:secretsmanager:r:a:x"])
def test_what_can_not_be_a_secret(value_from: str) -> None:
    with pytest.raises(UnresolvedError):
        reference(value_from, HERE)


def test_credentials_of_a_registry_are_named_by_arn_or_name() -> None:
    assert login("hub", HERE) == Secret(region="us-east-1", account="000000000000", id="hub")
    assert login(STEM, HERE).id == STEM
    with pytest.raises(UnresolvedError, match="no secret"):
        login("arn:aws:ssm:eu-west-1:111122223333:parameter/x", HERE)
    assert credentials('{"username": "u", "password": "p"}', "x") == {"username": "u", "password": "p"}


def test_a_value_of_a_json_secret() -> None:
    assert picked("text", "", "x") == "text"
    assert picked('{"a": "b", "n": 1}', "a", "x") == "b"
    assert picked('{"a": "b", "n": 1}', "n", "x") == "1"
    for text in ("text", "[]", "{}"):
        with pytest.raises(UnresolvedError):
            picked(text, "a", "x")


def test_an_environment_file_is_read_as_it_stands() -> None:
    text = '\N{BYTE ORDER MARK}A=1\r\n# remark\n\nB= two = 2 \nC="q"\nno equals\n=x\n  # D=4\nE='
    assert list(variables(text)) == [("A", "1"), ("B", " two = 2 "), ("C", '"q"'), ("E", "")]


@given(st.text())
def test_any_text_is_an_environment_file(text: str) -> None:
    assert all(name for name, _ in variables(text))


@pytest.mark.parametrize("arn", ["", "arn:aws:s3:::bucket", "arn:aws:s3:::/key", "bucket/key"])
def test_what_can_not_be_a_file(arn: str) -> None:
    with pytest.raises(UnresolvedError):
        bucket_and_key(arn)
    assert bucket_and_key("arn:aws:s3:::b/a/k.env") == ("b", "a/k.env")


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with running() as found:
        yield found


def fetch(emulator: Emulator, **fields: Any) -> Resolved:
    async def play() -> Resolved:
        resolver = EmulatorResolver(f"http://127.0.0.1:{emulator.port}")
        try:
            return await resolver.resolve(a_launch([an_app(**fields)]))
        finally:
            resolver.close()

    return asyncio.run(play())


def secrets(**given: str) -> list[Json]:
    return [{"name": name, "valueFrom": value} for name, value in given.items()]


def test_secrets_of_all_kinds(emulator: Emulator) -> None:
    ssm = emulator.client("ssm")
    for name in ("/shop/db", "plain", *(f"many-{number}" for number in range(12))):
        ssm.put_parameter(Name=name, Value=f"value of {name}", Type="SecureString")
    manager = emulator.client("secretsmanager")
    arn = manager.create_secret(Name="db", SecretString=json.dumps({"user": "root", "old": True}))["ARN"]
    wanted = {f"MANY_{number}": f"many-{number}" for number in range(12)}
    found = fetch(
        emulator,
        secrets=secrets(
            PATH_="/shop/db",
            ARN="arn:aws:ssm:us-east-1:000000000000:parameter/plain",
            WHOLE=arn,
            KEY=f"{arn}:user::",
            STAGE=f"{arn}:user:AWSCURRENT:",
            **wanted,
        ),
    ).secrets["app"]
    assert found == {
        "PATH_": "value of /shop/db",
        "ARN": "value of plain",
        "WHOLE": '{"user": "root", "old": true}',
        "KEY": "root",
        "STAGE": "root",
        **{name: f"value of {value}" for name, value in wanted.items()},
    }


def test_the_first_file_wins_and_the_environment_wins_over_all(emulator: Emulator) -> None:
    s3 = emulator.client("s3")
    s3.create_bucket(Bucket="files")
    s3.put_object(Bucket="files", Key="a.env", Body=b"A=1\nB=1\nC=1\n")
    s3.put_object(Bucket="files", Key="b.env", Body=b"A=2\nD=2\n")
    found = fetch(
        emulator,
        environmentFiles=[{"value": f"arn:aws:s3:::files/{key}.env", "type": "s3"} for key in "ab"],
        environment=[{"name": "B", "value": "own"}],
    )
    assert found.files == {"app": {"A": "1", "C": "1", "D": "2"}}


def test_a_registrys_credentials(emulator: Emulator) -> None:
    login_ = json.dumps({"username": "u", "password": "p"})
    emulator.client("secretsmanager").create_secret(Name="hub", SecretString=login_)
    found = fetch(emulator, repositoryCredentials={"credentialsParameter": "hub"})
    assert found.registries == {"app": {"username": "u", "password": "p"}}


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        pytest.param(
            {"secrets": secrets(X="nope")},
            f"{PULL}execution resource retrieval failed: unable to retrieve secrets from ssm: invalid parameters: nope",
            id="no such parameter",
        ),
        pytest.param(
            {"secrets": secrets(X="arn:aws:secretsmanager:us-east-1:000000000000:secret:nope-AbCdEf")},
            f"{PULL}execution resource retrieval failed: unable to retrieve secret from asm: failed to fetch secret "
            "arn:aws:secretsmanager:us-east-1:000000000000:secret:nope-AbCdEf from secrets manager: "
            "ResourceNotFoundException: ",
            id="no such secret",
        ),
        pytest.param(
            {"environmentFiles": [{"value": "arn:aws:s3:::nope/x.env", "type": "s3"}]},
            "ResourceInitializationError: failed to download env files: NoSuchBucket: ",
            id="no such bucket",
        ),
    ],
)
def test_what_is_missing_is_why_the_task_does_not_start(emulator: Emulator, fields: Json, why: str) -> None:
    with pytest.raises(ResolveError) as raised:
        fetch(emulator, **fields)
    assert raised.value.message.startswith(why)


def test_an_emulator_that_is_not_there_is_a_reason_too() -> None:
    for endpoint in ("", "http://127.0.0.1:1"):
        resolver = EmulatorResolver(endpoint)
        with pytest.raises(ResolveError, match="unable to pull secrets or registry auth"):
            asyncio.run(resolver.resolve(a_launch([an_app(secrets=secrets(X="x"))])))
        resolver.close()


def test_nobody_is_asked_for_nothing() -> None:
    resolver = EmulatorResolver("")
    assert asyncio.run(resolver.resolve(a_launch([an_app()]))) == Resolved()
    resolver.close()
