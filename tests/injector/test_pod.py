"""A pod that the webhook has injected, run for real from its manifest: unmodified AWS programs in it, and no AWS."""

import contextlib
import json
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from certs_lab import stepped
from certs_service_lab import SCOPE, SERVICE_NAME
from cluster_lab import AWS, DNS, EMULATOR_NAME, SERVICES, SITE, SITE_NAME, Cluster, cluster
from cryptography.hazmat.primitives.serialization import Encoding
from pod_lab import Pod
from relay_lab import Authority
from rules_lab import Call
from webhook_lab import DOCUMENT

from kecs.certs.rotation import prepare, retire, switch
from kecs.core.names import ADMIN_PORT, INIT_CONTAINER, INSPECT_PORT, PROXY_GID, PROXY_UID, SIDECAR_CONTAINER

MODE = "kecs.io/aws-proxy-mode"
USER = {"runAsUser": 1000, "runAsGroup": 1000, "runAsNonRoot": True}
STAYS = ("sh", "-c", "trap exit TERM; sleep 600 & wait")
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a pod's namespaces, users and mounts take root")
S3 = "s3.us-east-1.amazonaws.com"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("cluster")) as found:
        yield found


def app(name: str, *command: str, annotations: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    """Write a manifest as a user does: one annotation, and nothing about AWS."""
    container = {"name": "app", "image": "example/app:1", "command": list(command or STAYS)}
    return {
        "metadata": {"name": name, "annotations": {MODE: "sidecar"} | (annotations or {})},
        "spec": {"securityContext": USER, "containers": [container], **spec},
    }


CALLS = """
import boto3, os
assert os.geteuid() == 1000
assert not [name for name in os.environ if name.startswith(("AWS_ENDPOINT", "AWS_ACCESS", "AWS_SECRET"))]
s3 = boto3.client("s3")
s3.create_bucket(Bucket="made-in-a-pod")
s3.put_object(Bucket="made-in-a-pod", Key="key", Body=b"value")
assert s3.get_object(Bucket="made-in-a-pod", Key="key")["Body"].read() == b"value"
table = boto3.resource("dynamodb").create_table(
    TableName="things",
    KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
    BillingMode="PAY_PER_REQUEST",
)
table.put_item(Item={"id": "1", "number": 7})
print(int(table.get_item(Key={"id": "1"})["Item"]["number"]), boto3.client("sts").get_caller_identity()["Account"])
"""
CREATE = "import boto3, sys; boto3.client('s3').create_bucket(Bucket=sys.argv[1])"
BUCKETS = "import boto3; print(*(one['Name'] for one in boto3.client('s3').list_buckets()['Buckets']))"
ACCOUNT = """
import boto3, botocore.config, botocore.exceptions
once = botocore.config.Config(retries={"total_max_attempts": 1}, connect_timeout=20)
try:
    print(boto3.client("sts", config=once).get_caller_identity()["Account"])
except botocore.exceptions.ClientError as error:
    print(error.response["ResponseMetadata"]["HTTPStatusCode"], error)
except botocore.exceptions.EndpointConnectionError as error:
    print("no connection:", error)
"""
PEER = """
import socket, ssl, sys
host, name, *roots = sys.argv[1:]
context = ssl.create_default_context(cadata=roots[0] if roots else None)
with context.wrap_socket(socket.create_connection((host, 443), 20), server_hostname=name) as tls:
    tls.sendall(f"GET / HTTP/1.1\\r\\nHost: {name}\\r\\n\\r\\n".encode())
    print(tls.getpeercert()["issuer"][-1][0][1], "says", tls.recv(100).partition(b"\\r\\n")[0].decode())
"""
FETCH = """
import ssl, sys, urllib.request
context = ssl.create_default_context(cafile=sys.argv[2])
print(urllib.request.urlopen(f"https://{sys.argv[1]}", context=context).status)
"""
LOOKUP = """
import dns.message, dns.query, sys
print(dns.query.tcp(dns.message.make_query(sys.argv[2], "A"), sys.argv[1], 20).answer[0][0])
"""
HTTP2 = """
import socket, ssl, sys
import h2.connection, h2.events
host, name = sys.argv[1:]
context = ssl.create_default_context()
context.set_alpn_protocols(["h2"])
with context.wrap_socket(socket.create_connection((host, 443), 20), server_hostname=name) as tls:
    assert tls.selected_alpn_protocol() == "h2"
    line = h2.connection.H2Connection()
    line.initiate_connection()
    fields = [(":method", "GET"), (":path", "/"), (":scheme", "https"), (":authority", name)]
    line.send_headers(1, fields, end_stream=True)
    status = ""
    while not status:
        tls.sendall(line.data_to_send())
        for event in line.receive_data(tls.recv(65536)):
            if isinstance(event, h2.events.ResponseReceived):
                status = dict(event.headers)[b":status"].decode()
print(status)
"""
DIAL = """
import socket, sys
for port in sys.argv[2:]:
    try:
        socket.create_connection((sys.argv[1], int(port)), 20).close()
        print(port, "connected")
    except OSError as error:
        print(port, error.strerror)
"""


def test_an_unmodified_program_calls_s3_dynamodb_and_sts(made: Cluster) -> None:
    with made.pod(app("job", "python", "-c", CALLS)) as pod:
        assert pod.running["app"].wait() == 0, pod.running["app"].said() + pod.running[SIDECAR_CONTAINER].said()
        assert pod.running["app"].said() == "7 000000000000\n"
    assert not [name for name in made.asked if "amazonaws" in name]
    assert not made.leaked


def test_each_container_is_what_its_manifest_says(made: Cluster) -> None:
    """The lab's own word: what is proven in it holds under these restrictions."""
    with made.pod(app("restricted")) as pod:
        status = Path(f"/proc/{pod.running[SIDECAR_CONTAINER].pid}/status").read_text(encoding="ascii").splitlines()
        found = dict(line.split(":\t", 1) for line in status if ":\t" in line)
        assert found["Uid"].split() == [str(PROXY_UID)] * 4
        assert found["Gid"].split() == [str(PROXY_GID)] * 4
        assert (found["Groups"].strip(), found["NoNewPrivs"]) == ("", "1")
        assert {found[one] for one in ("CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb")} == {"0" * 16}
        assert found["NSpid"].split()[-1] == "1"
        for path in ("/etc/x", "/opt/x", "/var/run/kecs/trust/x", "/var/run/secrets/kecs.io/x"):
            denied = pod.exec(SIDECAR_CONTAINER, "/bin/sh", "-c", f"echo >{path}")
            assert "Read-only file system" in denied.stderr or "Permission denied" in denied.stderr
        assert pod.exec(SIDECAR_CONTAINER, "/bin/sh", "-c", "echo >/tmp/x").returncode == 0
        assert pod.exec("app", "/bin/ls", "/var/run/secrets").returncode != 0
        assert pod.exec("app", "/bin/sh", "-c", "echo >/var/run/kecs/trust/ca.pem").returncode != 0


def test_the_users_init_containers_call_aws_too(made: Cluster) -> None:
    seed = {"name": "seed", "image": "example/seed:1", "command": ["python", "-c", CREATE, "seeded"]}
    with made.pod(app("seeded", initContainers=[seed])) as pod:
        assert [one["name"] for one in pod.spec["initContainers"]] == [INIT_CONTAINER, SIDECAR_CONTAINER, "seed"]
        assert "seeded" in pod.python(BUCKETS).split()


def test_aws_names_need_no_dns_server_at_all(made: Cluster) -> None:
    """Our own services are the pod's host aliases here; the name server that it is told of is nobody."""
    aliases = [{"ip": SERVICES[name], "hostnames": [name]} for name in (SERVICE_NAME, EMULATOR_NAME)]
    nobody = {"nameservers": ["203.0.113.53"]}
    asked = len(made.asked)
    with made.pod(app("no-dns", hostAliases=aliases, dnsPolicy="None", dnsConfig=nobody)) as pod:
        assert pod.python(ACCOUNT) == "000000000000"
    assert made.asked[asked:] == []


@pytest.mark.parametrize("name", [S3, EMULATOR_NAME])
def test_names_are_looked_up_over_tcp_too(made: Cluster, name: str) -> None:
    """As clients do when an answer was too long for a datagram, and some always."""
    with made.pod(app("stream")) as pod:
        found = pod.python(LOOKUP, DNS, name)
    assert found == SERVICES[name] if name in SERVICES else found.startswith("198.19.")


def test_environment_mode_needs_no_sidecar(made: Cluster) -> None:
    with made.pod(app("environment", annotations={MODE: "environment"})) as pod:
        assert list(pod.running) == ["app"]
        assert pod.running["app"].spec.environment["AWS_ENDPOINT_URL"] == f"http://{EMULATOR_NAME}:4566"
        pod.python(CREATE, "by-environment")
        assert "by-environment" in pod.python(BUCKETS).split()
        assert pod.python(ACCOUNT) == "000000000000"
        assert rules(pod, "nft") == ""


def test_who_is_not_aws_shows_a_certificate_of_its_own(made: Cluster) -> None:
    with made.pod(app("site")) as pod:
        assert pod.python(PEER, SITE, SITE_NAME, site_root(made.site)) == "lab root says the site"
        refused = pod.exec("app", "python", "-c", PEER, SITE, SITE_NAME)
        assert "certificate verify failed" in refused.stderr
        assert passed_bytes(pod) > 0


def passed_bytes(pod: Pod) -> float:
    """Ask the sidecar how much it passed; its own port is on the pod's loopback."""
    program = f"import urllib.request as r; print(r.urlopen('http://127.0.0.1:{ADMIN_PORT}/metrics').read().decode())"
    lines = pod.exec(SIDECAR_CONTAINER, "/opt/kecs/bin/python", "-c", program).stdout.splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("kecs_sidecar_passed_bytes_total "))


def site_root(site: Authority) -> str:
    return site.root.public_bytes(Encoding.PEM).decode()


def test_http3_is_refused_at_once(made: Cluster) -> None:
    with made.pod(app("http3")) as pod:
        calls = [
            Call(uid=uid, gid=gid, protocol="udp", address=SITE, port=443)
            for uid, gid in ((1000, 1000), (0, 0), (PROXY_UID, PROXY_GID))
        ]
        assert pod.namespace.dial(calls) == ["refused", "refused", "the site"]


def test_a_rotation_needs_no_restart(made: Cluster) -> None:
    """The pod trusts the old root alone, and so does what it connects to, in every phase."""
    with made.pod(app("rotated"), poll_s=0.2) as pod:
        sidecar, now = pod.running[SIDECAR_CONTAINER], datetime.now(UTC)
        old = pod.file("kecs-trust", "ca.pem").read_bytes()
        assert old.count(b"BEGIN CERTIFICATE") == 1
        assert old == made.state.authority.bundle_pem
        generation = made.state.authority.generation
        for step in (prepare, switch):
            made.become(stepped(step(made.state, now, SCOPE)))
            assert pod.python(ACCOUNT) == "000000000000"
        made.api.wait(lambda: sidecar.events("certificate_issued")[-1]["generation"] == generation + 1)
        assert pod.python(ACCOUNT) == "000000000000"
        assert pod.python(PEER, AWS, S3, old.decode()) == "KECS pod demo/rotated says HTTP/1.1 200 OK"
        made.become(stepped(retire(made.state, now)))
        assert pod.python(ACCOUNT) == "000000000000"
        assert pod.file("kecs-trust", "ca.pem").read_bytes() == old
        assert sidecar.events("certificate_renewal_failed") == []


def test_without_the_emulator_the_answer_names_it(made: Cluster) -> None:
    with made.pod(app("alone")) as pod:
        assert pod.python(ACCOUNT) == "000000000000"
        made.stop_emulator()
        try:
            said = pod.python(ACCOUNT)
            assert said.startswith("503 ")
            assert f"{EMULATOR_NAME}:4566" in said
            sidecar = next(one for one in pod.spec["initContainers"] if one["name"] == SIDECAR_CONTAINER)
            assert pod.probe(sidecar["readinessProbe"]) == 200
        finally:
            made.start_emulator()
        assert pod.python(ACCOUNT) == "000000000000"


def test_without_the_sidecar_calls_are_refused_and_never_passed(made: Cluster) -> None:
    """Names resolve to where AWS would be: there is nothing but the rules between the program and AWS."""
    aliases = [{"ip": AWS, "hostnames": [S3, "sts.us-east-1.amazonaws.com", "sts.amazonaws.com"]}]
    with made.pod(app("orphan", hostAliases=aliases)) as pod:
        assert pod.python(ACCOUNT) == "000000000000"
        pod.running[SIDECAR_CONTAINER].kill()
        assert pod.python(ACCOUNT, AWS_ACCESS_KEY_ID="a", AWS_SECRET_ACCESS_KEY="b").startswith("no connection: ")
        assert pod.python(DIAL, AWS, "443", "80").splitlines() == ["443 Connection refused", "80 Connection refused"]
        assert pod.python(DIAL, "169.254.169.254", "80") == "80 Connection refused"
        assert made.leaked == []
        pod.restart(SIDECAR_CONTAINER)
        assert pod.python(ACCOUNT) == "000000000000"
    assert made.leaked == []


def test_without_injection_the_same_calls_do_leave(made: Cluster) -> None:
    """Else what the test before says would prove nothing."""
    with made.pod(app("disabled", annotations={MODE: "disabled"})) as pod:
        assert pod.python(DIAL, AWS, "443") == "443 connected"
    made.api.wait(lambda: len(made.leaked) == 1)
    made.leaked.clear()


def test_rules_applied_twice_are_the_same(made: Cluster) -> None:
    """A node that has lost a pod's containers runs its init containers again."""
    with made.pod(app("twice")) as pod:
        before = rules(pod, "nft"), trust_files(pod)
        assert before[0].count("-A KECS_REDIRECT -p tcp") == 2
        assert "ca.pem" in before[1]
        pod.run_init(INIT_CONTAINER)
        assert (rules(pod, "nft"), trust_files(pod)) == before
        assert pod.python(ACCOUNT) == "000000000000"


def rules(pod: Pod, backend: str) -> str:
    """Return the pod's rules without what they have counted."""
    return re.sub(r"\[\d+:\d+\]", "", pod.namespace.rules(backend))


def trust_files(pod: Pod) -> dict[str, bytes]:
    volume = pod.file("kecs-trust", "")
    return {str(one.relative_to(volume)): one.read_bytes() for one in volume.rglob("*") if one.is_file()}


def test_old_kernels_rules_and_names_that_others_know(made: Cluster) -> None:
    """The legacy back end needs a lock, on a root that is read-only; the cluster's DNS answers AWS names here."""
    document = DOCUMENT.replace("mode: capture", "mode: coredns").replace("profile:", "rules: legacy, profile:")
    aliases = [{"ip": AWS, "hostnames": [S3, "sts.us-east-1.amazonaws.com"]}]
    with made.told(document), made.pod(app("legacy", hostAliases=aliases)) as pod:
        assert pod.python(ACCOUNT) == "000000000000"
        before = rules(pod, "legacy")
        assert "-A KECS_OUTPUT" in before
        assert "--dport 53" not in before
        pod.run_init(INIT_CONTAINER)
        assert rules(pod, "legacy") == before
        assert rules(pod, "nft") == ""
    assert made.leaked == []


def test_a_file_of_the_image_can_be_overlaid(made: Cluster) -> None:
    """A program that reads none of the variables, and the image's roots alone."""
    file = "/etc/ssl/certs/ca-certificates.crt"
    with made.pod(app("plain")) as pod:
        assert "certificate verify failed" in pod.exec("app", "python", "-c", FETCH, S3, file).stderr
    with made.pod(app("overlaid", annotations={"kecs.io/trust-overlay": file})) as pod:
        assert pod.python(FETCH, S3, file) == "200"


@pytest.mark.parametrize("debug", ["true", "false"], ids=["every call", "HTTP/2 alone"])
def test_the_second_engine_starts_in_a_pod(made: Cluster, debug: str) -> None:
    """As this user, on this read-only root, within this /tmp; for a client that offers nothing but HTTP/2 too."""
    with made.pod(app("debugged", annotations={"kecs.io/aws-proxy-debug": debug})) as pod:
        assert pod.python(ACCOUNT) == "000000000000"
        assert pod.python(HTTP2, AWS, S3) == "200"
        made.api.wait(lambda: pod.running[SIDECAR_CONTAINER].events("call")[-1]["host"] == S3)


PAGE = """
import json, sys, urllib.error, urllib.request
port, token, host = sys.argv[1:]
asked = urllib.request.Request(f"http://127.0.0.1:{port}/flows", headers={"Host": host})
if token:
    asked.add_header("Authorization", f"Bearer {token}")
try:
    with urllib.request.urlopen(asked, timeout=30) as page:
        print(json.dumps([flow["comment"] for flow in json.load(page)]))
except urllib.error.HTTPError as error:
    print(error.code)
"""


def test_a_pod_that_is_debugged_has_a_page_and_says_how_to_get_there(made: Cluster) -> None:
    """On the pod's loopback, where `kubectl port-forward` connects to; whoever comes by it names another port."""
    with made.pod(app("looked-at", annotations={"kecs.io/aws-proxy-debug": "true"})) as pod:
        sidecar = pod.running[SIDECAR_CONTAINER]
        made.api.wait(lambda: bool(sidecar.events("inspect")))
        said = sidecar.events("inspect")[0]
        assert pod.python(ACCOUNT) == "000000000000"
        token = said["url"].partition("?token=")[2]
        shown = json.loads(pod.python(PAGE, str(INSPECT_PORT), token, "localhost:18082"))
        refused = [pod.python(PAGE, str(INSPECT_PORT), *one) for one in (("", "localhost"), (token, "evil.example"))]
    assert said["url"].startswith(f"http://127.0.0.1:{INSPECT_PORT}/?token=")
    assert said["hint"].startswith(f"type: kubectl -n demo port-forward pod/looked-at {INSPECT_PORT}")
    assert shown == ["sts GetCallerIdentity us-east-1"]
    assert refused == ["403", "403"]


def test_nothing_is_left_behind(made: Cluster) -> None:
    with made.pod(app("gone")) as pod:
        network = Path(f"/proc/{pod.pid}/ns/net").readlink()
        assert pod.python(ACCOUNT) == "000000000000"
        running = inside(network)
        assert {one.pid for name, one in pod.running.items() if name != INIT_CONTAINER} <= set(running)
        assert len(cables(made)) == 1
    assert inside(network) == []
    assert cables(made) == []
    assert str(pod.directory) not in Path("/proc/self/mountinfo").read_text(encoding="utf-8")
    assert not any((pod.directory / "pod").iterdir())


def inside(network: Path) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                if (entry / "ns/net").readlink() == network:
                    found.append(int(entry.name))
    return found


def cables(made: Cluster) -> list[str]:
    links = json.loads(made.outside.run("ip", "-json", "link").stdout)
    return [one["ifname"] for one in links if one["ifname"] != "lo"]
