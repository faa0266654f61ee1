"""The scheduler of REPLICA services: playbooks of facts in, acts out."""

from service_lab import ServiceLab, ids

from kecs.controlplane import scheduling
from kecs.controlplane.records import Cluster, ServiceDeployment
from kecs.controlplane.state import Changes

STEADY = "(service web) has reached a steady state."


def test_a_new_service_starts_its_tasks_and_becomes_steady() -> None:
    lab = ServiceLab()
    created = lab.create(desired=3)
    assert (created["desiredCount"], created["runningCount"], created["pendingCount"]) == (3, 0, 0)
    [deployment] = created["deployments"]
    lab.turn()
    tasks = lab.wanted()
    assert len(tasks) == 3
    assert {one.started_by for one in tasks} == {deployment["id"]}
    assert {one.group for one in tasks} == {"service:web"}
    assert lab.events() == [f"(service web) has started 3 tasks: {ids(tasks)}."]
    lab.run()
    assert lab.described()["runningCount"] == 3
    assert lab.described()["deployments"][0]["rolloutState"] == "IN_PROGRESS"
    lab.settle()
    [deployment] = lab.described()["deployments"]
    assert deployment["rolloutState"] == "COMPLETED"
    assert deployment["rolloutStateReason"] == f"ECS deployment {deployment['id']} completed."
    assert lab.events()[:2] == [STEADY, f"(service web) (deployment {deployment['id']}) deployment completed."]
    before = lab.turns
    lab.turn()
    assert lab.turns == before


def test_of_a_service_whose_cluster_is_gone_nothing_is_seen() -> None:
    lab = ServiceLab()
    lab.create()
    lab.api.store.apply(Changes(delete=tuple(lab.api.state.every(Cluster))))
    assert scheduling.see(lab.api.state, lab.service()) is None


def test_a_rollout_that_is_not_remembered_ends_all_the_same() -> None:
    lab = ServiceLab()
    lab.create(desired=1, deploymentConfiguration={"deploymentCircuitBreaker": {"enable": True, "rollback": True}})
    lab.api.store.apply(Changes(delete=tuple(lab.api.state.every(ServiceDeployment))))
    lab.turn()
    for _ in range(3):
        lab.fail()
        lab.settle(seconds=60)
    assert lab.described()["deployments"][0]["rolloutState"] == "FAILED"
    lab.update(forceNewDeployment=True)
    lab.api.store.apply(Changes(delete=tuple(lab.api.state.every(ServiceDeployment))))
    lab.steady()
    assert lab.described()["deployments"][0]["rolloutState"] == "COMPLETED"
