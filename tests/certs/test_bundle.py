"""Bundles of certificates: nothing else comes in, each once, in an order that does not depend on who writes."""

from datetime import datetime

import pytest
from certs_lab import PERMITTED
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from kecs.certs.authority import certificate_pem, issue_root, key_pem, new_key
from kecs.certs.bundle import distinct, fingerprint, ordered, parse, spell
from kecs.core.errors import AuthorityError

START = datetime.fromisoformat("2030-01-01T00:00:00+00:00")
ROOTS = tuple(issue_root(START, permitted=PERMITTED).certificate for _ in range(3))
FIRST, SECOND, THIRD = ROOTS
PEM = certificate_pem(FIRST)
CSR = x509.CertificateSigningRequestBuilder(subject_name=FIRST.subject).sign(new_key(), hashes.SHA256())


def test_a_fingerprint_is_what_openssl_prints_in_small_letters() -> None:
    assert fingerprint(FIRST) == FIRST.fingerprint(hashes.SHA256()).hex()
    assert len(fingerprint(FIRST)) == 64


@pytest.mark.parametrize(
    ("pem", "found"),
    [
        pytest.param(PEM, (FIRST,), id="one"),
        pytest.param(certificate_pem(SECOND, FIRST), (SECOND, FIRST), id="two, in their order"),
        pytest.param(certificate_pem(FIRST, SECOND, FIRST), (FIRST, SECOND), id="one twice"),
        pytest.param(b"# a comment\n\n" + PEM + b"\n# another\n", (FIRST,), id="comments and blank lines"),
        pytest.param(PEM.replace(b"\n", b"\r\n"), (FIRST,), id="lines of Windows"),
        pytest.param(PEM.rstrip(), (FIRST,), id="no last line break"),
    ],
)
def test_certificates_are_read(pem: bytes, found: tuple[x509.Certificate, ...]) -> None:
    assert parse(pem, source="a file") == found


@pytest.mark.parametrize(
    ("pem", "complaint"),
    [
        pytest.param(b"", "a file holds no certificate", id="nothing"),
        pytest.param(b"# only a comment\n", "a file holds no certificate", id="a comment alone"),
        pytest.param(
            PEM + key_pem(new_key()), "is a PRIVATE KEY, which must never be distributed", id="a private key after"
        ),
        pytest.param(key_pem(new_key()) + PEM, r"block 1 of a file \(line 1\) is a PRIVATE KEY", id="one before"),
        pytest.param(
            PEM + b"-----BEGIN EC PRIVATE KEY-----\nAA==\n-----END EC PRIVATE KEY-----\n",
            "is a EC PRIVATE KEY, which must never",
            id="a key of the older format",
        ),
        pytest.param(
            PEM + b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n-----END ENCRYPTED PRIVATE KEY-----\n",
            "ENCRYPTED PRIVATE KEY, which must never",
            id="an encrypted key",
        ),
        pytest.param(PEM + CSR.public_bytes(Encoding.PEM), "is a CERTIFICATE REQUEST", id="a request"),
        pytest.param(
            b"-----BEGIN CERTIFICATE-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END CERTIFICATE-----\n",
            "is damaged",
            id="headers",
        ),
        pytest.param(PEM[:-30], "is damaged", id="cut short"),
        pytest.param(PEM[:300] + PEM, "is damaged", id="another begins inside"),
        pytest.param(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "is damaged", id="no DER"),
        pytest.param(PEM + b"password: hunter2\n", "holds text that is no certificate", id="text after"),
        pytest.param(b"password: hunter2\n" + PEM, "holds text that is no certificate", id="text before"),
    ],
)
def test_anything_else_is_refused_with_its_place(pem: bytes, complaint: str) -> None:
    with pytest.raises(AuthorityError, match=complaint) as raised:
        parse(pem, source="a file")
    assert "certificates alone" in raised.value.hint
    assert "hunter2" not in raised.value.message


@given(st.permutations(ROOTS), st.sampled_from(ROOTS))
def test_the_same_roots_give_the_same_bytes(roots: list[x509.Certificate], active: x509.Certificate) -> None:
    bundle = ordered(active, roots)
    assert bundle[0] == active
    assert spell(bundle) == spell(ordered(active, ROOTS))
    assert sorted(map(fingerprint, bundle)) == sorted(map(fingerprint, ROOTS))
    assert parse(spell(bundle), source="itself") == bundle


@given(st.lists(st.sampled_from(ROOTS)))
def test_each_is_kept_once_where_it_came_first(roots: list[x509.Certificate]) -> None:
    kept = distinct(roots)
    assert list(kept) == sorted(set(roots), key=roots.index)


@given(st.binary(max_size=300), st.integers(0, len(PEM)))
def test_no_bytes_give_anything_but_certificates_or_our_error(noise: bytes, place: int) -> None:
    for text in (noise, PEM[:place] + noise + PEM[place:], PEM[:place] + PEM[place + 1 :]):
        try:
            found = parse(text, source="noise")
        except AuthorityError:
            continue
        assert all(isinstance(certificate, x509.Certificate) for certificate in found)
