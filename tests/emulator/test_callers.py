"""GetCallerIdentity has the forms of AWS's answers, for keys that moto made and for those that it never saw.

Whose key it is is found as moto finds it.
"""

import moto.iam.models as moto_iam
import pytest
from emulator_lab import Emulator

from kecs.emulator.callers import account_of, mend_iam

ACCOUNT = "000000000000"


def account_named(name: str) -> str:
    """Return an account that nobody else uses."""
    return f"{int(name[-8:], 16):012}"


@pytest.mark.parametrize(
    ("key", "region", "arn", "user"),
    [
        ("AKIAIOSFODNN7EXAMPLE", "us-east-1", f"arn:aws:iam::{ACCOUNT}:root", ACCOUNT),
        ("test", "us-east-1", f"arn:aws:iam::{ACCOUNT}:root", ACCOUNT),
        ("AKIAIOSFODNN7EXAMPLE", "cn-north-1", f"arn:aws-cn:iam::{ACCOUNT}:root", ACCOUNT),
        (
            "ASIAQAAAAAAAKO6TZQVR",
            "eu-west-1",
            f"arn:aws:sts::{ACCOUNT}:assumed-role/kecs/kecs",
            "AROAQAAAAAAAKO6TZQVR:kecs",
        ),
    ],
)
def test_keys_that_nobody_made(emulator: Emulator, key: str, region: str, arn: str, user: str) -> None:
    keys = {"aws_access_key_id": key, "aws_secret_access_key": "secret"}
    found = emulator.client("sts", region=region, keys=keys).get_caller_identity()
    assert (found["Arn"], found["UserId"], found["Account"]) == (arn, user, ACCOUNT)


def test_a_user_that_was_made(emulator: Emulator, name: str) -> None:
    iam = emulator.client("iam")
    arn = iam.create_user(UserName=name)["User"]["Arn"]
    made = iam.create_access_key(UserName=name)["AccessKey"]
    keys = {"aws_access_key_id": made["AccessKeyId"], "aws_secret_access_key": made["SecretAccessKey"]}
    assert emulator.client("sts", keys=keys).get_caller_identity()["Arn"] == arn


@pytest.mark.parametrize("partition", ["aws", "aws-cn"])
def test_whose_key_it_is_is_found_without_making_anything(name: str, partition: str) -> None:
    account = account_named(name)
    accounts = moto_iam.iam_backends[account]
    accounts[partition].create_user(partition, name)
    key = accounts[partition].create_access_key(name).access_key_id
    assert [account_of(one) for one in (key, "nobody's")] == [account, moto_iam.DEFAULT_ACCOUNT_ID]
    assert list(accounts) == [partition]
    assert [moto_iam.get_account_id_from(one) for one in (key, "nobody's")] == [account, moto_iam.DEFAULT_ACCOUNT_ID]
    assert len(accounts) > 1, "moto looks no longer into every partition: nothing is to be mended"


def test_a_call_marks_a_key_that_was_made_and_makes_no_iam_for_others(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for what in ("get_account_id_from", "mark_account_as_visited"):
        monkeypatch.setattr(moto_iam, what, getattr(moto_iam, what))
    mend_iam()
    mend_iam()
    accounts = moto_iam.iam_backends[account_named(name)]
    moto_iam.mark_account_as_visited(account_named(name), "nobody's", "s3", "us-east-1")
    assert list(accounts) == []
    accounts["aws"].create_user("aws", name)
    key = accounts["aws"].create_access_key(name)
    moto_iam.mark_account_as_visited(account_named(name), key.access_key_id, "s3", "us-east-1")
    assert key.last_used is not None
    assert key.last_used.service == "s3"


def test_what_a_key_was_last_used_for_is_told(emulator: Emulator, name: str) -> None:
    iam = emulator.client("iam")
    iam.create_user(UserName=name)
    made = iam.create_access_key(UserName=name)["AccessKey"]
    keys = {"aws_access_key_id": made["AccessKeyId"], "aws_secret_access_key": made["SecretAccessKey"]}
    emulator.client("s3", keys=keys).list_buckets()
    used = iam.get_access_key_last_used(AccessKeyId=made["AccessKeyId"])["AccessKeyLastUsed"]
    assert (used["ServiceName"], used["Region"]) == ("s3", "us-east-1")
