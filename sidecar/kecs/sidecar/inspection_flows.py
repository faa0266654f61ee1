"""The edge between mitmproxy's flows and what is shown and recorded of them: a flow as an exchange, and back."""

from dataclasses import replace
from typing import Any, Final

from mitmproxy import http
from mitmproxy.connection import Client, Server
from mitmproxy.flow import Error
from mitmproxy.websocket import WebSocketData, WebSocketMessage
from wsproto.frame_protocol import Opcode

from kecs.aws.call import Call
from kecs.aws.classify import body_wanted, classify
from kecs.aws.head import Fields, RequestHead
from kecs.calls.routes import ENGINE_FIELD
from kecs.sidecar.redaction import Exchange, Message, Request, Response
from kecs.sidecar.redaction_bodies import UNREADABLE

CALL: Final = "aws"
"""A flow's metadata has the call here: service, operation, region, account, resource."""
_OWN_CODING: Final = "aws-chunked"


def call_of(flow: http.HTTPFlow) -> Call:
    """Classify a request; its body is looked at as far as it is there already."""
    request = flow.request
    name = flow.client_conn.sni or request.host
    head = RequestHead(method=request.data.method, target=request.data.path, fields=tuple(request.headers.fields))
    if head.get(b"host") is None:
        head = head.with_fields(add=((b"host", (request.authority or name).encode("ascii", "replace")),))
    body = (request.raw_content or b"")[: body_wanted(head, name=name)]
    return classify(head, name=name, body=body)


def title(call: Call) -> str:
    """Say what a call is for, as people who use AWS say it: `dynamodb PutItem eu-west-1`."""
    return " ".join(part for part in (call.service or call.host, call.operation, call.region) if part)


def exchange_of(flow: http.HTTPFlow) -> Exchange:
    """Return what is to be said of a flow, however far it has come. Bodies lose their content coding."""
    call = call_of(flow)
    messages = flow.websocket.messages if flow.websocket is not None else ()
    return Exchange(
        service=call.service,
        operation=call.operation,
        region=call.region,
        comment=flow.comment,
        request=_request(flow),
        response=_response(flow.response) if flow.response is not None else None,
        error=flow.error.msg if flow.error is not None else "",
        messages=tuple(
            Message(
                from_client=bool(one.from_client), text=bool(one.is_text), body=bytes(one.content), at=one.timestamp
            )
            for one in messages
        ),
    )


def _request(flow: http.HTTPFlow) -> Request:
    asked = flow.request
    return Request(
        method=asked.data.method,
        scheme=asked.scheme or "https",
        host=asked.pretty_host or flow.client_conn.sni or "",
        port=asked.port,
        target=asked.data.path,
        version=asked.http_version,
        fields=_fields(asked),
        body=_body(asked),
        size=_size(asked),
        started=asked.timestamp_start,
        ended=asked.timestamp_end or asked.timestamp_start,
    )


def _response(answered: http.Response) -> Response:
    return Response(
        status=answered.status_code,
        reason=answered.data.reason,
        version=answered.http_version,
        fields=_fields(answered),
        body=_body(answered),
        size=_size(answered),
        started=answered.timestamp_start,
        ended=answered.timestamp_end or answered.timestamp_start,
        trailers=tuple(answered.data.trailers.fields) if answered.data.trailers else (),
    )


def _size(message: http.Message) -> int:
    """Return how long a body was on the wire; one that was too long to be kept was counted as it passed."""
    return len(message.raw_content) if message.raw_content is not None else int(getattr(message.stream, "size", 0))


def _fields(message: http.Message) -> Fields:
    return tuple((name, value) for name, value in message.headers.fields if name.lower() != ENGINE_FIELD)


def _coded(message: http.Message) -> bool:
    coding = message.headers.get("content-encoding", "").strip().lower()
    return coding not in ("", "identity") and _OWN_CODING not in coding


def _body(message: http.Message) -> bytes | None:
    if message.raw_content is None or not _coded(message):
        return None if message.raw_content is None else bytes(message.raw_content)
    try:
        decoded = message.get_content(strict=True)
    except ValueError:
        return UNREADABLE
    return None if decoded is None else bytes(decoded)


def flow_of(exchange: Exchange, like: http.HTTPFlow) -> http.HTTPFlow:
    """Make a flow that says what the exchange says, with the identity and the connections of another.

    Nothing else of that other flow is in it: neither its metadata nor what it was before somebody changed it.
    """
    found = http.HTTPFlow(_client(like.client_conn), Server(address=(exchange.request.host, exchange.request.port)))
    found.id = like.id
    found.comment = exchange.comment
    found.marked = like.marked
    found.timestamp_created = like.timestamp_created
    found.request = _request_of(exchange.request, like.request)
    if exchange.response is not None and like.response is not None:
        found.response = _response_of(exchange.response, like.response)
    if exchange.error and like.error is not None:
        found.error = Error(exchange.error, like.error.timestamp)
    if like.websocket is not None:
        found.websocket = WebSocketData(
            messages=[
                WebSocketMessage(Opcode.TEXT if one.text else Opcode.BINARY, one.from_client, one.body, one.at)
                for one in exchange.messages
            ],
            closed_by_client=like.websocket.closed_by_client,
            close_code=like.websocket.close_code,
            timestamp_end=like.websocket.timestamp_end,
        )
    return found


def _client(like: Client) -> Client:
    """Copy what is harmless of a client's connection."""
    found = Client(peername=like.peername, sockname=like.sockname, timestamp_start=like.timestamp_start)
    for name in ("tls", "sni", "alpn", "tls_version", "cipher", "timestamp_tls_setup", "timestamp_end"):
        setattr(found, name, getattr(like, name))
    return found


def _request_of(asked: Request, like: http.Request) -> http.Request:
    found = http.Request(
        host=asked.host,
        port=asked.port,
        method=asked.method,
        scheme=asked.scheme.encode(),
        authority=like.data.authority,
        path=asked.target,
        http_version=like.data.http_version,
        headers=http.Headers(asked.fields),
        content=None,
        trailers=None,
        timestamp_start=asked.started,
        timestamp_end=like.timestamp_end,
    )
    _fill(found, asked.body, like)
    return found


def _response_of(answered: Response, like: http.Response) -> http.Response:
    found = http.Response(
        http_version=like.data.http_version,
        status_code=answered.status,
        reason=answered.reason,
        headers=http.Headers(answered.fields),
        content=None,
        trailers=http.Headers(answered.trailers) if answered.trailers else None,
        timestamp_start=answered.started,
        timestamp_end=like.timestamp_end,
    )
    _fill(found, answered.body, like)
    return found


def _fill(found: Any, body: bytes | None, like: http.Message) -> None:
    """Give a message its body: as it went over the wire where nothing of it was left out, else coded anew."""
    if body is None:
        found.raw_content = None
    elif body == _body(like) and body is not UNREADABLE:
        found.raw_content = like.raw_content
    elif body is UNREADABLE or body == UNREADABLE:
        found.headers.pop("content-encoding", None)
        _replace(found, body)
    else:
        _replace(found, body)


def _replace(found: Any, body: bytes) -> None:
    if _coded(found):
        found.content = body
    else:
        found.raw_content = body
        if "content-length" in found.headers:
            found.headers["content-length"] = str(len(body))


def shown(exchange: Exchange, flow: http.HTTPFlow) -> http.HTTPFlow:
    """Return `flow_of`, with the title for those who gave no comment of their own."""
    return flow_of(replace(exchange, comment=exchange.comment or title(call_of(flow))), flow)
