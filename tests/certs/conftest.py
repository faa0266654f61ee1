from datetime import UTC, datetime
from pathlib import Path

import pytest
from certs_lab import PERMITTED, OpenSsl, first_generation

from kecs.certs.authority import Signer, issue_issuer, issue_root
from kecs.certs.state import Authority


@pytest.fixture
def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def root(now: datetime) -> Signer:
    return issue_root(now, permitted=PERMITTED)


@pytest.fixture
def issuer(root: Signer, now: datetime) -> Signer:
    return issue_issuer(root, now)


@pytest.fixture
def authority(root: Signer, issuer: Signer, now: datetime) -> Authority:
    return first_generation(root, now, issuer=issuer)


@pytest.fixture
def openssl(tmp_path: Path) -> OpenSsl:
    return OpenSsl(tmp_path)
