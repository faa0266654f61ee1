from pathlib import Path
from typing import Any

import pytest
from kube_lab import Fault, api_server

from kecs.certs.kube import GoneError, Kube
from kecs.certs.outcome import Workload
from kecs.certs.workloads import listed, workload

A, B = "a" * 64, "b" * 64


def pod(name: str, said: str | None, phase: str = "Running", **metadata: Any) -> dict[str, Any]:
    annotations = {} if said is None else {"kecs.io/trust-root-sha256": said}
    return {
        "metadata": {"name": name, "namespace": "demo", "annotations": annotations, **metadata},
        "status": {"phase": phase},
    }


@pytest.mark.parametrize(
    ("said", "trusted"),
    [
        pytest.param(A, (A,), id="one root"),
        pytest.param(f"{A},{B}", (A, B), id="two"),
        pytest.param(f" {A.upper()} , {B},", (A, B), id="edited by hand"),
        pytest.param("", (), id="emptied: trusts nothing that is known"),
        pytest.param("what?", ("what?",), id="garbage: trusts nothing that is known"),
    ],
)
def test_what_a_pod_trusts(said: str, trusted: tuple[str, ...]) -> None:
    assert workload(pod("p", said)) == Workload(name="demo/p", kind="pod", trusted=trusted)


def test_pods_of_others_are_none() -> None:
    assert workload(pod("p", None)) is None
    assert workload({"metadata": {"name": "p", "annotations": None}}) is None


def test_listing(tmp_path: Path) -> None:
    with api_server() as api:
        kube = Kube.load(kubeconfig=str(api.kubeconfig(tmp_path)))
        for body in (
            pod("z", A),
            pod("a", B),
            pod("starting", A, "Pending"),
            pod("lost", A, "Unknown"),
            pod("ending", A, deletionTimestamp="2026-11-21T12:00:00Z"),
            pod("done", A, "Succeeded"),
            pod("failed", A, "Failed"),
            pod("other", None),
        ):
            api.put("pods", body)
        names = [one.name for one in listed(kube)]
        assert names == ["demo/a", "demo/ending", "demo/lost", "demo/starting", "demo/z"]
        assert "PartialObjectMetadataList" in api.requests[-1].headers["accept"]
        api.faults.append(Fault(status=410, times=2))
        assert len(listed(kube)) == 5
        api.faults.append(Fault(status=410, times=1000))
        with pytest.raises(GoneError):
            listed(kube)
        kube.close()
