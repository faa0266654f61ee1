"""An ordinary boto3 program. It knows nothing of emulators: no endpoint, no credentials, TLS verified."""

import boto3

s3 = boto3.client("s3")
s3.create_bucket(Bucket="quickstart")
s3.put_object(Bucket="quickstart", Key="greeting.txt", Body=b"hello from S3")
print("S3       ", s3.get_object(Bucket="quickstart", Key="greeting.txt")["Body"].read().decode())

table = boto3.resource("dynamodb").create_table(
    TableName="users",
    KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
    BillingMode="PAY_PER_REQUEST",
)
table.put_item(Item={"id": "1", "name": "Ada"})
print("DynamoDB ", table.get_item(Key={"id": "1"})["Item"])

sqs = boto3.client("sqs")
url = sqs.create_queue(QueueName="jobs")["QueueUrl"]
sqs.send_message(QueueUrl=url, MessageBody="a job")
print("SQS      ", url, "->", sqs.receive_message(QueueUrl=url)["Messages"][0]["Body"])

print("STS      ", boto3.client("sts").get_caller_identity()["Arn"])
