"""Temporary credentials as the metadata endpoints hand them out: made up, yet shaped like AWS's. Pure.

They are derived, not stored: whoever asks twice within an hour gets the same, from any sidecar of the same account.
"""

from base64 import b32encode, b64encode
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Final

from kecs.aws.partitions import PARTITIONS, Partition, partition_of
from kecs.sidecar.config import SidecarConfig

LIFETIME: Final = timedelta(hours=6)
"""From the beginning of the hour: at least five hours are left, so no client renews in a loop."""

_PREFIX: Final = "ASIA"
_KEY_BITS: Final = 80
_ACCOUNT_BITS: Final = 40
_SECRET_BYTES: Final = 30
_TOKEN_BYTES: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """One set of temporary credentials."""

    access_key: str
    secret_key: str
    token: str
    issued: datetime
    expires: datetime


def timestamp(moment: datetime) -> str:
    """Spell a UTC time as AWS's metadata endpoints do."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def partition(region: str) -> Partition:
    """Return the partition of a region: us-isob-east-1 is spelled like its partition's us-isob-west-1, and so on."""
    area = region.rsplit("-", 2)[0]
    found = (one for one in PARTITIONS if one.region.rsplit("-", 2)[0] == area)
    return next(found, partition_of(suffix="amazonaws.com", region=region))


def derived(config: SidecarConfig, *what: str, size: int) -> bytes:
    """Return bytes that only the configured identity and these words determine."""
    digest = blake2b("\n".join((config.account, config.role, *what)).encode(), digest_size=min(size, 64)).digest()
    return digest.ljust(size, b"\0")


def credentials(config: SidecarConfig, audience: str, now: datetime) -> Credentials:
    """Return the credentials of the hour for one kind of endpoint."""
    issued = now.replace(minute=0, second=0, microsecond=0)
    hour = timestamp(issued)
    return Credentials(
        access_key=_access_key(config, audience, hour),
        secret_key=b64encode(derived(config, audience, hour, "secret", size=_SECRET_BYTES)).decode(),
        token=b64encode(derived(config, audience, hour, "token", size=_TOKEN_BYTES)).decode(),
        issued=issued,
        expires=issued + LIFETIME,
    )


def _access_key(config: SidecarConfig, audience: str, hour: str) -> str:
    """AWS's own keys hold the account: after a first bit that is set, in 40 bits. Emulators read it from there."""
    rest = _KEY_BITS - 1 - _ACCOUNT_BITS
    low = int.from_bytes(derived(config, audience, hour, "key", size=8)) & ((1 << rest) - 1)
    number = (1 << (_KEY_BITS - 1)) | (int(config.account) << rest) | low
    return _PREFIX + b32encode(number.to_bytes(_KEY_BITS // 8)).decode()
