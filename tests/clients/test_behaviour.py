"""What stays as it was, what is merged, and what is said when the emulator is away."""

import hashlib
import http.server
import json
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from kecs_run import CLIENTS, PROGRAMS, Kecs

pytestmark = pytest.mark.clients


@contextmanager
def own_authority(folder: Path) -> Iterator[tuple[Path, Path]]:
    """Make a certificate for server.example that signs itself, with openssl."""
    key, certificate = folder / "key.pem", folder / "own.pem"
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-subj", "/CN=server.example", "-addext", "subjectAltName=DNS:server.example",
            "-keyout", key, "-out", certificate,
        ],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    yield key, certificate


class Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello-from-own-server")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def tls_server(key: Path, certificate: Path) -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hello)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def test_a_server_that_is_not_aws_shows_its_own_certificate(kecs: Kecs, tmp_path: Path) -> None:
    with own_authority(tmp_path) as (key, certificate), tls_server(key, certificate) as port:
        ran = kecs.python("foreign.py", "127.0.0.1", str(port), str(certificate))
    expected = hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate.read_text())).hexdigest()
    assert ran.out.split() == [expected, "hello-from-own-server"], ran.err
    assert ran.summary == []


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"])
def test_a_trust_variable_that_is_set_keeps_its_meaning_and_gains_ours(
    kecs: Kecs, tmp_path: Path, variable: str
) -> None:
    with own_authority(tmp_path) as (_, certificate):
        code = (
            "import os, boto3;"
            f"text = open(os.environ['{variable}']).read();"
            f"assert open('{certificate}').read().strip() in text;"
            "print(boto3.client('sts').get_caller_identity()['Account'])"
        )
        ran = kecs.run(sys.executable, "-c", code, env={variable: str(certificate)})
    assert ran.out == "000000000000\n", ran.err


def test_the_systems_roots_stay_trusted(kecs: Kecs) -> None:
    """A company's roots are in the system's store only: our variables must not hide them."""
    system = Path("/etc/ssl/certs/ca-certificates.crt")
    if not system.exists():
        pytest.skip("this system keeps its roots elsewhere")
    code = (
        "import os, ssl;"
        "ours = ssl.create_default_context(cafile=os.environ['SSL_CERT_FILE']).get_ca_certs(binary_form=True);"
        f"theirs = ssl.create_default_context(cafile='{system}').get_ca_certs(binary_form=True);"
        "print(set(theirs) <= set(ours), len(theirs) > 0)"
    )
    assert kecs.run(sys.executable, "-c", code).out.split() == ["True", "True"]


def test_a_proxy_in_the_environment_does_not_carry_aws_calls_away(kecs: Kecs) -> None:
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        port = proxy.getsockname()[1]
        proxy.settimeout(0)
        code = "import boto3; print(boto3.client('sts').get_caller_identity()['Account'])"
        address = f"http://127.0.0.1:{port}"
        ran = kecs.run(sys.executable, "-c", code, env={"HTTPS_PROXY": address, "https_proxy": address})
        with pytest.raises(BlockingIOError):
            proxy.accept()
    assert ran.out == "000000000000\n", ran.err


def test_connect_to_an_aws_name_through_a_proxy_is_intercepted(kecs: Kecs) -> None:
    """A client that ignores NO_PROXY, or whose proxy stands in its own configuration."""
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        command = (
            f"curl -sS --proxy http://127.0.0.1:{proxy.getsockname()[1]} --noproxy '' "
            "'https://sts.us-east-1.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15' "
            "--aws-sigv4 aws:amz:us-east-1:sts --user test:test"
        )
        ran = kecs.run("sh", "-c", command)
    assert "<Account>000000000000</Account>" in ran.out, ran.err


PROTOCOLS = {
    "s3": ("list_buckets", "rest-xml"),
    "dynamodb": ("list_tables", "json"),
    "sqs": ("list_queues", "json, query-compatible"),
    "sns": ("list_topics", "query"),
    "ec2": ("describe_vpcs", "ec2"),
    "lambda": ("list_functions", "rest-json"),
    "iam": ("list_roles", "query, global"),
}

AWAY = """
import boto3, json, sys
from botocore.config import Config
from botocore.exceptions import ClientError
found = {}
for service, operation in json.loads(sys.argv[1]).items():
    client = boto3.client(service, config=Config(retries={"total_max_attempts": 2, "mode": "standard"}))
    try:
        getattr(client, operation)()
    except ClientError as error:
        meta = error.response["ResponseMetadata"]
        found[service] = [meta["HTTPStatusCode"], meta["RetryAttempts"], error.response["Error"]["Message"]]
print(json.dumps(found))
"""


def test_when_the_emulator_is_away_every_protocol_gets_a_retryable_503_that_names_it(kecs: Kecs) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    operations = json.dumps({service: operation for service, (operation, _) in PROTOCOLS.items()})
    ran = kecs.run(sys.executable, "-c", AWAY, operations, options=["--backend", f"http://127.0.0.1:{port}"])
    found = json.loads(ran.out or "{}")
    assert set(found) == set(PROTOCOLS), ran.err
    for service, (status, retries, message) in found.items():
        assert (status, retries) == (503, 1), service
        assert f"127.0.0.1:{port}" in message, service


def test_javascript_gets_a_503_it_understands(kecs: Kecs) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    code = (
        "import { SQSClient, ListQueuesCommand } from '@aws-sdk/client-sqs';"
        "try { await new SQSClient({ maxAttempts: 2 }).send(new ListQueuesCommand({})) }"
        "catch (error) { const seen = error.$metadata;"
        " console.log(seen.httpStatusCode, error.$fault, seen.attempts, error.message) }"
    )
    ran = kecs.run(
        "node", "--input-type=module", "-e", code,
        cwd=CLIENTS / "js", options=["--backend", f"http://127.0.0.1:{port}"],
    )  # fmt: skip
    assert ran.out.startswith("503 server 2 "), ran.out + ran.err
    assert f"127.0.0.1:{port}" in ran.out


def test_every_call_has_a_record_without_secrets(kecs: Kecs) -> None:
    code = "import boto3; boto3.client('s3').create_bucket(Bucket='records')"
    ran = kecs.run(
        sys.executable, "-c", code, env={"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "s" * 40}
    )
    (record,) = [record for record in ran.records if record["event"] == "call"]
    assert record["service"] == "s3"
    assert record["operation"] == "CreateBucket"
    assert record["status"] == 200
    assert record["duration_ms"] > 0
    text = json.dumps(ran.records)
    assert "AKIA" not in text
    assert "Signature" not in text


def test_servers_inside_and_outside_are_both_found(kecs: Kecs) -> None:
    """A port that somebody inside listens on is theirs; else the host's loopback answers."""
    with socket.create_server(("127.0.0.1", 0)) as database:
        port = database.getsockname()[1]

        def speak() -> None:
            client, _ = database.accept()
            with client:
                client.sendall(b"host speaks first\n")

        thread = threading.Thread(target=speak, daemon=True)
        thread.start()
        code = f"""
import socket
print(socket.create_connection(("127.0.0.1", {port}), 5).makefile().readline().strip())
inside = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(inside.getsockname())
inside.accept()[0].sendall(b"inside")
print(client.recv(100).decode())
try:
    socket.create_connection(("127.0.0.1", 1), 5)
except ConnectionRefusedError:
    print("refused")
"""
        ran = kecs.run(sys.executable, "-c", code)
        thread.join(10)
    assert ran.out.splitlines() == ["host speaks first", "inside", "refused"], ran.err


def test_published_ports_reach_a_server_inside(kecs: Kecs) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    code = f"""
import socket
server = socket.create_server(("127.0.0.1", {port}))
print("up", flush=True)
server.accept()[0].sendall(b"published")
"""
    argv = [sys.executable, "-m", "kecs.cli", "run", "-q", "--publish", str(port), "--", sys.executable, "-c", code]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, env=kecs.environment(), text=True) as running:
        assert running.stdout
        assert running.stdout.readline() == "up\n"
        with socket.create_connection(("127.0.0.1", port), 10) as client:
            assert client.recv(100) == b"published"
        assert running.wait(30) == 0


def test_a_run_inside_a_run(kecs: Kecs) -> None:
    code = "import boto3; print(boto3.client('sts').get_caller_identity()['Account'])"
    inner = [
        sys.executable,
        "-m",
        "kecs.cli",
        "run",
        "-q",
        "--account",
        "111111111111",
        "--",
        sys.executable,
        "-c",
        code,
    ]
    ran = kecs.run(*inner)
    assert ran.out == "111111111111\n", ran.err
    assert ran.summary == []


def test_inspection_shows_the_calls_in_mitmweb(kecs: Kecs) -> None:
    """The program works as before, and the address of the page is printed."""
    code = "import boto3; boto3.client('s3').create_bucket(Bucket='seen'); print('done')"
    ran = kecs.run(sys.executable, "-c", code, options=["--inspect"])
    assert ran.out == "done\n", ran.err
    assert "http://127.0.0.1:" in ran.err
    assert ran.operations("s3") == {"CreateBucket"}


def test_a_client_that_speaks_http2_only_is_served(kecs: Kecs) -> None:
    code = """
import http2 from "node:http2";
const session = http2.connect("https://sts.us-east-1.amazonaws.com");
const stream = session.request({
  ":method": "POST", ":path": "/", "content-type": "application/x-www-form-urlencoded",
});
stream.end("Action=GetCallerIdentity&Version=2011-06-15");
let text = "";
stream.on("data", (chunk) => (text += chunk));
stream.on("response", (headers) => console.log(headers[":status"]));
stream.on("end", () => { console.log(text.includes("<Account>000000000000</Account>")); session.close(); });
"""
    ran = kecs.run("node", "--input-type=module", "-e", code)
    assert ran.out.split() == ["200", "true"], ran.err


def test_the_programs_output_is_its_own(kecs: Kecs) -> None:
    ran = kecs.run("sh", "-c", "echo out; echo err >&2")
    assert ran.out == "out\n"
    assert ran.err.splitlines() == ["err", "[]"]


def test_the_quickstart(kecs: Kecs) -> None:
    ran = kecs.run(sys.executable, PROGRAMS.parents[2] / "examples" / "quickstart" / "app.py")
    assert ran.code == 0, ran.err
    assert "hello from S3" in ran.out
    assert "https://sqs.us-east-1.amazonaws.com/000000000000/jobs -> a job" in ran.out


HALFWAY = """
import boto3, os, signal, sys
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
boto3.client("s3").create_bucket(Bucket="halfway")
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        words = open(f"/proc/{pid}/cmdline").read().split("\\0")
        parents = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()
    except OSError:
        continue
    if words[1:3] == ["-m", sys.argv[1]] and int(parents[1]) == os.getppid():
        os.kill(int(pid), signal.SIGKILL)
try:
    boto3.client("s3", config=Config(retries={"total_max_attempts": 1}, connect_timeout=3)).list_buckets()
except (ClientError, BotoCoreError) as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize(
    ("module", "name", "seen"),
    [
        pytest.param("kecs.emulator", "emulator", "ClientError", id="the emulator dies: 503"),
        pytest.param("kecs.local.sidecar", "sidecar", "EndpointConnectionError", id="the sidecar dies: refused"),
    ],
)
def test_when_a_part_dies_calls_fail_closed_and_it_is_said(kecs: Kecs, module: str, name: str, seen: str) -> None:
    ran = kecs.run(sys.executable, "-c", HALFWAY, module)
    assert ran.code == 0, ran.err
    assert ran.out.startswith(seen), ran.out
    assert f"kecs: the {name} was killed by signal 9 during the run" in ran.err
