"""What can be imported: cert-manager's Secrets as they are, and every reason why not."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from certs_lab import PERMITTED, foreign
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from kecs.certs.adoption import Import, check_import, is_ca, is_self_signed, is_valid, leads, parse_import
from kecs.certs.authority import Signer, certificate_pem, issue_leaf, key_pem, new_key
from kecs.certs.outcome import Reason, Refused
from kecs.certs.state import Waiting
from kecs.core.errors import AuthorityError

SOURCE = "Secret kecs-system/ours"


def secret(signer: Signer, *chain: Signer, root: Signer | None = None) -> dict[str, bytes]:
    certificates = (signer.certificate, *(upper.certificate for upper in chain))
    fields = {"tls.crt": certificate_pem(*certificates), "tls.key": key_pem(signer.key)}
    return {**fields, "ca.crt": certificate_pem(root.certificate)} if root else fields


@pytest.fixture
def own(now: datetime) -> Signer:
    return foreign(now)


@pytest.fixture
def middle(own: Signer, now: datetime) -> Signer:
    return foreign(now, own)


@pytest.fixture
def below(middle: Signer, now: datetime) -> Signer:
    return foreign(now, middle)


def parsed(fields: dict[str, bytes]) -> Import:
    imported = parse_import(fields, source=SOURCE)
    assert isinstance(imported, Import), imported
    return imported


def test_a_root_is_read_with_its_key(own: Signer) -> None:
    for fields in (secret(own), secret(own, root=own), {**secret(own), "ca.crt": b""}):
        imported = parsed(fields)
        assert imported.root == own.certificate
        assert imported.root_signer == imported.signer
        assert imported.waiting is None
        assert key_pem(imported.signer.key) == key_pem(own.key)


def test_an_issuer_is_read_with_what_stands_above_it(own: Signer, middle: Signer, below: Signer) -> None:
    """The root may stand in ca.crt, as cert-manager writes it, or at the end of tls.crt, as others do."""
    for fields in (secret(below, middle, root=own), secret(below, middle, own), secret(below, middle, own, root=own)):
        imported = parsed(fields)
        assert (imported.signer.certificate, imported.root) == (below.certificate, own.certificate)
        assert imported.chain == (middle.certificate,)
        assert imported.root_signer is None
        assert imported.waiting == Waiting(issuer=imported.signer, chain=(middle.certificate,))
        assert check_import(imported, PERMITTED, own.certificate.not_valid_before_utc + timedelta(hours=1)) is None


def test_without_the_root_an_issuer_is_refused(below: Signer, middle: Signer) -> None:
    assert parse_import(secret(below, middle), source=SOURCE) == Refused(reasons=(Reason.NO_ROOT,))


def test_a_key_of_the_default_kind_is_refused_with_what_to_ask_for(own: Signer) -> None:
    """cert-manager makes RSA keys unless it is told otherwise."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    refused = parse_import({**secret(own), "tls.key": pem}, source=SOURCE)
    assert refused == Refused(reasons=(Reason.KEY_NOT_P256,))
    assert isinstance(refused, Refused)
    assert "ECDSA" in refused.error().hint


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        pytest.param({"tls.crt": b""}, "tls.crt of Secret kecs-system/ours holds no certificate", id="no certificate"),
        pytest.param({"tls.key": b""}, "tls.key of Secret kecs-system/ours can't be read", id="no key"),
        pytest.param({"tls.key": b"secret"}, "can't be read", id="a key that is none"),
        pytest.param({"ca.crt": b"x"}, "ca.crt of Secret kecs-system/ours holds text", id="a root that is none"),
    ],
)
def test_what_is_no_pem_is_refused_with_its_field(own: Signer, change: dict[str, bytes], complaint: str) -> None:
    with pytest.raises(AuthorityError, match=complaint) as raised:
        parse_import({**secret(own), **change}, source=SOURCE)
    assert "secret" not in raised.value.message.replace(SOURCE, "").lower()


def of_root(now: datetime) -> Import:
    signer = foreign(now)
    return Import(signer=signer, root=signer.certificate)


def of_issuer(now: datetime, root: Signer | None = None, **changes: object) -> Import:
    above = root or foreign(now)
    return Import(signer=foreign(now, above, **changes), root=above.certificate)  # type: ignore[arg-type] # a table's


def narrow(now: datetime) -> Import:
    root = foreign(now, permitted=("example.org",))
    return Import(signer=root, root=root.certificate)


def rootless(now: datetime, **changes: object) -> Import:
    root = foreign(now, **changes)  # type: ignore[arg-type] # a table's
    return Import(signer=root, root=root.certificate)


def everything(now: datetime) -> Import:
    root = foreign(now, path_length=0, days=0, begins=timedelta(days=-1))
    bad = foreign(now, path_length=0, permitted=("example.org",), identified=False, days=0, begins=timedelta(days=-1))
    return Import(signer=Signer(certificate=bad.certificate, key=new_key()), root=root.certificate)


REFUSED: dict[str, tuple[Callable[[datetime], Import], tuple[Reason, ...]]] = {
    "a root": (of_root, ()),
    "an issuer": (of_issuer, ()),
    "an issuer with path length 1": (lambda now: of_issuer(now, path_length=1), ()),
    "an issuer constrained to just the domains": (lambda now: of_issuer(now, permitted=PERMITTED), ()),
    "an issuer constrained to more": (lambda now: of_issuer(now, permitted=("com", "aws")), ()),
    "a root with path length 3": (lambda now: rootless(now, path_length=3), ()),
    "the key of another": (
        lambda now: replace(of_root(now), signer=replace(of_root(now).signer, key=new_key())),
        (Reason.KEY_OF_ANOTHER, Reason.CHAIN_BROKEN),
    ),
    "no CA": (lambda now: of_issuer(now, ca=False), (Reason.NO_CA,)),
    "no constraints that say so": (lambda now: of_issuer(now, basic=False), (Reason.NO_CA,)),
    "an issuer with path length 0": (lambda now: of_issuer(now, path_length=0), (Reason.PATH_TOO_SHORT,)),
    "a root with path length 2": (lambda now: rootless(now, path_length=2), (Reason.PATH_TOO_SHORT,)),
    "no key identifier": (lambda now: of_issuer(now, identified=False), (Reason.NO_KEY_IDENTIFIER,)),
    "other domains": (narrow, (Reason.DOMAINS_MISSING,)),
    "one domain of two": (lambda now: of_issuer(now, permitted=PERMITTED[:1]), (Reason.DOMAINS_MISSING,)),
    "another root": (
        lambda now: replace(of_issuer(now), root=foreign(now).certificate),
        (Reason.CHAIN_BROKEN,),
    ),
    "a root that has ended": (
        lambda now: rootless(now, days=0, begins=timedelta(days=-1)),
        (Reason.ROOT_NOT_VALID,),
    ),
    "a root that has not begun": (lambda now: rootless(now, begins=timedelta(hours=1)), (Reason.ROOT_NOT_VALID,)),
    "an issuer that has ended": (
        lambda now: of_issuer(now, days=0, begins=timedelta(days=-1)),
        (Reason.ISSUER_NOT_VALID,),
    ),
    "everything wrong": (
        everything,
        (
            Reason.KEY_OF_ANOTHER,
            Reason.PATH_TOO_SHORT,
            Reason.NO_KEY_IDENTIFIER,
            Reason.CHAIN_BROKEN,
            Reason.DOMAINS_MISSING,
            Reason.ROOT_NOT_VALID,
            Reason.ISSUER_NOT_VALID,
        ),
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_all_reasons_are_given(now: datetime, case: str) -> None:
    make, reasons = REFUSED[case]
    refused = check_import(make(now), PERMITTED, now)
    assert (refused.reasons if refused else ()) == reasons


def test_missing_domains_are_named(now: datetime) -> None:
    refused = check_import(of_issuer(now, permitted=PERMITTED[:1]), PERMITTED, now)
    assert refused
    assert refused.details == PERMITTED[1:]
    assert PERMITTED[1] in refused.error().message


def test_what_is_a_ca_and_what_is_a_root(own: Signer, middle: Signer, now: datetime) -> None:
    leaf = issue_leaf(middle, new_key().public_key(), (x509.DNSName("s3.amazonaws.com"),), now)
    every = (own.certificate, middle.certificate, leaf)
    assert [is_ca(certificate) for certificate in every] == [True, True, False]
    assert [is_self_signed(certificate) for certificate in every] == [True, False, False]
    assert not is_ca(foreign(now, usable=False).certificate)
    assert leads(every[::-1])
    assert not leads(every)


def test_validity_begins_and_ends_on_the_second(own: Signer) -> None:
    start, end = own.certificate.not_valid_before_utc, own.certificate.not_valid_after_utc
    second = timedelta(seconds=1)
    moments = (start - second, start, end - second, end)
    assert [is_valid(own.certificate, moment) for moment in moments] == [False, True, True, False]
