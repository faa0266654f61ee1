"""A cluster's authority, as `kecs proxy certs` works on it.

The root's key never leaves the cluster: what changes anything is asked of the authority there, in a ConfigMap, and its
answer is followed. So a command that is interrupted leaves the authority at work, and the next one follows it on.
"""

import base64
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Self

from kecs.certs import workloads
from kecs.certs.adoption import Import, check_import, parse_import
from kecs.certs.authority import permitted_domains
from kecs.certs.kube import Kube, KubeError, NotFoundError, UnavailableError
from kecs.certs.kube_store import SecretStore
from kecs.certs.mailbox import Mailbox
from kecs.certs.outcome import REMEDIES, SENTENCES, Reason, Refused, Workload
from kecs.certs.records import Record, decode_authority
from kecs.certs.requests import IMPORT_SECRET, PROPAGATING, Report, Request, Stage, Wish
from kecs.certs.state import Authority
from kecs.cli.certs_place import Asked
from kecs.cli.certs_progress import Progress
from kecs.cli.certs_rotation import GO_ON, Ending, Wanted, names, parted
from kecs.core.errors import AuthorityError, MachineError
from kecs.core.names import AUTHORITY, CERTS_SERVICE, ROTATION_CONFIG_MAP

_KINDS: Final = {"configmaps": "ConfigMap", "secrets": "Secret"}
_LOOK_S: Final = 0.5
_TAKEN_UP_S: Final = 60.0
"""How long the authority may take to see a request; a new leader needs a lease's time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterPlace:
    """The authority of a cluster."""

    kube: Kube
    namespace: str
    context: str = ""
    pause: Callable[[float], None] = field(default=time.sleep)
    taken_up_s: float = _TAKEN_UP_S

    @classmethod
    def of(cls, asked: Asked, environ: Mapping[str, str]) -> Self:
        """Connect as the options say."""
        kube = Kube.load(kubeconfig=asked.kubeconfig, context=asked.context, environ=environ)
        return cls(kube=kube, namespace=asked.system_namespace, context=asked.context)

    @property
    def title(self) -> str:
        """The API server, and the namespace."""
        return f"cluster {self.context or self.kube.host}, namespace {self.namespace}"

    def authority(self) -> Authority:
        """Read the issuer's Secret, which tells everything but the root's key."""
        store = SecretStore(kube=self.kube, namespace=self.namespace)
        source = store.source(Record.ISSUER)
        try:
            found = store.read(Record.ISSUER)
        except KubeError as error:
            hint = error.hint or "is the cluster there? `--embedded` is about this machine's authority"
            raise AuthorityError(f"{source}: {error.message}", hint=hint) from error
        if found is None:
            raise AuthorityError(
                f"there is no {source}: KECS is not installed there, or has just begun",
                hint="`kecs proxy check` looks further; `--embedded` is about this machine's authority",
            )
        return decode_authority(found[0], source=source)

    def workloads(self) -> tuple[Workload, ...]:
        """List the pods that were told to trust our roots."""
        return workloads.listed(self.kube)

    def refused(self, wanted: Wanted) -> Refused | None:  # noqa: ARG002 - the protocol's signature
        """Know nothing: only the authority has the root."""
        return None

    def rotate(self, wanted: Wanted, progress: Progress) -> Ending:
        """Ask for it, and follow what the authority says until it is done, or waits for what we don't wait for."""
        wish = Wish(wanted.phase.value) if wanted.phase else Wish.ROTATE
        number = self._asked(wish, force=wanted.force, wait=wanted.wait)
        return self._followed(number, wanted, progress)

    def replace(self, progress: Progress) -> Sequence[Workload]:
        """Ask for the replacement of a leaked generation."""
        running = self.workloads()
        number = self._asked(Wish.EMERGENCY, force=True, wait=False)
        self._followed(number, Wanted(), progress)
        return running

    def adopt(self, fields: Mapping[str, bytes], *, source: str, now: datetime, dry_run: bool) -> str:
        """Check everything here, then hand it to the authority in a Secret that it removes."""
        imported = parse_import(fields, source=source)
        domains = permitted_domains(self.authority().root)
        refused = check_import(imported, domains, now) if isinstance(imported, Import) else imported
        if refused is not None:
            raise refused.error()
        what = "root" if isinstance(imported, Import) and imported.root_signer else "issuer"
        if dry_run:
            return f"the {what} fulfils everything and would be handed to the authority"
        self._put("secrets", IMPORT_SECRET, {name: base64.b64encode(text).decode() for name, text in fields.items()})
        number = self._asked(Wish.IMPORT, force=False, wait=False)
        report = self._report(number, lambda _: None, Wanted())
        if report.stage is not Stage.DONE:
            raise _error(report)
        return f"the {what} is taken: {report.steps[-1]}" if report.steps else f"the {what} is taken"

    def _followed(self, number: str, wanted: Wanted, progress: Progress) -> Ending:
        shown = 0

        def show(report: Report) -> None:
            nonlocal shown
            for step in report.steps[shown:]:
                progress.done(*parted(step))
            shown = max(shown, len(report.steps))
            if report.stage is Stage.WAITING:
                progress.waiting("waits", f"for {_waited_for(report)}")

        report = self._report(number, show, wanted)
        if report.stage is Stage.DONE:
            if report.workloads:
                progress.done("restart", names(report.workloads))
            return Ending.DONE
        if report.is_over:
            raise _error(report)
        late = "not in time: " if wanted.wait else ""
        progress.done("waits", f"{late}for {_waited_for(report)}; {GO_ON}")
        return Ending.REMAINS

    def _report(self, number: str, show: Callable[[Report], None], wanted: Wanted) -> Report:
        """Follow a request until it is over, or waits for workloads and we don't."""
        started = heard = time.monotonic()
        while True:
            try:
                letter = Mailbox(kube=self.kube, namespace=self.namespace).read()
                heard = time.monotonic()
            except UnavailableError:  # the authority goes on without us looking
                if time.monotonic() - heard >= self.taken_up_s:
                    raise
                self.pause(_LOOK_S)
                continue
            spent = time.monotonic() - started
            if letter.request is None or letter.request.id != number:
                raise AuthorityError(
                    "another request took the place of this one", hint="`kecs proxy certs status` shows what holds now"
                )
            report = letter.report
            if report is not None:
                show(report)
                late = wanted.timeout_s is not None and spent >= wanted.timeout_s
                if report.is_over or late or (_is_stuck(report) and not wanted.wait):
                    return report
            elif spent >= self.taken_up_s:
                raise MachineError(
                    f"the authority has not taken up the request within {self.taken_up_s:g} s",
                    hint=f"`kubectl -n {self.namespace} logs deploy/{AUTHORITY}` says why; the request stands",
                )
            self.pause(_LOOK_S)

    def _asked(self, wish: Wish, *, force: bool, wait: bool) -> str:
        """Make a request, or join the same one that is under way; return its number."""
        wanted = Request(id=uuid.uuid4().hex, wish=wish, force=force, wait=wait)
        pending = Mailbox(kube=self.kube, namespace=self.namespace).read().pending
        if pending is not None and pending.wish is wish:
            if pending.force == force and pending.waits >= wanted.waits:
                return pending.id
        elif pending is not None and wish is not Wish.EMERGENCY:
            raise AuthorityError(
                f"the authority is at work on another request: {pending.wish}",
                hint="follow it with `kecs proxy certs rotate --wait`, or try again when it is over",
            )
        self._put("configmaps", ROTATION_CONFIG_MAP, {"request": wanted.spell()})
        return wanted.id

    def _put(self, resource: str, name: str, data: Mapping[str, str]) -> None:
        """Write fields of an object, and make it if there is none."""
        path = self._path(resource)
        try:
            self.kube.patch(f"{path}/{name}", {"data": data})
        except NotFoundError:
            metadata = {"name": name, "namespace": self.namespace}
            self.kube.create(path, {"apiVersion": "v1", "kind": _KINDS[resource], "metadata": metadata, "data": data})

    def _path(self, resource: str) -> str:
        return f"/api/v1/namespaces/{self.namespace}/{resource}"


def _is_stuck(report: Report) -> bool:
    """Say whether a request waits for workloads to end; other waits are over by themselves."""
    return report.stage is Stage.WAITING and PROPAGATING not in report.reasons


def _waited_for(report: Report) -> str:
    if PROPAGATING in report.reasons:
        return f"what signs to reach every replica of {CERTS_SERVICE}, until {report.until or 'it has'}"
    return names(report.workloads) or ", ".join(map(_sentence, report.reasons)) or "the authority"


def _sentence(reason: str) -> str:
    return SENTENCES[Reason(reason)] if reason in set(Reason) else reason


def _error(report: Report) -> AuthorityError:
    """Say a refusal or a failure as an error."""
    about = f" ({names(report.workloads)})" if report.workloads else ""
    known = [Reason(reason) for reason in report.reasons if reason in set(Reason)]
    sentences = "; ".join(map(_sentence, report.reasons)) or "the authority gave no reason"
    return AuthorityError(sentences + about, hint="; ".join(REMEDIES[reason] for reason in known))
