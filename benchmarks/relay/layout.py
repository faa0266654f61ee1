"""Who is where: names, addresses and sizes of a run. Pure."""

from dataclasses import dataclass
from typing import Final

AWS_NAME: Final = "bench-bucket.s3.us-east-1.amazonaws.com"
AWS_ADDRESS: Final = "203.0.113.9"
"""Nobody answers there: who reaches the backend was redirected."""
DYNAMODB_NAME: Final = "dynamodb.us-east-1.amazonaws.com"
LEAF_NAMES: Final = ("*.s3.us-east-1.amazonaws.com", "s3.us-east-1.amazonaws.com", "*.us-east-1.amazonaws.com")
"""A wildcard and its parent, as the sidecar's own leaves; and what boto3's programs call."""
FOREIGN: Final = "files.example.net"
"""A name that is not AWS; its server has a certificate of another authority."""
FOREIGN_ADDRESS: Final = "203.0.113.20"
BACKEND_HOST: Final = "203.0.113.30"
BACKEND_PORT: Final = 4566
EMULATOR_PORT: Final = 4567
CERTS_NAME: Final = "kecs-certs.kecs-system.svc"
CERTS_PORT: Final = 8443
MEBI: Final = 1 << 20
BLOBS: Final = {256: 256 * MEBI, 1024: 1024 * MEBI}
"""Sizes of objects, by what they are called."""
SMALL: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """Where a proxy sends calls."""

    port: int
    profile: str
    """What the sidecar knows it as."""
    host: str = BACKEND_HOST


STUB: Final = Backend(port=BACKEND_PORT, profile="localstack")
EMULATOR: Final = Backend(port=EMULATOR_PORT, profile="embedded")


def hosts() -> str:
    """Return what pods and the world know of names."""
    named = {
        AWS_ADDRESS: (AWS_NAME, DYNAMODB_NAME),
        FOREIGN_ADDRESS: (FOREIGN,),
        BACKEND_HOST: (CERTS_NAME,),
        "127.0.0.1": ("localhost",),
    }
    return "".join(f"{address} {' '.join(names)}\n" for address, names in named.items())


def head_fields() -> dict[str, str]:
    """Return what an SDK's GetObject says beside Host, so that heads are as long as real ones."""
    signed = "host;x-amz-checksum-mode;x-amz-content-sha256;x-amz-date"
    scope = "AKIAIOSFODNN7EXAMPLE/20261121/us-east-1/s3/aws4_request"
    return {
        "x-amz-checksum-mode": "ENABLED",
        "User-Agent": "Boto3/1.43.117 md/Botocore#1.43.117 ua/2.1 os/linux#6.18 md/arch#x86_64 lang/python#3.13.0"
        " md/pyimpl#CPython m/Z,b,D cfg/retry-mode#legacy Botocore/1.43.117",
        "X-Amz-Date": "20261121T104000Z",
        "X-Amz-Content-SHA256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders={signed}, "
        "Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
        "amz-sdk-invocation-id": "9e7c8a55-5e6f-4c44-9d06-2a2f8f0b8a53",
        "amz-sdk-request": "attempt=1",
    }
