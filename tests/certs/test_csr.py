import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AttributeOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from kecs.certs.authority import new_key
from kecs.certs.csr import Csr, CsrProblem, Unfit, make, read

type Builder = x509.CertificateSigningRequestBuilder
KEY = new_key()


def built(
    shape: Callable[[Builder], Builder] = lambda builder: builder,
    *,
    subject: x509.Name | None = None,
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey = KEY,
    algorithm: hashes.SHA256 | hashes.SHA224 | None = hashes.SHA256(),  # noqa: B008 - a value without state
) -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]) if subject is None else subject)
    return shape(builder).sign(key, algorithm).public_bytes(Encoding.PEM)


def named(*pairs: tuple[x509.ObjectIdentifier, str]) -> x509.Name:
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in pairs])


@pytest.mark.parametrize("subject", ["", "demo/app"])
def test_what_we_make_we_read(subject: str) -> None:
    found = read(make(KEY, subject))
    assert isinstance(found, Csr)
    assert (found.public_key, found.subject) == (KEY.public_key(), subject)


def test_what_openssl_makes_we_read(tmp_path: Path) -> None:
    argv = ["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-batch"]
    argv += ["-keyout", str(tmp_path / "key"), "-subj", "/CN=demo\\/app"]
    made = subprocess.run(argv, check=True, capture_output=True).stdout
    found = read(made)
    assert isinstance(found, Csr)
    assert found.subject == "demo/app"


WEAK_RSA = rsa.generate_private_key(65537, 1024)  # noqa: S505 - to be refused
NAMES = x509.SubjectAlternativeName([x509.DNSName("s3.amazonaws.com")])
CA = x509.BasicConstraints(ca=True, path_length=None)


@pytest.mark.parametrize(
    ("pem", "problem", "value"),
    [
        pytest.param(b"", CsrProblem.UNREADABLE, "0 PEM blocks", id="nothing"),
        pytest.param(make(KEY) * 2, CsrProblem.UNREADABLE, "2 PEM blocks", id="two requests"),
        pytest.param(make(KEY).replace(b"M", b"?"), CsrProblem.UNREADABLE, "", id="broken base64"),
        pytest.param(
            b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n", CsrProblem.UNREADABLE, "", id="not one"
        ),
        pytest.param(b"x" * 9000, CsrProblem.TOO_LARGE, "9000 bytes", id="too long"),
        pytest.param(built(key=WEAK_RSA), CsrProblem.WEAK_KEY, "RSA of 1024", id="RSA 1024"),
        pytest.param(
            built(key=rsa.generate_private_key(65537, 2048)), CsrProblem.WEAK_KEY, "RSA of 2048", id="RSA 2048"
        ),
        pytest.param(built(key=ec.generate_private_key(ec.SECP224R1())), CsrProblem.WEAK_KEY, "secp224r1", id="P-224"),
        pytest.param(built(key=ec.generate_private_key(ec.SECP521R1())), CsrProblem.WEAK_KEY, "secp521r1", id="P-521"),
        pytest.param(
            built(key=ed25519.Ed25519PrivateKey.generate(), algorithm=None),
            CsrProblem.WEAK_KEY,
            "Ed25519",
            id="Ed25519",
        ),
        pytest.param(built(algorithm=hashes.SHA224()), CsrProblem.BAD_SIGNATURE, "sha224", id="a short hash"),
        pytest.param(
            built(lambda builder: builder.add_extension(NAMES, critical=False)),
            CsrProblem.EXTENSIONS,
            "2.5.29.17",
            id="names",
        ),
        pytest.param(
            built(lambda builder: builder.add_extension(CA, critical=True)),
            CsrProblem.EXTENSIONS,
            "2.5.29.19",
            id="a CA",
        ),
        pytest.param(
            built(lambda builder: builder.add_attribute(AttributeOID.CHALLENGE_PASSWORD, b"secret")),
            CsrProblem.ATTRIBUTES,
            "1.2.840.113549.1.9.7",
            id="an attribute",
        ),
        pytest.param(
            built(subject=named((NameOID.ORGANIZATION_NAME, "KECS"))),
            CsrProblem.FOREIGN_NAME,
            "O=KECS",
            id="organisation",
        ),
        pytest.param(
            built(subject=named((NameOID.COMMON_NAME, "a"), (NameOID.COMMON_NAME, "b"))),
            CsrProblem.FOREIGN_NAME,
            "CN=b,CN=a",
            id="two names",
        ),
    ],
)
def test_what_cannot_be_granted(pem: bytes, problem: CsrProblem, value: str) -> None:
    found = read(pem)
    assert isinstance(found, Unfit)
    assert [one for one, said in found.problems if one is problem and value in said] == [problem]


def test_a_signature_of_another_key() -> None:
    whole = bytearray(x509.load_pem_x509_csr(make(KEY)).public_bytes(Encoding.DER))
    whole[-1] ^= 1
    found = read(_pem(bytes(whole)))
    assert isinstance(found, Unfit)
    assert found.problems[0][0] in {CsrProblem.BAD_SIGNATURE, CsrProblem.UNREADABLE}


def _pem(der: bytes) -> bytes:
    import base64  # noqa: PLC0415 - of this helper alone

    return b"-----BEGIN CERTIFICATE REQUEST-----\n" + base64.encodebytes(der) + b"-----END CERTIFICATE REQUEST-----\n"


def test_every_problem_is_told() -> None:
    pem = built(
        lambda builder: builder.add_extension(NAMES, critical=False),
        key=WEAK_RSA,
        subject=named((NameOID.ORGANIZATION_NAME, "x")),
    )
    found = read(pem)
    assert isinstance(found, Unfit)
    assert {problem for problem, _ in found.problems} == {
        CsrProblem.WEAK_KEY,
        CsrProblem.EXTENSIONS,
        CsrProblem.FOREIGN_NAME,
    }


DER = x509.load_pem_x509_csr(make(KEY, "demo/app")).public_bytes(Encoding.DER)


@given(st.binary(max_size=600))
def test_any_bytes_are_judged(body: bytes) -> None:
    assert isinstance(read(body), Unfit)


@given(st.integers(0, len(DER) - 1), st.integers(1, 255))
def test_one_changed_byte_is_judged(place: int, flip: int) -> None:
    changed = bytearray(DER)
    changed[place] ^= flip
    assert isinstance(read(_pem(bytes(changed))), Csr | Unfit)
