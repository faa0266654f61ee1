"""What is wrong between the containers of a task definition, its volumes and its network mode. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from kecs.controlplane.definitions_containers import port_range

type Json = Mapping[str, Any]

_AWSVPC_REFUSES = {
    "hostname": "hostname is not supported on container when networkMode=awsvpc.",
    "dnsServers": "DNS servers are not supported on container when networkMode=awsvpc.",
    "dnsSearchDomains": "DNS search domains are not supported on container when networkMode=awsvpc.",
    "extraHosts": "Extra hosts are not supported on container when networkMode=awsvpc.",
    "disableNetworking": "Disable Networking is not supported on container when networkMode=awsvpc.",
}
_IPC_CONTROLS = ("kernel.msg", "kernel.sem", "kernel.shm", "fs.mqueue.")
_ONE_NETWORK = ("awsvpc", "host")
"""Modes in which a port of a container is one of its host's, or of its task's."""

_PROXY_PORTS = {
    "ProxyIngressPort": "Ingress port not found",
    "ProxyEgressPort": "Egress port not found",
    "AppPorts": "App ports not found",
    "EgressIgnoredIPs": "Egress ignored IPs not found",
}


def problems(params: Json) -> Iterator[str]:
    """Yield what is wrong, a sentence each."""
    containers, mode = params["containerDefinitions"], params.get("networkMode") or "bridge"
    names = [container["name"] for container in containers]
    if len(set(names)) < len(names):
        yield "Container names must be unique within a task definition."
    if not any(container.get("essential", True) for container in containers):
        yield "Task definition doesn't have any essential container."
    yield from _network(containers, mode)
    yield from _controls(params, mode)
    yield from _ports(containers, mode)
    yield from _links(containers)
    yield from _volumes_from(containers)
    yield from _mounts(params)
    yield from _dependencies(containers)
    yield from _firelens(containers)
    yield from _proxy(params, mode)


def _network(containers: Iterable[Json], mode: str) -> Iterator[str]:
    for container in containers:
        if container.get("links") and mode != "bridge":
            yield f"Links are not supported when networkMode={mode}."
        if mode == "none" and container.get("portMappings"):
            yield "Port mappings are not supported when networkMode=none."
        if mode == "awsvpc":
            yield from (text for member, text in _AWSVPC_REFUSES.items() if container.get(member))


def _controls(params: Json, mode: str) -> Iterator[str]:
    """Yield system controls of a namespace that is the machine's own."""
    for container in params["containerDefinitions"]:
        for control in container.get("systemControls", ()):
            name = control.get("namespace", "")
            if mode == "host" and name.startswith("net."):
                yield f"System control '{name}' is not supported when networkMode=host."
            if params.get("ipcMode") == "host" and name.startswith(_IPC_CONTROLS):
                yield f"System control '{name}' is not supported when ipcMode=host."


def _ports(containers: Iterable[Json], mode: str) -> Iterator[str]:
    taken: set[tuple[str, int]] = set()
    names: set[str] = set()
    for mapping in (one for container in containers for one in container.get("portMappings", ())):
        single, host = mapping.get("containerPort"), mapping.get("hostPort")
        protocol = mapping.get("protocol", "tcp").upper()
        if mode in _ONE_NETWORK and host and single is not None and host != single:
            yield f"When networkMode={mode}, the host ports and container ports in port mappings must match."
        if mode == "host" and "containerPortRange" in mapping:
            yield "Container port ranges are not supported when networkMode=host."
        for port in _occupied(mapping, mode):
            if (protocol, port) in taken:
                kind = "container" if mode in _ONE_NETWORK else "host"
                yield f"{protocol} {kind} port '{port}' is used multiple times in task when networkMode={mode}."
            taken.add((protocol, port))
        name = mapping.get("name")
        if name in names:
            yield f"When networkMode={mode}, port mapping name is already used"
        if name is not None:
            names.add(name)


def _occupied(mapping: Json, mode: str) -> Iterable[int]:
    """Return the ports that no other mapping may have: of the network that containers share, or of the machine."""
    if mode in _ONE_NETWORK:
        if "containerPortRange" in mapping:
            return port_range(mapping["containerPortRange"]) or ()
        return (mapping["containerPort"],)
    return (mapping["hostPort"],) if mapping.get("hostPort") else ()


def _links(containers: list[Json]) -> Iterator[str]:
    edges = {
        container["name"]: [link.partition(":")[0] for link in container.get("links", ())] for container in containers
    }
    for linked in (one for targets in edges.values() for one in targets):
        if linked not in edges:
            yield f"Invalid 'links' setting. Unknown container: '{linked}'."
    if _has_cycle(edges):
        yield "Container links should not have a cycle"


def _volumes_from(containers: list[Json]) -> Iterator[str]:
    edges = {
        container["name"]: [one.get("sourceContainer") or "" for one in container.get("volumesFrom", ())]
        for container in containers
    }
    for source in (one for sources in edges.values() for one in sources):
        if source not in edges:
            yield f"Invalid 'volumesFrom' setting. Unknown container: '{source}'."
    if _has_cycle(edges):
        yield "Container volumesFrom should not have a cycle"


def _mounts(params: Json) -> Iterator[str]:
    volumes = {volume.get("name") for volume in params.get("volumes", ())}
    mounted: set[str] = set()
    for container in params["containerDefinitions"]:
        paths: set[str] = set()
        setting = f"Invalid 'mountPoints' setting for container '{container['name']}'."
        for mount in container.get("mountPoints", ()):
            source, path = mount.get("sourceVolume"), mount.get("containerPath")
            if not path:
                yield f"{setting} A containerPath must be specified."
            elif path in paths:
                yield f"{setting} '{path}' is used multiple times."
            if source is not None and source not in volumes:
                yield f"Unknown volume '{source}'."
            paths.add(path or "")
            mounted.add(source or "")
    unused = [
        v["name"]
        for v in params.get("volumes", ())
        if v.get("configuredAtLaunch") and v.get("name") and v["name"] not in mounted
    ]
    if unused:
        yield f"Volumes [{', '.join(unused)}] are not referenced by any of the containers"


def _dependencies(containers: list[Json]) -> Iterator[str]:
    by_name = {container["name"]: container for container in containers}
    edges: dict[str, list[str]] = {name: [] for name in by_name}
    for container in containers:
        for one in container.get("dependsOn", ()):
            awaited = by_name.get(one["containerName"])
            if awaited is None:
                # The plus sign is AWS's.
                yield f"Cannot depend on container + '{one['containerName']}' because it does not exist"
                continue
            edges[container["name"]].append(one["containerName"])
            if one["condition"] in {"SUCCESS", "COMPLETE"} and awaited.get("essential", True):
                yield ("A dependency container with SUCCESS or COMPLETE condition cannot be an essential container")
            if one["condition"] == "HEALTHY" and "healthCheck" not in awaited:
                yield "A dependency container with HEALTHY condition must have health check configured"
    if _has_cycle(edges):
        yield "Container dependencies should not have a cycle"


def _has_cycle(edges: Mapping[str, Iterable[str]]) -> bool:
    """Tell whether following edges leads back. Kahn: what waits for nothing is taken away until nothing is left."""
    waiting = {name: {one for one in targets if one in edges} for name, targets in edges.items()}
    while ready := [name for name, targets in waiting.items() if not targets]:
        for name in ready:
            del waiting[name]
        for targets in waiting.values():
            targets.difference_update(ready)
    return bool(waiting)


def _firelens(containers: Iterable[Json]) -> Iterator[str]:
    routers = [container for container in containers if "firelensConfiguration" in container]
    users = [one for one in containers if one.get("logConfiguration", {}).get("logDriver") == "awsfirelens"]
    if users and not routers:
        yield (
            "When awsfirelens log driver is specified in log configuration, a firelens configuration object must be "
            "configured in one of the containers."
        )
    if len(routers) > 1:
        yield "Only one container of a task definition can have a firelens configuration."


def _proxy(params: Json, mode: str) -> Iterator[str]:
    proxy = params.get("proxyConfiguration")
    if proxy is None:
        return
    if mode != "awsvpc":
        yield "APPMESH proxy configuration is only supported in networkMode=awsvpc"
    name = proxy["containerName"]
    if name not in {container["name"] for container in params["containerDefinitions"]}:
        yield f"Proxy container [{name}] does not exist."
    given = {one.get("name") for one in proxy.get("properties", ())}
    yield from (text for member, text in _PROXY_PORTS.items() if member not in given)
