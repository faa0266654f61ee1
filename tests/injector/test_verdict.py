import base64
import json
from typing import Any, assert_never

import pytest

from kecs.core.settings import ProxyMode
from kecs.injector.admission import AdmissionRequest
from kecs.injector.outcome import Operation, Outcome, Patched, Refused, Untouched
from kecs.injector.reason import Reason
from kecs.injector.verdict import Result, guarded, unavailable, verdict

OWNER = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d9", "uid": "u-1", "controller": True}
OPERATION = Operation(op="add", path="/metadata/labels", value={})


def asked(*, dry_run: bool = False, owners: list[Any] | None = None, subresource: str = "") -> AdmissionRequest:
    metadata = {"generateName": "web-5d9-", "ownerReferences": [OWNER] if owners is None else owners}
    return AdmissionRequest(
        uid="r-1", operation="CREATE", subresource=subresource, namespace="demo", name="", dry_run=dry_run,
        object={"metadata": metadata}, old_object={}, user="someone",
    )  # fmt: skip


def response(answer: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(answer)["response"]
    return found


INJECTED = Patched(operations=(OPERATION,), mode=ProxyMode.SIDECAR, reasons=(Reason.POD_MODE,), warnings=("mind",))
UNTOUCHED = Untouched(reasons=(Reason.NOT_OPTED_IN,))
REFUSED = Refused(reasons=(Reason.BAD_ANNOTATION, Reason.WINDOWS), sentences=("mode is 7", "no iptables"))


def test_injected() -> None:
    found = verdict(asked(), INJECTED)
    assert (found.result, found.reasons) == (Result.INJECTED, ("pod_mode",))
    assert found.fields == {
        "namespace": "demo", "pod": "web-5d9-…", "uid": "r-1", "mode": "sidecar", "operations": 1, "warnings": ["mind"],
    }  # fmt: skip
    assert json.loads(base64.b64decode(response(found.answer)["patch"])) == [OPERATION]
    assert found.event is not None
    assert (found.event.reason, found.event.warning) == ("Injected", False)
    assert found.event.involved == {
        "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d9", "uid": "u-1", "namespace": "demo",
    }  # fmt: skip
    assert found.event.message == "sidecar mode: the pod's annotation kecs.io/aws-proxy-mode says so"


def test_refused_says_every_sentence_to_the_client_the_log_and_the_owner() -> None:
    found = verdict(asked(), REFUSED)
    assert response(found.answer)["status"]["message"] == "mode is 7; no iptables"
    assert found.fields["message"] == "mode is 7; no iptables"
    assert found.event is not None
    assert (found.event.reason, found.event.message, found.event.warning) == (
        "InjectionRefused",
        "mode is 7; no iptables",
        True,
    )


def test_untouched_pods_are_no_news() -> None:
    found = verdict(asked(), UNTOUCHED)
    assert (found.result, found.event) == (Result.UNTOUCHED, None)
    assert response(found.answer) == {"uid": "r-1", "allowed": True}


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(asked(dry_run=True), id="a dry run"),
        pytest.param(asked(owners=[]), id="a pod that nobody owns"),
        pytest.param(asked(owners=[{**OWNER, "controller": False}]), id="an owner that does not control it"),
        pytest.param(asked(owners=["x"]), id="an owner that is none"),
        pytest.param(asked(subresource="ephemeralcontainers"), id="a debug container"),
    ],
)
@pytest.mark.parametrize("outcome", [INJECTED, REFUSED])
def test_no_event(request_: AdmissionRequest, outcome: Outcome) -> None:
    assert verdict(request_, outcome).event is None


def test_what_cannot_be_decided_is_denied_and_may_be_let_through() -> None:
    closed = response(unavailable(asked(), "the API server is away").answer)
    assert (closed["allowed"], closed["status"]["code"]) == (False, 503)
    assert "the API server is away" in closed["status"]["message"]
    opened = response(unavailable(asked(), "the API server is away", fail_open=True).answer)
    assert opened["allowed"]
    assert opened["warnings"] == ["started without the AWS proxy, and reaches real AWS: the API server is away"]


def test_a_defect_of_ours_denies() -> None:
    def stumble(_asked: AdmissionRequest) -> Outcome:
        raise KeyError("spec")

    found = guarded(stumble, asked())
    assert not response(found.answer)["allowed"]
    assert found.reasons == ("broken",)
    assert found.fields["message"] == "KeyError: 'spec'"


@pytest.mark.parametrize("outcome", [INJECTED, UNTOUCHED, REFUSED])
def test_every_outcome_is_an_answer(outcome: Outcome) -> None:
    allowed = response(guarded(lambda _asked: outcome, asked()).answer)["allowed"]
    match outcome:
        case Patched() | Untouched():
            assert allowed
        case Refused():
            assert not allowed
        case _:
            assert_never(outcome)
