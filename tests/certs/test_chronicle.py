"""What the authority tells: lines, metrics and events, and that an event's failure is nobody else's."""

import io
import json
from datetime import UTC, datetime
from pathlib import Path

from certs_lab import SCOPE
from kube_lab import Fault, api_server

from kecs.certs.chronicle import Chronicle
from kecs.certs.kube import Kube
from kecs.certs.outcome import Step, Workload
from kecs.certs.rotation import create, prepare

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def chronicle(kube: Kube | None = None) -> tuple[Chronicle, io.StringIO]:
    log = io.StringIO()
    return Chronicle(kube, "kecs-system", identity="a-1", stream=log, clock=lambda: NOW), log


def test_lines() -> None:
    told, log = chronicle()
    told.event("started", port=8081)
    told.leads(True)  # noqa: FBT003 - it is told one thing
    told.leads(False)  # noqa: FBT003 - the same
    told.written(["kecs-trust"])
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    assert lines[0] == {"time": "2026-11-21T12:00:00.000Z", "event": "started", "replica": "a-1", "port": 8081}
    assert [line["event"] for line in lines[1:]] == ["leadership_gained", "leadership_ended", "object_written"]


def test_metrics() -> None:
    told, _ = chronicle()
    step = prepare(create(SCOPE, NOW), NOW, SCOPE)
    assert isinstance(step, Step)
    authority = step.state.authority
    old, new = authority.trust_sha256
    running = [
        Workload(name=f"demo/{number}", kind="pod", trusted=trusted)
        for number, trusted in enumerate([(old,), (old, new), (new,), (), ("unknown",)])
    ]
    told.authority(authority, running)
    told.acted("prepare", "done", "it is there")
    told.written(["kecs-trust", "kecs-trust"])
    told.troubled("it is broken")
    metrics = told.metrics().decode()
    for line in (
        "kecs_authority_generation 1.0",
        'kecs_authority_phase{phase="prepared"} 1.0',
        'kecs_authority_phase{phase="stable"} 0.0',
        'kecs_authority_workloads{root="active"} 2.0',
        'kecs_authority_workloads{root="other"} 1.0',
        'kecs_authority_workloads{root="none"} 2.0',
        'kecs_authority_acts_total{action="prepare",outcome="done"} 1.0',
        'kecs_authority_written_total{object="kecs-trust"} 2.0',
        "kecs_authority_troubled 1.0",
        'kecs_authority_not_after_seconds{certificate="issuer"} 1.8030384e+09',
    ):
        assert line in metrics
    told.authority(authority, None)
    assert 'kecs_authority_workloads{root="active"} 2.0' in told.metrics().decode()


def test_the_same_problem_is_told_once_and_its_end_too() -> None:
    told, log = chronicle()
    for _ in range(3):
        told.troubled("it is broken", "mend it")
    told.troubled("something else")
    told.succeeded()
    told.succeeded()
    events = [json.loads(line)["event"] for line in log.getvalue().splitlines()]
    assert events == ["round_failed", "round_failed", "recovered"]
    assert "kecs_authority_last_success_seconds 1.795" in told.metrics().decode()


def test_events(tmp_path: Path) -> None:
    with api_server() as api:
        kube = Kube.load(kubeconfig=str(api.kubeconfig(tmp_path)))
        told, _ = chronicle(kube)
        told.changed("authority_created", "AuthorityCreated", "x" * 3000)
        told.acted("retire", "refused", "pods need the old root")
        api.faults.append(Fault(status=403))
        told.acted("retire", "done", "gone")
        found = [body for (resource, _, _), body in sorted(api.objects.items()) if resource == "events"]
        kube.close()
    assert [(body["type"], body["reason"]) for body in found] == [
        ("Normal", "AuthorityCreated"),
        ("Warning", "RotationRefused"),
    ]
    assert [len(body["message"]) for body in found] == [1000, len("retire: pods need the old root")]
    assert found[0]["metadata"]["namespace"] == "kecs-system"
    assert "kecs_authority_events_lost_total 1.0" in told.metrics().decode()
