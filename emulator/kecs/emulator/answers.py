"""Requests and answers as values; errors in the caller's protocol, and the header fields every answer has. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import formatdate
from secrets import token_hex
from typing import Final
from urllib.parse import parse_qs

from kecs.aws.call import Protocol
from kecs.aws.classify import classify
from kecs.aws.errors import error_answer, extended_request_id
from kecs.aws.head import RequestHead

_FORM: Final = "application/x-www-form-urlencoded"
_NAMELESS: Final = {
    Protocol.QUERY: ("MissingAction", "no parameter Action"),
    Protocol.EC2: ("MissingAction", "no parameter Action"),
    Protocol.JSON: ("UnknownOperationException", "no X-Amz-Target"),
}
"""What AWS says to requests of the protocols that know an operation by its name only, where there is no name."""


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
    def action(self) -> str:
        """The operation, where a target or an action names it."""
        if target := self.headers.get("x-amz-target"):
            return target.rpartition(".")[2]
        is_form = self.headers.get("content-type", "").startswith(_FORM)
        texts = (self.body.decode(errors="replace") if is_form else "", self.query)
        return next((value for text in texts for value in parse_qs(text).get("Action", [])), "")

    @property
    def head(self) -> RequestHead:
        """The request as `kecs.aws` reads it."""
        target = f"{self.path}?{self.query}" if self.query else self.path
        fields = tuple((name.encode(), value.encode()) for name, value in self.headers.items())
        return RequestHead(method=self.method.encode(), target=target.encode(), fields=fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One HTTP answer. Header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes = b""


def error(request: Request, *, status: int, code: str, message: str) -> Answer:
    """Spell an error so that the SDK which asked can read it."""
    call = classify(request.head, name=request.host, body=request.body)
    said = error_answer(call, status=status, code=code, message=message, request_id=_request_id())
    headers = {name.decode().lower(): value.decode() for name, value in said.fields}
    return finished(Answer(status=said.status, headers=headers, body=said.body), request, call.service)


def nameless(request: Request) -> Answer | None:
    """Return the refusal of a request that had to name its operation, and does not; None for any other."""
    if request.action:
        return None
    call = classify(request.head, name=request.host, body=request.body)
    if call.operation or call.protocol not in _NAMELESS:
        return None
    code, lack = _NAMELESS[call.protocol]
    message = f"the request has {lack}, which says what {call.service or 'the service'} is to do"
    return error(request, status=400, code=code, message=message)


def finished(answer: Answer, request: Request, service: str) -> Answer:
    """Add what every answer of AWS has: request ids, a date, an exact length."""
    headers = {"date": formatdate(usegmt=True)} | answer.headers
    if service == "s3":
        request_id = headers.setdefault("x-amz-request-id", headers.pop("x-amzn-requestid", _request_id()))
        headers.setdefault("x-amz-id-2", extended_request_id(request_id))
        headers["server"] = "AmazonS3"
    elif "x-amzn-requestid" not in headers:
        headers["x-amzn-requestid"] = _request_id()
    bodyless = answer.status in {204, 304}
    if bodyless:
        headers.pop("content-length", None)
    elif request.method != "HEAD" or "content-length" not in headers:
        headers["content-length"] = str(len(answer.body))
    return Answer(status=answer.status, headers=headers, body=b"" if bodyless else answer.body)


def _request_id() -> str:
    return token_hex(8).upper()
