"""Where a person's authority is kept on one machine, and the contract of every store.

`FileStore` is what `kecs run` asks for its authority: made once, reused by every run, refused when it can't be trusted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from kecs.certs.file_store import DirectoryStore
from kecs.certs.keeper import Keeper
from kecs.certs.outcome import Workload
from kecs.certs.records import Conflict, Record, Store
from kecs.certs.rotation import RENEW_BEFORE, Scope
from kecs.certs.state import Authority
from kecs.core.errors import MachineError

__all__ = ["RENEW_BEFORE", "Authority", "Conflict", "FileStore", "Record", "Store", "default_directory"]


def default_directory(environ: Mapping[str, str]) -> Path:
    """Say where a person's authority lives. A relative XDG_DATA_HOME is ignored, as its specification asks."""
    for variable, below in (("XDG_DATA_HOME", "kecs/authority"), ("HOME", ".local/share/kecs/authority")):
        value = environ.get(variable, "")
        if value.startswith("/"):
            return Path(value, below)
    raise MachineError(
        "there is no place for the authority: neither XDG_DATA_HOME nor HOME is an absolute path",
        hint="set XDG_DATA_HOME to a directory that you can write",
    )


@dataclass(frozen=True, slots=True)
class FileStore:
    """The files of one authority. `permitted` are the domains that its root may sign for."""

    directory: Path
    permitted: tuple[str, ...] = field(kw_only=True)
    patience: timedelta = field(default=timedelta(seconds=30), kw_only=True)
    """How long to wait for another run that is writing."""

    @property
    def keeper(self) -> Keeper:
        """The keeper of these files, for rotations."""
        store = DirectoryStore(self.directory, patience=self.patience)
        sources = {record: str(store.path(record)) for record in Record}
        return Keeper(store=store, scope=Scope(permitted=self.permitted), sources=sources)

    def load_or_create(self, now: datetime, workloads: Sequence[Workload] = ()) -> Authority:
        """Read the authority; make it on first use; finish what was cut short; renew the issuer near its end."""
        return self.keeper.load_or_create(now, workloads)
