"""Leaves at work: minted, served, checked by Python's strict TLS; intermediates written and read back."""

import socket
import ssl
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from certs_lab import OpenSsl
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import NameOID

from kecs.certs.authority import CLOCK_SKEW, INTERMEDIATE_LIFETIME, certificate_pem, key_pem, new_key
from kecs.certs.leaf import Intermediate
from kecs.certs.state import Authority
from kecs.core.errors import AuthorityError

BROKEN = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


def handshake(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> str:
    """Shake hands over a socket pair; return the client's complaint, "" for none."""
    ours, theirs = socket.socketpair()
    complaint = ""

    def serve() -> None:
        try:
            with server.wrap_socket(theirs, server_side=True) as tls:
                tls.recv(1)
        except OSError:
            theirs.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with client.wrap_socket(ours, server_hostname=name) as tls:
            tls.sendall(b"x")
    except ssl.SSLError as error:
        complaint = str(error)
    finally:
        ours.close()
        thread.join(timeout=10)
    return complaint


def server_context(directory: Path, chain: bytes, key: bytes) -> ssl.SSLContext:
    (directory / "chain.pem").write_bytes(chain)
    (directory / "key.pem").write_bytes(key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "chain.pem", directory / "key.pem")
    return context


def strict_client(root_pem: bytes) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cadata=root_pem.decode())
    return context


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        pytest.param("s3.eu-west-1.amazonaws.com", "", id="the exact name"),
        pytest.param("bucket.s3.eu-west-1.amazonaws.com", "", id="one label below the wildcard"),
        pytest.param("a.b.s3.eu-west-1.amazonaws.com", "ostname mismatch", id="two labels below it"),
        pytest.param("sqs.eu-west-1.amazonaws.com", "ostname mismatch", id="another service"),
    ],
)
def test_a_strict_client_shakes_hands(
    authority: Authority, now: datetime, tmp_path: Path, name: str, complaint: str
) -> None:
    names = ("s3.eu-west-1.amazonaws.com", "*.s3.eu-west-1.amazonaws.com")
    chain, key, _ = authority.new_intermediate(now).mint(names, now)
    said = handshake(server_context(tmp_path, chain, key), strict_client(authority.bundle_pem), name)
    assert complaint in said
    assert bool(said) == bool(complaint)


def test_another_authority_is_not_trusted(authority: Authority, now: datetime, tmp_path: Path) -> None:
    chain, key, _ = authority.new_intermediate(now).mint(("s3.amazonaws.com",), now)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    assert "unable to get local issuer" in handshake(server_context(tmp_path, chain, key), client, "s3.amazonaws.com")


def test_a_chain_is_leaf_intermediate_issuer_and_never_the_root(
    authority: Authority, now: datetime, openssl: OpenSsl
) -> None:
    minting = authority.new_intermediate(now, subject="run 42")
    chain, key, end = minting.mint(("sqs.us-east-1.amazonaws.com",), now)
    certificates = x509.load_pem_x509_certificates(chain)
    assert certificates[1:] == [minting.signer.certificate, authority.issuer.certificate]
    assert certificates[0].not_valid_after_utc == end == minting.not_after
    assert certificates[1].subject.rfc4514_string() == "CN=KECS run 42,O=KECS"
    assert load_pem_private_key(key, None).public_key() == certificates[0].public_key()
    assert openssl.verify(root=authority.bundle_pem, chain=chain) == ""


def test_a_leaf_is_clamped_to_its_intermediate(authority: Authority, now: datetime) -> None:
    minting = authority.new_intermediate(now, lifetime=timedelta(hours=1))
    _, _, end = minting.mint(("s3.amazonaws.com",), now + timedelta(minutes=59))
    assert end == now + timedelta(hours=1)
    with pytest.raises(AuthorityError, match="is valid from"):
        minting.mint(("s3.amazonaws.com",), now + timedelta(hours=1))


def test_each_leaf_has_a_key_of_its_own(authority: Authority, now: datetime) -> None:
    minting = authority.new_intermediate(now)
    assert minting.mint(("s3.amazonaws.com",), now)[1] != minting.mint(("s3.amazonaws.com",), now)[1]


@pytest.mark.parametrize(
    "names",
    [
        pytest.param((), id="no name"),
        pytest.param(("evil.example",), id="a foreign name"),
        pytest.param(("evilamazonaws.com",), id="a look-alike"),
        pytest.param(("s3.amazonaws.com", "10.0.0.1"), id="an address"),
        pytest.param(("bücket.s3.amazonaws.com",), id="a name that is not ASCII"),
    ],
)
def test_names_that_no_client_would_take_are_not_signed(
    authority: Authority, now: datetime, names: tuple[str, ...]
) -> None:
    with pytest.raises(AuthorityError) as raised:
        authority.new_intermediate(now).mint(names, now)
    assert raised.value.hint


def test_an_intermediate_survives_writing_and_reading(authority: Authority, now: datetime) -> None:
    written = authority.new_intermediate(now)
    read = Intermediate.from_pem(*written.to_pem())
    assert read.to_pem() == written.to_pem()
    assert read.above == (authority.issuer.certificate,)
    assert read.permitted == ("amazonaws.com", "api.aws")


def rsa_key() -> bytes:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


type Pair = tuple[bytes, bytes]

DAMAGE: dict[str, tuple[Callable[[Pair], Pair], str]] = {
    "no certificate": (lambda pair: (b"", pair[1]), "can't be read"),
    "a broken certificate": (lambda pair: (BROKEN, pair[1]), "can't be read"),
    "no key": (lambda pair: (pair[0], b""), "can't be read"),
    "a truncated key": (lambda pair: (pair[0], pair[1][:-80]), "can't be read"),
    "a P-384 key": (lambda pair: (pair[0], key_pem(ec.generate_private_key(ec.SECP384R1()))), "secp384r1, not P-256"),
    "an RSA key": (lambda pair: (pair[0], rsa_key()), "not P-256"),
    "another's key": (lambda pair: (pair[0], key_pem(new_key())), "not that of CN=KECS run"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_intermediate_is_refused(authority: Authority, now: datetime, damage: str) -> None:
    inflict, complaint = DAMAGE[damage]
    with pytest.raises(AuthorityError, match=complaint) as raised:
        Intermediate.from_pem(*inflict(authority.new_intermediate(now).to_pem()))
    assert raised.value.hint


@pytest.mark.parametrize(
    ("moment", "complaint"),
    [
        pytest.param(-CLOCK_SKEW - timedelta(seconds=1), "is valid from", id="a second before its begin"),
        pytest.param(-CLOCK_SKEW, "", id="at its begin"),
        pytest.param(INTERMEDIATE_LIFETIME - timedelta(seconds=1), "", id="a second before its end"),
        pytest.param(INTERMEDIATE_LIFETIME, "is valid from", id="at its end"),
    ],
)
def test_an_intermediate_is_read_within_its_validity(
    authority: Authority, now: datetime, moment: timedelta, complaint: str
) -> None:
    pair = authority.new_intermediate(now).to_pem()
    if not complaint:
        assert Intermediate.from_pem(*pair, now=now + moment).not_after == now + INTERMEDIATE_LIFETIME
        return
    with pytest.raises(AuthorityError, match=complaint) as raised:
        Intermediate.from_pem(*pair, now=now + moment)
    assert "clock" in raised.value.hint


def test_a_leaf_is_no_intermediate(authority: Authority, now: datetime) -> None:
    chain, key, _ = authority.new_intermediate(now).mint(("s3.amazonaws.com",), now)
    with pytest.raises(AuthorityError, match=r"CN=s3\.amazonaws\.com,O=KECS is no CA"):
        Intermediate.from_pem(chain, key)


def test_a_chain_out_of_order_is_refused(authority: Authority, now: datetime) -> None:
    first, second = authority.new_intermediate(now), authority.new_intermediate(now)
    chain = certificate_pem(first.signer.certificate, second.signer.certificate, authority.issuer.certificate)
    with pytest.raises(AuthorityError, match="was not signed by"):
        Intermediate.from_pem(chain, first.to_pem()[1])


def test_a_certificate_that_does_not_say_that_it_is_a_ca_is_refused(now: datetime) -> None:
    key, name = new_key(), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bare")])
    bare = x509.CertificateBuilder(
        subject_name=name,
        issuer_name=name,
        public_key=key.public_key(),
        serial_number=1,
        not_valid_before=now,
        not_valid_after=now + timedelta(days=1),
    ).sign(key, hashes.SHA256())
    with pytest.raises(AuthorityError, match="CN=bare is no CA"):
        Intermediate.from_pem(certificate_pem(bare), key_pem(key))
