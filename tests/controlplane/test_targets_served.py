"""A service with a load balancer, through the one endpoint that a person has: ECS here, ELBv2 at the emulator."""

from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from ecs_server_lab import Endpoint, eventually, kecs_server

pytestmark = pytest.mark.clients

PATIENT = {"Delay": 0.2, "MaxAttempts": 450}
DEFINITION: dict[str, Any] = {
    "family": "web",
    "networkMode": "awsvpc",
    "requiresCompatibilities": ["FARGATE"],
    "cpu": "256",
    "memory": "512",
    "containerDefinitions": [{"name": "app", "image": "app:1", "portMappings": [{"containerPort": 80}]}],
}


def subnets(aws: Endpoint) -> tuple[str, list[str]]:
    ec2 = aws.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    return vpc, [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{n}.0/24", AvailabilityZone=f"us-east-1{zone}")["Subnet"][
            "SubnetId"
        ]
        for n, zone in ((1, "a"), (2, "b"))
    ]


def test_targets_follow_a_service_through_its_life(tmp_path: Path) -> None:
    with kecs_server(tmp_path) as aws:
        elb, ecs = aws.client("elbv2"), aws.client("ecs")
        vpc, used = subnets(aws)
        asked = {"Name": "web", "Protocol": "HTTP", "Port": 80, "VpcId": vpc, "TargetType": "ip"}
        group = elb.create_target_group(**asked)["TargetGroups"][0]["TargetGroupArn"]
        ecs.create_cluster(clusterName="default")
        ecs.register_task_definition(**DEFINITION)
        service = {
            "serviceName": "web",
            "taskDefinition": "web",
            "desiredCount": 2,
            "launchType": "FARGATE",
            "networkConfiguration": {"awsvpcConfiguration": {"subnets": used}},
            "loadBalancers": [{"targetGroupArn": group, "containerName": "app", "containerPort": 80}],
        }
        with pytest.raises(ClientError, match="does not have an associated load balancer"):
            ecs.create_service(**service)
        balancer = elb.create_load_balancer(Name="web", Subnets=used)["LoadBalancers"][0]["LoadBalancerArn"]
        forward = [{"Type": "forward", "TargetGroupArn": group}]
        elb.create_listener(LoadBalancerArn=balancer, Protocol="HTTP", Port=80, DefaultActions=forward)

        def targets() -> set[str]:
            found = elb.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
            return {one["Target"]["Id"] for one in found if one["TargetHealth"]["State"] == "healthy"}

        ecs.create_service(**service)
        ecs.get_waiter("services_stable").wait(services=["web"], WaiterConfig=PATIENT)
        first = targets()
        assert len(first) == 2
        ecs.update_service(service="web", forceNewDeployment=True)
        ecs.get_waiter("services_stable").wait(services=["web"], WaiterConfig=PATIENT)
        assert len(targets()) == 2
        assert not targets() & first
        ecs.delete_service(service="web", force=True)
        ecs.get_waiter("services_inactive").wait(services=["web"], WaiterConfig=PATIENT)
        eventually(lambda: not targets())
        told = [one["message"] for one in ecs.describe_services(services=["web"])["services"][0]["events"]]
        assert any(f"registered 2 targets in (target-group {group})" in one for one in told)
        assert "(service web) has reached a steady state." in told
