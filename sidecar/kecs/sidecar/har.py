"""HTTP Archives (HAR 1.2): an exchange as an entry, and the text around entries. Pure.

Source: http://www.softwareishard.com/blog/har-12-spec/. Each entry is one line of the file: a file that was cut can be
mended by its lines.
"""

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import unquote_plus

from kecs.aws.head import Fields
from kecs.sidecar.redaction import Exchange, Message, Request, Response

VERSION: Final = "1.2"
FOOTER: Final = b"\n]}}\n"
_NOT_KEPT: Final = "not kept: too long, or never complete"
_UNKNOWN: Final = -1
_PORTS: Final = {"https": 443, "http": 80}


def header(creator: str) -> bytes:
    """Return the beginning of a file, up to where entries begin."""
    said = json.dumps({"version": VERSION, "creator": {"name": "kecs", "version": creator}}, separators=(",", ":"))
    return f'{{"log":{said[:-1]},"entries":['.encode()


def begins(first: bytes) -> bool:
    """Tell whether the first line of a file is the beginning of an archive of ours."""
    return first.startswith(b'{"log":{"version":"1.2",') and first.rstrip(b"\n").endswith(b'"entries":[')


def line(exchange: Exchange) -> bytes:
    """Return an entry as one line, without its end."""
    return json.dumps(entry(exchange), ensure_ascii=True, separators=(",", ":")).encode()


def entry(exchange: Exchange) -> dict[str, Any]:
    """Return an exchange as an entry."""
    request, response = exchange.request, exchange.response
    send = _ms(request.started, request.ended)
    wait = _ms(request.ended, response.started) if response else 0.0
    receive = _ms(response.started, response.ended) if response else 0.0
    found: dict[str, Any] = {
        "startedDateTime": datetime.fromtimestamp(request.started, UTC).isoformat(timespec="milliseconds"),
        "time": round(send + wait + receive, 3),
        "request": _request(request),
        "response": _response(response, exchange.error),
        "cache": {},
        "timings": {"blocked": _UNKNOWN, "dns": _UNKNOWN, "connect": _UNKNOWN, "ssl": _UNKNOWN, "send": send,
                    "wait": wait, "receive": receive},
        "_aws": {"service": exchange.service, "operation": exchange.operation, "region": exchange.region},
    }  # fmt: skip
    if exchange.comment:
        found["comment"] = exchange.comment
    if exchange.messages:
        found["_webSocketMessages"] = [_message(one) for one in exchange.messages]
    return found


def _ms(start: float, end: float) -> float:
    return round(max(0.0, end - start) * 1000, 3)


def _text(raw: bytes) -> str:
    """Spell what is mostly ASCII; other bytes as in ISO 8859-1, so that none is lost."""
    return raw.decode("latin-1")


def _request(request: Request) -> dict[str, Any]:
    target = _text(request.target)
    port = "" if _PORTS.get(request.scheme) == request.port else f":{request.port}"
    url = target if "://" in target else f"{request.scheme}://{request.host}{port}{target}"
    found: dict[str, Any] = {
        "method": _text(request.method),
        "url": url,
        "httpVersion": request.version,
        "cookies": [_pair(*one) for value in _values(request.fields, b"cookie") for one in _cookies(value)],
        "headers": _headers(request.fields),
        "queryString": list(_parameters(target.partition("?")[2])),
        "headersSize": _UNKNOWN,
        "bodySize": request.size,
    }
    if request.body:
        found["postData"] = _posted(request)
    elif request.body is None:
        found["comment"] = _NOT_KEPT
    return found


def _posted(request: Request) -> dict[str, Any]:
    kind = next(_values(request.fields, b"content-type"), "")
    text, encoding = _content(request.body or b"")
    # `text` and `params` exclude each other; the archive has no word for binary bodies, so it is one of ours.
    return {"mimeType": kind, "params": [], "text": text, **({"_encoding": encoding} if encoding else {})}


def _response(response: Response | None, error: str) -> dict[str, Any]:
    if response is None:
        return {
            "status": 0, "statusText": "", "httpVersion": "", "cookies": [], "headers": [], "redirectURL": "",
            "content": {"size": 0, "mimeType": ""}, "headersSize": _UNKNOWN, "bodySize": _UNKNOWN,
            "comment": error or "no response", "_error": error or "no response",
        }  # fmt: skip
    content: dict[str, Any] = {
        "size": len(response.body) if response.body is not None else response.size,
        "mimeType": next(_values(response.fields, b"content-type"), ""),
    }
    if response.body is None:
        content["comment"] = _NOT_KEPT
    elif response.body:
        content["text"], encoding = _content(response.body)
        if encoding:
            content["encoding"] = encoding
    found = {
        "status": response.status,
        "statusText": _text(response.reason),
        "httpVersion": response.version,
        "cookies": [one for value in _values(response.fields, b"set-cookie") for one in _set_cookie(value)],
        "headers": _headers(response.fields),
        "content": content,
        "redirectURL": next(_values(response.fields, b"location"), ""),
        "headersSize": _UNKNOWN,
        "bodySize": response.size,
    }
    if response.trailers:
        found["_trailers"] = _headers(response.trailers)
    return found | ({"comment": error, "_error": error} if error else {})


def _content(body: bytes) -> tuple[str, str]:
    try:
        return body.decode(), ""
    except UnicodeDecodeError:
        return base64.b64encode(body).decode(), "base64"


def _message(message: Message) -> dict[str, Any]:
    text, encoding = _content(message.body)
    return {
        "type": "send" if message.from_client else "receive",
        "time": message.at,
        "opcode": 1 if message.text else 2,
        "data": text,
        **({"_encoding": encoding} if encoding else {}),
    }


def _values(fields: Fields, name: bytes) -> Iterator[str]:
    return (_text(value) for key, value in fields if key.lower() == name)


def _pair(name: str, value: str) -> dict[str, str]:
    return {"name": name, "value": value}


def _headers(fields: Fields) -> list[dict[str, str]]:
    return [_pair(_text(name), _text(value)) for name, value in fields]


def _parameters(query: str) -> Iterable[Mapping[str, str]]:
    for one in query.split("&") if query else ():
        name, _, value = one.partition("=")
        yield _pair(unquote_plus(name), unquote_plus(value))


def _cookies(value: str) -> Iterable[tuple[str, str]]:
    for one in value.split(";"):
        name, _, content = one.strip().partition("=")
        if name:
            yield name, content


def _set_cookie(value: str) -> Iterable[dict[str, Any]]:
    pairs = list(_cookies(value))
    if not pairs:
        return
    attributes = {name.lower(): content for name, content in pairs[1:]}
    found: dict[str, Any] = _pair(*pairs[0])
    found |= {name: attributes[name] for name in ("path", "domain") if name in attributes}
    yield found | {"httpOnly": "httponly" in attributes, "secure": "secure" in attributes}
