"""SQS, SNS, EventBridge, Kinesis: queues by either of their names, envelopes, streams."""

import hashlib
import json
from typing import Final
from urllib.parse import quote, urlencode

from matrix.playbook import Api, Form, From, Given, Group, Raw, Text, Until, among, every, holds, like, some, status

_SQS: Final = "sqs.us-east-1.amazonaws.com"
_URL: Final = r"^https://sqs(-fips)?\.us-east-1\.(amazonaws\.com|api\.aws)/\d{12}/"
_MESSAGE: Final = "a message"
_MD5: Final = hashlib.md5(_MESSAGE.encode(), usedforsecurity=False).hexdigest()
_FORM: Final = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
_SIGNED: Final = ("sqs", "us-east-1")


def _sqs(operation: str, **parameters: object) -> Api:
    return Api(service="sqs", operation=operation, parameters=parameters)


def _queue(name: str) -> Api:
    return _sqs("CreateQueue", QueueName=name)


QUEUE: Final = _queue("kecs-queue")
URL: Final = From(QUEUE, "QueueUrl")
PATH: Final = From(QUEUE, "QueueUrl", lambda url: "/" + url.split("/", 3)[3])
_READ: Final = _queue("kecs-read")
_SENT: Final = _sqs("SendMessage", QueueUrl=From(_READ, "QueueUrl"), MessageBody=_MESSAGE)
_TO_SEND: Final = {"Action": "SendMessage", "MessageBody": _MESSAGE, "Version": "2012-11-05"}
_BY_QUERY: Final = every(status(200), like("body", f"<MD5OfMessageBody>{_MD5}<"))


def _send(name: str, host: str, **more: object) -> Form:
    ask: dict[str, object] = {"method": "POST", "target": PATH, "headers": _FORM, "sign": _SIGNED} | more
    body = "" if ask["method"] == "GET" else urlencode(_TO_SEND)
    return Form(name=name, ask=Raw(host=host, body=body, **ask), right=_BY_QUERY, after=(QUEUE,))  # type: ignore[arg-type]


_QUEUES: Final = (
    Form(name="CreateQueue", ask=_queue("kecs-made"), right=like("QueueUrl", _URL + "kecs-made$")),
    Form(
        name="GetQueueUrl",
        ask=_sqs("GetQueueUrl", QueueName="kecs-queue"),
        right=like("QueueUrl", _URL + "kecs-queue$"),
        after=(QUEUE,),
    ),
    Form(
        name="ListQueues",
        ask=_sqs("ListQueues", QueueNamePrefix="kecs-queue"),
        right=like("QueueUrls.0", _URL + "kecs-queue$"),
        after=(QUEUE,),
    ),
    Form(
        name="SendMessage",
        ask=_sqs("SendMessage", QueueUrl=URL, MessageBody=_MESSAGE),
        right=holds("MD5OfMessageBody", _MD5),
        after=(QUEUE,),
    ),
    Form(
        name="SendMessage to the legacy name's URL",
        ask=_sqs(
            "SendMessage",
            QueueUrl=From(QUEUE, "QueueUrl", lambda url: url.replace("sqs.us-east-1.", "queue.")),
            MessageBody=_MESSAGE,
        ),
        right=holds("MD5OfMessageBody", _MD5),
        after=(QUEUE,),
    ),
    Form(
        name="SendMessage to a URL of http://localhost:4566",
        ask=_sqs(
            "SendMessage",
            QueueUrl=From(QUEUE, "QueueUrl", lambda url: "http://localhost:4566/" + url.split("/", 3)[3]),
            MessageBody=_MESSAGE,
        ),
        right=holds("MD5OfMessageBody", _MD5),
        after=(QUEUE,),
    ),
    Form(
        name="ReceiveMessage",
        ask=_sqs("ReceiveMessage", QueueUrl=From(_READ, "QueueUrl"), WaitTimeSeconds=2),
        right=every(holds("Messages.0.Body", _MESSAGE), holds("Messages.0.MD5OfBody", _MD5)),
        after=(_READ, _SENT),
    ),
    Form(
        name="an address in a message stays as it is",
        ask=_sqs(
            "ReceiveMessage", QueueUrl=From(_queue_address := _queue("kecs-address"), "QueueUrl"), WaitTimeSeconds=2
        ),
        right=holds("Messages.0.Body", "http://my-server.example:4567/000000000000/q"),
        after=(
            _queue_address,
            _sqs(
                "SendMessage",
                QueueUrl=From(_queue_address, "QueueUrl"),
                MessageBody="http://my-server.example:4567/000000000000/q",
            ),
        ),
    ),
    Form(
        name="queue that is not there",
        ask=_sqs("GetQueueUrl", QueueName="kecs-nothing"),
        right=lambda _: "found",
        refuses="AWS.SimpleQueueService.NonExistentQueue",
    ),
    Form(
        name="FIPS",
        ask=Api(
            service="sqs",
            operation="GetQueueUrl",
            parameters={"QueueName": "kecs-queue"},
            config={"use_fips_endpoint": True},
        ),
        right=like("QueueUrl", _URL + "kecs-queue$"),
        after=(QUEUE,),
    ),
    Form(
        name="dual-stack (api.aws)",
        ask=Api(
            service="sqs",
            operation="GetQueueUrl",
            parameters={"QueueName": "kecs-queue"},
            config={"use_dualstack_endpoint": True},
        ),
        right=like("QueueUrl", _URL + "kecs-queue$"),
        after=(QUEUE,),
    ),
    Form(
        name="China",
        ask=Api(service="sqs", operation="CreateQueue", region="cn-north-1", parameters={"QueueName": "kecs-china"}),
        right=like("QueueUrl", r"^https://sqs\.cn-north-1\.amazonaws\.com\.cn/\d{12}/kecs-china$"),
    ),
    Form(
        name="VPC endpoint",
        ask=Api(
            service="sqs",
            operation="SendMessage",
            endpoint="https://vpce-1a2b3c4d-5e6f.sqs.us-east-1.vpce.amazonaws.com",
            parameters={"QueueUrl": URL, "MessageBody": _MESSAGE},
        ),
        right=holds("MD5OfMessageBody", _MD5),
        after=(QUEUE,),
    ),
    _send("query protocol: POST to the queue", _SQS),
    _send(
        "query protocol: GET of the queue",
        _SQS,
        method="GET",
        target=Text("{}?" + urlencode(_TO_SEND), (PATH,)),
        headers={},
    ),
    _send("query protocol: legacy host queue.amazonaws.com", "queue.amazonaws.com"),
    _send("query protocol: legacy host us-east-1.queue.amazonaws.com", "us-east-1.queue.amazonaws.com"),
    _send("query protocol: unsigned POST", _SQS, sign=None),
    _send(
        "query protocol: unsigned GET",
        _SQS,
        sign=None,
        method="GET",
        target=Text("{}?" + urlencode(_TO_SEND), (PATH,)),
        headers={},
    ),
    Form(
        name="query protocol: CreateQueue",
        ask=Raw(
            method="POST",
            host=_SQS,
            headers=_FORM,
            body=urlencode({"Action": "CreateQueue", "QueueName": "kecs-query", "Version": "2012-11-05"}),
            sign=_SIGNED,
        ),
        right=like("body", r"<QueueUrl>https://sqs\.us-east-1\.amazonaws\.com/\d{12}/kecs-query<"),
    ),
    Form(
        name="JSON, unsigned",
        ask=Api(
            service="sqs",
            operation="SendMessage",
            unsigned=True,
            parameters={"QueueUrl": URL, "MessageBody": _MESSAGE},
        ),
        right=holds("MD5OfMessageBody", _MD5),
        after=(QUEUE,),
    ),
)


def _sns(operation: str, **parameters: object) -> Api:
    return Api(service="sns", operation=operation, parameters=parameters)


_TOPIC: Final = _sns("CreateTopic", Name="kecs-topic")
_ARN: Final = From(_TOPIC, "TopicArn")
_INBOX: Final = _queue("kecs-inbox")
_INBOX_ARN: Final = _sqs("GetQueueAttributes", QueueUrl=From(_INBOX, "QueueUrl"), AttributeNames=["QueueArn"])
_SUBSCRIBED: Final = _sns(
    "Subscribe",
    TopicArn=_ARN,
    Protocol="sqs",
    Endpoint=From(_INBOX_ARN, "Attributes.QueueArn"),
    ReturnSubscriptionArn=True,
)
_PUBLISHED: Final = _sns("Publish", TopicArn=_ARN, Message=_MESSAGE)
_HEARD: Final = _sns("Publish", TopicArn=_ARN, Message=_MESSAGE, Subject="heard")


def _envelope(given: Given) -> str:
    """Say what is wrong with an SNS envelope that came out of a queue."""
    if not given.get("Messages"):
        return "nothing was delivered"
    message = given["Messages"][0]
    told = json.loads(message["Body"])
    if message["MD5OfBody"] != hashlib.md5(message["Body"].encode(), usedforsecurity=False).hexdigest():
        return "MD5OfBody is another body's"
    return every(
        holds("Message", _MESSAGE),
        like("UnsubscribeURL", r"^https://sns\.us-east-1\.amazonaws\.com/\?Action=Unsubscribe&SubscriptionArn=arn"),
        like("SigningCertURL", r"^https://sns\.us-east-1\.amazonaws\.com/.*\.pem$"),
    )(told)


_RECEIVED: Final = _sqs("ReceiveMessage", QueueUrl=From(_INBOX, "QueueUrl"), WaitTimeSeconds=5)
_DELIVERY: Final = (_TOPIC, _INBOX, _INBOX_ARN, _SUBSCRIBED, _HEARD)
_TOPICS: Final = (
    Form(name="CreateTopic", ask=_TOPIC, right=like("TopicArn", r"^arn:aws:sns:us-east-1:\d{12}:kecs-topic$")),
    Form(name="Publish", ask=_PUBLISHED, right=some("MessageId"), after=(_TOPIC,)),
    Form(name="envelope in a queue", ask=_RECEIVED, right=_envelope, after=_DELIVERY),
    Form(
        name="signing certificate",
        ask=Raw(
            method="GET",
            host="sns.us-east-1.amazonaws.com",
            target=From(
                _RECEIVED,
                "Messages.0.Body",
                lambda body: "/" + json.loads(body)["SigningCertURL"].split("/", 3)[3],
            ),
        ),
        right=every(status(200), like("body", "BEGIN CERTIFICATE")),
        after=(*_DELIVERY, _RECEIVED),
    ),
    Form(
        name="ConfirmSubscription, unsigned GET",
        ask=Raw(
            method="GET",
            host="sns.us-east-1.amazonaws.com",
            target=Text(
                "/?Action=ConfirmSubscription&TopicArn={}&Token=0000&Version=2010-03-31",
                (From(_TOPIC, "TopicArn", lambda arn: quote(arn, safe="")),),
            ),
        ),
        right=like("body", "<SubscriptionArn>|InvalidParameter"),
        after=(_TOPIC,),
    ),
    Form(
        name="Unsubscribe, unsigned GET",
        ask=Raw(
            method="GET",
            host="sns.us-east-1.amazonaws.com",
            target=Text(
                "/?Action=Unsubscribe&SubscriptionArn={}&Version=2010-03-31",
                (From(_SUBSCRIBED, "SubscriptionArn", lambda arn: quote(arn, safe="")),),
            ),
        ),
        right=every(status(200), like("body", "<UnsubscribeResponse")),
        after=(*_DELIVERY, _RECEIVED),
    ),
    Form(
        name="dual-stack (api.aws)",
        ask=Api(service="sns", operation="ListTopics", config={"use_dualstack_endpoint": True}),
        right=some("Topics"),
        after=(_TOPIC,),
    ),
)

_ENTRY: Final = {"Source": "kecs", "DetailType": "t", "Detail": "{}"}
_PUT_EVENTS: Final = json.dumps({"Entries": [_ENTRY], "EndpointId": "abcde.veo"}).encode()
_STREAM_MADE: Final = Api(
    service="kinesis", operation="CreateStream", parameters={"StreamName": "kecs-stream", "ShardCount": 1}
)
_STREAM: Final = Until(
    ask=Api(service="kinesis", operation="DescribeStreamSummary", parameters={"StreamName": "kecs-stream"}),
    right=holds("StreamDescriptionSummary.StreamStatus", "ACTIVE"),
)
_DESCRIBED: Final = Api(service="kinesis", operation="DescribeStreamSummary", parameters={"StreamName": "kecs-stream"})
_STREAM_ARN: Final = From(_DESCRIBED, "StreamDescriptionSummary.StreamARN")
_CONSUMER: Final = Api(
    service="kinesis",
    operation="RegisterStreamConsumer",
    parameters={"StreamARN": _STREAM_ARN, "ConsumerName": "kecs-consumer"},
)
_CONSUMING: Final = Until(
    ask=Api(
        service="kinesis",
        operation="DescribeStreamConsumer",
        parameters={"ConsumerARN": From(_CONSUMER, "Consumer.ConsumerARN")},
    ),
    right=holds("ConsumerDescription.ConsumerStatus", "ACTIVE"),
)
_WRITTEN: Final = Api(
    service="kinesis",
    operation="PutRecord",
    parameters={"StreamName": "kecs-stream", "Data": b"data", "PartitionKey": "p"},
)
_ITERATOR: Final = Api(
    service="kinesis",
    operation="GetShardIterator",
    parameters={"StreamName": "kecs-stream", "ShardId": "shardId-000000000000", "ShardIteratorType": "TRIM_HORIZON"},
)
# {"Limit": 10} and {"StreamName": "kecs-stream", "Data": <data>, "PartitionKey": "p"}
_CBOR_LIST: Final = b"\xa1\x65Limit\x0a"
_CBOR_PUT: Final = b"\xa3\x6aStreamName\x6bkecs-stream\x64Data\x44data\x6cPartitionKey\x61p"


def _cbor(name: str, operation: str, body: bytes, wanted: str) -> Form:
    return Form(
        name=name,
        ask=Raw(
            method="POST",
            host="kinesis.us-east-1.amazonaws.com",
            headers={
                "Content-Type": "application/x-amz-cbor-1.1",
                "Accept": "application/x-amz-cbor-1.1",
                "X-Amz-Target": f"Kinesis_20131202.{operation}",
            },
            body=body,
            sign=("kinesis", "us-east-1"),
        ),
        right=every(status(200), like("body", wanted), holds("headers.content-type", "application/x-amz-cbor-1.1")),
        after=(_STREAM_MADE, _STREAM),
    )


_STREAMS: Final = (
    Form(
        name="EventBridge: PutEvents",
        ask=Api(service="events", operation="PutEvents", parameters={"Entries": [_ENTRY]}),
        right=holds("FailedEntryCount", 0),
    ),
    Form(
        name="EventBridge: global endpoint, SigV4A",
        ask=Raw(
            method="POST",
            host="abcde.veo.endpoint.events.amazonaws.com",
            headers={
                "Content-Type": "application/x-amz-json-1.1",
                "X-Amz-Target": "AWSEvents.PutEvents",
                "X-Amz-Region-Set": "*",
                "Authorization": "AWS4-ECDSA-P256-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261121/events/aws4_request, "
                "SignedHeaders=host, Signature=3045",
            },
            body=_PUT_EVENTS,
        ),
        right=every(status(200), holds("json.FailedEntryCount", 0)),
    ),
    Form(name="Kinesis: PutRecord", ask=_WRITTEN, right=some("SequenceNumber"), after=(_STREAM_MADE, _STREAM)),
    Form(
        name="Kinesis: account in the host name, control plane",
        ask=Api(service="kinesis", operation="DescribeStreamSummary", parameters={"StreamARN": _STREAM_ARN}),
        right=holds("StreamDescriptionSummary.StreamName", "kecs-stream"),
        after=(_STREAM_MADE, _STREAM, _DESCRIBED),
    ),
    Form(
        name="Kinesis: account in the host name, data plane",
        ask=Api(
            service="kinesis",
            operation="PutRecord",
            parameters={"StreamARN": _STREAM_ARN, "Data": b"data", "PartitionKey": "p"},
        ),
        right=some("SequenceNumber"),
        after=(_STREAM_MADE, _STREAM, _DESCRIBED),
    ),
    Form(
        name="Kinesis: GetRecords",
        ask=Api(
            service="kinesis", operation="GetRecords", parameters={"ShardIterator": From(_ITERATOR, "ShardIterator")}
        ),
        right=holds("Records.0.Data", b"data"),
        after=(_STREAM_MADE, _STREAM, _WRITTEN, _ITERATOR),
    ),
    Form(
        name="Kinesis: SubscribeToShard",
        ask=Api(
            service="kinesis",
            operation="SubscribeToShard",
            parameters={
                "ConsumerARN": From(_CONSUMER, "Consumer.ConsumerARN"),
                "ShardId": "shardId-000000000000",
                "StartingPosition": {"Type": "TRIM_HORIZON"},
            },
        ),
        right=some("EventStream.0.SubscribeToShardEvent"),
        after=(_STREAM_MADE, _STREAM, _DESCRIBED, _WRITTEN, _CONSUMER, _CONSUMING),
    ),
    _cbor("Kinesis: CBOR, ListStreams", "ListStreams", _CBOR_LIST, "kecs-stream"),
    _cbor("Kinesis: CBOR, PutRecord with octets", "PutRecord", _CBOR_PUT, "SequenceNumber"),
    Form(
        name="Kinesis: dual-stack (api.aws)",
        ask=Api(service="kinesis", operation="ListStreams", config={"use_dualstack_endpoint": True}),
        right=among("StreamNames", "", "kecs-stream"),
        after=(_STREAM_MADE, _STREAM),
    ),
    Form(
        name="Firehose: ListDeliveryStreams",
        ask=Api(service="firehose", operation="ListDeliveryStreams"),
        right=holds("DeliveryStreamNames", []),
    ),
    Form(
        name="SES v1: VerifyEmailIdentity",
        ask=Api(service="ses", operation="VerifyEmailIdentity", parameters={"EmailAddress": "a@example.com"}),
        right=status(200),
    ),
    Form(
        name="SES v2: the same host, another service",
        ask=Api(service="sesv2", operation="ListEmailIdentities"),
        right=lambda given: "" if isinstance(given.get("EmailIdentities"), list) else "there is no list",
    ),
)

GROUPS: Final = (
    Group(title="SQS", forms=_QUEUES),
    Group(title="SNS", forms=_TOPICS),
    Group(title="Events, streams and mail", forms=_STREAMS),
)
