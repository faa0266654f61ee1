"""A definition without and with each field of a task definition, and what that changes in the pod.

The table of fields says what becomes of each; these pairs are how it is held to that.
"""

import json
from collections.abc import Iterator
from typing import Any

from definitions_lab import ROLE, container, definition, fargate, register, volume
from ecs_lab import NOW, EcsLab, FakeIds

from kecs.controlplane.definitions import find
from kecs.controlplane.kubernetes.config import PodConfig
from kecs.controlplane.kubernetes.networking import host_ports
from kecs.controlplane.kubernetes.pods import manifest
from kecs.controlplane.records import Cluster
from kecs.controlplane.runtime import Launch
from kecs.controlplane.task_making import TaskWish, new_task
from kecs.core.names import TASK_ANNOTATION

type Json = dict[str, Any]
type Pair = tuple[Json, Json]

CONFIG = PodConfig()
MOUNTED = container(mountPoints=[{"sourceVolume": "data", "containerPath": "/data"}])
CHECK = {"command": ["CMD-SHELL", "true"]}
DEVICE = {"hostPath": "/dev/fuse"}
TMPFS = {"containerPath": "/run", "size": 8}
SECRET = {"name": "A", "valueFrom": "/a"}
LIMIT = {"name": "nofile", "softLimit": 10, "hardLimit": 20}
SYSCTL = {"namespace": "net.core.somaxconn", "value": "1"}
GPU = {"type": "GPU", "value": "1"}
AWSLOGS: Json = {"logDriver": "awslogs", "options": {"awslogs-group": "g", "awslogs-region": "us-east-1"}}
DRIVER = {"logDriver": "syslog"}
EFS = {"fileSystemId": "fs-1"}
S3 = {"fileSystemArn": "arn:aws:s3files:us-east-1:123456789012:file-system/fs-1"}
S3_OTHER = {"fileSystemArn": "arn:aws:s3files:us-east-1:123456789012:file-system/fs-2"}
FSX = {
    "fileSystemId": "fs-1",
    "rootDirectory": "share",
    "authorizationConfig": {"credentialsParameter": "arn:aws:ssm:us-east-1:123456789012:parameter/a", "domain": "ad"},
}
MESH = {
    "type": "APPMESH",
    "containerName": "app",
    "properties": [
        {"name": name, "value": "1"} for name in ("ProxyIngressPort", "ProxyEgressPort", "AppPorts", "EgressIgnoredIPs")
    ],
}


def of_app(before: Json, after: Json, **whole: Any) -> Pair:
    return definition(container(**before), **whole), definition(container(**after), **whole)


def of_linux(before: Json, after: Json) -> Pair:
    return of_app({"linuxParameters": before}, {"linuxParameters": after})


def of_volume(before: Json, after: Json) -> Pair:
    return definition(MOUNTED, **volume(**before)), definition(MOUNTED, **volume(**after))


def of_task(before: Json, after: Json) -> Pair:
    return definition(**before), definition(**after)


def within(member: str, first: Json, **more: Any) -> Pair:
    """Return a container with a structure, and with more in it."""
    return of_app({member: first}, {member: {**first, **more}})


def listed(member: str, first: Json, **more: Any) -> Pair:
    """Return a container with a list of one structure, and with more in it."""
    return of_app({member: [first]}, {member: [{**first, **more}]})


def two(before: Json, after: Json, *, other: Json | None = None) -> Pair:
    beside = container("b", **(other or {}))
    return definition(container(**before), beside), definition(container(**after), beside)


CHANGES: dict[str, Pair] = {
    "family": of_task({}, {"family": "other"}),
    "taskRoleArn": of_task({}, {"taskRoleArn": ROLE}),
    "executionRoleArn": of_task({}, {"executionRoleArn": ROLE}),
    "networkMode": of_task({}, {"networkMode": "host"}),
    "requiresCompatibilities": of_task({}, {"requiresCompatibilities": ["EC2"]}),
    "cpu": of_task({}, {"cpu": "256"}),
    "memory": of_task({}, {"memory": "512"}),
    "tags.key": of_task({}, {"tags": [{"key": "a", "value": ""}]}),
    "tags.value": of_task({}, {"tags": [{"key": "a", "value": "b"}]}),
    "pidMode": of_task({}, {"pidMode": "task"}),
    "ipcMode@host": of_task({}, {"ipcMode": "host"}),
    "ipcMode@task": of_task({}, {"ipcMode": "task"}),
    "ipcMode@none": of_task({}, {"ipcMode": "none"}),
    "ephemeralStorage.sizeInGiB": (fargate(), fargate(ephemeralStorage={"sizeInGiB": 30})),
    "runtimePlatform.cpuArchitecture": of_task({}, {"runtimePlatform": {"cpuArchitecture": "ARM64"}}),
    "runtimePlatform.operatingSystemFamily@LINUX": of_task({}, {"runtimePlatform": {"operatingSystemFamily": "LINUX"}}),
    "runtimePlatform.operatingSystemFamily@WINDOWS_…": of_task(
        {}, {"runtimePlatform": {"operatingSystemFamily": "WINDOWS_SERVER_2022_CORE"}}
    ),
    "enableFaultInjection": of_task({}, {"enableFaultInjection": True}),
    "trustedExecutionConfiguration.isolationMode@SHARED": of_task(
        {}, {"trustedExecutionConfiguration": {"isolationMode": "SHARED"}}
    ),
    "trustedExecutionConfiguration.isolationMode@others": of_task(
        {}, {"trustedExecutionConfiguration": {"isolationMode": "ISOLATED_SANDBOX"}}
    ),
    "placementConstraints.type": of_task(
        {}, {"placementConstraints": [{"type": "memberOf", "expression": "attribute:a == b"}]}
    ),
    "placementConstraints.expression@others": of_task(
        {}, {"placementConstraints": [{"type": "memberOf", "expression": "attribute:a =~ b.*"}]}
    ),
    "volumes.name": (
        definition(MOUNTED, **volume()),
        definition(
            container(mountPoints=[{"sourceVolume": "other", "containerPath": "/data"}]), volumes=[{"name": "other"}]
        ),
    ),
    "volumes.host.sourcePath": of_volume({}, {"host": {"sourcePath": "/srv"}}),
    "volumes.configuredAtLaunch": of_volume({}, {"configuredAtLaunch": True}),
    **{
        f"volumes.dockerVolumeConfiguration.{path}": of_volume(
            {"dockerVolumeConfiguration": {"scope": "task"}}, {"dockerVolumeConfiguration": {"scope": "task", **more}}
        )
        for path, more in (
            ("scope", {"scope": "shared"}),
            ("autoprovision", {"autoprovision": True}),
            ("driver@local", {"driver": "local"}),
            ("driver@others", {"driver": "rexray/ebs"}),
            ("driverOpts", {"driverOpts": {"type": "nfs"}}),
            ("labels", {"labels": {"a": "b"}}),
        )
    },
    **{
        f"volumes.efsVolumeConfiguration.{path}": of_volume(
            {"efsVolumeConfiguration": EFS if path != "fileSystemId" else {"fileSystemId": "fs-2"}},
            {"efsVolumeConfiguration": {**EFS, **more}},
        )
        for path, more in (
            ("fileSystemId", {}),
            ("rootDirectory", {"rootDirectory": "/srv"}),
            ("transitEncryption@ENABLED", {"transitEncryption": "ENABLED"}),
            ("transitEncryption@DISABLED", {"transitEncryption": "DISABLED"}),
            ("transitEncryptionPort", {"transitEncryption": "ENABLED", "transitEncryptionPort": 2999}),
            ("authorizationConfig.accessPointId", {"authorizationConfig": {"accessPointId": "fsap-1"}}),
            (
                "authorizationConfig.iam@ENABLED",
                {"transitEncryption": "ENABLED", "authorizationConfig": {"iam": "ENABLED"}},
            ),
            ("authorizationConfig.iam@DISABLED", {"authorizationConfig": {"iam": "DISABLED"}}),
        )
    },
    **{
        f"volumes.s3filesVolumeConfiguration.{path}": of_volume(
            {
                "s3filesVolumeConfiguration": S3
                if path != "fileSystemArn"
                else {"fileSystemArn": S3["fileSystemArn"] + "2"}
            },
            {"s3filesVolumeConfiguration": {**S3, **more}},
        )
        for path, more in (
            ("fileSystemArn", {}),
            ("rootDirectory", {"rootDirectory": "/srv"}),
            ("transitEncryptionPort", {"transitEncryptionPort": 2999}),
            ("accessPointArn", {"accessPointArn": S3["fileSystemArn"] + "/access-point/fsap-1"}),
        )
    },
    **{
        f"volumes.fsxWindowsFileServerVolumeConfiguration.{path}": of_volume(
            {}, {"fsxWindowsFileServerVolumeConfiguration": FSX}
        )
        for path in (
            "fileSystemId",
            "rootDirectory",
            "authorizationConfig.credentialsParameter",
            "authorizationConfig.domain",
        )
    },
    **{
        f"proxyConfiguration.{path}": of_task(
            {"networkMode": "awsvpc"}, {"networkMode": "awsvpc", "proxyConfiguration": MESH}
        )
        for path in ("type", "containerName", "properties.name", "properties.value")
    },
    **{
        f"inferenceAccelerators.{path}": of_task(
            {}, {"inferenceAccelerators": [{"deviceName": "d", "deviceType": "eia1.medium"}]}
        )
        for path in ("deviceName", "deviceType")
    },
}
CHANGES["trustedExecutionConfiguration.attestationPolicy"] = of_task(
    {}, {"trustedExecutionConfiguration": {"isolationMode": "SHARED", "attestationPolicy": "p"}}
)
CHANGES["placementConstraints.expression"] = CHANGES["placementConstraints.type"]

_CONTAINER: dict[str, Pair] = {
    "name": (definition(container("a")), definition(container("b"))),
    "image": of_app({}, {"image": "other"}),
    "repositoryCredentials.credentialsParameter": of_app(
        {},
        {"repositoryCredentials": {"credentialsParameter": "arn:aws:secretsmanager:us-east-1:123456789012:secret:a-b"}},
    ),
    "cpu": of_app({}, {"cpu": 100}),
    "memory": of_app({"memory": 64}, {"memory": 65}),
    "memoryReservation": of_app({}, {"memoryReservation": 32}),
    "links": two({}, {"links": ["b:db"]}),
    "portMappings.containerPort": of_app({}, {"portMappings": [{"containerPort": 80}]}),
    "portMappings.containerPort@in bridge mode, one that another container has too": two(
        {"portMappings": [{"containerPort": 80}]},
        {"portMappings": [{"containerPort": 81}]},
        other={"portMappings": [{"containerPort": 81}]},
    ),
    "portMappings.hostPort": listed("portMappings", {"containerPort": 80}, hostPort=8080),
    "portMappings.protocol": listed("portMappings", {"containerPort": 80}, protocol="udp"),
    "portMappings.name": listed("portMappings", {"containerPort": 80}, name="http"),
    "portMappings.appProtocol": listed("portMappings", {"containerPort": 80}, name="http", appProtocol="http2"),
    "portMappings.containerPortRange": of_app({}, {"portMappings": [{"containerPortRange": "80-81"}]}),
    "essential": (
        definition(container(), container("b")),
        definition(container(), container("b", essential=False)),
    ),
    "restartPolicy.enabled": of_app({}, {"restartPolicy": {"enabled": True}}),
    "restartPolicy.ignoredExitCodes": within("restartPolicy", {"enabled": True}, ignoredExitCodes=[0]),
    "restartPolicy.restartAttemptPeriod": within("restartPolicy", {"enabled": True}, restartAttemptPeriod=60),
    "entryPoint": of_app({}, {"entryPoint": ["/a"]}),
    "command": of_app({}, {"command": ["a"]}),
    "environment.name": of_app({}, {"environment": [{"name": "A"}]}),
    "environment.value": listed("environment", {"name": "A"}, value="b"),
    "environmentFiles.value": of_app({}, {"environmentFiles": [{"type": "s3", "value": "arn:aws:s3:::b/a.env"}]}),
    "environmentFiles.type": of_app({}, {"environmentFiles": [{"type": "s3", "value": "arn:aws:s3:::b/a.env"}]}),
    "mountPoints.sourceVolume": (
        definition(MOUNTED, volumes=[{"name": "data"}, {"name": "other"}]),
        definition(
            container(mountPoints=[{"sourceVolume": "other", "containerPath": "/data"}]),
            volumes=[{"name": "data"}, {"name": "other"}],
        ),
    ),
    "mountPoints.containerPath": (
        definition(MOUNTED, **volume()),
        definition(container(mountPoints=[{"sourceVolume": "data", "containerPath": "/other"}]), **volume()),
    ),
    "mountPoints.readOnly": (
        definition(MOUNTED, **volume()),
        definition(
            container(mountPoints=[{"sourceVolume": "data", "containerPath": "/data", "readOnly": True}]), **volume()
        ),
    ),
    "volumesFrom.sourceContainer": (
        definition(MOUNTED, container("b"), **volume()),
        definition(MOUNTED, container("b", volumesFrom=[{"sourceContainer": "app"}]), **volume()),
    ),
    "volumesFrom.readOnly": (
        definition(MOUNTED, container("b", volumesFrom=[{"sourceContainer": "app"}]), **volume()),
        definition(MOUNTED, container("b", volumesFrom=[{"sourceContainer": "app", "readOnly": True}]), **volume()),
    ),
    "linuxParameters.capabilities.add": of_linux({}, {"capabilities": {"add": ["SYS_PTRACE"]}}),
    "linuxParameters.capabilities.drop": of_linux({}, {"capabilities": {"drop": ["ALL"]}}),
    "linuxParameters.devices.hostPath": of_linux({}, {"devices": [DEVICE]}),
    "linuxParameters.devices.containerPath": of_linux(
        {"devices": [DEVICE]}, {"devices": [{**DEVICE, "containerPath": "/dev/other"}]}
    ),
    "linuxParameters.devices.permissions": of_linux(
        {"devices": [DEVICE]}, {"devices": [{**DEVICE, "permissions": ["read"]}]}
    ),
    "linuxParameters.initProcessEnabled": of_linux({}, {"initProcessEnabled": True}),
    "linuxParameters.sharedMemorySize": of_linux({}, {"sharedMemorySize": 64}),
    "linuxParameters.tmpfs.containerPath": of_linux({}, {"tmpfs": [TMPFS]}),
    "linuxParameters.tmpfs.size": of_linux({"tmpfs": [TMPFS]}, {"tmpfs": [{**TMPFS, "size": 9}]}),
    "linuxParameters.tmpfs.mountOptions": of_linux(
        {"tmpfs": [TMPFS]}, {"tmpfs": [{**TMPFS, "mountOptions": ["noexec"]}]}
    ),
    "linuxParameters.maxSwap": of_linux({}, {"maxSwap": 64}),
    "linuxParameters.swappiness": of_linux({}, {"swappiness": 10}),
    "secrets.name": of_app({}, {"secrets": [SECRET]}, executionRoleArn=ROLE),
    "secrets.valueFrom": of_app(
        {"secrets": [SECRET]}, {"secrets": [{**SECRET, "valueFrom": "/b"}]}, executionRoleArn=ROLE
    ),
    "dependsOn.containerName": two({}, {"dependsOn": [{"containerName": "b", "condition": "START"}]}),
    "dependsOn.condition": two(
        {"dependsOn": [{"containerName": "b", "condition": "START"}]},
        {"dependsOn": [{"containerName": "b", "condition": "SUCCESS"}]},
        other={"essential": False},
    ),
    "startTimeout": of_app({}, {"startTimeout": 60}),
    "stopTimeout": of_app({}, {"stopTimeout": 60}),
    "stopTimeout@shorter than another container's": two({}, {"stopTimeout": 5}),
    "versionConsistency@disabled": of_app({}, {"versionConsistency": "disabled"}),
    "versionConsistency@enabled": of_app({}, {"versionConsistency": "enabled"}),
    "hostname": of_app({}, {"hostname": "web"}),
    "hostname@a second one; any with networkMode host": (
        definition(container(hostname="a"), container("b")),
        definition(container(hostname="a"), container("b", hostname="b")),
    ),
    "user@numbers, and root": of_app({}, {"user": "1000:1000"}),
    "user@other names": of_app({}, {"user": "nginx"}),
    "workingDirectory": of_app({}, {"workingDirectory": "/srv"}),
    "disableNetworking": of_app({}, {"disableNetworking": True}),
    "privileged": of_app({}, {"privileged": True}),
    "readonlyRootFilesystem": of_app({}, {"readonlyRootFilesystem": True}),
    "dnsServers": of_app({}, {"dnsServers": ["10.0.0.2"]}),
    "dnsServers@more than three": of_app(
        {"dnsServers": ["10.0.0.2"]}, {"dnsServers": [f"10.0.0.{i}" for i in range(2, 6)]}
    ),
    "dnsSearchDomains": of_app({}, {"dnsSearchDomains": ["internal"]}),
    "extraHosts.hostname": of_app({}, {"extraHosts": [{"hostname": "a", "ipAddress": "10.0.0.2"}]}),
    "extraHosts.ipAddress": listed("extraHosts", {"hostname": "a", "ipAddress": "10.0.0.2"}, ipAddress="10.0.0.3"),
    "dockerSecurityOptions": of_app({}, {"dockerSecurityOptions": ["no-new-privileges", "label:level:s0:c1"]}),
    "dockerSecurityOptions@others": of_app({}, {"dockerSecurityOptions": ["label:disable"]}),
    "dockerSecurityOptions@no-new-privileges of a privileged container": of_app(
        {"privileged": True}, {"privileged": True, "dockerSecurityOptions": ["no-new-privileges"]}
    ),
    "interactive": of_app({}, {"interactive": True}),
    "pseudoTerminal": of_app({}, {"pseudoTerminal": True}),
    "dockerLabels": of_app({}, {"dockerLabels": {"a": "b"}}),
    **{
        f"ulimits.{member}@{when}": of_app({}, {"ulimits": [{**LIMIT, "name": name}]})
        for member in ("name", "softLimit", "hardLimit")
        for when, name in (("of nofile, nproc, core", "nofile"), ("of others", "memlock"))
    },
    "healthCheck.command": of_app({}, {"healthCheck": CHECK}),
    "healthCheck.interval": within("healthCheck", CHECK, interval=7),
    "healthCheck.timeout": within("healthCheck", CHECK, timeout=7),
    "healthCheck.retries": within("healthCheck", CHECK, retries=7),
    "healthCheck.startPeriod": within("healthCheck", CHECK, startPeriod=7),
    "systemControls.namespace": of_app({}, {"systemControls": [{"namespace": "net.core.somaxconn", "value": "1"}]}),
    "systemControls.value@two values in two containers": two(
        {"systemControls": [SYSCTL]},
        {"systemControls": [{**SYSCTL, "value": "2"}]},
        other={"systemControls": [SYSCTL]},
    ),
    "systemControls.namespace@those that Kubernetes does not call safe": of_app(
        {"systemControls": [{"namespace": "net.ipv4.tcp_syncookies", "value": "1"}]}, {"systemControls": [SYSCTL]}
    ),
    "systemControls.value": listed("systemControls", {"namespace": "net.core.somaxconn", "value": "1"}, value="2"),
    "resourceRequirements.type@GPU, NeuronDevice": of_app(
        {}, {"resourceRequirements": [{"type": "GPU", "value": "1"}]}
    ),
    "resourceRequirements.type@InferenceAccelerator": of_app(
        {}, {"resourceRequirements": [{"type": "InferenceAccelerator", "value": "d"}]}
    ),
    "resourceRequirements.value": listed("resourceRequirements", GPU, value="2"),
    "resourceRequirements.sharingStrategy.nvidiaMps.memory": of_app(
        {},
        {"resourceRequirements": [{"type": "GPU", "value": "1", "sharingStrategy": {"nvidiaMps": {"memory": 64}}}]},
    ),
    "resourceRequirements.sharingStrategy.nvidiaMps.maxComputePercent": of_app(
        {},
        {
            "resourceRequirements": [
                {"type": "GPU", "value": "1", "sharingStrategy": {"nvidiaMps": {"memory": 64, "maxComputePercent": 50}}}
            ]
        },
    ),
    "credentialSpecs": of_app({}, {"credentialSpecs": ["credentialspecdomainless:arn:aws:s3:::b/k"]}),
    "logConfiguration.logDriver@awslogs": of_app({}, {"logConfiguration": AWSLOGS}),
    "logConfiguration.logDriver@json-file, journald": of_app({}, {"logConfiguration": {"logDriver": "json-file"}}),
    "logConfiguration.logDriver@awsfirelens, fluentd, gelf, splunk, syslog": of_app({}, {"logConfiguration": DRIVER}),
    "logConfiguration.options@of awslogs: group, region, stream-prefix, create-group, mode, max-buffer-size": of_app(
        {"logConfiguration": AWSLOGS},
        {"logConfiguration": {"logDriver": "awslogs", "options": {**AWSLOGS["options"], "mode": "non-blocking"}}},
    ),
    "logConfiguration.options@of awslogs: others": of_app(
        {"logConfiguration": AWSLOGS},
        {"logConfiguration": {"logDriver": "awslogs", "options": {**AWSLOGS["options"], "awslogs-format": "x"}}},
    ),
    "logConfiguration.options@of others": within("logConfiguration", DRIVER, options={"syslog-facility": "daemon"}),
    "logConfiguration.secretOptions.name": within("logConfiguration", DRIVER, secretOptions=[SECRET]),
    "logConfiguration.secretOptions.valueFrom": within("logConfiguration", DRIVER, secretOptions=[SECRET]),
    "firelensConfiguration.type": of_app({}, {"firelensConfiguration": {"type": "fluentbit"}}),
    "firelensConfiguration.options": within(
        "firelensConfiguration", {"type": "fluentbit"}, options={"enable-ecs-log-metadata": "true"}
    ),
}
_CONTAINER["essential"] = (
    definition(container(), container("b")),
    definition(container(), container("b", essential=False)),
)
CHANGES |= {f"containerDefinitions.{path}": pair for path, pair in _CONTAINER.items()}


def pair_of(path: str, when: str) -> Pair:
    """Return the definitions without and with a field, or some values of it."""
    return CHANGES[f"{path}@{when}"] if f"{path}@{when}" in CHANGES else CHANGES[path]


def pod_of(document: Json) -> Json:
    """Return the pod that a registered definition becomes, without what only the metadata endpoint tells."""
    lab = EcsLab()
    family = register(lab, document)["family"]
    made = find(lab.state, lab.scope, family)
    cluster = Cluster(arn="arn:aws:ecs:us-east-1:000000000000:cluster/c", name="c", created_at=NOW)
    task = new_task(cluster=cluster, definition=made, wish=TaskWish(), now=NOW, ids=FakeIds())
    launch = Launch(task=task, definition=made, cluster=cluster)
    pod = manifest(launch, config=CONFIG, chosen=host_ports(launch, made.containers, ()))
    pod["metadata"]["annotations"].pop(TASK_ANNOTATION, None)
    return pod


def changed(path: str, when: str = "") -> list[str]:
    """Return where a pod differs with a field from one without."""
    before, after = (_flat(pod_of(document)) for document in pair_of(path, when))
    names = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    return sorted(names)


def _flat(value: Any, path: str = "") -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, leaf in _leaves(value, path):
        found.setdefault(name, []).append(leaf)
    return found


def _leaves(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for name, inside in value.items():
            yield from _leaves(inside, f"{path}.{name}" if path else name)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for inside in value:
            yield from _leaves(inside, f"{path}[]")
    else:
        yield path, json.dumps(value, sort_keys=True)
