"""The edge that keeps an authority: reads both records, has the core decide, writes them one at a time.

Safe beside others that do the same: each write is a compare-and-swap, and whoever loses reads and decides again. Safe
to be killed between any two writes: the next one finishes what was begun (`recovery`).
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from kecs.certs.adoption import Import, check_import, is_valid
from kecs.certs.outcome import Action, Refused, State, Step, Workload
from kecs.certs.records import (
    SOURCES,
    Conflict,
    Record,
    Store,
    decode_authority,
    decode_roots,
    encode_authority,
    encode_roots,
)
from kecs.certs.recovery import check_usable, recover
from kecs.certs.rotation import Scope, adopt, emergency, prepare, renew_issuer, retire, switch
from kecs.certs.state import Authority, Roots
from kecs.core.errors import MachineError

_ATTEMPTS: Final = 16
"""Each failed one means that another succeeded; beyond this something rewrites the records all the time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """The records as they were read, and which version of each."""

    roots: Roots | None = None
    authority: Authority | None = None
    versions: Mapping[Record, str] = field(default_factory=dict)


type _Decide = Callable[[State], Step | Refused]


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeper:
    """One authority in one store."""

    store: Store
    scope: Scope
    sources: Mapping[Record, str] = field(default_factory=lambda: SOURCES)
    """What a person calls the records, for messages: paths, Secrets."""

    def load(self) -> State | None:
        """Read what is there, write nothing; None when there is no whole authority. Needs no clock, so may be old."""
        found = self._read()
        if found.roots is None or found.authority is None:
            return None
        return State(roots=found.roots, authority=found.authority)

    def load_or_create(self, now: datetime, workloads: Sequence[Workload] = ()) -> Authority:
        """Return the authority: made on first use, its last act finished, its issuer renewed near the end.

        What is there is used on, as long as it holds, where nothing can be written.
        """
        try:
            state = self.converge(now, workloads)
        except MachineError:
            found = self.load()
            if found is None or not is_valid(found.authority.issuer.certificate, now):
                raise
            state = found
        check_usable(state, now, self.scope, source=self.sources[Record.ROOT])
        return state.authority

    def converge(self, now: datetime, workloads: Sequence[Workload] = ()) -> State:
        """Finish what was cut short and keep house; write only what changes."""
        step = self._act(lambda state: Step(state=state, changed=False), now, workloads)
        if isinstance(step, Refused):  # pragma: no cover - the step above never is
            raise step.error()
        return step.state

    def rotate(
        self, action: Action, now: datetime, *, workloads: Sequence[Workload] = (), force: bool = False
    ) -> Step | Refused:
        """Do one act of a rotation."""
        if action is Action.EMERGENCY:
            return self._emergency(now, workloads)
        return self._act(self._decision(action, now, workloads, force=force), now, workloads)

    def plan(
        self, action: Action, now: datetime, *, workloads: Sequence[Workload] = (), force: bool = False
    ) -> Step | Refused:
        """Say what `rotate` would do, and write nothing."""
        if action is Action.EMERGENCY:
            return emergency(self._generation(), now, self.scope, workloads)
        found = self._read()
        state = recover(found.roots, found.authority, now, self.scope, workloads)
        return self._decision(action, now, workloads, force=force)(state)

    def adopt(
        self, imported: Import, now: datetime, workloads: Sequence[Workload] = (), *, dry_run: bool = False
    ) -> Step | Refused:
        """Take a root or an issuer that others made."""
        found = self._read()
        if found.roots is None and found.authority is None:
            step = adopt(None, imported, now, self.scope)
            if isinstance(step, Step) and not dry_run:
                self._write(found, step.state)
            return step
        if found.roots is not None and found.authority is None and imported.root == found.roots.newest.certificate:
            return self._readopt(found, found.roots, imported, now, dry_run=dry_run)
        if dry_run:
            state = recover(found.roots, found.authority, now, self.scope, workloads)
            return adopt(state, imported, now, self.scope)
        return self._act(lambda state: adopt(state, imported, now, self.scope), now, workloads)

    def _readopt(
        self, found: _Found, roots: Roots, imported: Import, now: datetime, *, dry_run: bool
    ) -> Step | Refused:
        """Take an issuer in the place of one that was lost."""
        refused = check_import(imported, self.scope.all, now)
        if refused:
            return refused
        state = recover(replace(roots, waiting=imported.waiting), None, now, self.scope)
        if not dry_run:
            self._write(found, state)
        return Step(state=state)

    def _decision(self, action: Action, now: datetime, workloads: Sequence[Workload], *, force: bool) -> _Decide:
        scope = self.scope
        decisions: dict[Action, _Decide] = {
            Action.PREPARE: lambda state: prepare(state, now, scope),
            Action.SWITCH: lambda state: switch(state, now, scope, workloads, force=force),
            Action.RETIRE: lambda state: retire(state, now, workloads, force=force),
            Action.RENEW: lambda state: renew_issuer(state, now, scope),
        }
        return decisions[action]

    def _act(self, decide: _Decide, now: datetime, workloads: Sequence[Workload]) -> Step | Refused:
        """Bring the records in order, then act on them. Two writes of one record, so that each can be resumed."""
        for _ in range(_ATTEMPTS):
            try:
                found = self._read()
                state = recover(found.roots, found.authority, now, self.scope, workloads)
                if self._write(found, state):
                    found = self._read()
                    state = recover(found.roots, found.authority, now, self.scope, workloads)
                outcome = decide(state)
                if isinstance(outcome, Step):
                    self._write(found, outcome.state)
            except Conflict:
                continue
            return outcome
        raise Conflict(
            f"the authority was changed by others {_ATTEMPTS} times in a row",
            hint="see what else writes to it; one `kecs-authority` is meant to",
        )

    def _emergency(self, now: datetime, workloads: Sequence[Workload]) -> Step:
        """Replace the authority, even one that can't be read."""
        for _ in range(_ATTEMPTS):
            found = _Found(versions=self._versions())
            step = emergency(self._generation(), now, self.scope, workloads)
            try:
                self._write(found, step.state)
            except Conflict:
                continue
            return step
        raise Conflict(f"the authority was changed by others {_ATTEMPTS} times in a row", hint="try again")

    def _read(self) -> _Found:
        """Read both records. The issuer record first: an act that is under way meanwhile adds roots before it."""
        issuer, root = self.store.read(Record.ISSUER), self.store.read(Record.ROOT)
        roots = decode_roots(root[0], source=self.sources[Record.ROOT]) if root else None
        authority = decode_authority(issuer[0], roots=roots, source=self.sources[Record.ISSUER]) if issuer else None
        versions = {
            record: kept[1] for record, kept in ((Record.ROOT, root), (Record.ISSUER, issuer)) if kept is not None
        }
        return _Found(roots=roots, authority=authority, versions=versions)

    def _write(self, found: _Found, state: State) -> bool:
        """Write what differs from what was found, in the order that can be resumed; say whether anything did."""
        old = {
            Record.ROOT: encode_roots(found.roots) if found.roots else None,
            Record.ISSUER: encode_authority(found.authority) if found.authority else None,
        }
        new = {Record.ROOT: encode_roots(state.roots), Record.ISSUER: encode_authority(state.authority)}
        prunes = found.roots is not None and found.roots.newest.certificate == state.roots.newest.certificate
        order = (Record.ISSUER, Record.ROOT) if prunes else (Record.ROOT, Record.ISSUER)
        changed = [record for record in order if old[record] != new[record]]
        for record in changed:
            self.store.write(record, new[record], found.versions.get(record))
        return bool(changed)

    def _versions(self) -> dict[Record, str]:
        return {record: kept[1] for record in Record if (kept := self.store.read(record)) is not None}

    def _generation(self) -> int:
        """Return the newest generation that either record tells of, readable or not."""
        numbers = [0]
        for record, name in ((Record.ROOT, "newest"), (Record.ISSUER, "generation")):
            kept = self.store.read(record)
            if kept is None:
                continue
            try:
                numbers.append(int(json.loads(kept[0].get("state.json", b"{}")).get(name, 1)))
            except (ValueError, TypeError, AttributeError):
                numbers.append(1)
        return max(numbers)
