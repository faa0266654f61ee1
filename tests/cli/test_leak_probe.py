"""`kecs proxy check --leak-probe`: the life of its pod, and its program where all is open."""

import base64
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from kube_lab import ApiServer, Fault, api_server

from kecs.certs.kube import Kube
from kecs.cli import leak_probe
from kecs.cli.main import cli
from kecs.cli.observed import Answer

type Json = dict[str, Any]

HELD = {"TLS to an AWS name": "held", "QUIC (UDP 443)": "held"}
SIDECAR = {"op": "add", "path": "/spec/initContainers", "value": [{"name": "aws-proxy-sidecar"}]}


@pytest.fixture
def api() -> Iterator[ApiServer]:
    with api_server() as made:
        yield made


def reviewed(api: ApiServer, *operations: Json, log: str = "") -> Callable[[Json], Json]:
    """Admit every pod with these changes; have its container say this."""

    def admit(review: Json) -> Json:
        request = review["request"]
        api.logs["default", request["object"]["metadata"]["name"], "app"] = log.encode()
        patch = base64.b64encode(json.dumps(operations).encode()).decode()
        return {"uid": request["uid"], "allowed": True, "patchType": "JSONPatch", "patch": patch}

    return admit


def status(phase: str, **more: Any) -> Json:
    return {"op": "add", "path": "/status", "value": {"phase": phase, **more}}


def probed(api: ApiServer, tmp_path: Path, *, timeout_s: float = 20) -> Answer:
    kube = Kube.load(kubeconfig=str(api.kubeconfig(tmp_path)))
    answer = leak_probe.run(kube, namespace="default", image="kecs-sidecar:1", timeout_s=timeout_s)
    assert not [one for one in api.objects if one[0] == "pods"]
    return answer


WAITS = {"name": "app", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}
STARTS = {"name": "aws-proxy-init", "state": {"waiting": {"reason": "PodInitializing"}}}


@pytest.mark.parametrize(
    ("operations", "log", "timeout_s", "found"),
    [
        pytest.param(
            (SIDECAR, status("Succeeded")), f"noise\n{json.dumps(HELD)}\n", 20, Answer(status=200, body=HELD), id="done"
        ),
        pytest.param(
            (status("Succeeded"),),
            json.dumps(HELD),
            20,
            Answer(status=0, message="its pod was let through without the sidecar, so nothing was tried"),
            id="not injected",
        ),
        pytest.param(
            (SIDECAR, status("Failed")),
            "Traceback\nno module",
            20,
            Answer(status=0, message="its pod said Traceback / no module"),
            id="it failed",
        ),
        pytest.param(
            (SIDECAR, status("Failed")), "", 20, Answer(status=0, message="its pod said nothing"), id="it said nothing"
        ),
        pytest.param(
            (SIDECAR, status("Pending", containerStatuses=[WAITS])),
            "",
            20,
            Answer(status=0, message="its pod does not start: app ImagePullBackOff no such image"),
            id="no such image",
        ),
        pytest.param(
            (SIDECAR, status("Pending", initContainerStatuses=[STARTS])),
            "",
            0.1,
            Answer(status=0, message="its pod was not done within 0.1 s: aws-proxy-init PodInitializing"),
            id="it takes too long",
        ),
    ],
)
def test_the_pods_life(  # noqa: PLR0917 - a table's columns
    api: ApiServer, tmp_path: Path, operations: tuple[Json, ...], log: str, timeout_s: float, found: Answer
) -> None:
    api.admit = reviewed(api, *operations, log=log)
    assert probed(api, tmp_path, timeout_s=timeout_s) == found


def test_it_may_not_be_made(api: ApiServer, tmp_path: Path) -> None:
    api.faults.append(Fault(method="POST", status=403, message="pods is forbidden"))
    assert probed(api, tmp_path) == Answer(status=403, message="pods is forbidden")


def test_its_log_may_not_be_read(api: ApiServer, tmp_path: Path) -> None:
    api.admit = reviewed(api, SIDECAR, status("Succeeded"))
    api.faults.append(Fault(path="/log", status=403, message="pods/log is forbidden"))
    assert probed(api, tmp_path) == Answer(status=403, message="pods/log is forbidden")


def checked(api: ApiServer, tmp_path: Path, *arguments: str) -> Result:
    argv = ["proxy", "check", "--kubeconfig", str(api.kubeconfig(tmp_path)), *arguments]
    return CliRunner().invoke(cli, argv, standalone_mode=False)


def leaks(result: Result) -> Json:
    (found,) = (one for one in json.loads(result.output)["checks"] if one["name"] == "leak-probe")
    return dict(found)


def test_a_leak_fails_the_check(api: ApiServer, tmp_path: Path) -> None:
    said = json.dumps(HELD | {"QUIC (UDP 443)": "a datagram was sent"})
    api.admit = reviewed(api, SIDECAR, status("Succeeded"), log=said)
    result = checked(api, tmp_path, "--leak-probe", "--image", "kecs-cli:1", "-o", "json")
    assert result.return_value == 1
    found = leaks(result)
    assert found["status"] == "failed"
    assert [one["message"] for one in found["findings"]] == [
        "QUIC (UDP 443) got out of an injected pod: a datagram was sent"
    ]


def test_its_image_is_the_sidecars_unless_another_is_named(api: ApiServer, tmp_path: Path) -> None:
    settings = {"injector.yaml": "images: {init: kecs-init:7, sidecar: kecs-sidecar:7}"}
    api.put("configmaps", {"metadata": {"name": "kecs-injector", "namespace": "kecs-system"}, "data": settings})
    api.admit = reviewed(api, SIDECAR, status("Succeeded"), log=json.dumps(HELD))
    assert leaks(checked(api, tmp_path, "--leak-probe", "-o", "json"))["status"] == "passed"
    made = [one.body for one in api.requests if one.method == "POST" and "dryRun" not in one.query]
    assert [one["spec"]["containers"][0]["image"] for one in made] == ["kecs-sidecar:7"]


def test_without_settings_an_image_must_be_named(api: ApiServer, tmp_path: Path) -> None:
    found = leaks(checked(api, tmp_path, "--leak-probe", "-o", "json"))
    assert "give --image" in found["findings"][0]["message"]


def test_an_image_without_a_probe_is_refused(api: ApiServer, tmp_path: Path) -> None:
    assert getattr(checked(api, tmp_path, "--image", "x").exception, "exit_code", 0) == 2


def test_it_is_nobody_that_the_rules_exempt() -> None:
    context = leak_probe.pod("x")["spec"]["containers"][0]["securityContext"]
    assert (context["runAsUser"], context["runAsGroup"], context["runAsNonRoot"]) == (65534, 65534, True)


# The program itself, in a network of its own in which the address of AWS is this machine.

PREPARE = """
set -e
ip link set lo up
ip address add 52.119.198.1/32 dev lo
mount --bind "$1/hosts" /etc/hosts
exec "$2" -I "$1/world.py" "$1"
"""
WORLD = """
import contextlib, socket, ssl, subprocess, sys, threading
directory = sys.argv[1]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(f"{directory}/leaf.pem")

def serve_tls(plain):
    with contextlib.suppress(OSError), context.wrap_socket(plain, server_side=True) as tls:
        tls.recv(1)

def serve_http(plain):
    plain.recv(4096)
    plain.sendall(b"HTTP/1.1 302 Found\\r\\nServer: AmazonWebServices\\r\\nContent-Length: 0\\r\\n\\r\\n")
    plain.close()

def serve(listener, answer):
    while True:
        answer(listener.accept()[0])

for port, answer in ((443, serve_tls), (80, serve_http), (8443, socket.socket.close)):
    listener = socket.create_server(("52.119.198.1", port))
    threading.Thread(target=serve, args=(listener, answer), daemon=True).start()
environ = {"SSL_CERT_FILE": f"{directory}/root.pem"}
subprocess.run([sys.executable, "-I", f"{directory}/program.py"], env=environ, timeout=30)
"""


def chain(organization: str) -> tuple[bytes, bytes]:
    """Make a root and a leaf for an AWS name, with its key."""
    names = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization)]
    now = datetime.now(UTC)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]

    def issued(key: ec.EllipticCurvePrivateKey, extension: x509.ExtensionType) -> bytes:
        identifier = x509.SubjectKeyIdentifier.from_public_key(keys[0].public_key())
        own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        made = (
            x509.CertificateBuilder()
            .subject_name(x509.Name(names if key is keys[0] else []))
            .issuer_name(x509.Name(names))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=5))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(extension, critical=True)
            .add_extension(own, critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        )
        if key is keys[0]:
            made = made.add_extension(CA_USAGE, critical=True)
        return made.sign(keys[0], hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    private = keys[1].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    leaf = issued(keys[1], x509.SubjectAlternativeName([x509.DNSName("sts.amazonaws.com")]))
    return issued(keys[0], x509.BasicConstraints(ca=True, path_length=None)), leaf + private


CA_USAGE = x509.KeyUsage(
    digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
    key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
)  # fmt: skip


def tried(directory: Path, *, organization: str, prepare: str = PREPARE, trusts: bytes = b"") -> dict[str, str]:
    root, leaf = chain(organization)
    (directory / "root.pem").write_bytes(trusts or root)
    (directory / "leaf.pem").write_bytes(leaf)
    (directory / "hosts").write_text("127.0.0.1 localhost\n52.119.198.1 sts.amazonaws.com\n")
    (directory / "world.py").write_text(WORLD)
    (directory / "program.py").write_text(leak_probe.PROGRAM)
    command = ["unshare", "--user", "--map-root-user", "--net", "--mount", "sh", "-c", prepare, "sh"]
    done = subprocess.run(
        [*command, str(directory), sys.executable], capture_output=True, text=True, timeout=60, check=True
    )
    found: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_where_everything_is_open_everything_is_named(tmp_path: Path) -> None:
    assert tried(tmp_path, organization="Amazon") == {
        "TLS to an AWS name": "answered by Amazon",
        "TLS to an AWS address": "answered by Amazon",
        "plain HTTP to an AWS name": "answered by AWS",
        "QUIC (UDP 443)": "a datagram was sent",
        "an AWS name on port 8443": "a connection was made",
    }


def test_what_kecs_answers_is_held(tmp_path: Path) -> None:
    found = tried(tmp_path, organization="KECS")
    assert (found["TLS to an AWS name"], found["TLS to an AWS address"]) == ("held", "held")


def test_a_certificate_that_nobody_vouches_for_is_somebody_elses(tmp_path: Path) -> None:
    other, _ = chain("KECS")
    found = tried(tmp_path, organization="Amazon", trusts=other)
    assert found["TLS to an AWS name"].startswith("answered by somebody else: ")


def test_without_a_network_nothing_gets_out(tmp_path: Path) -> None:
    found = tried(tmp_path, organization="KECS", prepare='exec "$2" -I "$1/program.py"')
    assert set(found.values()) == {"held"}
    assert len(found) == 5
