"""The end of services, and of their names."""

from service_lab import ServiceLab

from kecs.controlplane.records.tasks import TaskStatus


def test_a_service_is_deleted_when_it_is_scaled_down() -> None:
    lab = ServiceLab()
    lab.create(desired=2)
    lab.steady()
    refusal = lab.api.refused("DeleteService", {"service": "web"})
    assert refusal.code == "InvalidParameterException"
    assert str(refusal) == "The service cannot be stopped while it is scaled above 0."
    lab.update(desiredCount=0)
    lab.steady()
    answer = lab.api.call("DeleteService", {"service": "web"})["service"]
    assert (answer["status"], answer["desiredCount"]) == ("DRAINING", 0)
    lab.turn()
    assert lab.described()["status"] == "INACTIVE"
    assert lab.described()["deployments"] == []
    assert lab.api.call("ListServices", {})["serviceArns"] == []


def test_force_drains_a_service_and_it_is_inactive_when_its_tasks_stop() -> None:
    lab = ServiceLab()
    lab.create(desired=2)
    lab.steady()
    lab.api.call("DeleteService", {"service": "web", "force": True})
    lab.turn()
    assert lab.described()["status"] == "DRAINING"
    assert lab.wanted() == []
    assert lab.api.call("ListServices", {})["serviceArns"] == []
    assert str(
        lab.api.refused("CreateService", {"serviceName": "web", "taskDefinition": "app", "desiredCount": 1})
    ) == ("Unable to Start a service that is still Draining.")
    assert lab.api.refused("UpdateService", {"service": "web"}).code == "ServiceNotActiveException"
    assert lab.api.call("DeleteService", {"service": "web"})["service"]["status"] == "DRAINING"
    lab.end()
    gone = lab.described()
    assert (gone["status"], gone["runningCount"], gone["desiredCount"]) == ("INACTIVE", 0, 0)
    assert gone["events"][0]["message"].startswith("(service web) has stopped 2 running tasks: ")
    assert str(lab.api.refused("DeleteService", {"service": "web"})) == "Service not found."
    assert str(lab.api.refused("UpdateService", {"service": "web"})) == "Service was not ACTIVE."


def test_a_service_is_deleted_during_its_rollout() -> None:
    lab = ServiceLab()
    lab.create(desired=3)
    lab.steady()
    lab.update(forceNewDeployment=True)
    lab.turn()
    lab.run(lab.wanted()[-1])
    lab.api.call("DeleteService", {"service": "web", "force": True})
    lab.turn()
    assert lab.wanted() == []
    assert {one.desired_status for one in lab.tasks()} == {TaskStatus.STOPPED}
    lab.end()
    assert lab.described()["status"] == "INACTIVE"
    statuses = [
        one["status"] for one in lab.api.call("ListServiceDeployments", {"service": "web"})["serviceDeployments"]
    ]
    assert sorted(statuses) == ["STOPPED", "SUCCESSFUL"]


def test_the_name_of_an_inactive_service_can_be_had_again() -> None:
    lab = ServiceLab()
    first = lab.create(desired=1)
    lab.steady()
    lab.api.call("DeleteService", {"service": "web", "force": True})
    lab.turn()
    lab.end()
    lab.api.later(seconds=1)
    second = lab.create(desired=1)
    assert second["status"] == "ACTIVE"
    assert second["createdAt"] > first["createdAt"]
    assert second["deployments"][0]["id"] != first["deployments"][0]["id"]
    assert second["events"] == []
    lab.steady()
    assert lab.described()["runningCount"] == 1


def test_what_still_stops_of_the_service_before_is_not_counted_for_the_new_one() -> None:
    lab = ServiceLab()
    lab.create(desired=2)
    lab.steady()
    lab.api.call("DeleteService", {"service": "web", "force": True})
    lab.turn()
    lab.put(*(lab.with_status(one, TaskStatus.STOPPING) for one in lab.tasks()))
    lab.turn()
    assert lab.described()["status"] == "INACTIVE"
    lab.create(desired=1)
    lab.steady()
    assert lab.described()["runningCount"] == 1
    assert lab.described()["deployments"][0]["failedTasks"] == 0


def test_unknown_services_are_not_found() -> None:
    lab = ServiceLab()
    for operation in ("UpdateService", "DeleteService"):
        refusal = lab.api.refused(operation, {"service": "none"})
        assert (refusal.code, str(refusal)) == ("ServiceNotFoundException", "Service not found.")
        refusal = lab.api.refused(operation, {"service": "none", "cluster": "none"})
        assert (refusal.code, str(refusal)) == ("ClusterNotFoundException", "Cluster not found.")
