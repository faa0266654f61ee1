"""Network of a task: modes, ports, names. Pure."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

from kecs.controlplane.kubernetes.names import digest
from kecs.controlplane.runtime import Launch

type Json = dict[str, Any]
type HostPorts = Mapping[tuple[str, int], int]
"""Ports of the machine by container's name and port."""

DYNAMIC: Final = range(32768, 61000)
"""What the ECS agent takes host ports from: the kernel's ip_local_port_range on AWS's images."""
_NAMESERVERS_MAX: Final = 3


def container_ports(container: Json) -> Iterator[tuple[int, int, Json]]:
    """Yield a container's ports, ranges one by one, with the port of the machine that was asked for (0: any)."""
    for mapping in container.get("portMappings") or ():
        if said := mapping.get("containerPortRange"):
            first, _, last = str(said).partition("-")
            for port in range(int(first), int(last or first) + 1):
                yield port, 0, mapping
        elif mapping.get("containerPort"):
            yield int(mapping["containerPort"]), int(mapping.get("hostPort") or 0), mapping


def host_ports(launch: Launch, containers: Sequence[Json], taken: Collection[int]) -> HostPorts:
    """Choose ports of the machine, for bridge mode: those asked for, and dynamic ones that nobody has.

    The same task gets the same again as long as they are free.
    """
    if launch.definition.network_mode != "bridge":
        return {}
    used = set(taken) | {wanted for one in containers for _, wanted, _ in container_ports(one)}
    chosen: dict[tuple[str, int], int] = {}
    for container in containers:
        for port, wanted, _ in container_ports(container):
            chosen[container["name"], port] = wanted or _free(f"{launch.task.arn}/{container['name']}/{port}", used)
            used.add(chosen[container["name"], port])
    return chosen


def _free(seed: str, used: Collection[int]) -> int:
    start = int(digest(seed), 16) % len(DYNAMIC)
    order = (DYNAMIC[(start + step) % len(DYNAMIC)] for step in range(len(DYNAMIC)))
    return next((port for port in order if port not in used), DYNAMIC[start])


def ports(container: Json, chosen: HostPorts, mode: str) -> list[Json]:
    """Return the ports of a pod's container."""
    found: dict[tuple[int, str], Json] = {}
    for port, _, mapping in container_ports(container):
        protocol = str(mapping.get("protocol") or "tcp").upper()
        spelled: Json = {"containerPort": port, "protocol": protocol}
        if mode == "host":
            spelled["hostPort"] = port
        elif host := chosen.get((container["name"], port)):
            spelled["hostPort"] = host
        found[port, protocol] = spelled
    return list(found.values())


def of_pod(launch: Launch, containers: Sequence[Json]) -> Json:
    """Return what a pod's spec says about its network and its names."""
    spec: Json = {}
    if launch.definition.network_mode == "host":
        spec |= {"hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet"}
    hostname = next((one["hostname"] for one in containers if one.get("hostname")), "")
    if hostname and "hostNetwork" not in spec:
        spec["hostname"] = hostname.partition(".")[0].lower()
    if aliases := _aliases(containers):
        spec["hostAliases"] = aliases
    return spec | _dns(containers)


def _aliases(containers: Sequence[Json]) -> list[Json]:
    """Return hostAliases: extraHosts, and links, whose ends share one address in a pod."""
    found: dict[str, list[str]] = {}
    for container in containers:
        for link in container.get("links") or ():
            name, _, alias = str(link).partition(":")
            found.setdefault("127.0.0.1", []).extend([name, *([alias] if alias else [])])
        for host in container.get("extraHosts") or ():
            found.setdefault(host["ipAddress"], []).append(host["hostname"])
    return [{"ip": ip, "hostnames": list(dict.fromkeys(names))} for ip, names in found.items()]


def _dns(containers: Sequence[Json]) -> Json:
    servers = list(dict.fromkeys(server for one in containers for server in one.get("dnsServers") or ()))
    domains = list(dict.fromkeys(domain for one in containers for domain in one.get("dnsSearchDomains") or ()))
    config: Json = {}
    if servers:
        config["nameservers"] = servers[:_NAMESERVERS_MAX]
    if domains:
        config["searches"] = domains
    if not config:
        return {}
    return {"dnsConfig": config} | ({"dnsPolicy": "None"} if servers else {})


NO_NETWORK_LABEL: Final = "kecs.io/ecs-network"
NO_NETWORK: Final[Json] = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "kecs-network-none"},
    "spec": {"podSelector": {"matchLabels": {NO_NETWORK_LABEL: "none"}}, "policyTypes": ["Ingress", "Egress"]},
}
"""Nothing in, nothing out: what network mode none is, where the cluster's network enforces policies."""
