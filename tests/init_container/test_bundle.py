"""What is written for clients to trust, and what becomes of variables that are set already."""

import os
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import certifi
import pytest
from certs_lab import CLEAN, PERMITTED, OpenSsl, first_generation
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from kecs.certs.authority import Signer, certificate_pem, issue_cross, issue_leaf, issue_root, key_pem, new_key
from kecs.core.errors import ConfigError, MachineError
from kecs.init_container.bundle import (
    ADDED_VARIABLES,
    INSTEAD_VARIABLES,
    Trust,
    bundle_pem,
    certificates,
    trust,
    truststore_jks,
    write,
)

NOW = datetime.now(UTC)
ROOT = issue_root(NOW, permitted=PERMITTED)
COMPANY = issue_root(NOW, permitted=("company.example",))
PUBLIC = issue_root(NOW, permitted=("public.example",))
OWN_PEM, COMPANY_PEM, PUBLIC_PEM = (certificate_pem(signer.certificate) for signer in (ROOT, COMPANY, PUBLIC))
OWN, OTHER, WORLD = (signer.certificate.public_bytes(Encoding.DER) for signer in (ROOT, COMPANY, PUBLIC))
NAME, WILDCARD = x509.DNSName("s3.amazonaws.com"), x509.DNSName("*.s3.amazonaws.com")
V4, V6 = x509.IPAddress(IPv4Address("10.0.0.1")), x509.IPAddress(IPv6Address("fd00::1"))
DIRECTORY = Path("/trust")
FILES = {"/etc/company.pem": COMPANY_PEM, "/etc/empty.pem": b"", "/etc/key.pem": key_pem(COMPANY.key)}


def decide(existing: Mapping[str, str] | None = None, directory: Path = DIRECTORY) -> Trust:
    return trust(directory, own_roots=OWN_PEM, public_roots=PUBLIC_PEM, existing=existing or {}, read=FILES.get)


def trusted(decision: Trust, variable: str) -> tuple[bytes, ...]:
    """Return the certificates in the file that a variable names."""
    return certificates(decision.files[Path(decision.variables[variable])])


def test_nothing_set_means_public_and_own_roots_everywhere() -> None:
    decision = decide()
    assert {name: trusted(decision, name) for name in INSTEAD_VARIABLES} == dict.fromkeys(
        INSTEAD_VARIABLES, (WORLD, OWN)
    )
    assert {name: trusted(decision, name) for name in ADDED_VARIABLES} == dict.fromkeys(ADDED_VARIABLES, (OWN,))
    assert decision.variables["PHP_INI_SCAN_DIR"] == ":/trust/php"
    assert decision.files[DIRECTORY / "php" / "kecs.ini"] == (
        b'curl.cainfo="/trust/bundle.pem"\nopenssl.cafile="/trust/bundle.pem"\n'
    )
    assert decision.variables["JAVA_TOOL_OPTIONS"] == "-Djavax.net.ssl.trustStore=/trust/truststore.jks"
    assert set(decision.variables) == {
        *INSTEAD_VARIABLES,
        *ADDED_VARIABLES,
        "PHP_INI_SCAN_DIR",
        "JAVA_TOOL_OPTIONS",
    }
    assert set(decision.files) == {
        DIRECTORY / name for name in ("bundle.pem", "ca.pem", "truststore.jks", "php/kecs.ini")
    }
    assert decision.warnings == ()


@pytest.mark.parametrize("name", [*INSTEAD_VARIABLES, *ADDED_VARIABLES])
def test_a_variable_that_names_a_file_keeps_its_meaning(name: str) -> None:
    decision = decide({name: "/etc/company.pem"})
    assert trusted(decision, name) == (OTHER, OWN)
    assert decision.warnings == ()


@pytest.mark.parametrize(
    ("set_already", "variable", "kept"),
    [
        pytest.param("REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE", True, id="botocore falls back to requests' variable"),
        pytest.param("SSL_CERT_FILE", "AWS_CA_BUNDLE", True, id="Go and Ruby SDKs fall back to OpenSSL's"),
        pytest.param("CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", True, id="requests falls back to curl's"),
        pytest.param("SSL_CERT_FILE", "CURL_CA_BUNDLE", True, id="curl falls back to OpenSSL's"),
        pytest.param("REQUESTS_CA_BUNDLE", "PIP_CERT", True, id="pip falls back to requests'"),
        pytest.param("SSL_CERT_FILE", "PERL_LWP_SSL_CA_FILE", True, id="LWP falls back to OpenSSL's"),
        pytest.param("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", False, id="requests knows nothing of OpenSSL's"),
        pytest.param("SSL_CERT_FILE", "GIT_SSL_CAINFO", False, id="git neither"),
        pytest.param("AWS_CA_BUNDLE", "SSL_CERT_FILE", False, id="nor OpenSSL of AWS's"),
        pytest.param("NODE_EXTRA_CA_CERTS", "AWS_CA_BUNDLE", False, id="nor anything of Node's"),
    ],
)
def test_setting_a_variable_hides_no_other_one(set_already: str, variable: str, *, kept: bool) -> None:
    decision = decide({set_already: "/etc/company.pem"})
    assert trusted(decision, variable) == ((OTHER, OWN) if kept else (WORLD, OWN))


def test_one_file_is_merged_for_each_source() -> None:
    existing = dict.fromkeys((*INSTEAD_VARIABLES, *ADDED_VARIABLES), "/etc/company.pem")
    decision = decide(existing)
    merged = {path for path in decision.files if path.name.startswith("merged-")}
    assert len(merged) == 1
    assert {decision.variables[name] for name in existing} == {str(path) for path in merged}


@pytest.mark.parametrize(
    ("source", "why"),
    [
        pytest.param("/etc/absent.pem", "can't be read", id="missing"),
        pytest.param("/etc/empty.pem", "holds no certificate", id="empty"),
        pytest.param("/etc/key.pem", "holds no certificate", id="a key alone"),
    ],
)
def test_a_variable_that_names_nothing_usable_is_replaced_with_a_warning(source: str, why: str) -> None:
    decision = decide({"SSL_CERT_FILE": source, "NODE_EXTRA_CA_CERTS": source})
    assert trusted(decision, "SSL_CERT_FILE") == (WORLD, OWN)
    assert trusted(decision, "NODE_EXTRA_CA_CERTS") == (OWN,)
    (warning,) = decision.warnings
    assert source in warning
    assert why in warning


def test_an_empty_variable_is_as_if_unset() -> None:
    names = (*INSTEAD_VARIABLES, *ADDED_VARIABLES, "JAVA_TOOL_OPTIONS")
    assert decide(dict.fromkeys(names, "")) == decide()


@pytest.mark.parametrize(
    ("existing", "expected"),
    [
        pytest.param({}, ":/trust/php", id="unset: what PHP was built with, then ours"),
        pytest.param({"PHP_INI_SCAN_DIR": "/a:/b"}, "/a:/b:/trust/php", id="set: ours last"),
        pytest.param({"PHP_INI_SCAN_DIR": ":/a"}, ":/a:/trust/php", id="set with the built-in directory"),
        pytest.param({"PHP_INI_SCAN_DIR": ""}, "/trust/php", id="empty: PHP scans nothing, then ours alone"),
    ],
)
def test_php_keeps_its_directories(existing: dict[str, str], expected: str) -> None:
    assert decide(existing).variables["PHP_INI_SCAN_DIR"] == expected


@pytest.mark.parametrize(
    ("existing", "expected"),
    [
        pytest.param(None, "-Djavax.net.ssl.trustStore=/trust/truststore.jks", id="unset"),
        pytest.param("-Xmx1g", "-Xmx1g -Djavax.net.ssl.trustStore=/trust/truststore.jks", id="appended"),
        pytest.param(
            "-Djavax.net.ssl.trustStoreType=JKS",
            "-Djavax.net.ssl.trustStoreType=JKS -Djavax.net.ssl.trustStore=/trust/truststore.jks",
            id="a type is no store",
        ),
    ],
)
def test_java_options_are_appended_to(existing: str | None, expected: str) -> None:
    environment = {} if existing is None else {"JAVA_TOOL_OPTIONS": existing}
    assert decide(environment).variables["JAVA_TOOL_OPTIONS"] == expected


@pytest.mark.parametrize("name", ["JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS"])
def test_a_trust_store_that_is_named_already_is_kept_with_a_warning(name: str) -> None:
    decision = decide({name: "-Xmx1g -Djavax.net.ssl.trustStore=/own.jks"})
    assert "JAVA_TOOL_OPTIONS" not in decision.variables
    (warning,) = decision.warnings
    assert name in warning
    assert "/trust/ca.pem" in warning


@pytest.mark.parametrize(
    ("existing", "count"),
    [
        pytest.param({"SSL_CERT_DIR": "/certs"}, 1, id="a directory alone"),
        pytest.param({"SSL_CERT_DIR": "/certs", "SSL_CERT_FILE": "/etc/company.pem"}, 0, id="beside a file"),
    ],
)
def test_a_certificate_directory_is_left_alone(existing: dict[str, str], count: int) -> None:
    decision = decide(existing)
    assert "SSL_CERT_DIR" not in decision.variables
    assert len(decision.warnings) == count


def test_without_a_root_of_ours_nothing_is_decided() -> None:
    with pytest.raises(ConfigError, match="no certificate") as raised:
        trust(DIRECTORY, own_roots=key_pem(ROOT.key), public_roots=PUBLIC_PEM, existing={}, read=FILES.get)
    assert raised.value.hint


def test_only_certificates_are_copied() -> None:
    junk = (
        b"# A comment\nsubject=CN = x\n" + key_pem(ROOT.key) + OWN_PEM.replace(b"\n", b"\r\n") + b"junk" + COMPANY_PEM
    )
    again = bundle_pem(certificates(junk + OWN_PEM))
    assert certificates(junk) == (OWN, OTHER)
    assert again == OWN_PEM + COMPANY_PEM
    assert b"PRIVATE" not in again


BEGIN, END = b"-----BEGIN CERTIFICATE-----\n", b"\n-----END CERTIFICATE-----\n"


@pytest.mark.parametrize(
    "block",
    [
        pytest.param(BEGIN + b"AAAA" + END, id="base64 that is no certificate"),
        pytest.param(BEGIN + b"A" + END, id="no base64"),
        pytest.param(BEGIN + END, id="nothing inside"),
        pytest.param(OWN_PEM[:-60], id="no end"),
        pytest.param(OWN_PEM[:200] + OWN_PEM[265:], id="a line missing"),
        pytest.param(OWN_PEM.replace(b"CERTIFICATE", b"PUBLIC KEY"), id="another label"),
        pytest.param(OWN_PEM.replace(b"CERTIFICATE", b"TRUSTED CERTIFICATE"), id="OpenSSL's own form"),
    ],
)
def test_blocks_that_do_not_parse_are_left_out(block: bytes) -> None:
    assert certificates(block + COMPANY_PEM) == (OTHER,)


@given(st.binary(max_size=300), st.integers(0, len(OWN_PEM)))
def test_any_bytes_give_sound_certificates_or_none(junk: bytes, at: int) -> None:
    for der in certificates(OWN_PEM[:at] + junk + OWN_PEM[at:]):
        x509.load_der_x509_certificate(der)


def test_the_public_roots_survive_the_bundle() -> None:
    pem = Path(certifi.where()).read_text(encoding="utf-8")
    theirs = pem.split("-----BEGIN CERTIFICATE-----\n")[1:]
    again = bundle_pem(certificates(pem.encode())).decode()
    assert again.split("-----BEGIN CERTIFICATE-----\n")[1:] == [
        block.partition("\n\n")[0].strip() + "\n" for block in theirs
    ]


def test_openssl_reads_the_bundle_and_trusts_by_it(tmp_path: Path) -> None:
    public = Path(certifi.where()).read_bytes()
    decision = trust(tmp_path, own_roots=OWN_PEM, public_roots=public, existing={}, read=FILES.get)
    bundle = decision.files[tmp_path / "bundle.pem"]
    command = ["openssl", "crl2pkcs7", "-nocrl", "-certfile", "/dev/stdin"]
    packed = subprocess.run(command, input=bundle, capture_output=True, timeout=30, env=CLEAN, check=True).stdout
    command = ["openssl", "pkcs7", "-print_certs", "-noout"]
    said = subprocess.run(command, input=packed, capture_output=True, timeout=30, env=CLEAN, check=True).stdout
    assert said.count(b"subject=") == len(certificates(public)) + 1
    authority = first_generation(ROOT, NOW)
    chain = authority.new_intermediate(NOW).mint(("s3.amazonaws.com",), NOW)[0]
    openssl = OpenSsl(tmp_path)
    assert openssl.verify(root=bundle, chain=chain) == ""
    assert openssl.verify(root=decision.files[tmp_path / "ca.pem"], chain=chain) == ""
    assert "unable to get" in openssl.verify(root=public, chain=chain)


def test_keytool_lists_the_store(tmp_path: Path) -> None:
    (tmp_path / "store.jks").write_bytes(truststore_jks((WORLD, OWN, WORLD)))
    said = keytool(tmp_path / "store.jks", "changeit")
    assert said.returncode == 0, said.stdout
    assert "Keystore type: JKS" in said.stdout
    assert "contains 2 entries" in said.stdout
    assert said.stdout.count("trustedCertEntry") == 2


def test_the_checksum_is_keyed_and_covers_everything(tmp_path: Path) -> None:
    store = truststore_jks((OWN,))
    (tmp_path / "store.jks").write_bytes(store)
    assert "password was incorrect" in keytool(tmp_path / "store.jks", "another").stdout
    (tmp_path / "store.jks").write_bytes(store[:20] + bytes([store[20] ^ 1]) + store[21:])
    assert keytool(tmp_path / "store.jks", "changeit").returncode != 0


def keytool(store: Path, password: str) -> subprocess.CompletedProcess[str]:
    command = ["keytool", "-J-Xshare:auto", "-list", "-keystore", str(store), "-storepass", password]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=CLEAN, check=False)


def test_the_same_certificates_give_the_same_store() -> None:
    assert truststore_jks((WORLD, OWN)) == truststore_jks((WORLD, OWN, OWN))


@pytest.mark.parametrize(
    ("own_roots", "names", "said"),
    [
        pytest.param(OWN_PEM, (NAME,), "trusted", id="our root is in the store"),
        pytest.param(COMPANY_PEM, (NAME,), "refused: ", id="it is not"),
        pytest.param(OWN_PEM, (NAME, x509.DNSName("evil.example")), "refused: ", id="a foreign name in the leaf"),
        pytest.param(OWN_PEM, (NAME, V4), "refused: ", id="an IPv4 address in the leaf"),
        pytest.param(OWN_PEM, (NAME, V6), "refused: ", id="an IPv6 address in the leaf"),
    ],
)
def test_java_trusts_by_the_store(
    tmp_path: Path, own_roots: bytes, names: tuple[x509.GeneralName, ...], said: str
) -> None:
    directory = tmp_path / "trust with space"
    decision = trust(directory, own_roots=own_roots, public_roots=PUBLIC_PEM, existing={}, read=FILES.get)
    write(decision.files)
    with serving(tmp_path, names) as port:
        done = java(decision, port)
    assert done.stdout.startswith(said), done.stdout + done.stderr
    assert "out of bounds" not in done.stdout


def java(decision: Trust, port: int) -> subprocess.CompletedProcess[str]:
    environment = CLEAN | {"JAVA_TOOL_OPTIONS": decision.variables["JAVA_TOOL_OPTIONS"]}
    command = ["java", "-XX:TieredStopAtLevel=1", str(Path(__file__).with_name("TrustProbe.java")), "s3.amazonaws.com"]
    return subprocess.run(
        [*command, str(port)], capture_output=True, text=True, timeout=120, env=environment, check=False
    )


@pytest.mark.parametrize("subject", ["run", "pod-7f9c", "web.default.svc", "10.0.0.1"])
@pytest.mark.parametrize("rotated", [False, True], ids=["our root signed the issuer", "its successor did"])
def test_java_takes_every_chain_that_we_serve(tmp_path: Path, subject: str, *, rotated: bool) -> None:
    """The JDK reads more into a CA than others do: its name as a host's, its constraints merged up to the root."""
    decision = decide(directory=tmp_path / "trust")
    write(decision.files)
    issuing = issue_root(NOW, permitted=PERMITTED) if rotated else ROOT
    above = (issue_cross(ROOT, issuing.certificate, NOW),) if rotated else ()
    with serving(tmp_path, (NAME, WILDCARD), root=issuing, subject=subject, above=above) as port:
        assert java(decision, port).stdout == "trusted\n"


@contextmanager
def serving(
    directory: Path,
    names: tuple[x509.GeneralName, ...],
    *,
    root: Signer = ROOT,
    subject: str = "run",
    above: tuple[x509.Certificate, ...] = (),
) -> Iterator[int]:
    """Serve one TLS handshake by a chain below a root, whether or not its constraints permit the names."""
    authority = first_generation(root, NOW)
    minting, key = authority.new_intermediate(NOW, subject=subject), new_key()
    leaf = issue_leaf(minting.signer, key.public_key(), names, NOW)
    (directory / "chain.pem").write_bytes(certificate_pem(leaf) + minting.to_pem()[0] + certificate_pem(*above))
    (directory / "key.pem").write_bytes(key_pem(key))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "chain.pem", directory / "key.pem")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(60)
        thread = threading.Thread(target=_serve_once, args=(listener, context))
        thread.start()
        yield listener.getsockname()[1]
        thread.join(timeout=60)


def _serve_once(listener: socket.socket, context: ssl.SSLContext) -> None:
    connection, _ = listener.accept()
    try:
        with context.wrap_socket(connection, server_side=True) as tls:
            tls.recv(1)
    except OSError:
        connection.close()


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_everyone_may_read_what_is_written(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        write(decide(directory=tmp_path / "a" / "trust").files)
    finally:
        os.umask(before)
    paths = [tmp_path / "a", *(tmp_path / "a").rglob("*")]
    assert {path.name: oct(mode(path)) for path in paths} == {
        path.name: "0o755" if path.is_dir() else "0o644" for path in paths
    }


def test_writing_again_replaces_whole_files_and_leaves_nothing_else(tmp_path: Path) -> None:
    decision = decide(directory=tmp_path)
    write(dict.fromkeys(decision.files, b"old"))
    with (tmp_path / "bundle.pem").open("rb") as reader:
        write(decision.files)
        assert reader.read() == b"old"
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == set(decision.files)
    assert {path: path.read_bytes() for path in decision.files} == decision.files


OBSTACLES: dict[str, Callable[[Path], object]] = {
    "a file where the directory belongs": lambda path: path.parent.write_bytes(b""),
    "a directory where the file belongs": lambda path: path.mkdir(parents=True),
}


@pytest.mark.parametrize("obstacle", OBSTACLES)
def test_what_can_not_be_written_is_said_with_its_path(tmp_path: Path, obstacle: str) -> None:
    path = tmp_path / "trust" / "bundle.pem"
    OBSTACLES[obstacle](path)
    with pytest.raises(MachineError) as raised:
        write({path: b"x"})
    assert str(path) in raised.value.message
    assert raised.value.hint
    assert not list(tmp_path.rglob(".bundle*"))
