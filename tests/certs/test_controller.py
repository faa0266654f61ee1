"""A cluster's authority, round by round: what it makes, publishes, repairs, and does when it is asked."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from authority_lab import NAMESPACE, SCOPE, Cluster, cluster
from kube_lab import Fault

from kecs.certs.authority import Signer, certificate_pem, issue_issuer, issue_root, key_pem
from kecs.certs.outcome import Reason
from kecs.certs.requests import PROPAGATING, Stage
from kecs.certs.serving import read
from kecs.certs.state import Phase
from kecs.core.errors import AuthorityError, KecsError


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Cluster]:
    with cluster(tmp_path) as found:
        yield found


def test_the_first_round_makes_everything(lab: Cluster) -> None:
    assert lab.replica().round() == 30
    authority = lab.authority
    trust = lab.fields("configmaps", "kecs-trust")
    assert (authority.generation, authority.phase) == (1, Phase.STABLE)
    assert trust["ca.crt"] == authority.bundle_pem
    assert (trust["generation"], trust["phase"]) == (b"1", b"stable")
    tls = lab.fields("secrets", "kecs-injector-tls")
    serving = read(tls["tls.crt"], tls["tls.key"], source="it")
    assert (serving.issuer_sha256, tls["ca.crt"]) == (authority.issuer_sha256, authority.bundle_pem)
    assert lab.events == ["AuthorityCreated"]
    assert authority.permitted == SCOPE.permitted


def test_a_second_round_writes_nothing(lab: Cluster) -> None:
    lab.replica().round()
    lab.api.requests.clear()
    lab.replica().round()
    assert {request.method for request in lab.api.requests} == {"GET"}


def test_no_key_is_ever_logged_or_published(lab: Cluster) -> None:
    replica = lab.replica(propagation_s=0)
    lab.ask("a", "rotate")
    lab.settle(replica)
    public = lab.log.getvalue() + json.dumps(
        [body for (resource, _, _), body in lab.api.objects.items() if resource != "secrets"]
    )
    assert "PRIVATE" not in public


@pytest.mark.parametrize(
    ("resource", "name", "field"),
    [
        ("configmaps", "kecs-trust", "ca.crt"),
        ("configmaps", "kecs-trust", "generation"),
        ("secrets", "kecs-injector-tls", "tls.crt"),
        ("secrets", "kecs-injector-tls", "tls.key"),
        ("secrets", "kecs-injector-tls", "ca.crt"),
    ],
)
@pytest.mark.parametrize("value", ["WFg=", "%", None], ids=["other", "garbage", "removed"])
def test_drift_is_repaired(lab: Cluster, resource: str, name: str, field: str, value: str | None) -> None:
    lab.replica().round()
    before = lab.fields("configmaps", "kecs-trust")
    lab.edit(resource, name, **{field.replace(".", "_"): value, "theirs": "eA=="})
    lab.replica().round()
    assert lab.fields("configmaps", "kecs-trust").items() >= before.items()
    tls = lab.fields("secrets", "kecs-injector-tls")
    assert read(tls["tls.crt"], tls["tls.key"], source="it").issuer_sha256 == lab.authority.issuer_sha256
    assert tls["ca.crt"] == before["ca.crt"]
    assert "theirs" in lab.fields(resource, name)
    lab.api.requests.clear()
    lab.replica().round()
    assert {request.method for request in lab.api.requests} == {"GET"}


@pytest.mark.parametrize("name", ["kecs-trust", "kecs-injector-tls"])
def test_what_is_deleted_is_made_again(lab: Cluster, name: str) -> None:
    lab.replica().round()
    resource = "configmaps" if name == "kecs-trust" else "secrets"
    lab.api.remove(resource, name, NAMESPACE)
    lab.replica().round()
    assert lab.fields(resource, name)["ca.crt"] == lab.authority.bundle_pem


def test_certificates_are_renewed_in_time_for_years(lab: Cluster) -> None:
    replica = lab.replica()
    replica.round()
    issuers = set()
    for _ in range(200):
        lab.pass_time(days=2)
        replica.round()
        tls = lab.fields("secrets", "kecs-injector-tls")
        assert read(tls["tls.crt"], tls["tls.key"], source="it").not_after > lab.now + timedelta(days=2)
        assert lab.authority.issuer.not_after > lab.now + timedelta(days=28)
        issuers.add(lab.authority.issuer_sha256)
    assert 6 <= len(issuers) <= 8
    assert lab.authority.generation == 1
    assert "IssuerRenewed" in lab.events


def test_a_rotation_step_by_step(lab: Cluster) -> None:
    replica = lab.replica()
    replica.round()
    lab.start_pod("old")
    lab.ask("a", "rotate")
    assert replica.round() == pytest.approx(5)
    assert (lab.report.stage, lab.report.reasons) == (Stage.WAITING, (Reason.OLD_ROOT_ONLY.value,))
    assert [one.name for one in lab.report.workloads] == ["demo/old"]
    assert [step.partition(":")[0] for step in lab.report.steps] == ["prepare", "switch"]
    assert (lab.authority.generation, lab.authority.phase, lab.report.phase) == (2, Phase.SWITCHED, "switched")
    lab.start_pod("both")
    assert lab.cannot_verify() == []
    lab.stop_pod("old")
    assert replica.round() == pytest.approx(180)
    assert (lab.report.stage, lab.report.reasons, lab.report.until) == (
        Stage.WAITING,
        (PROPAGATING,),
        "2026-11-21T12:03:00Z",
    )
    lab.pass_time(seconds=179)
    assert replica.round() == pytest.approx(1)
    lab.pass_time(seconds=1)
    replica.round()
    assert (lab.report.stage, lab.report.workloads) == (Stage.DONE, ())
    assert [step.partition(":")[0] for step in lab.report.steps] == ["prepare", "switch", "retire"]
    assert (lab.authority.generation, lab.authority.phase) == (2, Phase.STABLE)
    assert lab.fields("configmaps", "kecs-trust")["ca.crt"] == lab.authority.bundle_pem
    lab.start_pod("new")
    assert lab.cannot_verify() == []
    assert replica.round() == 30


def test_a_report_that_says_the_same_is_not_written_again(lab: Cluster) -> None:
    replica = lab.replica()
    replica.round()
    lab.start_pod("old")
    lab.ask("a", "rotate")
    replica.round()
    replica.round()
    lab.api.requests.clear()
    replica.round()
    assert {request.method for request in lab.api.requests} == {"GET"}


@pytest.mark.parametrize(
    ("asked", "stage", "phase", "reasons"),
    [
        pytest.param(("prepare",), Stage.DONE, Phase.PREPARED, (), id="prepare"),
        pytest.param(("prepare", "prepare"), Stage.DONE, Phase.PREPARED, (), id="prepare twice"),
        pytest.param(("prepare", "switch"), Stage.DONE, Phase.SWITCHED, (), id="switch"),
        pytest.param(("prepare", "switch", "retire"), Stage.DONE, Phase.STABLE, (), id="retire"),
        pytest.param(("retire",), Stage.DONE, Phase.STABLE, (), id="retire what is not rotating"),
        pytest.param(("switch",), Stage.REFUSED, Phase.STABLE, ("not_prepared",), id="switch unprepared"),
        pytest.param(("prepare", "retire"), Stage.REFUSED, Phase.PREPARED, ("not_switched",), id="retire too early"),
        pytest.param(("prepare", "rotate"), Stage.DONE, Phase.STABLE, (), id="rotate what is prepared"),
        pytest.param(("renew",), Stage.DONE, Phase.STABLE, (), id="renew"),
    ],
)
def test_single_acts(
    lab: Cluster, asked: tuple[str, ...], stage: Stage, phase: Phase, reasons: tuple[str, ...]
) -> None:
    replica = lab.replica(propagation_s=0)
    for number, action in enumerate(asked):
        lab.ask(str(number), action)
        lab.settle(replica)
    assert (lab.report.stage, lab.authority.phase, lab.report.reasons) == (stage, phase, reasons)
    assert bool(lab.report.steps) is (stage is Stage.DONE)


@pytest.mark.parametrize(
    ("flags", "stage", "phase"),
    [
        pytest.param({}, Stage.REFUSED, Phase.SWITCHED, id="refused"),
        pytest.param({"wait": True}, Stage.WAITING, Phase.SWITCHED, id="waits"),
        pytest.param({"force": True}, Stage.DONE, Phase.STABLE, id="forced"),
    ],
)
def test_retiring_while_a_pod_needs_the_old_root(
    lab: Cluster, flags: dict[str, bool], stage: Stage, phase: Phase
) -> None:
    replica = lab.replica(propagation_s=0)
    replica.round()
    lab.start_pod("old")
    for number, action in enumerate(("prepare", "switch")):
        lab.ask(str(number), action)
        replica.round()
    lab.ask("last", "retire", **flags)
    replica.round()
    assert (lab.report.stage, lab.authority.phase) == (stage, phase)
    assert [one.name for one in lab.report.workloads] == ["demo/old"]
    for _ in range(3):  # the cross-certificate is served on while the pod runs
        lab.pass_time(hours=20)
        replica.round()
        assert lab.cannot_verify() == []


def test_pods_that_have_ended_are_not_waited_for(lab: Cluster) -> None:
    replica = lab.replica(propagation_s=0)
    replica.round()
    lab.start_pod("done", phase="Succeeded")
    lab.start_pod("failed", phase="Failed")
    lab.ask("a", "rotate")
    lab.settle(replica)
    assert lab.report.stage is Stage.DONE


def test_an_emergency_replaces_everything_and_names_the_pods(lab: Cluster) -> None:
    replica = lab.replica()
    replica.round()
    lab.start_pod("a")
    lab.ask("x", "rotate")
    replica.round()
    lab.ask("y", "emergency")
    replica.round()
    assert (lab.report.id, lab.report.stage) == ("y", Stage.DONE)
    assert (lab.authority.generation, lab.authority.phase, lab.authority.above) == (3, Phase.STABLE, ())
    assert [one.name for one in lab.report.workloads] == ["demo/a"]
    assert lab.fields("configmaps", "kecs-trust")["ca.crt"] == lab.authority.bundle_pem
    lab.settle(replica)
    assert lab.authority.generation == 3


def test_a_request_is_done_once(lab: Cluster) -> None:
    lab.ask("a", "emergency")
    lab.settle(lab.replica())
    generation = lab.authority.generation
    for _ in range(3):
        lab.settle(lab.replica())
    assert lab.authority.generation == generation


@pytest.mark.parametrize(
    "text",
    ["{", "[]", "{}", '{"id": "", "action": "rotate"}', '{"id": "a", "action": "dance"}',
     '{"id": "a", "action": "rotate", "force": 1}', '{"id": 5, "action": "rotate"}'],
)  # fmt: skip
def test_a_request_that_can_not_be_read_is_refused_once(lab: Cluster, text: str) -> None:
    replica = lab.replica()
    replica.round()
    lab.edit("configmaps", "kecs-rotation", request=text)
    assert replica.round() == 30
    assert (lab.report.stage, len(lab.report.reasons)) == (Stage.REFUSED, 1)
    lab.api.requests.clear()
    replica.round()
    assert {request.method for request in lab.api.requests} == {"GET"}
    assert lab.authority.generation == 1


def test_it_rotates_by_itself(lab: Cluster) -> None:
    replica = lab.replica()
    replica.round()
    lab.pass_time(days=3650 * 0.66)
    lab.settle(replica)
    assert lab.authority.generation == 1
    lab.pass_time(days=3650 * 0.02)
    replica.round()
    replica.round()
    assert lab.report.id.startswith("auto-2-")
    lab.settle(replica)
    assert (lab.authority.generation, lab.authority.phase, lab.report.stage) == (2, Phase.STABLE, Stage.DONE)


def test_a_rotation_that_a_person_left_switched_is_retired_after_a_day(lab: Cluster) -> None:
    replica = lab.replica()
    for number, action in enumerate(("prepare", "switch")):
        lab.ask(str(number), action)
        replica.round()
    lab.settle(replica)
    assert lab.report.phase == "switched"
    lab.pass_time(hours=25)
    lab.settle(replica)
    assert lab.authority.phase is Phase.STABLE
    assert lab.report.id.startswith("auto-retire-1-")


def test_what_a_person_asks_goes_before_what_is_due(lab: Cluster) -> None:
    replica = lab.replica()
    replica.round()
    lab.pass_time(days=3000)
    lab.ask("a", "rotate")
    lab.api.faults.append(Fault(method="PATCH", path="kecs-rotation", status=409))
    lab.settle(replica)
    assert lab.report.id == "a"


def test_who_has_ceased_to_lead_writes_nothing(lab: Cluster) -> None:
    def refuse() -> None:
        raise KecsError("another one leads")

    lab.replica().round()
    lab.ask("a", "rotate")
    lab.edit("configmaps", "kecs-trust", ca_crt="other")
    before = dict(lab.api.objects)
    with pytest.raises(KecsError, match="another one leads"):
        lab.replica(may_write=refuse).round()
    assert lab.api.objects == before


# records that were edited by hand


@pytest.mark.parametrize(
    ("name", "field", "hint"),
    [
        ("kecs-issuer", "tls_crt", "remove Secret kecs-system/kecs-issuer: it is issued anew"),
        ("kecs-issuer", "tls_key", "remove Secret kecs-system/kecs-issuer: it is issued anew"),
        ("kecs-issuer", "state_json", "remove Secret kecs-system/kecs-issuer: it is issued anew"),
        ("kecs-root", "tls_crt", "restore Secret kecs-system/kecs-root from a backup"),
        ("kecs-root", "tls_key", "restore Secret kecs-system/kecs-root from a backup"),
    ],
)
def test_a_damaged_record_stops_it_with_what_to_do(lab: Cluster, name: str, field: str, hint: str) -> None:
    replica = lab.replica()
    replica.round()
    lab.ask("a", "prepare")
    before = lab.fields("configmaps", "kecs-trust")
    lab.edit("secrets", name, **{field: b"XX"})
    with pytest.raises(AuthorityError) as caught:
        replica.round()
    assert hint in caught.value.hint
    assert lab.report.stage is Stage.FAILED
    assert hint in lab.report.reasons[0]
    assert lab.fields("configmaps", "kecs-trust") == before
    lab.ask("b", "emergency")
    lab.settle(replica)
    assert (lab.report.stage, lab.authority.generation) == (Stage.DONE, 2)


def test_an_issuer_that_is_removed_is_made_anew(lab: Cluster) -> None:
    lab.replica().round()
    lab.start_pod("a")
    lab.api.remove("secrets", "kecs-issuer", NAMESPACE)
    lab.replica().round()
    assert lab.cannot_verify() == []


def test_a_root_that_is_removed_stops_it(lab: Cluster) -> None:
    lab.replica().round()
    lab.api.remove("secrets", "kecs-root", NAMESPACE)
    with pytest.raises(AuthorityError, match="root record is gone"):
        lab.replica().round()


def test_a_root_that_may_not_sign_for_our_services_is_told_and_can_be_rotated(lab: Cluster) -> None:
    root = issue_root(lab.now, permitted=SCOPE.permitted)
    provide(lab, "kecs-root", root)
    replica = lab.replica(propagation_s=0)
    replica.round()
    assert "may not sign for kecs-system.svc" in replica.problem
    assert lab.fields("configmaps", "kecs-trust")["ca.crt"] == certificate_pem(root.certificate)
    lab.ask("a", "rotate")
    lab.settle(replica)
    assert (lab.report.stage, replica.problem) == (Stage.DONE, "")


# what is brought from elsewhere


def provide(lab: Cluster, name: str, signer: Signer, *above: Signer) -> None:
    certificates = [signer.certificate, *(one.certificate for one in above)]
    lab.edit("secrets", name, tls_crt=certificate_pem(*certificates), tls_key=key_pem(signer.key))


def test_an_imported_root_is_prepared_and_its_secret_removed(lab: Cluster) -> None:
    replica = lab.replica(propagation_s=0)
    replica.round()
    theirs = issue_root(lab.now, permitted=SCOPE.all)
    provide(lab, "kecs-import", theirs)
    lab.ask("a", "import")
    replica.round()
    assert lab.report.stage is Stage.DONE
    assert lab.report.steps == ("import: it is generation 2, prepared",)
    assert lab.authority.phase is Phase.PREPARED
    assert lab.api.at("secrets", "kecs-import", NAMESPACE) is None
    lab.ask("b", "rotate")
    lab.settle(replica)
    assert lab.authority.root == theirs.certificate


def test_an_imported_issuer_waits_until_it_has_reached_everybody(lab: Cluster) -> None:
    """Its root's key is not here. The root before is, so that the cross-certificate can be made."""
    replica = lab.replica()
    replica.round()
    root = issue_root(lab.now, permitted=SCOPE.all)
    provide(lab, "kecs-import", issue_issuer(root, lab.now), root)
    lab.ask("a", "import")
    replica.round()
    lab.ask("b", "rotate")
    lab.settle(replica)
    assert lab.authority.generation == 2
    assert lab.report.stage is Stage.DONE
    lab.ask("c", "rotate")
    replica.round()
    assert (lab.report.stage, lab.report.reasons) == (Stage.REFUSED, (Reason.ROOT_KEY_ABSENT.value,))


def test_without_a_cross_certificate_the_bundle_has_to_reach_everybody_before_the_switch(lab: Cluster) -> None:
    root = issue_root(lab.now, permitted=SCOPE.all)
    replica = lab.replica()
    replica.round()
    lab.edit("secrets", "kecs-root", tls_key=None)
    provide(lab, "kecs-import", issue_root(lab.now, permitted=SCOPE.all))
    lab.ask("a", "import")
    replica.round()
    assert lab.report.stage is Stage.DONE
    lab.ask("b", "switch")
    assert replica.round() == pytest.approx(180)
    assert lab.report.reasons == (PROPAGATING,)
    lab.pass_time(seconds=181)
    replica.round()
    assert (lab.report.stage, lab.authority.phase) == (Stage.DONE, Phase.SWITCHED)
    assert root.certificate != lab.authority.root


@pytest.mark.parametrize("content", ["absent", "garbage", "too narrow"])
def test_an_import_that_can_not_be_used_says_why_and_its_key_is_removed(lab: Cluster, content: str) -> None:
    replica = lab.replica()
    replica.round()
    if content == "garbage":
        lab.edit("secrets", "kecs-import", tls_crt=b"XX", tls_key=b"YY")
    elif content == "too narrow":
        provide(lab, "kecs-import", issue_root(lab.now, permitted=("example.com",)))
    lab.ask("a", "import")
    replica.round()
    assert lab.report.stage is (Stage.REFUSED if content == "too narrow" else Stage.FAILED)
    assert lab.report.reasons
    assert lab.api.at("secrets", "kecs-import", NAMESPACE) is None
    assert lab.authority.phase is Phase.STABLE


# the API server


def test_it_recovers_when_the_api_server_comes_back(lab: Cluster) -> None:
    replica = lab.replica(propagation_s=0)
    replica.round()
    lab.ask("a", "rotate")
    lab.api.faults.append(Fault(status=503, times=25))
    lab.settle(replica, rounds=60)
    assert lab.report.stage is Stage.DONE


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_a_storm_of_conflicts_ends(lab: Cluster, method: str) -> None:
    replica = lab.replica(propagation_s=0)
    lab.api.faults.append(Fault(method=method, status=409, times=40))
    lab.ask("a", "rotate")
    lab.settle(replica, rounds=200)
    assert (lab.report.stage, lab.authority.generation) == (Stage.DONE, 2)


def test_a_list_of_pods_that_is_forgotten_between_two_pages_is_begun_again(lab: Cluster) -> None:
    replica = lab.replica(propagation_s=0)
    replica.round()
    for number in range(501):
        lab.start_pod(f"p{number}")
    lab.api.faults.append(Fault(path=r"/api/v1/pods\?.*continue=", status=410, times=2))
    lab.ask("a", "rotate")
    replica.round()
    assert len(lab.report.workloads) == 200
    assert lab.report.stage is Stage.WAITING


# clocks


@pytest.mark.parametrize("order", [(10, -10), (-10, 10)], ids=["ahead, then behind", "behind, then ahead"])
def test_leaders_whose_clocks_are_wrong_by_ten_minutes(lab: Cluster, order: tuple[int, int]) -> None:
    """Each act is done by another leader, and pods, whose clock is right, verify everything at once."""
    right = lab.now
    for number, action in enumerate(("prepare", "switch", "renew", "retire", "rotate")):
        lab.now = right + timedelta(minutes=order[number % 2])
        replica = lab.replica(propagation_s=0)
        replica.round()
        lab.now = right
        lab.start_pod(f"pod-{number}")
        assert lab.cannot_verify() == []
        lab.now = right + timedelta(minutes=order[number % 2])
        lab.ask(str(number), action, force=True)
        replica.round()
        assert lab.report.stage is Stage.DONE
        lab.now = right
        assert lab.cannot_verify() == []
    assert (lab.authority.generation, lab.authority.phase) == (3, Phase.STABLE)


def test_no_leader_s_clock_shortens_the_wait_after_a_switch(lab: Cluster) -> None:
    lab.now -= timedelta(minutes=10)
    first = lab.replica()
    for number, action in enumerate(("prepare", "switch")):
        lab.ask(str(number), action)
        first.round()
    lab.now += timedelta(minutes=10)
    lab.ask("last", "retire")
    second = lab.replica()
    assert second.round() == pytest.approx(180)
    lab.pass_time(seconds=180)
    second.round()
    assert lab.report.stage is Stage.DONE


def test_a_clock_far_before_the_root_stops_it_with_a_hint(lab: Cluster) -> None:
    lab.replica().round()
    lab.now -= timedelta(days=2)
    replica = lab.replica()
    replica.round()
    assert "check the clock" in replica.problem
