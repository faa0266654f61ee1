"""Fields of a container definition. Pure."""

from typing import Final

from kecs.controlplane.field_fates import CONTAINERS, Fate, Field, Found, Holds, among, said
from kecs.controlplane.kubernetes.containers import SECURITY_OPTION
from kecs.controlplane.kubernetes.pods import STOP_TIMEOUT_S

_POD, _PLANE, _WARNED, _REFUSED = Fate.POD, Fate.PLANE, Fate.WARNED, Fate.REFUSED

_NAMESERVERS_MAX = 3
_ONE_MATTER = ("ulimits.", "restartPolicy.", "firelensConfiguration.", "logConfiguration.")
"""Structures that have an effect as a whole, or none."""
_AWSLOGS_OPTIONS = frozenset(
    {
        "awslogs-create-group",
        "awslogs-group",
        "awslogs-region",
        "awslogs-stream-prefix",
        "max-buffer-size",
        "mode",
    }
)
_UNLIMITED = ("nofile", "nproc", "core")
"""What containerd's own unit sets to infinity, and containers inherit."""
_SAFE_SYSCTLS = frozenset(
    {
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.tcp_wmem",
    }
)
"""What kubelet lets every pod set, as of Kubernetes 1.34."""

_NO_SWAP = "swap is the node's business on Kubernetes, not a container's"
_KEPT = "lines stay in the pod's log"
_LOG = "lines stay in the pod's log, and go nowhere else"


def _field(path: str, fate: Fate, how: str, *, when: str = "", holds: Holds = said, verb: str = "") -> Field:
    about = path.partition(".")[0] if path.startswith(_ONE_MATTER) else path
    return Field(
        path=f"{CONTAINERS}.{path}",
        fate=fate,
        how=how,
        when=when,
        holds=holds,
        about=f"{CONTAINERS}.{about}",
        verb=verb,
    )


def _is_name(found: Found) -> bool:
    """Tell whether a user is named, for whom there is no number but in the image."""
    return any(part and part != "root" and not part.isdecimal() for part in str(found.value).split(":"))


def _is_second(found: Found) -> bool:
    names = [one["hostname"] for one in found.params[CONTAINERS] if one.get("hostname")]
    return found.params.get("networkMode") == "host" or found.value != names[0]


def _has_another(found: Found) -> bool:
    """Tell whether another container listens on the same port, as it may where each has a network of its own."""
    if (found.params.get("networkMode") or "bridge") != "bridge":
        return False
    protocol = found.parent.get("protocol", "tcp")
    return any(
        one.get("containerPort") == found.value and one.get("protocol", "tcp") == protocol
        for container in found.params[CONTAINERS]
        if container["name"] != found.container
        for one in container.get("portMappings", ())
    )


def _is_unlimited(found: Found) -> bool:
    return found.parent.get("name") in _UNLIMITED


def _is_shorter(found: Found) -> bool:
    return any(found.value < one.get("stopTimeout", STOP_TIMEOUT_S) for one in found.params[CONTAINERS])


def _is_contradicted(found: Found) -> bool:
    name = found.parent.get("namespace")
    controls = (one for container in found.params[CONTAINERS] for one in container.get("systemControls", ()))
    return any(one.get("namespace") == name and one.get("value") != found.value for one in controls)


def _is_unsafe(found: Found) -> bool:
    return found.value not in _SAFE_SYSCTLS


def _is_foreign(found: Found) -> bool:
    return not all(SECURITY_OPTION.fullmatch(one) for one in found.value)


def _contradicts(found: Found) -> bool:
    """Tell whether a container that may gain privileges is not to: Kubernetes refuses that."""
    added = found.parent.get("linuxParameters", {}).get("capabilities", {}).get("add", ())
    powerful = bool(found.parent.get("privileged")) or "SYS_ADMIN" in added
    return powerful and any(str(one).startswith("no-new-privileges") for one in found.value)


def _are_many(found: Found) -> bool:
    servers = {server for one in found.params[CONTAINERS] for server in one.get("dnsServers", ())}
    return len(servers) > _NAMESERVERS_MAX


def _is_of_another_driver(found: Found) -> bool:
    return found.parent.get("logDriver") != "awslogs"


def _has_other_options(found: Found) -> bool:
    return not _is_of_another_driver(found) and not found.value.keys() <= _AWSLOGS_OPTIONS


_MAIN: Final = (
    _field("name", _POD, "containers[].name"),
    _field("image", _POD, "containers[].image"),
    _field("repositoryCredentials.credentialsParameter", _POD, "imagePullSecrets, made when the task starts"),
    _field("cpu", _POD, "requests.cpu; a limit too on Fargate"),
    _field("memory", _POD, "limits.memory"),
    _field("memoryReservation", _POD, "requests.memory"),
    _field("links", _POD, "hostAliases: containers of a task share an address"),
    _field("portMappings.containerPort", _POD, "ports[].containerPort"),
    _field(
        "portMappings.containerPort",
        _WARNED,
        "containers of a pod share one network, where two can't listen on one port",
        when="in bridge mode, one that another container has too",
        holds=_has_another,
        verb="is not the container's own",
    ),
    _field("portMappings.hostPort", _POD, "ports[].hostPort; in bridge mode one is chosen where none is said"),
    _field("portMappings.protocol", _POD, "ports[].protocol"),
    _field("portMappings.name", _PLANE, "what Service Connect configurations refer to"),
    _field("portMappings.appProtocol", _PLANE, "kept for Service Connect, whose proxy there is none of here"),
    _field("portMappings.containerPortRange", _POD, "ports[], one for each"),
    _field("essential", _PLANE, "its end is the task's"),
    _field("entryPoint", _POD, "command"),
    _field("command", _POD, "args"),
    _field("environment.name", _POD, "env[].name"),
    _field("environment.value", _POD, "env[].value"),
    _field("environmentFiles.value", _PLANE, "read from S3 when the task starts; variables from the task's Secret"),
    _field("environmentFiles.type", _PLANE, "s3, the only one there is"),
    _field("mountPoints.sourceVolume", _POD, "volumeMounts[].name"),
    _field("mountPoints.containerPath", _POD, "volumeMounts[].mountPath"),
    _field("mountPoints.readOnly", _POD, "volumeMounts[].readOnly"),
    _field("volumesFrom.sourceContainer", _POD, "the other container's volumeMounts"),
    _field("volumesFrom.readOnly", _POD, "volumeMounts[].readOnly"),
    _field("secrets.name", _POD, "env[].valueFrom.secretKeyRef of the task's Secret"),
    _field("secrets.valueFrom", _PLANE, "read from SSM or Secrets Manager when the task starts"),
    _field("dependsOn.containerName", _POD, "envFrom of a ConfigMap that is made when the condition is met"),
    _field("dependsOn.condition", _POD, "the same"),
    _field("startTimeout", _PLANE, "ends the task where a dependency is late"),
    _field("stopTimeout", _POD, "terminationGracePeriodSeconds, the longest of the pod"),
    _field(
        "stopTimeout",
        _WARNED,
        "a pod has one, the longest of its containers', which is 30 s where one says nothing",
        when="shorter than another container's",
        holds=_is_shorter,
        verb="is not the container's own",
    ),
    _field("versionConsistency", _PLANE, "tags are not resolved to digests", when="disabled"),
    _field(
        "versionConsistency",
        _WARNED,
        "each task pulls the tag as it is then",
        when="enabled",
        holds=among("enabled"),
    ),
    _field("dockerLabels", _POD, "annotation kecs.io/ecs-docker-labels, and the metadata endpoint"),
    _field("healthCheck.command", _POD, "exec of the readinessProbe, which only tells"),
    _field("healthCheck.interval", _POD, "periodSeconds"),
    _field("healthCheck.timeout", _POD, "timeoutSeconds"),
    _field("healthCheck.retries", _POD, "failureThreshold"),
    _field("healthCheck.startPeriod", _PLANE, "failures are not counted before it is over"),
    _field("interactive", _POD, "stdin"),
    _field("pseudoTerminal", _POD, "tty"),
    _field("workingDirectory", _POD, "workingDir"),
)

_NETWORK: Final = (
    _field("hostname", _POD, "hostname of the pod"),
    _field(
        "hostname",
        _WARNED,
        "a pod has one hostname, and none of its own on the node's network",
        when="a second one; any with networkMode host",
        holds=_is_second,
    ),
    _field(
        "disableNetworking",
        _REFUSED,
        "containers of a pod share its network; networkMode none is a whole task's",
        when="true",
    ),
    _field("dnsServers", _POD, "dnsConfig.nameservers"),
    _field("dnsServers", _WARNED, "a pod has three nameservers at most", when="more than three", holds=_are_many),
    _field("dnsSearchDomains", _POD, "dnsConfig.searches"),
    _field("extraHosts.hostname", _POD, "hostAliases[].hostnames"),
    _field("extraHosts.ipAddress", _POD, "hostAliases[].ip"),
)

_KERNEL: Final = (
    _field("user", _POD, "runAsUser, runAsGroup", when="numbers, and root"),
    _field(
        "user",
        _WARNED,
        "only the image knows the number of a name; it runs as the image's own user",
        when="other names",
        holds=_is_name,
    ),
    _field("privileged", _POD, "securityContext.privileged"),
    _field("readonlyRootFilesystem", _POD, "securityContext.readOnlyRootFilesystem"),
    _field(
        "dockerSecurityOptions",
        _POD,
        "allowPrivilegeEscalation, seLinuxOptions",
        when="no-new-privileges, label:user:…, label:role:…, label:type:…, label:level:…",
    ),
    _field("dockerSecurityOptions", _REFUSED, "a pod can't be told it", when="others", holds=_is_foreign),
    _field(
        "dockerSecurityOptions",
        _REFUSED,
        "a privileged container, and one with SYS_ADMIN, can always gain privileges",
        when="no-new-privileges of a privileged container",
        holds=_contradicts,
    ),
    _field("systemControls.namespace", _POD, "securityContext.sysctls of the pod"),
    _field(
        "systemControls.namespace",
        _WARNED,
        "the nodes' kubelet has to allow it by allowedUnsafeSysctls",
        when="those that Kubernetes does not call safe",
        holds=_is_unsafe,
        verb="keeps the task from starting where nodes don't allow it",
    ),
    _field("systemControls.value", _POD, "securityContext.sysctls of the pod"),
    _field(
        "systemControls.value",
        _WARNED,
        "the containers of a pod have them together, and the last one that is said holds",
        when="two values in two containers",
        holds=_is_contradicted,
        verb="is not the container's own",
    ),
    *(
        row
        for member in ("name", "softLimit", "hardLimit")
        for row in (
            _field(
                f"ulimits.{member}",
                _WARNED,
                "containerd, as it is shipped, gives containers as many as their node has",
                when="of nofile, nproc, core",
                holds=_is_unlimited,
            ),
            _field(
                f"ulimits.{member}",
                _REFUSED,
                "nothing in a pod can raise or lower it",
                when="of others",
                holds=lambda found: not _is_unlimited(found),
            ),
        )
    ),
    _field("restartPolicy.enabled", _WARNED, "containers are not started again", when="true"),
    _field("restartPolicy.ignoredExitCodes", _WARNED, "containers are not started again"),
    _field("restartPolicy.restartAttemptPeriod", _WARNED, "containers are not started again"),
    _field("linuxParameters.capabilities.add", _POD, "securityContext.capabilities.add"),
    _field("linuxParameters.capabilities.drop", _POD, "securityContext.capabilities.drop"),
    _field("linuxParameters.devices.hostPath", _POD, "a hostPath volume"),
    _field("linuxParameters.devices.containerPath", _POD, "volumeMounts[].mountPath"),
    _field("linuxParameters.devices.permissions", _WARNED, "a device can be used as its file allows"),
    _field("linuxParameters.initProcessEnabled", _POD, "shareProcessNamespace: the pod's own first process reaps"),
    _field("linuxParameters.sharedMemorySize", _POD, "emptyDir in memory at /dev/shm"),
    _field("linuxParameters.tmpfs.containerPath", _POD, "emptyDir in memory"),
    _field("linuxParameters.tmpfs.size", _POD, "sizeLimit"),
    _field("linuxParameters.tmpfs.mountOptions", _WARNED, "an emptyDir is mounted without options"),
    _field("linuxParameters.maxSwap", _WARNED, _NO_SWAP),
    _field("linuxParameters.swappiness", _WARNED, _NO_SWAP),
    _field("resourceRequirements.type", _POD, "limits nvidia.com/gpu, aws.amazon.com/neuron", when="GPU, NeuronDevice"),
    _field(
        "resourceRequirements.type",
        _REFUSED,
        "Elastic Inference has ended",
        when="InferenceAccelerator",
        holds=among("InferenceAccelerator"),
    ),
    _field("resourceRequirements.value", _POD, "how many of them"),
    _field("resourceRequirements.sharingStrategy.nvidiaMps.memory", _REFUSED, "GPUs are shared by the node's plugin"),
    _field(
        "resourceRequirements.sharingStrategy.nvidiaMps.maxComputePercent",
        _REFUSED,
        "GPUs are shared by the node's plugin",
    ),
    _field("credentialSpecs", _REFUSED, "nodes belong to no Active Directory"),
)

_LOGS: Final = (
    _field("logConfiguration.logDriver", _PLANE, "lines go to CloudWatch Logs", when="awslogs"),
    _field(
        "logConfiguration.logDriver",
        _PLANE,
        _KEPT,
        when="json-file, journald",
    ),
    _field(
        "logConfiguration.logDriver",
        _WARNED,
        _LOG,
        when="awsfirelens, fluentd, gelf, splunk, syslog",
        holds=among("awsfirelens", "fluentd", "gelf", "splunk", "syslog"),
    ),
    _field(
        "logConfiguration.options",
        _PLANE,
        "where lines go; none of them ever holds a container up",
        when="of awslogs: group, region, stream-prefix, create-group, mode, max-buffer-size",
    ),
    _field(
        "logConfiguration.options",
        _WARNED,
        "each line is an event, sent to the emulator",
        when="of awslogs: others",
        holds=_has_other_options,
    ),
    _field("logConfiguration.options", _WARNED, _LOG, when="of others", holds=_is_of_another_driver),
    _field("logConfiguration.secretOptions.name", _WARNED, _LOG),
    _field("logConfiguration.secretOptions.valueFrom", _WARNED, _LOG),
    _field("firelensConfiguration.type", _WARNED, "the router runs as any container; nothing is routed to it"),
    _field("firelensConfiguration.options", _WARNED, "the router runs as any container; nothing is routed to it"),
)

FIELDS: Final = (*_MAIN, *_NETWORK, *_KERNEL, *_LOGS)
