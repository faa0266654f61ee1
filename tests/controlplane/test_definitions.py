"""Task definitions from their registration to their end."""

from typing import Any

import pytest
from definitions_lab import LOGS, ROLE, again, container, definition, fargate, register, three, volume
from ecs_lab import NOW, PRINCIPAL, SCOPE, EcsLab, ecs_client

from kecs.controlplane import definitions
from kecs.controlplane.definitions_document import KEPT
from kecs.controlplane.errors import ApiError
from kecs.controlplane.records import Cluster, TaskDefinition
from kecs.controlplane.records.definitions import Family
from kecs.controlplane.state import Changes, Scope
from kecs.controlplane.wire.model import model

type Json = dict[str, Any]

ARN = "arn:aws:ecs:us-east-1:000000000000:task-definition/"
CLUSTER = Cluster(arn="arn:aws:ecs:us-east-1:000000000000:cluster/c", name="c", created_at=NOW)


# Normalised


def test_what_is_not_said_is_filled_in_as_aws_does() -> None:
    lab = EcsLab()
    assert register(lab, definition(container(portMappings=[{"containerPort": 80}]))) == {
        "taskDefinitionArn": ARN + "web:1",
        "family": "web",
        "revision": 1,
        "status": "ACTIVE",
        "containerDefinitions": [
            {
                "name": "app",
                "image": "nginx:1.29",
                "memory": 128,
                "cpu": 0,
                "essential": True,
                "portMappings": [{"containerPort": 80, "hostPort": 0, "protocol": "tcp"}],
                "environment": [],
                "mountPoints": [],
                "volumesFrom": [],
                "systemControls": [],
            }
        ],
        "volumes": [],
        "placementConstraints": [],
        "requiresAttributes": [],
        "compatibilities": ["EC2"],
        "registeredAt": NOW,
        "registeredBy": PRINCIPAL,
    }


@pytest.mark.parametrize(
    ("given", "found"),
    [
        pytest.param({"cpu": "1 vCPU"}, {"cpu": "1024"}, id="a CPU"),
        pytest.param({"cpu": "0.5 vcpu"}, {"cpu": "512"}, id="half a CPU"),
        pytest.param({"cpu": ".25vCPU"}, {"cpu": "256"}, id="a quarter without a zero"),
        pytest.param({"cpu": "2 vCPUs"}, {"cpu": "2048"}, id="CPUs"),
        pytest.param({"cpu": " 0256 "}, {"cpu": "256"}, id="units with zeros and spaces"),
        pytest.param({"memory": "1GB"}, {"memory": "1024"}, id="a gigabyte"),
        pytest.param({"memory": "0.5 gb"}, {"memory": "512"}, id="half a gigabyte"),
        pytest.param({"memory": "1024"}, {"memory": "1024"}, id="MiB"),
    ],
)
def test_sizes_of_tasks_become_digits(given: Json, found: Json) -> None:
    described = register(EcsLab(), definition(**given))
    assert {name: described[name] for name in given} == found


@pytest.mark.parametrize(
    ("mode", "host"),
    [
        pytest.param("awsvpc", 80, id="awsvpc: its own"),
        pytest.param("host", 80, id="host: the machine's"),
        pytest.param("bridge", 0, id="bridge: any"),
    ],
)
def test_host_ports_depend_on_the_network_mode(mode: str, host: int) -> None:
    described = register(
        EcsLab(), definition(container(portMappings=[{"containerPort": 80, "name": "http"}]), networkMode=mode)
    )
    assert described["containerDefinitions"][0]["portMappings"] == [
        {"containerPort": 80, "hostPort": host, "protocol": "tcp", "name": "http"}
    ]


def test_a_range_of_ports_has_no_single_ones() -> None:
    described = register(EcsLab(), definition(container(portMappings=[{"containerPortRange": "80-90"}])))
    assert described["containerDefinitions"][0]["portMappings"] == [{"containerPortRange": "80-90", "protocol": "tcp"}]


@pytest.mark.parametrize(
    ("given", "found"),
    [
        pytest.param({}, {"host": {}}, id="one of no kind is an empty directory"),
        pytest.param(
            {"efsVolumeConfiguration": {"fileSystemId": "fs-1"}},
            {"efsVolumeConfiguration": {"fileSystemId": "fs-1", "rootDirectory": "/"}},
            id="EFS begins at its root",
        ),
        pytest.param(
            {"dockerVolumeConfiguration": {"driver": "local"}},
            {"dockerVolumeConfiguration": {"driver": "local", "scope": "task"}},
            id="a volume of Docker is the task's",
        ),
    ],
)
def test_volumes_are_filled_in(given: Json, found: Json) -> None:
    assert register(EcsLab(), definition(**volume(**given)))["volumes"] == [{"name": "data", **found}]


def test_a_volume_configured_at_launch_stays_as_it_is() -> None:
    mounted = container(mountPoints=[{"sourceVolume": "data", "containerPath": "/data"}])
    described = register(EcsLab(), definition(mounted, **volume(configuredAtLaunch=True)))
    assert described["volumes"] == [{"name": "data", "configuredAtLaunch": True}]


def test_health_checks_have_all_their_numbers() -> None:
    check = {"command": ["CMD", "true"], "retries": 5}
    described = register(EcsLab(), definition(container(healthCheck=check)))
    assert described["containerDefinitions"][0]["healthCheck"] == {
        "command": ["CMD", "true"],
        "interval": 30,
        "timeout": 5,
        "retries": 5,
    }


@pytest.mark.parametrize(
    ("document", "names"),
    [
        pytest.param(
            fargate(container(image="1.dkr.ecr.us-east-1.amazonaws.com/a:1", logConfiguration=LOGS), taskRoleArn=ROLE),
            {
                "com.amazonaws.ecs.capability.docker-remote-api.1.18",
                "com.amazonaws.ecs.capability.docker-remote-api.1.19",
                "com.amazonaws.ecs.capability.ecr-auth",
                "com.amazonaws.ecs.capability.logging-driver.awslogs",
                "com.amazonaws.ecs.capability.task-iam-role",
                "ecs.capability.execution-role-awslogs",
                "ecs.capability.execution-role-ecr-pull",
                "ecs.capability.task-eni",
            },
            id="a service on Fargate",
        ),
        pytest.param(
            definition(
                container(
                    memoryReservation=64,
                    secrets=[{"name": "A", "valueFrom": "/a"}],
                    dependsOn=[{"containerName": "db", "condition": "START"}],
                    privileged=True,
                ),
                container("db", environmentFiles=[{"type": "s3", "value": "arn:aws:s3:::b/a.env"}]),
                executionRoleArn=ROLE,
                taskRoleArn=ROLE,
                networkMode="host",
                pidMode="host",
            ),
            {
                "com.amazonaws.ecs.capability.docker-remote-api.1.21",
                "com.amazonaws.ecs.capability.docker-remote-api.1.29",
                "com.amazonaws.ecs.capability.privileged-container",
                "com.amazonaws.ecs.capability.task-iam-role-network-host",
                "ecs.capability.container-ordering",
                "ecs.capability.env-files.s3",
                "ecs.capability.pid-ipc-namespace-sharing",
                "ecs.capability.secrets.ssm.environment-variables",
            },
            id="one that asks a machine for much",
        ),
        pytest.param(
            definition(
                container(
                    repositoryCredentials={"credentialsParameter": "arn:aws:secretsmanager:us-east-1:1:secret:a"},
                    logConfiguration={
                        "logDriver": "splunk",
                        "secretOptions": [
                            {"name": "splunk-token", "valueFrom": "/t"},
                            {"name": "x", "valueFrom": "arn:aws:secretsmanager:us-east-1:123456789012:secret:t-a"},
                        ],
                    },
                ),
                container(
                    "b", image="1.dkr.ecr.us-east-1.amazonaws.com/a:1", logConfiguration={"logDriver": "json-file"}
                ),
            ),
            {
                "com.amazonaws.ecs.capability.docker-remote-api.1.18",
                "com.amazonaws.ecs.capability.docker-remote-api.1.19",
                "com.amazonaws.ecs.capability.ecr-auth",
                "com.amazonaws.ecs.capability.logging-driver.json-file",
                "com.amazonaws.ecs.capability.logging-driver.splunk",
                "ecs.capability.private-registry-authentication.secretsmanager",
                "ecs.capability.secrets.asm.bootstrap.log-driver",
                "ecs.capability.secrets.ssm.bootstrap.log-driver",
            },
            id="logs with secrets, and a registry of one's own",
        ),
    ],
)
def test_attributes_that_a_machine_must_have_are_told(document: Json, names: set[str]) -> None:
    found = register(EcsLab(), document)["requiresAttributes"]
    assert {one["name"] for one in found} == names
    assert len(found) == len(names)


def test_what_deploy_tools_send_empty_is_not_there() -> None:
    empty = {"taskRoleArn": "", "executionRoleArn": "", "runtimePlatform": {}, "requiresCompatibilities": []}
    lab = EcsLab()
    assert again(register(lab, definition(**empty))) == again(register(lab))


def test_what_the_model_gives_back_is_kept() -> None:
    shapes = model().shapes
    both = shapes["RegisterTaskDefinitionRequest"].members.keys() & shapes["TaskDefinition"].members.keys()
    assert both == {"family", "containerDefinitions", *KEPT}


# Revisions


def test_revisions_only_grow_also_after_everything_was_deleted() -> None:
    lab = EcsLab()
    assert [register(lab)["revision"] for _ in range(2)] == [1, 2]
    for revision in (1, 2):
        lab.call("DeregisterTaskDefinition", {"taskDefinition": f"web:{revision}"})
    lab.call("DeleteTaskDefinitions", {"taskDefinitions": ["web:1", "web:2"]})
    lab.store.apply(definitions.unused(lab.state))
    assert lab.state.count(TaskDefinition) == 0
    assert lab.call("ListTaskDefinitionFamilies", {})["families"] == []
    assert register(lab)["revision"] == 3


def test_a_family_without_its_record_counts_on_from_its_revisions() -> None:
    lab = EcsLab()
    register(lab)
    lab.store.apply(Changes(delete=tuple(lab.state.every(Family))))
    assert register(lab)["revision"] == 2


def test_families_of_regions_and_accounts_are_apart() -> None:
    lab = EcsLab()
    register(lab)
    other = Scope(region="eu-west-1", account="111111111111")
    found = lab.call("RegisterTaskDefinition", definition(), scope=other)["taskDefinition"]
    assert found["taskDefinitionArn"] == "arn:aws:ecs:eu-west-1:111111111111:task-definition/web:1"
    assert lab.refused("DescribeTaskDefinition", {"taskDefinition": found["taskDefinitionArn"]}).code == (
        "ClientException"
    )


# Found


@pytest.mark.parametrize(
    ("given", "revision"),
    [
        pytest.param("web", 2, id="a family: its latest active one"),
        pytest.param(ARN + "web", 2, id="an ARN without revision"),
        pytest.param("web:1", 1, id="an inactive one by its number"),
        pytest.param("web:003", 3, id="a number with zeros"),
        pytest.param(ARN + "web:3", 3, id="an ARN"),
    ],
)
def test_definitions_are_described_by_any_of_their_names(given: str, revision: int) -> None:
    lab = EcsLab()
    three(lab)
    assert lab.call("DescribeTaskDefinition", {"taskDefinition": given})["taskDefinition"]["revision"] == revision


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        pytest.param("nope", "Unable to describe task definition.", id="a family that there is not"),
        pytest.param("web:9", "Unable to describe task definition.", id="a revision that there is not"),
        pytest.param("web:latest", "Invalid revision number. Number: latest", id="a revision that is no number"),
        pytest.param("arn:aws:ecs:us-east-1:1:cluster/web:1", "Unable to describe task definition.", id="another ARN"),
    ],
)
def test_what_is_not_there_is_not_described(given: str, sentence: str) -> None:
    lab = EcsLab()
    three(lab)
    error = lab.refused("DescribeTaskDefinition", {"taskDefinition": given})
    assert (error.code, error.message) == ("ClientException", sentence)


@pytest.mark.parametrize(
    ("given", "use", "code", "sentence"),
    [
        pytest.param(
            "nope", definitions.Use.RUN, "ClientException", "TaskDefinition not found.", id="run: no such family"
        ),
        pytest.param(
            "web:9", definitions.Use.SERVICE, "ClientException", "TaskDefinition not found.", id="service: none such"
        ),
        pytest.param(
            "web:1", definitions.Use.RUN, "InvalidParameterException", "TaskDefinition is inactive", id="run: inactive"
        ),
        pytest.param(
            "web:1", definitions.Use.SERVICE, "ClientException", "TaskDefinition is inactive", id="service: inactive"
        ),
    ],
)
def test_what_can_not_be_run_is_refused(given: str, use: definitions.Use, code: str, sentence: str) -> None:
    lab = EcsLab()
    three(lab)
    with pytest.raises(ApiError) as raised:
        definitions.find(lab.state, SCOPE, given, use=use)
    assert (raised.value.code, raised.value.message) == (code, sentence)


def test_what_is_to_be_run_is_found() -> None:
    lab = EcsLab()
    three(lab)
    assert definitions.find(lab.state, SCOPE, "web").revision == 2


def test_tags_are_told_where_they_are_asked_for() -> None:
    lab = EcsLab()
    tags = [{"key": "team", "value": "a"}]
    assert lab.call("RegisterTaskDefinition", definition(tags=tags))["tags"] == tags
    assert lab.call("DescribeTaskDefinition", {"taskDefinition": "web"})["tags"] == []
    assert lab.call("DescribeTaskDefinition", {"taskDefinition": "web", "include": ["TAGS"]})["tags"] == tags


# Listed


def listed(lab: EcsLab, **params: Any) -> list[str]:
    found: list[str] = lab.call("ListTaskDefinitions", params)["taskDefinitionArns"]
    return [arn.removeprefix(ARN) for arn in found]


@pytest.mark.parametrize(
    ("params", "found"),
    [
        pytest.param({}, ["db:1", "web:2", "web-2:1"], id="active ones"),
        pytest.param({"status": "INACTIVE"}, ["web:1", "web:3"], id="inactive ones"),
        pytest.param({"familyPrefix": "web"}, ["web:2"], id="a family is named whole"),
        pytest.param({"familyPrefix": "we"}, [], id="a beginning is no family"),
        pytest.param({"sort": "DESC"}, ["web-2:1", "web:2", "db:1"], id="backwards"),
        pytest.param({"status": "DELETE_IN_PROGRESS"}, [], id="those that go"),
    ],
)
def test_definitions_are_listed(params: Json, found: list[str]) -> None:
    lab = EcsLab()
    three(lab)
    register(lab, definition(family="db"))
    register(lab, definition(family="web-2"))
    assert listed(lab, **params) == found


def test_revisions_are_listed_by_number_and_page_by_page() -> None:
    lab = EcsLab()
    for _ in range(12):
        register(lab)
    found: list[str] = []
    params: Json = {"familyPrefix": "web", "maxResults": 5}
    while True:
        answer = lab.call("ListTaskDefinitions", params)
        found += answer["taskDefinitionArns"]
        if "nextToken" not in answer:
            break
        params["nextToken"] = answer["nextToken"]
    assert [int(arn.rpartition(":")[2]) for arn in found] == list(range(1, 13))


@pytest.mark.parametrize(
    ("params", "found"),
    [
        pytest.param({}, ["db", "gone", "web"], id="all"),
        pytest.param({"status": "ACTIVE"}, ["db", "web"], id="with an active revision"),
        pytest.param({"status": "INACTIVE"}, ["gone"], id="without one"),
        pytest.param({"familyPrefix": "w"}, ["web"], id="by their beginning"),
        pytest.param({"maxResults": 1}, ["db"], id="a page"),
    ],
)
def test_families_are_listed(params: Json, found: list[str]) -> None:
    lab = EcsLab()
    three(lab)
    register(lab, definition(family="db"))
    register(lab, definition(family="gone"))
    lab.call("DeregisterTaskDefinition", {"taskDefinition": "gone:1"})
    assert lab.call("ListTaskDefinitionFamilies", params)["families"] == found


def test_boto3_registers_what_it_has_described() -> None:
    lab = EcsLab()
    with lab.served() as url:
        client = ecs_client(url)
        first = client.register_task_definition(**fargate(container(logConfiguration=LOGS)))["taskDefinition"]
        described = client.describe_task_definition(taskDefinition="web", include=["TAGS"])["taskDefinition"]
        assert described == first
        second = client.register_task_definition(**again(described))["taskDefinition"]
        assert again(second) == again(first)
        assert second["revision"] == 2
        assert client.deregister_task_definition(taskDefinition="web:1")["taskDefinition"]["status"] == "INACTIVE"
        assert client.list_task_definitions()["taskDefinitionArns"] == [ARN + "web:2"]
