"""What derives from an authority: made, kept while it is good, made anew otherwise."""

import base64
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from certs_lab import PERMITTED, OpenSsl
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from kecs.certs.bundle import parse
from kecs.certs.derived import service_domains, service_names, serving_fields, trust
from kecs.certs.outcome import Step
from kecs.certs.rotation import Scope, create, prepare, switch
from kecs.core.errors import AuthorityError

NOW = datetime.now(UTC).replace(microsecond=0)
SCOPE = Scope(permitted=PERMITTED, services=service_domains("kecs-system"))
NAMES = service_names("kecs-injector", "kecs-system")
FIRST = create(SCOPE, NOW)
_prepared = prepare(FIRST, NOW, SCOPE)
assert isinstance(_prepared, Step)
_switched = switch(_prepared.state, NOW, SCOPE)
assert isinstance(_switched, Step)
SWITCHED = _switched.state
FIELDS = serving_fields({}, FIRST.authority, NAMES, NOW)


def encoded(fields: Mapping[str, bytes]) -> dict[str, str]:
    return {name: base64.b64encode(value).decode() for name, value in fields.items()}


def rsa_key() -> bytes:
    key = rsa.generate_private_key(65537, 2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def test_the_bundle_and_what_anybody_may_know() -> None:
    authority = SWITCHED.authority
    found = trust(authority)
    assert parse(found["ca.crt"].encode(), source="it") == authority.bundle
    assert found["trust_sha256"].split(",") == list(authority.trust_sha256)
    assert (found["generation"], found["phase"]) == ("2", "switched")
    assert found["since"] == f"{NOW:%Y-%m-%dT%H:%M:%SZ}"
    issuer, cross = parse(found["issuer.crt"].encode(), source="it")
    assert (issuer, cross) == (authority.issuer.certificate, authority.above[0])
    assert found["issuer_sha256"] == authority.issuer_sha256
    assert "PRIVATE" not in "".join(found.values())


def test_names() -> None:
    assert NAMES == ("kecs-injector.kecs-system.svc", "kecs-injector.kecs-system.svc.cluster.local")


def test_openssl_takes_the_serving_certificate(openssl: OpenSsl) -> None:
    for state in (FIRST, SWITCHED):
        fields = serving_fields({}, state.authority, NAMES, NOW)
        assert openssl.verify(root=fields["ca.crt"], chain=fields["tls.crt"]) == ""
    old = FIRST.authority.bundle_pem
    assert openssl.verify(root=old, chain=serving_fields({}, SWITCHED.authority, NAMES, NOW)["tls.crt"]) == ""


def test_what_is_good_is_kept() -> None:
    later = NOW + timedelta(days=4)
    assert serving_fields(encoded(FIELDS), FIRST.authority, NAMES, later) == FIELDS


def test_only_the_bundle_is_replaced_when_only_the_bundle_has_changed() -> None:
    assert isinstance(_prepared, Step)
    authority = _prepared.state.authority
    found = serving_fields(encoded(FIELDS), authority, NAMES, NOW)
    assert found == FIELDS | {"ca.crt": authority.bundle_pem}


@pytest.mark.parametrize(
    "edited",
    [
        pytest.param({}, id="nothing there"),
        pytest.param({"tls.crt": "%"}, id="no base64"),
        pytest.param({"tls.crt": 5}, id="no text"),
        pytest.param(encoded(FIELDS | {"tls.crt": b"XX"}), id="no certificate"),
        pytest.param(encoded(FIELDS | {"tls.crt": FIELDS["tls.crt"].split(b"-----BEGIN")[1]}), id="half a chain"),
        pytest.param(encoded(FIELDS | {"tls.key": b"XX"}), id="no key"),
        pytest.param(encoded(FIELDS | {"tls.key": rsa_key()}), id="a key of another kind"),
        pytest.param(
            encoded(FIELDS | {"tls.key": serving_fields({}, FIRST.authority, NAMES, NOW)["tls.key"]}),
            id="a key of another",
        ),
        pytest.param(
            encoded(serving_fields({}, FIRST.authority, ("other.kecs-system.svc",), NOW)), id="for another service"
        ),
        pytest.param(encoded(serving_fields({}, SWITCHED.authority, NAMES, NOW)), id="of another issuer"),
    ],
)
def test_what_is_not_good_is_replaced(edited: dict[str, str]) -> None:
    found = serving_fields(edited, FIRST.authority, NAMES, NOW)
    assert found["tls.crt"] != FIELDS["tls.crt"]
    leaf, issuer = x509.load_pem_x509_certificates(found["tls.crt"])
    leaf.verify_directly_issued_by(issuer)
    assert issuer == FIRST.authority.issuer.certificate


@pytest.mark.parametrize(("age", "kept"), [(timedelta(days=4.6), True), (timedelta(days=4.7), False)])
def test_it_is_renewed_at_two_thirds_of_its_life(age: timedelta, *, kept: bool) -> None:
    found = serving_fields(encoded(FIELDS), FIRST.authority, NAMES, NOW + age)
    assert (found == FIELDS) is kept


def test_a_cross_certificate_that_is_served_no_more_goes() -> None:
    from dataclasses import replace  # noqa: PLC0415 - used once

    fields = serving_fields({}, SWITCHED.authority, NAMES, NOW)
    alone = replace(SWITCHED.authority, above=())
    assert len(x509.load_pem_x509_certificates(serving_fields(encoded(fields), alone, NAMES, NOW)["tls.crt"])) == 2


def test_a_service_that_the_root_does_not_permit_is_refused() -> None:
    with pytest.raises(AuthorityError, match=r"may not sign for kecs-injector\.other\.svc"):
        serving_fields({}, FIRST.authority, service_names("kecs-injector", "other"), NOW)
