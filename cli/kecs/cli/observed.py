"""What `kecs proxy check` has observed of a cluster, and what it may find. Values only."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from cryptography import x509


class Status(StrEnum):
    """How a check came out."""

    PASSED = "passed"
    """As it should be."""
    WARNING = "warning"
    """It works, and will not for ever or not for all."""
    FAILED = "failed"
    """Something does not work, and the finding says what."""
    UNKNOWN = "unknown"
    """It could not be observed, mostly for want of a permission."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One verdict. A check has one or more; the worst counts."""

    status: Status
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a request that the check made came to."""

    status: int
    """HTTP; 0 when there was no answer at all."""
    message: str = ""
    body: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """The state of a cluster at one moment. What could not be read is None, with the reason in `unread`."""

    now: datetime
    context: str = ""
    namespace: str
    """Where KECS runs."""
    version: Answer
    """/version."""
    server_time: datetime | None = None
    """The API server's Date header."""
    deployments: Mapping[str, Mapping[str, Any]] | None = None
    webhook: Mapping[str, Any] | None = None
    """The MutatingWebhookConfiguration; an empty mapping when there is none."""
    trust: Mapping[str, str] | None = None
    """The data of the ConfigMap; an empty mapping when there is none."""
    roots: tuple[x509.Certificate, ...] = ()
    roots_error: str = ""
    pods: Sequence[Mapping[str, Any]] | None = None
    namespaces: Mapping[str, Mapping[str, Any]] | None = None
    dry_run: Answer | None = None
    """Creating a pod that asks for the sidecar, without persisting it."""
    backend: Answer | None = None
    """The emulator's health page."""
    certs: Answer | None = None
    """The certificate service's readiness."""
    leak: Answer | None = None
    """What the leak probe said; None when it was not asked for."""
    looks_like_aws: Callable[[Mapping[str, Any]], tuple[str, ...]] = lambda _pod: ()
    """Evidence that a pod uses AWS."""
    unread: Mapping[str, str] = field(default_factory=dict)
    """Field of this class → why it could not be read."""
