"""The injector as a process: pods are made through it by an API server that checks its certificate."""

import json
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from certs_service_lab import SCOPE
from kube_lab import ApiServer, Fault, api_server
from webhook_lab import Injector, injector, new_state, publish, publisher_of

from kecs.certs.kube import Kube, KubeError
from kecs.certs.outcome import State, Step
from kecs.certs.rotation import emergency, prepare, retire, switch
from kecs.injector.registration import SETTLE_S
from kecs.injector.webhook import WebhookSettings, ca_bundle, configuration, drift

PODS = "/api/v1/namespaces/demo/pods"


@dataclass(slots=True)
class Lab:
    api: ApiServer
    kube: Kube
    injector: Injector
    state: State
    directory: Path

    def publish(self, state: State) -> None:
        publish(self.api, self.directory, state)
        self.state = state

    def ready(self) -> bool:
        return self.injector.health("/readyz")[0] == 200


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with api_server() as api:
        api.put("namespaces", {"metadata": {"name": "demo", "labels": {"kecs.io/aws-proxy": "enabled"}}})
        state = new_state()
        publish(api, tmp_path, state)
        with injector(api, tmp_path) as running:
            kube = Kube.load(kubeconfig=str(api.kubeconfig(tmp_path)))
            found = Lab(api, kube, running, state, tmp_path)
            api.wait(found.ready)
            api.admit = running.admit
            yield found


def pod(**metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": "app"} | metadata, "spec": {"containers": [{"name": "app", "image": "app:1"}]}}


def names(found: dict[str, Any]) -> list[str]:
    return [one["name"] for one in found["spec"].get("initContainers", ())]


def test_a_pod_gets_its_sidecar(lab: Lab) -> None:
    made = lab.kube.create(PODS, pod())
    assert names(made) == ["aws-proxy-init", "aws-proxy-sidecar"]
    assert made["metadata"]["annotations"]["kecs.io/trust-root-sha256"] == lab.state.authority.trust_sha256[0]
    told = lab.injector.next_line("pod_reviewed")
    assert (told["result"], told["mode"], told["namespace"], told["pod"]) == ("injected", "sidecar", "demo", "app")
    assert b'kecs_injector_reviews_total{result="injected"} 1.0' in lab.injector.health("/metrics")[1]


def test_what_nobody_can_obey_is_refused_with_the_annotation_and_its_value(lab: Lab) -> None:
    with pytest.raises(KubeError) as caught:
        lab.kube.create(PODS, pod(annotations={"kecs.io/aws-proxy-mode": "sidekick"}))
    assert 'kecs.io/aws-proxy-mode is "sidekick"' in caught.value.message
    assert "admission webhook denied the request" in caught.value.message


def test_owners_hear_once_and_not_of_dry_runs(lab: Lab) -> None:
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "u", "controller": True}
    for number in range(3):
        lab.kube.create(PODS, pod(name=f"web-{number}", ownerReferences=[owner]), dryRun="All")
    for number in range(3):
        lab.kube.create(PODS, pod(name=f"web-{number}", ownerReferences=[owner]))

    def events() -> list[dict[str, Any]]:
        return [found for (kind, _, _), found in lab.api.objects.items() if kind == "events"]

    lab.api.wait(lambda: len(events()) > 0)
    assert [(one["reason"], one["involvedObject"]["name"], one["type"]) for one in events()] == [
        ("Injected", "web", "Normal")
    ]


def test_opting_in_is_seen_at_once(lab: Lab) -> None:
    lab.api.put("namespaces", {"metadata": {"name": "later"}})
    assert names(lab.kube.create("/api/v1/namespaces/later/pods", pod(name="before"))) == []
    lab.api.put("namespaces", {"metadata": {"name": "later", "labels": {"kecs.io/aws-proxy": "enabled"}}})
    numbers = iter(range(1000))

    def injected() -> bool:
        return bool(names(lab.kube.create("/api/v1/namespaces/later/pods", pod(name=f"after-{next(numbers)}"))))

    lab.api.wait(injected)


def test_a_namespace_that_cannot_be_known_is_denied(lab: Lab) -> None:
    lab.api.faults.append(Fault(path="/namespaces/unknown$", status=503, times=9))
    with pytest.raises(KubeError) as caught:
        lab.kube.create("/api/v1/namespaces/unknown/pods", pod())
    assert caught.value.status == 503
    assert "can't decide about this pod now: the namespace 'unknown' can't be read" in caught.value.message


def test_the_registration_is_repaired(lab: Lab) -> None:
    wanted = configuration(WebhookSettings(excluded_namespaces=("emulators",)), lab.state.authority.bundle_pem)
    assert drift(lab.injector.registered or {}, wanted) == ()
    broken = lab.injector.registered or {}
    for webhook in broken["webhooks"]:
        webhook["clientConfig"]["caBundle"] = "Z2FyYmFnZQ=="
    lab.api.put("mutatingwebhookconfigurations", broken)  # as a GitOps tool does
    lab.api.wait(lambda: drift(lab.injector.registered or {}, wanted) == (), timeout_s=10)
    told = lab.injector.next_line("webhook_repaired")
    assert "webhooks[0].clientConfig.caBundle" in told["paths"]
    lab.api.remove("mutatingwebhookconfigurations", "kecs-injector")
    lab.api.wait(lambda: lab.injector.registered is not None, timeout_s=10)
    assert names(lab.kube.create(PODS, pod())) == ["aws-proxy-init", "aws-proxy-sidecar"]


def step(outcome: Any) -> State:
    assert isinstance(outcome, Step)
    return outcome.state


@pytest.mark.parametrize("way", ["rotation", "emergency"])
def test_no_pod_is_lost_while_the_certificate_is_replaced(lab: Lab, way: str) -> None:
    now = datetime.now(UTC)
    prepared = step(prepare(lab.state, now, SCOPE))
    switched = step(switch(prepared, now, SCOPE))
    states = [prepared, switched, step(retire(switched, now))]
    for state in states if way == "rotation" else [step(emergency(1, now, SCOPE))]:
        made, before = 0, lab.state.authority.issuer_sha256
        lab.publish(state)
        while True:
            found = lab.kube.create(PODS, pod(name=f"{state.authority.phase}-{made}"))  # raises when the call fails
            made += 1
            current = found["metadata"]["annotations"]["kecs.io/trust-root-sha256"].split(",")
            if current == list(state.authority.trust_sha256):
                break
        if state.authority.issuer_sha256 != before:
            lab.injector.next_line("serving_certificate_loaded")
        lab.kube.create(PODS, pod(name=f"{state.authority.phase}-last"))


def test_a_certificate_waits_until_every_api_server_has_seen_its_root(lab: Lab) -> None:
    """Also when an earlier round has added the root: that may have been a moment ago."""
    now = datetime.now(UTC)
    authority = step(emergency(1, now, SCOPE)).authority
    publisher = publisher_of(lab.api, lab.directory)
    publisher.trust(authority)
    lab.api.wait(lambda: ca_bundle(lab.injector.registered or {}).count(b"BEGIN") == 2)
    publisher.serving(authority, now)
    assert lab.injector.next_line("serving_certificate_waits")["seconds"] == SETTLE_S
    lab.injector.next_line("serving_certificate_loaded")
    lab.kube.create(PODS, pod())


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"", 400, b"no JSON"),
        (b"\xff\xfe", 400, b"no JSON"),
        (b"{}", 400, b"no AdmissionReview"),
        (b"[" * 100000, 400, b"no JSON"),
        (b"x" * (11 << 20), 413, b"at most"),
    ],
    ids=["nothing", "bytes", "an empty object", "a deep list", "eleven megabytes"],
)
def test_garbage_is_answered_and_the_server_lives(lab: Lab, body: bytes, status: int, said: bytes) -> None:
    assert lab.injector.post(body)[0] == status
    assert said in lab.injector.post(body)[1]
    assert names(lab.kube.create(PODS, pod())) == ["aws-proxy-init", "aws-proxy-sidecar"]


def test_a_debug_container_is_told_what_to_trust(lab: Lab) -> None:
    made = lab.kube.create(PODS, pod())
    new = json.loads(json.dumps(made))
    new["spec"]["ephemeralContainers"] = [{"name": "debugger", "image": "busybox"}]
    request = {
        "uid": "d", "operation": "UPDATE", "subResource": "ephemeralcontainers", "namespace": "demo", "name": "app",
        "object": new, "oldObject": made,
    }  # fmt: skip
    review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
    answer = lab.injector.admit(review)
    assert answer["allowed"]
    assert answer["patchType"] == "JSONPatch"


def test_before_the_authority_has_published_it_is_not_ready(tmp_path: Path) -> None:
    with api_server() as api, injector(api, tmp_path) as running:
        api.wait(lambda: b"has not been published yet" in running.health("/readyz")[1])
        assert running.registered is None
        publish(api, tmp_path, new_state())
        api.wait(lambda: running.health("/readyz")[0] == 200)
        assert running.registered is not None


def test_two_replicas_agree(lab: Lab, tmp_path: Path) -> None:
    with injector(lab.api, tmp_path) as second:
        lab.api.wait(lambda: second.health("/readyz")[0] == 200)
        lab.api.remove("mutatingwebhookconfigurations", "kecs-injector")
        lab.api.wait(lambda: lab.injector.registered is not None and lab.ready() and second.health("/readyz")[0] == 200)
        version = (lab.injector.registered or {})["metadata"]["resourceVersion"]
        for number in range(5):
            lab.kube.create(PODS, pod(name=f"p{number}"))
        assert (lab.injector.registered or {})["metadata"]["resourceVersion"] == version


def test_it_serves_on_while_the_api_server_is_away(lab: Lab) -> None:
    lab.api.faults.append(
        Fault(path="watch|/namespaces$|webhookconfigurations|secrets|configmaps", status=503, times=40)
    )
    lab.api.compact()
    assert names(lab.kube.create(PODS, pod())) == ["aws-proxy-init", "aws-proxy-sidecar"]


def test_it_ends_when_told_and_stays_registered(lab: Lab) -> None:
    lab.injector.process.send_signal(signal.SIGTERM)
    assert lab.injector.process.wait(15) == 0
    assert lab.injector.registered is not None
