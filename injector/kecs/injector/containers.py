"""Our two containers and our volumes, as they stand in a pod. Pure.

Shapes that a real API server and kubelet have taken. What is not obvious:
- `runAsNonRoot: false` is explicit: else a pod-level `true` holds, and kubelet refuses the init container.
- `kecs-none`, empty, lies where the service account's token belongs: the API server's own plugin then leaves our
  containers without it.
- kubelet probes the pod's address, never its loopback.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from kecs.core.names import (
    INIT_CONTAINER,
    INSPECT_PORT,
    PROBE_PORT,
    PROXY_GID,
    PROXY_UID,
    SIDECAR_CONTAINER,
    TOKEN_AUDIENCE,
    TOKEN_DIRECTORY,
    TOKEN_FILE,
    TRUST_DIRECTORY,
)
from kecs.injector.config import DnsMode, Endpoint, Injection, Resources, RulesBackend, Trust
from kecs.injector.variables import ROOTS
from kecs.injector.wishes import Wishes

TRUST_VOLUME: Final = "kecs-trust"
TOKEN_VOLUME: Final = "kecs-token"  # noqa: S105 - a name
TEMPORARY_VOLUME: Final = "kecs-tmp"
EMPTY_VOLUME: Final = "kecs-none"
_API_TOKEN_DIRECTORY: Final = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 - a path
_TOKEN_SECONDS: Final = 3600
PYTHON: Final = "/opt/kecs/bin/python"
"""Where every image of ours has its interpreter."""


def _memory(name: str, size: str) -> dict[str, Any]:
    return {"name": name, "emptyDir": {"medium": "Memory", "sizeLimit": size}}


EVICTABLE: Final = (TRUST_VOLUME, TEMPORARY_VOLUME, EMPTY_VOLUME)
"""What the cluster autoscaler may throw away with the pod: by default a local volume keeps it from moving a pod."""
VOLUMES: Final = (*EVICTABLE, TOKEN_VOLUME)


def volumes() -> tuple[dict[str, Any], ...]:
    """Trust files, the sidecar's /tmp, an empty place and the token for the certificate service, as named above."""
    token = {
        "audience": TOKEN_AUDIENCE,
        "expirationSeconds": _TOKEN_SECONDS,
        "path": TOKEN_FILE.removeprefix(f"{TOKEN_DIRECTORY}/"),
    }
    return (
        _memory(TRUST_VOLUME, "4Mi"),
        _memory(TEMPORARY_VOLUME, "16Mi"),
        _memory(EMPTY_VOLUME, "1Mi"),
        {"name": TOKEN_VOLUME, "projected": {"defaultMode": 0o644, "sources": [{"serviceAccountToken": token}]}},
    )


def trust_mount() -> dict[str, Any]:
    """Mount the trust files where the variables expect them; the volume's root is writable for all, so read-only."""
    return {"name": TRUST_VOLUME, "mountPath": TRUST_DIRECTORY, "readOnly": True}


def overlay_mount(path: str) -> dict[str, Any]:
    """Mount the fitting trust file over a file of the image."""
    java = path.endswith(("/cacerts", ".jks"))
    file = "truststore.jks" if java else "bundle.pem"
    return {"name": TRUST_VOLUME, "mountPath": path, "subPath": file, "readOnly": True}


def _no_api_token() -> dict[str, Any]:
    return {"name": EMPTY_VOLUME, "mountPath": _API_TOKEN_DIRECTORY, "readOnly": True}


def _security(uid: int, gid: int, capabilities: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "runAsUser": uid,
        "runAsGroup": gid,
        "runAsNonRoot": uid != 0,
        "privileged": False,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": dict(capabilities),
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def _env(values: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{"name": name, "value": value} for name, value in values.items()]


def init_container(config: Injection, trust: Trust, resources: Resources | None) -> dict[str, Any]:
    """Write the redirect rules and the trust files, then be gone."""
    environment = {
        "KECS_TRUST_ROOTS": trust.with_extra(config.extra_cas),
        "KECS_TRUST_DIRECTORY": TRUST_DIRECTORY,
        "KECS_DNS_CAPTURE": "true" if config.dns_mode is DnsMode.CAPTURE else "false",
        "KECS_IPTABLES_BACKEND": config.rules.value,
        "KECS_IPV6": "auto" if config.ipv6 else "off",
    }
    if config.exclude_ports:
        environment["KECS_EXCLUDE_PORTS"] = ",".join(map(str, config.exclude_ports))
    if config.exclude_cidrs:
        environment["KECS_EXCLUDE_CIDRS"] = ",".join(config.exclude_cidrs)
    if config.rules is RulesBackend.LEGACY:
        environment["XTABLES_LOCKFILE"] = f"{TRUST_DIRECTORY}/.xtables.lock"  # the only place that it can write to
    return {
        "name": INIT_CONTAINER,
        "image": config.images.init,
        "imagePullPolicy": config.images.pull_policy,
        "command": [PYTHON, "-m", "kecs.init_container"],
        "env": _env(environment),
        "securityContext": _security(0, 0, {"drop": ["ALL"], "add": list(config.capabilities)}),
        **_spelled(resources),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [{"name": TRUST_VOLUME, "mountPath": TRUST_DIRECTORY}, _no_api_token()],
    }


def sidecar_container(config: Injection, wishes: Wishes, resources: Resources | None) -> dict[str, Any]:
    """Relay AWS calls to the emulator for as long as the pod lives. It starts before the user's init containers."""
    return {
        "name": SIDECAR_CONTAINER,
        "image": config.images.sidecar,
        "imagePullPolicy": config.images.pull_policy,
        "restartPolicy": "Always",
        "command": [PYTHON, "-m", "kecs.sidecar"],
        "ports": [{"name": "kecs-probe", "containerPort": PROBE_PORT, "protocol": "TCP"}],
        "env": [*_fields(), *_env(_sidecar_environment(config, wishes))],
        "securityContext": _security(PROXY_UID, PROXY_GID, {"drop": ["ALL"]}),
        "startupProbe": _probe("/readyz", periodSeconds=1, timeoutSeconds=1, failureThreshold=60),
        "readinessProbe": _probe("/readyz", periodSeconds=5, timeoutSeconds=2, failureThreshold=3),
        "livenessProbe": _probe("/livez", periodSeconds=10, timeoutSeconds=5, failureThreshold=6),
        **_spelled(resources),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": TRUST_VOLUME, "mountPath": TRUST_DIRECTORY, "readOnly": True},
            {"name": TOKEN_VOLUME, "mountPath": TOKEN_DIRECTORY, "readOnly": True},
            {"name": TEMPORARY_VOLUME, "mountPath": "/tmp"},  # noqa: S108 - a volume of its own
            _no_api_token(),
        ],
    }


def _fields() -> Iterator[dict[str, Any]]:
    paths = {
        "POD_NAME": "metadata.name",
        "POD_NAMESPACE": "metadata.namespace",
        "POD_UID": "metadata.uid",
        "POD_IP": "status.podIP",
        "KECS_SIDECAR_PROBE_HOST": "status.podIP",
    }
    for name, path in paths.items():
        yield {"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}}


def _sidecar_environment(config: Injection, wishes: Wishes) -> dict[str, str]:
    return {
        "KECS_SIDECAR_CONFIG": json.dumps(sidecar_config(config, wishes), separators=(",", ":")),
        "KECS_SIDECAR_CERTS_URL": config.certs_url,
        "KECS_SIDECAR_TOKEN_FILE": TOKEN_FILE,
        "KECS_SIDECAR_TRUST_FILE": ROOTS,
        "KECS_SIDECAR_ADMIN_HOST": "127.0.0.1",
        "KECS_SIDECAR_DNS": "capture" if config.dns_mode is DnsMode.CAPTURE else "off",
    }


def sidecar_config(config: Injection, wishes: Wishes) -> dict[str, Any]:
    """Say who answers: the object that `kecs.sidecar.config.SidecarConfig` reads."""
    return {
        **_place("backend", wishes.endpoint or config.endpoint),
        "profile": config.profile,
        **(_place("controlplane", config.controlplane) if config.controlplane else {}),
        "region": config.region,
        "account": config.account,
        "pass_hosts": list(config.pass_hosts),
        "engine": "inspect" if wishes.debug else "on-demand",
        **({"page_port": INSPECT_PORT} if wishes.debug else {}),
        "dns_capture": config.dns_mode is DnsMode.CAPTURE,
        **({"task": dict(wishes.task)} if wishes.task else {}),
        **config.relay,
    }


def _place(what: str, endpoint: Endpoint) -> dict[str, Any]:
    return {f"{what}_host": endpoint.host, f"{what}_port": endpoint.port, f"{what}_tls": endpoint.tls}


def _probe(path: str, **times: int) -> dict[str, Any]:
    return {"httpGet": {"path": path, "port": PROBE_PORT, "scheme": "HTTP"}, **times}


def _spelled(resources: Resources | None) -> dict[str, Any]:
    return {} if resources is None else {"resources": resources.spell()}
