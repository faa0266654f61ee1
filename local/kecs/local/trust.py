"""What the command of a run is told to trust, and who signs for it: the edge that reads and writes the files."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import certifi

from kecs.certs.leaf import Intermediate
from kecs.init_container import bundle
from kecs.local.authority import Embedded
from kecs.local.renewal import Held, Terms, issued
from kecs.local.running import Registration

_TRUST_FILE_MAX: Final = 16 << 20
_SYSTEM_ROOTS: Final = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Alpine, Arch, Gentoo
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora, RHEL, Amazon Linux
    "/etc/ssl/ca-bundle.pem",  # SUSE
    "/etc/ssl/cert.pem",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """What the command is told to trust, who signs for it, and what its later intermediates have to fulfil."""

    intermediate: Intermediate
    held: Held
    terms: Terms
    registration: Registration
    variables: Mapping[str, str]
    notes: tuple[str, ...]


def prepared(
    directory: Path, authority: Embedded, registration: Registration, variables: Mapping[str, str], now: datetime
) -> Trust:
    """Write the trust files of a run to a directory and issue its first intermediate."""
    found = authority.tended(now, registration)
    trust = bundle.trust(
        directory,
        own_roots=found.bundle_pem,
        public_roots=_public_roots(),
        existing=variables,
        read=_read,
    )
    bundle.write(trust.files)
    registration.trusts(found.trust_sha256)
    registration.serves(found.generation)
    terms = Terms(trusted=found.bundle, lifetime=authority.options.lifetime, poll_s=authority.options.poll_s)
    intermediate = issued(found, terms, now)
    return Trust(
        intermediate=intermediate,
        held=Held.of(found, intermediate, now),
        terms=terms,
        registration=registration,
        variables=trust.variables,
        notes=(*trust.warnings, *registration.notes),
    )


def _public_roots() -> bytes:
    """Return Mozilla's roots and the system's: a company's own are in the latter, and our variables hide both."""
    system = next(filter(None, map(_read, _SYSTEM_ROOTS)), b"")
    return Path(certifi.where()).read_bytes() + b"\n" + system


def _read(name: str) -> bytes | None:
    """Read a trust file of the caller's; None when it can't be read or is no plausible one."""
    with contextlib.suppress(OSError, ValueError):
        path = Path(name)
        if path.is_file() and path.stat().st_size <= _TRUST_FILE_MAX:
            return path.read_bytes()
    return None
