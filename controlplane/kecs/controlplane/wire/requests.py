"""Requests as they come: which operation, in which protocol, for which region and account, by whom.

Signatures are never verified: the credential scope says the region, and the access key the account.
"""

import json
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final
from urllib.parse import unquote

from kecs.aws import cbor
from kecs.aws.accounts import Accounts, is_account
from kecs.aws.classify import classify
from kecs.aws.head import RequestHead
from kecs.aws.partitions import of_region
from kecs.aws.services import ECS_TARGET
from kecs.controlplane.errors import ApiError
from kecs.controlplane.state import Scope
from kecs.controlplane.wire import faults
from kecs.controlplane.wire.model import TARGET, model

BODY_MAX: Final = 1 << 20
"""Bytes of a request's body. AWS takes task definitions of 64 KB at most."""
_PLAIN: Final = "/v1/"
_SMITHY: Final = "/service/"
_CBOR_PARTS: Final = 5
_UNKNOWN: Final = "UnknownOperationException"


class Spoken(StrEnum):
    """What a client speaks, and is answered in."""

    JSON = "json"
    """AWS JSON 1.1: the one protocol in the service's model."""
    CBOR = "cbor"
    """Smithy RPC v2 CBOR."""


class NoOperationError(ApiError):
    """A request that is no operation's; `status` is what HTTP has for it."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(code, message)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who a client is taken for."""

    accounts: Accounts = field(default_factory=Accounts)
    account: str = "000000000000"
    """Of access keys that say nothing."""
    region: str = "us-east-1"
    """Of requests that say none."""

    def of(self, head: RequestHead) -> tuple[Scope, str]:
        """Return whose records a request is about, and the ARN of who asks."""
        call = classify(head)
        region = call.region or self.region
        key = call.access_key
        account = self.accounts.of(key) or (key if is_account(key) else self.account)
        partition = of_region(region).name
        return (
            Scope(partition=partition, region=region, account=account),
            f"arn:{partition}:iam::{account}:root",
        )


def spoken(head: RequestHead) -> Spoken:
    """Return what a client speaks."""
    if (head.get(b"smithy-protocol") or b"").strip().lower() == b"rpc-v2-cbor" or head.target.startswith(b"/service/"):
        return Spoken.CBOR
    return Spoken.JSON


def operation_of(head: RequestHead) -> str:
    """Return the operation that is asked for. Raise NoOperationError where there is none."""
    path = unquote(head.target.partition(b"?")[0].decode("latin-1"), errors="replace")
    if head.method != b"POST":
        known = path == "/" or path.startswith((_PLAIN, _SMITHY))
        raise NoOperationError(
            405 if known else 404, _UNKNOWN, f"operations of ECS are asked for by POST: {TARGET}.ListClusters at /"
        )
    name = _named(head, path)
    if name not in model().operations:
        raise NoOperationError(400, _UNKNOWN, "")
    return name


def _named(head: RequestHead, path: str) -> str:
    if path.startswith(_SMITHY):
        parts = path.split("/")
        ours = len(parts) == _CBOR_PARTS and parts[3] == "operation" and _is_ecs(parts[2].rpartition(".")[2])
        return parts[4] if ours else ""
    if path.startswith(_PLAIN):
        return path.removeprefix(_PLAIN)
    if path != "/":
        raise NoOperationError(404, _UNKNOWN, "operations of ECS are asked for at /, by X-Amz-Target")
    prefix, _, name = (head.get(b"x-amz-target") or b"").decode("latin-1").rpartition(".")
    return name if _is_ecs(prefix) else ""


def _is_ecs(prefix: str) -> bool:
    return prefix.startswith(ECS_TARGET)


def document_of(body: bytes, protocol: Spoken) -> Any:
    """Read a body. Raise ApiError for what is none of the protocol's."""
    if not body:
        return None
    try:
        return cbor.loads(body) if protocol is Spoken.CBOR else json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise faults.unreadable() from error


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")
