"""How AWS spells an address that a backend spelled as its own. Text in, text out; never which fields hold one.

A backend's address is known by a marker, a name that its own addresses end in. The labels before it are those that AWS
would put before its suffix, more or less: what is missing or stands elsewhere is put right by one table.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b, sha256
from types import MappingProxyType
from typing import Final
from urllib.parse import quote, unquote

from kecs.aws import code_objects
from kecs.aws.call import Call
from kecs.aws.hosts import is_aws_name, parse_host, split
from kecs.aws.partitions import ENDPOINT_SUFFIX, partition_of
from kecs.aws.profiles import LOOPBACK, Profile
from kecs.aws.tables import tables

_DEFAULT_REGION: Final = "us-east-1"
_SECURE: Final = {"http": "https", "ws": "wss"}
_AWS_IN_CLEAR: Final = re.compile(r"(?<![\w.-])http://([\w.-]+)", re.IGNORECASE | re.ASCII)
_WHOLE: Final = re.compile(
    r"(?:([a-z][a-z0-9+.-]*)://)?([\w.-]+|\[[0-9a-f:]+\])(?::(\d{1,5}))?(/.*)?", re.IGNORECASE | re.ASCII | re.DOTALL
)
_QUEUE: Final = re.compile(r"(?:https?://([^/\s]+))?/(?:[^?#\s]*/)?(\d{12})/([\w.-]+)", re.IGNORECASE | re.ASCII)
_OWN_SIGNATURE: Final = re.compile(r"(X-Amz-Signature=)(?![0-9a-f]{64}(?:&|$))([^&]*)")
_WEBSITE: Final = "s3-website"
_WEBSITE_DASH: Final = frozenset(
    {
        "us-east-1", "us-west-1", "us-west-2", "ap-southeast-1", "ap-southeast-2", "ap-northeast-1", "eu-west-1",
        "sa-east-1", "us-gov-west-1",
    }
)  # fmt: skip
"""Where websites are `bucket.s3-website-region`: S3's older regions (AWS General Reference, S3 website endpoints)."""
_DIRECTIONS: Final = {
    "north": "n", "south": "s", "east": "e", "west": "w", "central": "c", "northeast": "ne", "northwest": "nw",
    "southeast": "se", "southwest": "sw",
}  # fmt: skip

OWNER: Final = "webfile"
"""What most emulators call the owner of every bucket; AWS has stopped naming owners at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Whose answer it is: what addresses are spelled with."""

    call: Call
    region: str
    suffix: str
    """The partition's standard one."""
    markers: tuple[str, ...]
    ports: frozenset[str] = frozenset()
    """Where the backend itself listens: a loopback address in a free text is the backend's with one of these."""
    target: str = "/"
    """What was asked for: path and query."""
    code_path: str = ""
    owner: str = ""
    outward: Callable[[str], str] | None = None
    """Spells AWS's addresses as the client reaches them, where that is not by AWS's names."""
    seen: dict[str, str] = field(default_factory=dict)
    """The last value of each field that came before."""

    def regional(self, prefix: str) -> str:
        """Return a service's host in this region."""
        return f"{prefix}.{self.region}.{self.suffix}"

    def hash(self, length: int = 11) -> str:
        """Return what stands for the account in names of databases: the same for all of a region."""
        return "c" + blake2b(self.region.encode(), digest_size=16).hexdigest()[:length]


def place_of(
    call: Call,
    profile: Profile,
    *,
    ports: frozenset[str] = frozenset(),
    target: str = "/",
    outward: Callable[[str], str] | None = None,
) -> Place:
    """Return the place where a call was made."""
    asked = parse_host(call.host)
    region = call.region or (asked.default_region if asked is not None else _DEFAULT_REGION)
    suffix = partition_of(suffix=asked.suffix if asked is not None else "", region=region).suffix
    return Place(
        call=call,
        region=region,
        suffix=suffix,
        markers=profile.markers,
        ports=ports,
        target=target,
        code_path=profile.code_path.decode(),
        owner=profile.owner,
        outward=outward,
    )


type Rule = Callable[[str, Place], str]


@lru_cache(maxsize=64)
def pattern_of(markers: tuple[str, ...]) -> re.Pattern[str]:
    """Return what finds the backend's addresses: scheme, labels with their dots, marker, port."""
    names = "|".join(re.escape(marker) for marker in sorted(markers, key=len, reverse=True))
    return re.compile(
        rf"(?<![\w.-])(?:([a-z][a-z0-9+.-]*)://)?((?:[\w-]+\.)*)({names})(?::(\d{{1,5}}))?(?![\w-]|\.\w)",
        re.IGNORECASE | re.ASCII,
    )


# names: labels without their region, the region, whether it was spelled, and the place


def _s3(labels: str, region: str, spelled: str, place: Place) -> str:
    del region
    return f"{labels}.{spelled}.{place.suffix}" if spelled else f"{labels}.{place.suffix}"


def _website(labels: str, region: str, spelled: str, place: Place) -> str:
    del spelled
    return f"{labels}{'-' if region in _WEBSITE_DASH else '.'}{region}.{place.suffix}"


def _queue(labels: str, region: str, spelled: str, place: Place) -> str:
    del labels, spelled
    return f"sqs.{region}.{place.suffix}"


def _on_aws(labels: str, region: str, spelled: str, place: Place) -> str:
    del spelled, place
    return f"{labels}.{region}.{ENDPOINT_SUFFIX}"


def _cloudfront(labels: str, region: str, spelled: str, place: Place) -> str:
    del region, spelled, place
    return f"{labels}.net"


def _search(labels: str, region: str, spelled: str, place: Place) -> str:
    del spelled
    name = labels.rpartition(".")[0].removeprefix("search-")
    return f"search-{name}.{region}.es.{place.suffix}" if name else f"es.{region}.{place.suffix}"


def _before(labels: str, region: str, spelled: str, place: Place) -> str:
    del spelled
    name, _, prefix = labels.rpartition(".")
    return f"{name}.{region}.{prefix}.{place.suffix}" if name else f"{prefix}.{region}.{place.suffix}"


_SPELLINGS: Final[Mapping[str, Callable[[str, str, str, Place], str]]] = MappingProxyType(
    {
        "s3": _s3,
        _WEBSITE: _website,
        "queue": _queue,
        "lambda-url": _on_aws,
        "dsql": _on_aws,
        "cloudfront": _cloudfront,
        "opensearch": _search,
        "es": _search,
        "elb": _before,
    }
)
"""How names are put together whose last label is this one. Others: labels, region, suffix."""


def name_of(labels: str, place: Place) -> str:
    """Return AWS's name for the labels that stand before a marker, at least one, without a trailing dot."""
    parts = split(labels.lower())
    region = parts.region or place.region
    left = ".".join(parts.labels) or labels
    prefix = left.rpartition(".")[2]
    spelling = _SPELLINGS.get(prefix)
    if spelling is not None:
        return spelling(left, region, parts.region, place)
    if not parts.region and prefix in tables().regionless and place.suffix == "amazonaws.com":
        return f"{left}.{place.suffix}"
    return f"{left}.{region}.{place.suffix}"


# rules


def address(value: str, place: Place) -> str:
    """Respell every address of the backend; without labels it means the host that was asked."""
    if not place.markers:
        return _secure(value)
    return _secure(pattern_of(place.markers).sub(lambda found: _respelled(found, place), value))


def free(value: str, place: Place) -> str:
    """Respell the backend's addresses in what may be the customer's own text: a bare loopback name is no backend's.

    In outputs of stacks, messages of errors. A marker without labels is what AWS calls the URL suffix.
    """
    if not place.markers:
        return value
    pattern = pattern_of(place.markers)
    first = pattern.match(value)
    if first is not None and _is_backends(first, place) and _QUEUE.fullmatch(value):
        return queue_url(value, place)

    def respelled(found: re.Match[str]) -> str:
        scheme, labels, _, port = found.groups()
        if not _is_backends(found, place):
            return found[0]
        return _respelled(found, place) if labels or scheme or port else place.suffix

    return pattern.sub(respelled, value)


def _is_backends(found: re.Match[str], place: Place) -> bool:
    """Tell whether an address in a free text can only be the backend's: a word alone is a word."""
    known = found[3].lower() not in LOOPBACK and "." in found[3]
    return known or bool(found[2]) or found[4] in place.ports


def _respelled(found: re.Match[str], place: Place) -> str:
    scheme, labels, _, _ = found.groups()
    if not labels:
        return f"{_scheme(scheme)}{place.call.host or place.regional(place.call.service)}"
    name = name_of(labels.removesuffix("."), place)
    if scheme and f".{_WEBSITE}" in name:
        return f"http://{name}"  # websites speak nothing else
    return f"{_scheme(scheme)}{name}"


def _scheme(scheme: str | None) -> str:
    if not scheme:
        return ""
    low = scheme.lower()
    return f"{_SECURE.get(low, low)}://"


def _secure(value: str) -> str:
    """Return the text with https before names of AWS."""

    def secured(found: re.Match[str]) -> str:
        host = found[1].rstrip(".")
        return f"https://{found[1]}" if is_aws_name(host) and f".{_WEBSITE}" not in host else found[0]

    return _AWS_IN_CLEAR.sub(secured, value) if "http://" in value else value


def function_url(value: str, place: Place) -> str:
    """A function's URL ends in a slash."""
    value = address(value, place)
    return value if value.endswith("/") or not value else f"{value}/"


def queue_url(value: str, place: Place) -> str:
    """A queue's URL is its account and its name at SQS's host, whatever the backend puts before and between."""
    found = _QUEUE.fullmatch(value)
    if found is None:
        return address(value, place)
    host, account, name = found.groups()
    asked = parse_host(place.call.host)
    if place.call.service == "sqs" and asked is not None:
        return f"https://{asked.name}/{account}/{name}"
    parts = split((host or "").partition(":")[0].lower())
    return f"https://sqs.{parts.region or place.region}.{place.suffix}/{account}/{name}"


def code_location(value: str, place: Place) -> str:
    """The code of a function is an object in a bucket of Lambda's own, one for each region."""
    whole = _WHOLE.fullmatch(value)
    if whole is None or is_aws_name(whole[2]):
        return _secure(value)
    path = whole[4] or "/"
    bucket, _, key = path[1:].partition("/")
    if place.code_path and path.startswith(place.code_path):
        bucket, key = _code_bucket(place), code_objects.PATH[1:] + path.removeprefix(place.code_path)
    elif not (bucket.startswith(code_objects.BUCKET) and key):
        bucket, key = _code_bucket(place), path[1:]
    return _OWN_SIGNATURE.sub(_signature, f"https://{bucket}.s3.{place.region}.{place.suffix}/{key}")


def _code_bucket(place: Place) -> str:
    return f"{code_objects.BUCKET}{place.region}-tasks"


def _signature(found: re.Match[str]) -> str:
    """Return a signature as long as AWS's, in the place of a word of the backend's."""
    return found[1] + sha256(found[2].encode()).hexdigest()


def owner(value: str, place: Place) -> str:
    """The owner of buckets, whom a backend calls by its own name."""
    return OWNER if value == place.owner else value


def mail(value: str, place: Place) -> str:
    """A mail address: one below the backend's own name is nobody's."""
    before, at, host = value.rpartition("@")
    return f"{before}@example.com" if at and host in place.markers else value


def object_location(value: str, place: Place) -> str:
    """An object's URL after an upload in parts: its slashes are escaped, its host is the one that was asked."""
    asked = parse_host(place.call.host)
    if asked is None:
        return address(value, place)
    bucket, path = asked.bucket, place.target.partition("?")[0].removeprefix("/")
    if not bucket and asked.resource:  # an access point
        return f"https://{asked.name}/{quote(unquote(path), safe='-._~')}"
    if not bucket:
        bucket, _, path = path.partition("/")
    host = f"s3.{place.region}.{place.suffix}"
    where = f"https://{asked.bucket}.{host}" if asked.bucket else f"https://{host}/{bucket}"
    return f"{where}/{quote(unquote(path), safe='-._~')}"


def topic_url(value: str, place: Place) -> str:
    """What SNS writes into its messages stands at SNS's host; some backends keep its certificate in a folder."""
    region = place.seen.get("TopicArn", "").split(":")[3:4]
    host = f"sns.{(region and region[0]) or place.region}.{place.suffix}"
    whole = _WHOLE.fullmatch(value)
    if whole is None or not place.markers or pattern_of(place.markers).match(value) is None:
        return _secure(value)
    path = whole[4] or "/"
    return f"https://{host}{path.removeprefix('/_aws/sns') if path.endswith('.pem') else path}"


def search_domain(value: str, place: Place) -> str:
    """A search domain's host tells the domain's name."""
    whole = _WHOLE.fullmatch(value)
    if whole is None or is_aws_name(whole[2]):
        return value
    parts = split(whole[2].lower())
    name = place.seen.get("DomainName") or parts.labels[0]
    path = whole[4] if whole[4] and whole[4] != "/" else ""
    return f"{_scheme(whole[1])}search-{name}.{parts.region or place.region}.es.{place.suffix}{path}"


def brokers(value: str, place: Place) -> str:
    """Hosts and ports, separated by commas."""
    found = [one.partition(":") for one in value.split(",")]
    if all(is_aws_name(host) for host, _, _ in found):
        return value
    cluster = place.seen.get("ClusterName", "cluster")
    base = f"{place.hash(6)}.c2.{place.regional('kafka')}"
    return ",".join(f"b-{number}.{cluster}.{base}:{port or '9092'}" for number, (_, _, port) in enumerate(found, 1))


def own(template: str, *names: str, port: bool = False, path: str = "") -> Rule:
    """Return the rule for an address that has nothing in common with AWS's: it is put together from the template.

    `names` are fields that came before; the last one seen of them is `{name}`. `{id}` is made of that.
    """

    def rule(value: str, place: Place) -> str:
        whole = _WHOLE.fullmatch(f"https://{value}" if value.startswith("/") else value)
        if whole is None or is_aws_name(whole[2]):
            return _secure(value)
        name = next((place.seen[one] for one in names if place.seen.get(one)), place.call.resource or "x")
        host = template.format(
            name=name.lower(),
            id=blake2b(name.encode(), digest_size=16).hexdigest(),
            hash=place.hash(),
            region=place.region,
            suffix=place.suffix,
            zone=_zone(place.region),
        )
        tail = (f":{whole[3]}" if port and whole[3] else "") + (path or whole[4] or "")
        return f"{_scheme(whole[1])}{host}{tail}"

    return rule


def _zone(region: str) -> str:
    """Return a region as ElastiCache abbreviates it: us-east-1 is use1."""
    first, *middle, number = region.split("-")
    return first + "".join(_DIRECTIONS.get(word, word[:1]) for word in middle) + number


def issuer(value: str, place: Place) -> str:
    """A cluster's OpenID issuer: an id at EKS's own host for it."""
    whole = _WHOLE.fullmatch(value)
    if whole is None or is_aws_name(whole[2]):
        return _secure(value)
    path = (whole[4] or "/").removeprefix("/oidc")
    identity = path.removeprefix("/id").strip("/").upper()
    return f"https://oidc.{place.regional('eks')}/id/{identity}"
