"""TLS as others speak it: OpenSSL's own client, curl, Python's ssl; versions, tickets, ALPN, key updates."""

import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from relay_lab import NAME, PATIENCE_S, Lab, Script, read_exactly, read_head, server

from kecs.relay.decide import Upstream

REQUEST = b"GET / HTTP/1.1\r\nHost: %b\r\n\r\n" % NAME.encode()
LAST = b"GET / HTTP/1.1\r\nHost: %b\r\nConnection: close\r\n\r\n" % NAME.encode()
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CLEAN = {name: value for name, value in os.environ.items() if "proxy" not in name.lower() and "SSL" not in name}


def ok(sock: socket.socket) -> None:
    held = bytearray()
    while read_head(sock, held):
        sock.sendall(OK)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with server(ok) as address, Lab(Script(upstream=Upstream(host=address.host, port=address.port))) as running:
        yield running


@pytest.fixture(scope="module")
def roots(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trust") / "root.pem"
    path.write_bytes(lab.authority.root.public_bytes(serialization.Encoding.PEM))
    return path


def program(name: str) -> str:
    found = shutil.which(name)
    assert found, f"{name} is not installed"
    return found


class SClient:
    """`openssl s_client`, spoken to through pipes."""

    def __init__(self, lab: Lab, roots: Path, *options: str) -> None:
        self._process = subprocess.Popen(
            [
                program("openssl"), "s_client", "-connect", f"{lab.address.host}:{lab.address.port}", "-servername",
                NAME, "-verify_return_error", "-CAfile", str(roots), *options,
            ],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=CLEAN,
        )  # fmt: skip
        self.said = b""

    def say(self, data: bytes) -> None:
        assert self._process.stdin
        self._process.stdin.write(data)
        self._process.stdin.flush()

    def until(self, words: bytes) -> None:
        """Read up to these words, from where reading stopped."""
        assert self._process.stdout
        got = b""
        while words not in got:
            piece = os.read(self._process.stdout.fileno(), 65536)
            assert piece, self.said + got
            got += piece
        self.said += got

    def end(self) -> str:
        """Close its input, and return all it has said."""
        rest, _ = self._process.communicate(timeout=PATIENCE_S)
        return (self.said + rest).decode("latin-1")


def spoken(lab: Lab, roots: Path, *options: str) -> str:
    """Make one call, and return what s_client has to say."""
    client = SClient(lab, roots, "-ign_eof", *options)
    client.say(LAST)
    return client.end()


@pytest.mark.parametrize(("option", "version"), [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")])
def test_versions_and_tickets(lab: Lab, roots: Path, tmp_path: Path, option: str, version: str) -> None:
    kept, before = tmp_path / "session", lab.relay.counters["tls_resumed"]
    said = spoken(lab, roots, option, "-sess_out", str(kept))
    assert f"New, {version}, Cipher is" in said
    assert "Verify return code: 0 (ok)" in said
    assert "HTTP/1.1 200 OK" in said
    said = spoken(lab, roots, option, "-sess_in", str(kept))
    assert f"Reused, {version}, Cipher is" in said
    assert "HTTP/1.1 200 OK" in said
    assert lab.relay.counters["tls_resumed"] == before + 1


def test_one_ticket_is_sent_and_no_early_data_is_taken(lab: Lab, roots: Path) -> None:
    said = spoken(lab, roots, "-tls1_3")
    assert said.count("Post-Handshake New Session Ticket arrived") == 1
    assert "Max Early Data: 0" in said


@pytest.mark.parametrize(
    ("options", "words"),
    [
        pytest.param(["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], "alert protocol version", id="TLS 1.1"),
        pytest.param(["-tls1_2", "-cipher", "AES128-SHA:@SECLEVEL=0"], "handshake failure", id="a cipher without EC"),
        pytest.param(["-tls1_2", "-cipher", "ECDHE-ECDSA-NULL-SHA:@SECLEVEL=0"], "failure", id="no encryption"),
    ],
)
def test_what_is_too_weak_is_refused(lab: Lab, roots: Path, options: list[str], words: str) -> None:
    assert words in spoken(lab, roots, *options)


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        pytest.param(["http/1.1"], "http/1.1", id="HTTP/1.1"),
        pytest.param(["h2", "http/1.1"], "http/1.1", id="HTTP/2 first"),
        pytest.param(["x/9", "http/1.1"], "http/1.1", id="one that nobody knows"),
        pytest.param(["x-amzn-http-ca"], None, id="only one that nobody knows"),
        pytest.param([], None, id="none"),
    ],
)
def test_alpn(lab: Lab, offered: list[str], chosen: str | None) -> None:
    context = lab.authority.client_context()
    if offered:
        context.set_alpn_protocols(offered)
    with context.wrap_socket(lab.connect(), server_hostname=NAME) as tls:
        assert tls.selected_alpn_protocol() == chosen
        tls.sendall(REQUEST)
        assert read_exactly(tls, len(OK)) == OK


@pytest.mark.parametrize("command", [b"k\n", b"K\n"], ids=["the client's keys", "both sides' keys"])
def test_keys_are_renewed_between_calls(lab: Lab, roots: Path, command: bytes) -> None:
    client = SClient(lab, roots, "-tls1_3")
    for _ in range(3):
        client.say(REQUEST)
        client.until(b"\r\n\r\nok")
        client.say(command)
        client.until(b"KEYUPDATE")
    client.say(LAST)
    client.until(b"\r\n\r\nok")
    assert "error" not in client.end().lower().replace("verify error", "")


def test_renegotiation_is_refused(lab: Lab, roots: Path) -> None:
    client = SClient(lab, roots, "-tls1_2")
    client.say(REQUEST)
    client.until(b"\r\n\r\nok")
    client.say(b"R\n")
    client.until(b"RENEGOTIATING")
    assert "no renegotiation" in client.end()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_records_of_full_size_both_ways(version: ssl.TLSVersion) -> None:
    body = os.urandom(300_000)

    def echo(sock: socket.socket) -> None:
        held = bytearray()
        read_head(sock, held)
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + read_exactly(sock, len(body), held))

    with server(echo) as address, Lab(Script(upstream=Upstream(host=address.host, port=address.port))) as lab:
        context = lab.authority.client_context()
        context.minimum_version = context.maximum_version = version
        with context.wrap_socket(lab.connect(), server_hostname=NAME) as tls:
            tls.sendall(REQUEST.replace(b"GET", b"PUT").replace(b"\r\n\r\n", b"\r\nContent-Length: 300000\r\n\r\n"))
            tls.sendall(body)
            held = bytearray()
            assert read_head(tls, held).startswith(b"HTTP/1.1 200 ")
            assert read_exactly(tls, len(body) - len(held)) == body[len(held) :]


def test_curl(lab: Lab, roots: Path) -> None:
    for version in ("1.2", "1.3"):
        done = subprocess.run(
            [
                program("curl"), "-sS", "--noproxy", "*", "--cacert", str(roots), f"--tlsv{version}", "--tls-max",
                version, "--connect-to", f"{NAME}:443:{lab.address.host}:{lab.address.port}", f"https://{NAME}/",
            ],
            capture_output=True, check=True, timeout=PATIENCE_S, env=CLEAN,
        )  # fmt: skip
        assert done.stdout == b"ok"


def test_a_client_that_does_not_know_us_says_so(lab: Lab) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody
    before = len(lab.script.ends)
    with lab.connect() as sock, pytest.raises(ssl.SSLCertVerificationError):
        context.wrap_socket(sock, server_hostname=NAME)
    lab.script.wait(lambda seen: [reason for _, reason, _, _ in seen.ends[before:]] == ["tls_alert_unknown_ca"])
