"""`kecs proxy explain pod/NAME`: how a pod of a cluster runs, and what it would be if it were made anew."""

import copy
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonpatch
import pytest
import yaml
from kube_lab import Fault
from live_lab import READY, Lab, code, lab

from kecs.certs.authority import certificate_pem, issue_root
from kecs.core.names import SIDECAR_CONTAINER
from kecs.injector.config import Facts, Trust
from kecs.injector.document import Document
from kecs.injector.inject import review
from kecs.injector.mode import Marks
from kecs.injector.outcome import Patched

DOCUMENT = """
images: {init: kecs-init:1, sidecar: kecs-sidecar:1}
proxy: {mode: sidecar, localstackEndpoint: "http://kecs-emulator.kecs-system.svc.cluster.local:4566"}
"""
PEM = certificate_pem(issue_root(datetime.now(UTC), permitted=("amazonaws.com",)).certificate)
ASKS = {"kecs.io/aws-proxy-mode": "sidecar"}
LABEL = {"kecs.io/aws-proxy": "enabled"}


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Lab]:
    with lab(tmp_path) as made:
        system = {"namespace": "kecs-system"}
        trust = Trust.from_pem(PEM, source="test")
        data = {"ca.crt": PEM.decode(), "trust_sha256": ",".join(trust.sha256)}
        made.api.put("configmaps", {"metadata": {"name": "kecs-trust", **system}, "data": data})
        made.api.put(
            "configmaps", {"metadata": {"name": "kecs-injector", **system}, "data": {"injector.yaml": DOCUMENT}}
        )
        made.api.put("namespaces", {"metadata": {"name": "shop"}})
        made.api.put("serviceaccounts", {"metadata": {"name": "default", "namespace": "shop"}})
        yield made


def plain(name: str = "app", *, env: dict[str, str] | None = None, **metadata: Any) -> dict[str, Any]:
    variables = [{"name": key, "value": value} for key, value in (env or {}).items()]
    return {
        "metadata": {"name": name, "namespace": "shop", "uid": f"uid-{name}", **metadata},
        "spec": {"containers": [{"name": "app", "image": "shop:1", **({"env": variables} if env else {})}]},
        "status": {"phase": "Running"},
    }


def injected(made: dict[str, Any], *, namespace: Marks | None = None) -> dict[str, Any]:
    """Inject a pod, and have the API server do to it what its own plugins do afterwards."""
    facts = Facts(trust=Trust.from_pem(PEM, source="test"), server_version=(1, 34), namespace=namespace or Marks())
    outcome = review(made, facts, Document.parse(DOCUMENT, source="test").injection("0.0.9"), namespace="shop")
    assert isinstance(outcome, Patched)
    found: dict[str, Any] = jsonpatch.apply_patch(copy.deepcopy(made), list(outcome.operations))
    token = {"name": "kube-api-access", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": True}
    found["spec"]["volumes"].append({"name": "kube-api-access", "projected": {"sources": []}})
    found["spec"]["containers"][0].setdefault("volumeMounts", []).append(token)
    found["status"]["initContainerStatuses"] = [{"name": SIDECAR_CONTAINER, **READY}]
    return found


def explained(cluster: Lab, *arguments: str) -> dict[str, Any]:
    result = cluster.kecs("explain", *(arguments or ("pod/app",)), "-n", "shop", "-o", "json")
    assert code(result) == 0
    (found,) = json.loads(result.stdout)
    return dict(found)


def reasons(found: dict[str, Any]) -> list[str]:
    return [one["reason"] for one in found["anew"]["reasons"]]


def test_an_injected_pod(cluster: Lab) -> None:
    cluster.add(injected(plain(annotations=ASKS, env={"AWS_CA_BUNDLE": "/mine"})))
    result = cluster.kecs("explain", "pod/app", "-n", "shop")
    assert code(result) == 0
    assert (
        result.output
        == """\
pod/app in shop: injected, mode sidecar, version 0.0.9
  sidecar: ready, 0 restarts; trust: active
  was added:
    init containers: aws-proxy-init, aws-proxy-sidecar
    volumes: kecs-trust, kecs-tmp, kecs-none, kecs-token
    annotations: kubectl.kubernetes.io/default-container, cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes
    to container app: variables REQUESTS_CA_BUNDLE, SSL_CERT_FILE, CURL_CA_BUNDLE, GIT_SSL_CAINFO, PIP_CERT, \
GRPC_DEFAULT_SSL_ROOTS_FILE_PATH, PERL_LWP_SSL_CA_FILE, NODE_EXTRA_CA_CERTS, DENO_CERT, PHP_INI_SCAN_DIR, \
JAVA_TOOL_OPTIONS, AWS_REGION, AWS_DEFAULT_REGION; mounts /var/run/kecs/trust; kept AWS_CA_BUNDLE
made anew it would be: injected, mode sidecar
  because:
    the pod's annotation kecs.io/aws-proxy-mode says so (pod_mode)
  warnings:
    container app: sets AWS_CA_BUNDLE itself: clients that read it trust KECS only if /var/run/kecs/trust/ca.pem is in \
there too
  evidence for AWS:
    container app: variable AWS_CA_BUNDLE
"""
    )


def test_a_pod_that_never_asked(cluster: Lab) -> None:
    cluster.add(plain())
    found = explained(cluster)
    assert found["now"] == {
        "injected": False, "mode": None, "version": None, "trust": None, "ready": None, "restarts": None, "added": {},
    }  # fmt: skip
    assert (found["anew"]["outcome"], reasons(found), found["advice"]) == ("untouched", ["not_opted_in"], None)


def test_a_pod_older_than_its_namespaces_label(cluster: Lab) -> None:
    cluster.api.put("namespaces", {"metadata": {"name": "shop", "labels": LABEL}})
    owner = {"kind": "ReplicaSet", "name": "app-5d4f", "controller": True}
    cluster.add(plain(ownerReferences=[owner]))
    found = explained(cluster)
    assert (found["now"]["injected"], found["anew"]["outcome"], found["anew"]["mode"]) == (False, "injected", "sidecar")
    assert found["advice"] == (
        "it was made before it asked for the proxy, or while nobody answered the webhook; "
        "kubectl delete pod app: its ReplicaSet app-5d4f makes it anew"
    )


def test_a_pod_whose_namespace_changed_its_mind(cluster: Lab) -> None:
    cluster.add(injected(plain(), namespace=Marks(labels=LABEL)))
    found = explained(cluster)
    assert (found["now"]["mode"], found["anew"]["outcome"]) == ("sidecar", "untouched")
    assert found["advice"] == (
        "what it asks for has changed since it was made; delete it and create it from its manifest"
    )


def test_the_service_accounts_role_is_evidence(cluster: Lab) -> None:
    role = {"eks.amazonaws.com/role-arn": "arn:aws:iam::000000000000:role/shop"}
    cluster.api.put("serviceaccounts", {"metadata": {"name": "default", "namespace": "shop", "annotations": role}})
    cluster.add(plain(annotations={"kecs.io/aws-proxy-mode": "auto"}))
    found = explained(cluster)
    assert reasons(found) == ["pod_mode", "evidence"]
    assert found["anew"]["evidence"] == ["service account annotation eks.amazonaws.com/role-arn"]


def test_a_pod_that_could_not_be_made_again_is_left_alone(cluster: Lab) -> None:
    cluster.add(injected(plain(annotations=ASKS)))
    cluster.api.remove("configmaps", "kecs-trust", "kecs-system")
    found = explained(cluster)
    assert (found["anew"]["outcome"], found["advice"]) == ("refused", None)
    assert found["now"]["trust"] == "?"
    assert "no_trust_roots" in reasons(found)


def test_limits_of_the_namespace_count(cluster: Lab) -> None:
    limits = [{"type": "Container", "max": {"memory": "100Mi"}}]
    cluster.api.put("limitranges", {"metadata": {"name": "small", "namespace": "shop"}, "spec": {"limits": limits}})
    cluster.add(plain(annotations=ASKS))
    assert any("small" in warning for warning in explained(cluster)["anew"]["warnings"])


def test_a_claim_without_containers_is_no_injection(cluster: Lab) -> None:
    copied = plain()
    copied["metadata"]["annotations"] = injected(plain(annotations=ASKS))["metadata"]["annotations"]
    cluster.add(copied)
    found = explained(cluster)
    assert (found["now"]["injected"], found["anew"]["mode"]) == (False, "sidecar")


def test_what_may_not_be_read_is_named(cluster: Lab) -> None:
    cluster.add(plain(annotations=ASKS))
    cluster.api.faults.append(
        Fault(path="namespaces/shop$|serviceaccounts|limitranges", status=403, times=3, message="no")
    )
    result = cluster.kecs("explain", "app", "-n", "shop")
    assert code(result) == 0
    assert "  could not be read:\n    namespace: no\n    service account: no\n    limit ranges: no\n" in result.output


@pytest.mark.parametrize(
    ("arguments", "said", "exit_code"),
    [
        pytest.param((), "give either pods", 2, id="neither"),
        pytest.param(("pod/app", "-f", "-"), "give either pods", 2, id="both"),
        pytest.param(("pod/app", "--mode", "auto"), "--mode stands for a cluster", 2, id="a fact and a cluster"),
        pytest.param(("service/app",), "'service/app' is no pod", 2, id="no pod"),
        pytest.param(("pod/nowhere",), "there is no pod nowhere in namespace", 1, id="not there"),
    ],
)
def test_what_can_not_be_explained(cluster: Lab, arguments: tuple[str, ...], said: str, exit_code: int) -> None:
    result = cluster.kecs("explain", *arguments)
    assert said in str(result.exception)
    assert getattr(result.exception, "exit_code", 0) == exit_code


def test_kecs_is_not_installed(cluster: Lab) -> None:
    cluster.add(plain())
    cluster.api.remove("configmaps", "kecs-injector", "kecs-system")
    said = cluster.kecs("explain", "app", "-n", "shop").exception
    assert "KECS is not installed in namespace kecs-system" in str(said)


def test_several_and_yaml(cluster: Lab) -> None:
    cluster.add(plain("a"))
    cluster.add(plain("b", annotations=ASKS))
    found = yaml.safe_load(cluster.kecs("explain", "pod/a", "b", "-n", "shop", "-o", "yaml").output)
    assert [one["anew"]["outcome"] for one in found] == ["untouched", "injected"]
    assert "\n\npod/b in shop" in cluster.kecs("explain", "a", "b", "-n", "shop").output


@pytest.mark.parametrize("change", [{"containers": None}, {"containers": [{"name": 7}]}])
def test_a_spec_that_makes_no_sense_is_told_not_crashed_on(cluster: Lab, change: dict[str, Any]) -> None:
    broken = plain(annotations=ASKS)
    broken["spec"] |= change
    cluster.add(broken)
    assert explained(cluster)["anew"]["errors"]
