"""What a form of request is: what is sent, what has been made before, what a right answer holds. Data only."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

type Given = Mapping[str, Any]
"""An answer: botocore's dictionary, or `status`, `headers` (names in lower case) and `body` of a raw one."""
type Check = Callable[[Given], str]
"""Says what is wrong with an answer; empty when it is right."""


@dataclass(frozen=True, slots=True, eq=False)
class From:
    """A value that an earlier step's answer holds, by its path: `Queue.Url`, `items.0.id`."""

    step: "Step"
    path: str
    change: Callable[[Any], Any] = lambda found: found


@dataclass(frozen=True, slots=True, eq=False)
class Text:
    """A text with values of earlier steps in it, as `str.format` puts them."""

    pattern: str
    values: tuple[From, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Api:
    """A call by botocore's client, which believes that it speaks https to AWS."""

    service: str
    operation: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    region: str = "us-east-1"
    config: Mapping[str, Any] = field(default_factory=dict)
    """For botocore's Config."""
    endpoint: str = ""
    """Another spelling of the host than botocore's own."""
    unsigned: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    key: str = "AKIAIOSFODNN7EXAMPLE"
    protocol: str = ""
    """Another protocol of the service than botocore's first."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Presigned:
    """A URL that botocore signs for a call, asked by a program without credentials."""

    service: str
    operation: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    region: str = "us-east-1"
    config: Mapping[str, Any] = field(default_factory=dict)
    method: str = ""
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Raw:
    """A request as it stands on the wire."""

    method: str
    host: str | Text | From
    target: str | Text | From = "/"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | str | Text = b""
    sign: tuple[str, str] | None = None
    """Service and region of an Authorization that names them."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PostPolicy:
    """A browser's upload form."""

    bucket: str
    key: str
    content: bytes
    status: str = "201"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Until:
    """A call that is made again until its answer is right: what a backend makes in the background."""

    ask: Api
    right: Check


type Step = Api | Presigned | Raw | PostPolicy | Until


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Form:
    """One form of request."""

    name: str
    ask: Step
    right: Check
    after: tuple[Step, ...] = ()
    """What has to be made before; each step is done once for all forms."""
    refuses: str = ""
    """The code of the error that AWS itself answers with; then this is the right answer."""
    enough: Check | None = None
    """What of a right answer a client can do with, where it lacks something."""
    lacks: str = ""
    """What it lacks then."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Group:
    """Forms that belong together on the page."""

    title: str
    forms: tuple[Form, ...]


def value_at(given: Any, path: str) -> Any:
    """Return what stands at a path; None where there is nothing."""
    found = given
    for part in path.split(".") if path else ():
        if isinstance(found, list):
            found = found[int(part)] if part.isdigit() and int(part) < len(found) else None
        elif isinstance(found, Mapping):
            found = found.get(part)
        else:
            return None
    return found


def holds(path: str, wanted: Any) -> Check:
    """Want this very value at a path."""

    def check(given: Given) -> str:
        found = value_at(given, path)
        return "" if found == wanted else f"{path} is {found!r}, not {wanted!r}"

    return check


def like(path: str, pattern: str) -> Check:
    """Want a text at a path in which the whole pattern is found."""

    def check(given: Given) -> str:
        found = value_at(given, path)
        text = found.decode("utf-8", "replace") if isinstance(found, bytes) else found
        if isinstance(text, str) and re.search(pattern, text, re.DOTALL):
            return ""
        return f"{path} is {found!r}, not like {pattern}"

    return check


def some(path: str) -> Check:
    """Want something at a path that is not empty."""

    def check(given: Given) -> str:
        return "" if value_at(given, path) else f"there is no {path}"

    return check


def among(path: str, name: str, wanted: Any) -> Check:
    """Want a list at a path, an item of which has this value under this name (or is it, without a name)."""

    def check(given: Given) -> str:
        found = [value_at(item, name) if name else item for item in value_at(given, path) or ()]
        return "" if wanted in found else f"{wanted!r} is not among {path}: {found}"

    return check


def every(*checks: Check) -> Check:
    """Want all of these."""

    def check(given: Given) -> str:
        return "; ".join(reason for reason in (one(given) for one in checks) if reason)

    return check


def status(wanted: int) -> Check:
    """Want this status."""

    def check(given: Given) -> str:
        found = given.get("status") or value_at(given, "ResponseMetadata.HTTPStatusCode")
        return "" if found == wanted else f"status {found}, not {wanted}"

    return check


def any_of(*wanted: int) -> Check:
    """Want one of these statuses."""
    return lambda given: "" if given["status"] in wanted else f"status {given['status']}"
