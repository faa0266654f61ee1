"""Forms of requests that not every backend understands: what they are, and how a call is recognised as one.

A backend that does not know a form rarely says so: most take what they can't place for S3, and answer 200 with a list
of buckets. So which forms a backend has is said in its profile, and the others never reach it.
"""

from enum import StrEnum
from typing import Final

from kecs.aws.call import Call
from kecs.aws.hosts import parse_host


class Form(StrEnum):
    """A form of request. Its value is how a refusal names it."""

    UNKNOWN = "a host of AWS that is no known service's"
    WEBSITE = "S3 static website hosting"
    ACCESS_POINT = "S3 access points"
    ACCESS_POINT_ALIAS = "aliases of S3 access points"
    OBJECT_LAMBDA = "S3 Object Lambda access points"
    MULTI_REGION = "S3 Multi-Region Access Points"
    OUTPOSTS = "S3 on Outposts"
    SELECT = "S3 Select"
    EXECUTE_API = "invoking APIs of API Gateway"
    FUNCTION_URL = "Lambda function URLs"
    REGISTRY = "the ECR image registry"
    LOAD_BALANCER = "traffic through load balancers"
    SEARCH_DOMAIN = "requests to OpenSearch domains"
    CLUSTER = "the API of EKS clusters"
    IOT_CREDENTIALS = "the IoT credential provider"
    GRAPHQL = "queries of AppSync APIs"
    PACKAGES = "package repositories of CodeArtifact"
    SIGNING_CERTIFICATE = "the certificate that SNS messages are signed with"
    SUBSCRIBE_TO_SHARD = "Kinesis enhanced fan-out (SubscribeToShard)"
    LIVE_TAIL = "CloudWatch Logs live tail (StartLiveTail)"
    SYNC_EXECUTION = "synchronous executions of Step Functions (StartSyncExecution)"
    CONVERSE = "inference by Bedrock"
    STRAY = "this service"
    """A service that the backend takes for S3."""


_BY_PREFIX: Final = {
    "s3-website": Form.WEBSITE,
    "s3-accesspoint": Form.ACCESS_POINT,
    "s3-object-lambda": Form.OBJECT_LAMBDA,
    "s3-global": Form.MULTI_REGION,
    "s3-outposts": Form.OUTPOSTS,
}
"""Endpoint prefixes of S3 that only stand before resources."""

_BY_PLANE: Final = {
    "execute-api": Form.EXECUTE_API,
    "lambda-url": Form.FUNCTION_URL,
    "ecr-registry": Form.REGISTRY,
    "load-balancer": Form.LOAD_BALANCER,
    "opensearch-domain": Form.SEARCH_DOMAIN,
    "eks-cluster": Form.CLUSTER,
    "iot-credentials": Form.IOT_CREDENTIALS,
    "appsync-api": Form.GRAPHQL,
    "codeartifact-repository": Form.PACKAGES,
}

_BY_OPERATION: Final = {
    ("s3", "SelectObjectContent"): Form.SELECT,
    ("kinesis", "SubscribeToShard"): Form.SUBSCRIBE_TO_SHARD,
    ("logs", "StartLiveTail"): Form.LIVE_TAIL,
    ("stepfunctions", "StartSyncExecution"): Form.SYNC_EXECUTION,
    ("bedrock-runtime", "Converse"): Form.CONVERSE,
    ("bedrock-runtime", "ConverseStream"): Form.CONVERSE,
    ("bedrock-runtime", "InvokeModel"): Form.CONVERSE,
    ("bedrock-runtime", "InvokeModelWithResponseStream"): Form.CONVERSE,
}

_ALIAS: Final = "-s3alias"
"""How the bucket-like names of access points end."""

CERTIFICATE_PATH: Final = b"/SimpleNotificationService-"
"""Where SNS has the certificate that its messages are signed with."""


def form_at(name: str, service: str, operation: str) -> Form | None:
    """Return what host, service and operation tell of a call's form; None for what every backend understands."""
    found = _BY_OPERATION.get((service, operation))
    if found is not None:
        return found
    host = parse_host(name)
    if host is not None and service == "s3" and host.prefix in _BY_PREFIX:
        return _BY_PREFIX[host.prefix]
    return _BY_PLANE.get(service) if service else Form.UNKNOWN


def form_of_target(call: Call, target: bytes) -> Form | None:
    """Return what bucket and path tell of it."""
    if call.service == "s3" and call.resource.endswith(_ALIAS):
        return Form.ACCESS_POINT_ALIAS
    if call.service == "sns" and target.startswith(CERTIFICATE_PATH):
        return Form.SIGNING_CERTIFICATE
    return None


def form_of(call: Call, target: bytes) -> Form | None:
    """Return which of the forms a call has; None for what every backend understands."""
    return form_of_target(call, target) or form_at(call.host, call.service, call.operation)
