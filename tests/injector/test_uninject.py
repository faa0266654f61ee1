"""The way back where someone was there in between: what they changed is theirs. Records that someone has spoilt."""

import json
from typing import Any

import pytest
from injector_lab import FACTS, a_container, a_pod, applied, container_of, env_of, injection, patched

from kecs.core.settings import ProxyMode
from kecs.injector.inject import review
from kecs.injector.record import Record, Share
from kecs.injector.uninject import uninject

STATUS = "kecs.io/aws-proxy-status"


def injected(pod: dict[str, Any]) -> dict[str, Any]:
    return applied(pod, patched(review(pod, FACTS, injection(), namespace="demo")).operations)


def back(pod: dict[str, Any]) -> dict[str, Any]:
    return applied(pod, uninject(pod))


def test_a_pod_that_was_not_injected() -> None:
    assert uninject(a_pod()) == ()
    assert uninject({"spec": {"containers": [{"name": "a"}]}}) == ()


def test_a_value_that_was_changed_is_theirs() -> None:
    before = a_pod(containers=[a_container(env=[{"name": "JAVA_TOOL_OPTIONS", "value": "-Xmx1g"}])])
    after = injected(before)
    after["spec"]["containers"][0]["env"][0]["value"] = "-Xmx2g"
    assert env_of(back(after)) == {"JAVA_TOOL_OPTIONS": "-Xmx2g"}


def test_what_they_removed_or_added_is_not_missed() -> None:
    after = injected(a_pod(containers=[a_container("app"), a_container("gone", env=[{"name": "NO_PROXY"}])]))
    app = container_of(after, "app")
    app["env"] = [entry for entry in app["env"] if entry["name"] != "SSL_CERT_FILE"]
    app["volumeMounts"].append({"name": "theirs", "mountPath": "/theirs"})
    after["spec"]["containers"] = [app]
    after["spec"]["volumes"] = [{"name": "theirs"}, *after["spec"]["volumes"][1:]]
    after["spec"]["initContainers"].insert(1, a_container("late"))
    del after["metadata"]["annotations"]["kecs.io/trust-root-sha256"]
    found = back(after)
    assert found["spec"] == {
        "containers": [a_container("app", volumeMounts=[{"name": "theirs", "mountPath": "/theirs"}])],
        "initContainers": [a_container("late")],
        "volumes": [{"name": "theirs"}],
    }
    assert found["metadata"] == a_pod()["metadata"]


def test_a_variable_that_they_took_away_needs_no_shortening() -> None:
    after = injected(a_pod(containers=[a_container(env=[{"name": "JAVA_TOOL_OPTIONS", "value": "-Xmx1g"}])]))
    app = container_of(after, "app")
    app["env"] = [entry for entry in app["env"] if entry["name"] != "JAVA_TOOL_OPTIONS"]
    assert "env" not in container_of(back(after), "app")


def test_an_annotation_that_they_changed_is_theirs() -> None:
    name = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes"
    after = injected(a_pod(annotations={name: "cache"}))
    assert after["metadata"]["annotations"][name] == "cache,kecs-trust,kecs-tmp,kecs-none"
    after["metadata"]["annotations"][name] = "other"
    assert back(after)["metadata"]["annotations"][name] == "other"


def test_a_record_without_our_annotations_on_the_pod_leaves_them_alone() -> None:
    after = injected(a_pod())
    del after["metadata"]
    assert back(after)["spec"]["containers"][0]["name"] == "app"


RECORD = Record(
    mode=ProxyMode.SIDECAR,
    version="1",
    volumes=("v",),
    extended_annotations={"a": ",b"},
    containers={
        "x": Share(env=("A",), mounts=("/m",), kept=("K",)),
        "y": Share(env=("A",), mounts=("/m",), kept=("K",)),
        "z": Share(extended={"J": " o"}),
        "nothing": Share(),
    },
    was={"volumes": None},
)


def test_a_record_survives_its_annotation_and_is_short_where_containers_are_alike() -> None:
    read = Record.of({STATUS: RECORD.spell()})
    assert read is not None
    assert read.data() == RECORD.data()
    assert [group["names"] for group in RECORD.data()["containers"]] == [["x", "y"], ["z"]]
    assert read.spell() == RECORD.spell()


def test_a_later_pass_adds_to_the_record_and_the_first_knows_best_what_was() -> None:
    later = Record(
        mode=ProxyMode.SIDECAR,
        version="2",
        volumes=("v", "w"),
        containers={"x": Share(env=("B",), kept=("A",)), "new": Share(env=("C",))},
        was={"volumes": []},
    )
    both = RECORD.with_more(later)
    assert (both.version, both.volumes, both.was) == ("2", ("v", "w"), {"volumes": None})
    assert both.containers["x"] == Share(env=("A", "B"), mounts=("/m",), kept=("K",))
    assert both.containers["new"] == Share(env=("C",))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("mode", "disabled"),
        ("mode", "nonsense"),
        ("version", 1),
        ("volumes", "v"),
        ("volumes", [1]),
        ("containers", {"x": 1}),
        ("containers", [{}]),
        ("containers", [{"names": [1]}]),
        ("containers", [{"names": ["x"], "env": "A"}]),
        ("extendedAnnotations", {"a": 1}),
        ("extendedAnnotations", []),
        ("was", 7),
    ],
)
def test_a_record_of_another_shape_is_none(key: str, value: Any) -> None:
    assert Record.of({STATUS: json.dumps(RECORD.data() | {key: value})}) is None
