import re
from typing import Any

import aws_lab
import pytest
from botocore.config import Config

from kecs.aws.accounts import Accounts, is_account
from kecs.aws.canonical import canonicalise
from kecs.aws.classify import classify
from kecs.aws.head import RequestHead
from kecs.aws.profiles import PROFILES
from kecs.aws.scope import from_header

NAMED = Accounts.parse(("AKIAIOSFODNN7EXAMPLE=111122223333", "*=444455556666"))


@pytest.mark.parametrize(
    ("key", "account"),
    [
        ("AKIAIOSFODNN7EXAMPLE", "111122223333"),
        ("AKIAOTHER", "444455556666"),
        ("", "444455556666"),
        ("777788889999", ""),
    ],
)
def test_a_key_has_the_account_that_was_said(key: str, account: str) -> None:
    assert NAMED.of(key) == account


def test_nothing_said_means_the_backends_own() -> None:
    assert Accounts.parse(()).of("AKIAIOSFODNN7EXAMPLE") == ""
    assert Accounts.parse(("777788889999=111122223333",)).of("777788889999") == "111122223333"


@pytest.mark.parametrize(
    ("entries", "because"),
    [
        (("AKIA",), "'AKIA' names no account of twelve digits"),
        (("AKIA=1111",), "no account of twelve digits"),
        (
            ("AKIA=\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661",),
            "no account of twelve digits",
        ),
        (("=111122223333",), "names no access key"),
        (("A/B=111122223333",), "names no access key"),
        (("A" * 129 + "=111122223333",), "names no access key"),
        (("A=111122223333", "A=444455556666"), "'A' has two accounts"),
    ],
)
def test_what_is_no_entry_is_refused(entries: tuple[str, ...], because: str) -> None:
    with pytest.raises(ValueError, match=re.escape(because)):
        Accounts.parse(entries)


def test_accounts_have_twelve_digits() -> None:
    assert is_account("000000000000")
    assert not is_account("00000000000a")


def told(head: RequestHead, profile: str, account: str = "111122223333") -> RequestHead:
    found = canonicalise(classify(head), head, PROFILES[profile], body=b"", account=account)
    assert isinstance(found, RequestHead)
    return found


SIGNED = (("dynamodb", "ListTables"), ("s3", "ListBuckets"), ("lambda", "ListFunctions"))


@pytest.mark.parametrize("profile", ["ministack", "localstack"])
@pytest.mark.parametrize(("service", "operation"), SIGNED)
def test_an_access_key_says_the_account(service: str, operation: str, profile: str) -> None:
    head = aws_lab.sent(aws_lab.client(service, "eu-west-1"), operation).head
    before = (head.get(b"authorization") or b"").decode()
    after = (told(head, profile).get(b"authorization") or b"").decode()
    assert after == before.replace("Credential=AKIDEXAMPLE/", "Credential=111122223333/")
    assert from_header(after).region == "eu-west-1"


@pytest.mark.parametrize("profile", ["embedded", "moto-server"])
@pytest.mark.parametrize(("service", "operation"), SIGNED)
def test_moto_is_told_in_a_field_of_its_own(service: str, operation: str, profile: str) -> None:
    head = aws_lab.sent(aws_lab.client(service, "eu-west-1"), operation).head
    spoofed = head.with_fields(add=((b"X-Moto-Account-Id", b"999999999999"),))
    after = told(spoofed, profile)
    assert [value for key, value in after.fields if key.lower() == b"x-moto-account-id"] == [b"111122223333"]
    assert after.get(b"authorization") == head.get(b"authorization")


def test_who_has_not_signed_is_told_too() -> None:
    head = aws_lab.sent(aws_lab.client("sqs", "eu-west-1", unsigned=True), "ListQueues").head
    assert b"Credential=111122223333/" in (told(head, "ministack").get(b"authorization") or b"")


@pytest.mark.parametrize(
    ("profile", "version", "said"),
    [
        ("ministack", "s3v4", b"X-Amz-Credential=111122223333%2F"),
        ("localstack", "s3v4", b"X-Amz-Credential=111122223333%2F"),
        ("ministack", "s3", b"&AWSAccessKeyId=111122223333"),
        ("localstack", "s3", b"?AWSAccessKeyId=111122223333&"),
    ],
)
def test_a_presigned_url_says_the_account(profile: str, version: str, said: bytes) -> None:
    made: Any = aws_lab.session().create_client("s3", region_name="eu-west-1", config=Config(signature_version=version))
    url: str = made.generate_presigned_url("get_object", Params={"Bucket": "b", "Key": "k"})
    assert said in told(aws_lab.get_head(url), profile).target


def test_a_backend_of_which_nothing_is_known_is_told_nothing() -> None:
    head = aws_lab.sent(aws_lab.client("dynamodb", "eu-west-1"), "ListTables").head
    assert told(head, "generic") is head
    plain = aws_lab.get_head("https://b.s3.eu-west-1.amazonaws.com/k")
    assert told(plain, "localstack") is plain
