"""Certificates for the gateway's own names, from an authority that can sign for nothing else. An edge.

It is another one than that of intercepted names: who trusts this root to reach https://localhost:4566 trusts nobody to
speak for AWS by it. Its root excludes addresses as every root of ours does, so https://127.0.0.1 is not for those who
verify: https://localhost is.
"""

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kecs.aws.local_names import BASES
from kecs.certs.store import FileStore

if TYPE_CHECKING:
    from kecs.certs.leaf import Intermediate

ROOT_FILE: Final = "ca.crt"

type Minted = tuple[bytes, bytes, datetime]


def utc_now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


class LocalAuthority:
    """Leaves for names below `localhost` and `localhost.localstack.cloud`, and those that were asked for besides."""

    def __init__(
        self, directory: Path, *, names: tuple[str, ...] = (), clock: Callable[[], datetime] = utc_now
    ) -> None:
        self.directory = directory
        self._permitted = (*BASES, *names)
        self._clock = clock
        self._held: Intermediate | None = None

    @property
    def root_file(self) -> Path:
        """Where the root is for clients to trust."""
        return self.directory / ROOT_FILE

    def prepare(self) -> "Intermediate":
        """Make the authority where there is none, and have its root where clients find it."""
        now = self._clock()
        found = FileStore(self.directory, permitted=self._permitted).load_or_create(now)
        self._held = found.new_intermediate(now)
        _write(self.root_file, found.bundle_pem)
        return self._held

    def mint(self, names: tuple[str, ...]) -> Minted:
        """Sign a leaf."""
        now = self._clock()
        held = self._held
        if held is None or held.not_after <= now:
            held = self.prepare()
        return held.mint(names, now)


def _write(path: Path, text: bytes) -> None:
    """Have the file hold this; who reads meanwhile sees the old or the new one whole."""
    if path.is_file() and path.read_bytes() == text:
        return
    beside = path.with_suffix(f".{os.getpid()}")
    beside.write_bytes(text)
    beside.replace(path)
