import base64
import json
from http import HTTPStatus
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kecs.injector.admission import WARNING_LIMIT, BadReviewError, allowed, denied, parse

REQUEST: dict[str, Any] = {
    "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
    "operation": "CREATE",
    "namespace": "demo",
    "object": {"kind": "Pod"},
    "oldObject": None,
    "dryRun": False,
    "userInfo": {"username": "system:serviceaccount:kube-system:replicaset-controller"},
}


def review(**changes: Any) -> bytes:
    request = {key: value for key, value in (REQUEST | changes).items() if value != "ABSENT"}
    return json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}).encode()


def test_a_review_as_the_api_server_sends_it() -> None:
    request = parse(review(subResource="ephemeralcontainers", oldObject={"kind": "Pod", "old": 1}, dryRun=True))
    assert (request.uid, request.operation, request.namespace) == (REQUEST["uid"], "CREATE", "demo")
    assert (request.name, request.subresource, request.dry_run) == ("", "ephemeralcontainers", True)
    assert (request.object, request.old_object) == ({"kind": "Pod"}, {"kind": "Pod", "old": 1})
    assert request.user == "system:serviceaccount:kube-system:replicaset-controller"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        pytest.param(b"", "no JSON", id="nothing"),
        pytest.param(b"\xff\x00", "no JSON", id="bytes"),
        pytest.param(b"[]", "has no request", id="a list"),
        pytest.param(b"[" * 100000, "no JSON", id="a deep list"),
        pytest.param(b'{"apiVersion":"admission.k8s.io/v1"}', "has no request", id="no request"),
        pytest.param(b'{"apiVersion":"admission.k8s.io/v1beta1","request":{}}', "v1beta1", id="an older version"),
        pytest.param(review(uid="ABSENT"), "request.uid is None", id="no uid"),
        pytest.param(review(uid=7), "request.uid is 7", id="a number for uid"),
        pytest.param(review(operation=""), "request.operation is ''", id="no operation"),
        pytest.param(review(object=[]), "request.object is of type list", id="a list for the object"),
        pytest.param(review(name={}), "request.name is {}", id="an object for the name"),
    ],
)
def test_garbage_is_refused_with_what_is_wrong(body: bytes, said: str) -> None:
    with pytest.raises(BadReviewError) as caught:
        parse(body)
    assert said in caught.value.message


@given(
    st.binary() | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(lambda v: json.dumps(v).encode())
)
def test_any_bytes_give_a_request_or_our_error(body: bytes) -> None:
    with pytest.raises(BadReviewError):
        parse(body)


def test_yes_with_a_patch() -> None:
    operations = [{"op": "add", "path": "/metadata/annotations", "value": {}}]
    answer = json.loads(allowed("u1", operations=operations, warnings=["mind this"]))
    response = answer["response"]
    assert (answer["kind"], answer["apiVersion"]) == ("AdmissionReview", "admission.k8s.io/v1")
    assert (response["uid"], response["allowed"], response["patchType"]) == ("u1", True, "JSONPatch")
    assert json.loads(base64.b64decode(response["patch"])) == operations
    assert response["warnings"] == ["mind this"]


def test_yes_without_a_patch_has_no_patch_type() -> None:
    # a patchType without a patch makes the API server fail the call
    assert json.loads(allowed("u1"))["response"] == {"uid": "u1", "allowed": True}


@pytest.mark.parametrize(
    ("status", "reason"),
    [(HTTPStatus.BAD_REQUEST, "BadRequest"), (HTTPStatus.SERVICE_UNAVAILABLE, "ServiceUnavailable")],
)
def test_no_with_a_sentence(status: HTTPStatus, reason: str) -> None:
    response = json.loads(denied("u1", "annotation x is y", status=status))["response"]
    assert response == {
        "uid": "u1",
        "allowed": False,
        "status": {"code": int(status), "message": "annotation x is y", "reason": reason},
    }


def test_warnings_have_no_line_breaks_no_twins_and_an_end() -> None:
    warnings = ["two\nlines", "two lines", "x" * 1000, *(f"{number} {'y' * 200}" for number in range(100))]
    said = json.loads(allowed("u1", warnings=warnings))["response"]["warnings"]
    assert said[0] == "two lines"
    assert (len(said[1]), said[1][-1]) == (WARNING_LIMIT, "…")
    assert said[2].startswith("0 ")
    assert not any("\n" in one for one in said)
    assert sum(map(len, said)) <= 4096
