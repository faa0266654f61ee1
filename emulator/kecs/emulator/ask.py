"""One request asked of moto in this process: from a request to an answer, blocking, never over a network."""

import http
import json
import logging
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from traceback import extract_tb
from typing import Any

from botocore.exceptions import ClientError
from botocore.model import OperationNotFoundError
from moto.core.request import Request as MotoRequest
from werkzeug.exceptions import HTTPException

from kecs.emulator import index, patches
from kecs.emulator.answers import Answer, Request, error, finished, nameless
from kecs.emulator.hosts import Place
from kecs.emulator.websites import serve

_log = logging.getLogger("kecs.emulator")


def ask(service: str, place: Place, request: Request) -> Answer:
    """Have moto answer. What moto does not have or breaks on becomes an error that an SDK can read."""
    if place.website:
        return _website(service, place, request)
    path = place.prefix + (request.path or "/")
    if service == "sqs" and request.method == "GET" and request.query:
        request = _posted(request)
    try:
        handler = index.handler_of(service, place.asked, path)
        if handler is None:
            return _missing(request, f"no operation of {service} at {request.method} {request.path}")
        with patches.LOCK if service == "sqs" else nullcontext():
            answer = _asked(handler, place, path, request)
        unknown = nameless(request) if answer.status == http.HTTPStatus.NOT_FOUND and not answer.body else None
        return unknown or finished(answer, request, service)
    except (NotImplementedError, OperationNotFoundError) as missing:
        return _missing(request, str(missing) or f"{request.action or request.method} of {service}")
    except ClientError as refused:
        details = refused.response["Error"]
        return error(request, status=400, code=details["Code"], message=details["Message"])
    except Exception as broken:  # noqa: BLE001 - whatever moto breaks on is one caller's 500, not the server's end
        return _broken(service, request, broken)


def _broken(service: str, request: Request, broken: Exception) -> Answer:
    refused = nameless(request) if request.path in {"", "/"} else None
    if refused is not None:  # where there is no Action, moto's ELB does not know which of two it is
        return refused
    if _is_no_json(request):
        return error(request, status=400, code="SerializationException", message="the body is not the JSON it says")
    last = extract_tb(broken.__traceback__)[-1]
    where = f"{Path(last.filename).name}:{last.lineno}"
    _log.error("moto failed on %s %s of %s: %r (%s)", request.method, request.path, service, broken, where)
    message = f"the emulator failed on {service} {request.action or request.method}: {broken!r}"
    return error(request, status=500, code="InternalFailure", message=message)


def _is_no_json(request: Request) -> bool:
    """Whether the body says that it is JSON, and is none that holds members."""
    if "json" not in request.headers.get("content-type", ""):
        return False
    try:
        return not isinstance(json.loads(request.body or b"{}"), dict)
    except ValueError:
        return True


def _website(service: str, place: Place, request: Request) -> Answer:
    """Answer as the website that the bucket is, with what moto says of the bucket."""
    bucket = replace(place, website=False)

    def fetch(method: str, path: str, query: str) -> Answer:
        return ask(service, bucket, replace(request, method=method, path=path, query=query))

    return finished(serve(request, fetch), request, service)


def _posted(request: Request) -> Request:
    """Turn a query-protocol GET into the POST it stands for: moto answers the former in JSON."""
    headers = dict(request.headers) | {"content-type": "application/x-www-form-urlencoded"}
    return replace(request, method="POST", query="", headers=headers, body=request.query.encode())


def _asked(handler: index.Handler, place: Place, path: str, request: Request) -> Answer:
    url = f"{place.scheme}://{place.host}{path.replace(';', '%3B').replace('#', '%23')}"
    if request.query:
        url += f"?{request.query}"
    headers = dict(request.headers) | {"host": place.host, "content-length": str(len(request.body))}
    asked = MotoRequest.from_primitives(request.method, url, headers, request.body)
    asked.get_data(cache=True)  # or a form's parser eats it: what curl and urllib PUT to S3 claims to be a form
    try:
        result = handler(asked, asked.raw_url, asked.headers)
    except HTTPException as refused:
        result = refused.code or 500, dict(refused.get_headers()), refused.get_body()
    return _answer(result)


def _answer(result: Any) -> Answer:
    """Normalise what moto's handlers return: a triple or a bare body, statuses as text, headers of any type."""
    status, headers, body = result if isinstance(result, tuple) else (200, {}, result)
    return Answer(status=int(status), headers=_fields(headers), body=_octets(body))


def _fields(headers: Mapping[str, Any] | None) -> dict[str, str]:
    fields = {
        str(name).lower(): value.decode("latin-1") if isinstance(value, bytes) else str(value)
        for name, value in (headers or {}).items()
        if value is not None
    }
    fields.pop("status", None)  # moto's own channel for the status, not a field of HTTP
    return fields


def _octets(body: Any) -> bytes:
    if body is None:
        return b""
    return body.encode() if isinstance(body, str) else bytes(body)


def _missing(request: Request, what: str) -> Answer:
    message = f"the embedded emulator does not have it: {what}; another backend may (kecs run --backend URL)"
    return error(request, status=501, code="NotImplemented", message=message)
