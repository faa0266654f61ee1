"""Bringing one's own root or issuer: reading cert-manager's Secret layout, and what it has to fulfil. Pure.

`tls.crt` is the certificate, then what signed it; `tls.key` its key; `ca.crt` the root. A self-signed `tls.crt` is a
root that is given with its key. Otherwise it is an issuer, whose root's key stays where it is: renewing such an issuer,
and every rotation away from it, needs another import.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from kecs.certs import bundle
from kecs.certs.authority import Signer, fits, is_within, permitted_domains
from kecs.certs.outcome import Reason, Refused
from kecs.certs.state import Waiting
from kecs.core.errors import AuthorityError

_BELOW_ISSUER: Final = 1
"""How many CAs stand below an issuer: the intermediate."""
_BELOW_ROOT: Final = 3
"""Below a root, at most: its successor's cross-certificate, that one's issuer, the intermediate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """A root with its key, or an issuer with its key and its root."""

    signer: Signer
    chain: tuple[x509.Certificate, ...] = ()
    """What stands between an issuer and its root."""
    root: x509.Certificate

    @property
    def root_signer(self) -> Signer | None:
        """The root as what signs, if it is the root that is imported."""
        return self.signer if self.signer.certificate == self.root else None

    @property
    def waiting(self) -> Waiting | None:
        """The issuer, if it is an issuer that is imported."""
        return None if self.root_signer else Waiting(issuer=self.signer, chain=self.chain)


def parse_import(fields: Mapping[str, bytes], *, source: str) -> Import | Refused:
    """Read the fields of a Secret; raise AuthorityError when they are no PEM. Whether it can be used is not checked."""
    certificate, *chain = bundle.parse(fields.get("tls.crt", b""), source=f"tls.crt of {source}")
    key = _key(fields.get("tls.key", b""), source)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        return Refused(reasons=(Reason.KEY_NOT_P256,))
    signer = Signer(certificate=certificate, key=key)
    given = bundle.parse(fields["ca.crt"], source=f"ca.crt of {source}") if fields.get("ca.crt", b"").strip() else ()
    if is_self_signed(certificate):
        return Import(signer=signer, root=certificate)
    root = next((candidate for candidate in (*chain, *given) if is_self_signed(candidate)), None)
    if root is None:
        return Refused(reasons=(Reason.NO_ROOT,))
    return Import(signer=signer, chain=tuple(upper for upper in chain if upper != root), root=root)


def check_import(imported: Import, domains: tuple[str, ...], now: datetime) -> Refused | None:
    """Say everything that keeps what was read from being used to sign below `domains`."""
    certificate = imported.signer.certificate
    issuing = () if imported.root_signer else (certificate, *imported.chain)
    every = (*issuing, imported.root)
    missing = tuple(sorted({domain for upper in every for domain in domains if not _permits(upper, domain)}))
    holds = (
        (Reason.KEY_OF_ANOTHER, not fits(certificate, imported.signer.key)),
        (Reason.NO_CA, not all(is_ca(upper) for upper in every)),
        (Reason.PATH_TOO_SHORT, _is_short(issuing, imported.root)),
        (Reason.NO_KEY_IDENTIFIER, not all(_has_identifier(upper) for upper in every)),
        (Reason.CHAIN_BROKEN, not leads(every)),
        (Reason.DOMAINS_MISSING, bool(missing)),
        (Reason.ROOT_NOT_VALID, not is_valid(imported.root, now)),
        (Reason.ISSUER_NOT_VALID, not all(is_valid(upper, now) for upper in issuing)),
    )
    reasons = tuple(reason for reason, held in holds if held)
    return Refused(reasons=reasons, details=missing) if reasons else None


def is_ca(certificate: x509.Certificate) -> bool:
    """Say whether a certificate may sign others."""
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except (x509.ExtensionNotFound, ValueError):
        return False
    return constraints.ca and usage.key_cert_sign


def is_self_signed(certificate: x509.Certificate) -> bool:
    """Say whether a certificate is a root."""
    return leads((certificate, certificate))


def is_valid(certificate: x509.Certificate, now: datetime) -> bool:
    """Say whether a certificate has begun and not ended."""
    return certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc


def leads(path: tuple[x509.Certificate, ...]) -> bool:
    """Say whether each certificate was signed by the next."""
    try:
        for lower, upper in pairwise(path):
            lower.verify_directly_issued_by(upper)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _permits(certificate: x509.Certificate, domain: str) -> bool:
    permitted = permitted_domains(certificate)
    return not permitted or is_within(domain, permitted)


def _is_short(issuing: tuple[x509.Certificate, ...], root: x509.Certificate) -> bool:
    below = [_BELOW_ISSUER + place for place in range(len(issuing))]
    needed = (*below, max(_BELOW_ROOT, _BELOW_ISSUER + len(issuing)))
    lengths = (_path_length(certificate) for certificate in (*issuing, root))
    return any(length is not None and length < need for length, need in zip(lengths, needed, strict=True))


def _path_length(certificate: x509.Certificate) -> int | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length
    except x509.ExtensionNotFound:
        return None


def _has_identifier(certificate: x509.Certificate) -> bool:
    try:
        certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except x509.ExtensionNotFound:
        return False
    return True


def _key(pem: bytes, source: str) -> object:
    try:
        return load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        raise AuthorityError(
            f"tls.key of {source} can't be read: {str(error).partition(' (')[0]}",
            hint="give the key as unencrypted PEM",
        ) from error
