"""This machine's authority, as `kecs proxy certs` works on it."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from kecs.certs.adoption import Import, parse_import
from kecs.certs.outcome import Action, Refused, Step, Workload
from kecs.certs.requests import sentence
from kecs.certs.state import Authority, Phase
from kecs.cli.certs_progress import Progress
from kecs.cli.certs_rotation import GO_ON, WAITED_FOR, Ending, Wanted, names, parted
from kecs.core.errors import AuthorityError
from kecs.local.authority import Embedded

_LOOK_S: Final = 0.5


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedPlace:
    """The authority of `kecs run`."""

    embedded: Embedded
    clock: Callable[[], datetime] = _utc_now
    pause: Callable[[float], None] = field(default=time.sleep)

    @property
    def title(self) -> str:
        """The directory."""
        return f"embedded, {self.embedded.directory}"

    def authority(self) -> Authority:
        """Read the authority; reading makes none."""
        state = self.embedded.keeper.load()
        if state is None:
            raise AuthorityError(
                f"there is no authority in {self.embedded.directory} yet",
                hint="the first `kecs run` makes it; `--cluster` shows a cluster's",
            )
        return state.authority

    def workloads(self) -> tuple[Workload, ...]:
        """List the runs."""
        return self.embedded.workloads()

    def refused(self, wanted: Wanted) -> Refused | None:
        """Plan the next act."""
        action = wanted.acts(self.authority().phase)[0]
        outcome = self.embedded.keeper.plan(action, self.clock(), workloads=self.workloads(), force=wanted.force)
        return outcome if isinstance(outcome, Refused) and not _passes(outcome) else None

    def rotate(self, wanted: Wanted, progress: Progress) -> Ending:
        """Do the acts one by one; each is finished by the next command if this one is killed in it."""
        started = time.monotonic()
        for action in wanted.acts(self.authority().phase):
            while isinstance(outcome := self._act(action, wanted), Refused):
                if not _passes(outcome):
                    raise outcome.error()
                late = wanted.timeout_s is not None and time.monotonic() - started >= wanted.timeout_s
                if late or not wanted.wait:
                    return _remains(action, outcome, progress, wanted)
                progress.waiting(action.value, f"waits for {names(outcome.workloads)}")
                self.pause(_LOOK_S)
            progress.done(*parted(sentence(action, outcome.state.authority, changed=outcome.changed)))
            if outcome.broken:
                progress.done("restart", names(outcome.broken))
        return Ending.DONE

    def replace(self, progress: Progress) -> Sequence[Workload]:
        """Replace everything, even what can't be read."""
        outcome = self._act(Action.EMERGENCY, Wanted())
        if isinstance(outcome, Refused):
            raise outcome.error()
        progress.done(*parted(sentence(Action.EMERGENCY, outcome.state.authority, changed=True)))
        return outcome.broken

    def adopt(self, fields: Mapping[str, bytes], *, source: str, now: datetime, dry_run: bool) -> str:
        """Take it as the first, the next or the renewed issuer."""
        imported = parse_import(fields, source=source)
        outcome = (
            self.embedded.keeper.adopt(imported, now, self.workloads(), dry_run=dry_run)
            if isinstance(imported, Import)
            else imported
        )
        if isinstance(outcome, Refused):
            raise outcome.error()
        return adopted(outcome.state.authority, imported)

    def _act(self, action: Action, wanted: Wanted) -> Step | Refused:
        return self.embedded.keeper.rotate(action, self.clock(), workloads=self.workloads(), force=wanted.force)


def adopted(authority: Authority, imported: object) -> str:
    """Say what became of an import."""
    what = "root" if isinstance(imported, Import) and imported.root_signer else "issuer"
    if authority.phase is Phase.PREPARED:
        return f"the {what} is generation {authority.generation + 1}, prepared; {GO_ON}"
    return f"the {what} is in use: generation {authority.generation}"


def _passes(refused: Refused) -> bool:
    """Say whether a refusal is over once workloads have ended."""
    return bool(refused.workloads) and WAITED_FOR.issuperset(refused.reasons)


def _remains(action: Action, refused: Refused, progress: Progress, wanted: Wanted) -> Ending:
    """Say what is left to do. Whoever asked for one act alone is refused, with the reasons."""
    if wanted.phase is not None and not wanted.wait:
        raise refused.error()
    late = "not in time: " if wanted.wait else ""
    progress.done(action.value, f"{late}waits for {names(refused.workloads)}; {GO_ON}")
    return Ending.REMAINS
