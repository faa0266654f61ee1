"""`kecs proxy certs` on a cluster: what is read, what is asked of the authority there, how its answers are followed."""

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from kube_lab import ApiServer, Fault, api_server
from rich.console import Console

from kecs.aws.hosts import SUFFIXES
from kecs.certs.authority import certificate_pem, issue_root, key_pem
from kecs.certs.chronicle import Chronicle
from kecs.certs.controller import Controller, Settings
from kecs.certs.keeper import Keeper
from kecs.certs.kube import Kube
from kecs.certs.kube_store import SecretStore
from kecs.certs.outcome import Action
from kecs.certs.requests import IMPORT_SECRET
from kecs.certs.rotation import Scope
from kecs.certs.state import Phase
from kecs.cli.certs import certs_group
from kecs.cli.certs_cluster import ClusterPlace
from kecs.cli.certs_progress import Progress
from kecs.cli.certs_rotation import Ending, Wanted
from kecs.core.errors import AuthorityError, MachineError
from kecs.core.names import ISSUER_SECRET, ROTATION_CONFIG_MAP, SYSTEM_NAMESPACE, TRUST_ROOT_ANNOTATION

NOW = datetime.now(UTC)
SERVICES = (f"{SYSTEM_NAMESPACE}.svc", f"{SYSTEM_NAMESPACE}.svc.cluster.local")


@dataclass(slots=True)
class Leader:
    """The authority of the cluster, which works while the command pauses."""

    controller: Controller
    keeper: Keeper
    asleep: bool = False

    def step(self, _seconds: float = 0) -> None:
        if not self.asleep:
            self.controller.round()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    api: ApiServer
    place: ClusterPlace
    leader: Leader
    kubeconfig: Path

    def pod(self, name: str, trusted: str, phase: str = "Running") -> None:
        annotations = {TRUST_ROOT_ANNOTATION: trusted} if trusted else {}
        metadata = {"name": name, "namespace": "demo", "annotations": annotations}
        self.api.put("pods", {"metadata": metadata, "spec": {}, "status": {"phase": phase}})

    def root(self) -> str:
        return self.place.authority().trust_sha256[0]

    def rotated(self, **wanted: Any) -> tuple[Ending, str]:
        with open("/dev/null", "w", encoding="utf-8") as nowhere:  # noqa: PTH123 - a stream for rich
            console = Console(width=200, record=True, file=nowhere)
            with Progress(console).shown() as progress:
                ending = self.place.rotate(Wanted(**wanted), progress)
            return ending, console.export_text()

    def request(self) -> dict[str, Any]:
        found = self.api.at("configmaps", ROTATION_CONFIG_MAP, SYSTEM_NAMESPACE)
        assert found is not None
        asked: dict[str, Any] = json.loads(found["data"]["request"])
        return asked


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with api_server() as api:
        kubeconfig = api.kubeconfig(tmp_path)
        kube = Kube.load(kubeconfig=str(kubeconfig))
        store = SecretStore(kube=kube, namespace=SYSTEM_NAMESPACE)
        keeper = Keeper(store=store, scope=Scope(permitted=SUFFIXES, services=SERVICES))
        keeper.load_or_create(NOW)
        settings = Settings(namespace=SYSTEM_NAMESPACE, scope=keeper.scope, propagation=timedelta())
        leader = Leader(Controller(kube, settings, Chronicle(None, SYSTEM_NAMESPACE, stream=io.StringIO())), keeper)
        place = ClusterPlace(kube=kube, namespace=SYSTEM_NAMESPACE, pause=leader.step)
        yield Cluster(api=api, place=place, leader=leader, kubeconfig=kubeconfig)
        kube.close()


def kecs(cluster: Cluster, *arguments: str) -> str:
    given = [*arguments, "--kubeconfig", str(cluster.kubeconfig)]
    result = CliRunner().invoke(certs_group, given, standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result.stdout


# --- reading


def test_status_lists_pods_by_the_generations_they_trust(cluster: Cluster) -> None:
    cluster.pod("old", cluster.root())
    cluster.pod("bare", "")
    cluster.pod("over", cluster.root(), phase="Succeeded")
    cluster.leader.keeper.rotate(Action.PREPARE, NOW)
    cluster.pod("both", ",".join(cluster.place.authority().trust_sha256))
    found = json.loads(kecs(cluster, "status", "-o", "json"))
    assert found["place"] == f"cluster {cluster.api.url}, namespace kecs-system"
    assert found["phase"] == "prepared"
    assert [(one["kind"], one["name"], one["generations"]) for one in found["workloads"]] == [
        ("pod", "demo/both", [1, 2]),
        ("pod", "demo/old", [1]),
    ]


def test_verify_and_export_read_the_issuer_alone(cluster: Cluster) -> None:
    before = len(cluster.api.requests)
    assert "accepted" in kecs(cluster, "verify", "s3.eu-west-1.amazonaws.com")
    assert kecs(cluster, "export").encode() == cluster.place.authority().bundle_pem
    assert not any("kecs-root" in request.path for request in cluster.api.requests[before:])


def test_where_kecs_is_not_installed_it_says_so(cluster: Cluster) -> None:
    cluster.api.remove("secrets", ISSUER_SECRET, SYSTEM_NAMESPACE)
    with pytest.raises(AuthorityError, match="there is no Secret kecs-system/kecs-issuer") as refused:
        kecs(cluster, "status")
    assert "kecs proxy check" in refused.value.hint


def test_a_missing_permission_is_named(cluster: Cluster) -> None:
    cluster.api.faults.append(Fault(path="/secrets/kecs-issuer", status=403))
    with pytest.raises(AuthorityError, match="Secret kecs-system/kecs-issuer") as refused:
        kecs(cluster, "status")
    assert "permission" in refused.value.hint


# --- rotating


def test_a_rotation_is_asked_for_and_followed_to_its_end(cluster: Cluster) -> None:
    ending, text = cluster.rotated()
    assert ending is Ending.DONE
    assert [line.split()[0] for line in text.splitlines()] == ["prepare", "switch", "retire"]
    assert cluster.place.authority().generation == 2
    assert {key: cluster.request()[key] for key in ("action", "force", "wait")} == {
        "action": "rotate",
        "force": False,
        "wait": False,
    }


def test_without_waiting_it_says_which_pods_remain(cluster: Cluster) -> None:
    cluster.pod("old", cluster.root())
    ending, text = cluster.rotated()
    assert ending is Ending.REMAINS
    assert "waits     for pod demo/old; `kecs proxy certs rotate --wait` goes on from here" in text


def test_waiting_ends_with_the_pod_it_waits_for(cluster: Cluster) -> None:
    cluster.pod("old", cluster.root())
    before = cluster.leader.step

    def step(seconds: float) -> None:
        before(seconds)
        if cluster.place.authority().phase is Phase.SWITCHED and cluster.api.at("pods", "old", "demo"):
            cluster.api.remove("pods", "old", "demo")

    place = ClusterPlace(kube=cluster.place.kube, namespace=SYSTEM_NAMESPACE, pause=step)
    with open("/dev/null", "w", encoding="utf-8") as nowhere:  # noqa: PTH123 - a stream for rich
        assert place.rotate(Wanted(wait=True), Progress(Console(file=nowhere))) is Ending.DONE


def test_a_command_in_between_follows_the_same_request(cluster: Cluster) -> None:
    cluster.pod("old", cluster.root())
    cluster.rotated()
    number = cluster.request()["id"]
    assert cluster.rotated()[0] is Ending.REMAINS
    assert cluster.request()["id"] == number
    with pytest.raises(AuthorityError, match="at work on another request: rotate"):
        cluster.rotated(phase=Action.RETIRE)


def test_waiting_later_follows_what_a_rotation_waits_for(cluster: Cluster) -> None:
    cluster.pod("old", cluster.root())
    cluster.rotated()
    number = cluster.request()["id"]
    assert cluster.rotated(wait=True, timeout_s=0.0)[0] is Ending.REMAINS
    assert cluster.request()["id"] == number
    cluster.api.remove("pods", "old", "demo")
    assert cluster.rotated(wait=True)[0] is Ending.DONE


def test_an_api_server_that_is_away_for_a_while_does_not_end_it(cluster: Cluster) -> None:
    cluster.leader.asleep = True
    away: list[float] = []

    def step(seconds: float) -> None:
        away.append(seconds)
        cluster.leader.asleep = len(away) < 3
        if len(away) == 1:
            cluster.api.faults.append(Fault(path="/configmaps/", status=503, times=2))
        cluster.leader.step(seconds)

    place = ClusterPlace(kube=cluster.place.kube, namespace=SYSTEM_NAMESPACE, pause=step)
    with open("/dev/null", "w", encoding="utf-8") as nowhere:  # noqa: PTH123 - a stream for rich
        assert place.rotate(Wanted(), Progress(Console(file=nowhere))) is Ending.DONE


def test_a_refusal_is_told_with_every_reason_and_pod(cluster: Cluster) -> None:
    cluster.pod("old", cluster.root())
    assert cluster.rotated(phase=Action.PREPARE)[0] is Ending.DONE
    assert cluster.rotated(phase=Action.SWITCH)[0] is Ending.DONE
    with pytest.raises(AuthorityError, match=r"trust the old root alone \(pod demo/old\)") as refused:
        cluster.rotated(phase=Action.RETIRE)
    assert "restart them" in refused.value.hint
    assert cluster.rotated(phase=Action.RETIRE, force=True)[0] is Ending.DONE


def test_an_authority_that_does_not_answer_is_named(cluster: Cluster) -> None:
    cluster.leader.asleep = True
    place = ClusterPlace(kube=cluster.place.kube, namespace=SYSTEM_NAMESPACE, pause=cluster.leader.step, taken_up_s=0)
    with (
        open("/dev/null", "w", encoding="utf-8") as nowhere,  # noqa: PTH123 - a stream for rich
        pytest.raises(MachineError, match="has not taken up the request") as refused,
    ):
        place.rotate(Wanted(), Progress(Console(file=nowhere)))
    assert "logs deploy/kecs-authority" in refused.value.hint


def test_an_emergency_lists_the_pods_and_leaves_no_cross_certificate(cluster: Cluster) -> None:
    cluster.pod("old", cluster.root())
    with open("/dev/null", "w", encoding="utf-8") as nowhere:  # noqa: PTH123 - a stream for rich
        (broken,) = cluster.place.replace(Progress(Console(file=nowhere)))
    assert broken.name == "demo/old"
    assert cluster.place.authority().above == ()


@pytest.mark.parametrize("status", ["", "{", "[]", '{"id": 1}', '{"id": "x", "state": "dancing"}'])
def test_an_answer_that_can_not_be_read_is_none(cluster: Cluster, status: str) -> None:
    metadata = {"name": ROTATION_CONFIG_MAP, "namespace": SYSTEM_NAMESPACE}
    cluster.api.put("configmaps", {"metadata": metadata, "data": {"request": "{", "status": status}})
    assert cluster.rotated()[0] is Ending.DONE


# --- a root of one's own


@pytest.fixture
def secret() -> Callable[..., dict[str, bytes]]:
    def make(days: int = 100) -> dict[str, bytes]:
        root = issue_root(NOW, permitted=(*SUFFIXES, *SERVICES), lifetime=timedelta(days=days))
        return {"tls.crt": certificate_pem(root.certificate), "tls.key": key_pem(root.key)}

    return make


def test_what_can_not_be_used_never_reaches_the_cluster(
    cluster: Cluster, secret: Callable[..., dict[str, bytes]]
) -> None:
    other = {**secret(), "tls.crt": secret()["tls.crt"]}
    before = len(cluster.api.requests)
    with pytest.raises(AuthorityError, match="the key is not the certificate's"):
        cluster.place.adopt(other, source="files", now=NOW, dry_run=False)
    assert {request.method for request in cluster.api.requests[before:]} == {"GET"}


def test_a_root_is_handed_over_and_its_secret_removed(
    cluster: Cluster, secret: Callable[..., dict[str, bytes]]
) -> None:
    said = cluster.place.adopt(secret(), source="files", now=NOW, dry_run=False)
    assert said == "the root is taken: import: it is generation 2, prepared"
    assert cluster.api.at("secrets", IMPORT_SECRET, SYSTEM_NAMESPACE) is None
    assert cluster.rotated()[0] is Ending.DONE
    assert cluster.place.authority().generation == 2


def test_what_propagates_is_waited_for_by_everybody(cluster: Cluster) -> None:
    uptime = [0.0]
    settings = Settings(namespace=SYSTEM_NAMESPACE, scope=cluster.leader.keeper.scope)
    chronicle = Chronicle(None, SYSTEM_NAMESPACE, stream=io.StringIO())
    controller = Controller(cluster.place.kube, settings, chronicle, uptime=lambda: uptime[0])

    def step(_seconds: float) -> None:
        controller.round()
        uptime[0] += 50.0

    place = ClusterPlace(kube=cluster.place.kube, namespace=SYSTEM_NAMESPACE, pause=step)
    with open("/dev/null", "w", encoding="utf-8") as nowhere:  # noqa: PTH123 - a stream for rich
        console = Console(width=200, record=True, file=nowhere)
        assert place.rotate(Wanted(), Progress(console)) is Ending.DONE
    assert "waits     for what signs to reach every replica of kecs-certs, until 20" in console.export_text()
    assert uptime[0] >= 180.0


def test_force_names_the_pods_to_restart(cluster: Cluster) -> None:
    cluster.pod("old", cluster.root())
    ending, text = cluster.rotated(force=True)
    assert ending is Ending.DONE
    assert "restart   pod demo/old" in text


def test_a_dry_run_of_an_import_changes_nothing(cluster: Cluster, secret: Callable[..., dict[str, bytes]]) -> None:
    before = len(cluster.api.requests)
    assert "fulfils everything" in cluster.place.adopt(secret(), source="files", now=NOW, dry_run=True)
    assert {request.method for request in cluster.api.requests[before:]} == {"GET"}
