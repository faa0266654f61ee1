"""The client against the fake: what it reads and writes, and what it makes of every way to fail."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kube_lab import ApiServer, Fault, api_server

from kecs.certs.kube import ConflictError, GoneError, Kube, KubeError, NotFoundError, Patch, UnavailableError
from kecs.core.errors import ConfigError

SECRETS = "/api/v1/namespaces/demo/secrets"


@pytest.fixture
def api() -> Iterator[ApiServer]:
    with api_server() as found:
        yield found


@pytest.fixture
def kube(api: ApiServer, tmp_path: Path) -> Iterator[Kube]:
    found = Kube.load(kubeconfig=str(api.kubeconfig(tmp_path)))
    yield found
    found.close()


def secret(name: str, **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": data}


def test_an_object_from_its_making_to_its_end(kube: Kube) -> None:
    made = kube.create(SECRETS, secret("a", x="MQ=="))
    assert made["metadata"]["namespace"] == "demo"
    assert kube.get(f"{SECRETS}/a")["data"] == {"x": "MQ=="}
    changed = kube.replace(f"{SECRETS}/a", made | {"data": {"y": "Mg=="}})
    assert kube.find(f"{SECRETS}/a") == changed
    patched = kube.patch(f"{SECRETS}/a", {"data": {"z": "Mw==", "y": None}})
    assert patched["data"] == {"z": "Mw=="}
    assert (kube.delete(f"{SECRETS}/a"), kube.delete(f"{SECRETS}/a")) == (True, False)
    assert kube.find(f"{SECRETS}/a") is None


def test_fields_that_no_model_knows_survive(kube: Kube) -> None:
    made = kube.create(SECRETS, secret("a") | {"somethingNew": {"deep": [1, None]}})
    assert kube.replace(f"{SECRETS}/a", made)["somethingNew"] == {"deep": [1, None]}


def test_a_write_upon_a_version_that_is_old_conflicts(kube: Kube) -> None:
    made = kube.create(SECRETS, secret("a"))
    kube.replace(f"{SECRETS}/a", made)
    with pytest.raises(ConflictError) as caught:
        kube.replace(f"{SECRETS}/a", made)
    assert (caught.value.status, caught.value.reason) == (409, "Conflict")
    with pytest.raises(ConflictError, match="already exists"):
        kube.create(SECRETS, secret("a"))


def test_a_strategic_patch_merges_webhooks_by_name(api: ApiServer, kube: Kube) -> None:
    webhooks = [{"name": "a", "clientConfig": {"caBundle": "old"}, "x": 1}, {"name": "b"}]
    api.put("mutatingwebhookconfigurations", {"metadata": {"name": "kecs"}, "webhooks": webhooks})
    path = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/kecs"
    patch = {"webhooks": [{"name": "a", "clientConfig": {"caBundle": "new"}}]}
    found = kube.patch(path, patch, Patch.STRATEGIC)["webhooks"]
    assert found == [{"name": "a", "clientConfig": {"caBundle": "new"}, "x": 1}, {"name": "b"}]


def test_a_json_patch(api: ApiServer, kube: Kube) -> None:
    api.put("pods", {"metadata": {"name": "p", "namespace": "demo"}})
    operations = [{"op": "add", "path": "/metadata/labels", "value": {"a": "b"}}]
    path = "/api/v1/namespaces/demo/pods/p"
    assert kube.patch(path, operations, Patch.JSON)["metadata"]["labels"] == {"a": "b"}


def test_long_lists_come_page_by_page(api: ApiServer, kube: Kube) -> None:
    for number in range(1203):
        api.put(
            "pods", {"metadata": {"name": f"p{number:04}", "namespace": "demo", "labels": {"odd": str(number % 2)}}}
        )
    names = [pod["metadata"]["name"] for pod in kube.items("/api/v1/pods", labelSelector="odd=1")]
    assert (len(names), names[0], names[-1]) == (601, "p0001", "p1201")
    assert len(api.requests) == 2


def test_a_watch_tells_what_happens_after_the_list(api: ApiServer, kube: Kube) -> None:
    api.put("configmaps", {"metadata": {"name": "a", "namespace": "demo"}, "data": {"n": "1"}})
    path = "/api/v1/namespaces/demo/configmaps"
    items, version = kube.snapshot(path, fieldSelector="metadata.name=a")
    assert [item["data"] for item in items] == [{"n": "1"}]
    api.put("configmaps", {"metadata": {"name": "a", "namespace": "demo"}, "data": {"n": "2"}})
    api.put("configmaps", {"metadata": {"name": "b", "namespace": "demo"}})
    threading.Timer(0.1, lambda: api.remove("configmaps", "a", "demo")).start()
    changes = kube.watch(path, version, timeout_s=20, fieldSelector="metadata.name=a")
    first, second = next(changes), next(changes)
    assert (first.kind, first.object["data"]) == ("MODIFIED", {"n": "2"})
    assert (second.kind, second.object["metadata"]["name"]) == ("DELETED", "a")


def test_a_watch_from_a_forgotten_version_is_gone(api: ApiServer, kube: Kube) -> None:
    _, version = kube.snapshot("/api/v1/pods")
    api.compact()
    with pytest.raises(GoneError):
        next(kube.watch("/api/v1/pods", version, timeout_s=5))


def test_a_watch_ends_when_the_server_says_so(kube: Kube) -> None:
    assert list(kube.watch("/api/v1/pods", "0", timeout_s=0)) == []


@pytest.mark.parametrize(
    ("fault", "kind", "status"),
    [
        pytest.param(Fault(status=403), KubeError, 403, id="forbidden"),
        pytest.param(Fault(status=404), NotFoundError, 404, id="not found"),
        pytest.param(Fault(status=409), ConflictError, 409, id="conflict"),
        pytest.param(Fault(status=429), UnavailableError, 429, id="too many requests"),
        pytest.param(Fault(status=503), UnavailableError, 503, id="away"),
        pytest.param(Fault(drop=True, times=9), UnavailableError, 0, id="dropped"),
    ],
)
def test_every_failure_has_its_error(
    api: ApiServer, kube: Kube, fault: Fault, kind: type[KubeError], status: int
) -> None:
    api.faults.append(fault)
    with pytest.raises(kind) as caught:
        kube.get(f"{SECRETS}/a")
    assert (type(caught.value), caught.value.status) == (kind, status)
    assert caught.value.message


def test_a_read_is_tried_again_and_a_write_is_not(api: ApiServer, kube: Kube) -> None:
    api.put("secrets", {"metadata": {"name": "a", "namespace": "demo"}})
    api.faults.append(Fault(drop=True))
    assert kube.get(f"{SECRETS}/a")["metadata"]["name"] == "a"
    api.faults.append(Fault(drop=True, after=True))
    with pytest.raises(UnavailableError):
        kube.create(SECRETS, secret("b"))
    assert api.at("secrets", "b", "demo")
    assert [request.method for request in api.requests] == ["GET", "GET", "POST"]


def test_nobody_listens(api: ApiServer, tmp_path: Path) -> None:
    path = api.kubeconfig(tmp_path)
    path.write_text(path.read_text().replace(api.url, "http://127.0.0.1:1"))
    with pytest.raises(UnavailableError, match="does not answer"):
        Kube.load(kubeconfig=str(path)).get("/version")


@pytest.mark.parametrize("content", [None, "{", "clusters: []"], ids=["absent", "no YAML", "empty"])
def test_a_kubeconfig_that_is_none(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "kubeconfig"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError) as caught:
        Kube.load(kubeconfig=str(path))
    assert "KUBECONFIG" in caught.value.hint


def test_time_and_version(api: ApiServer, kube: Kube) -> None:
    api.date = lambda: 1_700_000_000
    version, when = kube.server_time()
    assert version["minor"] == "34"
    assert when is not None
    assert when.timestamp() == 1_700_000_000
