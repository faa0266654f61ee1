"""What containers of ECS and pods of EKS ask for their credentials and about themselves. Pure."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from kecs.aws.head import Answer, RequestHead
from kecs.sidecar.config import SidecarConfig
from kecs.sidecar.credentials import credentials, derived, partition, timestamp
from kecs.sidecar.task import TaskContainer

_CLUSTER: Final = "kecs"
_UNITS: Final = 1024
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
    return f"arn:{partition(config.region).name}:ecs:{config.region}:{config.account}:{kind}/{what}"


def _task_id(config: SidecarConfig) -> str:
    return config.task.task_arn.rpartition("/")[2] or derived(config, "task", size=16).hex()


def _task_arn(config: SidecarConfig) -> str:
    return config.task.task_arn or _arn(config, "task", f"{_CLUSTER}/{_task_id(config)}")


def _ecs_credentials(config: SidecarConfig, now: datetime) -> dict[str, str]:
    """Return what the task's role has, in the role's own account."""
    arn = config.task.role_arn or f"arn:{partition(config.region).name}:iam::{config.account}:role/{config.role}"
    account, _, path = arn.split(":", 4)[4].partition(":")
    made = credentials(replace(config, account=account, role=path.rpartition("/")[2]), "ecs", now)
    return {
        "RoleArn": arn,
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
    named = rest[-1] if version == "v2" else rest[0]
    one = next((it for it in config.task.containers if it.id == named), config.task.containers[0])
    makers: Mapping[str, Callable[[], dict[str, Any]]] = {
        "": lambda: _container(config, one, version),
        "task": lambda: _task(config, version),
        "taskWithTags": lambda: _task(config, version) | ({"TaskTags": dict(config.task.tags)}),
        "stats": lambda: _stats(config, one, now),
        "task/stats": lambda: {_docker_id(config, it): _stats(config, it, now) for it in config.task.containers},
    }
    asked = _VERSION_2.get(what) if version == "v2" else what
    made = makers.get(asked) if asked is not None else None
    return None if made is None else made()


def _docker_id(config: SidecarConfig, one: TaskContainer) -> str:
    return one.id or f"{_task_id(config)}-{int.from_bytes(derived(config, 'container', size=4))}"


def _network(config: SidecarConfig, version: str) -> dict[str, Any]:
    address = config.task.address
    network: dict[str, Any] = {"NetworkMode": "awsvpc", "IPv4Addresses": [address]}
    if version == "v4":
        network |= {
            "AttachmentIndex": 0,
            "MACAddress": "02:00:0a:00:00:0a",
            "IPv4SubnetCIDRBlock": "10.0.0.0/24",
            "DomainNameServers": ["10.0.0.2"],
            "PrivateDNSName": f"ip-{address.replace('.', '-')}.ec2.internal",
            "SubnetGatewayIpv4Address": "10.0.0.1/24",
        }
    return network


def _container(config: SidecarConfig, one: TaskContainer, version: str) -> dict[str, Any]:
    task = config.task
    container: dict[str, Any] = {
        "DockerId": _docker_id(config, one),
        "Name": one.name,
        "DockerName": one.name,
        "Image": one.image,
        "ImageID": f"sha256:{derived(config, 'image', size=32).hex()}",
        "Labels": {
            **one.labels,
            "com.amazonaws.ecs.cluster": task.cluster or _CLUSTER,
            "com.amazonaws.ecs.container-name": one.name,
            "com.amazonaws.ecs.task-arn": _task_arn(config),
            "com.amazonaws.ecs.task-definition-family": task.family,
            "com.amazonaws.ecs.task-definition-version": task.revision,
        },
        "DesiredStatus": "RUNNING",
        "KnownStatus": "RUNNING",
        "Limits": {"CPU": one.cpu, "Memory": one.memory},
        "CreatedAt": task.created_at,
        "StartedAt": task.created_at,
        "Type": "NORMAL",
        "Networks": [_network(config, version)],
    }
    if version == "v4":
        container["ContainerARN"] = one.arn or _arn(config, "container", f"{_CLUSTER}/{_task_id(config)}/{one.name}")
        if not task.task_arn or one.log_driver == "awslogs":
            container["LogDriver"] = "awslogs"
            container["LogOptions"] = {
                "awslogs-group": f"/ecs/{task.family}",
                "awslogs-region": config.region,
                "awslogs-stream": f"ecs/{one.name}/{_task_id(config)}",
            } | dict(one.log_options)
        elif one.log_driver:
            container["LogDriver"] = one.log_driver
    return container


def _task(config: SidecarConfig, version: str) -> dict[str, Any]:
    known = config.task
    task: dict[str, Any] = {
        "Cluster": known.cluster or _arn(config, "cluster", _CLUSTER),
        "TaskARN": _task_arn(config),
        "Family": known.family,
        "Revision": known.revision,
        "DesiredStatus": "RUNNING",
        "KnownStatus": "RUNNING",
        "Limits": {"CPU": known.cpu / _UNITS, "Memory": known.memory},
        "PullStartedAt": known.created_at,
        "PullStoppedAt": known.created_at,
        "AvailabilityZone": known.zone or f"{config.region}a",
        "Containers": [_container(config, one, version) for one in known.containers],
    }
    if version == "v4":
        task |= {
            "LaunchType": known.launch_type,
            "VPCID": f"vpc-0{derived(config, 'vpc', size=8).hex()}",
            "ServiceName": known.service or ("" if known.task_arn else known.family),
            "FaultInjectionEnabled": False,
        }
    return task


def _stats(config: SidecarConfig, one: TaskContainer, now: datetime) -> dict[str, Any]:
    """Return Docker's statistics of a container that does nothing: clients take rates and sums from it."""
    idle = {"cpu_usage": {"total_usage": 0, "percpu_usage": [0]}, "system_cpu_usage": 0, "online_cpus": 1}
    return {
        "read": timestamp(now),
        "preread": timestamp(now),
        "id": _docker_id(config, one),
        "name": f"/{one.name}",
        "num_procs": 0,
        "cpu_stats": idle,
        "precpu_stats": idle,
        "memory_stats": {"usage": 0, "max_usage": 0, "limit": one.memory << 20, "stats": {}},
        "blkio_stats": {"io_service_bytes_recursive": []},
        "pids_stats": {"current": 1},
        "networks": {},
    }
