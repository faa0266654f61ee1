"""A gateway before an embedded emulator and a control plane, asked by boto3 and by sockets."""

import http.client
import json
import socket
import ssl
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from gateway_lab import Gateway, laboratory


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with laboratory(tmp_path_factory.mktemp("gateway")) as found:
        yield found


def _s3(one: Gateway) -> Any:
    client = one.client("s3")
    client.create_bucket(Bucket="table-s3", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    client.put_object(Bucket="table-s3", Key="a b/c", Body=b"hello")
    return client.get_object(Bucket="table-s3", Key="a b/c")["Body"].read()


def _sqs(one: Gateway) -> Any:
    client = one.client("sqs")
    url = client.create_queue(QueueName="table")["QueueUrl"]
    client.send_message(QueueUrl=url, MessageBody="hi")
    return client.receive_message(QueueUrl=url)["Messages"][0]["Body"]


def _dynamodb(one: Gateway) -> Any:
    client = one.client("dynamodb")
    client.create_table(
        TableName="table",
        KeySchema=[{"AttributeName": "a", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "a", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    client.put_item(TableName="table", Item={"a": {"S": "1"}})
    return client.scan(TableName="table")["Count"]


def _elbv2(one: Gateway) -> Any:
    subnets = [found["SubnetId"] for found in one.client("ec2").describe_subnets()["Subnets"]][:2]
    made = one.client("elbv2").create_load_balancer(Name="balanced", Subnets=subnets)
    return made["LoadBalancers"][0]["DNSName"]


def _logs(one: Gateway) -> Any:
    client = one.client("logs")
    client.create_log_group(logGroupName="table")
    return [found["logGroupName"] for found in client.describe_log_groups()["logGroups"]]


SERVICES: list[tuple[str, Callable[[Gateway], Any], Any]] = [
    ("s3", _s3, b"hello"),
    ("sqs", _sqs, "hi"),
    ("dynamodb", _dynamodb, 1),
    ("elbv2", _elbv2, "balanced-1.eu-west-1.elb.localhost.localstack.cloud"),
    ("logs", _logs, ["table"]),
    ("sns", lambda one: one.client("sns").create_topic(Name="t")["TopicArn"], "arn:aws:sns:eu-west-1:000000000000:t"),
    ("sts", lambda one: one.client("sts").get_caller_identity()["Account"], "000000000000"),
    ("iam", lambda one: one.client("iam").create_user(UserName="u")["User"]["UserName"], "u"),
    ("lambda", lambda one: one.client("lambda").list_functions()["Functions"], []),
    ("ssm", lambda one: one.client("ssm").put_parameter(Name="p", Value="v", Type="String")["Version"], 1),
    (
        "secretsmanager",
        lambda one: one.client("secretsmanager").create_secret(Name="s", SecretString="x")["Name"],
        "s",
    ),
    ("kinesis", lambda one: one.client("kinesis").list_streams()["StreamNames"], []),
    ("cloudwatch", lambda one: one.client("cloudwatch").list_metrics(Namespace="none")["Metrics"], []),
    ("ec2", lambda one: len(one.client("ec2").describe_vpcs()["Vpcs"]), 1),
    ("route53", lambda one: one.client("route53").list_hosted_zones()["HostedZones"], []),
    ("cloudformation", lambda one: one.client("cloudformation").list_stacks()["StackSummaries"], []),
    ("events", lambda one: one.client("events").list_rules()["Rules"], []),
    (
        "ecs",
        lambda one: one.client("ecs").list_clusters()["clusterArns"],
        ["arn:aws:ecs:eu-west-1:000000000000:cluster/ours"],
    ),
]


@pytest.mark.parametrize(("ask", "expected"), [pytest.param(*row[1:], id=row[0]) for row in SERVICES])
def test_a_client_with_the_endpoint_reaches_every_service(
    gateway: Gateway, ask: Callable[[Gateway], Any], expected: object
) -> None:
    assert ask(gateway) == expected


def test_ecs_goes_to_the_control_plane_alone(gateway: Gateway) -> None:
    before = len(gateway.asked)
    gateway.client("ecs").list_clusters()
    gateway.client("elbv2").describe_load_balancers()
    assert len(gateway.asked) == before + 1
    assert gateway.asked[-1].get(b"host") == b"ecs.eu-west-1.amazonaws.com"


def test_a_queue_is_used_by_the_url_that_was_told(gateway: Gateway) -> None:
    client = gateway.client("sqs", region="us-east-1")
    url = client.create_queue(QueueName="followed")["QueueUrl"]
    assert url == f"{gateway.url}/000000000000/followed"
    assert client.get_queue_url(QueueName="followed")["QueueUrl"] == url
    assert url in client.list_queues()["QueueUrls"]
    sent = urllib.request.Request(
        url, data=b"Action=SendMessage&MessageBody=plain&Version=2012-11-05", method="POST"
    )  # as a client of the query protocol that asks at the queue's own URL does
    with urllib.request.urlopen(sent) as answer:
        assert b"SendMessageResponse" in answer.read()
    assert client.receive_message(QueueUrl=url)["Messages"][0]["Body"] == "plain"


@pytest.mark.parametrize("version", ["s3", "s3v4"])
@pytest.mark.parametrize("style", ["path", "virtual"])
def test_presigned_urls_that_were_made_with_the_endpoint_work(gateway: Gateway, version: str, style: str) -> None:
    client = gateway.client("s3", region="us-east-1", signature_version=version, s3={"addressing_style": style})
    bucket = f"presigned-{version}-{style}"
    gateway.client("s3", region="us-east-1").create_bucket(Bucket=bucket)
    put = client.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "k/ö"})
    get = client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k/ö"})
    found = b""
    for method, url in (("PUT", put), ("GET", get)):
        host = urllib.parse.urlsplit(url).netloc
        # names below localhost are not resolved everywhere
        asked = urllib.request.Request(url.replace(f"{bucket}.localhost", "localhost"), method=method)
        asked.add_header("Host", host)
        asked.data = b"content" if method == "PUT" else None
        with urllib.request.urlopen(asked) as answer:
            found = answer.read()
    assert found == b"content"


def test_addresses_in_answers_lead_back(gateway: Gateway) -> None:
    client = gateway.client("s3")
    where = {"LocationConstraint": "eu-west-1"}
    bucket = client.create_bucket(Bucket="located", CreateBucketConfiguration=where)
    assert bucket["Location"] == f"{gateway.url}/located/"
    upload = client.create_multipart_upload(Bucket="located", Key="k")["UploadId"]
    part = client.upload_part(Bucket="located", Key="k", UploadId=upload, PartNumber=1, Body=b"x")
    parts = {"Parts": [{"ETag": part["ETag"], "PartNumber": 1}]}
    made = client.complete_multipart_upload(Bucket="located", Key="k", UploadId=upload, MultipartUpload=parts)
    assert made["Location"] == f"{gateway.url}/located/k"
    api = gateway.client("apigatewayv2").create_api(Name="a", ProtocolType="HTTP")
    expected = f"http://{api['ApiId']}.execute-api.eu-west-1.localhost.localstack.cloud:{gateway.port}"
    assert api["ApiEndpoint"] == expected


def _ask(gateway: Gateway, method: str, path: str, **fields: str) -> tuple[int, http.client.HTTPMessage, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=60)
    try:
        connection.request(method, path, headers=fields)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def test_health_names_everything_calls_are_sent_to(gateway: Gateway) -> None:
    status, _, body = _ask(gateway, "GET", "/_kecs/health")
    found = json.loads(body)
    assert (status, found["status"], found["part"]) == (200, "running", "gateway")
    assert sorted(found["routes"]) == ["backend", "controlplane"]
    assert _ask(gateway, "GET", "/_kecs/ready")[0] == 200
    assert b"kecs_gateway_calls_total" in _ask(gateway, "GET", "/_kecs/metrics")[2]
    assert _ask(gateway, "GET", "/_kecs/else")[0] == 404
    assert _ask(gateway, "DELETE", "/_kecs/health")[0] == 405


def test_tools_that_wait_for_localstack_are_answered(gateway: Gateway) -> None:
    status, _, body = _ask(gateway, "GET", "/_localstack/health")
    assert status == 200
    assert json.loads(body)["services"].items() >= {"s3": "available", "sqs": "available"}.items()


def test_a_person_who_looks_is_told_what_this_is(gateway: Gateway) -> None:
    status, _, body = _ask(gateway, "GET", "/")
    assert status == 200
    assert b"AWS_ENDPOINT_URL" in body


def test_what_is_for_nobody_is_refused(gateway: Gateway) -> None:
    fields = {"X-Amz-Target": "Nobody_2026.Do", "Content-Type": "application/x-amz-json-1.1"}
    status, _, body = _ask(gateway, "POST", "/", **fields)
    assert status == 501
    assert b"NotImplemented" in body


def test_tls_on_the_same_port_is_verified_by_the_local_root(gateway: Gateway) -> None:
    client = gateway.client("sqs", secure=True)
    url = client.create_queue(QueueName="by-tls")["QueueUrl"]
    assert url == f"https://localhost:{gateway.port}/000000000000/by-tls"
    assert client.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]


@pytest.mark.parametrize("name", ["localhost", "localhost.localstack.cloud", "b.s3.localhost.localstack.cloud"])
def test_leaves_hold_for_every_local_name(gateway: Gateway, name: str) -> None:
    context = ssl.create_default_context(cafile=str(gateway.root))
    with (
        socket.create_connection(("127.0.0.1", gateway.port), timeout=60) as plain,
        context.wrap_socket(plain, server_hostname=name) as secure,
    ):
        assert secure.version() in {"TLSv1.2", "TLSv1.3"}


def test_no_leaf_is_made_for_other_names(gateway: Gateway) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", gateway.port), timeout=60) as plain,
        pytest.raises((ConnectionResetError, ssl.SSLError)),
    ):
        context.wrap_socket(plain, server_hostname="example.com")


def test_large_objects_stream_both_ways(gateway: Gateway) -> None:
    client = gateway.client("s3", region="us-east-1")
    client.create_bucket(Bucket="large")
    content = bytes(range(256)) * 32768
    client.put_object(Bucket="large", Key="k", Body=content)
    assert client.get_object(Bucket="large", Key="k")["Body"].read() == content


def test_a_body_waits_for_100_continue(gateway: Gateway) -> None:
    gateway.client("s3", region="us-east-1").create_bucket(Bucket="expecting")
    scope = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=00"
    head = f"PUT /expecting/k HTTP/1.1\r\nHost: localhost\r\nAuthorization: {scope}\r\nContent-Length: 3\r\n"
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=60) as connection:
        connection.sendall(f"{head}Expect: 100-continue\r\n\r\n".encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 100")
        connection.sendall(b"abc")
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")


def test_calls_are_told_one_to_a_line(gateway: Gateway) -> None:
    gateway.client("sts").get_caller_identity()
    found = [one for one in gateway.calls() if one.get("service") == "sts"][-1]
    assert (found["operation"], found["status"], found["verdict"]) == ("GetCallerIdentity", 200, "forward")
    assert found["host"] == "sts.eu-west-1.amazonaws.com"
