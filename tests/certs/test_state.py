"""What an authority says of itself, and what it signs: chains, clamped lifetimes, domains."""

from dataclasses import replace
from datetime import datetime, timedelta
from ipaddress import IPv4Address

import pytest
from certs_lab import NAME, PERMITTED, SCOPE, OpenSsl, first_generation, foreign, served, stepped
from cryptography import x509

from kecs.certs.authority import (
    INTERMEDIATE_LIFETIME,
    Signer,
    certificate_pem,
    issue_issuer,
    issue_leaf,
    issue_root,
    new_key,
    permitted_domains,
)
from kecs.certs.bundle import fingerprint
from kecs.certs.rotation import create, prepare, switch
from kecs.certs.state import Authority, Phase, Root, Roots
from kecs.core.errors import AuthorityError

DAY = timedelta(days=1)


@pytest.fixture
def switched(now: datetime) -> Authority:
    state = stepped(prepare(create(SCOPE, now), now, SCOPE))
    return stepped(switch(state, now, SCOPE)).authority


def test_the_bundle_is_told_as_pem_and_as_fingerprints(switched: Authority) -> None:
    new, old = switched.bundle
    assert switched.root == new
    assert switched.bundle_pem == certificate_pem(new, old)
    assert switched.trust_sha256 == (fingerprint(new), fingerprint(old))
    assert switched.issuer_sha256 == fingerprint(switched.issuer.certificate)
    assert b"PRIVATE" not in switched.bundle_pem


def test_what_stands_above_an_issuer_is_its_chain_then_crosses(switched: Authority, now: datetime) -> None:
    (cross,) = switched.above
    assert (switched.chain, switched.crosses) == ((), (cross,))
    root = issue_root(now, permitted=PERMITTED)
    middle = issue_issuer(root, now).certificate
    imported = replace(switched, above=(middle, cross))
    assert (imported.chain, imported.crosses) == ((middle,), (cross,))
    assert replace(switched, above=(middle,)).crosses == ()


def test_a_chain_is_intermediate_issuer_and_what_is_above(switched: Authority, now: datetime) -> None:
    key = new_key()
    chain = switched.sign_intermediate(key.public_key(), now, subject="default/web")
    assert chain[1:] == (switched.issuer.certificate, *switched.above)
    assert chain[0].public_key() == key.public_key()
    assert chain[0].not_valid_after_utc == now + INTERMEDIATE_LIFETIME
    assert switched.new_intermediate(now).above == chain[1:]
    assert len(served(switched, now)) == 4
    assert switched.root not in served(switched, now)


def test_a_cross_certificate_that_has_ended_is_left_out(switched: Authority) -> None:
    end = switched.crosses[0].not_valid_after_utc
    assert switched.served_above(end - timedelta(seconds=1)) == switched.crosses
    assert switched.served_above(end) == ()


@pytest.mark.parametrize(
    ("issuer_days", "chain_days", "root_days", "days"),
    [
        pytest.param(5, 9, 9, 5, id="the issuer's end"),
        pytest.param(9, 5, 9, 5, id="the end of what is between issuer and root"),
        pytest.param(9, 9, 5, 5, id="the root's end"),
    ],
)
def test_nothing_outlives_the_chain_above(
    now: datetime, issuer_days: int, chain_days: int, root_days: int, days: int
) -> None:
    """An imported issuer may outlive what signed it; what it signs must not."""
    root, middle, issuer = (
        issue_root(now, permitted=PERMITTED, lifetime=n * DAY) for n in (root_days, chain_days, issuer_days)
    )
    authority = Authority(
        generation=1,
        phase=Phase.STABLE,
        issuer=issuer,
        above=(middle.certificate,),
        bundle=(root.certificate,),
        since=now,
    )
    assert authority.not_after == now + days * DAY
    assert authority.new_intermediate(now, lifetime=20 * DAY).not_after == authority.not_after
    with pytest.raises(AuthorityError, match="ended at") as raised:
        authority.new_intermediate(authority.not_after)
    assert "rotate" in raised.value.hint


def test_intermediates_carry_the_domains_of_aws_alone(now: datetime) -> None:
    wide = create(replace(SCOPE, services=("kecs-system.svc",)), now).authority
    assert permitted_domains(wide.issuer.certificate) == (*PERMITTED, "kecs-system.svc")
    assert wide.permitted == PERMITTED
    assert wide.new_intermediate(now).permitted == PERMITTED
    assert replace(wide, domains=()).permitted == (*PERMITTED, "kecs-system.svc")


def test_an_issuer_without_constraints_signs_constrained_intermediates(now: datetime, openssl: OpenSsl) -> None:
    """Somebody's own: then the intermediate is what names the domains and excludes addresses."""
    root = foreign(now)
    bare = foreign(now, root, path_length=1)
    authority = replace(first_generation(root, now, issuer=bare), domains=PERMITTED)
    between = authority.new_intermediate(now)
    assert permitted_domains(between.signer.certificate) == PERMITTED
    assert openssl.verify(root=authority.bundle_pem, chain=certificate_pem(*served(authority, now))) == ""
    for name in (x509.DNSName("evil.example"), x509.IPAddress(IPv4Address("10.0.0.1"))):
        forged = issue_leaf(between.signer, new_key().public_key(), (name,), now)
        chain = certificate_pem(forged, between.signer.certificate, bare.certificate)
        assert "subtree violation" in openssl.verify(root=authority.bundle_pem, chain=chain)


def test_roots_are_found_by_generation(now: datetime) -> None:
    first, second = (issue_root(now, permitted=PERMITTED) for _ in range(2))
    newest = Root(number=2, certificate=second.certificate, key=second.key)
    previous = Root(number=1, certificate=first.certificate, key=None)
    roots = Roots(newest=newest, previous=previous)
    assert roots.all == (newest, previous)
    assert (roots.of(2), roots.of(1), roots.of(3)) == (newest, previous, None)
    assert newest.signer == Signer(certificate=second.certificate, key=second.key)
    assert previous.signer is None
    assert newest.sha256 == fingerprint(second.certificate)
    assert Roots(newest=newest).all == (newest,)


def test_an_intermediate_is_for_one_name_only_when_it_is_permitted(switched: Authority, now: datetime) -> None:
    assert switched.new_intermediate(now).mint((NAME,), now)
    with pytest.raises(AuthorityError, match="outside"):
        switched.new_intermediate(now).mint(("evil.example",), now)
