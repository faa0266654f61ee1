"""What clients of the SDK rely on, over a socket: regions and accounts apart, paginators, tokens sent twice."""

from collections.abc import Iterator
from typing import Any

import pytest
from ecs_lab import EcsLab, ecs_client
from ecs_probes_lab import IMAGE


@pytest.fixture
def url() -> Iterator[str]:
    with EcsLab().served() as url:
        yield url


def test_regions_and_accounts_live_side_by_side(url: str) -> None:
    places = [("us-east-1", "test"), ("eu-west-1", "test"), ("us-east-1", "111122223333"), ("cn-north-1", "test")]
    clients = [ecs_client(url, region=region, key=key) for region, key in places]
    arns = [client.create_cluster(clusterName="c")["cluster"]["clusterArn"] for client in clients]
    assert arns == [
        "arn:aws:ecs:us-east-1:000000000000:cluster/c",
        "arn:aws:ecs:eu-west-1:000000000000:cluster/c",
        "arn:aws:ecs:us-east-1:111122223333:cluster/c",
        "arn:aws-cn:ecs:cn-north-1:000000000000:cluster/c",
    ]
    assert [client.list_clusters()["clusterArns"] for client in clients] == [[arn] for arn in arns]
    clients[0].delete_cluster(cluster="c")
    assert [len(client.list_clusters()["clusterArns"]) for client in clients] == [0, 1, 1, 1]
    (failure,) = clients[1].describe_clusters(clusters=[arns[2]])["failures"]
    assert failure["reason"] == "MISSING"


def test_paginators_go_through_a_listing(url: str) -> None:
    client = ecs_client(url)
    names = [f"c{number}" for number in range(7)]
    for name in names:
        client.create_cluster(clusterName=name)
    pages = list(client.get_paginator("list_clusters").paginate(PaginationConfig={"PageSize": 3}))
    assert [len(page["clusterArns"]) for page in pages] == [3, 3, 1]
    assert [arn.rpartition("/")[2] for page in pages for arn in page["clusterArns"]] == names
    assert "nextToken" not in pages[-1]


def test_a_listing_is_bounded_by_its_client(url: str) -> None:
    client = ecs_client(url)
    for number in range(5):
        client.register_task_definition(family=f"f{number}", containerDefinitions=[_container()])
    paginator = client.get_paginator("list_task_definition_families")
    first = paginator.paginate(PaginationConfig={"PageSize": 2, "MaxItems": 3}).build_full_result()
    assert first["families"] == ["f0", "f1", "f2"]
    rest = paginator.paginate(PaginationConfig={"PageSize": 2, "StartingToken": first["NextToken"]}).build_full_result()
    assert rest["families"] == ["f3", "f4"]


def test_a_task_that_is_asked_for_twice_runs_once(url: str) -> None:
    client = ecs_client(url)
    client.create_cluster()
    client.register_task_definition(
        family="f",
        containerDefinitions=[_container()],
        networkMode="awsvpc",
        requiresCompatibilities=["FARGATE"],
        cpu="256",
        memory="512",
    )
    asked: dict[str, Any] = {
        "taskDefinition": "f",
        "launchType": "FARGATE",
        "networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-1"]}},
        "clientToken": "once",
    }
    first, second = (client.run_task(**asked)["tasks"][0]["taskArn"] for _ in range(2))
    assert first == second
    assert client.list_tasks()["taskArns"] == [first]
    with pytest.raises(client.exceptions.ConflictException) as raised:
        client.run_task(**asked, count=2)
    assert raised.value.response["resourceIds"] == [first]
    # Without a token of the program's, botocore makes one for each call.
    other = client.run_task(**{name: value for name, value in asked.items() if name != "clientToken"})
    assert other["tasks"][0]["taskArn"] != first


def _container() -> dict[str, Any]:
    return {"name": "app", "image": IMAGE, "memory": 64}
