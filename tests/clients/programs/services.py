"""The other services of the client list, each with a round trip."""

import json

import boto3
from boto3.dynamodb.conditions import Key
from botocore.exceptions import ClientError


def dynamodb() -> None:
    table = boto3.resource("dynamodb").create_table(
        TableName="users",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}, {"AttributeName": "at", "KeyType": "RANGE"}],
        AttributeDefinitions=[
            {"AttributeName": "id", "AttributeType": "S"},
            {"AttributeName": "at", "AttributeType": "N"},
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    table.wait_until_exists()
    with table.batch_writer() as batch:
        for number in range(30):
            batch.put_item(Item={"id": "ada", "at": number, "name": "Ada"})
    assert table.query(KeyConditionExpression=Key("id").eq("ada"))["Count"] == 30
    try:
        table.put_item(Item={"id": "ada", "at": 1}, ConditionExpression="attribute_not_exists(id)")
    except ClientError as error:
        assert error.response["Error"]["Code"] == "ConditionalCheckFailedException"
    else:
        raise AssertionError("condition")


def sqs() -> None:
    client = boto3.client("sqs")
    url = client.create_queue(QueueName="jobs")["QueueUrl"]
    assert url.startswith("https://sqs.") and ".amazonaws.com/" in url, url
    client.send_message(QueueUrl=url, MessageBody="a job")
    (message,) = client.receive_message(QueueUrl=url, WaitTimeSeconds=1)["Messages"]
    assert message["Body"] == "a job"
    client.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


def sns() -> None:
    client = boto3.client("sns")
    topic = client.create_topic(Name="news")["TopicArn"]
    queue = boto3.client("sqs").get_queue_url(QueueName="jobs")["QueueUrl"]
    arn = boto3.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"][
        "QueueArn"
    ]
    client.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    client.publish(TopicArn=topic, Message="hello")
    (message,) = boto3.client("sqs").receive_message(QueueUrl=queue, WaitTimeSeconds=2)["Messages"]
    assert json.loads(message["Body"])["Message"] == "hello"


def sts() -> None:
    client = boto3.client("sts")
    identity = client.get_caller_identity()
    assert identity["Account"] == "000000000000", identity
    role = client.assume_role(RoleArn="arn:aws:iam::000000000000:role/r", RoleSessionName="session")
    assert role["Credentials"]["SessionToken"]


def ssm() -> None:
    client = boto3.client("ssm")
    client.put_parameter(Name="/app/key", Value="v", Type="SecureString")
    assert client.get_parameter(Name="/app/key", WithDecryption=True)["Parameter"]["Value"] == "v"


def secretsmanager() -> None:
    client = boto3.client("secretsmanager")
    client.create_secret(Name="password", SecretString="s3cret")
    assert client.get_secret_value(SecretId="password")["SecretString"] == "s3cret"


def iam() -> None:
    client = boto3.client("iam")
    client.create_role(RoleName="app", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": []}))
    assert client.get_role(RoleName="app")["Role"]["Arn"] == "arn:aws:iam::000000000000:role/app"


def logs() -> None:
    client = boto3.client("logs")
    client.create_log_group(logGroupName="/app")
    client.create_log_stream(logGroupName="/app", logStreamName="one")
    client.put_log_events(
        logGroupName="/app", logStreamName="one", logEvents=[{"timestamp": 1_760_000_000_000, "message": "m"}]
    )
    assert client.describe_log_streams(logGroupName="/app")["logStreams"][0]["logStreamName"] == "one"


def kinesis() -> None:
    client = boto3.client("kinesis")
    client.create_stream(StreamName="events", ShardCount=1)
    client.get_waiter("stream_exists").wait(StreamName="events", WaiterConfig={"Delay": 1})
    client.put_record(StreamName="events", Data=b"\x00\xffdata", PartitionKey="p")
    shard = client.list_shards(StreamName="events")["Shards"][0]["ShardId"]
    iterator = client.get_shard_iterator(StreamName="events", ShardId=shard, ShardIteratorType="TRIM_HORIZON")[
        "ShardIterator"
    ]
    assert client.get_records(ShardIterator=iterator)["Records"][0]["Data"] == b"\x00\xffdata"


def awslambda() -> None:
    assert boto3.client("lambda").list_functions()["Functions"] == []


def other_regions() -> None:
    for region in ("eu-central-1", "ap-southeast-2", "us-gov-west-1", "cn-north-1"):
        client = boto3.client("sqs", region_name=region)
        url = client.create_queue(QueueName=f"jobs-{region}")["QueueUrl"]
        assert region in url, url
        assert len(client.list_queues()["QueueUrls"]) == 1


STEPS = (dynamodb, sqs, sns, sts, ssm, secretsmanager, iam, logs, kinesis, awslambda, other_regions)
for step in STEPS:
    step()
    print(step.__name__)
