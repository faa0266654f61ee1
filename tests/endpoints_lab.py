"""botocore's endpoint rules as the oracle: where a service is asked, in every region and variant, and how it is signed.

A request is made once, by a client of the service; its host and its credential are then those of every endpoint that
the rules give for its operation. Signatures are botocore's, but for SigV4A, whose signer is no Python.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final
from urllib.parse import parse_qsl

import aws_lab
import botocore.exceptions
import botocore.serialize
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.endpoint_provider import EndpointProvider

from kecs.aws.classify import body_wanted, classify
from kecs.aws.head import Fields, RequestHead
from kecs.aws.hosts import is_aws_name, parse_host

VARIANTS: Final = {
    "standard": {"UseFIPS": False, "UseDualStack": False},
    "FIPS": {"UseFIPS": True, "UseDualStack": False},
    "dual stack": {"UseFIPS": False, "UseDualStack": True},
    "FIPS and dual stack": {"UseFIPS": True, "UseDualStack": True},
}
ACCOUNT: Final = {"AccountId": "123456789012", "AccountIdEndpointMode": "preferred"}
"""What a client adds whose credentials name an account."""

CONSOLE: Final = "signin"
"""Some of this service's operations are asked at the console's names, <region>.signin.aws.amazon.com and
<region>.oauth.signin.aws, which are never intercepted."""

SAME_WIRE: Final = {
    "docdb": ("rds", "same host, scope, version and actions as RDS"),
    "neptune": ("rds", "same host, scope, version and actions as RDS"),
    "greengrassv2": ("greengrass", "tags, service role and connectivity have the same paths in both"),
    "lambda-microvms": ("lambda", "tags have the same path in both"),
    "signer-data": ("signer", "one operation stands in both models, at the same host and path"),
    "sms-voice": ("pinpoint-sms-voice", "two names of one API"),
    "wisdom": ("qconnect", "the older name of one API"),
}
"""Services that can't be told from another by anything on the wire, for the operations that both have."""

SAME_OPERATION: Final = {
    "GetBucketLifecycle": "GetBucketLifecycleConfiguration",
    "GetBucketNotification": "GetBucketNotificationConfiguration",
    "PutBucketLifecycle": "PutBucketLifecycleConfiguration",
    "PutBucketNotification": "PutBucketNotificationConfiguration",
}
"""S3's deprecated names of the same requests."""

_CREDENTIALS: Final = Credentials("AKIDEXAMPLE", "secret")
_NEEDED: Final = {"ServiceType": "ACM", "ApiType": "ControlPlane"}
"""Parameters without which some services' rules give no endpoint, where an operation does not fix them."""

_ARN: Final = "arn:{partition}:"
_KINESIS: Final = _ARN + "kinesis:{region}:123456789012:"
_OUTPOST: Final = _ARN + "s3-outposts:{region}:123456789012:outpost/op-01234567890123456/"
_ALIAS: Final = "test-accessp-o0b1d075431d83bebde8xz5w8ijx1qzlbp3i3kuse10"
SAID: Final[dict[str, tuple[dict[str, Any], ...]]] = {
    "s3": (
        {"Bucket": "dotted.bucket.name"},
        {"Bucket": "Upper_Case"},
        {"Bucket": "some-bucket", "ForcePathStyle": True},
        {"Bucket": "some-bucket", "Accelerate": True},
        {"Bucket": "some-bucket", "UseGlobalEndpoint": True},
        {"Bucket": "some-bucket", "UseGlobalEndpoint": True, "ForcePathStyle": True},
        {"Bucket": "some--use1-az4--x-s3"},
        {"Bucket": "some--use1-az4--x-s3", "DisableS3ExpressSessionAuth": True},
        {"Bucket": "some--use1-az4--x-s3", "UseS3ExpressControlEndpoint": True},
        {"Bucket": "some-ap--use1-az4--xa-s3"},
        {"Bucket": "some-ap-hrzrlukc5m36ft7okagglf3gmwluquse1b-s3alias"},
        {"Bucket": _ALIAS + "--op-s3"},
        {"Bucket": _ALIAS.replace("-o0b1", "-e0b1") + "--op-s3"},
        {"Bucket": _ARN + "s3:{region}:123456789012:accesspoint/some-ap"},
        {"Bucket": _ARN + "s3-object-lambda:{region}:123456789012:accesspoint/some-ap"},
        {"Bucket": _ARN + "s3::123456789012:accesspoint/mfzwi23gnjvgw.mrap"},
        {"Bucket": _OUTPOST + "accesspoint/some-ap"},
    ),
    "s3control": (
        {"AccessPointName": _OUTPOST + "accesspoint/some-ap"},
        {"Bucket": _OUTPOST + "bucket/some-bucket"},
        {"OutpostId": "op-01234567890123456"},
        {"AccessPointName": "some-ap--use1-az4--xa-s3"},
        {"UseS3ExpressControlEndpoint": True},
    ),
    "dynamodb": ({"ResourceArn": _ARN + "dynamodb:{region}:123456789012:table/some"} | ACCOUNT,),
    "dynamodbstreams": ({"StreamArn": _ARN + "dynamodb:{region}:123456789012:table/some/stream/2026"} | ACCOUNT,),
    "eventbridgev2": ({"EventBusArn": _ARN + "events:{region}:123456789012:event-bus/some"} | ACCOUNT,),
    "kinesis": (
        {"StreamARN": _KINESIS + "stream/some"},
        {"ConsumerARN": _KINESIS + "stream/some/consumer/some:1"},
        {"ResourceARN": _KINESIS + "stream/some"},
        {"ResourceARN": _KINESIS + "queue/some"},
        {"ResourceARN": _KINESIS + "channel/some"},
        {"ChannelARN": _KINESIS + "channel/some"},
        {"QueueARN": _KINESIS + "queue/some"},
        {"StreamId": "abcdefghijklmnopqrst-123"},
    ),
    "events": ({"EndpointId": "abc123.456def"},),
    "sesv2": ({"EndpointId": "abc123.456def"},),
    "cloudfront-keyvaluestore": ({"KvsARN": "arn:aws:cloudfront::123456789012:key-value-store/some"},),
    "opensearchmemory": ({"SpaceId": "space1"},),
}
"""What else operations, inputs and settings of a client may say to the rules, which then name other hosts."""

_CUSTOM: Final = re.compile(r"\{url#|CustomEndpoint")
"""In the URLs of rules for an endpoint that the client was given."""
_SETTINGS: Final = {"ForcePathStyle", "Accelerate", "UseGlobalEndpoint", *ACCOUNT}
"""What a client's settings say, and no operation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One operation's request, without host and credential."""

    service: str
    operation: str
    protocol: str
    method: bytes
    target: bytes
    fields: Fields
    body: bytes
    prefix: str
    """What the operation puts before the endpoint's name."""
    given: tuple[tuple[str, Any], ...]
    """What the operation and its input say to the rules."""
    may_say: frozenset[str]
    """The parameters of the rules that the operation or its input can say."""
    signed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where the rules send requests, and how those are signed."""

    host: str
    path: str
    url: str
    asked: str
    """The region that was asked for, and the variant."""
    scheme: str
    signing_name: str
    region: str
    """That requests are signed for."""


@cache
def services() -> list[str]:
    return sorted(aws_lab.session().get_available_services())


@cache
def partitions() -> Any:
    return aws_lab.session().get_component("data_loader").load_data("partitions")


@cache
def regions() -> dict[str, tuple[str, ...]]:
    """Return the regions of each partition, those for which botocore has only a name included."""
    return {one["id"]: tuple(sorted(one["regions"])) for one in partitions()["partitions"]}


@cache
def own_regions(service: str) -> tuple[str, ...]:
    """Return the regions that only a service's rules know: mturk's sandbox, greengrass's data planes."""
    known = {name for names in regions().values() for name in names}
    named = re.findall(r'\{"ref": "Region"\}, "([^"]+)"', json.dumps(_rule_set(service)))
    return tuple(sorted({*named} - known))


@cache
def implied() -> dict[str, str]:
    """Return, for pseudo regions like aws-global, the region that they stand for."""
    return {
        region: one["outputs"]["implicitGlobalRegion"]
        for one in partitions()["partitions"]
        for region in one["regions"]
        if region.endswith("-global")
    }


@cache
def _rule_set(service: str) -> Any:
    return aws_lab.session().get_component("data_loader").load_service_model(service, "endpoint-rule-set-1")


@cache
def rules(service: str) -> EndpointProvider:
    return EndpointProvider(_rule_set(service), partitions())


def _client(service: str) -> Any:
    try:
        return aws_lab.client(service, "us-east-1")
    except botocore.exceptions.BotoCoreError:
        return aws_lab.client(service, "us-west-2")


def _given(made: Any, operation: str) -> tuple[tuple[str, Any], ...]:
    resolver, model = made._ruleset_resolver, made.meta.service_model.operation_model(operation)
    arguments = aws_lab.parameters(model)
    found = {
        name: resolver._resolve_param_from_context(param_name=name, operation_model=model, call_args=arguments)
        for name in resolver._param_definitions
    }
    return tuple((name, value) for name, value in found.items() if value is not None)


def _may_say(made: Any, operation: str) -> frozenset[str]:
    model = made.meta.service_model.operation_model(operation)
    named = [*model.static_context_parameters, *model.context_parameters]
    return frozenset([one.name for one in named] + list(model.operation_context_parameters))


def _host_prefix(made: Any, operation: str) -> str:
    model = made.meta.service_model.operation_model(operation)
    template: str = (model.endpoint or {}).get("hostPrefix", "")
    return template.format_map(aws_lab.parameters(model))


def protocols(made: Any) -> list[str]:
    model = made.meta.service_model
    listed: list[str] = model.metadata.get("protocols") or [model.metadata["protocol"]]
    return sorted(listed, key=lambda name: name != model.resolved_protocol)


def requests(service: str, operations: Iterable[str] | None = None) -> Iterator[Request]:
    """Yield each operation's request, in every protocol that the service's model lists, botocore's own first."""
    made = _client(service)
    for protocol in protocols(made):
        made._serializer = botocore.serialize.create_serializer(protocol, include_validation=False)
        for operation in made.meta.service_model.operation_names if operations is None else operations:
            yield _request(made, service, operation, protocol)


def _request(made: Any, service: str, operation: str, protocol: str) -> Request:
    sent = aws_lab.sent(made, operation)
    fields = tuple(one for one in sent.head.fields if one[0].lower() not in {b"host", b"authorization"})
    given = _given(made, operation)
    prefix = _host_prefix(made, operation)
    target = sent.head.target
    if service == "machinelearning" and operation == "Predict":
        prefix = "realtime."  # botocore asks the endpoint that is one of its parameters
    if service == "s3" and operation == "GetBucketLocation":
        # botocore asks this with the bucket in the path, wherever it lies.
        given, target = (*given, ("ForcePathStyle", True)), target.removeprefix(b"/some-bucket")
    return Request(
        service=service,
        operation=operation,
        protocol=protocol,
        method=sent.head.method,
        target=target,
        fields=fields,
        body=sent.body,
        prefix=prefix,
        given=given,
        may_say=_may_say(made, operation),
        signed=sent.head.get(b"authorization") is not None,
    )


def _scheme(service: str, endpoint: Any, region: str) -> tuple[str, str, str]:
    """Return how requests to an endpoint are signed: scheme, name and region, or set of regions."""
    name = aws_lab.session().get_service_model(service).signing_name
    for one in endpoint.properties.get("authSchemes", []):
        scheme = one["name"].rpartition("#")[2]
        regions_signed = one.get("signingRegion") or ",".join(one.get("signingRegionSet", [])) or region
        return scheme, one.get("signingName", name), regions_signed
    return "sigv4", name, region


def _place(region: str) -> dict[str, str]:
    """Return what stands in the names of resources of a region."""
    partition = next((name for name, names in regions().items() if region in names), "aws")
    return {"region": region, "partition": partition}


def endpoints(
    service: str,
    given: tuple[tuple[str, Any], ...] = (),
    *,
    among: Iterable[str] | None = None,
    variants: Iterable[str] = tuple(VARIANTS),
) -> Iterator[Endpoint]:
    """Yield the endpoints of a service for what an operation says to the rules, in these regions or in all."""
    provider = rules(service)
    known = provider.ruleset.parameters
    builtin = [{}, ACCOUNT] if "AccountIdEndpointMode" in known else [{}]
    everywhere = [name for names in (*regions().values(), own_regions(service)) for name in names]
    for region in everywhere if among is None else among:
        place = _place(region)
        said = {key: value.format(**place) if isinstance(value, str) else value for key, value in given}
        for variant in variants:
            for more in builtin:
                wanted = _NEEDED | {"Region": region} | VARIANTS[variant] | more | said
                try:
                    found = provider.resolve_endpoint(**{key: wanted[key] for key in wanted if key in known})
                except botocore.exceptions.EndpointProviderError:
                    continue  # not every service has every variant, nor stands in every partition
                if not found.url.startswith("https://"):
                    continue  # DynamoDB's region "local", at localhost
                scheme, name, signed_for = _scheme(service, found, region)
                host, _, path = found.url.removeprefix("https://").partition("/")
                if region in own_regions(service) and region in host.split("."):
                    continue  # a variant that takes it for one of AWS's regions
                yield Endpoint(
                    host=host,
                    path=f"/{path}" if path else "",
                    url=found.url,
                    asked=f"{region}, {variant}",
                    scheme=scheme,
                    signing_name=name,
                    region=signed_for,
                )


def row_of(endpoint: Endpoint) -> tuple[str, str]:
    """Return how an endpoint is spelled, and where: hosts of one partition that differ in the region alone are one."""
    region = endpoint.asked.partition(",")[0]
    return endpoint.url.replace(region, "{region}"), _place(region)["partition"]


def all_said(request: Request) -> Iterator[tuple[tuple[str, Any], ...]]:
    """Yield what a request may say to the rules: as its smallest input does, and in each way that it can."""
    yield request.given
    for more in SAID.get(request.service, ()):
        if {*more} - _SETTINGS <= request.may_say:
            yield tuple((dict(request.given) | more).items())


def templates(service: str) -> set[str]:
    """Return the URLs that a service's rules hold, but for those of an endpoint that the client was given."""
    found: set[str] = set()

    def look(part: Any) -> None:
        if isinstance(part, dict):
            url = part["endpoint"]["url"] if isinstance(part.get("endpoint"), dict) else None
            if isinstance(url, str) and url.startswith("https://") and not _CUSTOM.search(url):
                found.add(url)
            for inner in part.values():
                look(inner)
        elif isinstance(part, list):
            for inner in part:
                look(inner)

    look(_rule_set(service))
    return found


def template_met(template: str, urls: Iterable[str]) -> bool:
    """Tell whether one of the URLs is spelled as the template says."""
    parts = re.split(r"\{[^}]*\}", template)
    pattern = re.compile("[^/]+".join(re.escape(part) for part in parts))
    return any(pattern.fullmatch(url) for url in urls)


def credential(request: Request, endpoint: Endpoint) -> Fields:
    """Return the fields by which a request to an endpoint is signed."""
    if not request.signed or endpoint.scheme == "none":
        return ()
    if endpoint.scheme == "bearer":
        return ((b"Authorization", b"Bearer token"),)
    if endpoint.scheme == "sigv4a":
        scope = f"AKIDEXAMPLE/20260101/{endpoint.signing_name}/aws4_request"
        value = f"AWS4-ECDSA-P256-SHA256 Credential={scope}, SignedHeaders=host;x-amz-region-set, Signature=30"
        return (b"X-Amz-Region-Set", endpoint.region.encode()), (b"Authorization", value.encode())
    made = AWSRequest(method="GET", url=f"https://{request.prefix}{endpoint.host}/")
    signer = S3SigV4Auth if request.service == "s3" else SigV4Auth
    signer(_CREDENTIALS, endpoint.signing_name, endpoint.region).add_auth(made)
    return ((b"Authorization", made.headers["Authorization"].encode()),)


def presigned(request: Request, endpoint: Endpoint) -> Request:
    """Return the request as a presigned URL makes it; its form, where it has one, stands in the query then."""
    path, _, query = request.target.decode().partition("?")
    if request.protocol in {"query", "ec2"}:
        query = request.body.decode()
    made = AWSRequest(
        method="GET",
        url=f"https://{request.prefix}{endpoint.host}{path}",
        params=dict(parse_qsl(query, keep_blank_values=True)),
    )
    signer = S3SigV4QueryAuth if request.service == "s3" else SigV4QueryAuth
    signer(_CREDENTIALS, endpoint.signing_name, endpoint.region).add_auth(made)
    is_form = request.protocol in {"query", "ec2"}
    return replace(
        request,
        method=b"GET" if is_form else request.method,
        target=f"{path}?{str(made.url).partition('?')[2]}".encode(),
        fields=tuple(one for one in request.fields if not (is_form and one[0].lower() == b"content-type")),
        body=b"" if is_form else request.body,
    )


def head_of(request: Request, endpoint: Endpoint, signed: Fields) -> RequestHead:
    host = (b"Host", f"{request.prefix}{endpoint.host}".encode())
    target = request.target
    if endpoint.path:
        target = endpoint.path.encode() + (target[1:] if target[:1] == b"/" and target[1:2] in b"?" else target)
    return RequestHead(method=request.method, target=target, fields=(host, *request.fields, *signed))


def region_meant(endpoint: Endpoint, host: str, *, signed: bool) -> str:
    """Return the region that a request to an endpoint is for: the one it is signed for, else what the host says."""
    if signed and endpoint.scheme not in {"sigv4a", "bearer", "none"}:
        return implied().get(endpoint.region, endpoint.region)
    told = parse_host(host)
    return "" if told is None else told.default_region


def wrong(request: Request, endpoint: Endpoint, signed: Fields) -> str:
    """Return what the classifier gets wrong about a request to an endpoint; an empty string for nothing."""
    head = head_of(request, endpoint, signed)
    host = f"{request.prefix}{endpoint.host}"
    if not is_aws_name(host):
        is_console = request.service == CONSOLE and CONSOLE in host.replace("-fips", "").split(".")
        return "" if is_console else f"{request.service}.{request.operation} at {host}: no AWS name"
    call = classify(head, body=request.body[: body_wanted(head)])
    operations = {request.operation, SAME_OPERATION.get(request.operation, "")}
    found = (
        (call.service == request.service or call.service in twins(request.service, request.operation))
        and call.operation in operations
        and call.region == region_meant(endpoint, host, signed=bool(signed) or b"X-Amz-Credential=" in request.target)
        and call.host == host
    )
    if found:
        return ""
    how = f"{endpoint.scheme} as {endpoint.signing_name} for {endpoint.region}" if signed else "nothing"
    return (
        f"{request.service}.{request.operation} ({request.protocol}; {endpoint.asked}; signed by {how}) at {host}: "
        f"{call.service}.{call.operation} in {call.region}"
    )


def _wire(service: str, operation: str) -> tuple[str, ...]:
    model = aws_lab.session().get_service_model(service)
    metadata, http = model.metadata, model.operation_model(operation).http
    version = metadata["apiVersion"] if {"query", "ec2"} & {*metadata.get("protocols", [metadata["protocol"]])} else ""
    return http["method"], re.sub(r"\{[^}+]*", "{", http["requestUri"]), model.signing_name, version


def twins(service: str, operation: str) -> set[str]:
    """Return the services that have the same request under the same name: the service, and one it shares it with."""
    other = SAME_WIRE.get(service, (service,))[0]
    there = operation in aws_lab.session().get_service_model(other).operation_names
    return {service, other} if there and _wire(service, operation) == _wire(other, operation) else {service}


def described(value: Any) -> str:
    return json.dumps(value, default=str, sort_keys=True)
