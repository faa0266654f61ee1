"""What a certificate signing request may ask for: a name for a P-256 key, and nothing else. Pure.

The certificate that comes of it is the authority's to shape. A request with wishes of its own is refused, not trimmed:
whoever sent it expects what it will not get.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

SIZE_MAX: Final = 8192
"""Bytes of PEM. One for a P-256 key has 400."""
_BEGIN: Final = b"-----BEGIN "
_UNREADABLE: Final = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    KeyError,  # a string type that cryptography does not know
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
_HASHES: Final = (hashes.SHA256, hashes.SHA384, hashes.SHA512)


class CsrProblem(StrEnum):
    """What is wrong with a request."""

    TOO_LARGE = "csr_too_large"
    """It is longer than any that could be granted."""
    UNREADABLE = "csr_unreadable"
    """It is no PEM of one certificate signing request."""
    BAD_SIGNATURE = "csr_bad_signature"
    """Its signature is not its key's, or of a weak hash."""
    WEAK_KEY = "csr_weak_key"
    """Its key is not P-256, the one kind that every client takes."""
    EXTENSIONS = "csr_extensions"
    """It asks for extensions, which the authority alone decides."""
    ATTRIBUTES = "csr_attributes"
    """It has attributes."""
    FOREIGN_NAME = "csr_foreign_name"
    """Its subject is another's, or no pod's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Csr:
    """A request that may be granted."""

    public_key: ec.EllipticCurvePublicKey
    subject: str
    """The common name; empty for none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfit:
    """Why a request can't be granted: every problem, with the value."""

    problems: tuple[tuple[CsrProblem, str], ...]


def make(key: ec.EllipticCurvePrivateKey, subject: str = "") -> bytes:
    """Write the request for a key, as PEM."""
    names = [x509.NameAttribute(NameOID.COMMON_NAME, subject)] if subject else []
    built = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(names)).sign(key, hashes.SHA256())
    return built.public_bytes(Encoding.PEM)


def read(pem: bytes) -> Csr | Unfit:
    """Read a request and judge all that is in it."""
    if len(pem) > SIZE_MAX:
        return Unfit(problems=((CsrProblem.TOO_LARGE, f"{len(pem)} bytes, above {SIZE_MAX}"),))
    if pem.count(_BEGIN) != 1:
        return Unfit(problems=((CsrProblem.UNREADABLE, f"{pem.count(_BEGIN)} PEM blocks instead of one"),))
    try:
        csr = x509.load_pem_x509_csr(pem)
        problems, public_key, subject = _judged(csr)
    except _UNREADABLE as error:
        return Unfit(problems=((CsrProblem.UNREADABLE, str(error).partition(" (")[0]),))
    if problems or public_key is None:
        return Unfit(problems=tuple(problems))
    return Csr(public_key=public_key, subject=subject)


type _Judged = tuple[list[tuple[CsrProblem, str]], ec.EllipticCurvePublicKey | None, str]


def _judged(csr: x509.CertificateSigningRequest) -> _Judged:
    problems: list[tuple[CsrProblem, str]] = []
    key = csr.public_key()
    fit = isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)
    if not fit:
        problems.append((CsrProblem.WEAK_KEY, _kind(key)))
    if not _is_signed(csr):
        name = csr.signature_hash_algorithm.name if csr.signature_hash_algorithm else "no hash"
        problems.append((CsrProblem.BAD_SIGNATURE, f"signed with {name}"))
    extensions = [extension.oid.dotted_string for extension in csr.extensions]
    if extensions:
        problems.append((CsrProblem.EXTENSIONS, ", ".join(extensions)))
    others = [attribute.oid.dotted_string for attribute in csr.attributes if attribute.oid.dotted_string != _EXTENSIONS]
    if others:
        problems.append((CsrProblem.ATTRIBUTES, ", ".join(others)))
    names = [(name.oid, str(name.value)) for name in csr.subject]
    if len(names) > 1 or any(oid != NameOID.COMMON_NAME for oid, _ in names):
        problems.append((CsrProblem.FOREIGN_NAME, csr.subject.rfc4514_string()[:200]))
    subject = names[0][1] if names else ""
    return problems, key if isinstance(key, ec.EllipticCurvePublicKey) and fit else None, subject


_EXTENSIONS: Final = "1.2.840.113549.1.9.14"
"""The attribute that carries extensions (PKCS #9)."""


def _is_signed(csr: x509.CertificateSigningRequest) -> bool:
    try:
        return csr.is_signature_valid and isinstance(csr.signature_hash_algorithm, _HASHES)
    except (InvalidSignature, UnsupportedAlgorithm):
        return False


def _kind(key: object) -> str:
    if isinstance(key, ec.EllipticCurvePublicKey):
        return key.curve.name
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA of {key.key_size} bits"
    return type(key).__name__.removesuffix("PublicKey").lstrip("_")
