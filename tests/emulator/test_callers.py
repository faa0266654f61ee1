"""GetCallerIdentity has the forms of AWS's answers, for keys that moto made and for those that it never saw."""

import pytest
from emulator_lab import Emulator

ACCOUNT = "000000000000"


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
