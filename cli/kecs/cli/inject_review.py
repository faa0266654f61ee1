"""Manifests reviewed without a cluster: what the webhook would do to the pods that they make. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import jsonpatch

from kecs.cli.inject_documents import Document
from kecs.core.names import MODE_ANNOTATION, SELECTOR_LABEL, SELECTOR_LABEL_VALUE
from kecs.core.settings import ProxyMode
from kecs.injector.config import Facts, Injection
from kecs.injector.inject import review
from kecs.injector.manifest import Workload, marks, workloads
from kecs.injector.mode import Marks
from kecs.injector.outcome import Operation, Outcome, Patched, Refused
from kecs.injector.pod import metadata_problems, spec_problems
from kecs.injector.reason import Reason
from kecs.injector.uninject import uninject

_DEFAULT_NAMESPACE: Final = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviewed:
    """One workload and what it came to."""

    workload: Workload
    namespace: str
    outcome: Outcome
    facts: Facts

    @property
    def title(self) -> str:
        """Name the workload as kubectl does."""
        return f"{self.workload.kind.lower()}/{self.workload.name or '(no name)'} in {self.namespace}"

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the review warns of, and what only the whole manifest shows."""
        path = ".".join((*map(str, self.workload.path), "metadata"))
        misplaced = (f"{one} has no effect here; pods are marked at {path}" for one in self.workload.misplaced)
        return (*self.outcome.warnings, *misplaced)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offline:
    """What stands for the cluster."""

    config: Injection
    facts: Facts
    namespace: str = ""
    """Of what names none; empty for `default`."""
    mode: ProxyMode | None = None
    """As if every namespace asked for it."""

    def review(self, documents: Sequence[Document]) -> tuple[tuple[Reviewed, ...], ...]:
        """Review the workloads of each document; Namespaces and ServiceAccounts among them count."""
        namespaces = {name: found for one in documents for _, name, found in marks(one.value, "Namespace")}
        accounts = {
            (space or self._default, name): found.annotations
            for one in documents
            for space, name, found in marks(one.value, "ServiceAccount")
        }
        return tuple(
            tuple(self._one(workload, namespaces, accounts) for workload in workloads(document.value))
            for document in documents
        )

    @property
    def _default(self) -> str:
        return self.namespace or _DEFAULT_NAMESPACE

    def _one(
        self,
        workload: Workload,
        namespaces: Mapping[str, Marks],
        accounts: Mapping[tuple[str, str], Mapping[str, str]],
    ) -> Reviewed:
        namespace = workload.namespace or self._default
        facts = replace(
            self.facts,
            namespace=self._asked(namespaces.get(namespace, self.facts.namespace)),
            service_account_annotations=accounts.get((namespace, _account(workload.pod)), {}),
        )
        outcome = review(workload.pod, facts, self.config, namespace=namespace)
        return Reviewed(workload=workload, namespace=namespace, outcome=outcome, facts=facts)

    def _asked(self, found: Marks) -> Marks:
        if self.mode is None:
            return found
        return Marks(
            labels={**found.labels, SELECTOR_LABEL: SELECTOR_LABEL_VALUE},
            annotations={**found.annotations, MODE_ANNOTATION: self.mode.value},
        )


def _account(pod: Mapping[str, Any]) -> str:
    spec = pod.get("spec")
    name = spec.get("serviceAccountName") if isinstance(spec, Mapping) else None
    return name if isinstance(name, str) else "default"


def injected(documents: Sequence[Document], reviewed: Sequence[Sequence[Reviewed]]) -> tuple[Document, ...]:
    """Apply what reviews came to."""
    return tuple(_changed(document, _steps(found)) for document, found in zip(documents, reviewed, strict=True))


def _steps(found: Iterable[Reviewed]) -> list[Operation]:
    return [
        step for one in found if isinstance(one.outcome, Patched) for step in one.workload.place(one.outcome.operations)
    ]


def _changed(document: Document, steps: Sequence[Operation]) -> Document:
    return document.changed(jsonpatch.apply_patch(document.value, steps)) if steps else document


@dataclass(frozen=True, slots=True, kw_only=True)
class Undone:
    """One workload on its way back."""

    workload: Workload
    steps: tuple[Operation, ...]
    problems: tuple[str, ...] = ()


def undone(document: Document) -> tuple[Document, tuple[Undone, ...]]:
    """Take out of a document what was injected into it."""
    found = tuple(_undo(workload) for workload in workloads(document.value))
    return _changed(document, [step for one in found for step in one.workload.place(one.steps)]), found


def _undo(workload: Workload) -> Undone:
    problems = (*metadata_problems(workload.pod), *spec_problems(workload.pod))
    return Undone(workload=workload, steps=() if problems else uninject(workload.pod), problems=problems)


def refusals(reviewed: Iterable[Sequence[Reviewed]]) -> tuple[Reviewed, ...]:
    """Return what was refused."""
    return tuple(one for each in reviewed for one in each if isinstance(one.outcome, Refused))


def lacks_roots(reviewed: Iterable[Reviewed]) -> bool:
    """Tell whether something was refused for want of roots alone, which the caller can give."""
    return any(Reason.NO_TRUST_ROOTS in one.outcome.reasons for one in reviewed)
