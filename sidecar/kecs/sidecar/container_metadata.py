"""What containers of ECS and pods of EKS ask for their credentials and about themselves. Pure."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from kecs.aws.head import Answer, RequestHead
from kecs.sidecar.config import SidecarConfig
from kecs.sidecar.credentials import credentials, derived, partition, timestamp

_CLUSTER: Final = "kecs"
_FAMILY: Final = "kecs"
_CONTAINER: Final = "app"
_STARTED: Final = "2026-01-01T00:00:00.000000000Z"
_ADDRESS: Final = "10.0.0.10"
_VERSIONS: Final = ("v2", "v3", "v4")
_VERSION_2: Final = {"metadata": "task", "metadata/ID": "", "stats": "task/stats", "stats/ID": "stats"}
"""What version 2 calls what the later versions know by these names."""


def answer_ecs(head: RequestHead, *, config: SidecarConfig, now: datetime) -> Answer:
    """Answer what is asked of the ECS agent: credentials, and task metadata of versions 2 to 4."""
    parts = _parts(head)
    if parts[:2] in (["v1", "credentials"], ["v2", "credentials"]):
        return _read_only(head, _ecs_credentials(config, now))
    if parts[:1] == ["api"] and parts[2:] == ["task-protection", "v1", "state"]:
        protection = {"ProtectionEnabled": False, "ExpirationDate": None, "TaskArn": _task_arn(config)}
        return _read_only(head, {"protection": protection})
    document = _task_metadata(parts, config, now) if parts[:1] and parts[0] in _VERSIONS else None
    return _text(404, "404 page not found") if document is None else _read_only(head, document)


def answer_eks(head: RequestHead, *, config: SidecarConfig, now: datetime) -> Answer:
    """Answer what is asked of the agent of EKS Pod Identity. The token is the pod's business: any is good."""
    if _parts(head) != ["v1", "credentials"]:
        return _text(404, "404 page not found")
    if not head.get(b"authorization"):
        return _text(400, "Service account token cannot be empty")
    made = credentials(config, "eks", now)
    document = {
        "AccessKeyId": made.access_key,
        "SecretAccessKey": made.secret_key,
        "Token": made.token,
        "AccountId": config.account,
        "Expiration": timestamp(made.expires),
    }
    return _read_only(head, document)


def _parts(head: RequestHead) -> list[str]:
    return head.target.decode("latin-1").partition("?")[0].strip("/").split("/")


def _read_only(head: RequestHead, document: Mapping[str, Any]) -> Answer:
    if head.method not in (b"GET", b"HEAD"):
        return Answer(status=405, fields=((b"Allow", b"GET, HEAD"),))
    body = json.dumps(document, separators=(",", ":")).encode()
    return Answer(status=200, fields=((b"Content-Type", b"application/json"),), body=body)


def _text(status: int, text: str) -> Answer:
    return Answer(status=status, fields=((b"Content-Type", b"text/plain; charset=utf-8"),), body=text.encode())


def _arn(config: SidecarConfig, kind: str, what: str) -> str:
    return f"arn:{partition(config.region).name}:ecs:{config.region}:{config.account}:{kind}/{_CLUSTER}/{what}"


def _task_id(config: SidecarConfig) -> str:
    return derived(config, "task", size=16).hex()


def _task_arn(config: SidecarConfig) -> str:
    return _arn(config, "task", _task_id(config))


def _ecs_credentials(config: SidecarConfig, now: datetime) -> dict[str, str]:
    made = credentials(config, "ecs", now)
    return {
        "RoleArn": f"arn:{partition(config.region).name}:iam::{config.account}:role/{config.role}",
        "AccessKeyId": made.access_key,
        "SecretAccessKey": made.secret_key,
        "Token": made.token,
        "Expiration": timestamp(made.expires),
    }


def _task_metadata(parts: list[str], config: SidecarConfig, now: datetime) -> dict[str, Any] | None:
    version, *rest = parts
    if not rest:
        return None
    # Version 2 asks about its task, and may name a container; the others name one, and may go on to its task.
    what = "/".join([rest[0], *("ID" for _ in rest[1:])] if version == "v2" else rest[1:])
    makers: Mapping[str, Callable[[], dict[str, Any]]] = {
        "": lambda: _container(config, version),
        "task": lambda: _task(config, version),
        "taskWithTags": lambda: _task(config, version),
        "stats": lambda: _stats(config, now),
        "task/stats": lambda: {_docker_id(config): _stats(config, now)},
    }
    asked = _VERSION_2.get(what) if version == "v2" else what
    made = makers.get(asked) if asked is not None else None
    return None if made is None else made()


def _docker_id(config: SidecarConfig) -> str:
    return f"{_task_id(config)}-{int.from_bytes(derived(config, 'container', size=4))}"


def _network(version: str) -> dict[str, Any]:
    network: dict[str, Any] = {"NetworkMode": "awsvpc", "IPv4Addresses": [_ADDRESS]}
    if version == "v4":
        network |= {
            "AttachmentIndex": 0,
            "MACAddress": "02:00:0a:00:00:0a",
            "IPv4SubnetCIDRBlock": "10.0.0.0/24",
            "DomainNameServers": ["10.0.0.2"],
            "PrivateDNSName": f"ip-{_ADDRESS.replace('.', '-')}.ec2.internal",
            "SubnetGatewayIpv4Address": "10.0.0.1/24",
        }
    return network


def _container(config: SidecarConfig, version: str) -> dict[str, Any]:
    container: dict[str, Any] = {
        "DockerId": _docker_id(config),
        "Name": _CONTAINER,
        "DockerName": _CONTAINER,
        "Image": _CONTAINER,
        "ImageID": f"sha256:{derived(config, 'image', size=32).hex()}",
        "Labels": {
            "com.amazonaws.ecs.cluster": _CLUSTER,
            "com.amazonaws.ecs.container-name": _CONTAINER,
            "com.amazonaws.ecs.task-arn": _task_arn(config),
            "com.amazonaws.ecs.task-definition-family": _FAMILY,
            "com.amazonaws.ecs.task-definition-version": "1",
        },
        "DesiredStatus": "RUNNING",
        "KnownStatus": "RUNNING",
        "Limits": {"CPU": 2, "Memory": 512},
        "CreatedAt": _STARTED,
        "StartedAt": _STARTED,
        "Type": "NORMAL",
        "Networks": [_network(version)],
    }
    if version == "v4":
        container["ContainerARN"] = _arn(config, "container", f"{_task_id(config)}/{_CONTAINER}")
        container["LogDriver"] = "awslogs"
        container["LogOptions"] = {
            "awslogs-group": f"/ecs/{_FAMILY}",
            "awslogs-region": config.region,
            "awslogs-stream": f"ecs/{_CONTAINER}/{_task_id(config)}",
        }
    return container


def _task(config: SidecarConfig, version: str) -> dict[str, Any]:
    task: dict[str, Any] = {
        "Cluster": f"arn:{partition(config.region).name}:ecs:{config.region}:{config.account}:cluster/{_CLUSTER}",
        "TaskARN": _task_arn(config),
        "Family": _FAMILY,
        "Revision": "1",
        "DesiredStatus": "RUNNING",
        "KnownStatus": "RUNNING",
        "Limits": {"CPU": 0.25, "Memory": 512},
        "PullStartedAt": _STARTED,
        "PullStoppedAt": _STARTED,
        "AvailabilityZone": f"{config.region}a",
        "Containers": [_container(config, version)],
    }
    if version == "v4":
        task |= {
            "LaunchType": "FARGATE",
            "VPCID": f"vpc-0{derived(config, 'vpc', size=8).hex()}",
            "ServiceName": _FAMILY,
            "FaultInjectionEnabled": False,
        }
    return task


def _stats(config: SidecarConfig, now: datetime) -> dict[str, Any]:
    """Return Docker's statistics of a container that does nothing: clients take rates and sums from it."""
    idle = {"cpu_usage": {"total_usage": 0, "percpu_usage": [0]}, "system_cpu_usage": 0, "online_cpus": 1}
    return {
        "read": timestamp(now),
        "preread": timestamp(now),
        "id": _docker_id(config),
        "name": f"/{_CONTAINER}",
        "num_procs": 0,
        "cpu_stats": idle,
        "precpu_stats": idle,
        "memory_stats": {"usage": 0, "max_usage": 0, "limit": 512 << 20, "stats": {}},
        "blkio_stats": {"io_service_bytes_recursive": []},
        "pids_stats": {"current": 1},
        "networks": {},
    }
