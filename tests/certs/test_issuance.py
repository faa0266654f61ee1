import copy
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import pytest
from certs_service_lab import pod, review
from hypothesis import given
from hypothesis import strategies as st

from kecs.certs.authority import new_key
from kecs.certs.csr import Csr, CsrProblem, Unfit
from kecs.certs.issuance import ANSWERS, Bearer, Denial, Denied, Policy, bearer, decide, is_opted_in

POLICY = Policy()
WHO = Bearer(namespace="demo", pod="app", uid="uid-app")
GOOD = Csr(public_key=new_key().public_key(), subject="demo/app")
NAMESPACE: dict[str, Any] = {"metadata": {"name": "demo", "labels": {}}}
ROOTS = frozenset({"aa", "bb"})


def test_a_good_token_names_its_pod() -> None:
    assert bearer(review(), POLICY) == WHO


def user(**changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = review()["user"] | changes
    return found


AUDIENCE_ERROR = (
    '[invalid bearer token, token audiences ["kecs.io/certs"] is invalid for the target audiences ["other"]]'
)


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        pytest.param({"user": {}, "error": "invalid bearer token"}, Denial.TOKEN_REFUSED, id="forged"),
        pytest.param({"error": "service account token has been invalidated"}, Denial.TOKEN_REFUSED, id="pod deleted"),
        pytest.param({"error": AUDIENCE_ERROR}, Denial.WRONG_AUDIENCE, id="another audience"),
        pytest.param({}, Denial.TOKEN_REFUSED, id="nothing said"),
        pytest.param(review(authenticated="yes"), Denial.TOKEN_REFUSED, id="a text for true"),
        pytest.param(review(audiences=["https://kubernetes.default"]), Denial.WRONG_AUDIENCE, id="not for us"),
        pytest.param(review(audiences=None), Denial.WRONG_AUDIENCE, id="for nobody"),
        pytest.param(review(user=user(extra={})), Denial.NOT_BOUND, id="bound to no pod"),
        pytest.param(review(user=user(extra=None)), Denial.NOT_BOUND, id="no extras"),
        pytest.param(review(uid=""), Denial.NOT_BOUND, id="no uid"),
        pytest.param(
            review(user=user(extra=review()["user"]["extra"] | {"authentication.kubernetes.io/pod-name": ["a", "b"]})),
            Denial.NOT_BOUND,
            id="two pods",
        ),
        pytest.param(review(user=user(username="admin")), Denial.NOT_BOUND, id="a person"),
        pytest.param(review(user=user(username="system:serviceaccount:demo")), Denial.NOT_BOUND, id="half an account"),
    ],
)
def test_tokens_that_name_no_pod(status: dict[str, Any], reason: Denial) -> None:
    found = bearer(status, POLICY)
    assert isinstance(found, Denied)
    assert found.reasons == (reason,)


def decided(
    found: dict[str, Any] | None,
    csr: Csr | Unfit = GOOD,
    *,
    namespace: dict[str, Any] | None = NAMESPACE,
    leads_to: frozenset[str] | None = ROOTS,
) -> Csr | Denied:
    return decide(WHO, found, namespace, csr, leads_to=leads_to, policy=POLICY)


def changed(change: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    found = copy.deepcopy(pod())
    change(found)
    return found


def annotated(**annotations: str) -> dict[str, Any]:
    names = {"mode": "kecs.io/aws-proxy-mode", "trusts": "kecs.io/trust-root-sha256"}
    return pod(annotations={names[key]: value for key, value in annotations.items()})


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(pod(), id="asked for by annotation"),
        pytest.param(annotated(mode="sidecar", trusts="bb"), id="trusts the root"),
        pytest.param(annotated(mode="sidecar", trusts="xx, aa"), id="trusts one of the roots"),
        pytest.param(annotated(mode="auto"), id="asked for evidence"),
        pytest.param(changed(lambda p: p.update(spec={"containers": [{"name": "aws-proxy-sidecar"}]})), id="ordinary"),
        pytest.param(changed(lambda p: p.update(status={"phase": "Pending"})), id="starting"),
        pytest.param(changed(lambda p: p.pop("status")), id="without a status yet"),
    ],
)  # fmt: skip
def test_granted(found: dict[str, Any]) -> None:
    assert decided(found) is GOOD


@pytest.mark.parametrize(
    ("found", "reasons"),
    [
        pytest.param(None, {Denial.NO_POD}, id="deleted"),
        pytest.param(pod(uid="uid-later"), {Denial.OTHER_POD}, id="another pod of the name"),
        pytest.param(pod(deletionTimestamp="2026-11-21T00:00:00Z"), {Denial.ENDING}, id="being deleted"),
        pytest.param(changed(lambda p: p["status"].update(phase="Succeeded")), {Denial.ENDED}, id="completed"),
        pytest.param(changed(lambda p: p["status"].update(phase="Failed")), {Denial.ENDED}, id="failed"),
        pytest.param(changed(lambda p: p["spec"].pop("initContainers")), {Denial.NO_SIDECAR}, id="no sidecar"),
        pytest.param(annotated(), {Denial.NOT_OPTED_IN}, id="asked by nobody"),
        pytest.param(annotated(mode="environment"), {Denial.NOT_OPTED_IN}, id="asked for another mode"),
        pytest.param(annotated(mode="sidecar", trusts="cc"), {Denial.CHAIN_UNTRUSTED}, id="trusts another root"),
        pytest.param(
            changed(lambda p: p.update(spec={"containers": []}, metadata={"uid": "uid-app"})),
            {Denial.NO_SIDECAR, Denial.NOT_OPTED_IN},
            id="all reasons at once",
        ),
    ],
)
def test_denied(found: dict[str, Any] | None, reasons: set[Denial]) -> None:
    outcome = decided(found)
    assert isinstance(outcome, Denied)
    assert set(outcome.reasons) == reasons
    assert outcome.message
    assert outcome.hint


def test_where_the_roots_are_not_all_known_the_sidecar_judges() -> None:
    assert decided(annotated(mode="sidecar", trusts="cc"), leads_to=None) is GOOD


@pytest.mark.parametrize("subject", ["demo/other", "other/app", "s3.amazonaws.com", "demo/app "])
def test_a_name_of_another(subject: str) -> None:
    outcome = decided(pod(), Csr(public_key=GOOD.public_key, subject=subject))
    assert isinstance(outcome, Denied)
    assert outcome.problems == ((CsrProblem.FOREIGN_NAME, subject),)
    assert outcome.status is HTTPStatus.BAD_REQUEST


def test_an_unfit_request_and_an_unfit_pod_are_both_told() -> None:
    outcome = decided(None, Unfit(problems=((CsrProblem.WEAK_KEY, "RSA of 1024 bits"),)))
    assert isinstance(outcome, Denied)
    assert outcome.reasons == (Denial.NO_POD, Denial.CSR)
    assert "csr_weak_key: RSA of 1024 bits" in outcome.message


def marked(label: str = "", **annotations: str) -> dict[str, Any]:
    """Make the metadata of a pod or a namespace."""
    labels = {"kecs.io/aws-proxy": label} if label else {}
    names = {"mode": "aws-proxy-mode", "switch": "aws-proxy-enabled", "older": "inject-aws-proxy"}
    given = {f"kecs.io/{names[key]}": value for key, value in annotations.items()}
    return {"metadata": {"labels": labels, "annotations": given}}


ENABLED, SHUT = marked("enabled"), marked("disabled")
ASKING = marked(switch="true")


@pytest.mark.parametrize(
    ("name", "namespace", "found", "expected"),
    [
        ("kube-system", ENABLED, ASKING, False),
        ("kecs-system", ENABLED, ASKING, False),
        ("demo", SHUT, {}, False),
        ("demo", SHUT, ASKING, False),
        ("demo", SHUT, marked(mode="sidecar"), False),
        ("demo", ENABLED, {}, True),
        ("demo", ENABLED, marked("disabled"), False),
        ("demo", ENABLED, marked(mode="disabled"), False),
        ("demo", ENABLED, marked(switch="false"), False),
        ("demo", ENABLED, marked(switch="false", older="true"), False),
        ("demo", ENABLED, marked(switch="true", older="false"), True),
        ("demo", NAMESPACE, ASKING, True),
        ("demo", None, ASKING, True),
        ("demo", NAMESPACE, marked("enabled"), True),
        ("demo", NAMESPACE, marked("disabled", mode="sidecar"), False),
        ("demo", NAMESPACE, marked(mode="sidecar", switch="false"), False),
        ("demo", NAMESPACE, marked(older="true"), True),
        ("demo", NAMESPACE, marked(mode="auto"), True),
        ("demo", NAMESPACE, {}, False),
        ("demo", None, {}, False),
    ],
)
def test_who_is_opted_in(name: str, namespace: dict[str, Any] | None, found: dict[str, Any], *, expected: bool) -> None:
    assert is_opted_in(name, namespace, found, POLICY) is expected


def test_every_denial_is_told_with_a_remedy_and_never_as_our_fault() -> None:
    assert set(ANSWERS) == set(Denial)
    assert all(answer.sentence and answer.hint for answer in ANSWERS.values())
    assert {answer.status for answer in ANSWERS.values() if answer.status >= 500} == {HTTPStatus.SERVICE_UNAVAILABLE}


def test_long_names_fit_a_subject_and_keep_what_tells_pods_apart() -> None:
    long = Bearer(namespace="n" * 63, pod="app-7c5ddbdf54-" + "x" * 40 + "-abcde", uid="u")
    assert len(long.subject.encode()) == 58, "X.509 counts bytes"
    assert long.subject.endswith("-abcde")
    task = Bearer(namespace="default-us-east-1", pod="task-" + "0" * 32, uid="u")
    assert task.subject == "...default-us-east-1/task-" + "0" * 32


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)


@given(st.fixed_dictionaries({}, optional={"authenticated": JSON, "audiences": JSON, "error": JSON, "user": JSON}))
def test_whatever_a_review_says_there_is_an_outcome(status: dict[str, Any]) -> None:
    assert isinstance(bearer(status, POLICY), Denied)
    assert isinstance(bearer(status | {"authenticated": True}, POLICY), Denied)
    assert isinstance(bearer(review(user=status.get("user")), POLICY), Denied)
    assert isinstance(bearer(review(user=user(extra=status.get("user"))), POLICY), Denied)
