"""Whose certificates a command is about, by one rule, and what can be asked of either.

given                                              place
--embedded                                         this machine's authority, of `kecs run`
--cluster, --context, --kubeconfig or --namespace  the cluster's
none of them; KUBECONFIG is set, or in a pod       the cluster's
none of them                                       this machine's
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from kecs.certs.outcome import Refused, Workload
from kecs.certs.state import Authority
from kecs.cli.certs_progress import Progress
from kecs.cli.certs_rotation import Ending, Wanted
from kecs.core.errors import UsageError
from kecs.core.names import SYSTEM_NAMESPACE


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the options of a command say of the place."""

    embedded: bool = False
    cluster: bool = False
    context: str = ""
    kubeconfig: str = ""
    namespace: str = ""

    @property
    def system_namespace(self) -> str:
        """The namespace that KECS runs in."""
        return self.namespace or SYSTEM_NAMESPACE

    def is_cluster(self, environ: Mapping[str, str]) -> bool:
        """Apply the rule; refuse what contradicts itself."""
        named = [name for name in ("cluster", "context", "kubeconfig", "namespace") if getattr(self, name)]
        if self.embedded and named:
            raise UsageError(
                f"--embedded and --{named[0]} contradict each other",
                hint="--embedded is about this machine's authority, --cluster about a cluster's",
            )
        around = bool(environ.get("KUBECONFIG") or environ.get("KUBERNETES_SERVICE_HOST"))
        return bool(named) or (around and not self.embedded)


class Place(Protocol):
    """An authority that commands work on: this machine's, or a cluster's."""

    @property
    def title(self) -> str:
        """What it is called in output."""
        ...

    def authority(self) -> Authority:
        """Read what signs and is trusted; raises KecsError when there is nothing, or it can't be read."""
        ...

    def workloads(self) -> tuple[Workload, ...]:
        """List who runs and what they trust."""
        ...

    def refused(self, wanted: Wanted) -> Refused | None:
        """Say what keeps the next act from being done, as far as that can be known without doing it."""
        ...

    def rotate(self, wanted: Wanted, progress: Progress) -> Ending:
        """Do the acts that are wanted."""
        ...

    def replace(self, progress: Progress) -> Sequence[Workload]:
        """Replace a leaked generation at once; return who has to be restarted."""
        ...

    def adopt(self, fields: Mapping[str, bytes], *, source: str, now: datetime, dry_run: bool) -> str:
        """Take an imported root or issuer, the fields of a Secret; return what that means, raise AuthorityError."""
        ...
