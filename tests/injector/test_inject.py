"""Reviews that one input and one patch don't show: second passes, copies, changed settings, and any pod at all."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from injector_lab import (
    FACTS,
    MODE,
    TOKEN_PATH,
    TRUST,
    a_container,
    a_pod,
    applied,
    as_the_api_server_leaves_it,
    container_of,
    env_of,
    facts,
    injection,
    patched,
    refused,
    untouched,
)

from kecs.core.settings import Proxy, ProxyMode
from kecs.injector.config import Images, Injection, Trust
from kecs.injector.inject import review
from kecs.injector.mode import Marks
from kecs.injector.outcome import Patched, Refused
from kecs.injector.reason import Reason
from kecs.injector.record import Record
from kecs.injector.uninject import uninject

STATUS = "kecs.io/aws-proxy-status"
CONFIG = injection()


def injected(pod: dict[str, Any], config: Injection = CONFIG) -> dict[str, Any]:
    return applied(pod, patched(review(pod, FACTS, config, namespace="demo")).operations)


# --- second passes


@pytest.mark.parametrize("mode", ["sidecar", "environment"])
def test_a_container_of_another_webhook_gets_what_the_others_got_and_they_nothing(mode: str) -> None:
    pod = as_the_api_server_leaves_it(injected(a_pod(mode)))
    pod["spec"]["containers"].insert(0, a_container("late"))
    found = patched(review(pod, FACTS, CONFIG, namespace="demo"))
    assert found.reasons == (Reason.POD_MODE, Reason.COMPLETED)
    touched = {operation["path"].split("/env")[0].split("/volumeMounts")[0] for operation in found.operations}
    assert touched == {"/spec/containers/0", "/metadata/annotations/kecs.io~1aws-proxy-status"}
    after = applied(pod, found.operations)
    assert env_of(after, "late") == env_of(after, "app")
    record = Record.of(after["metadata"]["annotations"])
    assert record is not None
    assert set(record.containers) == {"app", "late"}
    untouched(review(after, FACTS, CONFIG, namespace="demo"))
    back = applied(after, uninject(after))
    assert "env" not in container_of(back, "late")


def test_the_api_servers_additions_to_our_containers_stay() -> None:
    pod = as_the_api_server_leaves_it(injected(a_pod()))
    assert any(mount["mountPath"] == TOKEN_PATH for mount in container_of(pod, "app")["volumeMounts"])
    ours = [
        mount for mount in container_of(pod, "aws-proxy-sidecar")["volumeMounts"] if mount["mountPath"] == TOKEN_PATH
    ]
    assert [mount["name"] for mount in ours] == ["kecs-none"]
    assert untouched(review(pod, FACTS, CONFIG, namespace="demo")).reasons == (Reason.POD_MODE, Reason.ALREADY_INJECTED)


@pytest.mark.parametrize(
    ("container", "key", "value"),
    [
        pytest.param("aws-proxy-init", "image", "mirror.example/kecs-init:0.1.0", id="an image from a mirror"),
        pytest.param("aws-proxy-sidecar", "resources", {"limits": {"cpu": "3"}}, id="resources by a recommender"),
        pytest.param("aws-proxy-sidecar", "livenessProbe", {"exec": {"command": ["x"]}}, id="a probe by a mesh"),
        pytest.param("aws-proxy-sidecar", "lifecycle", {"preStop": {}}, id="a hook"),
    ],
)
def test_what_others_decide_is_left_to_them(container: str, key: str, value: Any) -> None:
    pod = injected(a_pod())
    container_of(pod, container)[key] = value
    untouched(review(pod, FACTS, CONFIG, namespace="demo"))


def test_what_our_containers_can_not_do_without_comes_back() -> None:
    pod = injected(a_pod())
    wanted = json.loads(json.dumps(pod))
    del container_of(pod, "aws-proxy-init")["securityContext"]["capabilities"]["add"]
    container_of(pod, "aws-proxy-sidecar")["env"] = [{"name": "THEIRS", "value": "1"}]
    container_of(pod, "aws-proxy-sidecar")["volumeMounts"].pop()
    pod["spec"]["volumes"] = []
    found = patched(review(pod, FACTS, CONFIG, namespace="demo"))
    assert Reason.COMPLETED in found.reasons
    after = applied(pod, found.operations)
    assert container_of(after, "aws-proxy-init") == container_of(wanted, "aws-proxy-init")
    sidecar = container_of(after, "aws-proxy-sidecar")
    assert sidecar["env"] == [{"name": "THEIRS", "value": "1"}, *container_of(wanted, "aws-proxy-sidecar")["env"]]
    assert after["spec"]["volumes"] == wanted["spec"]["volumes"]
    untouched(review(after, FACTS, CONFIG, namespace="demo"))


def test_a_manifest_of_an_older_root_gets_the_newer_ones() -> None:
    pod = injected(a_pod())
    newer = facts(trust=Trust(pem="NEW\n", sha256=("ef" * 32,)))
    after = applied(pod, patched(review(pod, newer, CONFIG, namespace="demo")).operations)
    assert env_of(after, "aws-proxy-init")["KECS_TRUST_ROOTS"] == "NEW\n"
    assert after["metadata"]["annotations"]["kecs.io/trust-root-sha256"] == "ef" * 32
    untouched(review(after, newer, CONFIG, namespace="demo"))


def test_a_copy_with_our_annotations_but_without_our_containers_is_injected() -> None:
    copy = a_pod(annotations=injected(a_pod())["metadata"]["annotations"])
    after = injected(copy)
    assert [one["name"] for one in after["spec"]["initContainers"]] == ["aws-proxy-init", "aws-proxy-sidecar"]
    assert applied(after, uninject(after))["spec"] == copy["spec"]


def test_a_copy_with_our_containers_but_without_our_annotations_can_be_taken_back() -> None:
    copy = injected(a_pod())
    copy["metadata"]["annotations"] = {MODE: "sidecar"}
    back = applied(copy, uninject(copy))
    assert {name for name in env_of(back) if "REGION" not in name} == set()
    assert back["spec"] | {"containers": []} == {"containers": []}
    after = injected(copy)
    assert after["metadata"]["annotations"]["kecs.io/aws-proxy-injected"] == "true"
    untouched(review(after, FACTS, CONFIG, namespace="demo"))


def test_the_sidecar_holds_over_a_mode_that_was_changed_later() -> None:
    pod = injected(a_pod())
    pod["metadata"]["annotations"][MODE] = "environment"
    found = untouched(review(pod, FACTS, CONFIG, namespace="demo"))
    assert found.warnings == ("the pod has the sidecar already, which holds over the mode environment",)


@pytest.mark.parametrize("status", ["", "{}", "null", "[]", '{"mode":"sidecar"}', '{"mode":"auto","version":"1"}'])
def test_a_status_that_someone_has_spoilt_does_no_harm(status: str) -> None:
    pod = injected(a_pod("environment"))
    pod["metadata"]["annotations"][STATUS] = status
    after = applied(pod, patched(review(pod, FACTS, CONFIG, namespace="demo")).operations)
    assert env_of(after) == env_of(pod)


# --- fallback and settings


@pytest.mark.parametrize(
    ("order", "outcome"),
    [
        ((ProxyMode.SIDECAR, ProxyMode.ENVIRONMENT), "environment"),
        ((ProxyMode.AUTO, ProxyMode.DISABLED, ProxyMode.ENVIRONMENT), "untouched"),
        ((ProxyMode.SIDECAR,), "refused"),
        ((), "refused"),
    ],
)
def test_the_first_possible_mode_of_the_order_is_taken(order: tuple[ProxyMode, ...], outcome: str) -> None:
    found = review(a_pod(hostNetwork=True), FACTS, injection(fallback_order=order), namespace="demo")
    words = {"Patched": "environment", "Untouched": "untouched", "Refused": "refused"}
    assert words[type(found).__name__] == outcome
    assert (Reason.FELL_BACK in found.reasons) == (outcome != "refused")
    assert any("spec.hostNetwork is true" in line for line in (*found.warnings, *getattr(found, "sentences", ())))


def test_no_fallback_helps_against_a_mistake() -> None:
    pod = a_pod(hostNetwork=True, volumes=[{"name": "kecs-tmp", "emptyDir": {}}])
    found = refused(review(pod, FACTS, CONFIG, namespace="demo"))
    assert found.reasons == (Reason.POD_MODE, Reason.HOST_NETWORK, Reason.VOLUME_NAME_TAKEN)


@pytest.mark.parametrize("name", ["kube-system", "kube-public", "kube-node-lease", "kecs-system", "aws-services"])
def test_system_namespaces_are_never_touched_whatever_is_in_the_pod(name: str) -> None:
    config = injection(excluded_namespaces=("aws-services",))
    for pod in (a_pod(), {}, {"metadata": 7}):
        assert untouched(review(pod, FACTS, config, namespace=name)).reasons == (Reason.OWN_NAMESPACE,)


def test_the_settings_are_the_systems_own() -> None:
    config = Injection.from_settings(Proxy(), version="1", images=Images(init="i", sidecar="s"))
    assert config.mode is ProxyMode.ENVIRONMENT
    assert config.endpoint.host == "localstack.aws-services.svc.cluster.local"
    assert config.fallback_order == (ProxyMode.SIDECAR, ProxyMode.ENVIRONMENT)


def test_pull_secrets_are_added_once() -> None:
    config = injection(images=Images(init="i", sidecar="s", pull_secrets=("a", "b")))
    pod = a_pod(imagePullSecrets=[{"name": "b"}])
    after = injected(pod, config)
    assert [one["name"] for one in after["spec"]["imagePullSecrets"]] == ["b", "a"]
    assert applied(after, uninject(after)) == pod


# --- any pod

TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=8)
NAMES = st.from_regex(r"[a-z]([-a-z0-9]{0,6}[a-z0-9])?", fullmatch=True)
VARIABLES = st.sampled_from(
    [
        *("AWS_CA_BUNDLE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID"),
        *("JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "PHP_INI_SCAN_DIR", "HTTPS_PROXY", "NO_PROXY", "no_proxy", "OTHER"),
    ]
)


def maybe(**keys: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Make objects in which each key may be absent, null or there."""
    return st.fixed_dictionaries({}, optional={key: st.none() | value for key, value in keys.items()})


def merged(*parts: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.tuples(*parts).map(lambda each: {key: value for part in each for key, value in part.items()})


VALUES = TEXTS | st.sampled_from(["-Xmx1g", "-Djavax.net.ssl.trustStore=/mine.jks", "localhost,.amazonaws.com", "a:b"])
ENTRIES = merged(
    st.fixed_dictionaries({"name": VARIABLES}),
    maybe(value=VALUES) | st.just({"valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}}),
)
MOUNTS = st.fixed_dictionaries({"name": NAMES, "mountPath": st.sampled_from(["/a", "/b/c", "/etc/ssl/cert.pem"])})
CONTAINERS = merged(
    st.fixed_dictionaries({"name": NAMES}),
    maybe(
        image=NAMES,
        env=st.lists(ENTRIES, max_size=4),
        envFrom=st.lists(maybe(prefix=st.sampled_from(["", "AWS_", "X_"])), max_size=2),
        volumeMounts=st.lists(MOUNTS, max_size=2),
        readinessProbe=st.just({"httpGet": {"path": "/", "port": 1}}),
    ),
)
SPECS = st.lists(CONTAINERS, min_size=2, max_size=5, unique_by=lambda one: one["name"]).flatmap(
    lambda containers: merged(
        st.just({"containers": containers[:1]}),
        maybe(
            initContainers=st.just(containers[1:]) | st.just([]),
            volumes=st.lists(st.fixed_dictionaries({"name": NAMES}), max_size=2),
            imagePullSecrets=st.lists(st.fixed_dictionaries({"name": NAMES}), max_size=2),
            resources=st.just({"limits": {"memory": "1Gi"}}),
        ),
    )
)
ANNOTATIONS = st.dictionaries(NAMES, TEXTS, max_size=2) | st.just(
    {"cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes": "cache", "kecs.io/trust-overlay": "auto"}
)
PODS = st.builds(
    lambda metadata, spec: {**metadata, "spec": spec},
    maybe(metadata=maybe(annotations=ANNOTATIONS, labels=st.dictionaries(NAMES, TEXTS, max_size=1), name=NAMES)),
    SPECS,
)


def without_ours(container: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in container.items() if key not in {"env", "volumeMounts"}}


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(pod=PODS, mode=st.sampled_from(["sidecar", "environment"]), dns=st.booleans())
def test_any_pod_is_patched_once_changed_in_two_keys_and_taken_back_whole(
    pod: dict[str, Any],
    mode: str,
    dns: bool,  # noqa: FBT001 - hypothesis calls by name
) -> None:
    config = injection(images=Images(init="i", sidecar="s", pull_secrets=("pull",) if dns else ()))
    asked = facts(labels={"kecs.io/aws-proxy": "enabled"}, annotations={MODE: mode})
    before = json.dumps(pod)
    found = review(pod, asked, config, namespace="demo")
    assert isinstance(found, Patched)
    assert json.dumps(pod) == before
    after = applied(pod, found.operations)
    for key in ("initContainers", "containers"):
        for container in pod["spec"].get(key) or ():
            changed = container_of(after, container["name"])
            assert json.dumps(without_ours(changed)) == json.dumps(without_ours(container))
    assert applied(after, uninject(after)) == pod
    for seen in (after, as_the_api_server_leaves_it(after)):
        assert untouched(review(seen, asked, config, namespace="demo")).reasons[-1] is Reason.ALREADY_INJECTED


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "env", "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=300)
@given(
    pod=maybe(
        metadata=JSON,
        spec=maybe(containers=JSON, initContainers=JSON, volumes=JSON, securityContext=JSON, os=JSON, nodeSelector=JSON)
        | JSON,
    ),
    mode=st.sampled_from(["sidecar", "environment", "auto"]),
)
def test_garbage_comes_to_an_outcome(pod: dict[str, Any], mode: str) -> None:
    asked = facts(labels={"kecs.io/aws-proxy": "enabled"}, annotations={MODE: mode})
    found = review(pod, asked, CONFIG, namespace="demo")
    if isinstance(found, Refused):
        assert found.sentences
        assert all(sentence and "\n" not in sentence for sentence in found.sentences)


def test_facts_default_to_nothing_known() -> None:
    assert facts().namespace == Marks()
    assert facts(trust=None).trust is None
    assert TRUST.sha256[0] == "ab" * 32


def test_a_pod_of_a_mesh_alone_gets_the_sidecar_and_its_containers_nothing() -> None:
    pod = a_pod(containers=[a_container("istio-proxy")])
    after = injected(pod)
    assert container_of(after, "istio-proxy") == a_container("istio-proxy")
    assert after["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"] == "istio-proxy"
    assert applied(after, uninject(after)) == pod
