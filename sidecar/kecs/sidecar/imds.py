"""The instance metadata service of EC2, version 1 and 2: what 169.254.169.254 says. Pure."""

import hmac
import json
import re
from base64 import b64encode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from kecs.aws.head import Answer, Fields, RequestHead
from kecs.sidecar.config import SidecarConfig
from kecs.sidecar.credentials import credentials, derived, partition, timestamp

TOKEN_FIELD: Final = b"x-aws-ec2-metadata-token"
TTL_FIELD: Final = b"x-aws-ec2-metadata-token-ttl-seconds"

_TTL_RANGE: Final = range(1, 21601)
_TTL_DIGITS: Final = 5
_STAMP_BYTES: Final = 8
_MARK_BYTES: Final = 24
_TOKEN_BYTES: Final = _STAMP_BYTES + _MARK_BYTES
_VERSION: Final = re.compile(r"latest|1\.0|20[0-9]{2}-[0-9]{2}-[0-9]{2}")
_VERSIONS: Final = ("1.0", "2009-04-04", "2021-07-15", "latest")
_BOOTED: Final = "2026-01-01T00:00:00Z"
_TEXT: Final = b"text/plain"
_JSON: Final = b"application/json"
_ROLES: Final = "meta-data/iam/security-credentials"
_ADDRESS: Final = "10.0.0.10"
_IMAGE: Final = "ami-0abcdef1234567890"
_INSTANCE_TYPE: Final = "m5.large"
_DIRECTIONS: Final = {
    "north": "n", "south": "s", "east": "e", "west": "w", "central": "c", "northeast": "ne", "northwest": "nw",
    "southeast": "se", "southwest": "sw",
}  # fmt: skip
_REFUSED: Final = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
}
_PAGE: Final = (
    '<?xml version="1.0" encoding="iso-8859-1"?>\n'
    '<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN"\n'
    '\t"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">\n'
    '<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="en" lang="en">\n'
    " <head>\n  <title>{status} - {text}</title>\n </head>\n <body>\n  <h1>{status} - {text}</h1>\n </body>\n</html>\n"
)


def answer(head: RequestHead, *, config: SidecarConfig, now: datetime) -> Answer:
    """Answer one request to the instance metadata service."""
    path = head.target.decode("latin-1").partition("?")[0].strip("/")
    version, _, rest = path.partition("/")
    if rest == "api/token" and version == "latest":
        return _token(head, config, now)
    if head.method not in (b"GET", b"HEAD"):
        return _refusal(405, ((b"Allow", b"GET, HEAD"),))
    left = _seconds_left(head.get(TOKEN_FIELD), config, now)
    if left is None:
        return _refusal(401)
    found = _versions() if not path else _find(version, rest, config, now)
    if found is None:
        return _refusal(404)
    kind, body = found
    fields: Fields = ((b"Content-Type", kind), (b"Accept-Ranges", b"none"), (b"Server", b"EC2ws"))
    if left:
        fields += ((b"X-Aws-Ec2-Metadata-Token-Ttl-Seconds", str(left).encode()),)
    return Answer(status=200, fields=fields, body=body.encode())


def _refusal(status: int, fields: Fields = ()) -> Answer:
    page = _PAGE.format(status=status, text=_REFUSED[status]).encode()
    return Answer(status=status, fields=((b"Content-Type", b"text/html"), (b"Server", b"EC2ws"), *fields), body=page)


def _token(head: RequestHead, config: SidecarConfig, now: datetime) -> Answer:
    if head.method != b"PUT":
        return _refusal(405, ((b"Allow", b"OPTIONS, PUT"),))
    if head.get(b"x-forwarded-for") is not None:
        return _refusal(403)  # a proxy in front must not fetch tokens for who stands behind it
    asked = head.get(TTL_FIELD) or b""
    if not asked.isdigit() or len(asked) > _TTL_DIGITS or int(asked) not in _TTL_RANGE:
        return _refusal(400)
    stamp = (int(now.timestamp()) + int(asked)).to_bytes(_STAMP_BYTES)
    fields = (
        (b"Content-Type", _TEXT),
        (b"X-Aws-Ec2-Metadata-Token-Ttl-Seconds", str(int(asked)).encode()),
        (b"Server", b"EC2ws"),
    )
    return Answer(status=200, fields=fields, body=urlsafe_b64encode(stamp + _mark(config, stamp)))


def _mark(config: SidecarConfig, stamp: bytes) -> bytes:
    # Tokens stay good when the sidecar restarts, as they do on EC2: nothing is remembered.
    return derived(config, "imds-token", stamp.hex(), size=_MARK_BYTES)


def _seconds_left(token: bytes | None, config: SidecarConfig, now: datetime) -> int | None:
    """Return how long the token is good for: 0 for version 1, which has none, and None for a token that is not."""
    if token is None:
        return 0
    try:
        raw = urlsafe_b64decode(token)
    except ValueError:
        return None
    stamp = raw[:_STAMP_BYTES]
    if len(raw) != _TOKEN_BYTES or not hmac.compare_digest(raw[_STAMP_BYTES:], _mark(config, stamp)):
        return None
    left = int.from_bytes(stamp) - int(now.timestamp())
    return left if left > 0 else None


def _versions() -> tuple[bytes, str]:
    return _TEXT, "\n".join(_VERSIONS)


def _find(version: str, rest: str, config: SidecarConfig, now: datetime) -> tuple[bytes, str] | None:
    if _VERSION.fullmatch(version) is None:
        return None
    tree = _tree(config, now)
    if rest == _ROLES:
        return _TEXT, config.role
    if rest in tree:
        text = tree[rest]
        return (_JSON if text.startswith("{") else _TEXT), text
    listing = _listing(tree, rest)
    return (_TEXT, listing) if listing else None


def _listing(tree: Mapping[str, str], folder: str) -> str:
    start = f"{folder}/" if folder else ""
    names: set[str] = set()
    for path in tree:
        if path.startswith(start):
            name, deeper, _ = path.removeprefix(start).partition("/")
            names.add(f"{name}{deeper}")
    return "\n".join(sorted(names))


def zone_id(region: str) -> str:
    """Return the id of a region's first zone: use1-az1 for us-east-1."""
    area, *middle = region.split("-")
    number = middle.pop() if middle else ""
    short = "".join(_DIRECTIONS.get(part, part[:1]) for part in middle)
    return f"{area}{short}{number}-az1"


def _identity(config: SidecarConfig) -> dict[str, str | None]:
    return {
        "accountId": config.account,
        "architecture": "x86_64",
        "availabilityZone": f"{config.region}a",
        "billingProducts": None,
        "devpayProductCodes": None,
        "marketplaceProductCodes": None,
        "imageId": _IMAGE,
        "instanceId": instance_id(config),
        "instanceType": _INSTANCE_TYPE,
        "kernelId": None,
        "pendingTime": _BOOTED,
        "privateIp": _ADDRESS,
        "ramdiskId": None,
        "region": config.region,
        "version": "2017-09-30",
    }


def instance_id(config: SidecarConfig) -> str:
    """Return the id of the instance that this machine passes for."""
    return f"i-0{derived(config, 'instance', size=8).hex()}"


def _signature(config: SidecarConfig, kind: str, size: int) -> str:
    """Return what has a signature's form; only AWS's keys could make a true one."""
    text = b64encode(derived(config, kind, size=size)).decode()
    return "\n".join(text[start : start + 64] for start in range(0, len(text), 64))


def _role_document(config: SidecarConfig, now: datetime) -> str:
    made = credentials(config, "imds", now)
    document = {
        "Code": "Success",
        "LastUpdated": timestamp(made.issued),
        "Type": "AWS-HMAC",
        "AccessKeyId": made.access_key,
        "SecretAccessKey": made.secret_key,
        "Token": made.token,
        "Expiration": timestamp(made.expires),
    }
    return json.dumps(document, indent=2)


def _profile_document(config: SidecarConfig, now: datetime) -> str:
    place = partition(config.region).name
    document = {
        "Code": "Success",
        "LastUpdated": timestamp(credentials(config, "imds", now).issued),
        "InstanceProfileArn": f"arn:{place}:iam::{config.account}:instance-profile/{config.role}",
        "InstanceProfileId": f"AIPA{derived(config, 'instance-profile', size=8).hex().upper()}",
    }
    return json.dumps(document, indent=2)


def _tree(config: SidecarConfig, now: datetime) -> dict[str, str]:
    place = partition(config.region)
    mac = ":".join(f"{byte:02x}" for byte in b"\x02" + derived(config, "mac", size=5))
    name = f"ip-{_ADDRESS.replace('.', '-')}.{config.region}.compute.internal"
    meta = {
        "ami-id": _IMAGE,
        "ami-launch-index": "0",
        "ami-manifest-path": "(unknown)",
        "hostname": name,
        "iam/info": _profile_document(config, now),
        f"iam/security-credentials/{config.role}": _role_document(config, now),
        "instance-action": "none",
        "instance-id": instance_id(config),
        "instance-life-cycle": "on-demand",
        "instance-type": _INSTANCE_TYPE,
        "local-hostname": name,
        "local-ipv4": _ADDRESS,
        "mac": mac,
        f"network/interfaces/macs/{mac}/device-number": "0",
        f"network/interfaces/macs/{mac}/local-ipv4s": _ADDRESS,
        f"network/interfaces/macs/{mac}/mac": mac,
        f"network/interfaces/macs/{mac}/owner-id": config.account,
        f"network/interfaces/macs/{mac}/vpc-id": f"vpc-0{derived(config, 'vpc', size=8).hex()}",
        "placement/availability-zone": f"{config.region}a",
        "placement/availability-zone-id": zone_id(config.region),
        "placement/region": config.region,
        "reservation-id": f"r-0{derived(config, 'reservation', size=8).hex()}",
        "security-groups": "default",
        "services/domain": place.suffix,
        "services/partition": place.name,
        "tags/instance/Name": config.role,
    }
    dynamic = {
        "instance-identity/document": json.dumps(_identity(config), indent=2),
        "instance-identity/pkcs7": _signature(config, "pkcs7", 64),
        "instance-identity/rsa2048": _signature(config, "rsa2048", 64),
        "instance-identity/signature": _signature(config, "signature", 64),
    }
    found = {f"meta-data/{path}": text for path, text in meta.items()}
    return found | {f"dynamic/{path}": text for path, text in dynamic.items()}
