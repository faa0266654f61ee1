"""Attributes that clients put on container instances."""

from typing import Any

import pytest
from ecs_lab import EcsLab, ecs_client


@pytest.fixture
def lab() -> EcsLab:
    lab = EcsLab()
    lab.call("CreateCluster", {"clusterName": "c"})
    return lab


@pytest.fixture
def target(lab: EcsLab) -> str:
    given = {"cluster": "c", "attributes": [{"name": "ecs.os-type", "value": "linux"}]}
    arn: str = lab.call("RegisterContainerInstance", given)["containerInstance"]["containerInstanceArn"]
    return arn


def attribute(target: str, name: str, value: str = "", **fields: Any) -> dict[str, Any]:
    return {"name": name, "targetId": target, **({"value": value} if value else {}), **fields}


def names(lab: EcsLab, **params: Any) -> list[tuple[str, str | None]]:
    found = lab.call("ListAttributes", {"cluster": "c", "targetType": "container-instance", **params})
    return [(one["name"], one.get("value")) for one in found["attributes"]]


def test_put_list_describe_delete(lab: EcsLab, target: str) -> None:
    put = lab.call(
        "PutAttributes",
        {
            "cluster": "c",
            "attributes": [
                attribute(target, "stack", "prod"),
                attribute(target.rpartition("/")[2], "bare", targetType="container-instance"),
            ],
        },
    )
    assert put["attributes"] == [
        {"name": "stack", "value": "prod", "targetType": "container-instance", "targetId": target},
        {"name": "bare", "targetType": "container-instance", "targetId": target},
    ]
    assert names(lab) == [("bare", None), ("ecs.os-type", "linux"), ("stack", "prod")]
    assert names(lab, attributeName="stack") == [("stack", "prod")]
    assert names(lab, attributeName="stack", attributeValue="dev") == []
    described = lab.call("DescribeContainerInstances", {"cluster": "c", "containerInstances": [target]})
    assert {"name": "stack", "value": "prod"} in described["containerInstances"][0]["attributes"]
    lab.call("PutAttributes", {"cluster": "c", "attributes": [attribute(target, "stack", "dev")]})
    gone = lab.call(
        "DeleteAttributes", {"cluster": "c", "attributes": [attribute(target, "stack"), attribute(target, "x")]}
    )
    assert [one["value"] for one in gone["attributes"]] == ["dev"]
    assert names(lab) == [("bare", None), ("ecs.os-type", "linux")]


def test_listing_is_paged(lab: EcsLab, target: str) -> None:
    lab.call("PutAttributes", {"cluster": "c", "attributes": [attribute(target, name) for name in ("a", "b", "z")]})
    asked = {"cluster": "c", "targetType": "container-instance", "maxResults": 3}
    first = lab.call("ListAttributes", asked)
    rest = lab.call("ListAttributes", {**asked, "nextToken": first["nextToken"]})
    assert [one["name"] for one in (*first["attributes"], *rest["attributes"])] == ["a", "b", "ecs.os-type", "z"]


@pytest.mark.parametrize("operation", ["PutAttributes", "DeleteAttributes"])
def test_an_unknown_target_is_not_found(lab: EcsLab, operation: str) -> None:
    error = lab.refused(operation, {"cluster": "c", "attributes": [attribute("f" * 32, "a")]})
    assert error.code == "TargetNotFoundException"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "a b"}, "Invalid attribute name: a b"),
        ({"name": "a", "value": " b"}, "Invalid attribute value:  b"),
        ({"name": "a", "value": "x" * 129}, "Invalid attribute value: " + "x" * 129),
    ],
)
def test_what_an_attribute_can_not_be(lab: EcsLab, target: str, fields: dict[str, str], message: str) -> None:
    error = lab.refused("PutAttributes", {"cluster": "c", "attributes": [{"targetId": target, **fields}]})
    assert (error.code, error.message) == ("InvalidParameterException", message)


def test_ten_at_most(lab: EcsLab, target: str) -> None:
    many = [attribute(target, f"a{number}") for number in range(11)]
    assert lab.refused("PutAttributes", {"cluster": "c", "attributes": []}).message == "Attributes cannot be empty."
    refused = lab.refused("PutAttributes", {"cluster": "c", "attributes": many})
    assert refused.message == "Attributes cannot have more than 10 items."
    lab.call("PutAttributes", {"cluster": "c", "attributes": many[:10]})
    lab.call("PutAttributes", {"cluster": "c", "attributes": many[:10]})
    error = lab.refused("PutAttributes", {"cluster": "c", "attributes": many[10:]})
    assert (error.code, error.message) == (
        "AttributeLimitExceededException",
        "You can apply up to 10 custom attributes for each resource.",
    )


def test_what_can_not_be_listed(lab: EcsLab) -> None:
    asked = {"cluster": "c", "targetType": "container-instance", "attributeValue": "x"}
    assert (
        lab.refused("ListAttributes", asked).message
        == "An attribute value can be given only along with an attribute name."
    )


def test_boto3_understands_all_of_it(lab: EcsLab, target: str) -> None:
    with lab.served() as url:
        client = ecs_client(url)
        client.put_attributes(cluster="c", attributes=[attribute(target, "a", "b")])
        listed = client.list_attributes(cluster="c", targetType="container-instance", attributeName="a")
        assert listed["attributes"][0]["targetId"] == target
        client.delete_attributes(cluster="c", attributes=[attribute(target, "a")])
