"""Real programs with nothing but `kecs run` around them: no endpoint, no credentials, TLS verified."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from kecs_run import CLIENTS, PROGRAMS, Kecs, Ran, terraform_plugins, working

pytestmark = pytest.mark.clients


def succeeded(ran: Ran) -> Ran:
    assert ran.code == 0, f"exit code {ran.code}\n{ran.out}\n{ran.err}"
    return ran


def test_boto3_s3(kecs: Kecs) -> None:
    ran = succeeded(kecs.python("s3.py"))
    assert ran.out.split() == ["styles", "dotted_bucket", "presigned", "multipart", "errors", "expect_continue"]
    assert ran.operations("s3") >= {
        "CreateBucket",
        "PutObject",
        "GetObject",
        "HeadObject",
        "ListObjectsV2",
        "UploadPart",
    }


def test_boto3_services(kecs: Kecs) -> None:
    ran = succeeded(kecs.python("services.py"))
    assert {row["service"] for row in ran.summary} >= {
        "dynamodb", "sqs", "sns", "sts", "ssm", "secretsmanager", "iam", "logs", "kinesis", "lambda",
    }  # fmt: skip
    assert all(row["operation"] != "?" for row in ran.summary)


def test_sqs_query_protocol(kecs: Kecs) -> None:
    ran = succeeded(kecs.python("sqs_query.py"))
    assert ran.operations("sqs") == {"CreateQueue", "SendMessage", "ReceiveMessage"}


def test_aiobotocore(kecs: Kecs) -> None:
    ran = succeeded(kecs.python("asynchronous.py"))
    assert sum(row["calls"] for row in ran.summary if row["operation"] == "PutObject") == 50


def test_aws_cli(kecs: Kecs, tmp_path: Path) -> None:
    aws = working("aws")
    (tmp_path / "file.txt").write_text("by the CLI")
    script = f"""
    set -e
    {aws} s3 mb s3://cli-tests
    {aws} s3 cp {tmp_path}/file.txt s3://cli-tests/a/file.txt
    {aws} s3 ls s3://cli-tests/a/
    {aws} s3 cp s3://cli-tests/a/file.txt -
    {aws} sts get-caller-identity --query Account --output text
    """
    ran = succeeded(kecs.run("sh", "-c", script))
    assert "file.txt" in ran.out
    assert "by the CLI" in ran.out
    assert ran.out.strip().endswith("000000000000")


def test_javascript_sdk(kecs: Kecs) -> None:
    ran = succeeded(kecs.run(working("node"), CLIENTS / "js" / "app.mjs"))
    assert ran.out.split() == ["s3", "dynamodb", "sqs", "sts"]


def test_curl_with_sigv4(kecs: Kecs) -> None:
    curl = working("curl")
    body = '{"QueueName":"curl"}'
    ran = succeeded(
        kecs.run(
            curl, "-sS", "--fail", "--aws-sigv4", "aws:amz:us-east-1:sqs", "--user", "test:test",
            "-H", "Content-Type: application/x-amz-json-1.0", "-H", "X-Amz-Target: AmazonSQS.CreateQueue", "-d", body,
            "https://sqs.us-east-1.amazonaws.com/",
        )
    )  # fmt: skip
    assert "https://sqs.us-east-1.amazonaws.com/000000000000/curl" in ran.out


def test_java_on_the_jdks_http_client(kecs: Kecs, tmp_path: Path) -> None:
    javac = shutil.which("javac")
    if javac is None:
        pytest.skip("no JDK is installed here")
    subprocess.run([javac, "-d", tmp_path, PROGRAMS / "Sqs.java"], check=True, timeout=120)
    ran = succeeded(kecs.run("java", "-cp", tmp_path, "Sqs"))
    assert ran.out.count("https://sqs.us-east-1.amazonaws.com/000000000000/java") == 2


def test_terraform(kecs: Kecs, tmp_path: Path) -> None:
    terraform, plugins = working("terraform"), terraform_plugins()
    if plugins is None:
        pytest.skip("no terraform provider for AWS is installed here")
    shutil.copy(CLIENTS / "terraform" / "main.tf", tmp_path)
    environment = {"TF_CLI_CONFIG_FILE": "/dev/null", "CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1"}
    script = f"""
    set -e
    {terraform} init -no-color -input=false -plugin-dir={plugins}
    {terraform} plan -no-color -input=false -out=plan
    {terraform} apply -no-color -input=false plan
    {terraform} plan -no-color -input=false -detailed-exitcode
    {terraform} destroy -no-color -auto-approve
    """
    ran = succeeded(kecs.run("sh", "-c", script, cwd=tmp_path, env=environment))
    assert re.search(r"queue = \"https://sqs\.us-east-1\.amazonaws\.com/000000000000/terraform-jobs\"", ran.out)
    assert "No changes." in ran.out
    assert "Destroy complete! Resources: 3 destroyed." in ran.out


def test_a_program_without_any_configuration_gets_role_credentials(kecs: Kecs) -> None:
    code = "import boto3; c = boto3.Session().get_credentials(); print(c.method, c.access_key[:4], bool(c.token))"
    ran = succeeded(kecs.run(sys.executable, "-c", code))
    assert ran.out.split() == ["iam-role", "ASIA", "True"]
