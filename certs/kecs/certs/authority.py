"""Issuing: root → issuer → intermediate → leaf. Pure but for the keys it draws; never reads a clock or a file.

Every certificate is one that strict verifiers take (Python 3.13's VERIFY_X509_STRICT): subjects never empty,
basicConstraints and keyUsage critical, subject and authority key identifiers everywhere. Keys are P-256: BoringSSL as
gRPC ships it and s2n refuse Ed25519 leaves.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network, IPv6Network
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kecs.core.errors import AuthorityError

ROOT_LIFETIME: Final = timedelta(days=3650)
ISSUER_LIFETIME: Final = timedelta(days=90)
INTERMEDIATE_LIFETIME: Final = timedelta(hours=24)
LEAF_LIFETIME: Final = timedelta(hours=24)
CLOCK_SKEW: Final = timedelta(minutes=5)
"""How far back every certificate begins: a client's clock may be behind ours."""

_COMMON_NAME_LIMIT: Final = 64
_OURS: Final = "KECS "
_MOMENT: Final = "%Y-%m-%dT%H:%M:%SZ"
_EVERY_ADDRESS: Final = (x509.IPAddress(IPv4Network("0.0.0.0/0")), x509.IPAddress(IPv6Network("::/0")))


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """A certificate that may sign, and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def not_after(self) -> datetime:
        """The end of the certificate, in UTC."""
        return self.certificate.not_valid_after_utc

    def check_valid(self, now: datetime) -> None:
        """Raise AuthorityError when what it signs at `now` would be refused: it has not begun, or has ended."""
        start, end = self.certificate.not_valid_before_utc, self.not_after
        if not start <= now < end:
            raise AuthorityError(
                f"{self.certificate.subject.rfc4514_string()} is valid from {start:{_MOMENT}} to {end:{_MOMENT}},"
                f" not at {now.astimezone(UTC):{_MOMENT}}",
                hint="check the clock of this machine; if it is right, let the authority issue a new one",
            )


def new_key() -> ec.EllipticCurvePrivateKey:
    """Draw a P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Spell a private key as unencrypted PKCS #8."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def certificate_pem(*certificates: x509.Certificate) -> bytes:
    """Spell certificates one after the other."""
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)


def fits(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> bool:
    """Say whether the key is the certificate's."""
    return certificate.public_key() == key.public_key()


def permitted_domains(certificate: x509.Certificate) -> tuple[str, ...]:
    """List the domains below which the certificate may sign names; empty when it is not constrained."""
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.NameConstraints).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(tree.value for tree in constraints.permitted_subtrees or () if isinstance(tree, x509.DNSName))


def issue_root(now: datetime, *, permitted: tuple[str, ...], lifetime: timedelta = ROOT_LIFETIME) -> Signer:
    """Make a self-signed root that can sign names below `permitted` (no leading dot) and no addresses.

    It has no path length: a cross-certificate of its successor adds a level below it.
    """
    if not permitted:
        raise AuthorityError(
            "a root without permitted domains could sign for any site", hint="name at least one domain"
        )
    key = new_key()
    subject = _name("root", key.public_key())
    constraints = x509.NameConstraints(
        permitted_subtrees=[x509.DNSName(domain) for domain in permitted], excluded_subtrees=_EVERY_ADDRESS
    )
    start = _seconds(now)
    builder = _builder(subject, subject, key.public_key(), (start - CLOCK_SKEW, start + lifetime))
    builder = _ca(builder, key.public_key(), path_length=None, constraints=constraints)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
    builder = builder.add_extension(identifier, critical=False)
    return Signer(certificate=builder.sign(key, hashes.SHA256()), key=key)


def issue_issuer(root: Signer, now: datetime, *, lifetime: timedelta = ISSUER_LIFETIME) -> Signer:
    """Make the issuer, which signs intermediates while the root's key rests."""
    key = new_key()
    subject, validity = _name("issuer", key.public_key()), _validity(root, now, lifetime)
    certificate = _issue_ca(root, key.public_key(), subject, validity, path_length=1, excluded=_EVERY_ADDRESS)
    return Signer(certificate=certificate, key=key)


def issue_intermediate(
    issuer: Signer,
    public_key: ec.EllipticCurvePublicKey,
    now: datetime,
    *,
    subject: str,
    lifetime: timedelta = INTERMEDIATE_LIFETIME,
) -> x509.Certificate:
    """Sign an intermediate of one pod or one run, which can sign leaves only. `subject` says whose it is.

    Its common name is "KECS " and that: the JDK takes a CA's common name that could be a host name for one, and refuses
    the chain when the constraints above don't permit it. A space can't be in a host name.
    """
    limit = _COMMON_NAME_LIMIT - len(_OURS)
    if not 0 < len(subject) <= limit:
        raise AuthorityError(
            f"an intermediate's subject has 1 to {limit} characters, {subject!r} has {len(subject)}",
            hint="shorten it",
        )
    # Addresses stay excluded by the issuer. Saying so twice in one chain breaks the JDK, which on merging compares the
    # IPv4 range with the IPv6 one and runs off its end ("Index 8 out of bounds for length 8", JDK 17, IPAddressName).
    # The same holds for a cross-certificate, which stands above the issuer in the chain.
    validity = _validity(issuer, now, lifetime)
    return _issue_ca(issuer, public_key, _distinguished(_OURS + subject), validity, path_length=0, excluded=None)


def issue_leaf(
    signer: Signer,
    public_key: ec.EllipticCurvePublicKey,
    names: tuple[x509.GeneralName, ...],
    now: datetime,
    *,
    lifetime: timedelta = LEAF_LIFETIME,
) -> x509.Certificate:
    """Sign a server's certificate for `names`, whether or not the signer's constraints permit them."""
    first = str(names[0].value)
    subject = _distinguished(first if len(first) <= _COMMON_NAME_LIMIT else f"{_OURS}leaf")
    builder = _builder(subject, signer.certificate.subject, public_key, _validity(signer, now, lifetime))
    builder = (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(_key_identifier(signer), critical=False)
    )
    return builder.sign(signer.key, hashes.SHA256())


def _issue_ca(
    signer: Signer,
    public_key: ec.EllipticCurvePublicKey,
    subject: x509.Name,
    validity: tuple[datetime, datetime],
    *,
    path_length: int,
    excluded: tuple[x509.IPAddress, x509.IPAddress] | None,
) -> x509.Certificate:
    # The JDK ignores the constraints of a root that it trusts, so each certificate below repeats the domains.
    constraints = x509.NameConstraints(
        permitted_subtrees=[x509.DNSName(domain) for domain in permitted_domains(signer.certificate)],
        excluded_subtrees=excluded,
    )
    builder = _builder(subject, signer.certificate.subject, public_key, validity)
    builder = _ca(builder, public_key, path_length=path_length, constraints=constraints)
    builder = builder.add_extension(_key_identifier(signer), critical=False)
    return builder.sign(signer.key, hashes.SHA256())


def _validity(signer: Signer, now: datetime, lifetime: timedelta) -> tuple[datetime, datetime]:
    """Begin a little ago and end no later than the signer, so that no client meets a chain that is half expired."""
    start = _seconds(now)
    certificate = signer.certificate
    signer.check_valid(start)
    return (
        max(start - CLOCK_SKEW, certificate.not_valid_before_utc),
        min(start + lifetime, certificate.not_valid_after_utc),
    )


def _seconds(now: datetime) -> datetime:
    """Cut to what a certificate can say: UTC in whole seconds."""
    return now.astimezone(UTC).replace(microsecond=0)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    validity: tuple[datetime, datetime],
) -> x509.CertificateBuilder:
    return x509.CertificateBuilder(
        issuer_name=issuer,
        subject_name=subject,
        public_key=public_key,
        serial_number=x509.random_serial_number(),
        not_valid_before=validity[0],
        not_valid_after=validity[1],
    )


def _ca(
    builder: x509.CertificateBuilder,
    public_key: ec.EllipticCurvePublicKey,
    *,
    path_length: int | None,
    constraints: x509.NameConstraints,
) -> x509.CertificateBuilder:
    return (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(constraints, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _key_identifier(signer: Signer) -> x509.AuthorityKeyIdentifier:
    identifier = signer.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def _name(kind: str, public_key: ec.EllipticCurvePublicKey) -> x509.Name:
    """Tell generations apart by name too: OpenSSL looks a root up by its subject first."""
    return _distinguished(f"{_OURS}{kind} {x509.SubjectKeyIdentifier.from_public_key(public_key).digest.hex()[:8]}")


def _distinguished(common_name: str) -> x509.Name:
    return x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "KECS"), x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    )


def _usage(*, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )
