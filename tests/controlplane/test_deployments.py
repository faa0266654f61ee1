"""Service deployments and revisions: what is kept of rollouts, and how one is stopped."""

from datetime import timedelta

import pytest
from service_lab import ServiceLab

from kecs.controlplane import service_rollouts
from kecs.controlplane.records import ServiceDeployment, ServiceRevision


@pytest.fixture
def lab() -> ServiceLab:
    made = ServiceLab()
    made.create(desired=2)
    made.steady()
    made.register("app", image="app:2")
    return made


def listed(lab: ServiceLab, **params: object) -> list[str]:
    found = lab.api.call("ListServiceDeployments", {"service": "web", **params})["serviceDeployments"]
    return [one["serviceDeploymentArn"] for one in found]


def described(lab: ServiceLab, arn: str) -> dict[str, object]:
    [found] = lab.api.call("DescribeServiceDeployments", {"serviceDeploymentArns": [arn]})["serviceDeployments"]
    return dict(found)


def test_a_rollout_is_kept(lab: ServiceLab) -> None:
    [first] = listed(lab)
    began = lab.api.now
    arn = lab.update(taskDefinition="app")["currentServiceDeployment"]
    lab.turn()
    assert listed(lab) == [arn, first]
    found = described(lab, arn)
    revisions = lab.described()["currentServiceRevisions"]
    target = {"arn": revisions[0]["arn"], "requestedTaskCount": 2, "runningTaskCount": 0, "pendingTaskCount": 2}
    source = {"arn": revisions[1]["arn"], "requestedTaskCount": 2, "runningTaskCount": 2, "pendingTaskCount": 0}
    assert found == {
        "serviceDeploymentArn": arn,
        "serviceArn": lab.service().arn,
        "clusterArn": lab.service().cluster_arn,
        "createdAt": began,
        "startedAt": began,
        "updatedAt": began,
        "status": "IN_PROGRESS",
        "lifecycleStage": "SCALE_UP",
        "sourceServiceRevisions": [source],
        "targetServiceRevision": target,
        "deploymentConfiguration": lab.described()["deploymentConfiguration"],
        "deploymentCircuitBreaker": {"status": "DISABLED", "failureCount": 0, "threshold": 3},
        "alarms": {"status": "DISABLED", "alarmNames": [], "triggeredAlarmNames": []},
    }
    lab.steady()
    found = described(lab, arn)
    assert found["status"] == "SUCCESSFUL"
    assert found["finishedAt"] is not None
    assert "lifecycleStage" not in found


def test_a_revision_is_what_the_service_was(lab: ServiceLab) -> None:
    lab.update(taskDefinition="app", serviceConnectConfiguration={"enabled": True, "namespace": "n"})
    arns = [one["arn"] for one in lab.described()["currentServiceRevisions"]]
    answer = lab.api.call("DescribeServiceRevisions", {"serviceRevisionArns": [*arns, "arn:none"]})
    assert answer["failures"] == [{"arn": "arn:none", "reason": "MISSING"}]
    new, old = answer["serviceRevisions"]
    assert new["serviceConnectConfiguration"] == {"enabled": True, "namespace": "n"}
    assert "serviceConnectConfiguration" not in old
    assert new["containerImages"] == [{"containerName": "app", "image": "app:2"}]
    assert old["containerImages"] == [{"containerName": "app", "image": "app:1"}]
    assert (new["launchType"], new["clusterArn"], new["serviceArn"]) == (
        "EC2",
        lab.service().cluster_arn,
        lab.service().arn,
    )


def test_rollouts_are_listed_by_status_and_time(lab: ServiceLab) -> None:
    [first] = listed(lab)
    lab.api.later(hours=1)
    second = lab.update(forceNewDeployment=True)["currentServiceDeployment"]
    assert listed(lab, status=["IN_PROGRESS"]) == [second]
    assert listed(lab, status=["SUCCESSFUL", "STOPPED"]) == [first]
    half = lab.api.now - timedelta(minutes=30)
    assert listed(lab, createdAt={"after": half}) == [second]
    assert listed(lab, createdAt={"before": half}) == [first]
    page = lab.api.call("ListServiceDeployments", {"service": "web", "maxResults": 1})
    assert [one["serviceDeploymentArn"] for one in page["serviceDeployments"]] == [second]
    assert listed(lab, maxResults=1, nextToken=page["nextToken"]) == [first]


def test_a_newer_rollout_stops_the_one_before(lab: ServiceLab) -> None:
    second = lab.update(forceNewDeployment=True)["currentServiceDeployment"]
    lab.update(forceNewDeployment=True)
    found = described(lab, second)
    assert (found["status"], found["statusReason"]) == ("STOPPED", service_rollouts.SUPERSEDED)
    assert found["stoppedAt"] == lab.api.now


def test_the_last_fifty_are_kept(lab: ServiceLab) -> None:
    for _ in range(60):
        lab.update(forceNewDeployment=True)
        lab.steady()
    assert len(listed(lab, maxResults=100)) == service_rollouts.KEPT
    assert lab.api.state.count(ServiceDeployment) == service_rollouts.KEPT
    assert lab.api.state.count(ServiceRevision) == service_rollouts.KEPT
    assert lab.api.state.get(ServiceRevision, lab.service().completed_revision_arn) is not None


def test_what_may_be_rolled_back_to_is_kept_however_old_it_is(lab: ServiceLab) -> None:
    good = lab.service().completed_revision_arn
    for _ in range(60):
        lab.update(forceNewDeployment=True)
    assert lab.service().completed_revision_arn == good
    assert lab.api.state.get(ServiceRevision, good) is not None


def test_a_rollout_that_is_stopped_goes_back_by_a_deployment_of_its_own(lab: ServiceLab) -> None:
    before = lab.described()
    arn = lab.update(taskDefinition="app", networkConfiguration=None)["currentServiceDeployment"]
    bad = lab.described()["deployments"][0]["id"]
    lab.turn()
    lab.run(lab.wanted(deployment=bad)[0])
    assert lab.api.call("StopServiceDeployment", {"serviceDeploymentArn": arn}) == {"serviceDeploymentArn": arn}
    found = described(lab, arn)
    assert (found["status"], found["rollback"]) == (
        "ROLLBACK_IN_PROGRESS",
        {
            "reason": "Service deployment rolled back because of StopServiceDeployment.",
            "startedAt": lab.api.now,
            "serviceRevisionArn": before["currentServiceRevisions"][0]["arn"],
        },
    )
    assert lab.described()["taskDefinition"] == before["taskDefinition"]
    states = [(one["status"], one["rolloutState"]) for one in lab.described()["deployments"]]
    assert states == [("PRIMARY", "IN_PROGRESS"), ("ACTIVE", "FAILED"), ("ACTIVE", "COMPLETED")]
    assert lab.events()[0].startswith("(service web) rolling back to deployment ecs-svc/")
    lab.steady()
    assert described(lab, arn)["status"] == "ROLLBACK_SUCCESSFUL"
    [deployment] = lab.described()["deployments"]
    assert deployment["id"] not in {bad, before["deployments"][0]["id"]}
    refusal = lab.api.refused("StopServiceDeployment", {"serviceDeploymentArn": arn})
    assert refusal.code == "ConflictException"


def test_a_first_rollout_has_nothing_to_go_back_to() -> None:
    lab = ServiceLab()
    arn = lab.create()["currentServiceDeployment"]
    refusal = lab.api.refused("StopServiceDeployment", {"serviceDeploymentArn": arn})
    assert refusal.code == "ConflictException"


def test_what_service_deployments_refuse(lab: ServiceLab) -> None:
    [arn] = listed(lab)
    refusal = lab.api.refused("StopServiceDeployment", {"serviceDeploymentArn": "arn:none"})
    assert refusal.code == "ServiceDeploymentNotFoundException"
    refusal = lab.api.refused("StopServiceDeployment", {"serviceDeploymentArn": arn, "stopType": "ABORT"})
    assert refusal.code == "UnsupportedFeatureException"
    refusal = lab.api.refused("ContinueServiceDeployment", {"serviceDeploymentArn": arn, "hookId": "h"})
    assert refusal.code == "UnsupportedFeatureException"
    refusal = lab.api.refused("ContinueServiceDeployment", {"serviceDeploymentArn": "arn:none", "hookId": "h"})
    assert refusal.code == "ServiceDeploymentNotFoundException"
    assert lab.api.refused("ListServiceDeployments", {"service": "none"}).code == "ServiceNotFoundException"
    for operation, member in (
        ("DescribeServiceDeployments", "serviceDeploymentArns"),
        ("DescribeServiceRevisions", "serviceRevisionArns"),
    ):
        assert lab.api.refused(operation, {member: []}).code == "InvalidParameterException"
        assert lab.api.refused(operation, {member: [f"arn:{n}" for n in range(21)]}).code == "InvalidParameterException"
        assert lab.api.call(operation, {member: ["arn:none"]})["failures"] == [{"arn": "arn:none", "reason": "MISSING"}]


def test_revisions_are_kept_as_plain_json(lab: ServiceLab) -> None:
    for one in lab.api.state.every(ServiceRevision):
        assert isinstance(one.document["taskDefinition"], str)
