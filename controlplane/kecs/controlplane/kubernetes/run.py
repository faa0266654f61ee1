"""The kubernetes runtime put together. An edge."""

from collections.abc import Mapping
from typing import Any, Protocol

from kecs.certs.kube import Kube
from kecs.controlplane.kubernetes.config import PodConfig
from kecs.controlplane.kubernetes.logs_loop import LogShipper
from kecs.controlplane.kubernetes.resolver_client import EmulatorResolver
from kecs.controlplane.kubernetes.runtime import KubernetesRuntime


class Log(Protocol):
    """What writes events."""

    def __call__(self, event: str, facts: Mapping[str, Any], /) -> None:
        """Write one."""
        ...


def connected(*, kubeconfig: str, emulator: str, pods: Mapping[str, str], log: Log) -> KubernetesRuntime:
    """Return the runtime of a cluster: a kubeconfig's, or that of the pod that we are. Raise ConfigError.

    Nothing is asked of the cluster yet. Without an emulator lines stay with their pods, and secrets can't be had.
    """

    def event(name: str, /, **fields: Any) -> None:
        log(name, fields)

    kube = Kube.load(kubeconfig=kubeconfig)
    return KubernetesRuntime(
        kube,
        config=PodConfig.from_mapping(pods),
        resolver=EmulatorResolver(emulator),
        follower=LogShipper(kube, emulator, event=event) if emulator else None,
        event=event,
    )
