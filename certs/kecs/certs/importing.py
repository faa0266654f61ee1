"""Taking a root or an issuer that was put into a Secret for the authority. An edge."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from kecs.certs.adoption import Import, parse_import
from kecs.certs.keeper import Keeper
from kecs.certs.kube import Kube
from kecs.certs.kube_store import fields_of
from kecs.certs.outcome import Refused, State, Workload
from kecs.certs.requests import IMPORT_SECRET
from kecs.core.errors import AuthorityError


@dataclass(frozen=True, slots=True, kw_only=True)
class Importing:
    """See the module."""

    kube: Kube
    namespace: str
    keeper: Keeper
    may_write: Callable[[], None] = lambda: None

    def take(self, state: State | None, now: datetime, running: Sequence[Workload]) -> State | Refused:
        """Adopt what is in the Secret. What was taken already, before a crash or by another replica, stays so."""
        source = f"Secret {self.namespace}/{IMPORT_SECRET}"
        found = self.kube.find(self._path)
        if found is None:
            raise AuthorityError(f"there is no {source}", hint="`kecs proxy certs import` makes it, and asks again")
        imported = parse_import(fields_of(found, source), source=source)
        if isinstance(imported, Refused):
            return imported
        if state is not None and is_taken(state, imported):
            return state
        outcome = self.keeper.adopt(imported, now, workloads=running)
        if isinstance(outcome, Refused):
            later = self.keeper.load()
            return later if later is not None and is_taken(later, imported) else outcome
        return outcome.state

    def clear(self) -> None:
        """Remove the Secret: a key that has been taken is not to lie about, nor one that was refused."""
        self.may_write()
        self.kube.delete(self._path)

    @property
    def _path(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}/secrets/{IMPORT_SECRET}"


def is_taken(state: State, imported: Import) -> bool:
    """Say whether an import is in the records already."""
    waiting = state.roots.waiting
    issuers = [state.authority.issuer.certificate, *([waiting.issuer.certificate] if waiting else [])]
    if imported.root_signer:
        return any(root.certificate == imported.root and root.key is not None for root in state.roots.all)
    return imported.signer.certificate in issuers
