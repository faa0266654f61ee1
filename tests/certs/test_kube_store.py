"""The Secrets of an authority: what stands in them, compare-and-swap, and every way to fail."""

import base64
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from kube_lab import ApiServer, Fault, api_server

from kecs.certs.keeper import Keeper
from kecs.certs.kube import Kube
from kecs.certs.kube_store import SecretStore
from kecs.certs.outcome import Action
from kecs.certs.records import Conflict, Record
from kecs.certs.rotation import Scope
from kecs.certs.state import Phase
from kecs.core.errors import AuthorityError, KecsError, MachineError

NAMESPACE = "kecs-system"
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
FIELDS = {"tls.crt": b"certificate", "tls.key": b"key"}


@pytest.fixture
def api() -> Iterator[ApiServer]:
    with api_server() as found:
        yield found


@pytest.fixture
def store(api: ApiServer, tmp_path: Path) -> Iterator[SecretStore]:
    kube = Kube.load(kubeconfig=str(api.kubeconfig(tmp_path)))
    yield SecretStore(kube=kube, namespace=NAMESPACE)
    kube.close()


def kept(api: ApiServer, name: str) -> dict[str, Any]:
    found = api.at("secrets", name, NAMESPACE)
    assert found
    return found


def keeper(store: SecretStore) -> Keeper:
    scope = Scope(permitted=("amazonaws.com",), services=("kecs-system.svc",))
    return Keeper(store=store, scope=scope, sources={record: store.source(record) for record in Record})


@pytest.mark.parametrize(
    ("record", "name", "kind"),
    [(Record.ROOT, "kecs-root", "Opaque"), (Record.ISSUER, "kecs-issuer", "kubernetes.io/tls")],
)
def test_a_record_is_a_secret(api: ApiServer, store: SecretStore, record: Record, name: str, kind: str) -> None:
    assert store.read(record) is None
    version = store.write(record, FIELDS, None)
    assert store.read(record) == (FIELDS, version)
    assert kept(api, name)["type"] == kind
    assert store.source(record) == f"Secret kecs-system/{name}"


def test_a_record_is_written_whole(api: ApiServer, store: SecretStore) -> None:
    first = store.write(Record.ROOT, FIELDS | {"previous.key": b"old"}, None)
    second = store.write(Record.ROOT, FIELDS, first)
    assert store.read(Record.ROOT) == (FIELDS, second)
    assert set(kept(api, "kecs-root")["data"]) == set(FIELDS)


def test_what_others_put_on_it_stays(api: ApiServer, store: SecretStore) -> None:
    store.write(Record.ROOT, FIELDS, None)
    found = kept(api, "kecs-root")
    found["metadata"] |= {"labels": {"theirs": "1"}, "annotations": {"also": "theirs"}}
    version = api.put("secrets", found)["metadata"]["resourceVersion"]
    store.write(Record.ROOT, {"tls.crt": b"new"}, version)
    metadata = kept(api, "kecs-root")["metadata"]
    assert (metadata["labels"], metadata["annotations"]) == ({"theirs": "1"}, {"also": "theirs"})


def test_writing_upon_another_version_is_a_conflict(api: ApiServer, store: SecretStore) -> None:
    first = store.write(Record.ROOT, FIELDS, None)
    store.write(Record.ROOT, {"tls.crt": b"theirs"}, first)
    for version in (first, None):
        with pytest.raises(Conflict, match="kecs-root"):
            store.write(Record.ROOT, FIELDS, version)
    api.remove("secrets", "kecs-root", NAMESPACE)
    with pytest.raises(Conflict):
        store.write(Record.ROOT, FIELDS, first)
    assert store.read(Record.ROOT) is None


@pytest.mark.parametrize("fault", [Fault(status=503), Fault(drop=True), Fault(status=403)], ids=lambda f: f"{f.status}")
def test_what_can_not_be_written_says_so(api: ApiServer, store: SecretStore, fault: Fault) -> None:
    fault.method = "POST"
    api.faults.append(fault)
    with pytest.raises(MachineError, match=r"Secret kecs-system/kecs-root can't be written"):
        store.write(Record.ROOT, FIELDS, None)
    assert store.write(Record.ROOT, FIELDS, None)


def test_what_is_no_base64_names_the_secret(api: ApiServer, store: SecretStore) -> None:
    api.put("secrets", {"metadata": {"name": "kecs-root", "namespace": NAMESPACE}, "data": {"tls.crt": "%"}})
    with pytest.raises(AuthorityError, match="Secret kecs-system/kecs-root is damaged"):
        store.read(Record.ROOT)


def test_who_may_not_write_does_not(api: ApiServer, store: SecretStore) -> None:
    def refuse() -> None:
        raise KecsError("no leader")

    version = store.write(Record.ROOT, FIELDS, None)
    guarded = SecretStore(kube=store.kube, namespace=NAMESPACE, may_write=refuse)
    for record, found in ((Record.ROOT, version), (Record.ISSUER, None)):
        with pytest.raises(KecsError, match="no leader"):
            guarded.write(record, FIELDS, found)
    assert [key[2] for key in api.objects] == ["kecs-root"]


def test_a_keeper_keeps_an_authority_in_them(api: ApiServer, store: SecretStore) -> None:
    made = keeper(store).load_or_create(NOW)
    assert keeper(store).load_or_create(NOW).issuer_sha256 == made.issuer_sha256
    for action in (Action.PREPARE, Action.SWITCH, Action.RETIRE):
        keeper(store).rotate(action, NOW)
    found = keeper(store).load_or_create(NOW)
    assert (found.generation, found.phase) == (2, Phase.STABLE)
    issuer = kept(api, "kecs-issuer")
    assert {"tls.crt", "tls.key", "ca.crt", "state.json"} == set(issuer["data"])
    assert base64.b64decode(issuer["data"]["ca.crt"]) == found.bundle_pem


def test_a_secret_as_cert_manager_writes_it_is_the_first_generation(api: ApiServer, store: SecretStore) -> None:
    keeper(store).load_or_create(NOW)
    for name in ("kecs-root", "kecs-issuer"):
        found = kept(api, name)
        del found["data"]["state.json"]
        api.put("secrets", found)
    assert keeper(store).load_or_create(NOW).generation == 1
