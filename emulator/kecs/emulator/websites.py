"""Buckets as websites: index and error documents, redirects. moto keeps a bucket's website configuration only.

What to ask of the bucket is decided here; asking is the caller's.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from html import escape
from typing import Final, Self
from urllib.parse import quote, unquote
from xml.etree import ElementTree as ET

from kecs.emulator.answers import Answer, Request

type Fetch = Callable[[str, str, str], Answer]
"""Asks the bucket: method, path below it, query."""

_FOUND: Final = range(200, 400)
_NOT_FOUND: Final = 404
_FORBIDDEN: Final = 403
_MOVED: Final = 301
_TITLES: Final = {400: "Bad Request", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed"}
_REDIRECTION: Final = "x-amz-website-redirect-location"
_HTML: Final = "text/html; charset=utf-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Redirect:
    """Where a request is sent instead. Empty strings mean that it stays as it was asked."""

    host: str = ""
    protocol: str = ""
    status: int = 301
    key: str | None = None
    prefix: str | None = None
    """What stands in the place of the prefix that made the rule apply."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A redirect and when it applies."""

    prefix: str
    status: int
    """Only when the answer would be this; 0: in any case."""
    redirect: Redirect

    def applies(self, key: str, status: int) -> bool:
        """Tell whether the rule is for this key, and for this answer (0 before there is one)."""
        return key.startswith(self.prefix) and self.status == status


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A bucket's website configuration."""

    index: str
    error: str
    everything: Redirect | None
    rules: tuple[Rule, ...]

    @classmethod
    def parse(cls, text: bytes) -> Self:
        """Read what S3 stores."""
        root = ET.fromstring(text)  # noqa: S314 - moto has read and stored it
        for element in root.iter():
            element.tag = element.tag.rpartition("}")[2]
        everything = root.find("RedirectAllRequestsTo")
        return cls(
            index=root.findtext("IndexDocument/Suffix") or "",
            error=root.findtext("ErrorDocument/Key") or "",
            everything=None if everything is None else _redirect(everything),
            rules=tuple(_rule(element) for element in root.findall("RoutingRules/RoutingRule")),
        )


def _redirect(element: ET.Element) -> Redirect:
    return Redirect(
        host=element.findtext("HostName") or "",
        protocol=element.findtext("Protocol") or "",
        status=int(element.findtext("HttpRedirectCode") or _MOVED),
        key=element.findtext("ReplaceKeyWith"),
        prefix=element.findtext("ReplaceKeyPrefixWith"),
    )


def _rule(element: ET.Element) -> Rule:
    redirect = element.find("Redirect")
    return Rule(
        prefix=element.findtext("Condition/KeyPrefixEquals") or "",
        status=int(element.findtext("Condition/HttpErrorCodeReturnedEquals") or 0),
        redirect=Redirect() if redirect is None else _redirect(redirect),
    )


def serve(request: Request, fetch: Fetch) -> Answer:
    """Answer a request to a bucket's website endpoint."""
    if request.method not in {"GET", "HEAD"}:
        return _page(405, "MethodNotAllowed", "The specified method is not allowed against this resource.")
    stored = fetch("GET", "/", "website")
    if stored.status not in _FOUND:
        return _failed(stored, "")
    site = Site.parse(stored.body)
    key = unquote(request.path).removeprefix("/")
    if site.everything is not None:
        return _sent(request, site.everything, key, "")
    rule = next((rule for rule in site.rules if rule.applies(key, 0)), None)
    if rule is not None:
        return _sent(request, rule.redirect, key, rule.prefix)
    answer = _object(request, site, key, fetch)
    if request.method != "HEAD":
        return answer
    length = {"content-length": str(len(answer.body))}
    return replace(answer, headers=answer.headers | length, body=b"")


def _object(request: Request, site: Site, key: str, fetch: Fetch) -> Answer:
    name = key + site.index if not key or key.endswith("/") else key
    # By GET even for a HEAD: moto tells whoever has not signed less about a HEAD than about a GET.
    found = fetch("GET", _path(name), "")
    if found.status in _FOUND or found.status not in {_NOT_FOUND, _FORBIDDEN}:
        return _shown(found)
    if name == key and fetch("GET", _path(f"{key}/{site.index}"), "").status in _FOUND:
        return Answer(status=302, headers={"location": f"{_path(key)}/"})
    rule = next((rule for rule in site.rules if rule.applies(key, found.status)), None)
    if rule is not None:
        return _sent(request, rule.redirect, key, rule.prefix)
    document = fetch("GET", _path(site.error), "") if site.error else found
    if document.status in _FOUND:
        return replace(document, status=found.status)
    return _failed(found, name)


def _path(key: str) -> str:
    return "/" + quote(key, safe="/-_.~")


def _shown(found: Answer) -> Answer:
    location = found.headers.get(_REDIRECTION)
    if location is None or found.status not in _FOUND:
        return found
    return Answer(status=_MOVED, headers={"location": location})


def _sent(request: Request, redirect: Redirect, key: str, prefix: str) -> Answer:
    if redirect.key is not None:
        key = redirect.key
    elif redirect.prefix is not None:
        key = redirect.prefix + key.removeprefix(prefix)
    query = f"?{request.query}" if request.query else ""
    place = f"{redirect.protocol or 'http'}://{redirect.host or request.host}"
    return Answer(status=redirect.status, headers={"location": f"{place}{_path(key)}{query}"})


def _failed(found: Answer, key: str) -> Answer:
    """Say in HTML what the bucket says in XML: a browser asks."""
    code, message = _said(found.body)
    if not code:  # moto refuses without a word
        code, message = ("AccessDenied", "Access Denied") if found.status == _FORBIDDEN else ("InternalError", "Error")
    return _page(found.status, code, message, key)


def _said(body: bytes) -> tuple[str, str]:
    try:
        root = ET.fromstring(body)  # noqa: S314 - moto's own error
    except ET.ParseError:
        return "", ""
    return root.findtext("Code") or "", root.findtext("Message") or ""


def _page(status: int, code: str, message: str, key: str = "") -> Answer:
    title = f"{status} {_TITLES.get(status, 'Error')}"
    items = {"Code": code, "Message": message} | ({"Key": key} if key else {})
    listed = "\n".join(f"<li>{name}: {escape(value)}</li>" for name, value in items.items())
    text = (
        f"<html>\n<head><title>{title}</title></head>\n<body>\n<h1>{title}</h1>\n<ul>\n{listed}\n</ul>\n<hr/>\n"
        "</body>\n</html>\n"
    )
    return Answer(status=status, headers={"content-type": _HTML, "x-amz-error-code": code}, body=text.encode())
