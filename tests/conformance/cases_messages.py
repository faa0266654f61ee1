"""Heads that are passed on as they are, requests in a row, and what belongs to one connection."""

from typing import Final

from conformance.playbook import (
    ENDED,
    ENGINE,
    NAME,
    OK,
    Case,
    Group,
    answers,
    arrives,
    back,
    differs,
    get,
    gets,
    refused,
    request,
    response,
    same,
    sends,
)

_PUT: Final = request(b"PUT /p", b"Content-Length: 5", body=b"hello")
_CHUNKS: Final = request(b"PUT /c", b"Transfer-Encoding: chunked", body=b"3\r\nabc\r\n0\r\nX-S: 1\r\n\r\n")
_MORE: Final = (*same(get(b"/next")), *back(OK))


def _kept(name: str, data: bytes) -> Case:
    return Case(name=name, steps=(*same(data), *back(OK), *_MORE))


def _answered(name: str, data: bytes) -> Case:
    return Case(name=name, steps=(*same(get(b"/k")), *back(data), *_MORE))


REQUESTS: Final = Group(
    title="Heads",
    about="What is said arrives as it was said: targets, names and values, their case and order.",
    cases=(
        Case(name="two requests on one connection", steps=(*same(get(b"/a")), *back(OK), *same(get(b"/b")), *back(OK))),
        _kept("a body with a length", _PUT),
        _kept("a body of no bytes", request(b"POST /k", b"Content-Length: 0")),
        Case(name="a request byte by byte", steps=(sends(_PUT, bytewise=True), arrives(_PUT), *back(OK), *_MORE)),
        Case(name="a response byte by byte", steps=(*same(_PUT), answers(OK, bytewise=True), gets(OK), *_MORE)),
        _kept(
            "names in lower and odd case, equal names in their order",
            get(b"/k", b"x-lower: 1", b"X-ODD-cAse: 2", b"x-twice: b", b"X-Other: 3", b"X-Twice: a"),
        ),
        _answered(
            "names and their order, of a response",
            response(
                b"200 OK", b"x-lower: 1", b"X-ODD: 2", b"Set-Cookie: b", b"X: 3", b"Set-Cookie: a", b"content-length: 0"
            ),
        ),
        _kept("bytes of the upper half in a value", get(b"/k", b"X-Upper: \xe4\xf6\xff")),
        _answered(
            "bytes of the upper half, of a response",
            response(b"200 OK", b"X-Upper: \xe4\xf6\xff", b"Content-Length: 0"),
        ),
        _kept("an empty value", get(b"/k", b"X-Empty: ")),
        _kept("commas, quotes and blanks inside a value", get(b"/k", b'X-A: a,  "b\\"c" ;d=e , ,f')),
        _kept("everything that may stand in a target", get(b"/a%20b//../c;v=1?x=%2F&y=a+b&z=[1]|{}~'()*!$,:@")),
        _kept("a target of 8 KB", get(b"/" + b"k" * 8000)),
        Case(
            name="empty lines before a request", steps=(sends(b"\r\n\r\n" + get(b"/k")), arrives(get(b"/k")), *back(OK))
        ),
        Case(
            name="two blanks in the request line are made one",
            steps=(sends(b"GET  /k HTTP/1.1" + get(b"/k")[15:]), arrives(get(b"/k")), *back(OK), *_MORE),
        ),
        _kept("a head of 60 KB", get(b"/k", *[b"X-%d: %b" % (number, b"v" * 600) for number in range(98)])),
        _answered(
            "a head of 60 KB in a response",
            response(b"200 OK", *[b"X-%d: %b" % (number, b"v" * 600) for number in range(98)], b"Content-Length: 0"),
        ),
        Case(name="a head of 70 KB", steps=(sends(get(b"/k", b"X: " + b"v" * 70_000)), refused(431))),
        Case(name="two thousand fields", steps=(sends(get(b"/k", *[b"X: v"] * 2000)), refused(431))),
        _answered("no reason phrase", response(b"200 ", b"Content-Length: 0")),
        _answered("a long reason phrase", response(b"200 It is all fine, (really) \xe4", b"Content-Length: 0")),
        _answered("a status that nobody knows", response(b"299 Odd", b"Content-Length: 2", body=b"ok")),
        _answered("a status of 599", response(b"599 Odd", b"Content-Length: 2", body=b"ok")),
    ),
)

FORMS: Final = Group(
    title="Forms of the target",
    about="RFC 9112 section 3.2. A target that names a host has to name that of the Host field.",
    cases=(
        _kept("asterisk form", request(b"OPTIONS *")),
        Case(
            name="absolute form",
            steps=(sends(request(b"GET http://" + NAME + b"/k?a=b")), arrives(get(b"/k?a=b")), *back(OK), *_MORE),
        ),
        Case(
            name="absolute form without a path",
            steps=(sends(request(b"GET http://" + NAME)), arrives(get(b"/")), *back(OK), *_MORE),
        ),
        Case(
            name="absolute form with a query and no path",
            steps=(sends(request(b"GET http://" + NAME + b"?a=b")), arrives(get(b"/?a=b")), *back(OK), *_MORE),
            differs=(
                differs(
                    ENGINE,
                    "mitmproxy does not read such a target",
                    sends(request(b"GET http://" + NAME + b"?a=b")),
                    refused(400),
                ),
            ),
        ),
        Case(
            name="absolute form with https",
            steps=(sends(request(b"GET https://" + NAME + b"/k")), arrives(get(b"/k")), *back(OK), *_MORE),
        ),
        Case(
            name="absolute form that names another host",
            steps=(sends(request(b"GET http://example.com/k")), refused(400)),
        ),
        Case(
            name="absolute form with a user",
            steps=(sends(request(b"GET http://" + NAME + b"@example.com/k")), refused(400)),
        ),
        Case(
            name="absolute form of another scheme", steps=(sends(request(b"GET ftp://" + NAME + b"/k")), refused(400))
        ),
        Case(name="authority form", steps=(sends(request(b"CONNECT " + NAME + b":443")), refused(400, 405))),
        Case(name="neither a path nor a URL", steps=(sends(request(b"GET k")), refused(400))),
        Case(name="a blank in the target", steps=(sends(request(b"GET /a b")), refused(400))),
        Case(name="a tab in the target", steps=(sends(request(b"GET /a\tb")), refused(400))),
        Case(name="no target", steps=(sends(request(b"GET ")), refused(400))),
    ),
)

PIPELINING: Final = Group(
    title="Pipelining",
    about="Requests that are sent before the answers of those before them are answered in order, one at a time.",
    cases=(
        Case(
            name="three GETs in one segment",
            steps=(
                sends(get(b"/1") + get(b"/2") + get(b"/3")),
                *[step for path in (b"/1", b"/2", b"/3") for step in (arrives(get(path)), *back(OK))],
            ),
        ),
        Case(
            name="bodies with lengths and with chunks, and a HEAD",
            steps=(
                sends(_PUT + _CHUNKS + request(b"HEAD /h") + get(b"/k")),
                arrives(_PUT),
                *back(OK),
                arrives(_CHUNKS),
                *back(OK),
                arrives(request(b"HEAD /h")),
                *back(response(b"200 OK", b"Content-Length: 7")),
                arrives(get(b"/k")),
                *back(OK),
            ),
        ),
        Case(
            name="the same, byte by byte",
            steps=(
                sends(_PUT + _CHUNKS + get(b"/k"), bytewise=True),
                *[step for data in (_PUT, _CHUNKS, get(b"/k")) for step in (arrives(data), *back(OK))],
            ),
        ),
        Case(
            name="answers that all wait for the client",
            steps=(
                sends(get(b"/1") + _PUT + get(b"/3")),
                *[step for data in (get(b"/1"), _PUT, get(b"/3")) for step in (arrives(data), answers(OK))],
                gets(OK * 3),
            ),
        ),
        Case(
            name="a malformed request in between ends it there",
            steps=(
                sends(get(b"/1") + b"GET /2 HTTP/1.1\r\n\r\n" + get(b"/3")),
                arrives(get(b"/1")),
                *back(OK),
                refused(400),
            ),
        ),
        Case(
            name="nothing is answered after Connection: close",
            steps=(
                sends(get(b"/1", b"Connection: close") + get(b"/2")),
                arrives(get(b"/1")),
                answers(OK),
                gets(response(b"200 OK", b"Content-Length: 2", b"Connection: close", body=b"ok")),
                ENDED,
            ),
        ),
        Case(
            name="an error of the backend does not end it",
            steps=(
                sends(_PUT + get(b"/2")),
                arrives(_PUT),
                *back(response(b"500 Internal Server Error", b"Content-Length: 3", body=b"bad")),
                arrives(get(b"/2")),
                *back(OK),
            ),
        ),
    ),
)

_CLOSED: Final = response(b"200 OK", b"Content-Length: 2", b"Connection: close", body=b"ok")

CONNECTION: Final = Group(
    title="Connection, keep-alive and HTTP/1.0",
    about="RFC 9110 section 7.6.1, RFC 9112 section 9.3: what is said about one connection stays on it.",
    cases=(
        Case(
            name="a client's Connection: close is not the backend's",
            steps=(sends(get(b"/k", b"Connection: close")), arrives(get(b"/k")), answers(OK), gets(_CLOSED), ENDED),
        ),
        Case(
            name="keep-alive, Keep-Alive and Proxy-Connection",
            steps=(
                sends(get(b"/k", b"Connection: keep-alive", b"Keep-Alive: timeout=5", b"Proxy-Connection: close")),
                arrives(get(b"/k")),
                answers(
                    response(
                        b"200 OK", b"Connection: keep-alive", b"Keep-Alive: max=9", b"Content-Length: 2", body=b"ok"
                    )
                ),
                gets(OK),
                *_MORE,
            ),
        ),
        Case(
            name="fields that Connection names, of a request",
            steps=(
                sends(get(b"/k", b"Connection: X-Foo, te", b"x-foo: a", b"X-Bar: b", b"TE: trailers", b"X-Foo: c")),
                arrives(get(b"/k", b"X-Bar: b")),
                *back(OK),
                *_MORE,
            ),
        ),
        Case(
            name="fields that Connection names, of a response",
            steps=(
                *same(get(b"/k")),
                answers(response(b"200 OK", b"Connection: X-Foo", b"X-Foo: a", b"Content-Length: 2", body=b"ok")),
                gets(OK),
                *_MORE,
            ),
        ),
        Case(
            name="HTTP/1.0",
            steps=(*same(request(b"GET /k", version=b"HTTP/1.0")), answers(OK), gets(_CLOSED), ENDED),
        ),
        Case(
            name="HTTP/1.0 with keep-alive",
            steps=(
                sends(request(b"GET /k", b"Connection: keep-alive", version=b"HTTP/1.0")),
                arrives(request(b"GET /k", version=b"HTTP/1.0")),
                answers(OK),
                gets(response(b"200 OK", b"Content-Length: 2", b"Connection: keep-alive", body=b"ok")),
                *_MORE,
            ),
        ),
        Case(
            name="HTTP/1.0 without a Host field",
            steps=(*same(b"GET /k HTTP/1.0\r\nX-A: 1\r\n\r\n"), answers(OK), gets(_CLOSED), ENDED),
        ),
        Case(
            name="HTTP/1.0 with a body",
            steps=(
                *same(request(b"PUT /k", b"Content-Length: 5", version=b"HTTP/1.0", body=b"hello")),
                answers(OK),
                gets(_CLOSED),
                ENDED,
            ),
        ),
    ),
)

GROUPS: Final = (REQUESTS, FORMS, PIPELINING, CONNECTION)
