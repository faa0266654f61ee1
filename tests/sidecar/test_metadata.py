"""The metadata endpoints, as botocore reads them and as AWS documents them."""

import json
from base64 import b32decode
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from botocore.utils import ContainerMetadataFetcher, InstanceMetadataFetcher, InstanceMetadataRegionFetcher
from sidecar_lab import NOW, configuration, request, served

from kecs.aws.head import Answer, RequestHead
from kecs.core.errors import ConfigError
from kecs.core.names import METADATA_IPV4, METADATA_IPV6
from kecs.sidecar import metadata
from kecs.sidecar.effective import Effective
from kecs.sidecar.imds import zone_id
from kecs.sidecar.task import Task

CONFIG = configuration(account="123456789012", role="app-role")
IMDS, ECS, EKS = METADATA_IPV4
TTL = "X-aws-ec2-metadata-token-ttl-seconds"


def ask(address: str, head: RequestHead, now: datetime = NOW) -> Answer:
    return metadata.answer(address, head, config=CONFIG, now=now)


def get(target: str, address: str = IMDS, **fields: str) -> Answer:
    return ask(address, request("GET", target, **fields))


def token(ttl: str = "21600") -> Answer:
    return ask(IMDS, request("PUT", "/latest/api/token", **{TTL: ttl}))


@pytest.mark.parametrize("address", [IMDS, METADATA_IPV6[0]])
def test_botocore_takes_credentials_from_the_instance_metadata(address: str) -> None:
    with served(partial(ask, address)) as port:
        found = InstanceMetadataFetcher(base_url=f"http://127.0.0.1:{port}/", env={}).retrieve_iam_role_credentials()
    assert found["role_name"] == "app-role"
    assert found["access_key"].startswith("ASIA")
    assert found["secret_key"]
    assert found["token"]
    assert datetime.fromisoformat(found["expiry_time"]) - NOW > timedelta(hours=5)


def test_botocore_takes_the_region_from_the_instance_metadata() -> None:
    with served(partial(ask, IMDS)) as port:
        assert (
            InstanceMetadataRegionFetcher(base_url=f"http://127.0.0.1:{port}/", env={}).retrieve_region() == "eu-west-1"
        )


@pytest.mark.parametrize(
    ("address", "path", "fields"),
    [
        (ECS, "/v2/credentials/5d7a4cd2-0f2e-4bd4-8f86-44a9e0b4a8d1", {}),
        (ECS, "/v2/credentials", {}),
        (EKS, "/v1/credentials", {"Authorization": "ey.a.token"}),
        (METADATA_IPV6[1], "/v1/credentials", {"Authorization": "ey.a.token"}),
    ],
)
def test_botocore_takes_credentials_from_container_endpoints(address: str, path: str, fields: dict[str, str]) -> None:
    with served(partial(ask, address)) as port:
        found = ContainerMetadataFetcher(sleep=lambda _: None).retrieve_full_uri(
            f"http://127.0.0.1:{port}{path}", fields
        )
    assert found["AccessKeyId"].startswith("ASIA")
    assert {"SecretAccessKey", "Token", "Expiration"} <= set(found)
    assert ("AccountId" in found) == (address != ECS)
    assert ("RoleArn" in found) == (address == ECS)


def test_an_access_key_holds_the_account_where_aws_puts_it() -> None:
    document = json.loads(get("/latest/meta-data/iam/security-credentials/app-role").body)
    bits = int.from_bytes(b32decode(document["AccessKeyId"][4:])[:6])
    assert (bits & 0x7FFFFFFFFF80) >> 7 == 123456789012
    assert document["Code"] == "Success"
    assert document["Type"] == "AWS-HMAC"


def test_credentials_are_the_same_within_the_hour_and_new_in_the_next() -> None:
    role = request("GET", "/latest/meta-data/iam/security-credentials/app-role")
    later = ask(IMDS, role, NOW + timedelta(minutes=30)).body
    assert ask(IMDS, role).body == later
    assert ask(IMDS, role, NOW + timedelta(hours=1)).body != later


@pytest.mark.parametrize("ttl", ["1", "60", "21600"])
def test_a_token_comes_with_its_time_to_live_and_opens_the_data(ttl: str) -> None:
    given = token(ttl)
    assert given.status == 200
    assert dict(given.fields)[b"X-Aws-Ec2-Metadata-Token-Ttl-Seconds"] == ttl.encode()
    assert get("/latest/meta-data/instance-id", X_aws_ec2_metadata_token=given.body.decode()).status == 200


@pytest.mark.parametrize("ttl", ["", "0", "21601", "-1", "1.5", "abc", "9" * 5000, "\u00b2"])
def test_an_impossible_time_to_live_is_400(ttl: str) -> None:
    assert token(ttl).status == 400


def test_no_time_to_live_is_400_and_a_proxy_between_is_403() -> None:
    assert ask(IMDS, request("PUT", "/latest/api/token")).status == 400
    assert ask(IMDS, request("PUT", "/latest/api/token", X_Forwarded_For="10.0.0.9", **{TTL: "60"})).status == 403


@pytest.mark.parametrize("bad", ["", "x", "AAAA", "Zm9vYmFy" * 5, "\u00e9" * 40])
def test_a_token_that_was_not_given_out_is_401(bad: str) -> None:
    assert get("/latest/meta-data/instance-id", X_aws_ec2_metadata_token=bad).status == 401


def test_a_token_ends() -> None:
    head = request("GET", "/latest/meta-data/", X_aws_ec2_metadata_token=token("60").body.decode())
    assert ask(IMDS, head, NOW + timedelta(seconds=59)).status == 200
    assert ask(IMDS, head, NOW + timedelta(seconds=60)).status == 401


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/latest/api/token"), ("POST", "/latest/meta-data/"), ("PUT", "/latest/meta-data/"), ("DELETE", "/")],
)
def test_other_methods_are_405(method: str, path: str) -> None:
    assert ask(IMDS, request(method, path)).status == 405


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("meta-data/placement/region", "eu-west-1"),
        ("meta-data/placement/availability-zone", "eu-west-1a"),
        ("meta-data/placement/availability-zone-id", "euw1-az1"),
        ("meta-data/iam/security-credentials", "app-role"),
        ("meta-data/services/domain", "amazonaws.com"),
        ("meta-data/tags/instance", "Name"),
    ],
)
@pytest.mark.parametrize("version", ["latest", "1.0", "2009-04-04", "2021-07-15"])
@pytest.mark.parametrize("end", ["", "/"])
def test_a_value_comes_without_a_line_end_with_and_without_a_slash(
    path: str, text: str, version: str, end: str
) -> None:
    assert get(f"/{version}/{path}{end}").body.decode() == text


def test_folders_list_what_is_in_them() -> None:
    assert {"iam/", "instance-id", "placement/"} <= set(get("/latest/meta-data/").body.decode().split("\n"))
    assert get("/latest").body == b"dynamic/\nmeta-data/"
    assert b"latest" in get("/").body


@pytest.mark.parametrize(
    "path", ["/latest/user-data", "/latest/meta-data/public-keys/", "/v3/x", "/latest/meta-data/x"]
)
def test_what_an_instance_has_not_is_404(path: str) -> None:
    assert get(path).status == 404


def test_the_identity_document_says_where_the_instance_is() -> None:
    document = json.loads(get("/latest/dynamic/instance-identity/document").body)
    assert document["region"] == "eu-west-1"
    assert document["accountId"] == "123456789012"
    assert document["version"] == "2017-09-30"


@pytest.mark.parametrize(
    ("region", "zone"),
    [
        ("us-east-1", "use1-az1"), ("ap-southeast-2", "apse2-az1"), ("us-gov-west-1", "usgw1-az1"),
        ("cn-northwest-1", "cnnw1-az1"), ("anywhere", "anywhere-az1"),
    ],
)  # fmt: skip
def test_zones_have_ids(region: str, zone: str) -> None:
    assert zone_id(region) == zone


@pytest.mark.parametrize("version", ["v3", "v4"])
def test_a_container_knows_itself_and_its_task(version: str) -> None:
    container = json.loads(get(f"/{version}/ID", ECS).body)
    task = json.loads(get(f"/{version}/ID/task", ECS).body)
    assert task["Containers"] == [container]
    assert container["Labels"]["com.amazonaws.ecs.task-arn"] == task["TaskARN"]
    assert ("ContainerARN" in container) == (version == "v4")
    assert task["TaskARN"].startswith("arn:aws:ecs:eu-west-1:123456789012:task/")
    assert list(json.loads(get(f"/{version}/ID/task/stats", ECS).body)) == [container["DockerId"]]
    assert json.loads(get(f"/{version}/ID/stats/", ECS).body)["id"] == container["DockerId"]
    assert get(f"/{version}/ID/taskWithTags", ECS).status == 200


def test_version_2_asks_without_an_id() -> None:
    task = json.loads(get("/v2/metadata", ECS).body)
    assert json.loads(get("/v2/metadata/some", ECS).body) == task["Containers"][0]
    assert list(json.loads(get("/v2/stats", ECS).body)) == [task["Containers"][0]["DockerId"]]


@pytest.mark.parametrize("path", ["/", "/v1", "/v2", "/v3", "/v4/ID/else", "/v2/other", "/v5/ID", "/v2/metadata/a/b"])
def test_what_the_agent_does_not_know_is_404(path: str) -> None:
    assert get(path, ECS).status == 404


def test_a_pod_without_a_token_gets_no_credentials() -> None:
    assert get("/v1/credentials", EKS).status == 400
    assert get("/v1/else", EKS).status == 404
    assert ask(EKS, request("POST", "/v1/credentials", Authorization="t")).status == 405


@pytest.mark.parametrize("address", [*METADATA_IPV4, *METADATA_IPV6])
def test_every_metadata_address_is_served_on_port_80_alone(address: str) -> None:
    assert metadata.serves(address, 80)
    assert not metadata.serves(address, 443)
    assert not metadata.serves("169.254.0.1", 80)


TASK_ARN = "arn:aws:ecs:eu-west-1:123456789012:task/shop/0123456789abcdef0123456789abcdef"
REAL = {
    "task_arn": TASK_ARN,
    "cluster": "arn:aws:ecs:eu-west-1:123456789012:cluster/shop",
    "family": "web",
    "revision": "7",
    "role_arn": "arn:aws:iam::210987654321:role/team/app",
    "service": "front",
    "launch_type": "EC2",
    "cpu": 512,
    "memory": 1024,
    "tags": {"team": "shop"},
    "containers": [
        {"id": "one", "name": "app", "image": "web:7", "arn": "arn:container/1", "memory": 128, "labels": {"a": "b"}},
        {"id": "two", "name": "log", "image": "log:1", "log_driver": "awslogs", "log_options": {"awslogs-group": "g"}},
    ],
}


def told(path: str) -> Any:
    config = replace(CONFIG, task=Task.from_mapping(REAL))
    answer = metadata.answer(ECS, request("GET", path), config=config, now=NOW)
    assert answer.status == 200
    return json.loads(answer.body)


def test_a_real_task_is_told_of_as_it_is() -> None:
    task = told("/v4/one/task")
    assert task["TaskARN"] == TASK_ARN
    assert (task["Family"], task["Revision"], task["LaunchType"]) == ("web", "7", "EC2")
    assert (task["Cluster"], task["ServiceName"]) == (REAL["cluster"], "front")
    assert task["Limits"] == {"CPU": 0.5, "Memory": 1024}
    assert [one["Name"] for one in task["Containers"]] == ["app", "log"]
    assert told("/v4/two/taskWithTags")["TaskTags"] == {"team": "shop"}
    assert list(told("/v4/one/task/stats")) == ["one", "two"]


def test_each_container_of_a_real_task_is_told_of_itself() -> None:
    app, log = told("/v4/one"), told("/v4/two")
    assert (app["DockerId"], app["ContainerARN"], app["Image"]) == ("one", "arn:container/1", "web:7")
    assert app["Labels"]["a"] == "b"
    assert app["Labels"]["com.amazonaws.ecs.task-arn"] == TASK_ARN
    assert "LogDriver" not in app
    assert (log["Name"], log["LogDriver"], log["LogOptions"]["awslogs-group"]) == ("log", "awslogs", "g")
    assert told("/v4/two/stats")["name"] == "/log"


def test_a_real_tasks_role_has_the_credentials_of_its_own_account() -> None:
    found = told("/v2/credentials/some-id")
    assert found["RoleArn"] == REAL["role_arn"]
    number = int.from_bytes(b32decode(found["AccessKeyId"][4:]))
    assert number >> 39 & ((1 << 40) - 1) == 210987654321


@pytest.mark.parametrize(
    "given",
    [
        [],
        {"families": "x"},
        {"family": 1},
        {"cpu": "1"},
        {"tags": {"a": 1}},
        {"containers": []},
        {"containers": ["x"]},
        {"containers": [{"nme": "x"}]},
    ],
)
def test_a_task_that_can_not_be_read_is_refused(given: Any) -> None:
    with pytest.raises(ConfigError, match="task"):
        Task.from_mapping(given)


def test_a_task_travels_with_the_configuration() -> None:
    config = replace(CONFIG, task=Task.from_mapping(REAL))
    assert type(config).from_json(config.to_json()) == config
    read = Effective.read(config.to_json().replace('"address":"10.0.0.10",', ""), {"POD_IP": "10.244.0.7"})
    assert read.config.task.address == "10.244.0.7"
