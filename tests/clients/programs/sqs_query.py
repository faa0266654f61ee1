"""SQS by its older query protocol: signed by botocore, sent as SDKs did before 2023."""

import urllib.parse
import urllib.request
import xml.etree.ElementTree as ET

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest


def call(**parameters: str) -> ET.Element:
    url = "https://sqs.us-east-1.amazonaws.com/"
    body = urllib.parse.urlencode({"Version": "2012-11-05"} | parameters)
    request = AWSRequest(
        "POST", url, data=body, headers={"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
    )
    credentials = boto3.Session().get_credentials()
    assert credentials
    SigV4Auth(credentials, "sqs", "us-east-1").add_auth(request)
    sent = urllib.request.Request(url, data=body.encode(), headers=dict(request.headers.items()), method="POST")
    with urllib.request.urlopen(sent) as response:
        return ET.fromstring(response.read())  # noqa: S314 - our own emulator's


def text(element: ET.Element, name: str) -> str:
    return next(found.text or "" for found in element.iter() if found.tag.rpartition("}")[2] == name)


url = text(call(Action="CreateQueue", QueueName="old"), "QueueUrl")
assert url == "https://sqs.us-east-1.amazonaws.com/000000000000/old", url
call(Action="SendMessage", QueueUrl=url, MessageBody="an old job & more")
assert text(call(Action="ReceiveMessage", QueueUrl=url), "Body") == "an old job & more"
print("query protocol")
