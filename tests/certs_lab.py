"""A foreign judge of certificates: `openssl verify`; and a cross-certificate, which nothing of ours issues yet."""

import os
import subprocess
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from kecs.certs.authority import Signer, permitted_domains

PERMITTED = ("amazonaws.com", "api.aws")
CLEAN = {"PATH": os.environ["PATH"]}
"""No variable that says whom to trust."""
OPTIONS = (
    *("-x509_strict", "-no-CApath", "-no-CAstore", "-purpose", "sslserver"),
    *("-CAfile", "verify-root.pem", "-untrusted", "verify-chain.pem"),
)


def cross_certificate(new: x509.Certificate, old: Signer) -> x509.Certificate:
    """Sign a successor's name and key by the old root; addresses are excluded by the issuer below it."""
    builder = x509.CertificateBuilder(
        issuer_name=old.certificate.subject,
        subject_name=new.subject,
        public_key=new.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=new.not_valid_before_utc,
        not_valid_after=old.not_after,
    )
    domains = [x509.DNSName(domain) for domain in permitted_domains(new)]
    parts: tuple[tuple[x509.ExtensionType, bool], ...] = (
        (x509.BasicConstraints(ca=True, path_length=None), True),
        (new.extensions.get_extension_for_class(x509.KeyUsage).value, True),
        (x509.NameConstraints(permitted_subtrees=domains, excluded_subtrees=None), True),
        (new.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value, False),
        (old.certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value, False),
    )
    for extension, critical in parts:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(old.key, hashes.SHA256())


class OpenSsl:
    """`openssl verify`, trusting one root and nothing of this machine."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def verify(self, *, root: bytes, chain: bytes, at: datetime | None = None) -> str:
        """Return "" for a chain that is accepted, otherwise what openssl says."""
        (self.directory / "verify-root.pem").write_bytes(root)
        (self.directory / "verify-chain.pem").write_bytes(chain)
        moment = ["-attime", str(int(at.timestamp()))] if at else []
        done = subprocess.run(
            ["openssl", "verify", *OPTIONS, *moment, "verify-chain.pem"],
            cwd=self.directory,
            capture_output=True,
            text=True,
            env=CLEAN,
            timeout=30,
            check=False,
        )
        return "" if done.returncode == 0 else done.stderr
