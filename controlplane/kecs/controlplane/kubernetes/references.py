"""What secrets, environment files and registries' credentials are named by, and what is read in them. Pure."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from kecs.controlplane.state import Scope
from kecs.core.errors import KecsError

_ARN_PARTS = 6
_SECRET_PARTS = 7
_S3 = ":s3:::"


class UnresolvedError(KecsError):
    """Something is named in a way that can't be read, or lacks what was named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A parameter of SSM."""

    region: str
    account: str
    names: tuple[str, ...]
    """By which it may be known: an ARN does not tell `x` from `/x`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """A secret of Secrets Manager, or one value of the JSON that it is."""

    region: str
    account: str
    id: str
    json_key: str = ""
    stage: str = ""
    version: str = ""


def reference(value_from: str, scope: Scope) -> Parameter | Secret:
    """Read a `valueFrom`: a name or an ARN of SSM, an ARN of Secrets Manager with up to three further parts."""
    if not value_from.startswith("arn:"):
        return Parameter(region=scope.region, account=scope.account, names=(value_from,))
    parts = value_from.split(":")
    if len(parts) < _ARN_PARTS:
        raise UnresolvedError(f"invalid secret ARN {value_from!r}")
    service, region, account = parts[2], parts[3] or scope.region, parts[4] or scope.account
    if service == "ssm":
        name = value_from.split(":", 5)[5].removeprefix("parameter").lstrip("/")
        names = (f"/{name}",) if "/" in name else (name, f"/{name}")
        return Parameter(region=region, account=account, names=names)
    if service != "secretsmanager" or len(parts) < _SECRET_PARTS:
        raise UnresolvedError(f"{value_from!r} is neither a parameter of SSM nor a secret of Secrets Manager")
    key, stage, version = (*parts[_SECRET_PARTS:], "", "", "")[:3]
    found = ":".join(parts[:_SECRET_PARTS])
    return Secret(region=region, account=account, id=found, json_key=key, stage=stage, version=version)


def login(parameter: str, scope: Scope) -> Secret:
    """Read a `credentialsParameter`: a secret's ARN, or its name."""
    if parameter.startswith("arn:"):
        found = reference(parameter, scope)
        if isinstance(found, Secret):
            return found
        raise UnresolvedError(f"{parameter!r} is no secret of Secrets Manager")
    return Secret(region=scope.region, account=scope.account, id=parameter)


def picked(text: str, key: str, of: str) -> str:
    """Return a secret's text, or one value of the JSON object that it is."""
    if not key:
        return text
    try:
        found = json.loads(text)
    except ValueError as error:
        raise UnresolvedError(f"retrieved secret from Secrets Manager is no JSON: {of}") from error
    if not isinstance(found, dict) or key not in found:
        raise UnresolvedError(f"retrieved secret from Secrets Manager did not contain json key {key}")
    value = found[key]
    return value if isinstance(value, str) else json.dumps(value)


def credentials(text: str, of: str) -> dict[str, str]:
    """Return username and password of a registry."""
    return {name: picked(text, name, of) for name in ("username", "password")}


def bucket_and_key(arn: str) -> tuple[str, str]:
    """Return what an environment file's ARN names."""
    _, found, rest = arn.partition(_S3)
    bucket, _, key = rest.partition("/")
    if not found or not bucket or not key:
        raise UnresolvedError(f"{arn!r} is no ARN of an object in S3")
    return bucket, key


def variables(text: str) -> Iterator[tuple[str, str]]:
    """Yield what an environment file sets: VARIABLE=VALUE to a line, as Docker's env files; # begins a remark.

    Quotes and spaces are part of a value, as they are on ECS.
    """
    for line in text.removeprefix("\N{BYTE ORDER MARK}").splitlines():
        name, equals, value = line.partition("=")
        if equals and name.strip() and not line.lstrip().startswith("#"):
            yield name.strip(), value
