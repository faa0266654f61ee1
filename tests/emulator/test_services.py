"""boto3's own clients against the emulator, under AWS' names: the services that applications use first."""

import hashlib
import http.client
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from emulator_lab import Emulator


def code_of(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


@pytest.mark.parametrize("style", ["virtual", "path"])
def test_s3_objects_in_both_styles(emulator: Emulator, name: str, style: str) -> None:
    s3 = emulator.client("s3", s3={"addressing_style": style})
    s3.create_bucket(Bucket=name)
    for key in ("plain", "a/b c+d;e#f%25ü?.txt", "/leading", "dir/", "x//y", "a&b=c"):
        s3.put_object(Bucket=name, Key=key, Body=key.encode(), Metadata={"my_key": "v"})
        found = s3.get_object(Bucket=name, Key=key)
        assert found["Body"].read() == key.encode()
        assert found["Metadata"] == {"my_key": "v"}
    keys = [item["Key"] for item in s3.list_objects_v2(Bucket=name)["Contents"]]
    assert sorted(keys) == sorted(["plain", "a/b c+d;e#f%25ü?.txt", "/leading", "dir/", "x//y", "a&b=c"])
    assert s3.head_object(Bucket=name, Key="plain")["ContentLength"] == 5
    assert s3.get_object(Bucket=name, Key="plain", Range="bytes=1-3")["Body"].read() == b"lai"
    s3.delete_objects(Bucket=name, Delete={"Objects": [{"Key": key} for key in keys]})
    s3.delete_bucket(Bucket=name)


def test_s3_buckets_with_dots_and_www_virtual_hosted(emulator: Emulator, name: str) -> None:
    s3 = emulator.client("s3")
    for bucket in (f"www.{name}", f"{name}.example"):
        s3.create_bucket(Bucket=bucket)
        status, _, body = emulator.ask("PUT", f"https://{bucket}.s3.us-east-1.amazonaws.com/k", b"v")
        assert (status, body) == (200, b"")
        assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"v"


def test_s3_bucket_in_another_region(emulator: Emulator, name: str) -> None:
    s3 = emulator.client("s3", region="eu-central-1")
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    assert s3.get_bucket_location(Bucket=name)["LocationConstraint"] == "eu-central-1"


def test_s3_multipart_of_64_mb(emulator: Emulator, name: str) -> None:
    s3 = emulator.client("s3")
    s3.create_bucket(Bucket=name)
    part = bytes(range(256)) * 32768  # 8 MiB
    upload = s3.create_multipart_upload(Bucket=name, Key="big")["UploadId"]
    done = [
        {
            "PartNumber": n,
            "ETag": s3.upload_part(Bucket=name, Key="big", UploadId=upload, PartNumber=n, Body=part)["ETag"],
        }
        for n in range(1, 9)
    ]
    s3.complete_multipart_upload(Bucket=name, Key="big", UploadId=upload, MultipartUpload={"Parts": done})
    found = hashlib.sha256()
    for chunk in s3.get_object(Bucket=name, Key="big")["Body"].iter_chunks(1 << 20):
        found.update(chunk)
    assert found.digest() == hashlib.sha256(part * 8).digest()
    s3.delete_object(Bucket=name, Key="big")


def test_s3_presigned_urls(emulator: Emulator, name: str) -> None:
    s3 = emulator.client("s3")
    s3.create_bucket(Bucket=name)
    put = s3.generate_presigned_url("put_object", Params={"Bucket": name, "Key": "k"})
    get = s3.generate_presigned_url("get_object", Params={"Bucket": name, "Key": "k"})
    assert emulator.ask("PUT", put, b"signed")[0] == 200
    status, headers, body = emulator.ask("GET", get)
    assert (status, body) == (200, b"signed")
    assert headers["x-amz-request-id"]
    assert headers["x-amz-id-2"]


def test_s3_presigned_post(emulator: Emulator, name: str) -> None:
    s3 = emulator.client("s3")
    s3.create_bucket(Bucket=name)
    post = s3.generate_presigned_post(name, "uploads/${filename}")
    fields = "".join(
        f'--X\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'
        for key, value in post["fields"].items()
    )
    file = '--X\r\nContent-Disposition: form-data; name="file"; filename="f.txt"\r\n\r\nhello\r\n--X--\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=X"}
    assert emulator.ask("POST", post["url"], (fields + file).encode(), headers)[0] in {200, 201, 204}
    assert s3.get_object(Bucket=name, Key="uploads/f.txt")["Body"].read() == b"hello"


def test_s3_expect_100_continue(emulator: Emulator, name: str) -> None:
    emulator.client("s3").create_bucket(Bucket=name)
    connection = http.client.HTTPConnection("127.0.0.1", emulator.port, timeout=10)
    connection.putrequest("PUT", "/k", skip_host=True)
    for field, value in {"Host": f"{name}.s3.amazonaws.com", "Content-Length": "4", "Expect": "100-continue"}.items():
        connection.putheader(field, value)
    connection.endheaders()
    assert connection.sock.recv(64).startswith(b"HTTP/1.1 100 Continue\r\n")
    connection.send(b"body")
    assert connection.getresponse().status == 200
    connection.close()


@pytest.mark.parametrize(
    ("operation", "code"),
    [
        pytest.param("get_bucket_policy", "NoSuchBucketPolicy", id="policy"),
        pytest.param("get_bucket_cors", "NoSuchCORSConfiguration", id="cors"),
        pytest.param("get_bucket_website", "NoSuchWebsiteConfiguration", id="website"),
        pytest.param("get_bucket_lifecycle_configuration", "NoSuchLifecycleConfiguration", id="lifecycle"),
        pytest.param("get_bucket_replication", "ReplicationConfigurationNotFoundError", id="replication"),
        pytest.param("get_object_lock_configuration", "ObjectLockConfigurationNotFoundError", id="object lock"),
        pytest.param("get_bucket_tagging", "NoSuchTagSet", id="tagging"),
        pytest.param("get_bucket_encryption", "ServerSideEncryptionConfigurationNotFoundError", id="encryption"),
        pytest.param("get_public_access_block", "NoSuchPublicAccessBlockConfiguration", id="public access block"),
        pytest.param("get_bucket_ownership_controls", "OwnershipControlsNotFoundError", id="ownership"),
    ],
)
def test_s3_what_terraform_reads_and_is_not_there(emulator: Emulator, name: str, operation: str, code: str) -> None:
    s3 = emulator.client("s3")
    s3.create_bucket(Bucket=name)
    with pytest.raises(ClientError) as error:
        getattr(s3, operation)(Bucket=name)
    assert code_of(error) == code


@pytest.mark.parametrize(
    "operation",
    [
        "get_bucket_acl",
        "get_bucket_versioning",
        "get_bucket_accelerate_configuration",
        "get_bucket_request_payment",
        "get_bucket_logging",
        "get_bucket_location",
        "get_bucket_notification_configuration",
        "head_bucket",
    ],
)
def test_s3_what_terraform_reads_and_is_there(emulator: Emulator, name: str, operation: str) -> None:
    s3 = emulator.client("s3")
    s3.create_bucket(Bucket=name)
    assert getattr(s3, operation)(Bucket=name)["ResponseMetadata"]["HTTPStatusCode"] == 200


def test_s3_errors_carry_a_request_id(emulator: Emulator, name: str) -> None:
    with pytest.raises(ClientError) as error:
        emulator.client("s3").get_object(Bucket=name, Key="k")
    assert code_of(error) == "NoSuchBucket"
    assert error.value.response["ResponseMetadata"]["HTTPHeaders"]["x-amz-request-id"]


def test_dynamodb(emulator: Emulator, name: str) -> None:
    dynamodb = emulator.client("dynamodb")
    dynamodb.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    item = {"id": {"S": "1"}, "n": {"N": "41"}, "raw": {"B": b"\x00\xff"}}
    dynamodb.put_item(TableName=name, Item=item)
    assert dynamodb.get_item(TableName=name, Key={"id": {"S": "1"}})["Item"] == item
    with pytest.raises(ClientError) as error:
        dynamodb.put_item(TableName=name, Item=item, ConditionExpression="attribute_not_exists(id)")
    assert code_of(error) == "ConditionalCheckFailedException"
    arn = dynamodb.describe_table(TableName=name)["Table"]["TableArn"]
    assert arn == f"arn:aws:dynamodb:us-east-1:000000000000:table/{name}"
    dynamodb.describe_continuous_backups(TableName=name)
    dynamodb.describe_time_to_live(TableName=name)
    assert dynamodb.list_tags_of_resource(ResourceArn=arn)["Tags"] == []


def test_sqs_json(emulator: Emulator, name: str) -> None:
    sqs = emulator.client("sqs")
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    assert url == f"https://sqs.us-east-1.amazonaws.com/000000000000/{name}"
    sqs.send_message(QueueUrl=url, MessageBody="hello")
    (message,) = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=5)["Messages"]
    assert message["Body"] == "hello"
    assert message["MD5OfBody"] == hashlib.md5(b"hello", usedforsecurity=False).hexdigest()
    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    assert sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]["VisibilityTimeout"] == "30"
    assert sqs.list_queue_tags(QueueUrl=url)["Tags"] == {}


def test_sqs_query(emulator: Emulator, name: str) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
    create = f"Action=CreateQueue&Version=2012-11-05&QueueName={name}".encode()
    status, _, body = emulator.ask("POST", "https://sqs.eu-west-1.amazonaws.com/", create, form)
    url = f"https://sqs.eu-west-1.amazonaws.com/000000000000/{name}"
    assert status == 200
    assert f"<QueueUrl>{url}</QueueUrl>".encode() in body
    send = b"Action=SendMessage&Version=2012-11-05&MessageBody=hi%20there"
    assert emulator.ask("POST", url, send, form)[0] == 200
    status, _, body = emulator.ask("POST", url, b"Action=ReceiveMessage&Version=2012-11-05", form)
    assert b"<Body>hi there</Body>" in body
    missing = b"Action=GetQueueUrl&Version=2012-11-05&QueueName=nothing"
    status, _, body = emulator.ask("POST", "https://sqs.eu-west-1.amazonaws.com/", missing, form)
    assert status == 400
    assert b"AWS.SimpleQueueService.NonExistentQueue" in body


def test_sqs_query_by_get(emulator: Emulator, name: str) -> None:
    sqs = emulator.client("sqs")
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="hello")
    status, headers, body = emulator.ask("GET", f"{url}?Action=ReceiveMessage&Version=2012-11-05")
    assert status == 200
    assert headers["content-type"].startswith("text/xml")
    assert b"<Body>hello</Body>" in body


def test_sns_to_sqs(emulator: Emulator, name: str) -> None:
    sns, sqs = emulator.client("sns"), emulator.client("sqs")
    topic = sns.create_topic(Name=name)["TopicArn"]
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=f"arn:aws:sqs:us-east-1:000000000000:{name}")
    sns.publish(TopicArn=topic, Message="news")
    (message,) = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=5)["Messages"]
    envelope = json.loads(message["Body"])
    assert envelope["Message"] == "news"
    assert envelope["UnsubscribeURL"].startswith("https://sns.us-east-1.amazonaws.com/")


def test_sts(emulator: Emulator, name: str) -> None:
    sts = emulator.client("sts")
    assert sts.get_caller_identity()["Account"] == "000000000000"
    role = f"arn:aws:iam::111122223333:role/{name}"
    keys = sts.assume_role_with_web_identity(RoleArn=role, RoleSessionName="me", WebIdentityToken="a.b.c")[
        "Credentials"
    ]
    assert keys["AccessKeyId"].startswith("ASIA")
    assumed = sts.assume_role(RoleArn=role, RoleSessionName="me")["Credentials"]
    session = {
        "aws_access_key_id": assumed["AccessKeyId"],
        "aws_secret_access_key": assumed["SecretAccessKey"],
        "aws_session_token": assumed["SessionToken"],
    }
    identity = emulator.client("sts", keys=session).get_caller_identity()
    assert identity["Account"] == "111122223333"
    assert identity["Arn"] == f"arn:aws:sts::111122223333:assumed-role/{name}/me"


def test_sts_presigned(emulator: Emulator) -> None:
    url = emulator.client("sts").generate_presigned_url("get_caller_identity")
    status, _, body = emulator.ask("GET", url)
    assert status == 200
    assert b"<Account>000000000000</Account>" in body


def test_ssm_and_secrets(emulator: Emulator, name: str) -> None:
    ssm, secrets = emulator.client("ssm"), emulator.client("secretsmanager")
    ssm.put_parameter(Name=f"/{name}/a", Value="1", Type="SecureString")
    assert ssm.get_parameter(Name=f"/{name}/a", WithDecryption=True)["Parameter"]["Value"] == "1"
    assert [p["Name"] for p in ssm.get_parameters_by_path(Path=f"/{name}")["Parameters"]] == [f"/{name}/a"]
    secrets.create_secret(Name=name, SecretString="s3cret")
    assert secrets.get_secret_value(SecretId=name)["SecretString"] == "s3cret"


def test_iam_has_the_managed_policies(emulator: Emulator, name: str) -> None:
    iam = emulator.client("iam")
    trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole"}]}
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]
    assert role["Arn"] == f"arn:aws:iam::000000000000:role/{name}"
    policy = "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
    iam.attach_role_policy(RoleName=name, PolicyArn=policy)
    (attached,) = iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
    assert attached["PolicyArn"] == policy


def test_logs(emulator: Emulator, name: str) -> None:
    logs = emulator.client("logs")
    logs.create_log_group(logGroupName=name)
    logs.create_log_stream(logGroupName=name, logStreamName="s")
    event = {"timestamp": 1_700_000_000_000, "message": "line"}
    logs.put_log_events(logGroupName=name, logStreamName="s", logEvents=[event])
    assert logs.describe_log_streams(logGroupName=name)["logStreams"][0]["logStreamName"] == "s"


def test_kinesis(emulator: Emulator, name: str) -> None:
    kinesis = emulator.client("kinesis")
    kinesis.create_stream(StreamName=name, ShardCount=1)
    kinesis.put_record(StreamName=name, Data=b"data", PartitionKey="p")
    shard = kinesis.list_shards(StreamName=name)["Shards"][0]["ShardId"]
    start = kinesis.get_shard_iterator(StreamName=name, ShardId=shard, ShardIteratorType="TRIM_HORIZON")
    assert kinesis.get_records(ShardIterator=start["ShardIterator"])["Records"][0]["Data"] == b"data"


@pytest.mark.parametrize(
    ("service", "operation", "key"),
    [
        ("lambda", "list_functions", "Functions"),
        ("sesv2", "list_email_identities", "EmailIdentities"),
        ("ses", "list_identities", "Identities"),
        ("elbv2", "describe_load_balancers", "LoadBalancers"),
        ("elb", "describe_load_balancers", "LoadBalancerDescriptions"),
        ("ecs", "list_clusters", "clusterArns"),
        ("cloudwatch", "describe_alarms", "MetricAlarms"),
        ("events", "list_rules", "Rules"),
        ("stepfunctions", "list_state_machines", "stateMachines"),
    ],
)
def test_empty_lists(emulator: Emulator, service: str, operation: str, key: str) -> None:
    client: Any = emulator.client(service, region="eu-north-1")
    assert getattr(client, operation)()[key] == []


@pytest.mark.parametrize(
    ("region", "suffix"),
    [("cn-north-1", "amazonaws.com.cn"), ("us-gov-west-1", "amazonaws.com"), ("eu-far-9", "amazonaws.com")],
)
def test_regions_of_every_kind(emulator: Emulator, name: str, region: str, suffix: str) -> None:
    url = emulator.client("sqs", region=region).create_queue(QueueName=name)["QueueUrl"]
    assert url == f"https://sqs.{region}.{suffix}/000000000000/{name}"


def test_every_answer_names_its_request(emulator: Emulator) -> None:
    meta = emulator.client("dynamodb").list_tables()["ResponseMetadata"]
    assert meta["RequestId"]
    assert meta["HTTPHeaders"]["date"].endswith("GMT")
    assert "x-amz-crc32" not in meta["HTTPHeaders"] or meta["HTTPHeaders"]["x-amz-crc32"].isdigit()


@pytest.mark.parametrize(
    "host",
    ["sdb", "ec2", "sns", "autoscaling", "elasticloadbalancing", "email", "cloudformation", "rds", "iam"],
)
def test_names_without_a_region(emulator: Emulator, host: str) -> None:
    """SimpleDB's own name in us-east-1, and what old SDKs ask by default."""
    actions = {
        "sdb": "ListDomains", "ec2": "DescribeVpcs", "sns": "ListTopics", "autoscaling": "DescribeAutoScalingGroups",
        "elasticloadbalancing": "DescribeLoadBalancers", "email": "ListIdentities",
        "cloudformation": "ListStacks", "rds": "DescribeDBInstances", "iam": "ListUsers",
    }  # fmt: skip
    versions = {"sdb": "2009-04-15", "ec2": "2016-11-15", "elasticloadbalancing": "2012-06-01"}
    query = f"Action={actions[host]}&Version={versions.get(host, '2010-05-08')}"
    status, _, body = emulator.ask("GET", f"https://{host}.amazonaws.com/?{query}")
    assert (status, f"{actions[host]}Re".encode() in body) == (200, True)
