from typing import Any

import aws_lab
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kecs.aws.call import Call, Protocol
from kecs.aws.classify import FORM_LIMIT, body_wanted, classify
from kecs.aws.head import RequestHead

FORM = (b"Content-Type", b"application/x-www-form-urlencoded; charset=utf-8")


def scope(service: str, region: str = "eu-west-1") -> tuple[bytes, bytes]:
    credential = f"AKID/20260101/{region}/{service}/aws4_request"
    return b"Authorization", f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=0".encode()


def target(name: str) -> tuple[bytes, bytes]:
    return b"X-Amz-Target", name.encode()


def ask(url: str, method: bytes = b"GET", *fields: tuple[bytes, bytes], name: str = "", body: bytes = b"") -> Call:
    return classify(aws_lab.get_head(url, method, *fields), name=name, body=body)


def row(label: str, call: Call, service: str, operation: str, protocol: Protocol) -> Any:
    return pytest.param(call, service, operation, protocol, id=label)


@pytest.mark.parametrize(
    ("call", "service", "operation", "protocol"),
    [
        row(
            "scope wins over host",
            ask("https://localhost/", b"POST", scope("ecs"), target("AmazonEC2ContainerServiceV20141113.RunTask")),
            "ecs",
            "RunTask",
            Protocol.JSON,
        ),
        row(
            "a version of ECS to come",
            ask("https://localhost/", b"POST", target("AmazonEC2ContainerServiceV20301231.RunTask")),
            "ecs",
            "RunTask",
            Protocol.JSON,
        ),
        row(
            "ECS in CBOR",
            ask(
                "https://ecs.eu-west-1.amazonaws.com/service/AmazonEC2ContainerServiceV20141113/operation/RunTask",
                b"POST",
                scope("ecs"),
                (b"smithy-protocol", b"rpc-v2-cbor"),
            ),
            "ecs",
            "RunTask",
            Protocol.CBOR,
        ),
        row(
            "a CBOR service with its namespace",
            ask("https://localhost/service/com.amazonaws.x.CloudWatchOmniFrontend/operation/ListAccessGrants", b"POST"),
            "cloudwatchomni",
            "ListAccessGrants",
            Protocol.CBOR,
        ),
        row(
            "no CBOR path",
            ask("https://sqs.eu-west-1.amazonaws.com/service/x/other/y", b"POST"),
            "sqs",
            "",
            Protocol.JSON,
        ),
        row(
            "target without scope or host",
            ask("https://localhost/", b"POST", target("DynamoDBStreams_20120810.ListStreams")),
            "dynamodbstreams",
            "ListStreams",
            Protocol.JSON,
        ),
        row(
            "target narrows a shared scope",
            ask("https://localhost/", b"POST", scope("dynamodb"), target("DynamoDBStreams_20120810.ListStreams")),
            "dynamodbstreams",
            "ListStreams",
            Protocol.JSON,
        ),
        row(
            "host narrows a shared scope",
            ask("https://bedrock-agent.eu-west-1.amazonaws.com/agents/", b"PUT", scope("bedrock")),
            "bedrock-agent",
            "CreateAgent",
            Protocol.REST_JSON,
        ),
        row(
            "an unknown scope is no evidence",
            ask("https://sns.eu-west-1.amazonaws.com/?Action=Publish&Version=2010-03-31", b"GET", scope("old-name")),
            "sns",
            "Publish",
            Protocol.QUERY,
        ),
        row(
            "a contradicting target is ignored",
            ask("https://b.s3.amazonaws.com/k", b"GET", scope("s3"), target("AmazonSQS.SendMessage")),
            "s3",
            "GetObject",
            Protocol.REST_XML,
        ),
        row(
            "ELBv2 by version",
            ask(
                "https://elasticloadbalancing.eu-west-1.amazonaws.com/",
                b"POST",
                scope("elasticloadbalancing"),
                FORM,
                body=b"Action=DescribeLoadBalancers&Version=2015-12-01",
            ),
            "elbv2",
            "DescribeLoadBalancers",
            Protocol.QUERY,
        ),
        row(
            "classic ELB by version",
            ask(
                "https://elasticloadbalancing.eu-west-1.amazonaws.com/",
                b"POST",
                scope("elasticloadbalancing"),
                FORM,
                body=b"Action=DescribeLoadBalancers&Version=2012-06-01",
            ),
            "elb",
            "DescribeLoadBalancers",
            Protocol.QUERY,
        ),
        row(
            "ELBv2 by an action that only it has",
            ask("https://elasticloadbalancing.eu-west-1.amazonaws.com/?Action=CreateTargetGroup"),
            "elbv2",
            "CreateTargetGroup",
            Protocol.QUERY,
        ),
        row(
            "Action in the query of a GET",
            ask("https://sts.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15"),
            "sts",
            "GetCallerIdentity",
            Protocol.QUERY,
        ),
        row(
            "an unsigned AssumeRoleWithWebIdentity",
            ask(
                "https://sts.eu-west-1.amazonaws.com/",
                b"POST",
                FORM,
                body=b"Action=AssumeRoleWithWebIdentity&Version=2011-06-15&WebIdentityToken=x",
            ),
            "sts",
            "AssumeRoleWithWebIdentity",
            Protocol.QUERY,
        ),
        row(
            "a form of which only the name tells nothing",
            ask("https://localhost/", b"POST", FORM, body=b"Version=2010-05-08&Action=ListUsers"),
            "iam",
            "ListUsers",
            Protocol.QUERY,
        ),
        row(
            "an old SQS client at the queue's path",
            ask(
                "https://eu-west-1.queue.amazonaws.com/123456789012/q",
                b"POST",
                FORM,
                body=b"Action=SendMessage&MessageBody=a%26b&Version=2009-02-01",
            ),
            "sqs",
            "SendMessage",
            Protocol.QUERY,
        ),
        row(
            "EC2",
            ask("https://ec2.eu-west-1.amazonaws.com/?Action=DescribeVpcs&Version=2016-11-15"),
            "ec2",
            "DescribeVpcs",
            Protocol.EC2,
        ),
        row(
            "SES version 1 by form",
            ask(
                "https://email.eu-west-1.amazonaws.com/",
                b"POST",
                scope("ses"),
                FORM,
                body=b"Action=SendEmail&Version=2010-12-01",
            ),
            "ses",
            "SendEmail",
            Protocol.QUERY,
        ),
        row(
            "SES version 2 by path",
            ask("https://email.eu-west-1.amazonaws.com/v2/email/outbound-emails", b"POST", scope("ses")),
            "sesv2",
            "SendEmail",
            Protocol.REST_JSON,
        ),
        row(
            "API Gateway version 2 by path",
            ask("https://apigateway.eu-west-1.amazonaws.com/v2/apis", b"GET", scope("apigateway")),
            "apigatewayv2",
            "GetApis",
            Protocol.REST_JSON,
        ),
        row(
            "S3 Control at a name of no meaning",
            ask("https://localhost/v20180820/jobs", b"GET", scope("s3")),
            "s3control",
            "ListJobs",
            Protocol.REST_XML,
        ),
        row("S3 at its root", ask("https://s3.eu-west-1.amazonaws.com/"), "s3", "ListBuckets", Protocol.REST_XML),
        row(
            "directory buckets",
            ask("https://s3express-control.eu-west-1.amazonaws.com/", b"GET", scope("s3express")),
            "s3",
            "ListDirectoryBuckets",
            Protocol.REST_XML,
        ),
        row("a website", ask("http://b.s3-website-eu-west-1.amazonaws.com/"), "s3", "", Protocol.REST_XML),
        row(
            "a browser's upload",
            ask("https://b.s3.amazonaws.com/", b"POST", (b"Content-Type", b"multipart/form-data; boundary=x")),
            "s3",
            "PostObject",
            Protocol.REST_XML,
        ),
        row("a CORS question", ask("https://b.s3.amazonaws.com/k", b"OPTIONS"), "s3", "", Protocol.REST_XML),
        row(
            "a bearer token",
            ask(
                "https://bedrock-runtime.eu-west-1.amazonaws.com/model/m/converse",
                b"POST",
                (b"Authorization", b"Bearer x"),
            ),
            "bedrock-runtime",
            "Converse",
            Protocol.REST_JSON,
        ),
        row(
            "a customer's API",
            ask("https://abc.execute-api.eu-west-1.amazonaws.com/prod/x", b"POST", scope("execute-api")),
            "execute-api",
            "",
            Protocol.REST_JSON,
        ),
        row(
            "a connection of a customer's API",
            ask("https://abc.execute-api.eu-west-1.amazonaws.com/prod/@connections/c", b"POST", scope("execute-api")),
            "apigatewaymanagementapi",
            "PostToConnection",
            Protocol.REST_JSON,
        ),
        row(
            "a function's URL",
            ask("https://abc.lambda-url.eu-west-1.on.aws/", b"POST", target("DynamoDB_20120810.ListTables")),
            "lambda-url",
            "",
            Protocol.REST_JSON,
        ),
        row("a service to come", ask("https://new.eu-west-1.amazonaws.com/"), "", "", Protocol.REST_JSON),
        row(
            "an unknown JSON service",
            ask("https://new.eu-west-1.amazonaws.com/", b"POST", (b"Content-Type", b"application/x-amz-json-1.1")),
            "",
            "",
            Protocol.JSON,
        ),
        row("an unknown form", ask("https://x.amazonaws.com/", b"POST", FORM), "", "", Protocol.QUERY),
        row(
            "an unknown CBOR service",
            ask("https://x.amazonaws.com/", b"POST", (b"Content-Type", b"application/cbor")),
            "",
            "",
            Protocol.CBOR,
        ),
        row(
            "an unknown service's target",
            ask("https://x.amazonaws.com/", b"POST", target("Nobody_1.Do")),
            "",
            "",
            Protocol.JSON,
        ),
        row("an unknown action", ask("https://x.amazonaws.com/?Action=DoNothingKnown"), "", "", Protocol.QUERY),
        row("an unknown CBOR path", ask("https://x.amazonaws.com/service/X/operation/Y"), "", "", Protocol.CBOR),
        row(
            "unknown XML",
            ask("https://x.amazonaws.com/", b"POST", (b"Content-Type", b"text/xml")),
            "",
            "",
            Protocol.REST_XML,
        ),
        row(
            "an operation that is no word",
            ask("https://dynamodb.eu-west-1.amazonaws.com/", b"POST", target("DynamoDB_20120810.\r\nX: y")),
            "dynamodb",
            "",
            Protocol.JSON,
        ),
    ],
)
def test_service_operation_and_protocol(call: Call, service: str, operation: str, protocol: Protocol) -> None:
    assert (call.service, call.operation, call.protocol) == (service, operation, protocol)


@pytest.mark.parametrize(
    ("call", "region"),
    [
        (ask("https://sqs.eu-west-1.amazonaws.com/", b"POST", scope("sqs", "ap-south-1")), "ap-south-1"),
        (ask("https://sqs.eu-west-1.amazonaws.com/"), "eu-west-1"),
        (ask("https://sts.amazonaws.com/"), "us-east-1"),
        (ask("https://iam.us-gov.amazonaws.com/"), "us-gov-west-1"),
        (ask("https://localhost/", b"POST", scope("sqs", "local")), "local"),
        (ask("https://localhost/"), ""),
        (ask("https://iam.amazonaws.com/", b"POST", scope("iam", "aws-global")), "us-east-1"),
        (ask("https://sqs.eu-west-1.amazonaws.com/", b"POST", scope("sqs", "no_region!")), "eu-west-1"),
        (ask("https://sqs.eu-west-1.amazonaws.com/", b"POST", scope("sqs", "x" * 50)), "eu-west-1"),
    ],
)
def test_regions(call: Call, region: str) -> None:
    assert call.region == region


@pytest.mark.parametrize(
    ("call", "host", "resource", "account"),
    [
        (ask("https://b.s3.amazonaws.com/k"), "b.s3.amazonaws.com", "b", ""),
        (ask("https://s3.amazonaws.com/b%20c/k"), "s3.amazonaws.com", "b c", ""),
        (ask("https://S3.amazonaws.com:443/"), "s3.amazonaws.com", "", ""),
        (
            ask("https://123456789012.ddb.us-east-1.amazonaws.com/"),
            "123456789012.ddb.us-east-1.amazonaws.com",
            "123456789012",
            "123456789012",
        ),
        (ask("https://a.execute-api.us-east-1.amazonaws.com/"), "a.execute-api.us-east-1.amazonaws.com", "a", ""),
        (
            ask("https://vpce-1.execute-api.us-east-1.vpce.amazonaws.com/", b"GET", (b"x-apigw-api-id", b"abc")),
            "vpce-1.execute-api.us-east-1.vpce.amazonaws.com",
            "abc",
            "",
        ),
        (
            ask("https://vpce-1.execute-api.us-east-1.vpce.amazonaws.com/", b"GET", (b"x-apigw-api-id", b"../x")),
            "vpce-1.execute-api.us-east-1.vpce.amazonaws.com",
            "",
            "",
        ),
        (ask("https://sqs.us-east-1.amazonaws.com/1/q"), "sqs.us-east-1.amazonaws.com", "", ""),
        (ask("https://example.com/", name="SQS.eu-west-1.amazonaws.com"), "sqs.eu-west-1.amazonaws.com", "", ""),
        (ask("https://s3.amazonaws.com/", name="sqs.eu-west-1.amazonaws.com"), "s3.amazonaws.com", "", ""),
        (ask("https://example.com/"), "example.com", "", ""),
        (ask("https://[::1]:443/"), "", "", ""),
        (ask("https://[::1]:443/", name="?"), "", "", ""),
    ],
)
def test_host_resource_and_account(call: Call, host: str, resource: str, account: str) -> None:
    assert (call.host, call.resource, call.account) == (host, resource, account)


def test_what_errors_need() -> None:
    url = "https://sqs.eu-west-1.amazonaws.com/"
    call = ask(
        url,
        b"POST",
        (b"Content-Type", b"application/x-amz-json-1.1"),
        (b"x-amzn-query-mode", b"true"),
        scope("sqs"),
        target("AmazonSQS.SendMessage"),
    )
    assert (call.json_version, call.query_compatible) == ("1.1", True)
    assert (call.signing_name, call.access_key) == ("sqs", "AKID")
    assert ask(url, b"POST", (b"Content-Type", b"application/x-amz-json-1.0")).json_version == "1.0"
    assert ask("https://ecs.eu-west-1.amazonaws.com/").json_version == "1.1"
    assert not ask(url).query_compatible


@pytest.mark.parametrize(
    ("url", "fields", "wanted"),
    [
        ("https://sts.amazonaws.com/", (FORM,), FORM_LIMIT),
        ("https://sts.amazonaws.com/", (FORM, scope("sts")), FORM_LIMIT),
        ("https://sqs.eu-west-1.amazonaws.com/1/q", (FORM,), FORM_LIMIT),
        ("https://unknown.example/", (FORM,), FORM_LIMIT),
        ("https://sts.amazonaws.com/?Action=GetCallerIdentity", (FORM,), 0),
        ("https://sqs.eu-west-1.amazonaws.com/", (FORM, target("AmazonSQS.SendMessage")), 0),
        ("https://sts.amazonaws.com/", ((b"Content-Type", b"text/plain"),), 0),
        ("https://sts.amazonaws.com/", (), 0),
        ("https://b.s3.amazonaws.com/", (FORM,), 0),
        ("https://a.execute-api.eu-west-1.amazonaws.com/", (FORM,), 0),
    ],
)
def test_bodies_are_wanted_for_forms_alone(url: str, fields: tuple[tuple[bytes, bytes], ...], wanted: int) -> None:
    assert body_wanted(aws_lab.get_head(url, b"POST", *fields)) == wanted
    assert body_wanted(aws_lab.get_head(url, b"PUT", *fields)) == 0


def test_the_name_of_the_connection_tells_whether_a_form_is_wanted() -> None:
    head = aws_lab.get_head("https://localhost/", b"POST", FORM)
    assert body_wanted(head, name="b.s3.amazonaws.com") == 0


def test_only_the_beginning_of_a_form_is_looked_at() -> None:
    late = b"x=" + b"y" * FORM_LIMIT + b"&Action=ListUsers"
    assert ask("https://iam.amazonaws.com/", b"POST", FORM, body=late).operation == ""
    many = b"&".join([b"a=b"] * 1000) + b"&Action=ListUsers"
    assert ask("https://iam.amazonaws.com/", b"POST", FORM, body=many).operation == ""
    assert ask("https://iam.amazonaws.com/", b"POST", FORM, body=b"&=x&A%63tion=List%55sers").operation == "ListUsers"


BYTES = st.binary(max_size=120)
FIELD = st.tuples(
    st.sampled_from(
        [b"Host", b"Authorization", b"X-Amz-Target", b"Content-Type", b"smithy-protocol", b"X-Amz-Region-Set", b"x"]
    ),
    BYTES
    | st.sampled_from(
        [
            b"s3.amazonaws.com",
            b"abc.execute-api.us-east-1.amazonaws.com",
            b"application/x-www-form-urlencoded",
            scope("s3")[1],
            scope("elasticloadbalancing")[1],
            b"AWS4-ECDSA-P256-SHA256 Credential=///aws4_request",
            b"DynamoDB_20120810.ListTables",
        ]
    ),
)


@given(
    BYTES | st.sampled_from([b"GET", b"POST", b"PUT"]),
    BYTES | BYTES.map(lambda tail: b"/?Action=" + tail) | BYTES.map(lambda tail: b"/service/a/operation/" + tail),
    st.lists(FIELD, max_size=8),
    st.text(max_size=40),
    BYTES,
)
def test_any_bytes_are_a_call(
    method: bytes, path: bytes, fields: list[tuple[bytes, bytes]], name: str, body: bytes
) -> None:
    head = RequestHead(method=method, target=path, fields=tuple(fields))
    call = classify(head, name=name, body=body)
    assert isinstance(call, Call)
    assert isinstance(call.protocol, Protocol)
    assert call.operation.isascii()
    assert call.region.isascii()
    assert body_wanted(head) in {0, FORM_LIMIT}


@given(st.data())
def test_a_real_request_cut_anywhere_is_a_call(data: st.DataObject) -> None:
    head = aws_lab.get_head(
        "https://b.s3.eu-west-1.amazonaws.com/k?uploadId=1&partNumber=2",
        b"PUT",
        scope("s3"),
        (b"x-amz-copy-source", b"a/b"),
    )
    cut = data.draw(st.integers(0, 200))
    fields = tuple((key, value[:cut]) for key, value in head.fields)
    assert classify(RequestHead(method=head.method, target=head.target[:cut], fields=fields)).service in {"s3", ""}
