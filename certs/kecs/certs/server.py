"""The certificate service's HTTP side: a request in, an intermediate or a denial out. It decides nothing itself.

`POST /v1/intermediate` takes a PEM request and the pod's token; `GET /v1/authority` tells sidecars, who poll it, which
issuer signs now. Whatever a client sends is answered below 500; 503 means that the API server or the authority is away.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect

from kecs.certs.authority import INTERMEDIATE_LIFETIME, certificate_pem
from kecs.certs.bundle import fingerprint
from kecs.certs.csr import SIZE_MAX, read
from kecs.certs.issuance import Bearer, Denial, Denied, Policy, bearer, decide
from kecs.certs.journal import Journal
from kecs.certs.kube import KubeError
from kecs.certs.limits import Limiter
from kecs.certs.reviewer import Reviewer
from kecs.certs.state import Authority
from kecs.core.errors import AuthorityError

INTERMEDIATE_PATH: Final = "/v1/intermediate"
AUTHORITY_PATH: Final = "/v1/authority"
_BEARER: Final = "bearer "
_TOKEN_MAX: Final = 16384


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What the service answers with."""

    authority: Callable[[], Authority | None]
    reviewer: Reviewer
    journal: Journal
    clock: Callable[[], datetime]
    policy: Policy = field(default_factory=Policy)
    limiter: Limiter = field(default_factory=Limiter)
    lifetime: timedelta = INTERMEDIATE_LIFETIME


def application(service: Service) -> FastAPI:
    """Make the ASGI application, without documentation pages: sidecars alone call it."""
    app = FastAPI(title="kecs-certs", openapi_url=None, docs_url=None, redoc_url=None)

    async def intermediate(request: Request) -> Response:
        return await _intermediate(service, request)

    async def authority(_request: Request) -> Response:
        found = service.authority()
        return _denial(_without_issuer()) if found is None else JSONResponse(described(found))

    app.add_exception_handler(ClientDisconnect, _left)
    app.add_route(INTERMEDIATE_PATH, intermediate, methods=["POST"])
    app.add_route(AUTHORITY_PATH, authority, methods=["GET"])
    return app


def described(authority: Authority) -> dict[str, Any]:
    """Say what anybody may know of the authority."""
    return {
        "generation": authority.generation,
        "phase": authority.phase.value,
        "issuer_sha256": authority.issuer_sha256,
        "trust_sha256": list(authority.trust_sha256),
    }


async def _intermediate(service: Service, request: Request) -> Response:
    started = service.clock()
    who, outcome = await _outcome(service, request)
    pod = {"namespace": who.namespace, "pod": who.pod, "pod_uid": who.uid} if who else {}
    if isinstance(outcome, Denied):
        service.journal.denied(outcome, pod)
        return _denial(outcome)
    service.journal.issued(outcome, pod, duration_s=(service.clock() - started).total_seconds())
    return JSONResponse(outcome)


type _Issued = dict[str, Any]
type _Outcome = tuple[Bearer | None, _Issued | Denied]


async def _outcome(service: Service, request: Request) -> _Outcome:
    token = _token(request)
    body = await _body(request)
    if body is None:
        return None, Denied(reasons=(Denial.TOO_LARGE,), detail=f"above {SIZE_MAX} bytes")
    if not token:
        return None, Denied(reasons=(Denial.NO_TOKEN,))
    authority = service.authority()
    if authority is None:
        return None, _without_issuer()
    who: Bearer | Denied | None = None
    try:
        who = bearer(await service.reviewer.token(token), service.policy)
        if isinstance(who, Denied):
            return None, who
        return who, await _granted(service, who, body, authority)
    except KubeError as error:
        away = Denied(reasons=(Denial.API_UNAVAILABLE,), detail=error.message, retry_after_s=error.retry_after_s or 2)
        return who if isinstance(who, Bearer) else None, away


async def _granted(service: Service, who: Bearer, body: bytes, authority: Authority) -> _Issued | Denied:
    now = service.clock()
    wait = service.limiter.take(who.uid, now.timestamp())
    if wait:
        return Denied(reasons=(Denial.TOO_MANY,), retry_after_s=wait)
    pod = await service.reviewer.pod(who.namespace, who.pod)
    namespace = await service.reviewer.namespace(who.namespace) if pod is not None else None
    granted = decide(who, pod, namespace, read(body), leads_to=roots_reached(authority, now), policy=service.policy)
    if isinstance(granted, Denied):
        return granted
    try:
        chain = authority.sign_intermediate(granted.public_key, now, subject=who.subject, lifetime=service.lifetime)
    except AuthorityError as error:
        return Denied(reasons=(Denial.NO_ISSUER,), detail=error.message, retry_after_s=30)
    return {
        "chain": certificate_pem(*chain).decode(),
        "not_after": chain[0].not_valid_after_utc.isoformat(),
        **described(authority),
    }


def _without_issuer() -> Denied:
    return Denied(reasons=(Denial.NO_ISSUER,), retry_after_s=2)


def roots_reached(authority: Authority, now: datetime) -> frozenset[str] | None:
    """List the roots at which a chain served at `now` ends; None where one of them is not known any more.

    A cross-certificate leads on to the root that signed it. After a rotation is retired that root is forgotten, while
    its cross-certificate goes on being served for a day.
    """
    roots = {root.subject: fingerprint(root) for root in authority.bundle}
    signers = {cross.issuer for cross in authority.crosses if now < cross.not_valid_after_utc}
    if signers - roots.keys():
        return None
    return frozenset({fingerprint(authority.root), *(roots[signer] for signer in signers)})


def _token(request: Request) -> str:
    given = request.headers.get("authorization", "")
    if not given.lower().startswith(_BEARER) or len(given) > _TOKEN_MAX:
        return ""
    token = given[len(_BEARER) :].strip()
    return token if token.isascii() and token.isprintable() else ""


async def _body(request: Request) -> bytes | None:
    """Read the body; None when it is longer than any request."""
    received = bytearray()
    async for chunk in request.stream():
        received += chunk
        if len(received) > SIZE_MAX:
            return None
    return bytes(received)


async def _left(_request: Request, _error: Exception) -> Response:
    """Answer a client that has left before its request's end: for the server's books alone."""
    return Response(status_code=HTTPStatus.BAD_REQUEST)


def _denial(denied: Denied) -> Response:
    body: dict[str, Any] = {
        "reason": denied.reasons[0].value,
        "reasons": [reason.value for reason in denied.reasons],
        "message": denied.message,
        "hint": denied.hint,
    }
    if denied.problems:
        body["problems"] = [problem.value for problem, _ in denied.problems]
    headers = {"Retry-After": str(max(1, round(denied.retry_after_s)))} if denied.retry_after_s else {}
    if denied.status is HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(body, status_code=denied.status, headers=headers)
