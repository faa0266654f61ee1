"""Accounts that access keys mean by `relay.accounts`, as a program sees them: in ARNs, in URLs, in what there is."""

import json
import sys
from pathlib import Path

import pytest
from kecs_run import Kecs

pytestmark = pytest.mark.clients

PROGRAM = """
import json, boto3
found = {}
for key in ("AKIAIOSFODNN7EXAMPLE", "AKIDOTHER", "AKIDSAME"):
    session = boto3.Session(aws_access_key_id=key, aws_secret_access_key="x", region_name="eu-west-1")
    sqs = session.client("sqs")
    before = sqs.list_queues().get("QueueUrls", [])
    made = sqs.create_queue(QueueName="of-" + key)["QueueUrl"]
    found[key] = [session.client("sts").get_caller_identity()["Account"], before, made]
print(json.dumps(found))
"""


def test_access_keys_mean_the_accounts_that_a_settings_file_says(kecs: Kecs, tmp_path: Path) -> None:
    accounts = 'relay:\n  accounts: [AKIAIOSFODNN7EXAMPLE=111122223333, "*=444455556666"]\n'
    (tmp_path / "kecs.yaml").write_text(accounts, encoding="utf-8")
    ran = kecs.run(sys.executable, "-c", PROGRAM, cwd=tmp_path)
    assert ran.code == 0, ran.err
    other = "https://sqs.eu-west-1.amazonaws.com/444455556666/of-AKIDOTHER"
    assert json.loads(ran.out) == {
        "AKIAIOSFODNN7EXAMPLE": [
            "111122223333",
            [],
            "https://sqs.eu-west-1.amazonaws.com/111122223333/of-AKIAIOSFODNN7EXAMPLE",
        ],
        "AKIDOTHER": ["444455556666", [], other],
        "AKIDSAME": ["444455556666", [other], "https://sqs.eu-west-1.amazonaws.com/444455556666/of-AKIDSAME"],
    }


def test_accounts_that_are_none_are_refused_before_anything_runs(kecs: Kecs) -> None:
    ran = kecs.run("true", env={"KECS_RELAY_ACCOUNTS": "AKIAIOSFODNN7EXAMPLE=1111-2222-3333"})
    assert ran.code == 2
    first, second = ran.err.splitlines()
    assert first.startswith(
        'error: relay.accounts is "AKIAIOSFODNN7EXAMPLE=1111-2222-3333" (from KECS_RELAY_ACCOUNTS): '
    )
    assert second == "hint: e.g. AKIAIOSFODNN7EXAMPLE=111122223333"
