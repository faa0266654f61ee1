"""What is said of the intermediate in use."""

from datetime import UTC, datetime, timedelta

import pytest
from certs_lab import SCOPE

from kecs.certs.leaf import Intermediate
from kecs.certs.rotation import create
from kecs.sidecar import certificate
from kecs.sidecar.certificate import Lack

NOW = datetime(2026, 11, 21, 5, 28, 30, tzinfo=UTC)
AUTHORITY = create(SCOPE, NOW).authority
HELD = AUTHORITY.new_intermediate(NOW)
DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("held", "now", "lack", "says"),
    [
        (HELD, NOW, Lack.NONE, ""),
        (None, NOW, Lack.NO_CERTIFICATE, "there is no intermediate yet"),
        (HELD, NOW + DAY, Lack.CERTIFICATE_NOT_VALID, "the intermediate ended at 2026-11-22T05:28:30+00:00"),
        (HELD, NOW - DAY, Lack.CERTIFICATE_NOT_VALID, "the intermediate begins at 2026-11-21T04:58:30+00:00"),
    ],
    ids=["it holds", "none", "it has ended", "the clock is behind"],
)
def test_what_is_lacking(held: Intermediate | None, now: datetime, lack: Lack, says: str) -> None:
    assert certificate.lack(held, now) is lack
    assert certificate.problem(held, "", now) == says
    assert certificate.problem(held, "nobody answers", now) == (f"{says}: nobody answers" if says else "")


def test_all_that_may_be_known() -> None:
    assert certificate.described(None, NOW)["not_after"] is None
    said = certificate.described(HELD, NOW)
    assert said["issuer_sha256"] == AUTHORITY.issuer_sha256
    assert (said["seconds_left"], said["not_after"]) == (86_400, (NOW + DAY).isoformat())
    assert set(said["permitted"]) == set(SCOPE.permitted)
    assert certificate.described(HELD, NOW + 2 * DAY)["seconds_left"] == 0
    bare = Intermediate(signer=HELD.signer, above=())
    assert certificate.described(bare, NOW)["issuer_sha256"] is None
