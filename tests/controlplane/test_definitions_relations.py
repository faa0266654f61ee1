"""What RegisterTaskDefinition refuses between containers, volumes and networks, in which words."""

from typing import Any

import pytest
from definitions_lab import assert_refused, case, container, definition, volume

NETWORK = [
    *(
        case(definition({**container(), member: value}, networkMode="awsvpc"), sentence, f"{member} with awsvpc")
        for member, value, sentence in (
            ("links", ["db"], "Links are not supported when networkMode=awsvpc."),
            ("hostname", "web", "hostname is not supported on container when networkMode=awsvpc."),
            ("dnsServers", ["10.0.0.2"], "DNS servers are not supported on container when networkMode=awsvpc."),
            ("dnsSearchDomains", ["a"], "DNS search domains are not supported on container when networkMode=awsvpc."),
            (
                "extraHosts",
                [{"hostname": "a", "ipAddress": "10.0.0.9"}],
                "Extra hosts are not supported on container when networkMode=awsvpc.",
            ),
            ("disableNetworking", True, "Disable Networking is not supported on container when networkMode=awsvpc."),
        )
    ),
    case(
        definition(container(portMappings=[{"containerPort": 80, "hostPort": 8080}]), networkMode="awsvpc"),
        "When networkMode=awsvpc, the host ports and container ports in port mappings must match.",
        "another host port with awsvpc",
    ),
    case(
        definition(container(portMappings=[{"containerPort": 80, "hostPort": 8080}]), networkMode="host"),
        "When networkMode=host, the host ports and container ports in port mappings must match.",
        "another host port with host",
    ),
    case(
        definition(
            container(portMappings=[{"containerPort": 80}]),
            container("b", portMappings=[{"containerPort": 80}]),
            networkMode="awsvpc",
        ),
        "TCP container port '80' is used multiple times in task when networkMode=awsvpc.",
        "one port twice in one network",
    ),
    case(
        definition(
            container(portMappings=[{"containerPortRange": "8080-8085"}]),
            container("b", portMappings=[{"containerPortRange": "8085-8090"}]),
            networkMode="awsvpc",
        ),
        "TCP container port '8085' is used multiple times in task when networkMode=awsvpc.",
        "ranges that overlap",
    ),
    case(
        definition(
            container(portMappings=[{"containerPort": 80, "hostPort": 8080}]),
            container("b", portMappings=[{"containerPort": 81, "hostPort": 8080}]),
        ),
        "TCP host port '8080' is used multiple times in task when networkMode=bridge.",
        "one host port twice",
    ),
    case(
        definition(
            container(portMappings=[{"containerPort": 80, "name": "http"}]),
            container("b", portMappings=[{"containerPort": 81, "name": "http"}]),
            networkMode="awsvpc",
        ),
        "When networkMode=awsvpc, port mapping name is already used",
        "two ports of one name",
    ),
    case(
        definition(container(portMappings=[{"containerPort": 80, "containerPortRange": "80-90"}])),
        "Invalid port mapping for container 'app', cannot specify both single port and port range.",
        "a port and a range",
    ),
    case(
        definition(container(portMappings=[{"containerPortRange": "90-80"}])),
        "Invalid 'containerPortRange' setting for container 'app'.",
        "a range backwards",
    ),
    case(
        definition(container(portMappings=[{"containerPortRange": "80-90"}]), networkMode="host"),
        "Container port ranges are not supported when networkMode=host.",
        "a range on the machine's network",
    ),
    case(
        definition(container(portMappings=[{"containerPort": 70000}])),
        "Invalid 'containerPort' setting for container 'app'.",
        "a port that is none",
    ),
    case(
        definition(container(portMappings=[{"protocol": "udp"}])),
        "Invalid 'containerPort' setting for container 'app'.",
        "a mapping of no port",
    ),
    case(
        definition(container(portMappings=[{"containerPort": 80, "hostPort": -1}])),
        "Invalid 'hostPort' setting for container 'app'.",
        "a host port that is none",
    ),
    case(
        definition(container(portMappings=[{"containerPort": 80, "name": "HTTP"}])),
        "Invalid port mapping name 'HTTP' for container 'app'.",
        "a port's name in capitals",
    ),
    case(
        definition(container(portMappings=[{"containerPort": 80}]), networkMode="none"),
        "Port mappings are not supported when networkMode=none.",
        "ports of no network",
    ),
    case(
        definition(container(links=["db"]), container("db", links=["app"])),
        "Container links should not have a cycle",
        "links in a circle",
    ),
    case(
        definition(container(links=["db:database"])),
        "Invalid 'links' setting. Unknown container: 'db'.",
        "a link to nothing",
    ),
]

CONTROLS = [
    case(
        definition(container(systemControls=[{"namespace": "net.core.somaxconn", "value": "1"}]), networkMode="host"),
        "System control 'net.core.somaxconn' is not supported when networkMode=host.",
        "a setting of the machine's network",
    ),
    case(
        definition(container(systemControls=[{"namespace": "kernel.shmmax", "value": "1"}]), ipcMode="host"),
        "System control 'kernel.shmmax' is not supported when ipcMode=host.",
        "a setting of the machine's shared memory",
    ),
]

TOGETHER = [
    case(
        definition(container(dependsOn=[{"containerName": "nope", "condition": "START"}])),
        "Cannot depend on container + 'nope' because it does not exist",
        "dependsOn nothing",
    ),
    *(
        case(
            definition(container(dependsOn=[{"containerName": "b", "condition": condition}]), container("b")),
            "A dependency container with SUCCESS or COMPLETE condition cannot be an essential container",
            f"{condition} of an essential container",
        )
        for condition in ("SUCCESS", "COMPLETE")
    ),
    case(
        definition(container(dependsOn=[{"containerName": "b", "condition": "HEALTHY"}]), container("b")),
        "A dependency container with HEALTHY condition must have health check configured",
        "HEALTHY without a check",
    ),
    case(
        definition(
            container(dependsOn=[{"containerName": "b", "condition": "START"}]),
            container("b", dependsOn=[{"containerName": "c", "condition": "START"}]),
            container("c", dependsOn=[{"containerName": "app", "condition": "START"}]),
        ),
        "Container dependencies should not have a cycle",
        "dependsOn in a circle",
    ),
    case(
        definition(container(dependsOn=[{"containerName": "app", "condition": "START"}])),
        "Container dependencies should not have a cycle",
        "dependsOn itself",
    ),
    case(
        definition(container(volumesFrom=[{"sourceContainer": "nope"}])),
        "Invalid 'volumesFrom' setting. Unknown container: 'nope'.",
        "volumesFrom nothing",
    ),
    case(
        definition(container(volumesFrom=[{"sourceContainer": "app"}])),
        "Container volumesFrom should not have a cycle",
        "volumesFrom itself",
    ),
    case(
        definition(container(mountPoints=[{"sourceVolume": "nope", "containerPath": "/x"}])),
        "Unknown volume 'nope'.",
        "a mount of nothing",
    ),
    case(
        definition(container(mountPoints=[{"sourceVolume": "data"}]), **volume()),
        "Invalid 'mountPoints' setting for container 'app'. A containerPath must be specified.",
        "a mount nowhere",
    ),
    case(
        definition(
            container(
                mountPoints=[
                    {"sourceVolume": "data", "containerPath": "/x"},
                    {"sourceVolume": "data", "containerPath": "/x"},
                ]
            ),
            **volume(),
        ),
        "Invalid 'mountPoints' setting for container 'app'. '/x' is used multiple times.",
        "two mounts in one place",
    ),
    case(
        definition(**volume(configuredAtLaunch=True)),
        "Volumes [data] are not referenced by any of the containers",
        "a volume that nobody mounts",
    ),
    case(
        definition(container(logConfiguration={"logDriver": "awsfirelens"})),
        "When awsfirelens log driver is specified in log configuration, a firelens configuration object must be "
        "configured in one of the containers.",
        "FireLens without a router",
    ),
    case(
        definition(
            container(firelensConfiguration={"type": "fluentbit"}),
            container("b", firelensConfiguration={"type": "fluentd"}),
        ),
        "Only one container of a task definition can have a firelens configuration.",
        "two routers",
    ),
    case(
        definition(proxyConfiguration={"containerName": "envoy"}, networkMode="awsvpc"),
        "Proxy container [envoy] does not exist.",
        "a proxy that there is not",
    ),
    case(
        definition(proxyConfiguration={"containerName": "app"}),
        "APPMESH proxy configuration is only supported in networkMode=awsvpc",
        "a proxy without a network of its own",
    ),
    case(
        definition(proxyConfiguration={"containerName": "app"}, networkMode="awsvpc"),
        "Ingress port not found",
        "a proxy without ports",
    ),
]


@pytest.mark.parametrize(("document", "sentence"), [*NETWORK, *CONTROLS, *TOGETHER])
def test_a_definition_is_refused(document: dict[str, Any], sentence: str) -> None:
    assert_refused(document, sentence)
