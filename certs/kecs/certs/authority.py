"""Issuing: root → issuer → intermediate → leaf. Pure but for the keys it draws; never reads a clock or a file.

Every certificate is one that strict verifiers take (Python 3.13's VERIFY_X509_STRICT): subjects never empty,
basicConstraints and keyUsage critical, subject and authority key identifiers everywhere. Keys are P-256: BoringSSL as
gRPC ships it and s2n refuse Ed25519 leaves. What each kind of certificate says stands in PROFILES alone.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kecs.core.errors import AuthorityError

ROOT_LIFETIME: Final = timedelta(days=3650)
ISSUER_LIFETIME: Final = timedelta(days=90)
INTERMEDIATE_LIFETIME: Final = timedelta(hours=24)
LEAF_LIFETIME: Final = timedelta(hours=24)
SERVING_LIFETIME: Final = timedelta(days=7)
CLOCK_SKEW: Final = timedelta(minutes=30)
"""How far back every certificate begins. Two machines that are each 10 minutes off are 20 minutes apart, and what one
signs has to hold at once on the other: the authority's intermediate in a sidecar, the sidecar's leaf in a client."""

_COMMON_NAME_LIMIT: Final = 64
_OURS: Final = "KECS "
_MOMENT: Final = "%Y-%m-%dT%H:%M:%SZ"
_EVERY_ADDRESS: Final = (x509.IPAddress(IPv4Network("0.0.0.0/0")), x509.IPAddress(IPv6Network("::/0")))


class Kind(StrEnum):
    """What a certificate is for."""

    ROOT = "root"
    """What clients are told to trust; signs issuers, and its successor's cross-certificate."""
    ISSUER = "issuer"
    """Signs intermediates, and the serving certificates of KECS' own services."""
    CROSS = "cross"
    """A new root's name and key, signed by the old root: leads who trusts the old one alone to the new one's chains."""
    INTERMEDIATE = "intermediate"
    """Signs the leaves of one pod or one run."""
    LEAF = "leaf"
    """Speaks for intercepted names."""
    SERVING = "serving"
    """Speaks for a service of KECS' own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What every certificate of a kind says."""

    extensions: Mapping[type[x509.ExtensionType], bool]
    """Which extensions, in their order, and whether each is critical."""
    ca: bool
    usages: frozenset[str]
    path_length: int | None = None
    excludes_addresses: bool = False
    """Whether it excludes all IP addresses. Once in a chain is all that the JDK survives: on merging it compares the
    IPv4 range with the IPv6 one and runs off its end ("Index 8 out of bounds for length 8", JDK 17, IPAddressName).
    The root does not count, being no part of the chain; so it is the issuer that does, and nothing beside it."""


_CA_EXTENSIONS: Final[Mapping[type[x509.ExtensionType], bool]] = {
    x509.BasicConstraints: True,
    x509.KeyUsage: True,
    x509.NameConstraints: True,  # the JDK ignores a trusted root's, so each certificate below repeats them
    x509.SubjectKeyIdentifier: False,
    x509.AuthorityKeyIdentifier: False,
}
_SERVER_EXTENSIONS: Final[Mapping[type[x509.ExtensionType], bool]] = {
    x509.BasicConstraints: True,
    x509.KeyUsage: True,
    x509.ExtendedKeyUsage: False,
    x509.SubjectAlternativeName: False,
    x509.SubjectKeyIdentifier: False,
    x509.AuthorityKeyIdentifier: False,
}
_SIGNS: Final = frozenset({"key_cert_sign", "crl_sign"})
_SERVES: Final = frozenset({"digital_signature"})

PROFILES: Final[Mapping[Kind, Profile]] = {
    # No path length on a root nor on what stands for one: the cross-certificate of a successor adds a level below.
    Kind.ROOT: Profile(extensions=_CA_EXTENSIONS, ca=True, usages=_SIGNS, excludes_addresses=True),
    Kind.CROSS: Profile(extensions=_CA_EXTENSIONS, ca=True, usages=_SIGNS),
    Kind.ISSUER: Profile(extensions=_CA_EXTENSIONS, ca=True, usages=_SIGNS, path_length=1, excludes_addresses=True),
    Kind.INTERMEDIATE: Profile(extensions=_CA_EXTENSIONS, ca=True, usages=_SIGNS, path_length=0),
    Kind.LEAF: Profile(extensions=_SERVER_EXTENSIONS, ca=False, usages=_SERVES),
    Kind.SERVING: Profile(extensions=_SERVER_EXTENSIONS, ca=False, usages=_SERVES),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """A certificate that may sign, and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    not_before: datetime = field(init=False, compare=False, repr=False)
    """The beginning of the certificate, in UTC. Asking the certificate reads it anew, for each new connection."""
    not_after: datetime = field(init=False, compare=False, repr=False)
    """The end of the certificate, in UTC."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "not_before", self.certificate.not_valid_before_utc)
        object.__setattr__(self, "not_after", self.certificate.not_valid_after_utc)

    def check_valid(self, now: datetime) -> None:
        """Raise AuthorityError when what it signs at `now` would be refused: it has not begun, or has ended."""
        start, end = self.not_before, self.not_after
        if not start <= now < end:
            raise AuthorityError(
                f"{self.certificate.subject.rfc4514_string()} is valid from {start:{_MOMENT}} to {end:{_MOMENT}},"
                f" not at {now.astimezone(UTC):{_MOMENT}}",
                hint="check the clock of this machine; if it is right, let the authority issue a new one",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    """One certificate to be issued."""

    kind: Kind
    subject: x509.Name
    public_key: CertificatePublicKeyTypes
    validity: tuple[datetime, datetime]
    key_identifier: x509.AuthorityKeyIdentifier
    permitted: tuple[str, ...] = ()
    excludes_addresses: bool = False
    names: tuple[x509.GeneralName, ...] = ()


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
    constraints = _constraints(certificate)
    trees = constraints.permitted_subtrees if constraints else None
    return tuple(tree.value for tree in trees or () if isinstance(tree, x509.DNSName))


def issue_root(now: datetime, *, permitted: tuple[str, ...], lifetime: timedelta = ROOT_LIFETIME) -> Signer:
    """Make a self-signed root that can sign names below `permitted` (no leading dot) and no addresses."""
    if not permitted:
        raise AuthorityError(
            "a root without permitted domains could sign for any site", hint="name at least one domain"
        )
    key = new_key()
    start = _seconds(now)
    request = _Request(
        kind=Kind.ROOT,
        subject=_name("root", key.public_key()),
        public_key=key.public_key(),
        validity=(start - CLOCK_SKEW, start + lifetime),
        key_identifier=x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()),
        permitted=permitted,
        excludes_addresses=True,
    )
    return Signer(certificate=_sign(request, request.subject, key), key=key)


def issue_issuer(
    root: Signer, now: datetime, *, lifetime: timedelta = ISSUER_LIFETIME, permitted: tuple[str, ...] = ()
) -> Signer:
    """Make the issuer, which signs intermediates while the root's key rests.

    It permits what the root does; below somebody's own root without constraints, `permitted`.
    """
    key = new_key()
    certificate = _issue_ca(
        Kind.ISSUER,
        root,
        key.public_key(),
        subject=_name("issuer", key.public_key()),
        validity=_validity(root, now, lifetime),
        permitted=permitted_domains(root.certificate) or permitted,
    )
    return Signer(certificate=certificate, key=key)


def issue_cross(old: Signer, new_root: x509.Certificate, now: datetime) -> x509.Certificate:
    """Sign the new root's name and key by the old root, for no longer than both live."""
    start, end = _validity(old, now, new_root.not_valid_after_utc - _seconds(now))
    return _issue_ca(
        Kind.CROSS,
        old,
        new_root.public_key(),
        subject=new_root.subject,
        validity=(start, end),
        permitted=permitted_domains(new_root) or permitted_domains(old.certificate),
    )


def issue_intermediate(
    issuer: Signer,
    public_key: ec.EllipticCurvePublicKey,
    now: datetime,
    *,
    subject: str,
    lifetime: timedelta = INTERMEDIATE_LIFETIME,
    permitted: tuple[str, ...] = (),
) -> x509.Certificate:
    """Sign an intermediate of one pod or one run, which can sign leaves only. `subject` says whose it is.

    It can sign below `permitted`, or all that the issuer may. Its common name is "KECS " and the subject: the JDK takes
    a CA's common name that could be a host name for one, and refuses the chain when the constraints above don't permit
    it. A space can't be in a host name.
    """
    limit = _COMMON_NAME_LIMIT - len(_OURS)
    if not 0 < len(subject.encode()) <= limit:
        raise AuthorityError(
            f"an intermediate's subject has 1 to {limit} bytes, {subject!r} has {len(subject.encode())}",
            hint="shorten it",
        )
    return _issue_ca(
        Kind.INTERMEDIATE,
        issuer,
        public_key,
        subject=_distinguished(_OURS + subject),
        validity=_validity(issuer, now, lifetime),
        permitted=permitted or permitted_domains(issuer.certificate),
    )


def issue_leaf(
    signer: Signer,
    public_key: ec.EllipticCurvePublicKey,
    names: tuple[x509.GeneralName, ...],
    now: datetime,
    *,
    lifetime: timedelta = LEAF_LIFETIME,
) -> x509.Certificate:
    """Sign a server's certificate for `names`, whether or not the signer's constraints permit them."""
    return _issue_server(Kind.LEAF, signer, public_key, names, _validity(signer, now, lifetime))


def issue_serving(
    issuer: Signer,
    public_key: ec.EllipticCurvePublicKey,
    names: tuple[str, ...],
    now: datetime,
    *,
    lifetime: timedelta = SERVING_LIFETIME,
) -> x509.Certificate:
    """Sign the certificate of a service of KECS' own, such as `kecs-certs.kecs-system.svc`."""
    permitted = permitted_domains(issuer.certificate)
    outside = [name for name in names if permitted and not is_within(name, permitted)]
    if outside or not names:
        raise AuthorityError(
            f"the issuer may not sign for {', '.join(outside) or 'no name at all'}",
            hint=f"it signs names below {', '.join(permitted)}; another namespace needs a root that permits it: rotate",
        )
    general = tuple(x509.DNSName(name) for name in names)
    return _issue_server(Kind.SERVING, issuer, public_key, general, _validity(issuer, now, lifetime))


def is_within(name: str, domains: tuple[str, ...]) -> bool:
    """Say whether a host name is one of the domains or below one, by label."""
    return any(name == domain or name.endswith("." + domain) for domain in domains)


def _issue_server(
    kind: Kind,
    signer: Signer,
    public_key: ec.EllipticCurvePublicKey,
    names: tuple[x509.GeneralName, ...],
    validity: tuple[datetime, datetime],
) -> x509.Certificate:
    first = str(names[0].value)
    request = _Request(
        kind=kind,
        subject=_distinguished(first if len(first) <= _COMMON_NAME_LIMIT else f"{_OURS}{kind}"),
        public_key=public_key,
        validity=validity,
        key_identifier=_key_identifier(signer),
        names=names,
    )
    return _sign(request, signer.certificate.subject, signer.key)


def _issue_ca(
    kind: Kind,
    signer: Signer,
    public_key: CertificatePublicKeyTypes,
    *,
    subject: x509.Name,
    validity: tuple[datetime, datetime],
    permitted: tuple[str, ...],
) -> x509.Certificate:
    # An imported issuer may exclude no addresses; then the intermediate is the one of its chain that does.
    bare = kind is Kind.INTERMEDIATE and not _excludes_addresses(signer.certificate)
    request = _Request(
        kind=kind,
        subject=subject,
        public_key=public_key,
        validity=validity,
        key_identifier=_key_identifier(signer),
        permitted=permitted,
        excludes_addresses=PROFILES[kind].excludes_addresses or bare,
    )
    return _sign(request, signer.certificate.subject, signer.key)


def _sign(request: _Request, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    builder = x509.CertificateBuilder(
        issuer_name=issuer,
        subject_name=request.subject,
        public_key=request.public_key,
        serial_number=x509.random_serial_number(),
        not_valid_before=request.validity[0],
        not_valid_after=request.validity[1],
    )
    for extension, critical in PROFILES[request.kind].extensions.items():
        builder = builder.add_extension(_MAKERS[extension](request), critical=critical)
    return builder.sign(key, hashes.SHA256())


def _basic(request: _Request) -> x509.BasicConstraints:
    profile = PROFILES[request.kind]
    return x509.BasicConstraints(ca=profile.ca, path_length=profile.path_length)


def _usage(request: _Request) -> x509.KeyUsage:
    usages = PROFILES[request.kind].usages
    return x509.KeyUsage(
        digital_signature="digital_signature" in usages,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign="key_cert_sign" in usages,
        crl_sign="crl_sign" in usages,
        encipher_only=False,
        decipher_only=False,
    )


def _name_constraints(request: _Request) -> x509.NameConstraints:
    return x509.NameConstraints(
        permitted_subtrees=[x509.DNSName(domain) for domain in request.permitted] or None,
        excluded_subtrees=_EVERY_ADDRESS if request.excludes_addresses else None,
    )


_MAKERS: Final[Mapping[type[x509.ExtensionType], Callable[[_Request], x509.ExtensionType]]] = {
    x509.BasicConstraints: _basic,
    x509.KeyUsage: _usage,
    x509.NameConstraints: _name_constraints,
    x509.ExtendedKeyUsage: lambda _: x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]),
    x509.SubjectAlternativeName: lambda request: x509.SubjectAlternativeName(request.names),
    x509.SubjectKeyIdentifier: lambda request: x509.SubjectKeyIdentifier.from_public_key(request.public_key),
    x509.AuthorityKeyIdentifier: lambda request: request.key_identifier,
}


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


def _constraints(certificate: x509.Certificate) -> x509.NameConstraints | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.NameConstraints).value
    except x509.ExtensionNotFound:
        return None


def _excludes_addresses(certificate: x509.Certificate) -> bool:
    constraints = _constraints(certificate)
    trees = constraints.excluded_subtrees if constraints else None
    return all(address in (trees or ()) for address in _EVERY_ADDRESS)


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
