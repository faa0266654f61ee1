"""What a client would say of a served chain: by root, by name, by the second."""

from datetime import datetime, timedelta

import pytest
from certs_lab import NAME, PERMITTED, served

from kecs.certs.authority import CLOCK_SKEW, LEAF_LIFETIME, Signer, issue_cross, issue_root
from kecs.certs.state import Authority
from kecs.certs.verify import is_verified, verify_served
from kecs.core.errors import AuthorityError

SECOND = timedelta(seconds=1)


def test_the_path_is_returned_from_leaf_to_root(authority: Authority, now: datetime) -> None:
    chain = served(authority, now)
    assert verify_served(chain, NAME, authority.bundle, now) == (*chain, authority.root)


def test_who_trusts_the_old_root_is_led_to_it_by_a_cross_certificate(
    authority: Authority, root: Signer, now: datetime
) -> None:
    old = issue_root(now, permitted=PERMITTED)
    cross = issue_cross(old, root.certificate, now)
    chain = [*served(authority, now), cross]
    assert verify_served(chain, NAME, [old.certificate], now) == (*chain, old.certificate)
    assert verify_served(chain, NAME, [root.certificate], now) == (*chain[:3], root.certificate)
    assert is_verified(chain, NAME, [old.certificate, root.certificate], now)


@pytest.mark.parametrize(
    ("name", "moment", "accepted"),
    [
        pytest.param(NAME, timedelta(0), True, id="the name, now"),
        pytest.param("sqs.amazonaws.com", timedelta(0), False, id="another name"),
        pytest.param(NAME, -CLOCK_SKEW, True, id="at the first second"),
        pytest.param(NAME, -CLOCK_SKEW - SECOND, False, id="a second early"),
        pytest.param(NAME, LEAF_LIFETIME, True, id="at the last second"),
        pytest.param(NAME, LEAF_LIFETIME + SECOND, False, id="a second late"),
    ],
)
def test_names_and_seconds_count(
    authority: Authority, now: datetime, name: str, moment: timedelta, *, accepted: bool
) -> None:
    assert is_verified(served(authority, now), name, authority.bundle, now + moment) == accepted


def test_a_refusal_names_who_is_trusted_and_the_host(authority: Authority, now: datetime) -> None:
    other = issue_root(now, permitted=PERMITTED).certificate
    with pytest.raises(AuthorityError, match=f"refuses what is served for {NAME}") as raised:
        verify_served(served(authority, now), NAME, [other], now)
    assert other.subject.rfc4514_string() in raised.value.message
    assert "kecs proxy certs status" in raised.value.hint


@pytest.mark.parametrize("part", ["chain", "roots"])
def test_nothing_served_or_trusted_is_said_as_such(authority: Authority, now: datetime, part: str) -> None:
    chain = served(authority, now)[: 0 if part == "chain" else None]
    with pytest.raises(AuthorityError, match="no certificate is served" if part == "chain" else "no root is trusted"):
        verify_served(chain, NAME, () if part == "roots" else authority.bundle, now)


def test_any_zone_is_the_same_moment(authority: Authority, now: datetime) -> None:
    elsewhere = now.astimezone(datetime.fromisoformat("2030-01-01T00:00:00+09:00").tzinfo)
    assert is_verified(served(authority, now), NAME, authority.bundle, elsewhere)
