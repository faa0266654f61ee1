"""AdmissionReview v1, both ways: what the API server asks, and the answer it understands. Pure.

https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/, read 2026-11.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from kecs.core.errors import KecsError

API_VERSION: Final = "admission.k8s.io/v1"
WARNING_LIMIT: Final = 256
"""Characters of one warning; the API server may cut longer ones."""
_WARNINGS_LIMIT: Final = 4096
"""Characters of all warnings: beyond that the API server drops some."""


class BadReviewError(KecsError):
    """What was posted is no AdmissionReview that we can answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionRequest:
    """One question of the API server: may this object be written, and how."""

    uid: str
    operation: str
    """CREATE, UPDATE, DELETE or CONNECT."""
    subresource: str
    """Empty for the object itself."""
    namespace: str
    """The request's: the object's may be empty."""
    name: str
    """Empty where the API server will generate it."""
    dry_run: bool
    object: dict[str, Any]
    old_object: dict[str, Any]
    """Empty on CREATE."""
    user: str


def parse(body: bytes) -> AdmissionRequest:
    """Read a review; raise BadReviewError saying what is missing or of the wrong type."""
    try:
        review = json.loads(body)
    except (ValueError, RecursionError) as error:  # lists within lists exhaust the parser's stack
        raise BadReviewError(f"the body is no JSON: {error}", hint=_HINT) from error
    if not isinstance(review, dict) or not isinstance(review.get("request"), dict):
        raise BadReviewError("the body is no AdmissionReview: it has no request", hint=_HINT)
    if (version := review.get("apiVersion")) != API_VERSION:
        raise BadReviewError(f"apiVersion is {version!r}, not {API_VERSION}", hint=_HINT)
    request = review["request"]
    user = request.get("userInfo")
    return AdmissionRequest(
        uid=_text(request, "uid", required=True),
        operation=_text(request, "operation", required=True),
        subresource=_text(request, "subResource"),
        namespace=_text(request, "namespace"),
        name=_text(request, "name"),
        dry_run=request.get("dryRun") is True,
        object=_object(request, "object"),
        old_object=_object(request, "oldObject"),
        user=_text(user, "username") if isinstance(user, dict) else "",
    )


_HINT: Final = "only the API server posts here; it sends what is registered as admissionReviewVersions"


def _text(values: Mapping[str, Any], name: str, *, required: bool = False) -> str:
    value = values.get(name)
    if value is None and not required:
        return ""
    if not isinstance(value, str) or (required and not value):
        raise BadReviewError(f"request.{name} is {value!r}, not a text", hint=_HINT)
    return value


def _object(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = values.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadReviewError(f"request.{name} is of type {type(value).__name__}, not an object", hint=_HINT)
    return value


def allowed(uid: str, *, operations: Sequence[Mapping[str, Any]] = (), warnings: Sequence[str] = ()) -> bytes:
    """Say yes, with the JSON patch `operations`."""
    response: dict[str, Any] = {"uid": uid, "allowed": True}
    if operations:
        patch = json.dumps(operations, separators=(",", ":")).encode()
        response |= {"patchType": "JSONPatch", "patch": base64.b64encode(patch).decode()}
    return _review(response, warnings)


def denied(
    uid: str, message: str, *, status: HTTPStatus = HTTPStatus.BAD_REQUEST, warnings: Sequence[str] = ()
) -> bytes:
    """Say no. kubectl shows the message after `admission webhook "…" denied the request:`."""
    reason = _REASONS.get(status, "")
    result = {"code": int(status), "message": message} | ({"reason": reason} if reason else {})
    return _review({"uid": uid, "allowed": False, "status": result}, warnings)


_REASONS: Final = {
    HTTPStatus.BAD_REQUEST: "BadRequest",
    HTTPStatus.FORBIDDEN: "Forbidden",
    HTTPStatus.INTERNAL_SERVER_ERROR: "InternalError",
    HTTPStatus.SERVICE_UNAVAILABLE: "ServiceUnavailable",
}
"""metav1.StatusReason, which kubectl prints in brackets."""


def _review(response: dict[str, Any], warnings: Sequence[str]) -> bytes:
    if said := _fitting(warnings):
        response["warnings"] = said
    review = {"apiVersion": API_VERSION, "kind": "AdmissionReview", "response": response}
    return json.dumps(review, separators=(",", ":")).encode()


def _fitting(warnings: Sequence[str]) -> list[str]:
    """Make warnings what the API server passes on: one with a line break is dropped by it without a word."""
    said: list[str] = []
    left = _WARNINGS_LIMIT
    for warning in dict.fromkeys(" ".join(one.split()) for one in warnings):
        short = warning if len(warning) <= WARNING_LIMIT else f"{warning[: WARNING_LIMIT - 1]}…"
        left -= len(short)
        if left < 0:
            break
        said.append(short)
    return said
