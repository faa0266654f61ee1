"""Where pods are in manifests, and how their patches get there."""

from typing import Any

import pytest
from injector_lab import FACTS, a_pod, applied, injection, patched

from kecs.injector.inject import review
from kecs.injector.manifest import TEMPLATES, marks, workloads
from kecs.injector.mode import Marks

POD = {key: value for key, value in a_pod().items() if key in {"metadata", "spec"}}


def made(kind: str) -> dict[str, Any]:
    value: dict[str, Any] = POD
    for key in reversed(TEMPLATES[kind]):
        value = {key: value}
    return {"kind": kind, "metadata": {"name": kind.lower(), "namespace": "demo"}} | value


def at(document: Any, path: tuple[str | int, ...]) -> Any:
    for key in path:
        document = document[key]
    return document


@pytest.mark.parametrize("kind", TEMPLATES)
@pytest.mark.parametrize("wrapped", [False, True])
def test_every_kind_alone_and_in_a_list(kind: str, wrapped: bool) -> None:  # noqa: FBT001 - a column
    document = {"kind": "List", "items": [{"kind": "Service"}, made(kind)]} if wrapped else made(kind)
    (found,) = workloads(document)
    assert found.kind == kind
    assert found.pod == at(document, found.path)
    operations = patched(review(found.pod, FACTS, injection(), namespace="demo")).operations
    after = applied(document, found.place(operations))
    assert at(after, found.path) == applied(found.pod, operations)
    prefix = "".join(f"/{key}" for key in found.path)
    assert all(operation["path"].startswith(f"{prefix}/") for operation in found.place(operations))


def test_lists_name_the_kind_of_what_does_not() -> None:
    (found,) = workloads(
        {"kind": "DeploymentList", "items": [{k: v for k, v in made("Deployment").items() if k != "kind"}]}
    )
    assert (found.kind, found.name, found.namespace) == ("Deployment", "deployment", "demo")
    (inner,) = workloads({"kind": "List", "items": [{"kind": "List", "items": [made("Job")]}]})
    assert inner.path == ("items", 0, "items", 0, "spec", "template")


@pytest.mark.parametrize(
    "document", [None, 7, [], "x", {}, {"kind": 7}, {"kind": "Service"}, {"kind": "List", "items": 1}]
)
def test_what_makes_no_pods(document: Any) -> None:
    assert list(workloads(document)) == []


@pytest.mark.parametrize("spec", [None, 7, {}, {"template": None}, {"template": []}])
def test_a_way_that_breaks_off_ends_in_an_empty_pod(spec: Any) -> None:
    (found,) = workloads({"kind": "Deployment", "metadata": [], "spec": spec})
    assert (found.pod, found.name) == ({}, "")


def test_marks_on_what_makes_the_pods_are_misplaced() -> None:
    document = made("Deployment")
    document["metadata"] |= {
        "annotations": {"kecs.io/aws-proxy-mode": "sidecar"},
        "labels": {"kecs.io/aws-proxy": "enabled"},
    }
    (found,) = workloads(document)
    assert found.misplaced == ("annotation kecs.io/aws-proxy-mode", "label kecs.io/aws-proxy")
    (pod,) = workloads(a_pod())
    assert pod.misplaced == ()


def test_namespaces_and_their_marks() -> None:
    namespace = {"kind": "Namespace", "metadata": {"name": "demo", "labels": {"a": "b", "c": 1}, "annotations": None}}
    expected = [("", "demo", Marks(labels={"a": "b"}))]
    assert list(marks(namespace, "Namespace")) == expected
    assert list(marks({"kind": "List", "items": [namespace, 7]}, "Namespace")) == expected
    assert list(marks({"kind": "Namespace", "metadata": 7}, "Namespace")) == []
