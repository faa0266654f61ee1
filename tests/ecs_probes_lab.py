"""A call of every operation of ECS over a socket, by boto3, that has to go well or to be refused as its model allows.

The page of operations says what came of it. What an operation needs is made by others before it. Nothing runs tasks
here: where a running one is needed its record is changed by hand.
"""

from dataclasses import dataclass, replace
from typing import Any

import ecs_shapes_lab as shapes
import pytest
from botocore import xform_name
from botocore.exceptions import ClientError
from ecs_lab import EcsLab, ecs_client

from kecs.controlplane.operations import OPERATIONS, refusal
from kecs.controlplane.records import KINDS, ContainerInstance, Service, Task, TaskDefinition
from kecs.controlplane.records.tasks import TaskStatus
from kecs.controlplane.state import Changes, State

CLUSTER = "probes"
FAMILY = "probe"
IMAGE = "public.ecr.aws/nginx/nginx:1"
AN_INSTANCE = {
    "instanceIdentityDocument": '{"instanceId":"i-0123456789abcdef0","region":"us-east-1"}',
    "instanceIdentityDocumentSignature": "none",
    "totalResources": [
        {"name": "CPU", "type": "INTEGER", "integerValue": 4096},
        {"name": "MEMORY", "type": "INTEGER", "integerValue": 8192},
    ],
}


def method_of(operation: str) -> str:
    """Return boto3's name of an operation."""
    name: str = xform_name(operation)
    return name


def minimal(shape: Any) -> Any:
    """Return the least that a shape allows."""
    match shape.type_name:
        case "structure":
            names = shape.required_members
            if not names and getattr(shape, "is_tagged_union", False):
                names = [next(iter(shape.members))]
            return {name: minimal(shape.members[name]) for name in names}
        case "list":
            return [minimal(shape.member)] * max(1, int(shape.metadata.get("min", 1)))
        case "string":
            return shape.enum[0] if shape.enum else "x"
        case "boolean":
            return True
        case kind:
            return {"map": {}, "integer": 1, "long": 1, "double": 1.0}[kind]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What a client is told of an operation that is not done here."""

    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call that goes well, and what was there before it."""

    operation: str
    params: dict[str, Any]
    before: State


def copied(state: State) -> State:
    """Return a state of its own with the same records."""
    return State(record for kind in KINDS for record in state.every(kind))


class Probe:
    """A client, and what came of its calls."""

    def __init__(self, lab: EcsLab, url: str) -> None:
        self.lab = lab
        self.client = ecs_client(url)
        self.found: dict[str, Refusal | None] = {}
        """Operations; None where a call went well."""
        self.calls: list[Call] = []

    def ok(self, operation: str, **params: Any) -> Any:
        """Call an operation that has to go well."""
        self.calls.append(Call(operation=operation, params=params, before=copied(self.lab.state)))
        found = getattr(self.client, method_of(operation))(**params)
        assert found["ResponseMetadata"]["HTTPStatusCode"] == 200
        assert not found.get("failures"), (operation, found["failures"])
        self.found[operation] = None
        return found

    def refused(self, operation: str, code: str, **params: Any) -> None:
        """Call an operation that is not done here."""
        with pytest.raises(ClientError) as raised:
            getattr(self.client, method_of(operation))(**params)
        response: Any = raised.value.response
        assert response["ResponseMetadata"]["HTTPStatusCode"] == 400
        assert response["Error"]["Code"] == code
        assert code in {shape.name for shape in shapes.operation(operation).error_shapes}
        self.found[operation] = Refusal(code=code, message=response["Error"]["Message"])

    def put(self, record: Any) -> None:
        """Change a record by hand."""
        self.lab.store.apply(Changes(put=(record,)))


def played(lab: EcsLab) -> Probe:
    """Call all operations."""
    with lab.served() as url:
        probe = Probe(lab, url)
        for part in (_clusters, _definitions, _instances, _tasks, _services, _task_sets, _endings):
            part(probe)
        for operation in shapes.operation_names():
            if operation not in OPERATIONS:
                probe.refused(operation, refusal(operation).code, **minimal(shapes.input_of(operation)))
    return probe


def _clusters(probe: Probe) -> None:
    probe.ok("CreateCluster", clusterName=CLUSTER, tags=[{"key": "a", "value": "b"}])
    (found,) = probe.ok("DescribeClusters", clusters=[CLUSTER], include=["TAGS"])["clusters"]
    assert found["tags"] == [{"key": "a", "value": "b"}]
    assert probe.ok("ListClusters")["clusterArns"] == [found["clusterArn"]]
    settings = [{"name": "containerInsights", "value": "enabled"}]
    probe.ok("UpdateCluster", cluster=CLUSTER, settings=settings)
    probe.ok("UpdateClusterSettings", cluster=CLUSTER, settings=settings)
    group = "arn:aws:autoscaling:us-east-1:000000000000:autoScalingGroup:1:autoScalingGroupName/g"
    probe.ok("CreateCapacityProvider", name="mine", autoScalingGroupProvider={"autoScalingGroupArn": group})
    probe.ok("UpdateCapacityProvider", name="mine", autoScalingGroupProvider={"managedScaling": {"targetCapacity": 90}})
    names = {one["name"] for one in probe.ok("DescribeCapacityProviders")["capacityProviders"]}
    assert names >= {"FARGATE", "FARGATE_SPOT", "mine"}
    probe.ok(
        "PutClusterCapacityProviders",
        cluster=CLUSTER,
        capacityProviders=["FARGATE", "mine"],
        defaultCapacityProviderStrategy=[],
    )
    probe.ok("PutAccountSetting", name="containerInsights", value="enabled")
    probe.ok("PutAccountSettingDefault", name="containerInsights", value="enabled")
    assert probe.ok("ListAccountSettings", name="containerInsights")["settings"][0]["value"] == "enabled"
    probe.ok("DeleteAccountSetting", name="containerInsights")
    tagged = {"resourceArn": found["clusterArn"]}
    probe.ok("TagResource", **tagged, tags=[{"key": "c", "value": "d"}])
    probe.ok("UntagResource", **tagged, tagKeys=["a"])
    assert probe.ok("ListTagsForResource", **tagged)["tags"] == [{"key": "c", "value": "d"}]


def _definitions(probe: Probe) -> None:
    containers = [{"name": "app", "image": IMAGE, "memory": 64}]
    for _ in range(3):
        probe.ok("RegisterTaskDefinition", family=FAMILY, containerDefinitions=containers)
    described = probe.ok("DescribeTaskDefinition", taskDefinition=FAMILY)["taskDefinition"]
    assert described["revision"] == 3
    assert len(probe.ok("ListTaskDefinitions", familyPrefix=FAMILY)["taskDefinitionArns"]) == 3
    assert probe.ok("ListTaskDefinitionFamilies")["families"] == [FAMILY]
    probe.ok("DeregisterTaskDefinition", taskDefinition=f"{FAMILY}:1")
    probe.ok("DeleteTaskDefinitions", taskDefinitions=[f"{FAMILY}:1"])


def _instances(probe: Probe) -> None:
    for _ in range(2):
        probe.ok("RegisterContainerInstance", cluster=CLUSTER, **AN_INSTANCE)
    arns = probe.ok("ListContainerInstances", cluster=CLUSTER)["containerInstanceArns"]
    probe.ok("DescribeContainerInstances", cluster=CLUSTER, containerInstances=arns)
    one, other = arns
    attribute = {"name": "stack", "value": "blue", "targetType": "container-instance", "targetId": one}
    probe.ok("PutAttributes", cluster=CLUSTER, attributes=[attribute])
    listed = probe.ok("ListAttributes", cluster=CLUSTER, targetType="container-instance", attributeName="stack")
    assert [found["value"] for found in listed["attributes"]] == ["blue"]
    probe.ok("DeleteAttributes", cluster=CLUSTER, attributes=[attribute])
    probe.ok("UpdateContainerInstancesState", cluster=CLUSTER, containerInstances=[other], status="DRAINING")
    probe.refused("UpdateContainerAgent", "NoUpdateAvailableException", cluster=CLUSTER, containerInstance=one)
    probe.refused("DiscoverPollEndpoint", "ClientException", cluster=CLUSTER, containerInstance=one)
    probe.ok("DeregisterContainerInstance", cluster=CLUSTER, containerInstance=other, force=True)


def _tasks(probe: Probe) -> None:
    (instance,) = probe.ok("ListContainerInstances", cluster=CLUSTER)["containerInstanceArns"]
    registered = probe.lab.state.get(ContainerInstance, instance)
    assert registered is not None
    probe.put(replace(registered, node="node-1", agent_connected=True))
    (task,) = probe.ok("RunTask", cluster=CLUSTER, taskDefinition=FAMILY, launchType="EC2")["tasks"]
    arn = task["taskArn"]
    probe.ok("StartTask", cluster=CLUSTER, taskDefinition=FAMILY, containerInstances=[instance])
    assert arn in probe.ok("ListTasks", cluster=CLUSTER)["taskArns"]
    probe.ok("DescribeTasks", cluster=CLUSTER, tasks=[arn])
    probe.refused("SubmitTaskStateChange", "ClientException", cluster=CLUSTER, task=arn, status="RUNNING")
    probe.refused("SubmitContainerStateChange", "ClientException", cluster=CLUSTER, task=arn, status="RUNNING")
    probe.refused("SubmitAttachmentStateChanges", "ClientException", cluster=CLUSTER, attachments=[])
    record = probe.lab.state.get(Task, arn)
    assert record is not None
    running = replace(record, last_status=TaskStatus.RUNNING, enable_execute_command=True)
    probe.put(running)
    command = {"cluster": CLUSTER, "task": arn, "command": "sh", "interactive": True}
    probe.refused("ExecuteCommand", "TargetNotConnectedException", **command)
    probe.ok("StopTask", cluster=CLUSTER, task=arn)


def _services(probe: Probe) -> None:
    created = probe.ok("CreateService", cluster=CLUSTER, serviceName="web", taskDefinition=FAMILY, desiredCount=1)
    arn = created["service"]["serviceArn"]
    probe.ok("DescribeServices", cluster=CLUSTER, services=["web"])
    assert probe.ok("ListServices", cluster=CLUSTER)["serviceArns"] == [arn]
    assert probe.ok("ListServicesByNamespace", namespace="none")["serviceArns"] == []
    service = probe.lab.state.get(Service, arn)
    assert service is not None
    first = service.deployments[0]
    probe.put(replace(service, completed_deployment_id=first.id, completed_revision_arn=first.revision_arn))
    probe.ok("UpdateService", cluster=CLUSTER, service="web", taskDefinition=f"{FAMILY}:2")
    listed = probe.ok("ListServiceDeployments", cluster=CLUSTER, service="web")["serviceDeployments"]
    (rollout,) = [one for one in listed if one["status"] in {"PENDING", "IN_PROGRESS"}]
    rollout_arn = rollout["serviceDeploymentArn"]
    (found,) = probe.ok("DescribeServiceDeployments", serviceDeploymentArns=[rollout_arn])["serviceDeployments"]
    revision = found["targetServiceRevision"]["arn"]
    probe.ok("DescribeServiceRevisions", serviceRevisionArns=[revision])
    probe.refused(
        "ContinueServiceDeployment", "UnsupportedFeatureException", serviceDeploymentArn=rollout_arn, hookId="h"
    )
    probe.ok("StopServiceDeployment", serviceDeploymentArn=rollout_arn)
    _protection(probe, arn)


def _protection(probe: Probe, service_arn: str) -> None:
    service = probe.lab.state.get(Service, service_arn)
    assert service is not None
    (task, *_) = probe.ok("RunTask", cluster=CLUSTER, taskDefinition=FAMILY, launchType="EC2")["tasks"]
    record = probe.lab.state.get(Task, task["taskArn"])
    assert record is not None
    deployment = service.deployments[0].id
    theirs: dict[str, Any] = {
        "service_arn": service_arn,
        "group": "service:web",
        "started_by": deployment,
        "deployment_id": deployment,
    }
    probe.put(replace(record, last_status=TaskStatus.RUNNING, **theirs))
    protected = probe.ok("UpdateTaskProtection", cluster=CLUSTER, tasks=[record.arn], protectionEnabled=True)
    assert protected["protectedTasks"][0]["protectionEnabled"]
    assert probe.ok("GetTaskProtection", cluster=CLUSTER, tasks=[record.arn])["protectedTasks"][0]["expirationDate"]


def _task_sets(probe: Probe) -> None:
    theirs = {"cluster": CLUSTER, "service": "external"}
    controller = {"type": "EXTERNAL"}
    probe.ok("CreateService", cluster=CLUSTER, serviceName="external", deploymentController=controller, desiredCount=1)
    half = theirs | {"taskDefinition": FAMILY, "launchType": "EC2", "scale": {"value": 50, "unit": "PERCENT"}}
    ids = [probe.ok("CreateTaskSet", **half)["taskSet"]["id"] for _ in range(2)]
    assert len(probe.ok("DescribeTaskSets", **theirs)["taskSets"]) == 2
    probe.ok("UpdateServicePrimaryTaskSet", **theirs, primaryTaskSet=ids[0])
    probe.ok("UpdateTaskSet", **theirs, taskSet=ids[1], scale={"value": 10, "unit": "PERCENT"})
    probe.ok("DeleteTaskSet", **theirs, taskSet=ids[1], force=True)


def _endings(probe: Probe) -> None:
    for service in ("web", "external"):
        probe.ok("DeleteService", cluster=CLUSTER, service=service, force=True)
    probe.ok("CreateCluster", clusterName="short")
    probe.ok("DeleteCluster", cluster="short")
    probe.ok("PutClusterCapacityProviders", cluster=CLUSTER, capacityProviders=[], defaultCapacityProviderStrategy=[])
    probe.ok("DeleteCapacityProvider", capacityProvider="mine")
    assert probe.lab.state.count(TaskDefinition) >= 2
