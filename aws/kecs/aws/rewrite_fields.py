"""Which answers can hold a backend's address, and in which fields. A table, and the look-up in it. Pure.

Only fields that AWS fills are here. What customers store and get back (items, parameters, messages, environments) is
theirs, whatever addresses it holds; the exceptions are outputs of stacks, which are made of what the backend said.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from kecs.aws.profiles import Profile
from kecs.aws.rewrite_addresses import (
    Rule,
    address,
    brokers,
    code_location,
    free,
    function_url,
    issuer,
    mail,
    object_location,
    own,
    owner,
    queue_url,
    search_domain,
)

MESSAGE: Final = "Body"
"""The field that may hold a notification, with addresses inside; its checksum stands beside it."""

_KEPT: Final = 4096
_ERROR: Final = 300
_FAULT: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """What is looked at in answers of some operations."""

    operations: frozenset[str] = frozenset()
    """None named means all of the service's. The empty name: requests that are none of the API's."""
    rules: Mapping[str, Rule]
    names: frozenset[str] = frozenset()
    """Fields that rules ask for."""
    always: bool = False
    """Also where the backend has no address of its own to betray: it spells something else than AWS."""
    messages: bool = False
    """Notifications may be in `MESSAGE`: seen whole or not at all."""
    owners: bool = False
    """Only where the backend calls owners by a name of its own."""

    @property
    def fields(self) -> frozenset[str]:
        """Every field that has to be seen."""
        return self.names.union(self.rules)


def _sheet(
    rules: Mapping[str, Rule],
    operations: str = "",
    *,
    names: str = "",
    always: bool = False,
    messages: bool = False,
    owners: bool = False,
) -> Sheet:
    return Sheet(
        operations=frozenset(name.strip("-") for name in operations.split()),
        rules=MappingProxyType(dict(rules)),
        names=frozenset(names.split()),
        always=always,
        messages=messages,
        owners=owners,
    )


def _all(rule: Rule, fields: str) -> dict[str, Rule]:
    return dict.fromkeys(fields.split(), rule)


_DATABASE: Final = own("{name}.{hash}.{region}.rds.{suffix}", "DBInstanceIdentifier", "DBClusterIdentifier")
_DATABASES: Final = (
    _sheet(
        {
            "Address": _DATABASE,
            "Endpoint": own("{name}.cluster-{hash}.{region}.rds.{suffix}", "DBClusterIdentifier"),
            "ReaderEndpoint": own("{name}.cluster-ro-{hash}.{region}.rds.{suffix}", "DBClusterIdentifier"),
        },
        names="DBInstanceIdentifier DBClusterIdentifier",
    ),
)
_DISCOVERY: Final = _all(address, "Address")
_SEARCH: Final = (
    _sheet(
        _all(search_domain, "Endpoint EndpointV2 DashboardEndpoint KibanaEndpoint vpc vpcv2"),
        names="DomainName",
    ),
)
_CLAIMS: Final = (
    "issuer jwks_uri authorization_endpoint token_endpoint userinfo_endpoint end_session_endpoint revocation_endpoint"
)

SHEETS: Final[Mapping[str, tuple[Sheet, ...]]] = MappingProxyType(
    {
        "sqs": (
            _sheet(
                _all(queue_url, "QueueUrl QueueUrls queueUrls"),
                "CreateQueue GetQueueUrl ListQueues ListDeadLetterSourceQueues",
            ),
            _sheet({}, "ReceiveMessage", names=MESSAGE, messages=True),
        ),
        "s3": (
            _sheet({"Location": object_location}, "CompleteMultipartUpload", always=True),
            _sheet({"Location": address}, "PostObject"),
            _sheet(
                {"DisplayName": owner},
                "ListBuckets ListObjects ListObjectsV2 ListObjectVersions ListMultipartUploads ListParts GetBucketAcl"
                " GetObjectAcl",
                owners=True,
            ),
        ),
        "organizations": (_sheet({"MasterAccountEmail": mail, "Email": mail}),),
        "lambda": (
            _sheet(
                {"FunctionUrl": function_url},
                "CreateFunctionUrlConfig GetFunctionUrlConfig UpdateFunctionUrlConfig ListFunctionUrlConfigs",
                always=True,
            ),
            _sheet({"Location": code_location}, "GetFunction GetLayerVersion GetLayerVersionByArn PublishLayerVersion"),
        ),
        "dynamodb": (_sheet(_DISCOVERY, "DescribeEndpoints"),),
        "timestream-query": (_sheet(_DISCOVERY, "DescribeEndpoints"),),
        "timestream-write": (_sheet(_DISCOVERY, "DescribeEndpoints"),),
        "mediaconvert": (_sheet({"Url": address}, "DescribeEndpoints"),),
        "iot": (_sheet({"endpointAddress": address}, "DescribeEndpoint"),),
        "apigateway": (_sheet(_all(address, "regionalDomainName distributionDomainName domainName")),),
        "apigatewayv2": (_sheet(_all(address, "ApiEndpoint apiEndpoint ApiGatewayDomainName apiGatewayDomainName")),),
        "cloudformation": (
            _sheet(
                _all(free, "OutputValue PhysicalResourceId Value"),
                "DescribeStacks DescribeStackResource DescribeStackResources ListStackResources ListExports"
                " DescribeStackEvents",
            ),
        ),
        "cloudcontrol": (
            _sheet(_all(free, "Properties Identifier"), "GetResource ListResources GetResourceRequestStatus"),
        ),
        "cognito-idp": (_sheet(_all(address, _CLAIMS), "-"),),
        "ecr": (_sheet(_all(address, "repositoryUri proxyEndpoint")),),
        "opensearch": _SEARCH,
        "es": _SEARCH,
        "opensearchserverless": (_sheet(_all(address, "collectionEndpoint dashboardEndpoint")),),
        "rds": _DATABASES,
        "docdb": _DATABASES,
        "neptune": _DATABASES,
        "redshift": (
            _sheet(
                {"Address": own("{name}.{hash}.{region}.redshift.{suffix}", "ClusterIdentifier")},
                names="ClusterIdentifier",
            ),
        ),
        "elasticache": (
            _sheet(
                {"Address": own("{name}.{hash}.0001.{zone}.cache.{suffix}", "CacheClusterId", "ReplicationGroupId")},
                names="CacheClusterId ReplicationGroupId",
            ),
        ),
        "memorydb": (
            _sheet({"Address": own("clustercfg.{name}.{hash}.memorydb.{region}.{suffix}", "Name")}, names="Name"),
        ),
        "kafka": (
            _sheet(
                _all(
                    brokers,
                    "bootstrapBrokerString bootstrapBrokerStringTls bootstrapBrokerStringSaslScram"
                    " bootstrapBrokerStringSaslIam",
                ),
            ),
        ),
        "mq": (
            _sheet(
                _all(own("{name}-1.mq.{region}.{suffix}", "brokerId", port=True), "consoleURL endpoints"),
                names="brokerId",
                always=True,
            ),
        ),
        "eks": (
            _sheet(
                {"endpoint": own("{id}.gr7.{region}.eks.{suffix}", "name"), "issuer": issuer},
                names="name",
            ),
        ),
        "ecs": (
            _sheet(
                _all(own("ecs-a-1.{region}.{suffix}"), "endpoint telemetryEndpoint serviceConnectEndpoint"),
                "DiscoverPollEndpoint",
                always=True,
            ),
        ),
        "appsync": (
            _sheet(
                {
                    "GRAPHQL": own("{name}.appsync-api.{region}.{suffix}", "apiId", path="/graphql"),
                    "HTTP": own("{name}.appsync-api.{region}.{suffix}", "apiId"),
                    "REALTIME": own("{name}.appsync-realtime-api.{region}.{suffix}", "apiId"),
                },
                names="apiId",
                always=True,
            ),
        ),
        "elbv2": (_sheet({"DNSName": address}),),
        "elb": (_sheet(_all(address, "DNSName CanonicalHostedZoneName")),),
        "cloudfront": (_sheet({"DomainName": free}),),
        "dsql": (_sheet({"endpoint": own("{name}.dsql.{region}.on.aws", "identifier")}, names="identifier"),),
        "mwaa": (_sheet({"WebserverUrl": own("{id}.c1.{region}.airflow.{suffix}", "Name")}, names="Name"),),
        "transcribe": (_sheet(_all(address, "TranscriptFileUri RedactedTranscriptFileUri")),),
        "mediastore": (
            _sheet({"Endpoint": own("{id}.data.mediastore.{region}.{suffix}", "Name")}, names="Name", always=True),
        ),
    }
)
"""Sheets by service; the first that has the operation counts."""

_ERRORS: Final = _sheet({"Message": free, "message": free, "Endpoint": address})
"""What any service's error may hold: the words for people, and S3's hint where else to ask."""


_FAULTS: Final = _sheet(_all(address, "Message message Endpoint"))
"""A server's fault is told in its own words: customers have no part in them."""


@lru_cache(maxsize=_KEPT)
def sheet_of(
    service: str,
    operation: str,
    profile: Profile,
    status: int,
    outward: bool = False,  # noqa: FBT001, FBT002 - a cache's key
) -> Sheet | None:
    """Return what is looked at in an answer; None when it can hold nothing of the backend's.

    With `outward` AWS's addresses become others: then every field that holds addresses is looked at.
    """
    if status >= _ERROR:
        if not profile.markers:
            return None
        return _FAULTS if status >= _FAULT else _ERRORS
    for sheet in SHEETS.get(service, ()):
        if not sheet.operations or operation in sheet.operations:
            return sheet if _applies(sheet, profile, outward=outward) else None
    return None


def _applies(sheet: Sheet, profile: Profile, *, outward: bool) -> bool:
    if sheet.owners:
        return bool(profile.owner)
    return sheet.always or bool(profile.markers) or (outward and not sheet.messages)
