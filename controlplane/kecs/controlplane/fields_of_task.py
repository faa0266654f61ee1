"""Fields of a whole task definition, and of its volumes. Pure."""

from typing import Final

from kecs.controlplane.field_fates import Fate, Field, Found, among
from kecs.controlplane.kubernetes.placement import ExpressionError, parse


def _not_to_be_said(found: Found) -> bool:
    try:
        parse(found.value)
    except ExpressionError:
        return True
    return False


def _is_windows(found: Found) -> bool:
    return str(found.value).startswith("WINDOWS")


def _is_foreign_driver(found: Found) -> bool:
    return bool(found.value != "local")


_POD, _PLANE, _WARNED, _REFUSED = Fate.POD, Fate.PLANE, Fate.WARNED, Fate.REFUSED
_EFS = "volumes.efsVolumeConfiguration"
_S3 = "volumes.s3filesVolumeConfiguration"
_FSX = "volumes.fsxWindowsFileServerVolumeConfiguration"
_DOCKER = "volumes.dockerVolumeConfiguration"
_CLAIM = "persistentVolumeClaim of the file system's own, shared by the cluster's tasks"
_WINDOWS = "tasks run on Linux nodes"
_MESH = "AWS App Mesh has ended, and traffic to AWS is redirected to the proxy of this project"
_ENCLAVE = "nodes have no trusted execution environment"
_INFERENCE = "Elastic Inference has ended; AWS refuses it too"
_IN_CLUSTER = "files lie on a volume of the cluster, to which no EFS mount helper connects"

_TASK: Final = (
    Field(path="family", fate=_POD, how="label kecs.io/ecs-family"),
    Field(path="taskRoleArn", fate=_POD, how="variables that lead SDKs to the role's credentials, which the proxy has"),
    Field(path="executionRoleArn", fate=_PLANE, how="what secrets, files, registries and logs are read and written as"),
    Field(path="networkMode", fate=_POD, how="hostNetwork, hostPort, a NetworkPolicy for none"),
    Field(path="placementConstraints.type", fate=_POD, how="affinity", when="memberOf, the only one there is"),
    Field(
        path="placementConstraints.expression",
        fate=_POD,
        how="nodeAffinity",
        when="==, !=, >, <, in, not_in, exists of attributes, with and, or and brackets",
    ),
    Field(
        path="placementConstraints.expression",
        fate=_REFUSED,
        how="node affinity can't say it",
        when="others",
        holds=_not_to_be_said,
    ),
    Field(path="requiresCompatibilities", fate=_PLANE, how="what is checked now, and which launch types are taken"),
    Field(path="cpu", fate=_POD, how="resources of the pod, or shared out to its containers"),
    Field(path="memory", fate=_POD, how="resources of the pod, or shared out to its containers"),
    Field(path="tags.key", fate=_PLANE, how="kept, and given to tasks where propagateTags asks for it"),
    Field(path="tags.value", fate=_PLANE, how="kept, and given to tasks where propagateTags asks for it"),
    Field(path="pidMode", fate=_POD, how="shareProcessNamespace, hostPID"),
    Field(path="ipcMode", fate=_POD, how="hostIPC", when="host"),
    Field(path="ipcMode", fate=_PLANE, how="the containers of a pod share their IPC namespace", when="task"),
    Field(
        path="ipcMode",
        fate=_WARNED,
        how="the containers of a pod share their IPC namespace",
        when="none",
        holds=among("none"),
    ),
    *(
        Field(path=f"proxyConfiguration.{member}", fate=_REFUSED, how=_MESH, about="proxyConfiguration")
        for member in ("type", "containerName", "properties.name", "properties.value")
    ),
    *(
        Field(path=f"inferenceAccelerators.{member}", fate=_REFUSED, how=_INFERENCE)
        for member in ("deviceName", "deviceType")
    ),
    Field(path="ephemeralStorage.sizeInGiB", fate=_POD, how="request and limit ephemeral-storage"),
    Field(path="runtimePlatform.cpuArchitecture", fate=_POD, how="nodeSelector kubernetes.io/arch"),
    Field(path="runtimePlatform.operatingSystemFamily", fate=_POD, how="nodeSelector kubernetes.io/os", when="LINUX"),
    Field(
        path="runtimePlatform.operatingSystemFamily",
        fate=_REFUSED,
        how=f"{_WINDOWS}, not on Windows",
        when="WINDOWS_…",
        holds=_is_windows,
    ),
    Field(path="enableFaultInjection", fate=_WARNED, how="the metadata endpoint takes no faults", when="true"),
    Field(
        path="trustedExecutionConfiguration.isolationMode",
        fate=_PLANE,
        how="tasks share the kernel of their node",
        when="SHARED",
    ),
    Field(
        path="trustedExecutionConfiguration.isolationMode",
        fate=_REFUSED,
        how=_ENCLAVE,
        when="others",
        holds=among("ISOLATED_SANDBOX", "CONFIDENTIAL_SANDBOX"),
    ),
    Field(path="trustedExecutionConfiguration.attestationPolicy", fate=_REFUSED, how=_ENCLAVE),
)

_VOLUMES: Final = (
    Field(path="volumes.name", fate=_POD, how="volumes[].name"),
    Field(path="volumes.host.sourcePath", fate=_POD, how="hostPath; emptyDir where it is not said"),
    Field(path=f"{_DOCKER}.scope", fate=_POD, how="emptyDir for task, a directory of the node for shared"),
    Field(
        path=f"{_DOCKER}.autoprovision", fate=_PLANE, how="volumes are always made where there are none", when="true"
    ),
    Field(path=f"{_DOCKER}.driver", fate=_PLANE, how="the node's own disk", when="local"),
    Field(
        path=f"{_DOCKER}.driver",
        fate=_REFUSED,
        how="nodes have no volume drivers of Docker",
        when="others",
        holds=_is_foreign_driver,
    ),
    Field(path=f"{_DOCKER}.driverOpts", fate=_REFUSED, how="nodes have no volume drivers of Docker"),
    Field(path=f"{_DOCKER}.labels", fate=_WARNED, how="directories have no labels"),
    Field(path=f"{_EFS}.fileSystemId", fate=_POD, how=_CLAIM),
    Field(path=f"{_EFS}.rootDirectory", fate=_POD, how="subPath of its mounts"),
    Field(path=f"{_EFS}.transitEncryption", fate=_WARNED, how=_IN_CLUSTER, when="ENABLED", holds=among("ENABLED")),
    Field(path=f"{_EFS}.transitEncryption", fate=_PLANE, how="there is none", when="DISABLED"),
    Field(path=f"{_EFS}.transitEncryptionPort", fate=_WARNED, how=_IN_CLUSTER, about=f"{_EFS}.transitEncryption"),
    Field(path=f"{_EFS}.authorizationConfig.accessPointId", fate=_POD, how="subPath: a directory of its own"),
    Field(
        path=f"{_EFS}.authorizationConfig.iam", fate=_WARNED, how=_IN_CLUSTER, when="ENABLED", holds=among("ENABLED")
    ),
    Field(path=f"{_EFS}.authorizationConfig.iam", fate=_PLANE, how="there is none", when="DISABLED"),
    Field(path=f"{_S3}.fileSystemArn", fate=_POD, how=_CLAIM),
    Field(path=f"{_S3}.rootDirectory", fate=_POD, how="subPath of its mounts"),
    Field(path=f"{_S3}.transitEncryptionPort", fate=_WARNED, how=_IN_CLUSTER),
    Field(path=f"{_S3}.accessPointArn", fate=_POD, how="subPath: a directory of its own"),
    *(
        Field(path=f"{_FSX}.{member}", fate=_REFUSED, how=_WINDOWS, about=_FSX)
        for member in (
            "fileSystemId",
            "rootDirectory",
            "authorizationConfig.credentialsParameter",
            "authorizationConfig.domain",
        )
    ),
    Field(path="volumes.configuredAtLaunch", fate=_POD, how="ephemeral volume by volumeConfigurations", when="true"),
)

FIELDS: Final = (*_TASK, *_VOLUMES)
