"""The table of what is looked at, held against botocore's models."""

from typing import Any

import botocore.session
import pytest

from kecs.aws.profiles import PROFILES
from kecs.aws.rewrite_fields import SHEETS, sheet_of

SESSION = botocore.session.get_session()


def members(shape: Any, seen: set[str]) -> set[str]:
    """Return every name that a shape's answers can hold."""
    if shape.name in seen:
        return set()
    seen.add(shape.name)
    found: set[str] = set()
    if shape.type_name == "structure":
        for name, member in shape.members.items():
            found |= {name, member.serialization.get("name", name), *members(member, seen)}
    elif shape.type_name == "list":
        found |= {shape.member.serialization.get("name", "member"), *members(shape.member, seen)}
    elif shape.type_name == "map":
        found |= members(shape.value, seen)
    return found


UNMODELLED = {
    "cognito-idp": "an OpenID document is no answer of the API's",
    "appsync": "keys of a map",
    "opensearch": "keys of a map, and the older API's names",
    "es": "keys of a map, and the newer API's names",
}


@pytest.mark.parametrize("service", SHEETS)
def test_every_operation_and_field_of_the_table_is_botocores(service: str) -> None:
    model = SESSION.get_service_model(service)
    known: set[str] = set()
    for operation in model.operation_names:
        shape = model.operation_model(operation).output_shape
        known |= members(shape, set()) if shape is not None else set()
    for sheet in SHEETS[service]:
        assert sheet.operations - {"", "PostObject"} <= set(model.operation_names)
        assert sheet.fields <= known or service in UNMODELLED


def test_calls_that_carry_customers_data_are_not_looked_at() -> None:
    for service, operation in (
        ("s3", "GetObject"),
        ("s3", "ListObjectsV2"),
        ("lambda", "Invoke"),
        ("dynamodb", "GetItem"),
        ("dynamodb", "Query"),
        ("kinesis", "GetRecords"),
        ("secretsmanager", "GetSecretValue"),
        ("sqs", "SendMessage"),
        ("ssm", "GetParameter"),
    ):
        assert sheet_of(service, operation, PROFILES["localstack"], 200) is None


def test_a_backend_without_addresses_of_its_own_is_looked_at_for_little() -> None:
    embedded = PROFILES["embedded"]
    assert sheet_of("sqs", "CreateQueue", embedded, 200) is None
    assert sheet_of("lambda", "CreateFunctionUrlConfig", embedded, 200) is not None
    assert sheet_of("sqs", "CreateQueue", embedded, 400) is None
    assert sheet_of("s3", "ListObjects", embedded, 200) is None


def test_errors_are_looked_at_where_a_backend_has_addresses() -> None:
    localstack = PROFILES["localstack"]
    said = sheet_of("dynamodb", "GetItem", localstack, 400)
    broke = sheet_of("dynamodb", "GetItem", localstack, 500)
    assert said is not None
    assert broke is not None
    assert said.rules["Message"] is not broke.rules["Message"]
    assert sheet_of("", "", localstack, 302) is said
    assert sheet_of("nothing", "", localstack, 200) is None
