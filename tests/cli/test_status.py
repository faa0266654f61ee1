"""`kecs proxy status`: who is injected, and what is wrong with it."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from kube_lab import Fault
from live_lab import NEXT, OTHER, READY, ROOT, Lab, code, lab, pod
from log_lab import lines, record

from kecs.cli import status_view
from kecs.cli.pods import Trusting, trusting
from kecs.core.names import STATUS_ANNOTATION

NOW = datetime(2026, 11, 21, 9, tzinfo=UTC)
ISSUED = record("certificate_issued", generation=3, not_after="2026-11-22T09:00:00+00:00", seconds_left=86400)
FAILED = record(
    "certificate_renewal_failed",
    reason="service_unreachable",
    message="https://kecs-certs.kecs-system.svc does not answer",
    hint="is the Deployment kecs-certs running?",
    seconds_left=100,
)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Lab]:
    with lab(tmp_path) as made:
        yield made


def shown(made: dict[str, Any], log: bytes = b"", *, roots: tuple[str, ...] = (ROOT,)) -> status_view.Row:
    return status_view.row(made, roots=roots, log=log.splitlines(), now=NOW)


def issued(left: timedelta) -> bytes:
    return lines(record("certificate_issued", generation=1, not_after=(datetime.now(UTC) + left).isoformat()))


@pytest.mark.parametrize(
    ("said", "roots", "found"),
    [
        pytest.param(ROOT, (ROOT,), Trusting.ACTIVE, id="the only root"),
        pytest.param(f"{NEXT},{ROOT}", (NEXT, ROOT), Trusting.ACTIVE, id="both"),
        pytest.param(ROOT, (NEXT, ROOT), Trusting.OLD, id="the one that goes"),
        pytest.param(f" {ROOT.upper()} ", (ROOT,), Trusting.ACTIVE, id="spelled otherwise"),
        pytest.param(OTHER, (NEXT, ROOT), Trusting.LOST, id="another authority's"),
        pytest.param("", (ROOT,), Trusting.LOST, id="none"),
        pytest.param(ROOT, (), Trusting.UNKNOWN, id="roots that can't be read"),
    ],
)
def test_trust(said: str, roots: tuple[str, ...], found: Trusting) -> None:
    assert trusting(pod(roots=said), roots) is found


def test_the_newest_certificate_counts() -> None:
    later = record("certificate_issued", generation=4, not_after="2026-11-23T09:00:00+00:00")
    found = status_view.certificate(lines(ISSUED, FAILED, later).splitlines())
    assert (found.generation, found.trouble) == (4, None)
    assert found.not_after == datetime(2026, 11, 23, 9, tzinfo=UTC)


def test_trouble_after_the_certificate_is_told() -> None:
    found = status_view.certificate(lines(ISSUED, FAILED).splitlines())
    assert found.not_after == datetime(2026, 11, 22, 9, tzinfo=UTC)
    assert found.trouble is not None
    assert found.trouble.reason == "service_unreachable"


@pytest.mark.parametrize("line", [b"", b"certificate_issued", b"[]", b'{"event":"certificate_issued"}', b"\xff"])
def test_lines_that_say_nothing(line: bytes) -> None:
    assert status_view.certificate([line]) == status_view.Certificate()


@pytest.mark.parametrize(
    ("made", "log", "broken"),
    [
        pytest.param(pod(), lines(ISSUED), (), id="all is well"),
        pytest.param(pod(), lines(ISSUED, FAILED), (), id="a renewal that failed leaves time"),
        pytest.param(pod(), lines(FAILED), ("the sidecar has no certificate yet",), id="never a certificate"),
        pytest.param(
            pod(),
            lines({**ISSUED, "not_after": "2026-11-21T08:59:59+00:00"}),
            ("its certificate has ended",),
            id="ended",
        ),
        pytest.param(
            pod(roots=OTHER),
            lines(ISSUED),
            ("it trusts no root of the authority: delete it, so that it is made anew",),
            id="lost",
        ),
        pytest.param(
            pod(sidecar={"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "restartCount": 7}),
            b"",
            ("the sidecar waits: CrashLoopBackOff",),
            id="crashes",
        ),
        pytest.param(pod(sidecar={"state": {"waiting": {"reason": "PodInitializing"}}}), b"", (), id="is starting"),
        pytest.param(
            pod(sidecar={"state": {"terminated": {"exitCode": 137}}}),
            b"",
            ("the sidecar has ended with exit code 137",),
            id="was killed",
        ),
        pytest.param(
            pod(sidecar={**READY, "ready": False}),
            lines(ISSUED),
            ("the sidecar runs and is not ready",),
            id="not ready",
        ),
        pytest.param(pod(roots=OTHER, deletionTimestamp="2026-11-21T09:00:00Z"), b"", (), id="is being deleted"),
        pytest.param(pod(sidecar={}), b"", (), id="kubelet has said nothing"),
    ],
)
def test_what_is_broken(made: dict[str, Any], log: bytes, broken: tuple[str, ...]) -> None:
    assert shown(made, log).broken == broken


@pytest.mark.parametrize(
    ("left", "text"),
    [(None, "?"), (timedelta(seconds=-1), "ended"), (timedelta(seconds=90), "90s"), (timedelta(minutes=2), "2m"),
     (timedelta(hours=23, minutes=59), "23h"), (timedelta(days=3), "3d")],
)  # fmt: skip
def test_time_left(left: timedelta | None, text: str) -> None:
    assert status_view.spelled(left) == text


def test_the_table_is_80_columns_wide_whatever_the_names() -> None:
    long = "very-long-deployment-name-of-some-team-in-production-7b8654cb9f-h2rj8"
    rows = [shown(pod(), lines(ISSUED)), shown(pod(long), lines(ISSUED, FAILED), roots=(NEXT, ROOT))]
    text = list(status_view.lines(rows, where="any namespace", with_namespace=True))
    assert [line for line in text if len(line) > 80] == []
    assert f"shop/{long}" in text
    assert "  2026-11-21T09:00:00Z certificate_renewal_failed:" in "\n".join(text)
    assert "  hint: is the Deployment kecs-certs running?" in text


def test_a_cluster(cluster: Lab) -> None:
    cluster.add(pod("app-1"), issued(timedelta(hours=20, minutes=5)))
    cluster.add(pod("app-2", namespace="other"), issued(timedelta(hours=20, minutes=5)))
    claims = pod("claims", sidecar=None)
    cluster.add(claims)
    cluster.add(pod("done", phase="Succeeded"))
    result = cluster.kecs("status", "-n", "shop")
    assert code(result) == 0
    assert result.output == (
        "POD    MODE     VERSION  TRUST   CERT  READY  RESTARTS\napp-1  sidecar  0.1.0    active  20h   yes    0\n"
    )
    everywhere = cluster.kecs("status", "-A").output
    assert "shop/app-1" in everywhere
    assert "other/app-2" in everywhere


def test_a_pod_in_environment_mode(cluster: Lab) -> None:
    share = [{"names": ["app"], "env": ["AWS_ENDPOINT_URL"]}]
    record_ = json.dumps({"mode": "environment", "version": "0.1.0", "containers": share})
    made = pod("env", sidecar=None, annotations={STATUS_ANNOTATION: record_})
    made["spec"]["containers"][0]["env"] = [{"name": "AWS_ENDPOINT_URL", "value": "http://e:4566"}]
    cluster.add(made)
    copied = pod("copied", sidecar=None, annotations={STATUS_ANNOTATION: record_})
    cluster.add(copied)
    result = cluster.kecs("status", "-n", "shop")
    assert result.output.splitlines()[1:] == ["env  environment  0.1.0    -      -     yes    0"]


def test_one_that_is_broken_decides_the_exit_code(cluster: Lab) -> None:
    cluster.add(pod("app-1"), issued(timedelta(hours=20)))
    cluster.add(pod("app-2", roots=OTHER), issued(timedelta(hours=20)))
    result = cluster.kecs("status", "-n", "shop")
    assert code(result) == 1
    assert "  broken: it trusts no root of the authority" in result.output


def test_data(cluster: Lab) -> None:
    cluster.add(pod("app-1"), lines(ISSUED, FAILED))
    found = json.loads(cluster.kecs("status", "-n", "shop", "-o", "json").output)
    assert found == yaml.safe_load(cluster.kecs("status", "-n", "shop", "-o", "yaml").output)
    (one,) = found["pods"]
    assert one["last_error"]["reason"] == "service_unreachable"
    assert one["certificate"]["generation"] == 3
    assert (one["mode"], one["trust"], one["version"]) == ("sidecar", "active", "0.1.0")


def test_in_a_busy_log_the_certificate_is_found_all_the_same(cluster: Lab) -> None:
    cluster.add(pod("busy"), issued(timedelta(hours=20, minutes=5)) + lines(record()) * 600)
    assert "20h" in cluster.kecs("status", "-n", "shop").output


def test_a_log_or_roots_that_cant_be_read_are_unknown(cluster: Lab) -> None:
    cluster.add(pod("app-1"), issued(timedelta(hours=20)))
    cluster.api.faults.append(Fault(path=r"/log|kecs-trust", status=403, times=9))
    result = cluster.kecs("status", "-n", "shop")
    assert code(result) == 0
    assert result.output.splitlines()[1] == "app-1  sidecar  0.1.0    ?      ?     yes    0"


def test_nothing_is_injected(cluster: Lab) -> None:
    result = cluster.kecs("status", "-n", "shop")
    assert code(result) == 0
    assert result.output == "no running pod is injected in namespace shop\n"


def test_the_contexts_namespace_is_the_default(cluster: Lab) -> None:
    cluster.add(pod("here", namespace="default"), issued(timedelta(hours=20)))
    cluster.add(pod("there"), issued(timedelta(hours=20)))
    output = cluster.kecs("status").output
    assert "here" in output
    assert "there" not in output
