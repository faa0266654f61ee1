"""The chart's account may do all that the authority asks of the API server, and no other account reads the root."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from authority_lab import NAMESPACE, SCOPE, Cluster, cluster
from helm_lab import KUBERNETES, documents, render, validate
from kube_lab import Request
from rbac_lab import Rule, allowed, granted

from kecs.certs.authority import certificate_pem, issue_root, key_pem
from kecs.certs.lease import Elector
from kecs.certs.loop import mirrors
from kecs.certs.requests import Stage


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Cluster]:
    with cluster(tmp_path) as found:
        yield found


@pytest.fixture(scope="module")
def rules() -> tuple[Rule, ...]:
    return granted(documents(render()), "kecs-authority")


def everything(lab: Cluster) -> list[Request]:
    """Have the authority do all that it ever does; return what it asked."""
    elector = Elector(kube=lab.kube, namespace=NAMESPACE, name="kecs-authority", identity="me")
    elector.step()
    elector.step()
    watching = mirrors(lab.kube, NAMESPACE, lambda: None)
    for mirror in watching:
        mirror.start()
    replica = lab.replica(propagation_s=0)
    replica.round()
    lab.start_pod("a")
    for name in ("kecs-trust", "kecs-rotation"):
        lab.edit("configmaps", name, theirs="1")
    lab.edit("secrets", "kecs-injector-tls", tls_crt=b"drift")
    lab.ask("a", "rotate", force=True)
    lab.settle(replica)
    lab.ask("b", "emergency")
    lab.settle(replica)
    theirs = issue_root(lab.now, permitted=SCOPE.all)
    lab.edit("secrets", "kecs-import", tls_crt=certificate_pem(theirs.certificate), tls_key=key_pem(theirs.key))
    lab.ask("c", "import")
    lab.settle(replica)
    assert lab.report.stage is Stage.DONE
    lab.stop_pod("a")
    lab.pass_time(days=2700)
    lab.settle(replica)
    elector.release()
    for mirror in watching:
        assert mirror.wait(20)
        mirror.close()
    return list(lab.api.requests)


def test_the_chart_s_permissions_suffice(lab: Cluster, rules: tuple[Rule, ...]) -> None:
    asked = everything(lab)
    missing = {f"{request.method} {request.path}" for request in asked if not allowed(request, rules)}
    assert missing == set()
    assert {request.method for request in asked} == {"GET", "POST", "PUT", "PATCH", "DELETE"}


@pytest.mark.parametrize("version", KUBERNETES)
def test_what_it_makes_is_what_every_version_takes(lab: Cluster, version: str) -> None:
    made = [request.body for request in everything(lab) if request.method == "POST"]
    assert {body["kind"] for body in made} == {"ConfigMap", "Event", "Lease", "Secret"}
    for body in made:
        validate(body, version)


def test_no_other_account_reads_the_root() -> None:
    objects = documents(render())
    accounts = [one["metadata"]["name"] for one in objects if one["kind"] == "ServiceAccount"]
    root = Request(
        method="GET", path=f"/api/v1/namespaces/{NAMESPACE}/secrets/kecs-root", query={}, body=None, headers={}
    )
    assert [name for name in accounts if allowed(root, granted(objects, name))] == ["kecs-authority"]
