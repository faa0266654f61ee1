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
from typing import Any, Final, Self

from kecs.certs.adoption import Import, check_import, parse_import
from kecs.certs.authority import permitted_domains
from kecs.certs.kube import Kube, KubeError, NotFoundError, UnavailableError
from kecs.certs.kube_store import SecretStore
from kecs.certs.outcome import Action, Refused, Workload
from kecs.certs.records import Record, decode_authority
from kecs.certs.state import Authority
from kecs.cli.certs_place import Asked
from kecs.cli.certs_progress import Progress
from kecs.cli.certs_request import Report, Stage, pending, request
from kecs.cli.certs_rotation import GO_ON, Ending, Wanted
from kecs.core.errors import AuthorityError, MachineError
from kecs.core.names import AUTHORITY, ROTATION_CONFIG_MAP, TRUST_ROOT_ANNOTATION

KIND: Final = "pod"
IMPORTED: Final = "kecs-import"
_ALL: Final = "rotate"
_KINDS: Final = {"configmaps": "ConfigMap", "secrets": "Secret"}
_LOOK_S: Final = 0.5
_TAKEN_UP_S: Final = 60.0
"""How long the authority may take to see a request; a new leader needs a lease's time."""
_ENDED: Final = "status.phase!=Succeeded,status.phase!=Failed"


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
        found = (_workload(pod) for pod in self.kube.items("/api/v1/pods", fieldSelector=_ENDED))
        return tuple(sorted((one for one in found if one is not None), key=lambda one: one.name))

    def refused(self, wanted: Wanted) -> Refused | None:  # noqa: ARG002 - the protocol's signature
        """Know nothing: only the authority has the root."""
        return None

    def rotate(self, wanted: Wanted, progress: Progress) -> Ending:
        """Ask for it, and follow what the authority says until it is done, or waits for what we don't wait for."""
        number = self._asked(wanted.phase.value if wanted.phase else _ALL, force=wanted.force, wait=wanted.wait)
        return self._followed(number, wanted, progress)

    def replace(self, progress: Progress) -> Sequence[Workload]:
        """Ask for the replacement of a leaked generation."""
        workloads = self.workloads()
        number = self._asked(Action.EMERGENCY.value, force=True, wait=False)
        self._followed(number, Wanted(), progress)
        return workloads

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
        self._put("secrets", IMPORTED, {name: base64.b64encode(text).decode() for name, text in fields.items()})
        number = self._asked("import", force=False, wait=False)
        report = self._report(number, lambda _: None, wait=False)
        if report.stage is not Stage.DONE:
            raise report.error()
        return f"the {what} is taken: {report.steps[-1]}" if report.steps else f"the {what} is taken"

    def _followed(self, number: str, wanted: Wanted, progress: Progress) -> Ending:
        shown = 0

        def show(report: Report) -> None:
            nonlocal shown
            for step in report.steps[shown:]:
                progress.done(*_parted(step))
            shown = max(shown, len(report.steps))
            if report.stage is Stage.WAITING:
                progress.waiting(Action.RETIRE.value, report.workloads)

        report = self._report(number, show, wait=wanted.wait, timeout_s=wanted.timeout_s)
        if report.stage is Stage.DONE:
            return Ending.DONE
        if report.is_over:
            raise report.error()
        late = "not in time: " if wanted.wait else ""
        progress.done(Action.RETIRE.value, f"{late}waits for {', '.join(report.workloads)}; {GO_ON}")
        return Ending.REMAINS

    def _report(
        self, number: str, show: Callable[[Report], None], *, wait: bool, timeout_s: float | None = None
    ) -> Report:
        """Follow a request until it is over, or waits and we don't."""
        started = heard = time.monotonic()
        while True:
            try:
                report = Report.of(self._data())
                heard = time.monotonic()
            except UnavailableError:  # the authority goes on without us looking
                if time.monotonic() - heard >= self.taken_up_s:
                    raise
                self.pause(_LOOK_S)
                continue
            spent = time.monotonic() - started
            if report is not None and report.id == number:
                show(report)
                late = timeout_s is not None and spent >= timeout_s
                if report.is_over or (report.stage is Stage.WAITING and (late or not wait)):
                    return report
            elif spent >= self.taken_up_s:
                raise MachineError(
                    f"the authority has not taken up the request within {self.taken_up_s:g} s",
                    hint=f"`kubectl -n {self.namespace} logs deploy/{AUTHORITY}` says why; the request stands",
                )
            self.pause(_LOOK_S)

    def _asked(self, action: str, *, force: bool, wait: bool) -> str:
        """Make a request, or join the same one that is under way; return its number."""
        under_way = pending(self._data())
        if under_way is not None:
            same = under_way.get("action") == action
            if same and (bool(under_way.get("force")), bool(under_way.get("wait")) or not wait) == (force, True):
                return str(under_way.get("id"))
            if not same and action != Action.EMERGENCY.value:
                raise AuthorityError(
                    f"the authority is at work on another request: {under_way.get('action')}",
                    hint="follow it with `kecs proxy certs rotate --wait`, or try again when it is over",
                )
        number = uuid.uuid4().hex
        self._put(
            "configmaps", ROTATION_CONFIG_MAP, {"request": request(number, action=action, force=force, wait=wait)}
        )
        return number

    def _data(self) -> Mapping[str, str]:
        found = self.kube.find(f"{self._path('configmaps')}/{ROTATION_CONFIG_MAP}") or {}
        return found.get("data") or {}

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


def _workload(pod: Mapping[str, Any]) -> Workload | None:
    metadata = pod["metadata"]
    trusted = (metadata.get("annotations") or {}).get(TRUST_ROOT_ANNOTATION, "")
    if not trusted:
        return None
    fingerprints = tuple(one.strip().lower() for one in trusted.split(",") if one.strip())
    return Workload(name=f"{metadata['namespace']}/{metadata['name']}", kind=KIND, trusted=fingerprints)


def _parted(step: str) -> tuple[str, str]:
    """Part a step into its act and what it did."""
    word, found, rest = step.partition(": ")
    return (word, rest) if found else ("", step)
