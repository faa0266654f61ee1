"""Uninstalling leaves nothing, and holds up nobody."""

from pathlib import Path

from docs_lab import Document
from e2e_lab import SYSTEM, Space, container_names, follow, get, python
from helm_lab import ROOT

PAGE = Document.read(ROOT / "docs" / "kubernetes.md")
KINDS = "all,secrets,configmaps,leases,roles,rolebindings,serviceaccounts,networkpolicies,poddisruptionbudgets"
EVERYWHERE = "mutatingwebhookconfigurations,clusterroles,clusterrolebindings,namespaces"
UNUSED = "kube-node-lease"
"""A namespace that holds what this cluster puts into every one, and leases of its nodes."""


def test_uninstall_leaves_nothing(space: Space, tmp_path: Path) -> None:
    everywhere = {one["metadata"]["name"] for one in get("-n", UNUSED, "configmaps,secrets,serviceaccounts")["items"]}
    left = {}
    for step, _ in follow(PAGE.section("Uninstalling"), PAGE.files, tmp_path):
        found = get("-n", SYSTEM, KINDS)["items"] if step.words[0] == "helm" else []
        left[step.command] = [
            f"{one['kind']}/{one['metadata']['name']}" for one in found if one["metadata"]["name"] not in everywhere
        ]
    assert list(left.values()) == [[], []]
    names = [one["metadata"]["name"] for one in get(EVERYWHERE)["items"]]
    assert [name for name in names if name.startswith("kecs") and not name.startswith(space.name)] == []


def test_pods_start_as_they_are_then(space: Space) -> None:
    space.pod("after", python("print('ran')"))
    assert "ran" in space.succeeded("after")
    assert list(container_names(get("-n", space.name, "pod", "after"))) == ["app"]
