"""What RegisterTaskDefinition refuses of a container or a whole definition, in which words."""

from typing import Any

import pytest
from definitions_lab import ROLE, assert_refused, case, container, definition, fargate, volume
from ecs_lab import EcsLab

HEALTHY = {"command": ["CMD-SHELL", "curl -f http://localhost/"]}
EFS = {"fileSystemId": "fs-12345678"}

NAMES = [
    case(definition(family=""), "Family should not be null or empty.", "no family"),
    case(definition(family="a b"), "Family contains invalid characters.", "a family with a space"),
    case(definition(family="テスト用"), "Family contains invalid characters.", "a family that is not ASCII"),
    case(definition(family="a" * 256), "Family should not be longer than 255 characters.", "a long family"),
    case({"family": "web", "containerDefinitions": []}, "Container list cannot be empty.", "no containers"),
    case(definition(*(container(f"c{i}") for i in range(11))), "Too many containers.", "eleven containers"),
    case(definition({"image": "x"}), "Container.name should not be null or empty.", "no container name"),
    case(definition(container("a b")), "Container.name contains invalid characters.", "a container name with a space"),
    case(
        definition(container("a" * 256)),
        "Container.name should not be longer than 255 characters.",
        "a long container name",
    ),
    case(definition({"name": "app"}), "Container.image should not be null or empty.", "no image"),
    case(
        definition(container(image="$IMAGE_NAME:$TAG")),
        "Container.image contains invalid characters.",
        "an image that a script left unset",
    ),
    case(
        definition(container(image="a" * 256)),
        "Container.image should not be longer than 255 characters.",
        "a long image name",
    ),
    case(
        definition(container(), container()),
        "Container names must be unique within a task definition.",
        "two containers of one name",
    ),
    case(
        definition(container(essential=False)),
        "Task definition doesn't have any essential container.",
        "no essential container",
    ),
]

SIZES = [
    case(
        definition({"name": "app", "image": "nginx"}),
        "Invalid setting for container 'app'. At least one of 'memory' or 'memoryReservation' must be specified.",
        "no memory anywhere",
    ),
    case(
        definition(container(memoryReservation=256)),
        "Invalid setting for container 'app'. 'memory' must be greater than or equal to 'memoryReservation'.",
        "more reserved than allowed",
    ),
    case(
        definition(container(memory=3)),
        "Invalid setting for container 'app'. 'memory' must be at least 4.",
        "too little memory",
    ),
    case(
        definition(container(cpu=-1)),
        "Invalid setting for container 'app'. 'cpu' must not be negative.",
        "less than no CPU",
    ),
    case(
        definition(container(memory=1024), memory="512"),
        "The 'memory' setting for container 'app' is greater than for the task.",
        "a container greater than its task",
    ),
    case(
        definition(container("a", memoryReservation=100), container("b", memoryReservation=100), memory="150"),
        "The sum of all container 'memoryReservation' values cannot be greater than the value of the task 'memory'.",
        "more reserved than the task has",
    ),
    case(
        definition(container(cpu=512), container("b", cpu=1), cpu="512"),
        "The sum of all container 'cpu' values cannot be greater than the value of the task 'cpu'.",
        "containers with more CPU than their task",
    ),
    case(definition(cpu="2 cores"), "Invalid 'cpu' setting for task.", "CPU in a unit of one's own"),
    case(definition(cpu="1"), "Invalid 'cpu' setting for task.", "too little CPU"),
    case(definition(memory="1 gigabyte"), "Invalid 'memory' setting for task.", "memory in a unit of one's own"),
    case(definition(memory="0"), "Invalid 'memory' setting for task.", "no memory for the task"),
    case(
        definition(container(resourceRequirements=[{"type": "GPU", "value": "half"}])),
        "Invalid GPU resource requirement 'half' for container 'app'.",
        "half a GPU",
    ),
    case(
        definition(container(resourceRequirements=[{"type": "GPU"}])),
        "Invalid GPU resource requirement '' for container 'app'.",
        "a GPU without a number",
    ),
]

ALONE = [
    *(
        case(
            definition(container(healthCheck={**HEALTHY, member: most + 1})),
            f"Health check {member} must be less than or equal to the maximum allowed value {most} for container 'app'",
            f"a health check with a high {member}",
        )
        for member, most in (("interval", 300), ("timeout", 60), ("retries", 10), ("startPeriod", 300))
    ),
    case(
        definition(container(healthCheck={**HEALTHY, "interval": 4})),
        "Health check interval must be greater than or equal to the minimum allowed value 5 for container 'app'",
        "a health check with a low interval",
    ),
    case(
        definition(container(healthCheck={"command": ["curl", "localhost"]})),
        "Health check command must start with CMD or CMD-SHELL for container 'app'",
        "a health check of a bare command",
    ),
    case(
        definition(container(healthCheck={"command": ["CMD"]})),
        "Health check command must not be empty for container 'app'",
        "a health check of nothing",
    ),
    case(
        definition(container(restartPolicy={"enabled": True, "restartAttemptPeriod": 59})),
        "The 'restartAttemptPeriod' setting for container 'app' must be between 60 and 1800.",
        "a short restartAttemptPeriod",
    ),
    case(
        definition(container(restartPolicy={"enabled": True, "ignoredExitCodes": list(range(51))})),
        "The 'ignoredExitCodes' setting for container 'app' must have 50 exit codes or less.",
        "many exit codes",
    ),
    case(
        definition(container(stopTimeout=1)),
        "Granular stop timeout on container 'app' must be at least 2 seconds.",
        "a short stopTimeout",
    ),
    case(
        definition(container(startTimeout=0)),
        "Granular start timeout on container 'app' must be at least 2 seconds.",
        "no startTimeout",
    ),
    case(
        definition(container(ulimits=[{"name": "nofile", "softLimit": 2, "hardLimit": 1}])),
        "Soft limit exceeds hard limit for ulimit nofile",
        "a soft limit above the hard one",
    ),
    case(
        definition(container(ulimits=[{"name": "core", "softLimit": 0, "hardLimit": 0}] * 2)),
        "Duplicate ulimit core for container 'app'.",
        "one ulimit twice",
    ),
    case(
        definition(container(environment=[{"value": "1"}])),
        "Invalid setting for container 'app'. An environment variable's name should not be null or empty.",
        "a variable without a name",
    ),
    case(
        definition(container(environmentFiles=[{"type": "s3", "value": f"arn:aws:s3:::b/{i}.env"} for i in range(11)])),
        "The maximum number of environment files was exceeded. Specify ten or less and try again.",
        "eleven environment files",
    ),
    case(
        definition(container(environmentFiles=[{"type": "s3", "value": "s3://b/a.env"}])),
        "Invalid arn syntax.",
        "an environment file by URL",
    ),
    case(
        definition(container(environmentFiles=[{"type": "s3", "value": "arn:aws:s3:::b/a.txt"}])),
        "The environment file 'arn:aws:s3:::b/a.txt' must have the file extension .env.",
        "an environment file with another extension",
    ),
    case(
        definition(
            container(environment=[{"name": "DB", "value": "x"}], secrets=[{"name": "DB", "valueFrom": "/db"}]),
            executionRoleArn=ROLE,
        ),
        "The secret name must be unique and not shared with any new or existing environment variables set on the "
        "container, such as 'DB'.",
        "a secret and a variable of one name",
    ),
    case(
        definition(container(secrets=[{"name": "DB", "valueFrom": "/db"}])),
        "When you are specifying container secrets, you must also specify a value for 'executionRoleArn'.",
        "secrets without a role",
    ),
    case(
        definition(container(secrets=[{"name": "DB", "valueFrom": "db:password::"}]), executionRoleArn=ROLE),
        "The Systems Manager parameter name specified for secret DB is invalid. The parameter name can be up to 2048 "
        "characters and include the following letters and symbols: a-zA-Z0-9_.-",
        "a secret's name with a key",
    ),
    case(
        definition(container(logConfiguration={"logDriver": "awslogs"})),
        "Log driver awslogs requires options: awslogs-region, awslogs-group",
        "awslogs without options",
    ),
    case(
        definition(container(logConfiguration={"logDriver": "awslogs", "options": {"awslogs-region": "us-east-1"}})),
        "Log driver awslogs requires options: awslogs-group",
        "awslogs without a group",
    ),
    case(
        definition(container(linuxParameters={"swappiness": 101})),
        "The 'swappiness' setting for container 'app' must be between 0 and 100.",
        "a high swappiness",
    ),
    case(
        definition(container(linuxParameters={"maxSwap": -1})),
        "The 'maxSwap' setting for container 'app' must not be negative.",
        "less than no swap",
    ),
    case(
        definition(container(linuxParameters={"sharedMemorySize": 0})),
        "The 'sharedMemorySize' setting for container 'app' must be greater than 0.",
        "no shared memory",
    ),
    case(
        definition(container(linuxParameters={"tmpfs": [{"containerPath": "/run", "size": 0}]})),
        "The size of tmpfs '/run' for container 'app' must be greater than 0.",
        "no tmpfs",
    ),
    case(
        definition(container(linuxParameters={"tmpfs": [{"containerPath": "run", "size": 1}]})),
        "The containerPath of tmpfs 'run' for container 'app' must be absolute.",
        "a tmpfs somewhere",
    ),
    case(
        definition(container(systemControls=[{"namespace": "net.core.somaxconn"}])),
        "A system control of container 'app' must have both namespace and value.",
        "a system control of no value",
    ),
    case(
        definition(container(systemControls=[{"namespace": "net.core.somaxconn", "value": "1"}] * 2)),
        "Duplicate system control 'net.core.somaxconn' for container 'app'.",
        "one system control twice",
    ),
]

WHOLE = [
    *(
        case(definition(**{role: "arn:aws:iam::123456789012:user/me"}), "Role is not valid", f"a {role} that is a user")
        for role in ("taskRoleArn", "executionRoleArn")
    ),
    case(
        definition(ephemeralStorage={"sizeInGiB": 50}),
        "Tasks using the EC2 launch type do not support EphemeralStorage.",
        "ephemeral storage on EC2",
    ),
    case(
        fargate(ephemeralStorage={"sizeInGiB": 20}),
        "EphemeralStorage size should be at least 21",
        "little ephemeral storage",
    ),
    case(
        fargate(ephemeralStorage={"sizeInGiB": 201}),
        "EphemeralStorage size should be at most 200",
        "much ephemeral storage",
    ),
    case(
        definition(inferenceAccelerators=[{"deviceName": "d", "deviceType": "eia1.medium"}]),
        "Unsupported field 'inferenceAccelerators'.",
        "an accelerator",
    ),
    case(
        definition(requiresCompatibilities=["EXTERNAL"], networkMode="awsvpc"),
        "Tasks using the EXTERNAL launch type do not support networkMode 'awsvpc'.",
        "awsvpc outside",
    ),
    case(
        definition(placementConstraints=[{"type": "memberOf", "expression": "attribute:a == b"}] * 11),
        "A task definition can have at most 10 placement constraints.",
        "eleven constraints",
    ),
    case(
        definition(placementConstraints=[{"type": "memberOf"}]),
        "A placement constraint of type memberOf must have an expression.",
        "a constraint of nothing",
    ),
    case(definition(volumes=[{"configuredAtLaunch": True}]), "Volume.name should not be null or empty.", "no name"),
    case(definition(volumes=[{"name": "a b"}]), "Volume.name contains invalid characters.", "a volume with a space"),
    case(
        definition(volumes=[{"name": "a"}, {"name": "a"}]),
        "Volume names must be unique within a task definition: 'a'",
        "two volumes of one name",
    ),
    case(
        definition(**volume(host={"sourcePath": "/x"}, efsVolumeConfiguration=EFS)),
        "Volume 'data' must have at most one configuration.",
        "a volume of two kinds",
    ),
    case(
        definition(**volume(efsVolumeConfiguration={**EFS, "transitEncryptionPort": 2999})),
        "TransitEncryptionPort requires that TransitEncryption is enabled.",
        "EFS with a port and no encryption",
    ),
    case(
        definition(**volume(efsVolumeConfiguration={**EFS, "authorizationConfig": {"iam": "ENABLED"}})),
        "EFS IAM authorization requires TransitEncryption to be enabled.",
        "EFS with IAM and no encryption",
    ),
    case(
        definition(
            **volume(
                efsVolumeConfiguration={
                    **EFS,
                    "rootDirectory": "/x",
                    "transitEncryption": "ENABLED",
                    "authorizationConfig": {"accessPointId": "fsap-1"},
                }
            )
        ),
        'When using an EFS access point, the root directory must either be set to "/" or be omitted.',
        "EFS with an access point and a directory",
    ),
    case(
        definition(
            container(mountPoints=[{"sourceVolume": n, "containerPath": f"/{n}"} for n in "ab"]),
            volumes=[{"name": n, "configuredAtLaunch": True} for n in "ab"],
        ),
        "Only one volume of a task definition can be configured at launch.",
        "two volumes configured at launch",
    ),
]


@pytest.mark.parametrize(("document", "sentence"), [*NAMES, *SIZES, *ALONE, *WHOLE])
def test_a_definition_is_refused(document: dict[str, Any], sentence: str) -> None:
    assert_refused(document, sentence)


def test_a_document_that_is_too_long_is_refused_with_its_length() -> None:
    variables = [{"name": f"V{i}", "value": "x" * 1000} for i in range(70)]
    error = EcsLab().refused("RegisterTaskDefinition", definition(container(environment=variables)))
    assert error.code == "ClientException"
    assert error.message.startswith("Actual length: '7")
    assert error.message.endswith("'. Max allowed length is '65536' bytes.")


@pytest.mark.parametrize(
    ("tags", "code", "sentence"),
    [
        pytest.param([], "ClientException", "Tags can not be empty.", id="an empty list"),
        pytest.param(
            [{"key": "AWS:x", "value": ""}],
            "ClientException",
            "Tag keys that begin with 'aws:' are reserved for AWS: 'AWS:x'.",
            id="a key of AWS's",
        ),
        pytest.param(
            [{"key": "a", "value": "1"}, {"key": "a", "value": "2"}],
            "ClientException",
            "Duplicate tag keys are not allowed: 'a'.",
            id="a key twice",
        ),
    ],
)
def test_tags_are_refused(tags: list[dict[str, str]], code: str, sentence: str) -> None:
    error = EcsLab().refused("RegisterTaskDefinition", definition(tags=tags))
    assert (error.code, error.message) == (code, sentence)
