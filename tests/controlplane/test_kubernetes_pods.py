"""What becomes of each field of a task definition in a pod."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from kubernetes_lab import VERSIONS, a_launch, an_app, valid

from kecs.controlplane.kubernetes.config import PodConfig
from kecs.controlplane.kubernetes.effective import Resolved
from kecs.controlplane.kubernetes.networking import DYNAMIC, host_ports
from kecs.controlplane.kubernetes.pods import manifest, pull_secrets, secret
from kecs.controlplane.kubernetes.volumes import claims
from kecs.controlplane.runtime import Launch
from kecs.controlplane.task_making import TaskWish

type Json = dict[str, Any]

CONFIG = PodConfig()
PLAIN = PodConfig(proxy_mode="disabled")


def pod_of(*containers: Json, config: PodConfig = CONFIG, **document: Any) -> Json:
    launch = a_launch(containers or [an_app()], **document)
    pod = manifest(launch, config=config)
    valid(pod)
    return pod


def app_of(*, config: PodConfig = CONFIG, document: Json | None = None, **fields: Any) -> Json:
    """Return the container that an app with these fields becomes."""
    container: Json = pod_of(an_app(**fields), config=config, **(document or {}))["spec"]["containers"][0]
    return container


def env_of(container: Json) -> dict[str, Any]:
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in container["env"]}


def test_a_task_is_a_bare_pod_that_is_found_again_by_its_marks() -> None:
    pod = pod_of(networkMode="awsvpc")
    task_id = "0" * 31 + "1"
    assert pod["metadata"]["name"] == f"task-{task_id}"
    assert pod["metadata"]["namespace"] == "shop-us-east-1"
    assert pod["metadata"]["labels"]["kecs.io/ecs-task-id"] == task_id
    annotations = pod["metadata"]["annotations"]
    assert annotations["kecs.io/ecs-task-arn"] == f"arn:aws:ecs:us-east-1:000000000000:task/shop/{task_id}"
    assert annotations["kecs.io/aws-proxy-mode"] == "sidecar"
    spec = pod["spec"]
    assert spec["restartPolicy"] == "Never"
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False


ROWS: tuple[Any, ...] = (
    pytest.param({"entryPoint": ["/a"], "command": ["b"]}, {"command": ["/a"], "args": ["b"]}, id="both"),
    pytest.param({"command": ["b"]}, {"args": ["b"]}, id="a command alone is arguments"),
    pytest.param(
        {"command": ["sh", "-c", "echo $(date) $$"]}, {"args": ["sh", "-c", "echo $$(date) $$$$"]}, id="dollars"
    ),
    pytest.param({"workingDirectory": "/srv"}, {"workingDir": "/srv"}, id="working directory"),
    pytest.param({"interactive": True, "pseudoTerminal": True}, {"stdin": True, "tty": True}, id="terminal"),
    pytest.param({"user": "1000:2000"}, {"securityContext": {"runAsUser": 1000, "runAsGroup": 2000}}, id="user"),
    pytest.param({"user": "root"}, {"securityContext": {"runAsUser": 0}}, id="root by name"),
    pytest.param({"privileged": True}, {"securityContext": {"privileged": True}}, id="privileged"),
    pytest.param(
        {"readonlyRootFilesystem": True}, {"securityContext": {"readOnlyRootFilesystem": True}}, id="read-only root"
    ),
    pytest.param(
        {"linuxParameters": {"capabilities": {"add": ["SYS_PTRACE"], "drop": ["ALL"]}}},
        {"securityContext": {"capabilities": {"add": ["SYS_PTRACE"], "drop": ["ALL"]}}},
        id="capabilities",
    ),
    pytest.param(
        {"memory": 128, "memoryReservation": 32, "cpu": 256},
        {"resources": {"limits": {"memory": "128Mi"}, "requests": {"memory": "32Mi", "cpu": "250m"}}},
        id="hard memory is a limit, the reservation and CPU shares are requests",
    ),
    pytest.param(
        {"memory": 64, "resourceRequirements": [{"type": "GPU", "value": "2"}]},
        {
            "resources": {
                "limits": {"memory": "64Mi", "nvidia.com/gpu": "2"},
                "requests": {"memory": "64Mi", "nvidia.com/gpu": "2"},
            }
        },
        id="GPUs",
    ),
    pytest.param(
        {"healthCheck": {"command": ["CMD-SHELL", "curl -f localhost || exit 1"], "interval": 5, "retries": 2}},
        {
            "readinessProbe": {
                "exec": {"command": ["/bin/sh", "-c", "curl -f localhost || exit 1"]},
                "periodSeconds": 5,
                "timeoutSeconds": 5,
                "failureThreshold": 2,
                "successThreshold": 1,
            }
        },
        id="a health check of the shell",
    ),
    pytest.param(
        {"healthCheck": {"command": ["CMD", "/check", "a b"]}},
        {
            "readinessProbe": {
                "exec": {"command": ["/check", "a b"]},
                "periodSeconds": 30,
                "timeoutSeconds": 5,
                "failureThreshold": 3,
                "successThreshold": 1,
            }
        },
        id="a health check without a shell",
    ),
)


@pytest.mark.parametrize(("fields", "expected"), ROWS)
def test_a_field_of_a_container_becomes(fields: Json, expected: Json) -> None:
    found = app_of(**fields)
    assert {name: found.get(name) for name in expected} == expected
    assert "livenessProbe" not in found, "ECS never restarts a container that is unwell"


def test_a_container_without_a_command_keeps_what_its_image_runs() -> None:
    found = app_of()
    assert "command" not in found
    assert "args" not in found


def test_an_environment_wins_over_files_and_secrets_are_references() -> None:
    secrets = [{"name": "PASSWORD", "valueFrom": "arn:aws:ssm:us-east-1:000000000000:parameter/p"}]
    launch = a_launch([an_app(environment=[{"name": "A", "value": "$(B) $$"}], secrets=secrets)])
    resolved = Resolved(secrets={"app": {"PASSWORD": "hush"}}, files={"app": {"F": "from a file"}})
    pod = manifest(launch, config=CONFIG, resolved=resolved)
    valid(pod)
    found = env_of(pod["spec"]["containers"][0])
    assert found["A"] == "$$(B) $$$$"
    made = secret(launch, resolved)
    assert made is not None
    valid(made)
    for name, value in (("PASSWORD", "hush"), ("F", "from a file")):
        reference = found[name]["secretKeyRef"]
        assert reference["name"] == made["metadata"]["name"]
        assert made["stringData"][reference["key"]] == value
    assert "hush" not in json.dumps(pod)


def test_a_task_without_secrets_has_no_secret() -> None:
    assert secret(a_launch([an_app()]), Resolved()) is None


def test_registry_credentials_are_a_pull_secret() -> None:
    given = an_app(image="registry.example:5000/a:1", repositoryCredentials={"credentialsParameter": "arn"})
    launch = a_launch([given])
    (made,) = pull_secrets(launch, Resolved(registries={"app": {"username": "u", "password": "p"}}))
    valid(made)
    assert json.loads(made["stringData"][".dockerconfigjson"]) == {
        "auths": {"registry.example:5000": {"username": "u", "password": "p"}}
    }
    spec = manifest(launch, config=CONFIG)["spec"]
    assert spec["imagePullSecrets"] == [{"name": made["metadata"]["name"]}]


def test_ecs_tells_a_container_where_it_is() -> None:
    found = env_of(app_of(document={"taskRoleArn": "arn:aws:iam::000000000000:role/r", "networkMode": "awsvpc"}))
    assert found["AWS_REGION"] == "us-east-1"
    assert found["ECS_CONTAINER_METADATA_URI_V4"].startswith("http://169.254.170.2/v4/0000")
    assert found["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"].startswith("/v2/credentials/")


def test_nothing_is_said_of_a_metadata_endpoint_that_nobody_serves() -> None:
    found = env_of(app_of(config=PLAIN))
    assert not [name for name in found if name.startswith(("ECS_", "AWS_CONTAINER"))]


def test_a_task_with_a_size_has_it_as_its_pods_with_room_for_the_proxy() -> None:
    pod = pod_of(cpu="256", memory="512", requiresCompatibilities=["FARGATE"])
    assert pod["spec"]["resources"] == {
        "requests": {"cpu": "250m", "memory": "512Mi"},
        "limits": {"cpu": "500m", "memory": "640Mi"},
    }


def test_an_older_server_gets_a_tasks_size_shared_out() -> None:
    config = PodConfig(pod_resources=False)
    launch = a_launch(
        [an_app(memory=100), {"name": "b", "image": "b"}, {"name": "c", "image": "c", "cpu": 128}],
        cpu="512",
        memory="512",
        wish=TaskWish(launch_type="FARGATE"),
    )
    pod = manifest(launch, config=config)
    valid(pod, VERSIONS[1])
    assert "resources" not in pod["spec"]
    assert [one["resources"] for one in pod["spec"]["containers"]] == [
        {"limits": {"memory": "100Mi", "cpu": "500m"}, "requests": {"memory": "100Mi", "cpu": "167m"}},
        {"limits": {"memory": "412Mi", "cpu": "500m"}, "requests": {"memory": "206Mi", "cpu": "167m"}},
        {"limits": {"memory": "412Mi", "cpu": "500m"}, "requests": {"memory": "206Mi", "cpu": "125m"}},
    ]


def test_storage_is_asked_for() -> None:
    found = app_of(document={"ephemeralStorage": {"sizeInGiB": 30}})["resources"]
    assert found["limits"]["ephemeral-storage"] == found["requests"]["ephemeral-storage"] == "30Gi"


@pytest.mark.parametrize(
    ("timeouts", "grace"),
    [
        pytest.param([None], 30, id="AWS's default"),
        pytest.param([2], 2, id="what was said"),
        pytest.param([2, 90], 90, id="the most patient"),
        pytest.param([0], 0, id="at once"),
    ],
)
def test_a_pod_waits_for_its_containers_to_end(timeouts: list[int | None], grace: int) -> None:
    containers = [
        an_app(name=f"c{index}", **({} if one is None else {"stopTimeout": one})) for index, one in enumerate(timeouts)
    ]
    assert pod_of(*containers)["spec"]["terminationGracePeriodSeconds"] == grace


def test_volumes_of_all_kinds() -> None:
    volumes: list[Json] = [
        {"name": "Scratch_1", "host": {}},
        {"name": "sock", "host": {"sourcePath": "/run/x.sock"}},
        {"name": "task", "dockerVolumeConfiguration": {"scope": "task"}},
        {"name": "shared", "dockerVolumeConfiguration": {"scope": "shared"}},
        {"name": "files", "efsVolumeConfiguration": {"fileSystemId": "fs-1", "rootDirectory": "/data/x"}},
        {"name": "disk", "configuredAtLaunch": True},
    ]
    mounts = [{"sourceVolume": one["name"], "containerPath": f"/m/{one['name']}"} for one in volumes]
    other = {
        "name": "other", "image": "b", "memory": 8,
        "volumesFrom": [{"sourceContainer": "app", "readOnly": True}],
    }  # fmt: skip
    wish = TaskWish(volume_configurations=({"name": "disk", "managedEBSVolume": {"sizeInGiB": 5}},))
    pod = manifest(a_launch([an_app(mountPoints=mounts), other], volumes=volumes, wish=wish), config=CONFIG)
    valid(pod)
    kinds = [next(key for key in one if key != "name") for one in pod["spec"]["volumes"]]
    assert kinds == ["emptyDir", "hostPath", "emptyDir", "hostPath", "persistentVolumeClaim", "ephemeral"]
    app, copied = (one["volumeMounts"] for one in pod["spec"]["containers"])
    assert [one["mountPath"] for one in app] == [one["containerPath"] for one in mounts]
    assert app[4]["subPath"] == "data/x"
    assert copied == [{**one, "readOnly": True} for one in app]
    claimed = pod["spec"]["volumes"][5]["ephemeral"]["volumeClaimTemplate"]["spec"]["resources"]["requests"]
    assert claimed == {"storage": "5Gi"}


def test_memory_file_systems_and_devices_are_the_containers_own() -> None:
    linux = {
        "sharedMemorySize": 128,
        "tmpfs": [{"containerPath": "/tmp/a", "size": 16}],
        "devices": [{"hostPath": "/dev/fuse"}],
    }
    spec = pod_of(an_app(linuxParameters=linux))["spec"]
    assert [one["mountPath"] for one in spec["containers"][0]["volumeMounts"]] == ["/tmp/a", "/dev/shm", "/dev/fuse"]
    assert spec["volumes"][0]["emptyDir"] == {"medium": "Memory", "sizeLimit": "16Mi"}
    assert spec["volumes"][1]["emptyDir"] == {"medium": "Memory", "sizeLimit": "128Mi"}


def test_one_process_namespace_has_a_first_process_that_reaps() -> None:
    assert pod_of(an_app(linuxParameters={"initProcessEnabled": True}))["spec"]["shareProcessNamespace"] is True
    assert pod_of(pidMode="task")["spec"]["shareProcessNamespace"] is True
    spec = pod_of(pidMode="host", ipcMode="host")["spec"]
    assert spec["hostPID"] is True
    assert spec["hostIPC"] is True


def test_names_of_other_hosts() -> None:
    spec = pod_of(
        an_app(
            hostname="Box.internal",
            links=["db:database"],
            extraHosts=[{"hostname": "x", "ipAddress": "192.0.2.1"}],
            dnsServers=["192.0.2.53"],
            dnsSearchDomains=["corp.example"],
        ),
        {"name": "db", "image": "db", "memory": 8},
    )["spec"]
    assert spec["hostname"] == "box"
    assert spec["hostAliases"] == [
        {"ip": "127.0.0.1", "hostnames": ["db", "database"]},
        {"ip": "192.0.2.1", "hostnames": ["x"]},
    ]
    assert spec["dnsPolicy"] == "None"
    assert spec["dnsConfig"] == {"nameservers": ["192.0.2.53"], "searches": ["corp.example"]}


def test_kernel_parameters_are_the_pods() -> None:
    controls = [{"namespace": "net.ipv4.tcp_keepalive_time", "value": "500"}]
    spec = pod_of(an_app(systemControls=controls))["spec"]
    assert spec["securityContext"] == {"sysctls": [{"name": "net.ipv4.tcp_keepalive_time", "value": "500"}]}


def test_docker_labels_are_kept_by_container() -> None:
    annotations = pod_of(an_app(dockerLabels={"com.example/a b": "c"}))["metadata"]["annotations"]
    assert json.loads(annotations["kecs.io/ecs-docker-labels"]) == {"app": {"com.example/a b": "c"}}


def bridged(*mappings: Json) -> Launch:
    return a_launch([an_app(portMappings=list(mappings))], networkMode="bridge")


def test_bridge_mode_gets_ports_of_the_machine() -> None:
    launch = bridged({"containerPort": 80}, {"containerPort": 53, "hostPort": 5353, "protocol": "udp"})
    chosen = host_ports(launch, launch.definition.containers, ())
    assert chosen["app", 53] == 5353
    assert chosen["app", 80] in DYNAMIC
    assert chosen == host_ports(launch, launch.definition.containers, ())
    again = host_ports(launch, launch.definition.containers, {chosen["app", 80]})
    assert again["app", 80] != chosen["app", 80]
    pod = manifest(launch, config=CONFIG, chosen=chosen)
    valid(pod)
    assert pod["spec"]["containers"][0]["ports"] == [
        {"containerPort": 80, "protocol": "TCP", "hostPort": chosen["app", 80]},
        {"containerPort": 53, "protocol": "UDP", "hostPort": 5353},
    ]


def test_a_range_of_ports_is_all_of_them() -> None:
    launch = bridged({"containerPortRange": "8080-8082"})
    chosen = host_ports(launch, launch.definition.containers, ())
    assert sorted(port for _, port in chosen) == [8080, 8081, 8082]
    assert len(set(chosen.values())) == 3


@pytest.mark.parametrize(
    ("mode", "proxy", "spec"),
    [
        pytest.param("awsvpc", "sidecar", {}, id="awsvpc"),
        pytest.param("host", "environment", {"hostNetwork": True}, id="host can't be redirected"),
        pytest.param("none", "disabled", {}, id="none has nowhere to call"),
    ],
)
def test_network_modes(mode: str, proxy: str, spec: Json) -> None:
    pod = pod_of(an_app(portMappings=[{"containerPort": 80}]), networkMode=mode)
    assert pod["metadata"]["annotations"]["kecs.io/aws-proxy-mode"] == proxy
    assert {name: pod["spec"].get(name) for name in spec} == spec
    assert ("hostPort" in pod["spec"]["containers"][0]["ports"][0]) is (mode == "host")
    assert (pod["metadata"]["labels"].get("kecs.io/ecs-network") == "none") is (mode == "none")


def test_a_container_that_depends_on_others_waits_for_its_gate() -> None:
    second = {"name": "b", "image": "b", "memory": 8, "dependsOn": [{"containerName": "app", "condition": "COMPLETE"}]}
    first, gated = pod_of(an_app(essential=False), second)["spec"]["containers"]
    assert "envFrom" not in first
    assert gated["envFrom"][0]["configMapRef"]["name"].startswith("task-")


def test_overrides_are_for_this_task_alone() -> None:
    overrides = {
        "containerOverrides": [
            {
                "name": "app",
                "command": ["other"],
                "environment": [{"name": "A", "value": "2"}, {"name": "B", "value": "3"}],
                "memory": 99,
                "cpu": 512,
            }
        ],
        "memory": "1024",
    }
    launch = a_launch([an_app(environment=[{"name": "A", "value": "1"}])], wish=TaskWish(overrides=overrides))
    pod = manifest(launch, config=PLAIN)
    valid(pod)
    found = pod["spec"]["containers"][0]
    assert found["args"] == ["other"]
    assert env_of(found)["A"] == "2"
    assert env_of(found)["B"] == "3"
    assert found["resources"]["limits"] == {"memory": "99Mi"}
    assert pod["spec"]["resources"] == {"requests": {"memory": "1024Mi"}, "limits": {"memory": "1024Mi"}}


def test_images_of_ecr_may_come_from_elsewhere() -> None:
    config = PodConfig(registries={"*.dkr.ecr": "registry.local:5000"})
    image = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/app:1"
    assert app_of(image=image, config=config)["image"] == "registry.local:5000/team/app:1"
    assert app_of(image="team/app:1", config=config)["image"] == "team/app:1"
    assert app_of(image=image)["image"] == image


def test_a_services_task_says_whose_it_is() -> None:
    arn = "arn:aws:ecs:us-east-1:000000000000:service/shop/front_1"
    wish = TaskWish(service_arn=arn, group="service:front_1")
    metadata = manifest(a_launch([an_app()], wish=wish), config=PodConfig(proxy_mode=""))["metadata"]
    assert metadata["labels"]["kecs.io/ecs-service"] == "front_1"
    assert metadata["annotations"]["kecs.io/ecs-service-arn"] == arn
    assert "kecs.io/aws-proxy-mode" not in metadata["annotations"], "the namespace says"


def test_a_capacity_provider_of_fargate_is_fargate() -> None:
    wish = TaskWish(launch_type="", capacity_provider="FARGATE_SPOT")
    pod = manifest(a_launch([an_app()], wish=wish), config=CONFIG)
    assert env_of(pod["spec"]["containers"][0])["AWS_EXECUTION_ENV"] == "AWS_ECS_FARGATE"


def test_a_reservation_alone_is_limited_by_the_tasks_size() -> None:
    container = {"name": "app", "image": "b", "memoryReservation": 64}
    (found,) = manifest(a_launch([container], memory="256"), config=PodConfig(pod_resources=False))["spec"][
        "containers"
    ]
    assert found["resources"] == {"requests": {"memory": "64Mi"}, "limits": {"memory": "256Mi"}}


def test_access_points_and_storage_classes() -> None:
    efs = {"fileSystemId": "fs-1", "rootDirectory": "/", "authorizationConfig": {"accessPointId": "fsap-1"}}
    volumes = [{"name": "f", "efsVolumeConfiguration": efs}, {"name": "d", "configuredAtLaunch": True}]
    mounts = [{"sourceVolume": "f", "containerPath": "/f"}, {"sourceVolume": "none", "containerPath": "/x"}]
    config = PodConfig(storage_class="fast")
    launch = a_launch([an_app(mountPoints=mounts)], volumes=volumes)
    pod = manifest(launch, config=config)
    valid(pod)
    assert pod["spec"]["containers"][0]["volumeMounts"] == [
        {"name": "v-f", "mountPath": "/f", "subPath": ".access-points/fsap-1"}
    ]
    assert pod["spec"]["volumes"][1]["ephemeral"]["volumeClaimTemplate"]["spec"]["storageClassName"] == "fast"
    (claim,) = claims(launch, config)
    valid(claim)
    assert claim["spec"]["storageClassName"] == "fast"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"dockerSecurityOptions": ["no-new-privileges"]}, {"allowPrivilegeEscalation": False}),
        ({"dockerSecurityOptions": ["no-new-privileges"], "privileged": True}, {"privileged": True}),
    ],
)
def test_security_options(fields: Json, expected: Json) -> None:
    assert app_of(**fields)["securityContext"] == expected


@pytest.mark.parametrize("name", ["App_1", "a" * 80, "-x", "app"])
def test_names_that_kubernetes_does_not_take_are_translated(name: str) -> None:
    pod = pod_of(an_app(name=name))
    (said,) = json.loads(pod["metadata"]["annotations"]["kecs.io/ecs-containers"])
    assert said["name"] == name
    assert said["pod_name"] == pod["spec"]["containers"][0]["name"]


def test_golden() -> None:
    """One task with a bit of everything, whole."""
    launch = a_launch(
        [
            an_app(
                portMappings=[{"containerPort": 8080}],
                environment=[{"name": "MODE", "value": "prod"}],
                dependsOn=[{"containerName": "init", "condition": "SUCCESS"}],
                healthCheck={"command": ["CMD-SHELL", "true"]},
                mountPoints=[{"sourceVolume": "data", "containerPath": "/data"}],
                stopTimeout=10,
            ),
            {"name": "init", "image": "busybox:1", "essential": False, "command": ["true"], "memoryReservation": 16},
        ],
        volumes=[{"name": "data"}],
        networkMode="awsvpc",
        requiresCompatibilities=["FARGATE"],
        runtimePlatform={"cpuArchitecture": "ARM64", "operatingSystemFamily": "LINUX"},
        taskRoleArn="arn:aws:iam::000000000000:role/app",
        cpu="256",
        memory="512",
        wish=TaskWish(launch_type="FARGATE", tags={"team": "shop"}),
    )
    pod = manifest(launch, config=CONFIG)
    valid(pod)
    golden = Path(__file__).with_name("golden") / "kubernetes_pod.json"
    if os.environ.get("KECS_UPDATE_GOLDEN"):
        golden.write_text(json.dumps(pod, indent=2) + "\n", encoding="utf-8")
    assert json.loads(golden.read_text(encoding="utf-8")) == pod
