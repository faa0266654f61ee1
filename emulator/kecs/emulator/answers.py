"""Answers as AWS spells them: errors in the caller's protocol, and the header fields that every answer has. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import formatdate
from secrets import token_hex
from urllib.parse import parse_qs
from xml.sax.saxutils import escape


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One HTTP request. Header names are in lower case."""

    method: str
    host: str
    path: str
    """As received: percent-encoded, without the query."""
    query: str
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def content_type(self) -> str:
        """The media type without its parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def action(self) -> str:
        """The operation, where a target or an action names it."""
        if target := self.headers.get("x-amz-target"):
            return target.rpartition(".")[2]
        form = self.body.decode(errors="replace") if self.content_type == "application/x-www-form-urlencoded" else ""
        return next((value for text in (form, self.query) for value in parse_qs(text).get("Action", [])), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One HTTP answer. Header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes = b""


def _json(code: str, message: str, request: Request) -> tuple[str, str]:
    media = request.content_type if request.content_type.startswith("application/x-amz-json") else "application/json"
    return media, json.dumps({"__type": code, "message": message})


def _query(code: str, message: str, request_id: str) -> tuple[str, str]:
    error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
    return "text/xml", f"<ErrorResponse>{error}<RequestId>{request_id}</RequestId></ErrorResponse>"


def _s3(code: str, message: str, request_id: str) -> tuple[str, str]:
    error = f"<Code>{code}</Code><Message>{escape(message)}</Message><RequestId>{request_id}</RequestId>"
    return "application/xml", f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{error}</Error>'


def error(request: Request, service: str, *, status: int, code: str, message: str) -> Answer:
    """Spell an error so that the SDK which asked can read it."""
    request_id = token_hex(8).upper()
    json_like = "x-amz-target" in request.headers or "json" in request.content_type
    if service == "s3" or any(label.startswith("s3") for label in request.host.split(".")):
        media, text = _s3(code, message, request_id)
    elif not json_like and request.action:
        media, text = _query(code, message, request_id)
    else:
        media, text = _json(code, message, request)
    headers = {"content-type": media, "x-amzn-requestid": request_id}
    if media not in {"text/xml", "application/xml"}:
        headers["x-amzn-errortype"] = code
    return finished(Answer(status=status, headers=headers, body=text.encode()), request, service)


def finished(answer: Answer, request: Request, service: str) -> Answer:
    """Add what every answer of AWS has: request ids, a date, an exact length."""
    headers = {"date": formatdate(usegmt=True)} | answer.headers
    if service == "s3":
        headers.setdefault("x-amz-request-id", headers.pop("x-amzn-requestid", token_hex(8).upper()))
        headers.setdefault("x-amz-id-2", token_hex(32))
        headers["server"] = "AmazonS3"
    elif "x-amzn-requestid" not in headers:
        headers["x-amzn-requestid"] = token_hex(16)
    bodyless = answer.status in {204, 304}
    if bodyless:
        headers.pop("content-length", None)
    elif request.method != "HEAD" or "content-length" not in headers:
        headers["content-length"] = str(len(answer.body))
    return Answer(status=answer.status, headers=headers, body=b"" if bodyless else answer.body)
