"""What the operator may say of pods, and what can't be read."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from kube_lab import ApiServer, api_server

from kecs.controlplane.clock import RealClock
from kecs.controlplane.config import ControlPlaneConfig, RuntimeKind
from kecs.controlplane.kubernetes.config import PodConfig
from kecs.controlplane.kubernetes.names import dns_label, label_value
from kecs.controlplane.kubernetes.namespaces import namespace, namespace_of
from kecs.controlplane.kubernetes.pods import takes_resources
from kecs.controlplane.run import opened, runtime
from kecs.core.errors import ConfigError


def test_texts_become_values() -> None:
    found = PodConfig.from_mapping(
        {
            "proxy_mode": "environment",
            "pod_resources": "false",
            "sidecar_memory_mib": "64",
            "registries": "*.dkr.ecr=registry:5000, a.example=b.example",
            "storage_class": "fast",
        }
    )
    assert found == PodConfig(
        proxy_mode="environment",
        pod_resources=False,
        sidecar_memory_mib=64,
        registries={"*.dkr.ecr": "registry:5000", "a.example": "b.example"},
        storage_class="fast",
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"proxy": "sidecar"}, "pods has no proxy"),
        ({"proxy_mode": "always"}, "proxy_mode is 'always'"),
        ({"instance": "No Label"}, "instance is 'No Label'"),
        ({"pod_resources": "yes"}, "pods.pod_resources is 'yes'"),
        ({"sidecar_memory_mib": "64Mi"}, "pods.sidecar_memory_mib is '64Mi'"),
        ({"registries": "x"}, "pods.registries is 'x'"),
    ],
)
def test_what_can_not_be_read_is_refused(given: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        PodConfig.from_mapping(given)
    with pytest.raises(ConfigError, match="negative"):
        PodConfig(sidecar_cpu_units=-1)


@pytest.mark.parametrize(
    ("version", "takes"),
    [
        ({"major": "1", "minor": "34"}, True),
        ({"major": "1", "minor": "35+"}, True),
        ({"major": "2", "minor": "0"}, True),
        ({"major": "1", "minor": "33"}, False),
        ({}, False),
    ],
)
def test_resources_of_pods_are_for_servers_that_take_them(version: Any, takes: bool) -> None:  # noqa: FBT001 - a column
    assert takes_resources(version) is takes


def cluster(name: str, *, region: str = "us-east-1", account: str = "000000000000") -> str:
    return f"arn:aws:ecs:{region}:{account}:cluster/{name}"


def test_a_cluster_is_a_namespace() -> None:
    assert namespace_of(cluster("default")) == "default-us-east-1"
    made = namespace(cluster("Shop_1"))["metadata"]
    assert made["name"].startswith("shop-1-us-east-1-")
    assert made["labels"]["kecs.io/ecs-cluster"] == "Shop_1"
    assert made["labels"]["kecs.io/ecs-region"] == "us-east-1"
    assert made["annotations"]["kecs.io/ecs-cluster-arn"] == cluster("Shop_1")


def test_no_two_clusters_share_a_namespace() -> None:
    arns = [
        cluster(name, region=region, account=account)
        for name in ("shop", "Shop", "shop_1", "shop-1", "s" * 255, "s" * 254)
        for region in ("us-east-1", "eu-west-1")
        for account in ("000000000000", "111122223333")
    ]
    names = {namespace_of(arn) for arn in arns}
    assert len(names) == len(arns)
    assert all(name == dns_label(name) for name in names)


def test_labels_hold_what_they_can() -> None:
    assert label_value("Shop_1.x") == "Shop_1.x"
    assert label_value("family:web") == f"family-web-{label_value('family:web')[-8:]}"
    assert label_value(":::").startswith("x-")
    assert len(label_value("g" * 300)) <= 63


@pytest.mark.parametrize(
    ("wanted", "kubeconfig", "name"),
    [
        pytest.param(RuntimeKind.SIMULATED, True, "simulated", id="simulated, whatever is there"),
        pytest.param(RuntimeKind.AUTO, False, "simulated", id="auto without a cluster"),
        pytest.param(RuntimeKind.AUTO, True, "kubernetes", id="auto with one"),
        pytest.param(RuntimeKind.KUBERNETES, True, "kubernetes", id="kubernetes"),
    ],
)
def test_what_tasks_run_on(tmp_path: Path, wanted: RuntimeKind, kubeconfig: bool, name: str) -> None:  # noqa: FBT001 - a column
    async def play() -> str:
        with api_server() as api, opened(config := _config(api, tmp_path, wanted, kubeconfig)) as store:
            found = runtime(config, store, RealClock(), lambda *_: None)
            await found.close()
            return found.name

    assert asyncio.run(play()) == name


def _config(api: ApiServer, tmp_path: Path, wanted: RuntimeKind, kubeconfig: bool) -> ControlPlaneConfig:  # noqa: FBT001 - a column
    path = str(api.kubeconfig(tmp_path)) if kubeconfig else ""
    return ControlPlaneConfig(runtime=wanted, kubeconfig=path, emulator="http://127.0.0.1:1")
