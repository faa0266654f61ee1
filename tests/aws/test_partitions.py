from typing import Any

import aws_lab
import pytest

from kecs.aws.partitions import ENDPOINT_SUFFIX, PARTITIONS, actual, is_region, of_region, partition_of


def botocores() -> dict[str, dict[str, Any]]:
    data = aws_lab.session().get_component("data_loader").load_data("partitions")
    return {partition["id"]: partition for partition in data["partitions"]}


def test_the_partitions_are_botocores() -> None:
    assert {partition.name for partition in PARTITIONS} == {*botocores()}
    for partition in PARTITIONS:
        outputs = botocores()[partition.name]["outputs"]
        assert partition.suffix == outputs["dnsSuffix"]
        assert partition.dual_stack == outputs["dualStackDnsSuffix"]
        assert partition.region == outputs["implicitGlobalRegion"]


@pytest.mark.parametrize("partition", PARTITIONS, ids=lambda partition: partition.name)
def test_every_region_is_one_and_belongs_to_its_partition(partition: Any) -> None:
    theirs = botocores()[partition.name]
    for region in theirs["regions"]:
        assert is_region(region)
        assert partition_of(suffix=partition.suffix, region=region) is partition
        assert partition_of(suffix=partition.dual_stack, region=region) is partition


@pytest.mark.parametrize("label", ["zz-somewhere-9", "us-gov-south-2", "eusc-fr-west-1", "us-isob-west-10"])
def test_regions_to_come_are_regions(label: str) -> None:
    assert is_region(label)


@pytest.mark.parametrize(
    "label",
    ["", "s3", "us-east", "us-east-x", "123456789012", "abc-east-1", "us-gov", "my-global", "a-b-c-d-1", "-1"],
)
def test_other_labels_are_not(label: str) -> None:
    assert not is_region(label)


def test_customers_endpoints_belong_to_the_commercial_partition() -> None:
    assert partition_of(suffix=ENDPOINT_SUFFIX, region="eu-west-1").name == "aws"


@pytest.mark.parametrize(
    ("region", "meant"),
    [
        ("eu-west-1", "eu-west-1"),
        ("", ""),
        ("aws-global", "us-east-1"),
        ("aws-cn-global", "cn-northwest-1"),
        ("aws-us-gov-global", "us-gov-west-1"),
        ("aws-nowhere-global", ""),
    ],
)
def test_a_partitions_name_for_everywhere_means_one_region(region: str, meant: str) -> None:
    assert actual(region) == meant


@pytest.mark.parametrize(
    ("region", "partition"),
    [
        ("us-east-1", "aws"),
        ("eu-west-3", "aws"),
        ("us-gov-west-1", "aws-us-gov"),
        ("cn-north-1", "aws-cn"),
        ("eusc-de-east-1", "aws-eusc"),
        ("eusc-fr-west-1", "aws-eusc"),
        ("us-iso-west-1", "aws-iso"),
        ("us-isob-west-1", "aws-iso-b"),
        ("eu-isoe-west-1", "aws-iso-e"),
        ("us-isof-east-1", "aws-iso-f"),
        ("local", "aws"),
        ("", "aws"),
    ],
)
def test_a_region_is_spelled_for_a_partition(region: str, partition: str) -> None:
    assert of_region(region).name == partition


def test_every_region_is_of_botocores_partition() -> None:
    for name, partition in botocores().items():
        assert {of_region(region).name for region in partition["regions"] if not region.endswith("-global")} == {name}
