"""The bundle in the forms that programs want it in, and the certificates alone: never a key. Pure."""

from collections.abc import Sequence
from enum import StrEnum

from cryptography import x509
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, pkcs12

from kecs.certs.authority import certificate_pem
from kecs.certs.bundle import fingerprint
from kecs.init_container.bundle import truststore_jks

PASSWORD = "changeit"  # noqa: S105 - the JDK's default, and no secret: what it protects is public


class Form(StrEnum):
    """A file format."""

    PEM = "pem"
    """Certificates as text, which nearly everything reads."""
    JKS = "jks"
    """A Java trust store that every JDK from 8 on reads."""
    PKCS12 = "pkcs12"
    """A trust store that the JDK, .NET and Windows read."""


def spelled(bundle: Sequence[x509.Certificate], form: Form, password: str = PASSWORD) -> bytes:
    """Write a bundle."""
    match form:
        case Form.PEM:
            return certificate_pem(*bundle)
        case Form.JKS:
            return truststore_jks((root.public_bytes(Encoding.DER) for root in bundle), password=password)
        case Form.PKCS12:
            entries = [pkcs12.PKCS12Certificate(root, f"kecs-{fingerprint(root)[:8]}".encode()) for root in bundle]
            return pkcs12.serialize_java_truststore(entries, BestAvailableEncryption(password.encode()))
