"""Exchanges without their secrets: what is shown and recorded unless somebody asks for everything. Pure.

Three nets, one behind the other: what stands under a secret's name is left out (`redaction_names`, `redaction_bodies`);
what looks like a secret wherever it stands is (signed URLs, JSON Web Tokens, private keys); and whatever was once found
to be a secret is left out everywhere from then on.
"""

import json
import re
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from html import escape
from typing import Final
from urllib.parse import quote, quote_plus, unquote_plus

from kecs.aws.head import Fields
from kecs.sidecar.redaction_bodies import REDACTED, Body
from kecs.sidecar.redaction_names import FIELDS, PARAMETERS, members_of, normal

_MARK: Final = REDACTED.encode()
_KNOWN_MAX: Final = 1024
_KNOWN_LENGTH_MAX: Final = 16384
_LENGTH_MIN: Final = 8
"""Shorter texts are words that stand everywhere."""
_KEY_SHOWN: Final = 4
"""AKIA or ASIA: whether an access key is a session's."""

_SIGNED: Final = re.compile(
    rb"(X-Amz-(?:Signature|Security-Token|S3session-Token)(?:=|%3D|%253D)|[?&]Signature=|[?&]AWSAccessKeyId=)"
    rb"[^&\"'<>\s\\]+",
    re.IGNORECASE,
)
_SIGNED_BY: Final = re.compile(rb"(X-Amz-Credential(?:=|%3D|%253D))([A-Za-z0-9_]{4})[A-Za-z0-9_]+", re.IGNORECASE)
_LOOKS: Final = (
    re.compile(rb"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_-]{8,}+(?:\.[A-Za-z0-9_-]*+)+"),
    re.compile(rb"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|\Z)", re.DOTALL),
    re.compile(rb"k8s-aws-v1\.[A-Za-z0-9_-]+"),
)
_SIGNATURE: Final = re.compile(rb"(Signature=)[^,\s]+")
_CREDENTIAL: Final = re.compile(rb"(Credential=)([A-Za-z0-9_]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the client asked."""

    method: bytes
    scheme: str
    host: str
    port: int
    target: bytes
    """Path and query."""
    version: str
    fields: Fields
    body: bytes | None
    """Without its content coding; None: it was not kept."""
    size: int = 0
    """How many bytes of body went over the wire, as far as known."""
    started: float
    """Seconds since 1970, as all times here."""
    ended: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What it was answered."""

    status: int
    reason: bytes
    version: str
    fields: Fields
    body: bytes | None
    size: int = 0
    started: float
    ended: float
    trailers: Fields = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of a WebSocket."""

    from_client: bool
    text: bool
    body: bytes
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One request and what came of it."""

    service: str
    operation: str
    region: str
    request: Request
    response: Response | None = None
    error: str = ""
    """Why there is no response, or only the beginning of one."""
    messages: tuple[Message, ...] = ()
    comment: str = ""


@dataclass(slots=True)
class Redactor:
    """Leaves secrets out. It remembers those it has found, up to a number."""

    _known: OrderedDict[bytes, None] = field(default_factory=OrderedDict)

    def redact(self, exchange: Exchange) -> Exchange:
        """Return the exchange without its secrets."""
        body = Body(members_of(exchange.service, exchange.operation), self.learn)
        request = exchange.request
        request = replace(
            request,
            target=self._target(request.target),
            fields=tuple(self._fields(request.fields)),
            body=_cleaned(body, request.body, request.fields),
        )
        response = exchange.response
        if response is not None:
            response = replace(
                response,
                fields=tuple(self._fields(response.fields)),
                body=_cleaned(body, response.body, response.fields),
                trailers=tuple(self._fields(response.trailers)),
            )
        messages = tuple(replace(one, body=body.clean(one.body, "")) for one in exchange.messages)
        return self._hidden(replace(exchange, request=request, response=response, messages=messages))

    def learn(self, secret: bytes) -> None:
        """Take a secret that is left out wherever it appears from now on."""
        secret = secret.strip()
        if not _LENGTH_MIN <= len(secret) <= _KNOWN_LENGTH_MAX or secret == _MARK:
            return
        for spelled in {secret, *_spellings(secret)}:
            self._known[spelled] = None
            self._known.move_to_end(spelled)
        while len(self._known) > _KNOWN_MAX:
            self._known.popitem(last=False)

    # heads

    def _fields(self, fields: Fields) -> Iterable[tuple[bytes, bytes]]:
        for name, value in fields:
            plain = normal(name.decode("latin-1"))
            if plain == "authorization":
                yield name, self._authorization(value)
            elif plain in ("setcookie", "setcookie2"):
                yield name, self._set_cookie(value)
            elif plain in FIELDS or _ANY.secret(plain, text=True):
                self.learn(value)
                yield name, _MARK
            else:
                yield name, value

    def _authorization(self, value: bytes) -> bytes:
        scheme, blank, rest = value.partition(b" ")
        if not blank or b"Signature=" not in rest:
            self.learn(rest or value)
            return scheme + b" " + _MARK if blank else _MARK
        for found in _SIGNATURE.finditer(rest):
            self.learn(found[0].partition(b"=")[2])
        return scheme + b" " + _CREDENTIAL.sub(_key_shown, _SIGNATURE.sub(rb"\1" + _MARK, rest))

    def _set_cookie(self, value: bytes) -> bytes:
        pair, semicolon, attributes = value.partition(b";")
        name, _, secret = pair.partition(b"=")
        self.learn(secret)
        return name + b"=" + _MARK + semicolon + attributes

    def _target(self, target: bytes) -> bytes:
        path, mark, query = target.partition(b"?")
        return path + mark + b"&".join(map(self._parameter, query.split(b"&"))) if mark else target

    def _parameter(self, pair: bytes) -> bytes:
        name, equals, value = pair.partition(b"=")
        plain = normal(unquote_plus(name.decode("latin-1")))
        if not value or not (plain in PARAMETERS or _ANY.secret(plain, text=True)):
            return pair
        if plain == "xamzcredential":
            key, slash, scope = unquote_plus(value.decode("latin-1")).partition("/")
            return name + equals + key[:_KEY_SHOWN].encode() + _MARK + quote(slash + scope, safe="").encode()
        self.learn(unquote_plus(value.decode("latin-1"), "latin-1").encode("latin-1", "replace"))
        return name + equals + _MARK

    # everywhere

    def _hidden(self, exchange: Exchange) -> Exchange:
        request, response = exchange.request, exchange.response
        seen = b"\0".join(_all(exchange))
        found = [secret for secret in self._known if secret in seen]

        def fields(given: Fields) -> Fields:
            return tuple((name, _without(value, found)) for name, value in given)

        def body(given: bytes | None) -> bytes | None:
            return None if given is None else _without(given, found)

        request = replace(
            request, target=_without(request.target, found), fields=fields(request.fields), body=body(request.body)
        )
        if response is not None:
            response = replace(
                response,
                reason=_without(response.reason, found),
                fields=fields(response.fields),
                body=body(response.body),
                trailers=fields(response.trailers),
            )
        return replace(
            exchange,
            request=request,
            response=response,
            error=self.hide_text(exchange.error),
            comment=self.hide_text(exchange.comment),
            messages=tuple(replace(one, body=_without(one.body, found)) for one in exchange.messages),
        )

    def hide_text(self, text: str) -> str:
        """Return a text without secrets that are known, and without what looks like one."""
        return self.hide(text.encode(errors="surrogateescape")).decode(errors="surrogateescape") if text else text

    def hide(self, data: bytes) -> bytes:
        """Return bytes without secrets that are known, and without what looks like one."""
        return _without(data, self._known)


def _all(exchange: Exchange) -> Iterable[bytes]:
    """Return all in an exchange that may repeat a secret."""
    request, response = exchange.request, exchange.response
    yield from (request.target, request.body or b"", *(value for _, value in request.fields))
    yield from (one.body for one in exchange.messages)
    if response is not None:
        yield from (response.reason, response.body or b"", *(value for _, value in response.fields + response.trailers))


def _without(data: bytes, secrets: Iterable[bytes]) -> bytes:
    if not data:
        return data
    if b"=" in data or b"3D" in data:
        data = _SIGNED_BY.sub(rb"\1\2" + _MARK, _SIGNED.sub(rb"\1" + _MARK, data))
    for looks in _LOOKS:
        data = looks.sub(_MARK, data)
    for secret in secrets:
        if secret in data:
            data = data.replace(secret, _MARK)
    return data


_ANY: Final = members_of("none", "none")


def _key_shown(found: re.Match[bytes]) -> bytes:
    return found[1] + found[2][:_KEY_SHOWN] + _MARK


def _spellings(secret: bytes) -> Iterable[bytes]:
    """Spell a secret as it stands in URLs, in JSON and in XML."""
    yield quote(secret, safe="").encode()
    yield quote_plus(secret).encode()
    text = secret.decode(errors="replace")
    for ascii_only in (True, False):
        inner = json.dumps(text, ensure_ascii=ascii_only)[1:-1]
        yield from (inner.encode(errors="replace"), inner.replace("/", "\\/").encode(errors="replace"))
    yield escape(text, quote=False).encode(errors="replace")


def _cleaned(body: Body, data: bytes | None, fields: Fields) -> bytes | None:
    if not data:
        return data
    kind = next((value for name, value in fields if name.lower() == b"content-type"), b"")
    return body.clean(data, kind.decode("latin-1"))
