"""Whatever definition is taken, its pod is one that Kubernetes' schema takes, and has all of it."""

import json
from typing import Any

from ecs_lab import EcsLab, FakeIds
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from kubernetes_lab import NOW, VERSIONS, valid

from kecs.controlplane.errors import ApiError
from kecs.controlplane.kubernetes.config import PodConfig
from kecs.controlplane.kubernetes.effective import Resolved
from kecs.controlplane.kubernetes.names import dns_label
from kecs.controlplane.kubernetes.networking import host_ports
from kecs.controlplane.kubernetes.pods import manifest, secret
from kecs.controlplane.kubernetes.sightings import sighting
from kecs.controlplane.records import Cluster, TaskDefinition
from kecs.controlplane.runtime import Launch
from kecs.controlplane.task_making import TaskWish, new_task

type Json = dict[str, Any]

WORDS = st.text("abcXYZ019 _-$(){}\"'\\=,:/.é\n", min_size=1, max_size=12)
NAMES = st.text("abcXYZ019_-", min_size=1, max_size=70)
VARIABLES = st.text("ABC_xyz019", min_size=1, max_size=8).filter(lambda name: not name[0].isdigit())
PATHS = st.text("abc019", min_size=1, max_size=8).map(lambda name: f"/{name}")
CONDITIONS = st.sampled_from(["START", "COMPLETE", "SUCCESS", "HEALTHY"])
CHECKS = st.fixed_dictionaries(
    {"command": st.lists(WORDS, min_size=1, max_size=3).map(lambda words: ["CMD", *words])},
    optional={
        "interval": st.integers(5, 300),
        "timeout": st.integers(2, 60),
        "retries": st.integers(1, 10),
        "startPeriod": st.integers(0, 300),
    },
)
LINUX = st.fixed_dictionaries(
    {},
    optional={
        "capabilities": st.fixed_dictionaries(
            {}, optional={"add": st.just(["SYS_PTRACE"]), "drop": st.sampled_from([["ALL"], ["MKNOD", "CHOWN"]])}
        ),
        "sharedMemorySize": st.integers(1, 64),
        "tmpfs": st.lists(
            st.fixed_dictionaries({"containerPath": PATHS, "size": st.integers(1, 64)}), max_size=2,
            unique_by=lambda one: one["containerPath"],
        ),
        "initProcessEnabled": st.booleans(),
        "devices": st.just([{"hostPath": "/dev/fuse"}]),
    },
)  # fmt: skip
CONTAINERS: st.SearchStrategy[Json] = st.fixed_dictionaries(
    {"name": NAMES, "image": st.sampled_from(["busybox", "a.example:5000/b/c:1", "x@sha256:" + "0" * 64])},
    optional={
        "memory": st.integers(6, 128),
        "memoryReservation": st.integers(6, 64),
        "cpu": st.integers(0, 128),
        "command": st.lists(WORDS, max_size=3),
        "entryPoint": st.lists(WORDS, max_size=3),
        "environment": st.lists(
            st.fixed_dictionaries({"name": VARIABLES, "value": WORDS}), max_size=3, unique_by=lambda one: one["name"]
        ),
        "secrets": st.lists(
            st.fixed_dictionaries({"name": VARIABLES.map("S{}".format), "valueFrom": st.just("/a/b")}),
            max_size=2,
            unique_by=lambda one: one["name"],
        ),
        "portMappings": st.lists(
            st.fixed_dictionaries(
                {"containerPort": st.integers(1, 65535)}, optional={"protocol": st.sampled_from(["tcp", "udp"])}
            ),
            max_size=3,
            unique_by=lambda one: one["containerPort"],
        ),
        "healthCheck": CHECKS,
        "linuxParameters": LINUX,
        "stopTimeout": st.integers(0, 120),
        "user": st.sampled_from(["0", "1000:1000", "root", "nobody"]),
        "privileged": st.booleans(),
        "readonlyRootFilesystem": st.booleans(),
        "workingDirectory": PATHS,
        "interactive": st.booleans(),
        "pseudoTerminal": st.booleans(),
        "hostname": st.sampled_from(["box", "Box.example"]),
        "dnsServers": st.lists(st.just("192.0.2.53"), max_size=1),
        "dnsSearchDomains": st.lists(st.just("example.com"), max_size=1),
        "extraHosts": st.lists(st.just({"hostname": "h", "ipAddress": "192.0.2.1"}), max_size=1),
        "dockerLabels": st.dictionaries(WORDS, WORDS, max_size=2),
        "resourceRequirements": st.just([{"type": "GPU", "value": "1"}]),
        "mountPoints": st.lists(
            st.fixed_dictionaries(
                {"sourceVolume": st.sampled_from(["Data_1", "efs"]), "containerPath": PATHS.map("/m{}".format)},
                optional={"readOnly": st.booleans()},
            ),
            max_size=2,
            unique_by=lambda one: one["containerPath"],
        ),
    },
)
VOLUMES = [{"name": "Data_1"}, {"name": "efs", "efsVolumeConfiguration": {"fileSystemId": "fs-1"}}]


@st.composite
def definitions(draw: st.DrawFn) -> Json:
    """Draw a request; now and then one that AWS refuses, too."""
    containers = draw(st.lists(CONTAINERS, min_size=1, max_size=4, unique_by=lambda one: one["name"]))
    for index, container in enumerate(containers[1:], 1):
        if draw(st.booleans()):
            name = draw(st.sampled_from([one["name"] for one in containers[:index]]))
            container["dependsOn"] = [{"containerName": name, "condition": draw(CONDITIONS)}]
        if draw(st.integers(0, 3)) == 0:
            container["volumesFrom"] = [{"sourceContainer": containers[0]["name"]}]
    for container in containers:
        if "memory" not in container:
            container["memoryReservation"] = container.get("memoryReservation", 16)
        elif "memoryReservation" in container:
            container["memory"] = max(container["memory"], container["memoryReservation"])
    whole = st.fixed_dictionaries(
        {"networkMode": st.sampled_from(["awsvpc", "bridge", "host", "none"])},
        optional={
            "cpu": st.just("1024"),
            "memory": st.just("2048"),
            "pidMode": st.sampled_from(["task", "host"]),
            "ipcMode": st.sampled_from(["task", "host", "none"]),
            "runtimePlatform": st.just({"cpuArchitecture": "ARM64", "operatingSystemFamily": "LINUX"}),
            "ephemeralStorage": st.just({"sizeInGiB": 21}),
        },
    )
    return {"family": "any", "containerDefinitions": containers, "volumes": VOLUMES, **draw(whole)}


LAUNCHES = st.sampled_from(["EC2", "FARGATE"])


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(definitions(), LAUNCHES, st.sampled_from(["sidecar", "disabled"]))
def test_a_definition_that_is_taken_becomes_a_pod_that_is(request: Json, launch_type: str, proxy: str) -> None:
    lab = EcsLab()
    try:
        arn = lab.call("RegisterTaskDefinition", request)["taskDefinition"]["taskDefinitionArn"]
    except ApiError:
        event("refused")
        return
    event("taken")
    definition = lab.state.get(TaskDefinition, arn)
    assert definition is not None
    cluster = Cluster(arn="arn:aws:ecs:us-east-1:000000000000:cluster/Any_1", name="Any_1", created_at=NOW)
    wish = TaskWish(launch_type=launch_type)
    task = new_task(cluster=cluster, definition=definition, wish=wish, now=NOW, ids=FakeIds())
    launch = Launch(task=task, definition=definition, cluster=cluster)
    for version, whole in zip(VERSIONS, (True, False), strict=True):
        check(launch, version, PodConfig(proxy_mode=proxy, pod_resources=whole))


def check(launch: Launch, version: str, config: PodConfig) -> None:
    running = launch.definition.containers
    resolved = Resolved(secrets={one["name"]: {it["name"]: "v" for it in one.get("secrets", ())} for one in running})
    pod = manifest(launch, config=config, resolved=resolved, chosen=host_ports(launch, running, ()))
    valid(pod, version)
    json.dumps(pod)
    spec = pod["spec"]
    names = [one["name"] for one in spec["containers"]]
    assert names == [dns_label(name) for name in names]
    assert len(set(names)) == len(running)
    assert [one.name for one in sighting(pod, now=NOW).containers] == [one["name"] for one in running]
    made = secret(launch, resolved)
    keys = set(made["stringData"]) if made else set()
    volumes = [one["name"] for one in spec.get("volumes", ())]
    assert len(set(volumes)) == len(volumes)
    ports = [(one.get("hostPort"), one["protocol"]) for it in spec["containers"] for one in it.get("ports", ())]
    bound = [one for one in ports if one[0]]
    assert len(set(bound)) == len(bound)
    for one in spec["containers"]:
        variables = [it["name"] for it in one["env"]]
        assert len(set(variables)) == len(variables)
        assert {it["valueFrom"]["secretKeyRef"]["key"] for it in one["env"] if "valueFrom" in it} <= keys
        mounts = [it["mountPath"] for it in one.get("volumeMounts", ())]
        assert len(set(mounts)) == len(mounts)
        assert {it["name"] for it in one.get("volumeMounts", ())} <= set(volumes)
