"""Real clients in front of a backend that fails in every way: what they show, and how often they ask.

Services stand for failures: the backend fails on each in a way of its own, and counts what arrives. Every client makes
two attempts at most, so two arrivals mean that it has tried again.
"""

import json
import shutil
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from kecs_run import CLIENTS, Kecs
from relay_lab import read_exactly, read_head, server

pytestmark = pytest.mark.clients

PAGE = b"<!doctype html><title>500 Internal Server Error</title><p>It broke.</p>"
QUERY_ERROR = b"<ErrorResponse><Error><Code>InvalidToken</Code><Message>not yours</Message></Error></ErrorResponse>"


def answer(status: int, content_type: str, body: bytes, *, length: int = -1) -> bytes:
    length = len(body) if length < 0 else length
    return (
        f"HTTP/1.1 {status} Whatever\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n".encode()
        + body
    )


# service, boto3's call, what the backend says, the status and code that clients show, whether they try again
FAILURES = {
    "dynamodb": ("list_tables", b"", 502, "BadGatewayException", True),
    "sqs": ("list_queues", b"SSH-2.0-OpenSSH_9.2\r\n", 502, "BadGateway", True),
    "sns": ("list_topics", answer(200, "text/xml", b"<ListTopics", length=1000), 502, "BadGateway", True),
    "ec2": ("describe_vpcs", answer(200, "text/xml", b"<DescribeVpcsResponse/>", length=5), 502, "BadGateway", True),
    "iam": ("list_roles", answer(500, "application/json", b'{"oops": 1}'), 500, "InternalFailure", True),
    "rds": ("describe_db_clusters", answer(500, "text/html", PAGE), 501, "NotImplemented", False),
    "lambda": (
        "list_functions",
        answer(404, "text/html", b"<h1>Not Found</h1>"),
        501,
        "NotImplementedException",
        False,
    ),
    "s3": ("list_buckets", answer(400, "text/plain", b"unsupported service"), 501, "NotImplemented", False),
    "ssm": ("describe_parameters", answer(400, "text/xml", QUERY_ERROR), 400, "InvalidToken", False),
    "sts": (
        "get_caller_identity",
        answer(403, "application/json", b'{"__type": "AccessDenied", "message": "not yours"}'),
        403,
        "AccessDenied",
        False,
    ),
    "kms": ("list_keys", answer(503, "text/plain", b"busy"), 503, "ServiceUnavailableException", True),
}

BOTO3 = """
import boto3, json, sys
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError
calls, mode = json.loads(sys.argv[1]), sys.argv[2]
retries = {"total_max_attempts": 2, "mode": mode}
clients = {service: boto3.client(service, config=Config(retries=retries)) for service in calls}
clients["novel"] = boto3.client(
    "lambda", endpoint_url="https://novel.us-east-1.amazonaws.com",
    config=Config(retries=retries, signature_version=UNSIGNED),
)
found = {}
for service, client in clients.items():
    try:
        getattr(client, calls.get(service, "list_functions"))()
    except ClientError as error:
        said, meta = error.response["Error"], error.response["ResponseMetadata"]
        found[service] = [meta["HTTPStatusCode"], said["Code"], meta["RetryAttempts"], said["Message"]]
print(json.dumps(found))
"""

JAVASCRIPT = """
import { DynamoDBClient, ListTablesCommand } from '@aws-sdk/client-dynamodb';
import { SQSClient, ListQueuesCommand } from '@aws-sdk/client-sqs';
import { S3Client, ListBucketsCommand } from '@aws-sdk/client-s3';
import { STSClient, GetCallerIdentityCommand } from '@aws-sdk/client-sts';
const calls = {
  dynamodb: [DynamoDBClient, ListTablesCommand], sqs: [SQSClient, ListQueuesCommand],
  s3: [S3Client, ListBucketsCommand], sts: [STSClient, GetCallerIdentityCommand],
};
const found = {};
for (const [service, [Client, Command]] of Object.entries(calls)) {
  try { await new Client({ maxAttempts: 2 }).send(new Command({})) }
  catch (error) {
    found[service] = [error.$metadata.httpStatusCode, error.name, error.$metadata.attempts - 1, error.message];
  }
}
console.log(JSON.stringify(found));
"""


@contextmanager
def failing() -> Iterator[tuple[int, Counter[str]]]:
    """Serve the failures; yields the port, and how often each service was asked."""
    asked: Counter[str] = Counter()
    lock = threading.Lock()

    def serve(sock: socket.socket) -> None:
        held = bytearray()
        while head := read_head(sock, held).decode("latin-1"):
            fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:-2])
            lower = {name.lower(): value for name, value in fields.items()}
            read_exactly(sock, int(lower.get("content-length", "0")), held)
            service = lower["host"].partition(".")[0]
            if service not in FAILURES:  # somebody asks what kind of backend this is
                sock.sendall(answer(404, "text/plain", b"none"))
                continue
            with lock:
                asked[service] += 1
            said = FAILURES[service][1]
            sock.sendall(said)
            if not said.startswith(b"HTTP/") or b"Content-Length: 1000" in said:
                return

    with server(serve) as address:
        yield address.port, asked


def judged(found: dict[str, list[object]], asked: Counter[str], services: set[str]) -> None:
    assert set(found) == services
    for service, (status, code, retries, message) in found.items():
        if service == "novel":
            assert (status, code, retries) == (501, "NotImplementedException", 0)
            assert "host 'novel.us-east-1.amazonaws.com'" in str(message)
            continue
        _, said, expected, name, again = FAILURES[service]
        assert (service, status, code, retries) == (service, expected, name, int(again)), message
        assert asked[service] == 1 + again, service
        if said.startswith(b"HTTP/1.1 4"):
            assert "not yours" in str(message) or "does not have" in str(message), service
        assert len(str(message)) > 3, service


@pytest.mark.parametrize("mode", ["standard", "legacy"])
def test_boto3_shows_each_failure_and_tries_again_where_it_helps(kecs: Kecs, mode: str) -> None:
    operations = json.dumps({service: row[0] for service, row in FAILURES.items()})
    with failing() as (port, asked):
        ran = kecs.run(sys.executable, "-c", BOTO3, operations, mode, options=["--backend", f"http://127.0.0.1:{port}"])
    assert ran.code == 0, ran.err
    judged(json.loads(ran.out), asked, {*FAILURES, "novel"})
    (seen,) = [record for record in ran.records if record["event"] == "unclassified"]
    assert (seen["host"], seen["path"]) == ("novel.us-east-1.amazonaws.com", "/2015-03-31/functions")


def working(name: str) -> str:
    """Find a tool that runs; version managers put shims on PATH that don't."""
    found = shutil.which(name)
    if found is None or subprocess.run([found, "--version"], capture_output=True, check=False, timeout=60).returncode:
        pytest.skip(f"no {name} that runs is installed here")
    return found


def test_javascript_shows_each_failure_and_tries_again_where_it_helps(kecs: Kecs) -> None:
    with failing() as (port, asked):
        ran = kecs.run(
            working("node"), "--input-type=module", "-e", JAVASCRIPT,
            cwd=CLIENTS / "js", options=["--backend", f"http://127.0.0.1:{port}"],
        )  # fmt: skip
    assert ran.code == 0, ran.err
    judged(json.loads(ran.out), asked, {"dynamodb", "sqs", "s3", "sts"})


def test_the_aws_cli_shows_each_failure(kecs: Kecs) -> None:
    aws = working("aws")
    script = f"""
    for call in "dynamodb list-tables" "iam list-roles" "lambda list-functions" "sts get-caller-identity"; do
        {aws} $call 2>&1 >/dev/null | tr -d '\\n'; echo
    done
    """
    environment = {"AWS_MAX_ATTEMPTS": "2", "AWS_DEFAULT_REGION": "us-east-1"}
    with failing() as (port, asked):
        ran = kecs.run("sh", "-c", script, env=environment, options=["--backend", f"http://127.0.0.1:{port}"])
    lines = ran.out.splitlines()
    for line, service in zip(lines, ("dynamodb", "iam", "lambda", "sts"), strict=True):
        _, _, _, code, again = FAILURES[service]
        assert f"An error occurred ({code})" in line
        assert asked[service] == 1 + again, service
