"""What makes sidecar mode impossible for a pod: every obstacle, with the path and value that make it one. Pure."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from kecs.core.names import INIT_CONTAINER, PROXY_GID, PROXY_UID, SIDECAR_CONTAINER, TRUST_DIRECTORY
from kecs.injector.config import PSA_LABEL, Facts, Injection
from kecs.injector.containers import TRUST_VOLUME, VOLUMES
from kecs.injector.pod import CONTAINER_LISTS, MESHES, OURS, Object, Pod
from kecs.injector.reason import SENTENCES, Reason

NATIVE_SIDECARS: Final = (1, 29)
"""Where init containers with restartPolicy Always are on by default (KEP-753)."""
_OS_LABEL: Final = "kubernetes.io/os"

FALLS_BACK: Final = frozenset(
    {
        Reason.HOST_NETWORK,
        Reason.WINDOWS,
        Reason.POD_SECURITY,
        Reason.CAPABILITY_DENIED,
        Reason.PROXY_ID_CLASH,
    }
)
"""Obstacles of the pod's surroundings, which another mode gets around. The others are mistakes, to be mended."""


class Obstacle(NamedTuple):
    """One obstacle; `detail` is what was found, and where."""

    reason: Reason
    detail: str

    @property
    def sentence(self) -> str:
        """Say what was found and why that is in the way."""
        return f"{self.detail}: {SENTENCES[self.reason]}"


def find(pod: Pod, facts: Facts, config: Injection) -> tuple[Obstacle, ...]:
    """List every obstacle for a pod that has not been injected."""
    return tuple(
        Obstacle(reason, detail) for reason, details in _DETAILS.items() for detail in details(pod, facts, config)
    )


def _server_too_old(_pod: Pod, facts: Facts, _config: Injection) -> Iterator[str]:
    if facts.server_version is not None and facts.server_version < NATIVE_SIDECARS:
        yield "the API server is {}.{}".format(*facts.server_version)


def _host_network(pod: Pod, _facts: Facts, _config: Injection) -> Iterator[str]:
    if pod.spec.get("hostNetwork"):
        yield "spec.hostNetwork is true"


def _windows(pod: Pod, _facts: Facts, _config: Injection) -> Iterator[str]:
    if (pod.spec.get("os") or {}).get("name") == "windows":
        yield "spec.os.name is windows"
    if (pod.spec.get("nodeSelector") or {}).get(_OS_LABEL) == "windows":
        yield f"spec.nodeSelector names {_OS_LABEL}=windows"


def _pod_security(_pod: Pod, facts: Facts, _config: Injection) -> Iterator[str]:
    if facts.pod_security != "privileged":
        yield f'the namespace enforces "{facts.pod_security}" ({PSA_LABEL})'


def _capability_denied(_pod: Pod, _facts: Facts, config: Injection) -> Iterator[str]:
    if denied := [name for name in config.capabilities if name in config.denied_capabilities]:
        yield f"the setting deniedCapabilities has {', '.join(denied)}"


def _proxy_id_clash(pod: Pod, _facts: Facts, _config: Injection) -> Iterator[str]:
    whole = pod.spec.get("securityContext") or {}
    for where, index, container in pod.users:
        own = container.get("securityContext") or {}
        ids = [own.get(key) if own.get(key) is not None else whole.get(key) for key in ("runAsUser", "runAsGroup")]
        if ids == [PROXY_UID, PROXY_GID]:
            yield f"spec.{where}[{index}] ({container['name']})"


def _container_name_taken(pod: Pod, _facts: Facts, _config: Injection) -> Iterator[str]:
    for where in CONTAINER_LISTS:
        for index, container in enumerate(pod.list_of(where)):
            if container["name"] in OURS:
                yield f'spec.{where}[{index}].name is "{container["name"]}"'


def _volume_name_taken(pod: Pod, _facts: Facts, _config: Injection) -> Iterator[str]:
    for index, volume in enumerate(pod.list_of("volumes")):
        if volume["name"] in VOLUMES:
            yield f'spec.volumes[{index}].name is "{volume["name"]}"'


def _mount_path_taken(pod: Pod, _facts: Facts, _config: Injection) -> Iterator[str]:
    for where, index, container in pod.users:
        for mount in container.get("volumeMounts") or ():
            if _is_taken(mount):
                yield f'spec.{where}[{index}] ({container["name"]}) mounts "{mount["name"]}" at {TRUST_DIRECTORY}'


def _is_taken(mount: Object) -> bool:
    return (mount.get("mountPath") or "").rstrip("/") == TRUST_DIRECTORY and mount["name"] != TRUST_VOLUME


_DETAILS: Final[Mapping[Reason, Callable[[Pod, Facts, Injection], Iterator[str]]]] = {
    Reason.SERVER_TOO_OLD: _server_too_old,
    Reason.HOST_NETWORK: _host_network,
    Reason.WINDOWS: _windows,
    Reason.POD_SECURITY: _pod_security,
    Reason.CAPABILITY_DENIED: _capability_denied,
    Reason.PROXY_ID_CLASH: _proxy_id_clash,
    Reason.CONTAINER_NAME_TAKEN: _container_name_taken,
    Reason.VOLUME_NAME_TAKEN: _volume_name_taken,
    Reason.MOUNT_PATH_TAKEN: _mount_path_taken,
}


def cautions(pod: Pod) -> Iterator[str]:
    """Name what is no obstacle, and yet changes what the pod's author may count on."""
    for name in pod.meshes:
        yield (
            f"container {name} is {MESHES[name]}'s: both redirect outbound traffic; "
            "exclude ports 80 and 443 there if AWS calls fail"
        )
    if not pod.has_own_resources and _is_guaranteed(pod):
        yield (
            "the pod's QoS class changes from Guaranteed to Burstable; "
            f"annotations that give {INIT_CONTAINER} and {SIDECAR_CONTAINER} equal requests and limits keep it"
        )


def _is_guaranteed(pod: Pod) -> bool:
    return all(_is_fixed(container.get("resources") or {}) for _, _, container in pod.users)


def _is_fixed(resources: Mapping[str, Any]) -> bool:
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    return all(
        limits.get(what) is not None and requests.get(what, limits[what]) == limits[what] for what in ("cpu", "memory")
    )
