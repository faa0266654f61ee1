"""The webhook's HTTP side: one review in, one answer out, within a deadline and a bound. It decides nothing.

Whatever a client sends, the server lives: garbage is answered 400, too much 413. What can't be decided is denied, for a
pod that starts without the proxy reaches AWS.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, Protocol

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from kecs.core.errors import KecsError
from kecs.injector.admission import AdmissionRequest, BadReviewError, parse
from kecs.injector.config import Facts
from kecs.injector.verdict import Verdict, unavailable
from kecs.injector.webhook import MUTATE_PATH

BODY_MAX: Final = 10 << 20
"""The API server sends objects of up to 3 MiB, an UPDATE with both; this is far above."""
DEADLINE_S: Final = 5.0
"""Well below the webhook's timeoutSeconds: the API server is to hear our sentence, not its own."""
_JSON: Final = "application/json"


class View(Protocol):
    """What is known of the cluster."""

    async def facts(self, namespace: str, service_account: str, *, dry_run: bool) -> Facts:
        """Return what a review needs; raise KecsError when it can't be known."""


class Journal(Protocol):
    """Where verdicts are told: log, metrics, events."""

    def tell(self, verdict: Verdict, *, duration_s: float) -> None:
        """Record one verdict."""

    def refuse(self, reason: str) -> None:
        """Count a request that was no review."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """What the application needs to answer."""

    decide: Callable[[AdmissionRequest, Facts], Verdict]
    view: View
    journal: Journal
    fail_open: bool = False
    deadline_s: float = DEADLINE_S
    body_max: int = BODY_MAX
    clock: Callable[[], float] = field(default=time.perf_counter)


def application(webhook: Webhook) -> FastAPI:
    """Make the ASGI application. It has no documentation pages: only the API server is meant to call."""
    app = FastAPI(title="kecs-injector", openapi_url=None, docs_url=None, redoc_url=None)

    async def mutate(request: Request) -> Response:
        return await _answer(webhook, request)

    app.add_route(MUTATE_PATH, mutate, methods=["POST"], include_in_schema=False)
    return app


async def _answer(webhook: Webhook, request: Request) -> Response:
    started = webhook.clock()
    body = await _body(request, webhook.body_max)
    if body is None:
        webhook.journal.refuse("too_large")
        return _error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a review is at most {webhook.body_max} bytes")
    try:
        asked = parse(body)
    except BadReviewError as error:
        webhook.journal.refuse("bad_review")
        return _error(HTTPStatus.BAD_REQUEST, error.message)
    verdict = await _verdict(webhook, asked)
    webhook.journal.tell(verdict, duration_s=webhook.clock() - started)
    return Response(verdict.answer, media_type=_JSON)


async def _verdict(webhook: Webhook, asked: AdmissionRequest) -> Verdict:
    try:
        async with asyncio.timeout(webhook.deadline_s):
            facts = await webhook.view.facts(asked.namespace, _service_account(asked.object), dry_run=asked.dry_run)
    except TimeoutError:
        return unavailable(
            asked, f"the namespace {asked.namespace!r} could not be read within {webhook.deadline_s:g} s"
        )
    except KecsError as error:
        return unavailable(asked, error.message)
    return webhook.decide(asked, facts)


def _service_account(pod: dict[str, Any]) -> str:
    spec = pod.get("spec")
    name = spec.get("serviceAccountName") if isinstance(spec, dict) else None
    return name if isinstance(name, str) and name else "default"


async def _body(request: Request, most: int) -> bytes | None:
    """Read the body; None when it is longer than `most`, of which no more than that is kept."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > most:
        return None
    received = bytearray()
    async for chunk in request.stream():
        received += chunk
        if len(received) > most:
            return None
    return bytes(received)


def _error(status: HTTPStatus, message: str) -> Response:
    return JSONResponse({"message": message}, status_code=status)
