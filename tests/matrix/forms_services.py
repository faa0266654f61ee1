"""Everything else: identities, tables, users, and one question to each of many services."""

import json
from typing import Final
from urllib.parse import urlencode

from matrix import forms_functions
from matrix.playbook import (
    Api,
    Form,
    From,
    Given,
    Group,
    Presigned,
    Raw,
    Text,
    among,
    any_of,
    every,
    holds,
    like,
    some,
    status,
)

_ACCOUNT: Final = r"^\d{12}$"


def _whoami(name: str, region: str = "us-east-1", **config: object) -> Form:
    return Form(
        name=name,
        ask=Api(service="sts", operation="GetCallerIdentity", region=region, config=config),
        right=like("Account", _ACCOUNT),
    )


def _refused(given: Given) -> str:
    """Want an error, or a way elsewhere: nobody has an answer to a request that says nothing."""
    text = given["body"].decode("utf-8", "replace")
    if "ListAllMyBuckets" in text or "<Buckets>" in text:
        return "S3's answer"
    return "" if 300 <= given["status"] < 500 or given["status"] == 501 else f"status {given['status']}"


def _unsigned(host: str, service: str) -> Form:
    return Form(name=f"unsigned GET / of {service}", ask=Raw(method="GET", host=host), right=_refused)


_ROLE: Final = "arn:aws:iam::000000000000:role/kecs"
_WEB_IDENTITY: Final = {
    "Action": "AssumeRoleWithWebIdentity",
    "Version": "2011-06-15",
    "RoleArn": _ROLE,
    "RoleSessionName": "kecs",
    "WebIdentityToken": "e30.e30.e30",
}
_FORM: Final = {"Content-Type": "application/x-www-form-urlencoded"}
_IDENTITIES: Final = (
    _whoami("STS, region"),
    _whoami("STS, another region", "eu-central-1"),
    _whoami("STS, GovCloud", "us-gov-west-1"),
    _whoami("STS, China", "cn-north-1"),
    _whoami("STS, FIPS", use_fips_endpoint=True),
    Form(
        name="STS, global host",
        ask=Api(service="sts", operation="GetCallerIdentity", endpoint="https://sts.amazonaws.com"),
        right=like("Account", _ACCOUNT),
    ),
    Form(
        name="STS, VPC endpoint",
        ask=Api(
            service="sts",
            operation="GetCallerIdentity",
            endpoint="https://vpce-1a2b3c4d-5e6f.sts.us-east-1.vpce.amazonaws.com",
        ),
        right=like("Account", _ACCOUNT),
    ),
    Form(
        name="STS, query over GET",
        ask=Raw(
            method="GET",
            host="sts.us-east-1.amazonaws.com",
            target="/?Action=GetCallerIdentity&Version=2011-06-15",
            sign=("sts", "us-east-1"),
        ),
        right=every(status(200), like("body", "<GetCallerIdentityResult>")),
    ),
    Form(
        name="STS, presigned GetCallerIdentity (EKS token)",
        ask=Presigned(
            service="sts", operation="GetCallerIdentity", method="GET", headers={"x-k8s-aws-id": "kecs-cluster"}
        ),
        right=every(status(200), like("body", "<GetCallerIdentityResult")),
    ),
    Form(
        name="STS, presigned POST",
        ask=Presigned(service="sts", operation="GetCallerIdentity", method="POST"),
        right=every(status(200), like("body", "<GetCallerIdentityResult")),
    ),
    Form(
        name="STS, AssumeRole",
        ask=Api(service="sts", operation="AssumeRole", parameters={"RoleArn": _ROLE, "RoleSessionName": "kecs"}),
        right=every(some("Credentials.SecretAccessKey"), like("AssumedRoleUser.Arn", "assumed-role/kecs/kecs$")),
    ),
    Form(
        name="STS, AssumeRoleWithWebIdentity, unsigned",
        ask=Raw(method="POST", host="sts.us-east-1.amazonaws.com", headers=_FORM, body=urlencode(_WEB_IDENTITY)),
        right=every(status(200), like("body", "<SecretAccessKey>")),
    ),
    Form(
        name="IAM, global host",
        ask=Api(service="iam", operation="ListRoles"),
        right=some("ResponseMetadata.RequestId"),
    ),
    Form(
        name="IAM, China",
        ask=Api(service="iam", operation="ListUsers", region="cn-north-1"),
        right=status(200),
    ),
    Form(
        name="IAM: what is not there",
        ask=Api(service="iam", operation="GetRole", parameters={"RoleName": "kecs-nothing"}),
        right=lambda _: "found",
        refuses="NoSuchEntity",
    ),
    Form(
        name="an account's number as access key",
        ask=Api(service="sts", operation="GetCallerIdentity", key="111122223333"),
        right=like("Account", _ACCOUNT),
    ),
)

_TABLE: Final = Api(
    service="dynamodb",
    operation="CreateTable",
    parameters={
        "TableName": "kecs-table",
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "BillingMode": "PAY_PER_REQUEST",
        "StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
    },
)
_ITEM: Final = {"id": {"S": "1"}, "address": {"S": "http://my-server.example:4567"}}
_ITEM_PUT: Final = Api(service="dynamodb", operation="PutItem", parameters={"TableName": "kecs-table", "Item": _ITEM})


def _item(name: str, endpoint: str = "", **config: object) -> Form:
    return Form(
        name=name,
        ask=Api(
            service="dynamodb",
            operation="GetItem",
            endpoint=endpoint,
            parameters={"TableName": "kecs-table", "Key": {"id": {"S": "1"}}},
            config=config,
        ),
        right=holds("Item", _ITEM),
        after=(_TABLE, _ITEM_PUT),
    )


_METRIC: Final = {"Namespace": "kecs", "MetricData": [{"MetricName": "m", "Value": 1.0}]}
_METRIC_PUT: Final = Api(service="cloudwatch", operation="PutMetricData", parameters=_METRIC)


def _metrics(name: str, protocol: str) -> tuple[Form, Form]:
    put = Api(service="cloudwatch", operation="PutMetricData", parameters=_METRIC, protocol=protocol)
    listed = Api(service="cloudwatch", operation="ListMetrics", parameters={"Namespace": "kecs"}, protocol=protocol)
    return (
        Form(name=f"CloudWatch: PutMetricData, {name}", ask=put, right=status(200)),
        Form(
            name=f"CloudWatch: ListMetrics, {name}",
            ask=listed,
            right=holds("Metrics.0.MetricName", "m"),
            after=(_METRIC_PUT,),
        ),
    )


def _by_query(operation: str, parameters: dict[str, str], wanted: str) -> Form:
    given = {"Action": operation, "Version": "2010-08-01", "Namespace": "kecs", **parameters}
    return Form(
        name=f"CloudWatch: {operation}, query",
        ask=Raw(
            method="POST",
            host="monitoring.us-east-1.amazonaws.com",
            headers=_FORM,
            body=urlencode(given),
            sign=("monitoring", "us-east-1"),
        ),
        right=every(status(200), like("body", wanted)),
        after=(_METRIC_PUT,),
    )


_LOG_GROUP: Final = Api(service="logs", operation="CreateLogGroup", parameters={"logGroupName": "kecs-group"})
_LOG_GROUPS: Final = Api(service="logs", operation="DescribeLogGroups", parameters={"logGroupNamePrefix": "kecs-group"})
_MACHINE: Final = Api(
    service="stepfunctions",
    operation="CreateStateMachine",
    parameters={
        "name": "kecs-machine",
        "type": "EXPRESS",
        "roleArn": _ROLE,
        "definition": json.dumps({"StartAt": "a", "States": {"a": {"Type": "Pass", "Result": "done", "End": True}}}),
    },
)
_DATA: Final = (
    _item("DynamoDB, region"),
    _item("DynamoDB, FIPS", use_fips_endpoint=True),
    _item("DynamoDB, account in the host name", "https://000000000000.ddb.us-east-1.amazonaws.com"),
    _item("DynamoDB, dual-stack (api.aws)", use_dualstack_endpoint=True),
    _item("DynamoDB, VPC endpoint", "https://vpce-1a2b3c4d-5e6f.dynamodb.us-east-1.vpce.amazonaws.com"),
    Form(
        name="DynamoDB: condition that does not hold",
        ask=Api(
            service="dynamodb",
            operation="PutItem",
            parameters={"TableName": "kecs-table", "Item": _ITEM, "ConditionExpression": "attribute_not_exists(id)"},
        ),
        right=lambda _: "done",
        after=(_TABLE, _ITEM_PUT),
        refuses="ConditionalCheckFailedException",
    ),
    Form(
        name="DynamoDB: table that is not there",
        ask=Api(service="dynamodb", operation="DescribeTable", parameters={"TableName": "kecs-nothing"}),
        right=lambda _: "found",
        refuses="ResourceNotFoundException",
    ),
    Form(
        name="DynamoDB: DescribeEndpoints",
        ask=Api(service="dynamodb", operation="DescribeEndpoints"),
        right=holds("Endpoints.0.Address", "dynamodb.us-east-1.amazonaws.com"),
    ),
    Form(
        name="DynamoDB Streams",
        ask=Api(service="dynamodbstreams", operation="ListStreams", parameters={"TableName": "kecs-table"}),
        right=holds("Streams.0.TableName", "kecs-table"),
        after=(_TABLE,),
    ),
    Form(
        name="DynamoDB: unsigned",
        ask=Api(service="dynamodb", operation="ListTables", unsigned=True),
        right=among("TableNames", "", "kecs-table"),
        after=(_TABLE,),
    ),
    *_metrics("JSON", "json"),
    _by_query(
        "PutMetricData",
        {"MetricData.member.1.MetricName": "m", "MetricData.member.1.Value": "1"},
        "PutMetricDataResponse",
    ),
    _by_query("ListMetrics", {}, "<MetricName>m</MetricName>"),
    *_metrics("CBOR", "smithy-rpc-v2-cbor"),
    Form(name="Logs: DescribeLogGroups", ask=_LOG_GROUPS, right=some("logGroups"), after=(_LOG_GROUP,)),
    Form(
        name="Logs: StartLiveTail",
        ask=Api(
            service="logs",
            operation="StartLiveTail",
            parameters={
                "logGroupIdentifiers": [From(_LOG_GROUPS, "logGroups.0.arn", lambda arn: arn.removesuffix(":*"))]
            },
        ),
        right=some("responseStream.0"),
        after=(_LOG_GROUP, _LOG_GROUPS),
    ),
    Form(
        name="Step Functions: StartSyncExecution",
        ask=Api(
            service="stepfunctions",
            operation="StartSyncExecution",
            parameters={"stateMachineArn": From(_MACHINE, "stateMachineArn")},
        ),
        right=holds("status", "SUCCEEDED"),
        after=(_MACHINE,),
    ),
    Form(
        name="Secrets Manager",
        ask=Api(service="secretsmanager", operation="GetSecretValue", parameters={"SecretId": "kecs-secret"}),
        right=holds("SecretString", "s"),
        after=(
            Api(
                service="secretsmanager",
                operation="CreateSecret",
                parameters={"Name": "kecs-secret", "SecretString": "s"},
            ),
        ),
    ),
    Form(
        name="SSM: parameter",
        ask=Api(service="ssm", operation="GetParameter", parameters={"Name": "/kecs/p"}),
        right=holds("Parameter.Value", "v"),
        after=(
            Api(
                service="ssm", operation="PutParameter", parameters={"Name": "/kecs/p", "Value": "v", "Type": "String"}
            ),
        ),
    ),
    Form(name="KMS: ListKeys", ask=Api(service="kms", operation="ListKeys"), right=status(200)),
)

_POOL: Final = Api(service="cognito-idp", operation="CreateUserPool", parameters={"PoolName": "kecs-pool"})
_POOL_ID: Final = From(_POOL, "UserPool.Id")
_CLIENT: Final = Api(
    service="cognito-idp",
    operation="CreateUserPoolClient",
    parameters={"UserPoolId": _POOL_ID, "ClientName": "kecs"},
)
_COGNITO: Final = "cognito-idp.us-east-1.amazonaws.com"
_USERS: Final = (
    Form(name="Cognito: CreateUserPool", ask=_POOL, right=like("UserPool.Id", r"^us-east-1_\w+$")),
    Form(
        name="Cognito: SignUp, unsigned",
        ask=Api(
            service="cognito-idp",
            operation="SignUp",
            unsigned=True,
            parameters={
                "ClientId": From(_CLIENT, "UserPoolClient.ClientId"),
                "Username": "kecs",
                "Password": "Passw0rd!long",
            },
        ),
        right=some("UserSub"),
        after=(_POOL, _CLIENT),
    ),
    Form(
        name="Cognito: keys of a pool",
        ask=Raw(method="GET", host=_COGNITO, target=Text("/{}/.well-known/jwks.json", (_POOL_ID,))),
        right=every(status(200), some("json.keys")),
        after=(_POOL,),
    ),
    Form(
        name="Cognito: OpenID configuration",
        ask=Raw(method="GET", host=_COGNITO, target=Text("/{}/.well-known/openid-configuration", (_POOL_ID,))),
        right=every(status(200), like("json.jwks_uri", rf"^https://{_COGNITO}/us-east-1_\w+/\.well-known/jwks\.json$")),
        after=(_POOL,),
    ),
    Form(
        name="Cognito identity: GetId, unsigned",
        ask=Api(
            service="cognito-identity",
            operation="GetId",
            unsigned=True,
            parameters={
                "IdentityPoolId": From(
                    _IDENTITY_POOL := Api(
                        service="cognito-identity",
                        operation="CreateIdentityPool",
                        parameters={"IdentityPoolName": "kecs", "AllowUnauthenticatedIdentities": True},
                    ),
                    "IdentityPoolId",
                )
            },
        ),
        right=some("IdentityId"),
        after=(_IDENTITY_POOL,),
    ),
)


def _asked(service: str, operation: str, path: str = "", parameters: dict[str, object] | None = None) -> Form:
    """Ask a service for a list; a right answer has it, empty or not."""
    return Form(
        name=f"{service}: {operation}",
        ask=Api(service=service, operation=operation, parameters=parameters or {}),
        right=status(200) if not path else some(path),
    )


_LISTS: Final = (
    _asked("acm", "ListCertificates"),
    _asked("athena", "ListWorkGroups"),
    _asked("autoscaling", "DescribeAutoScalingGroups"),
    _asked("backup", "ListBackupVaults"),
    _asked("batch", "DescribeJobQueues"),
    _asked("cloudformation", "ListStacks"),
    _asked("cloudfront", "ListDistributions", "DistributionList"),
    _asked("cloudtrail", "DescribeTrails"),
    _asked("codecommit", "ListRepositories"),
    _asked("codebuild", "ListProjects"),
    _asked("docdb", "DescribeDBClusters"),
    _asked("ec2", "DescribeRegions", "Regions"),
    _asked("ecr", "DescribeRepositories"),
    _asked("ecs", "ListClusters"),
    _asked("efs", "DescribeFileSystems"),
    _asked("eks", "ListClusters"),
    _asked("elasticache", "DescribeCacheClusters"),
    _asked("elasticbeanstalk", "DescribeApplications"),
    _asked("elb", "DescribeLoadBalancers"),
    _asked("elbv2", "DescribeLoadBalancers"),
    _asked("emr", "ListClusters"),
    _asked("es", "ListDomainNames"),
    _asked("glacier", "ListVaults"),
    _asked("glue", "GetDatabases"),
    _asked("guardduty", "ListDetectors"),
    _asked("iot", "ListThings"),
    _asked("iot", "DescribeEndpoint", "endpointAddress"),
    _asked("kafka", "ListClustersV2"),
    _asked("mediastore", "ListContainers"),
    _asked("mq", "ListBrokers"),
    _asked("neptune", "DescribeDBClusters"),
    _asked("opensearch", "ListDomainNames"),
    Form(
        name="organizations: DescribeOrganization",
        ask=Api(service="organizations", operation="DescribeOrganization"),
        right=some("Organization"),
        refuses="AWSOrganizationsNotInUseException",
    ),
    _asked("rds", "DescribeDBInstances"),
    _asked("redshift", "DescribeClusters"),
    _asked("resource-groups", "ListGroups"),
    _asked("resourcegroupstaggingapi", "GetResources"),
    _asked("route53", "ListHostedZones"),
    _asked("route53resolver", "ListResolverEndpoints"),
    _asked("sagemaker", "ListModels"),
    _asked("scheduler", "ListSchedules"),
    _asked("servicediscovery", "ListNamespaces"),
    _asked("swf", "ListDomains", parameters={"registrationStatus": "REGISTERED"}),
    Form(
        name="timestream-write: ListDatabases, with endpoint discovery",
        ask=Api(service="timestream-write", operation="ListDatabases", config={"endpoint_discovery_enabled": True}),
        right=status(200),
    ),
    _asked("transfer", "ListServers"),
    _asked("wafv2", "ListWebACLs", parameters={"Scope": "REGIONAL"}),
    _asked("xray", "GetGroups"),
    _asked("braket", "SearchDevices", parameters={"filters": []}),
    _asked("groundstation", "ListSatellites"),
)


def _bedrock(name: str, headers: dict[str, str]) -> Form:
    body = json.dumps({"messages": [{"role": "user", "content": [{"text": "hello"}]}]})
    return Form(
        name=name,
        ask=Raw(
            method="POST",
            host="bedrock-runtime.us-east-1.amazonaws.com",
            target="/model/amazon.titan-text-lite-v1/converse",
            headers={"Content-Type": "application/json", **headers},
            body=body,
            sign=None if headers else ("bedrock", "us-east-1"),
        ),
        right=every(status(200), some("json.output.message.content")),
    )


_STRANGE: Final = (
    *(
        _unsigned(host, service)
        for service, host in (
            ("STS", "sts.us-east-1.amazonaws.com"),
            ("DynamoDB", "dynamodb.us-east-1.amazonaws.com"),
            ("SNS", "sns.us-east-1.amazonaws.com"),
            ("IAM", "iam.amazonaws.com"),
            ("Lambda", "lambda.us-east-1.amazonaws.com"),
            ("Kinesis", "kinesis.us-east-1.amazonaws.com"),
            ("an AWS name that is none", "something.us-east-1.amazonaws.com"),
        )
    ),
    _unsigned("d111111abcdef8.cloudfront.net.amazonaws.com", "a name below amazonaws.com"),
    Form(
        name="load balancer's own name",
        ask=Raw(method="GET", host="my-lb-1234567890.us-east-1.elb.amazonaws.com", target="/"),
        right=any_of(404, 501, 502, 503),
    ),
    _bedrock("Bedrock: Converse", {}),
    _bedrock("Bedrock: Converse, bearer token", {"Authorization": "Bearer bedrock-api-key-abc"}),
    Form(
        name="VPC endpoint of EC2",
        ask=Api(
            service="ec2",
            operation="DescribeRegions",
            endpoint="https://vpce-1a2b3c4d-5e6f.ec2.us-east-1.vpce.amazonaws.com",
        ),
        right=some("Regions"),
    ),
    Form(
        name="EC2, dual-stack (api.aws)",
        ask=Api(service="ec2", operation="DescribeRegions", config={"use_dualstack_endpoint": True}),
        right=some("Regions"),
    ),
    Form(
        name="EC2, FIPS",
        ask=Api(service="ec2", operation="DescribeRegions", config={"use_fips_endpoint": True}),
        right=some("Regions"),
    ),
    Form(
        name="Route 53, China",
        ask=Api(service="route53", operation="ListHostedZones", region="cn-northwest-1"),
        right=status(200),
    ),
    Form(
        name="operation that no service has",
        ask=Raw(
            method="POST",
            host="dynamodb.us-east-1.amazonaws.com",
            headers={"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": "DynamoDB_20120810.NoSuchThing"},
            body=b"{}",
            sign=("dynamodb", "us-east-1"),
        ),
        right=any_of(400, 404, 501),
    ),
)

GROUPS: Final = (
    Group(title="Identities", forms=_IDENTITIES),
    Group(title="Tables, metrics, logs, secrets", forms=_DATA),
    Group(title="Functions and APIs", forms=forms_functions.FUNCTIONS),
    Group(title="Users", forms=_USERS),
    Group(title="One question to each of many services", forms=_LISTS),
    Group(title="What is easily taken for something else", forms=_STRANGE),
)
