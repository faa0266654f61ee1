"""What every certificate says, extension by extension, and who takes it."""

from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest
from certs_lab import PERMITTED, OpenSsl
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from kecs.certs.authority import (
    CLOCK_SKEW,
    INTERMEDIATE_LIFETIME,
    ISSUER_LIFETIME,
    LEAF_LIFETIME,
    PROFILES,
    ROOT_LIFETIME,
    SERVING_LIFETIME,
    Kind,
    Signer,
    certificate_pem,
    fits,
    issue_cross,
    issue_intermediate,
    issue_issuer,
    issue_leaf,
    issue_root,
    issue_serving,
    key_pem,
    new_key,
    permitted_domains,
)
from kecs.certs.state import Authority
from kecs.core.errors import AuthorityError

EVERY_ADDRESS = [x509.IPAddress(IPv4Network("0.0.0.0/0")), x509.IPAddress(IPv6Network("::/0"))]
CA_EXTENSIONS = {
    ExtensionOID.BASIC_CONSTRAINTS: True,
    ExtensionOID.KEY_USAGE: True,
    ExtensionOID.NAME_CONSTRAINTS: True,
    ExtensionOID.SUBJECT_KEY_IDENTIFIER: False,
    ExtensionOID.AUTHORITY_KEY_IDENTIFIER: False,
}
LEAF_EXTENSIONS = {
    ExtensionOID.BASIC_CONSTRAINTS: True,
    ExtensionOID.KEY_USAGE: True,
    ExtensionOID.EXTENDED_KEY_USAGE: False,
    ExtensionOID.SUBJECT_ALTERNATIVE_NAME: False,
    ExtensionOID.SUBJECT_KEY_IDENTIFIER: False,
    ExtensionOID.AUTHORITY_KEY_IDENTIFIER: False,
}
USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
)


def usages(certificate: x509.Certificate) -> set[str]:
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    return {name for name in USAGES if getattr(usage, name)}


def assert_sound(
    certificate: x509.Certificate, extensions: dict[x509.ObjectIdentifier, bool], issuer: x509.Certificate
) -> None:
    """State what holds for every certificate: each extension, its criticality, identifiers, subject, key, serial."""
    assert {extension.oid: extension.critical for extension in certificate.extensions} == extensions
    assert certificate.version is x509.Version.v3
    key = certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp256r1"
    assert certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)[0].value == "KECS"
    assert certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    assert certificate.serial_number.bit_length() > 64
    own = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    assert own == x509.SubjectKeyIdentifier.from_public_key(key)
    above = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    wanted = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    assert above.key_identifier == wanted.digest
    assert (above.authority_cert_issuer, above.authority_cert_serial_number) == (None, None)
    certificate.verify_directly_issued_by(issuer)


def assert_is_ca(certificate: x509.Certificate, issuer: x509.Certificate, path_length: int | None) -> None:
    assert_sound(certificate, CA_EXTENSIONS, issuer)
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert (constraints.ca, constraints.path_length) == (True, path_length)
    assert usages(certificate) == {"key_cert_sign", "crl_sign"}
    names = certificate.extensions.get_extension_for_class(x509.NameConstraints).value
    assert names.permitted_subtrees == [x509.DNSName(domain) for domain in PERMITTED]


def excluded(certificate: x509.Certificate) -> object:
    return certificate.extensions.get_extension_for_class(x509.NameConstraints).value.excluded_subtrees


def assert_is_root(certificate: x509.Certificate) -> None:
    assert_is_ca(certificate, certificate, None)
    assert certificate.subject == certificate.issuer
    assert excluded(certificate) == EVERY_ADDRESS


def assert_is_cross(certificate: x509.Certificate, new: x509.Certificate, old: x509.Certificate) -> None:
    assert_is_ca(certificate, old, None)
    assert (certificate.subject, certificate.public_key()) == (new.subject, new.public_key())
    assert excluded(certificate) is None  # twice in one chain is more than the JDK takes


def assert_is_issuer(certificate: x509.Certificate, root: x509.Certificate) -> None:
    assert_is_ca(certificate, root, 1)
    assert excluded(certificate) == EVERY_ADDRESS


def assert_is_intermediate(certificate: x509.Certificate, issuer: x509.Certificate) -> None:
    assert_is_ca(certificate, issuer, 0)
    assert excluded(certificate) is None  # the issuer says it


def assert_is_leaf(certificate: x509.Certificate, intermediate: x509.Certificate, names: list[str]) -> None:
    assert_sound(certificate, LEAF_EXTENSIONS, intermediate)
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert (constraints.ca, constraints.path_length) == (False, None)
    assert usages(certificate) == {"digital_signature"}
    purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(purposes) == [ExtendedKeyUsageOID.SERVER_AUTH]
    alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(alternatives) == [x509.DNSName(name) for name in names]


def intermediate(issuer: Signer, now: datetime, subject: str = "KECS test") -> Signer:
    key = new_key()
    return Signer(certificate=issue_intermediate(issuer, key.public_key(), now, subject=subject), key=key)


def leaf(signer: Signer, now: datetime, *names: x509.GeneralName) -> x509.Certificate:
    return issue_leaf(signer, new_key().public_key(), names or (x509.DNSName("s3.amazonaws.com"),), now)


def validity(certificate: x509.Certificate) -> tuple[datetime, datetime]:
    return certificate.not_valid_before_utc, certificate.not_valid_after_utc


def test_each_certificate_says_what_its_place_asks(root: Signer, issuer: Signer, now: datetime) -> None:
    between = intermediate(issuer, now)
    assert_is_root(root.certificate)
    assert_is_issuer(issuer.certificate, root.certificate)
    assert_is_intermediate(between.certificate, issuer.certificate)
    assert_is_leaf(leaf(between, now), between.certificate, ["s3.amazonaws.com"])
    assert permitted_domains(between.certificate) == PERMITTED


def test_the_table_of_profiles() -> None:
    """Which extensions each kind has, and which are critical, is written here a second time, to be read as a whole."""
    said = {
        kind: {extension.oid: critical for extension, critical in profile.extensions.items()}
        for kind, profile in PROFILES.items()
    }
    assert said == {
        Kind.ROOT: CA_EXTENSIONS,
        Kind.CROSS: CA_EXTENSIONS,
        Kind.ISSUER: CA_EXTENSIONS,
        Kind.INTERMEDIATE: CA_EXTENSIONS,
        Kind.LEAF: LEAF_EXTENSIONS,
        Kind.SERVING: LEAF_EXTENSIONS,
    }
    assert {kind: (profile.ca, profile.path_length) for kind, profile in PROFILES.items()} == {
        Kind.ROOT: (True, None),
        Kind.CROSS: (True, None),
        Kind.ISSUER: (True, 1),
        Kind.INTERMEDIATE: (True, 0),
        Kind.LEAF: (False, None),
        Kind.SERVING: (False, None),
    }


def test_a_cross_certificate_is_the_new_root_signed_by_the_old_one(now: datetime) -> None:
    old, new = (issue_root(now, permitted=PERMITTED) for _ in range(2))
    cross = issue_cross(old, new.certificate, now)
    assert_is_cross(cross, new.certificate, old.certificate)


@pytest.mark.parametrize(
    ("old_days", "new_days", "days"),
    [pytest.param(10, 20, 10, id="the old root's end"), pytest.param(20, 10, 10, id="the new root's end")],
)
def test_a_cross_certificate_ends_with_the_first_of_its_roots(
    now: datetime, old_days: int, new_days: int, days: int
) -> None:
    old, new = (issue_root(now, permitted=PERMITTED, lifetime=timedelta(days=days)) for days in (old_days, new_days))
    assert validity(issue_cross(old, new.certificate, now)) == (now - CLOCK_SKEW, now + timedelta(days=days))


def test_a_root_that_has_ended_signs_no_successor(now: datetime) -> None:
    old = issue_root(now, permitted=PERMITTED, lifetime=timedelta(days=1))
    with pytest.raises(AuthorityError, match="is valid from"):
        issue_cross(old, issue_root(now, permitted=PERMITTED).certificate, now + timedelta(days=1))


def test_the_issuer_signs_for_services_of_our_own(now: datetime, openssl: OpenSsl) -> None:
    """Its intermediates don't: they carry the domains of AWS alone."""
    services = (*PERMITTED, "kecs-system.svc", "kecs-system.svc.cluster.local")
    names = ("kecs-certs.kecs-system.svc", "kecs-certs.kecs-system.svc.cluster.local")
    root = issue_root(now, permitted=services)
    issuer, key = issue_issuer(root, now), new_key()
    serving = issue_serving(issuer, key.public_key(), names, now)
    assert_is_leaf(serving, issuer.certificate, list(names))
    assert validity(serving) == (now - CLOCK_SKEW, now + SERVING_LIFETIME)
    chain = certificate_pem(serving, issuer.certificate)
    assert openssl.verify(root=certificate_pem(root.certificate), chain=chain) == ""
    between = issue_intermediate(issuer, key.public_key(), now, subject="pod", permitted=PERMITTED)
    assert permitted_domains(between) == PERMITTED
    assert permitted_domains(issuer.certificate) == services
    forged = leaf(Signer(certificate=between, key=key), now, x509.DNSName(names[0]))
    chain = certificate_pem(forged, between, issuer.certificate)
    assert "permitted subtree" in openssl.verify(root=certificate_pem(root.certificate), chain=chain)


@pytest.mark.parametrize("names", [(), ("kecs-certs.other.svc",), ("evilkecs-system.svc",), ("s3.amazonaws.com", "x")])
def test_no_serving_certificate_that_every_client_would_refuse(now: datetime, names: tuple[str, ...]) -> None:
    issuer = issue_issuer(issue_root(now, permitted=(*PERMITTED, "kecs-system.svc")), now)
    with pytest.raises(AuthorityError, match="may not sign for") as raised:
        issue_serving(issuer, new_key().public_key(), names, now)
    assert "kecs-system.svc" in raised.value.hint


def test_each_begins_a_little_ago_and_lives_as_long_as_its_place_asks(
    root: Signer, issuer: Signer, now: datetime
) -> None:
    start = now - CLOCK_SKEW
    between = intermediate(issuer, now)
    assert timedelta(minutes=30) == CLOCK_SKEW
    assert validity(root.certificate) == (start, now + ROOT_LIFETIME)
    assert validity(issuer.certificate) == (start, now + ISSUER_LIFETIME)
    assert validity(between.certificate) == (start, now + INTERMEDIATE_LIFETIME)
    assert validity(leaf(between, now)) == (start, now + LEAF_LIFETIME)
    assert timedelta(hours=24) == INTERMEDIATE_LIFETIME


def test_nothing_outlives_or_predates_what_signed_it(root: Signer, issuer: Signer, now: datetime) -> None:
    late = root.not_after - timedelta(hours=1)
    last = issue_issuer(root, late)
    assert validity(last.certificate) == (late - CLOCK_SKEW, root.not_after)
    between = intermediate(last, late)
    assert between.not_after == root.not_after
    assert validity(leaf(between, late))[1] == root.not_after
    early = now - timedelta(minutes=29)
    assert validity(intermediate(issuer, early).certificate)[0] == now - CLOCK_SKEW


@pytest.mark.parametrize(
    "offset",
    [
        pytest.param(-CLOCK_SKEW, id="at its begin"),
        pytest.param(ISSUER_LIFETIME - timedelta(seconds=1), id="a second before its end"),
    ],
)
def test_an_issuer_signs_within_its_own_validity(issuer: Signer, now: datetime, offset: timedelta) -> None:
    assert intermediate(issuer, now + offset).not_after <= issuer.not_after


@pytest.mark.parametrize(
    "offset",
    [
        pytest.param(-CLOCK_SKEW - timedelta(seconds=1), id="a second before its begin"),
        pytest.param(ISSUER_LIFETIME, id="at its end"),
    ],
)
def test_an_issuer_signs_nothing_outside_of_it(issuer: Signer, now: datetime, offset: timedelta) -> None:
    with pytest.raises(AuthorityError, match=r"KECS issuer .* is valid from") as raised:
        intermediate(issuer, now + offset)
    assert "clock" in raised.value.hint


def test_microseconds_and_other_zones_come_out_as_utc(root: Signer) -> None:
    moment = datetime.fromisoformat("2031-05-05T14:00:00.999999+02:00")
    assert issue_issuer(root, moment).not_after == datetime(2031, 5, 5, 12, tzinfo=UTC) + ISSUER_LIFETIME


@pytest.mark.parametrize("subject", ["", "x" * 60, "é" * 30])
def test_an_intermediate_has_a_subject_that_x509_can_hold(issuer: Signer, now: datetime, subject: str) -> None:
    with pytest.raises(AuthorityError, match="1 to 59 bytes"):
        issue_intermediate(issuer, new_key().public_key(), now, subject=subject)


@pytest.mark.parametrize("subject", ["pod-7f9c", "web.default.svc", "10.0.0.1", "x" * 59])
def test_no_ca_has_a_name_that_could_be_a_host(issuer: Signer, root: Signer, now: datetime, subject: str) -> None:
    """The JDK holds a CA's common name against the constraints when it could be a host name."""
    between = intermediate(issuer, now, subject)
    signers = (root, issuer, between)
    assert all(" " in signer.certificate.subject.rfc4514_string().partition(",")[0] for signer in signers)
    assert between.certificate.subject.rfc4514_string() == f"CN=KECS {subject},O=KECS"


def test_a_root_without_constraints_is_refused(now: datetime) -> None:
    with pytest.raises(AuthorityError, match="could sign for any site"):
        issue_root(now, permitted=())


def test_generations_differ_by_name_key_and_serial(now: datetime) -> None:
    first, second = (issue_root(now, permitted=PERMITTED).certificate for _ in range(2))
    assert first.subject != second.subject
    assert first.serial_number != second.serial_number


def test_a_long_first_name_leaves_the_subject_filled(issuer: Signer, now: datetime) -> None:
    between = intermediate(issuer, now)
    name = f"{'a' * 63}.s3.eu-west-1.amazonaws.com"
    certificate = leaf(between, now, x509.DNSName(name))
    assert_is_leaf(certificate, between.certificate, [name])


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        pytest.param([x509.DNSName("s3.amazonaws.com")], "", id="a name below a permitted domain"),
        pytest.param([x509.DNSName("*.s3.amazonaws.com")], "", id="a wildcard below it"),
        pytest.param([x509.DNSName("amazonaws.com")], "", id="the domain itself"),
        pytest.param([x509.DNSName("evil.example")], "permitted subtree violation", id="a foreign name"),
        pytest.param([x509.DNSName("evilamazonaws.com")], "permitted subtree violation", id="a look-alike"),
        pytest.param(
            [x509.DNSName("s3.amazonaws.com"), x509.DNSName("evil.example")],
            "permitted subtree violation",
            id="a foreign name beside a permitted one",
        ),
        pytest.param(
            [x509.DNSName("s3.amazonaws.com"), x509.IPAddress(IPv4Address("10.0.0.1"))],
            "excluded subtree violation",
            id="an IPv4 address",
        ),
        pytest.param(
            [x509.DNSName("s3.amazonaws.com"), x509.IPAddress(IPv6Address("fd00::1"))],
            "excluded subtree violation",
            id="an IPv6 address",
        ),
    ],
)
def test_openssl_takes_what_is_permitted_and_nothing_else(
    authority: Authority, now: datetime, openssl: OpenSsl, names: list[x509.GeneralName], complaint: str
) -> None:
    between = intermediate(authority.issuer, now)
    chain = certificate_pem(leaf(between, now, *names), between.certificate, authority.issuer.certificate)
    said = openssl.verify(root=authority.bundle_pem, chain=chain)
    assert complaint in said
    assert bool(said) == bool(complaint)


@pytest.mark.parametrize(
    ("moment", "complaint"),
    [
        pytest.param(-CLOCK_SKEW - timedelta(seconds=1), "not yet valid", id="a second too early"),
        pytest.param(-CLOCK_SKEW, "", id="at the first second"),
        pytest.param(LEAF_LIFETIME - timedelta(seconds=1), "", id="a second before the end"),
        pytest.param(LEAF_LIFETIME + timedelta(seconds=1), "expired", id="a second late"),
    ],
)
def test_a_chain_holds_to_the_second(
    authority: Authority, now: datetime, openssl: OpenSsl, moment: timedelta, complaint: str
) -> None:
    between = intermediate(authority.issuer, now)
    chain = certificate_pem(leaf(between, now), between.certificate, authority.issuer.certificate)
    said = openssl.verify(root=authority.bundle_pem, chain=chain, at=now + moment)
    assert complaint in said
    assert bool(said) == bool(complaint)


def test_an_intermediate_can_not_make_another(root: Signer, issuer: Signer, now: datetime, openssl: OpenSsl) -> None:
    between = intermediate(issuer, now)
    below = intermediate(between, now, "another name, or it is self-issued and does not count")
    certificates = (leaf(below, now), below.certificate, between.certificate, issuer.certificate)
    said = openssl.verify(root=certificate_pem(root.certificate), chain=certificate_pem(*certificates))
    assert "path length constraint exceeded" in said


def test_a_successor_signed_by_the_old_root_adds_a_level(authority: Authority, now: datetime, openssl: OpenSsl) -> None:
    """What a rotation will serve: who trusts the old root alone takes leaf, intermediate, issuer, cross-certificate."""
    old = issue_root(now, permitted=PERMITTED)
    new = authority.root
    cross = issue_cross(old, new, now)
    minting = authority.new_intermediate(now)
    chain = minting.mint(("s3.amazonaws.com",), now)[0]
    old_root = certificate_pem(old.certificate)
    assert openssl.verify(root=old_root, chain=chain + certificate_pem(cross)) == ""
    assert openssl.verify(root=authority.bundle_pem, chain=chain + certificate_pem(cross)) == ""
    assert "unable to get" in openssl.verify(root=old_root, chain=chain)


@pytest.mark.parametrize(
    ("name", "moment", "accepted"),
    [
        pytest.param("s3.amazonaws.com", timedelta(0), True, id="the name, now"),
        pytest.param("sqs.amazonaws.com", timedelta(0), False, id="another name"),
        pytest.param("s3.amazonaws.com", LEAF_LIFETIME, True, id="at the last second"),
        pytest.param("s3.amazonaws.com", LEAF_LIFETIME + timedelta(seconds=1), False, id="a second late"),
    ],
)
def test_the_profile_of_the_web_is_kept(
    authority: Authority, now: datetime, name: str, moment: timedelta, *, accepted: bool
) -> None:
    """A second judge, stricter than openssl about extensions: cryptography's verifier, with rustls' and Go's rules."""
    chain = x509.load_pem_x509_certificates(authority.new_intermediate(now).mint(("s3.amazonaws.com",), now)[0])
    policy = PolicyBuilder().store(Store([authority.root])).time(now + moment)
    verifier = policy.build_server_verifier(x509.DNSName(name))
    if accepted:
        assert verifier.verify(chain[0], chain[1:]) == [*chain, authority.root]
        return
    with pytest.raises(VerificationError):
        verifier.verify(chain[0], chain[1:])


def test_a_key_fits_its_own_certificate_alone(root: Signer, issuer: Signer) -> None:
    assert fits(root.certificate, root.key)
    assert not fits(root.certificate, issuer.key)
    assert load_pem_private_key(key_pem(root.key), None).public_key() == root.certificate.public_key()


def test_a_certificate_without_constraints_permits_nothing(root: Signer, issuer: Signer, now: datetime) -> None:
    assert permitted_domains(leaf(issuer, now)) == ()
    assert root.not_after == root.certificate.not_valid_after_utc
