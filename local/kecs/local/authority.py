"""This machine's authority, as runs and the command line use it: its files, its runs, and when it rotates by itself."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final, Self

from kecs.aws.hosts import SUFFIXES
from kecs.certs import rotation
from kecs.certs.keeper import Keeper
from kecs.certs.outcome import Action, Step, Workload
from kecs.certs.records import Record
from kecs.certs.state import Authority, Phase
from kecs.certs.store import FileStore, default_directory
from kecs.core.errors import ConfigError, KecsError
from kecs.local import running
from kecs.local.options import CertsOptions

SETTLED: Final = rotation.SETTLE
"""How long a rotation stays switched before a run retires it unasked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """One authority in a directory, and the runs that use it."""

    directory: Path
    keeper: Keeper
    options: CertsOptions

    @classmethod
    def of(cls, options: CertsOptions, environ: Mapping[str, str]) -> Self:
        """Find the authority that the options mean."""
        directory = _expanded(options.directory, environ) if options.directory else default_directory(environ)
        keeper = FileStore(directory, permitted=SUFFIXES).keeper
        scope = replace(keeper.scope, root_lifetime=options.root_lifetime)
        return cls(directory=directory, keeper=replace(keeper, scope=scope), options=options)

    def workloads(self, *, but: running.Registration | None = None) -> tuple[Workload, ...]:
        """List the runs that live as a rotation counts them, without one's own."""
        return tuple(run.workload for run in running.listed(self.directory, but=but))

    def load_or_create(self, now: datetime) -> Authority:
        """Read the authority; make it on first use."""
        return self.keeper.load_or_create(now, self.workloads())

    def tended(self, now: datetime, own: running.Registration | None = None) -> Authority:
        """Read the authority, after doing what is due by itself. What can't be done now is left to the next run.

        A run that does this is registered, and trusts nothing yet: it must not stand in its own way.
        """
        authority = self.keeper.load_or_create(now, self.workloads(but=own))
        while (action := automatic(authority, now, self.options.rotate_at)) is not None:
            try:
                outcome = self.keeper.rotate(action, now, workloads=self.workloads(but=own))
            except KecsError:
                break
            if not isinstance(outcome, Step) or outcome.state.authority.phase is authority.phase:
                break
            authority = outcome.state.authority
        return authority

    def stamp(self) -> object:
        """Return what differs once a record was written."""
        return tuple(_stat(Path(self.keeper.sources[record])) for record in Record)


def automatic(authority: Authority, now: datetime, share: float) -> Action | None:
    """Say which act is due by itself: a rotation that is begun at its time is finished, each by whichever run is next.

    One that a person prepared is left to them, until the root is that old.
    """
    match authority.phase:
        case Phase.STABLE | Phase.PREPARED:
            aged = rotation.due(replace(authority, phase=Phase.STABLE), now, share)
            return rotation.NEXT[authority.phase] if aged else None
        case Phase.SWITCHED:
            return Action.RETIRE if now >= authority.since + SETTLED else None


def _expanded(directory: str, environ: Mapping[str, str]) -> Path:
    if not directory.startswith("~/"):
        return Path(directory)
    home = environ.get("HOME", "")
    if not home.startswith("/"):
        raise ConfigError(f"certs.directory is {directory}, and HOME is no absolute path", hint="give the whole path")
    return Path(home, directory[2:])


def _stat(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
