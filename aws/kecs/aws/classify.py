"""What a request is for: service, region, operation, from its head and at most the beginning of a form.

Evidence, in order: credential scope, X-Amz-Target, CBOR path, host, Action and Version, path. Each narrows what those
before it left open, and is ignored where it contradicts them. Nothing here raises, whatever the bytes.
"""

from functools import lru_cache
from typing import Any, Final, NamedTuple
from urllib.parse import unquote, unquote_plus

from kecs.aws import rest, services
from kecs.aws.call import Call, Protocol
from kecs.aws.head import RequestHead
from kecs.aws.hosts import AwsHost, normalise, parse_host
from kecs.aws.partitions import actual
from kecs.aws.scope import NOTHING, Scope, from_header, from_query
from kecs.aws.tables import tables

FORM_LIMIT: Final = 16 * 1024
"""How much of a form is looked at. Action and Version are at its beginning, or sorted near it."""

API_FIELD: Final = b"x-apigw-api-id"
"""Which API is meant, where many are asked at the name of one VPC endpoint."""

_FORM: Final = b"application/x-www-form-urlencoded"
_WORD: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")
_WORD_LIMIT: Final = 128
_REGION: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")
_REGION_LIMIT: Final = 40
_PARAMETER_LIMIT: Final = 256
_KEPT: Final = 1024
"""Of each kind of thing that a client says in every request alike: its host, its credential, its target."""
_SIGNED: Final = b"AWS4-HMAC-SHA256 Credential="
_NO_TARGET: Final = ("", "")
_NO_QUERY: Final[dict[str, str]] = {}
_CBOR_PARTS: Final = 5  # "", service, NAME, operation, NAME

_JSON_IN_CBOR: Final = b"application/x-amz-cbor"
_BY_CONTENT: Final = (
    (b"application/x-amz-json", Protocol.JSON),
    (b"application/cbor", Protocol.CBOR),
    (_JSON_IN_CBOR, Protocol.CBOR),
    (_FORM, Protocol.QUERY),
    (b"application/xml", Protocol.REST_XML),
    (b"text/xml", Protocol.REST_XML),
)
"""How to answer a request for an unknown service: as it spoke."""


class _Seen(NamedTuple):
    """A request, taken apart. A named tuple: made for every request, and made twice as fast as a frozen dataclass."""

    method: str
    path: str
    query: dict[str, str]
    head: RequestHead
    host: str
    aws: AwsHost | None
    scope: Scope
    target: tuple[str, str]
    """Prefix and operation of X-Amz-Target."""
    cbor: tuple[str, str]
    """Service and operation of an RPC v2 CBOR path."""
    action: str
    version: str


def _text(value: bytes | None) -> str:
    return "" if value is None else value.decode("latin-1")


def _word(text: str) -> str:
    return text if len(text) <= _WORD_LIMIT and _WORD.issuperset(text) else ""


def _parameters(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in text.split("&", _PARAMETER_LIMIT)[:_PARAMETER_LIMIT]:
        key, _, value = pair.partition("=")
        if "%" in pair or "+" in pair:
            key, value = unquote_plus(key), unquote_plus(value)
        if key:
            found.setdefault(key, value)
    return found


@lru_cache(maxsize=_KEPT)
def _host(field: bytes | None, name: str) -> tuple[str, AwsHost | None]:
    """Return the name asked and what it says. The Host field counts, unless it is not AWS's while `name` is."""
    asked = _text(field)
    if ":" in asked:
        asked = asked.rpartition("]")[2].partition(":")[0]
    parsed = parse_host(asked.strip())
    if parsed is not None:
        return parsed.name, parsed
    asked = normalise(asked.strip())
    if name:
        intercepted = normalise(name)
        return intercepted or asked, parse_host(intercepted)
    return asked, None


def _cbor(path: str) -> tuple[str, str]:
    if not path.startswith("/service/"):
        return _NO_TARGET
    parts = path.split("/")
    if len(parts) != _CBOR_PARTS or parts[3] != "operation":
        return _NO_TARGET
    # The service may be given with its namespace.
    return _word(parts[2].rpartition(".")[2]), _word(parts[4])


def _scope(head: RequestHead, query: dict[str, str]) -> Scope:
    authorization = head.get(b"authorization")
    found = NOTHING
    if authorization is not None:
        # Up to the first comma it is the same for a day; what follows is another signature each time.
        credential = authorization.partition(b",")[0] if authorization.startswith(_SIGNED) else authorization
        found = _header_scope(credential, head.get(b"x-amz-region-set"))
    return found if found is not NOTHING or not query else from_query(query)


@lru_cache(maxsize=_KEPT)
def _header_scope(credential: bytes, region_set: bytes | None) -> Scope:
    return from_header(_text(credential), _text(region_set))


@lru_cache(maxsize=_KEPT)
def _target(field: bytes) -> tuple[str, str]:
    prefix, _, operation = _text(field).rpartition(".")
    return prefix, _word(operation)


def _see(head: RequestHead, name: str, body: bytes) -> _Seen:
    path, _, text = head.target.decode("latin-1").partition("?")
    query = _parameters(text) if text else _NO_QUERY
    host, aws = _host(head.get(b"host"), name)
    form = query
    if body and "Action" not in query and (head.get(b"content-type") or _FORM).lower().startswith(_FORM):
        form = _parameters(body[:FORM_LIMIT].decode("latin-1"))
    target = head.get(b"x-amz-target")
    return _Seen(
        method=_text(head.method),
        path=path,
        query=query,
        head=head,
        host=host,
        aws=aws,
        scope=_scope(head, query),
        target=_target(target) if target else _NO_TARGET,
        cbor=_cbor(path),
        action=_word(form.get("Action", "")) if form else "",
        version=form.get("Version", "") if form else "",
    )


def _candidates(seen: _Seen) -> tuple[str, ...]:
    hosts = seen.aws.services if seen.aws is not None else ()
    return _narrowed(seen.scope.service, seen.target[0], seen.cbor[0], hosts, seen.action, seen.version)


@lru_cache(maxsize=_KEPT)
def _narrowed(*evidence: Any) -> tuple[str, ...]:
    """Return the services that all evidence allows; evidence that contradicts what came before it is ignored."""
    signed, target, cbor, hosts, action, version = evidence
    chosen: tuple[str, ...] = ()
    for found in (
        services.by_signing_name(signed),
        services.by_target(target),
        services.by_target(cbor),
        hosts,
        services.by_action(action, version),
    ):
        if not found:
            continue
        chosen = tuple(name for name in chosen if name in found) or chosen or found
        if len(chosen) == 1:
            break
    return chosen


def _rest_path(seen: _Seen, service: str) -> str:
    """Return the path as the templates spell it: with the bucket that stands in the host name."""
    if service == "s3" and seen.aws is not None and seen.aws.resource and seen.path != "/WriteGetObjectResponse":
        return f"/{seen.aws.resource}{seen.path}"
    return seen.path


def _rest_operation(seen: _Seen, service: str) -> str:
    found = rest.operation(service, seen.method, _rest_path(seen, service), seen.query, seen.head.shape.index)
    if service == "s3":
        return _s3_operation(seen, found)
    return found


def _s3_operation(seen: _Seen, found: str) -> str:
    """Mend what S3's templates can't tell."""
    prefix = seen.aws.prefix if seen.aws is not None else "s3"
    if prefix == "s3-website":
        return ""
    if prefix == "s3express-control" and found == "ListBuckets":
        return "ListDirectoryBuckets"
    form = (seen.head.get(b"content-type") or b"").startswith(b"multipart/form-data")
    # A browser's upload form is no operation of the model, but AWS documents it by this name.
    return "PostObject" if seen.method == "POST" and form and not found else found


def _is_form(head: RequestHead) -> bool:
    return head.method == b"POST" and (head.get(b"content-type") or b"").lower().startswith(_FORM)


def _spoken(seen: _Seen, service: str) -> tuple[Protocol, str]:
    """Return the protocol in which the request speaks to a service, and the operation."""
    spoken = services.protocols(service)
    if seen.cbor[1] and (Protocol.CBOR in spoken or b"smithy-protocol" in seen.head.shape.index):
        return Protocol.CBOR, seen.cbor[1]
    if seen.target[1] and Protocol.JSON in spoken:
        # Kinesis' Java clients speak its JSON protocol in CBOR, and read errors in CBOR alone.
        in_cbor = (seen.head.get(b"content-type") or b"").startswith(_JSON_IN_CBOR)
        return Protocol.CBOR if in_cbor else Protocol.JSON, seen.target[1]
    # A form is the query protocol's, also where its Action was not to be seen: errors have to be in that form then.
    query = services.query_protocol(service) if seen.action or _is_form(seen.head) else None
    if query is not None:
        return query, seen.action
    usual = spoken[0]
    if usual in (Protocol.REST_JSON, Protocol.REST_XML):
        return usual, _rest_operation(seen, service)
    return usual, ""


def _unknown(seen: _Seen) -> Protocol:
    if seen.cbor[1] or b"smithy-protocol" in seen.head.shape.index:
        return Protocol.CBOR
    if seen.target[1]:
        return Protocol.JSON
    if seen.action:
        return Protocol.QUERY
    content = (seen.head.get(b"content-type") or b"").lower()
    return next((spoken for start, spoken in _BY_CONTENT if content.startswith(start)), Protocol.REST_JSON)


def _decide(seen: _Seen) -> tuple[str, Protocol, str]:
    """Return service, protocol and operation."""
    if seen.aws is not None and seen.aws.data_plane:
        return _data_plane(seen, seen.aws)
    candidates = _candidates(seen)
    if "s3control" in candidates and seen.path.startswith("/v20180820/"):
        candidates = ("s3control",)  # to S3's own templates it is a bucket
    first: tuple[str, Protocol, str] | None = None
    for service in candidates:
        spoken, operation = _spoken(seen, service)
        if operation and not (first is not None and _is_shared_word(seen, operation)):
            return service, spoken, operation
        first = first or (service, spoken, operation)
    return first or ("", _unknown(seen), "")


def _is_shared_word(seen: _Seen, operation: str) -> bool:
    """Tell whether the operation is merely what the client said, which holds for every candidate alike."""
    return operation in (seen.target[1], seen.cbor[1], seen.action)


def _data_plane(seen: _Seen, aws: AwsHost) -> tuple[str, Protocol, str]:
    stage, found, connection = seen.path.partition("/@connections/")
    if aws.services == ("execute-api",) and found and stage.count("/") <= 1:
        name = rest.operation("apigatewaymanagementapi", seen.method, found + connection, seen.query)
        return "apigatewaymanagementapi", Protocol.REST_JSON, name
    return aws.services[0], Protocol.REST_JSON, ""


def _resource(seen: _Seen, service: str) -> str:
    if service == "execute-api" and seen.aws is not None and not seen.aws.resource:
        return _word(_text(seen.head.get(API_FIELD)))
    if seen.aws is not None and (seen.aws.resource or service != "s3"):
        return seen.aws.resource
    return unquote(seen.path[1:].partition("/")[0]) if service == "s3" else ""


def _region(seen: _Seen) -> str:
    return _usable_region(seen.scope.region) or (seen.aws.default_region if seen.aws is not None else "")


@lru_cache(maxsize=_KEPT)
def _usable_region(signed: str) -> str:
    return actual(signed) if len(signed) <= _REGION_LIMIT and _REGION.issuperset(signed) else ""


def _json_version(seen: _Seen, service: str) -> str:
    content = seen.head.get(b"content-type") or b""
    if content.startswith(b"application/x-amz-json-1."):
        return "1.1" if content[len(b"application/x-amz-json-1.") :][:1] == b"1" else "1.0"
    return services.json_version(service)


@lru_cache(maxsize=_KEPT)
def _printed(signing_name: str) -> str:
    return _word(signing_name.replace("-", "_")) and signing_name


@lru_cache(maxsize=_KEPT)
def _key(access_key: str) -> str:
    return _word(access_key)


def classify(head: RequestHead, *, name: str = "", body: bytes = b"") -> Call:
    """Say what a request is for. `name` is the name it was intercepted on, `body` what `body_wanted` asked for."""
    seen = _see(head, name, body)
    service, protocol, operation = _decide(seen)
    return Call(
        service=service,
        region=_region(seen),
        operation=operation,
        protocol=protocol,
        host=seen.host,
        signing_name=_printed(seen.scope.service),
        access_key=_key(seen.scope.access_key),
        account=seen.aws.account if seen.aws is not None else "",
        resource=_resource(seen, service),
        json_version=_json_version(seen, service),
        query_compatible=(seen.head.get(b"x-amzn-query-mode") or b"").lower() == b"true",
    )


def body_wanted(head: RequestHead, *, name: str = "") -> int:
    """Return how much of the body `classify` needs: the beginning of a form that may hold Action, else nothing."""
    if head.method != b"POST" or not (head.get(b"content-type") or b"").lower().startswith(_FORM):
        return 0
    seen = _see(head, name, b"")
    if seen.target[1] or seen.action or (seen.aws is not None and seen.aws.data_plane):
        return 0
    candidates = _candidates(seen)
    actions = tables().actions
    return FORM_LIMIT if not candidates or any(service in actions for service in candidates) else 0
