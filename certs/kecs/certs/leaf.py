"""An intermediate at work: minting leaves for the names that clients ask for. No files, no clock."""

from dataclasses import dataclass
from datetime import datetime
from typing import Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from kecs.certs.authority import Signer, certificate_pem, fits, issue_leaf, key_pem, new_key, permitted_domains
from kecs.core.errors import AuthorityError

_FRESH = "have the authority issue a new intermediate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Intermediate:
    """The certificate and key of one run or one pod, and the certificates between it and the root."""

    signer: Signer
    above: tuple[x509.Certificate, ...]
    """The issuer, then, during a rotation, the new root signed by the old one. Never a self-signed root."""

    @property
    def not_after(self) -> datetime:
        """The end of everything this intermediate can sign, in UTC."""
        return self.signer.not_after

    @property
    def permitted(self) -> tuple[str, ...]:
        """The domains below which leaves can be minted."""
        return permitted_domains(self.signer.certificate)

    def mint(self, names: tuple[str, ...], now: datetime) -> tuple[bytes, bytes, datetime]:
        """Sign a leaf of a new key: (chain from the leaf to the issuer, key, end in UTC), both PEM.

        `names` are host names in lower case; a wildcard covers exactly one label. Drawing a key takes a tenth of the
        time of signing, so leaves don't share one: a key that leaks speaks for its own names only.
        """
        self._check(names)
        key = new_key()
        leaf = issue_leaf(self.signer, key.public_key(), tuple(x509.DNSName(name) for name in names), now)
        # A cross-certificate may have ended since the intermediate was issued; it leads nobody anywhere then.
        above = (upper for upper in self.above if now < upper.not_valid_after_utc)
        chain = certificate_pem(leaf, self.signer.certificate, *above)
        return chain, key_pem(key), leaf.not_valid_after_utc

    def _check(self, names: tuple[str, ...]) -> None:
        """Refuse what every client would refuse: a name that the chain's constraints exclude."""
        if not names:
            raise AuthorityError("a leaf without names is of no use", hint="name at least one host")
        for name in names:
            within = any(name == domain or name.endswith("." + domain) for domain in self.permitted)
            if not within or not name.isascii():
                raise AuthorityError(
                    f"{name!r} is outside of what this authority may sign",
                    hint=f"it signs names below {', '.join(self.permitted)}",
                )

    def to_pem(self) -> tuple[bytes, bytes]:
        """Spell it as (chain from the intermediate to the issuer, key)."""
        return certificate_pem(self.signer.certificate, *self.above), key_pem(self.signer.key)

    @classmethod
    def from_pem(cls, chain_pem: bytes, key_pem: bytes, *, now: datetime | None = None) -> Self:
        """Read what `to_pem` wrote; raise AuthorityError when it can't sign leaves that clients accept.

        Its validity is checked for those who give the time; without it, `mint` refuses what has expired.
        """
        try:
            certificate, *above = x509.load_pem_x509_certificates(chain_pem)
            key = load_pem_private_key(key_pem, password=None)
        except (ValueError, TypeError) as error:
            raise AuthorityError(f"the intermediate can't be read: {error}", hint=_FRESH) from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
            kind = key.curve.name if isinstance(key, ec.EllipticCurvePrivateKey) else type(key).__name__
            raise AuthorityError(f"the intermediate's key is a {kind}, not P-256", hint=_FRESH)
        signer = Signer(certificate=certificate, key=key)
        subject = certificate.subject.rfc4514_string()
        if not fits(certificate, key):
            raise AuthorityError(f"the key is not that of {subject}", hint=_FRESH)
        if not _is_ca(certificate):
            raise AuthorityError(f"{subject} is no CA: it can't sign leaves", hint=_FRESH)
        if now is not None:
            signer.check_valid(now)
        _check_order(certificate, above)
        return cls(signer=signer, above=tuple(above))


def _is_ca(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        return False


def _check_order(certificate: x509.Certificate, above: list[x509.Certificate]) -> None:
    lower = certificate
    for upper in above:
        try:
            lower.verify_directly_issued_by(upper)
        except (ValueError, TypeError, InvalidSignature) as error:
            raise AuthorityError(
                f"{lower.subject.rfc4514_string()} was not signed by {upper.subject.rfc4514_string()},"
                " which follows it in the chain",
                hint=_FRESH,
            ) from error
        lower = upper
