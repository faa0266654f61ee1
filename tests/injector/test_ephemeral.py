"""What `kubectl debug` adds to a pod: the new container gets trust, and nothing else is touched."""

import json
from typing import Any

import pytest
from injector_lab import (
    FACTS,
    a_container,
    a_pod,
    applied,
    container_of,
    env_of,
    injection,
    patched,
    refused,
    untouched,
)

from kecs.injector.ephemeral import review_ephemeral
from kecs.injector.inject import review
from kecs.injector.outcome import Outcome
from kecs.injector.reason import Reason

CONFIG = injection()


def running(mode: str = "sidecar", **annotations: str) -> dict[str, Any]:
    pod = a_pod(mode, annotations=annotations)
    return applied(pod, patched(review(pod, FACTS, CONFIG, namespace="demo")).operations)


def debugged(pod: dict[str, Any], *containers: dict[str, Any]) -> dict[str, Any]:
    copy: dict[str, Any] = json.loads(json.dumps(pod))
    copy["spec"]["ephemeralContainers"] = [*(copy["spec"].get("ephemeralContainers") or ()), *containers]
    return copy


def reviewed(new: dict[str, Any], old: dict[str, Any]) -> Outcome:
    return review_ephemeral(new, old, FACTS, CONFIG, namespace="demo")


def test_a_debug_container_trusts_what_the_others_trust() -> None:
    old = running()
    new = debugged(old, a_container("debugger", stdin=True))
    after = applied(new, patched(reviewed(new, old)).operations)
    assert env_of(after, "debugger") == env_of(after, "app")
    assert container_of(after, "debugger")["volumeMounts"] == container_of(after, "app")["volumeMounts"]
    assert debugged(old, container_of(after, "debugger")) == after
    assert untouched(reviewed(after, old)).reasons == (Reason.ALREADY_INJECTED,)


def test_what_the_api_refuses_there_is_left_out() -> None:
    old = running(**{"kecs.io/trust-overlay": "auto"})
    new = debugged(old, a_container("debugger"))
    found = patched(reviewed(new, old))
    assert all(operation["path"].startswith("/spec/ephemeralContainers/0/") for operation in found.operations)
    assert not {"subPath", "resources"} & set(json.dumps(found.operations).replace('"', " ").split())
    assert found.status == {}


def test_only_the_new_container_can_be_changed() -> None:
    old = debugged(running(), a_container("first"))
    new = debugged(old, a_container("second", env=[{"name": "JAVA_TOOL_OPTIONS", "value": "-Xmx1g"}]))
    found = patched(reviewed(new, old))
    assert {operation["path"].split("/")[3] for operation in found.operations} == {"1"}
    after = applied(new, found.operations)
    assert env_of(after, "second")["JAVA_TOOL_OPTIONS"].startswith("-Xmx1g -D")
    assert env_of(after, "first") == {}


@pytest.mark.parametrize("mode", ["environment", "disabled"])
def test_a_pod_without_sidecar_is_left_alone(mode: str) -> None:
    old = running(mode) if mode == "environment" else a_pod(mode)
    found = reviewed(debugged(old, a_container("debugger")), old)
    assert untouched(found).reasons == (Reason.NO_SIDECAR,)


def test_a_sidecar_without_its_volume_is_no_place_to_mount_from() -> None:
    old = running()
    old["spec"]["volumes"] = []
    assert untouched(reviewed(debugged(old, a_container("debugger")), old)).reasons == (Reason.NO_SIDECAR,)


def test_system_namespaces_and_garbage() -> None:
    own = review_ephemeral({}, {}, FACTS, CONFIG, namespace="kube-system")
    assert untouched(own).reasons == (Reason.OWN_NAMESPACE,)
    assert refused(reviewed({"spec": {"containers": 1}}, {})).reasons == (Reason.BAD_POD,)
