"""What keeps a task definition from Fargate, in which words."""

from typing import Any

import pytest
from definitions_lab import LOGS, assert_refused, case, container, definition, fargate, volume
from ecs_lab import EcsLab

from kecs.controlplane import definitions_checks
from kecs.controlplane.definitions_fargate import SIZES

OPEN, CLOSE = "\N{LEFT SINGLE QUOTATION MARK}", "\N{RIGHT SINGLE QUOTATION MARK}"
AWSVPC = f"Fargate only supports network mode {OPEN}awsvpc{CLOSE}."
PRIVILEGED = f"Fargate requires that the {OPEN}privileged{CLOSE} setting be {OPEN}false{CLOSE} at the container level."


def size_sentence(cpu: str, memory: str) -> str:
    return (
        f"No Fargate configuration exists for given values: {cpu} CPU, {memory} memory. See the Amazon ECS "
        "documentation for the valid values."
    )


FARGATE = [
    case(fargate(networkMode="bridge"), AWSVPC, "another network mode"),
    case(
        definition(requiresCompatibilities=["FARGATE"], cpu="256", memory="512"),
        AWSVPC,
        "no network mode",
    ),
    case(fargate(cpu=""), "Fargate requires that 'cpu' be defined at the task level.", "no CPU"),
    case(fargate(memory=""), "Fargate requires that 'memory' be defined at the task level.", "no memory"),
    case(
        fargate(cpu="512", memory="512"),
        "No Fargate configuration exists for given values: 512 CPU, 512 memory. See the Amazon ECS documentation for "
        "the valid values.",
        "a size that there is not",
    ),
    case(
        fargate(cpu="512", memory="2048", runtimePlatform={"operatingSystemFamily": "WINDOWS_SERVER_2022_CORE"}),
        "No Fargate configuration exists for given values: 512 CPU, 2048 memory. See the Amazon ECS documentation for "
        "the valid values.",
        "half a CPU for Windows",
    ),
    case(
        fargate(pidMode="host"),
        "Tasks using the Fargate launch type do not support pidMode 'host'. The supported value for pidMode is 'task'.",
        "the machine's processes",
    ),
    case(fargate(ipcMode="task"), "Fargate compatible task definitions do not support ipcMode", "an IPC mode"),
    case(
        fargate(placementConstraints=[{"type": "memberOf", "expression": "attribute:a == b"}]),
        "Fargate compatible task definitions do not support constraints",
        "a placement constraint",
    ),
    case(
        fargate(**volume(host={"sourcePath": "/var"})),
        "Fargate compatible task definitions do not support sourcePath",
        "a directory of the machine",
    ),
    case(
        fargate(**volume(dockerVolumeConfiguration={"scope": "task"})),
        "Fargate compatible task definitions do not support dockerVolumeConfiguration",
        "a volume of Docker",
    ),
    case(
        fargate(container(privileged=True)),
        PRIVILEGED,
        "a privileged container",
    ),
    case(
        fargate(container(dockerSecurityOptions=["no-new-privileges"])),
        "Fargate compatible task definitions do not support dockerSecurityOptions",
        "security options",
    ),
    case(
        fargate(container(linuxParameters={"devices": [{"hostPath": "/dev/fuse"}]})),
        "Fargate compatible task definitions do not support devices",
        "a device",
    ),
    case(
        fargate(container(linuxParameters={"sharedMemorySize": 64})),
        "Fargate compatible task definitions do not support sharedMemorySize",
        "shared memory",
    ),
    case(
        fargate(container(linuxParameters={"maxSwap": 64})),
        "Fargate compatible task definitions do not support maxSwap",
        "swap",
    ),
    case(
        fargate(container(linuxParameters={"capabilities": {"add": ["NET_ADMIN"]}})),
        "NET_ADMIN is not allowed on Fargate.",
        "a capability",
    ),
    case(
        fargate(container(resourceRequirements=[{"type": "GPU", "value": "1"}])),
        "Tasks using the Fargate launch type do not support GPU resource requirements.",
        "a GPU",
    ),
    case(
        fargate(container(stopTimeout=121)),
        "Tasks using the Fargate launch type must have a container stop timeout of less than 120 seconds.",
        "a long stopTimeout",
    ),
    case(
        fargate(container(logConfiguration={"logDriver": "json-file"})),
        "json-file is not a valid log driver. Must be one of [awslogs,splunk,awsfirelens]",
        "a log driver of Docker",
    ),
    case(
        fargate(
            container(
                logConfiguration={
                    "logDriver": "awslogs",
                    "options": {"awslogs-group": "g", "awslogs-region": "us-east-1"},
                }
            )
        ),
        "Fargate requires log configuration options to include awslogs-stream-prefix to support log driver awslogs.",
        "awslogs without a prefix",
    ),
    case(
        fargate(container(logConfiguration=LOGS), executionRoleArn=""),
        "Fargate requires task definition to have execution role ARN to support log driver awslogs.",
        "awslogs without a role",
    ),
    case(
        fargate(container(image="123456789012.dkr.ecr.us-east-1.amazonaws.com/web:1"), executionRoleArn=""),
        "Fargate requires task definition to have execution role ARN to support ECR images.",
        "ECR without a role",
    ),
    case(
        fargate(
            container(
                firelensConfiguration={
                    "type": "fluentbit",
                    "options": {"config-file-type": "s3", "config-file-value": "arn:aws:s3:::b/k"},
                }
            )
        ),
        "Fargate launch type does not support FirelensConfiguration config file from 's3'",
        "a FireLens file in S3",
    ),
]


@pytest.mark.parametrize(("document", "sentence"), [*FARGATE])
def test_a_definition_is_refused(document: dict[str, Any], sentence: str) -> None:
    assert_refused(document, sentence)


def test_all_problems_are_found_though_aws_tells_the_first() -> None:
    document = fargate(container(privileged=True), networkMode="host", cpu="1024")
    assert list(definitions_checks.problems(document)) == [
        AWSVPC,
        size_sentence("1024", "512"),
        PRIVILEGED,
    ]


def registered(cpu: str, memory: str) -> dict[str, Any]:
    found = EcsLab().call("RegisterTaskDefinition", fargate(cpu=cpu, memory=memory))["taskDefinition"]
    return {name: found[name] for name in ("cpu", "memory", "compatibilities")}


@pytest.mark.parametrize(
    ("cpu", "memory"), [(cpu, memory) for cpu, sizes in SIZES.items() for memory in (min(sizes), max(sizes))]
)
def test_the_ends_of_each_row_of_sizes_are_taken(cpu: int, memory: int) -> None:
    found = registered(f"{cpu / 1024} vCPU", f"{memory / 1024} GB")
    assert found == {"cpu": str(cpu), "memory": str(memory), "compatibilities": ["EC2", "FARGATE"]}


@pytest.mark.parametrize(("cpu", "memory"), [(256, 4096), (512, 1500), (8192, 17408), (16384, 36864), (300, 512)])
def test_sizes_beside_the_table_are_refused(cpu: int, memory: int) -> None:
    document = fargate(container(memory=64), cpu=str(cpu), memory=str(memory))
    assert_refused(document, size_sentence(str(cpu), str(memory)))


@pytest.mark.parametrize(
    ("document", "found"),
    [
        pytest.param(definition(), ["EC2"], id="a definition for EC2 of bridge mode"),
        pytest.param(definition(networkMode="awsvpc", cpu="256", memory="512"), ["EC2", "FARGATE"], id="one that fits"),
        pytest.param(
            definition(container(privileged=True), networkMode="awsvpc", cpu="256", memory="512"),
            ["EC2"],
            id="one that fits but for one thing",
        ),
        pytest.param(
            definition(requiresCompatibilities=["EC2", "EXTERNAL"]), ["EC2", "EXTERNAL"], id="one for outside"
        ),
    ],
)
def test_where_a_definition_can_run_is_told(document: dict[str, Any], found: list[str]) -> None:
    assert EcsLab().call("RegisterTaskDefinition", document)["taskDefinition"]["compatibilities"] == found
