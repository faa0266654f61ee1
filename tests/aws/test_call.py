import pytest

from kecs.aws.call import Call, Protocol


def test_protocols_are_spelled_as_botocore_does() -> None:
    assert [*Protocol] == ["json", "rest-json", "rest-xml", "query", "ec2", "cbor"]


def test_a_call_is_a_value() -> None:
    call = Call(service="ecs", region="eu-west-1", operation="RunTask", protocol=Protocol.JSON, host="h")
    assert call == Call(service="ecs", region="eu-west-1", operation="RunTask", protocol=Protocol.JSON, host="h")
    with pytest.raises(AttributeError):
        call.service = "s3"  # type: ignore[misc]  # that it can't be done is the test
