"""The ConfigMap through which a cluster's authority is asked for things and reports on them. An edge."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from kecs.certs.kube import ConflictError, Json, Kube
from kecs.certs.requests import Report, Request, Stage
from kecs.core.errors import AuthorityError
from kecs.core.names import ROTATION_CONFIG_MAP

_TRIES: Final = 5
"""Of writing a report, while others write to the same object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """What stands in the ConfigMap."""

    request: Request | None = None
    report: Report | None = None
    """The report on that request; None when it was not taken up yet."""
    refused: Report | None = None
    """What is to be reported on a request that can't be read."""
    version: str = ""
    last: str = ""
    """The id that the last report is about, whatever is asked now."""

    @property
    def pending(self) -> Request | None:
        """The request, if it is not over."""
        return None if self.report is not None and self.report.is_over else self.request


@dataclass(frozen=True, slots=True, kw_only=True)
class Mailbox:
    """See the module."""

    kube: Kube
    namespace: str
    may_write: Callable[[], None] = lambda: None

    def read(self) -> Letter:
        """Look what is asked for."""
        found = self.kube.find(self._path)
        if found is None:
            return Letter()
        data = _data(found)
        version = str(found["metadata"]["resourceVersion"])
        report = Report.parse(data.get("status") or "")
        last, text = report.id if report else "", data.get("request") or ""
        if not text.strip():
            return Letter(version=version, last=last)
        try:
            request = Request.parse(text)
        except AuthorityError as error:
            return Letter(version=version, last=last, refused=_refused(text, report, error))
        mine = report if report is not None and report.id == request.id else None
        return Letter(request=request, report=mine, version=version, last=last)

    def report(self, report: Report) -> None:
        """Say how far it is. What is asked for meanwhile stays: a report names the request that it is about.

        That something is done is the last word on it: two replicas may both believe to lead for a moment, and the
        slower one finds an import gone that the other has taken, or is refused what was done already.
        """
        for left in reversed(range(_TRIES)):
            found = self.kube.find(self._path)
            said = Report.parse(_data(found).get("status") or "")
            if said is not None and said.stage is Stage.DONE and said.id == report.id:
                return
            version = str(found["metadata"]["resourceVersion"]) if found is not None else ""
            try:
                self._write({"data": {"status": report.spell()}} | _of(version), found)
            except ConflictError:
                if not left:
                    raise
            else:
                return

    def ask(self, request: Request, letter: Letter) -> None:
        """Ask oneself, unless somebody else has asked since the letter was read (ConflictError)."""
        patch = {"data": {"request": request.spell()}}
        self._write(patch | _of(letter.version), self.kube.find(self._path))

    def _write(self, patch: dict[str, dict[str, str]], found: Json | None) -> None:
        if found is not None and patch["data"].items() <= _data(found).items():
            return
        self.may_write()
        if found is not None:
            self.kube.patch(self._path, patch)
            return
        metadata = {"name": ROTATION_CONFIG_MAP, "namespace": self.namespace}
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": patch["data"]}
        self.kube.create(self._collection, body)

    @property
    def _collection(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}/configmaps"

    @property
    def _path(self) -> str:
        return f"{self._collection}/{ROTATION_CONFIG_MAP}"


def _data(found: Json | None) -> dict[str, str]:
    return (found or {}).get("data") or {}


def _of(version: str) -> dict[str, dict[str, str]]:
    """Return what makes a patch one of this version, and of no other."""
    return {"metadata": {"resourceVersion": version}} if version else {}


def _refused(text: str, before: Report | None, error: AuthorityError) -> Report | None:
    """Refuse what can't be read, once: it has no id, so one is made from it."""
    number = f"unreadable-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    if before is not None and before.id == number:
        return None
    return Report(id=number, stage=Stage.REFUSED, reasons=(f"{error.message}; {error.hint}",))
