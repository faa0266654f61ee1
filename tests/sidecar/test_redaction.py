"""No secret of the corpus is left, whatever it looks like; what is no secret is."""

import json
from dataclasses import replace
from typing import Any

import botocore.session
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redaction_lab import CASES, Case, as_json, spellings

from kecs.sidecar import redaction_cbor as cbor
from kecs.sidecar import redaction_events as events
from kecs.sidecar.redaction import Exchange, Message, Redactor
from kecs.sidecar.redaction_names import Members

SECRETS = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=6, max_size=60
).map(lambda text: f"Sq{text}7x".replace("]]>", ""))


def everything(exchange: Exchange) -> bytes:
    """All bytes and texts of an exchange, whatever they are for."""
    found: list[bytes] = []

    def gather(value: Any) -> None:
        if isinstance(value, bytes):
            found.append(value)
        elif isinstance(value, str):
            found.append(value.encode())
        elif isinstance(value, tuple):
            for one in value:
                gather(one)
        elif hasattr(value, "__dataclass_fields__"):
            for name in value.__dataclass_fields__:
                gather(getattr(value, name))

    gather(exchange)
    return b"\n".join(found)


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=25)
@given(secret=SECRETS)
def test_no_secret_is_left(name: str, secret: str) -> None:
    left = everything(Redactor().redact(CASES[name].exchange(secret)))
    assert [one for one in spellings(secret) if one in left] == []


@pytest.mark.parametrize("name", [name for name in CASES if not name.startswith(("broken", "the same name"))])
def test_something_was_left_out(name: str) -> None:
    exchange = CASES[name].exchange("SqSomething7x")
    assert b"REDACTED" in everything(Redactor().redact(exchange))


def body(case: Case) -> bytes:
    found = Redactor().redact(case.exchange("SqSomething7x")).request.body
    assert found is not None
    return found


def asked(service: str, operation: str, value: Any) -> Any:
    return json.loads(body(Case(service=service, operation=operation, asked=as_json(value))))


@pytest.mark.parametrize(
    "value",
    [
        pytest.param({"TableName": "t", "Key": {"id": {"S": "1"}}, "NextToken": "abcdefgh"}, id="a page"),
        pytest.param({"Parameter": {"Type": "String", "Value": "shown"}}, id="a public parameter"),
        pytest.param(
            {"secrets": [{"name": "X", "valueFrom": "arn:aws:secretsmanager:x"}]}, id="a reference to a secret"
        ),
        pytest.param({"SecretId": "app/db", "ClientRequestToken": "b6a0-1"}, id="a secret's name"),
        pytest.param({"Password": None, "Token": "", "token": False}, id="nothing"),
        pytest.param({"repositoryCredentials": {"credentialsParameter": "arn"}}, id="where credentials are"),
        pytest.param({"maxTokens": 5, "usage": {"inputTokens": 7}}, id="numbers of words"),
        pytest.param({"a": "{not json", "b": "[1, 2]", "n": 1.50}, id="texts that look like JSON"),
    ],
)
def test_what_is_no_secret_stays_byte_for_byte(value: Any) -> None:
    case = Case(service="ssm", operation="GetParameter", asked=lambda _: json.dumps(value, indent=1).encode())
    assert body(case) == json.dumps(value, indent=1).encode()


def test_what_stands_beside_a_secret_stays() -> None:
    assert asked("secretsmanager", "PutSecretValue", {"SecretId": "app", "SecretString": "hunter22", "n": [1]}) == {
        "SecretId": "app",
        "SecretString": "REDACTED",
        "n": [1],
    }
    exchange = CASES["an event stream"].exchange("SqSomething7x")
    found = Redactor().redact(exchange).response
    assert found is not None
    assert found.body is not None
    (outer,) = events.decode(found.body)
    (inner,) = events.decode(outer.payload)
    assert json.loads(inner.payload) == {"chunk": {"accessToken": "REDACTED", "text": "shown"}}
    answered = Redactor().redact(CASES["CBOR"].exchange("SqSomething7x")).response
    assert answered is not None
    assert answered.body is not None
    assert cbor.decode(answered.body) == [("AccessToken", "REDACTED"), ("n", 1.5)]


@pytest.mark.parametrize(
    ("field", "shown"),
    [
        pytest.param(
            "AWS4-HMAC-SHA256 Credential=ASIA1234567890/20261121/eu/s3/aws4_request, SignedHeaders=a, Signature=abc",
            "AWS4-HMAC-SHA256 Credential=ASIAREDACTED/20261121/eu/s3/aws4_request, SignedHeaders=a, Signature=REDACTED",
            id="version 4: scope and fields stay",
        ),
        pytest.param("AWS AKIA:sig=", "AWS REDACTED", id="version 2"),
        pytest.param("Bearer abc", "Bearer REDACTED", id="a bearer token"),
        pytest.param("abc", "REDACTED", id="something else"),
    ],
)
def test_authorization(field: str, shown: str) -> None:
    case = Case(service="s3", operation="GetObject", fields=(("Authorization", field),))
    assert Redactor().redact(case.exchange("x")).request.fields[0][1].decode() == shown


def test_a_presigned_url_shows_its_scope() -> None:
    scope = "%2F20261121%2Feu-west-1%2Fs3%2Faws4_request"
    target = f"/k?X-Amz-Credential=ASIA12345678{scope}&X-Amz-Signature=ab&X-Amz-Expires=9"
    found = Redactor().redact(replace_target(target)).request.target.decode()
    assert found == f"/k?X-Amz-Credential=ASIAREDACTED{scope}&X-Amz-Signature=REDACTED&X-Amz-Expires=9"


def replace_target(target: str) -> Exchange:
    exchange = Case(service="s3", operation="GetObject").exchange("x")
    return replace(exchange, request=replace(exchange.request, target=target.encode()))


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":"v",":secret":"SqSomething7x"}',
        b'{"\\u0070assword":"SqSomething7x"}',
        b'{"a" : "{\\"password\\": \\"SqSomething7x\\"}"}',
        b'["x", " [{\\"token\\":\\"SqSomething7x\\"}]"]',
        b'{"Name":"DB_PASSWORD","Value":"SqSomething7x"}',
        '{"\u00e9":1,"Password":"SqSomething7x"}'.encode(),
        '{"Password":"SqSomething7x"}'.encode("utf-16"),
        b'{"n":1}\n{"password":"SqSomething7x"}\n',
    ],
)
def test_no_way_of_writing_json_hides_a_secret(text: bytes) -> None:
    found = body(Case(service="x", operation="Y", asked=lambda _: text))
    assert b"SqSomething7x" not in found
    assert "SqSomething7x".encode("utf-16-le") not in found


def test_a_secret_that_was_seen_is_left_out_everywhere_from_then_on() -> None:
    redactor = Redactor()
    redactor.redact(CASES["secretsmanager GetSecretValue"].exchange("correct horse/battery"))
    later = Case(
        service="dynamodb",
        operation="PutItem",
        asked=as_json({"Item": {"note": {"S": "it is correct horse/battery"}}}),
        target="/?q=correct%20horse%2Fbattery",
    ).exchange("x")
    later = replace(later, error="correct horse/battery", messages=(_said(b"correct horse/battery"),))
    left = everything(redactor.redact(later))
    assert b"horse" not in left
    assert b"it is REDACTED" in left


def _said(text: bytes) -> Message:
    return Message(from_client=True, text=True, body=text, at=1.0)


def test_short_words_are_no_secrets_elsewhere() -> None:
    redactor = Redactor()
    redactor.learn(b"test")
    assert redactor.hide(b"this is a test") == b"this is a test"


def test_it_remembers_a_bounded_number() -> None:
    redactor = Redactor()
    for index in range(5000):
        redactor.learn(f"secret-number-{index:05}".encode())
    assert redactor.hide(b"secret-number-04999 secret-number-00000") == b"REDACTED secret-number-00000"


@pytest.mark.parametrize(
    "text",
    [
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.abcdefghijk",
        "-----BEGIN EC PRIVATE KEY-----\nabc\n-----END EC PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\nabc, cut",
        "k8s-aws-v1.aHR0cHM6Ly9zdHMu",
        "https://b.s3.amazonaws.com/k?x=1&X-Amz-Signature=0123456789abcdef",
        "https%3A%2F%2Fb%3FX-Amz-Signature%3D0123456789abcdef",
    ],
)
def test_what_looks_like_a_secret_is_one(text: str) -> None:
    found = Redactor().hide(f"before {text} after".encode())
    assert b"abc" not in found
    assert b"0123456789" not in found
    assert b"aHR0" not in found
    assert b"REDACTED" in found


@given(st.binary(max_size=400), st.sampled_from(["", "application/json", "text/xml", "application/cbor", events.TYPE]))
def test_whatever_the_bytes_nothing_is_raised(data: bytes, kind: str) -> None:
    Redactor().redact(Case(service="", operation="", asked=lambda _: data, asked_type=kind).exchange("x"))


NOT_SECRETS = {
    "NextToken", "nextToken", "clientToken", "ClientToken", "ClientRequestToken",
    "idempotencyToken",
    "clientRequestToken",
}  # fmt: skip
ENDS = (
    "password",
    "passphrase",
    "secret",
    "token",
    "secretaccesskey",
    "apikey",
    "privatekey",
    "secretstring",
    "plaintext",
)


SERVICES = """
    sts iam kms secretsmanager ssm cognito-idp cognito-identity ecr rds sso sso-oidc redshift lambda ecs ec2 s3 acm
    codeartifact ds dms glue fsx appflow elasticache mq docdb transfer iotsecuretunneling
"""


def sensitive() -> set[tuple[str, str, str]]:
    """Members that botocore's models mark as sensitive and whose names say that they are credentials."""
    session = botocore.session.Session()
    found: set[tuple[str, str, str]] = set()
    for service in SERVICES.split():
        model = session.get_service_model(service)
        for operation in model.operation_names:
            shapes = (model.operation_model(operation).input_shape, model.operation_model(operation).output_shape)
            for shape in shapes:
                if shape is not None:
                    found |= {(service, operation, name) for name in _sensitive(shape, set())}
    return found


def _sensitive(shape: Any, seen: set[str]) -> set[str]:
    if shape.name in seen:
        return set()
    seen.add(shape.name)
    found: set[str] = set()
    if shape.type_name == "structure":
        for name, member in shape.members.items():
            if member.metadata.get("sensitive") and name.lower().endswith(ENDS) and name not in NOT_SECRETS:
                found.add(name)
            found |= _sensitive(member, seen)
    elif shape.type_name == "list":
        found |= _sensitive(shape.member, seen)
    elif shape.type_name == "map":
        found |= _sensitive(shape.value, seen)
    return found


def test_what_aws_calls_sensitive_and_a_credential_is_a_secret_here() -> None:
    members = sensitive()
    assert len(members) > 100
    missed = {one for one in members if not Members(one[0], one[1]).secret(one[2], text=True)}
    assert missed == set()
