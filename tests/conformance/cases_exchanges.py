"""Who speaks when: expectations, interim responses, early responses, responses without bodies."""

from typing import Final

from conformance.playbook import (
    CUT_OFF,
    ENDED,
    FORGOTTEN,
    OK,
    OPENS,
    Case,
    Differs,
    Group,
    Step,
    Way,
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
    told,
)

_LOOKED_AT: Final = frozenset({Way.LOOKED_AT})
_BECAUSE_SEEN: Final = (
    "who decides on the body asks for it: the proxy says 100 itself, the backend's comes too late to matter"
)
_MORE: Final = (*same(get(b"/next")), *back(OK))
_ANEW: Final = (OPENS, arrives(get(b"/next")), *back(OK))
_EXPECTS: Final = request(b"PUT /k", b"Expect: 100-continue", b"Content-Length: 5")
_CHUNKS_EXPECTED: Final = request(b"PUT /k", b"Expect: 100-continue", b"Transfer-Encoding: chunked")
_ODDLY: Final = request(b"PUT /k", b"EXPECT: 100-Continue", b"Content-Length: 5")
_TWICE: Final = request(b"PUT /k", b"Expect: 100-continue", b"Expect: 100-continue", b"Content-Length: 5")
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_EMPTY: Final = b"Content-Length: 0"


def _looked_at(*steps: Step) -> tuple[Differs, ...]:
    return (differs(_LOOKED_AT, _BECAUSE_SEEN, *steps),)


def _held_back(*steps: Step) -> tuple[Differs, ...]:
    return (
        differs(_LOOKED_AT, "nothing is sent before the body has been looked at, all of it if it is short", *steps),
    )


def _refusal(status: bytes, *, body: bytes = b"") -> Case:
    """Have the backend refuse what it was asked to wait for: the client can't be told apart from one that sends it."""
    length = b"Content-Length: %d" % len(body)
    closed = response(status, length, b"Connection: close", body=body)
    plain = response(status, length, body=body)
    return Case(
        name=f"{status.decode()} instead",
        steps=(*same(_EXPECTS), answers(plain), gets(closed), ENDED, FORGOTTEN),
        differs=_looked_at(
            sends(_EXPECTS), gets(_CONTINUE), sends(b"hello"), arrives(_EXPECTS + b"hello"), *back(plain), *_MORE
        ),
    )


EXPECT: Final = Group(
    title="Expect: 100-continue",
    about="The backend decides whether it wants the body: its 100 reaches the client, or what it says instead. One"
    " that says nothing for `continueTimeout` has agreed.",
    cases=(
        Case(
            name="100, then the body",
            steps=(*same(_EXPECTS), *back(_CONTINUE), *same(b"hello"), *back(OK), *_MORE),
            differs=_looked_at(
                sends(_EXPECTS), gets(_CONTINUE), sends(b"hello"), arrives(_EXPECTS + b"hello"), *back(OK), *_MORE
            ),
        ),
        Case(
            name="100, then chunks and a trailer",
            steps=(
                *same(_CHUNKS_EXPECTED),
                *back(_CONTINUE),
                *same(b"3\r\nabc\r\n0\r\nX-S: 1\r\n\r\n"),
                *back(OK),
                *_MORE,
            ),
            differs=_looked_at(
                sends(_CHUNKS_EXPECTED),
                gets(_CONTINUE),
                sends(b"3\r\nabc\r\n0\r\nX-S: 1\r\n\r\n"),
                arrives(_CHUNKS_EXPECTED + b"3\r\nabc\r\n0\r\nX-S: 1\r\n\r\n"),
                *back(OK),
                *_MORE,
            ),
        ),
        Case(
            name="nothing: the proxy says 100 in its place",
            steps=(
                *same(_EXPECTS),
                gets(_CONTINUE),
                answers(_CONTINUE),
                *same(b"hello"),
                answers(_CONTINUE),
                *back(OK),
                *_MORE,
            ),
            differs=_looked_at(
                sends(_EXPECTS), gets(_CONTINUE), sends(b"hello"), arrives(_EXPECTS + b"hello"), *back(OK), *_MORE
            ),
        ),
        _refusal(b"417 Expectation Failed"),
        _refusal(b"403 Forbidden", body=b"<Error/>"),
        _refusal(b"307 Temporary Redirect"),
        Case(
            name="a client that does not wait",
            steps=(*same(_EXPECTS + b"hello"), *back(OK), *_MORE),
            differs=_looked_at(
                sends(_EXPECTS + b"hello"), gets(_CONTINUE), arrives(_EXPECTS + b"hello"), *back(OK), *_MORE
            ),
        ),
        Case(
            name="a client that does not wait, then 100",
            steps=(*same(_EXPECTS + b"hello"), *back(_CONTINUE + OK), *_MORE),
            differs=_looked_at(
                sends(_EXPECTS + b"hello"), gets(_CONTINUE), arrives(_EXPECTS + b"hello"), *back(_CONTINUE + OK), *_MORE
            ),
        ),
        Case(
            name="a client that does not wait is refused",
            steps=(
                *same(_EXPECTS + b"hello"),
                *back(response(b"403 Forbidden", _EMPTY)),
                *_MORE,
            ),
            differs=_looked_at(
                sends(_EXPECTS + b"hello"),
                gets(_CONTINUE),
                arrives(_EXPECTS + b"hello"),
                *back(response(b"403 Forbidden", _EMPTY)),
                *_MORE,
            ),
        ),
        Case(
            name="without a body",
            steps=(*same(get(b"/k", b"Expect: 100-continue")), *back(OK), *_MORE),
        ),
        Case(
            name="of something else is for the backend to refuse",
            steps=(
                *same(request(b"PUT /k", b"Expect: wonders", b"Content-Length: 5", body=b"hello")),
                *back(response(b"417 Expectation Failed", _EMPTY)),
                *_MORE,
            ),
        ),
        Case(
            name="the refused body is not taken for a request",
            steps=(
                *same(request(b"PUT /k", b"Expect: 100-continue", b"Content-Length: %d" % len(get(b"/smuggled")))),
                answers(response(b"417 Expectation Failed", _EMPTY)),
                gets(response(b"417 Expectation Failed", _EMPTY, b"Connection: close")),
                sends(get(b"/smuggled")),
                ENDED,
                FORGOTTEN,
            ),
            differs=_looked_at(
                sends(request(b"PUT /k", b"Expect: 100-continue", b"Content-Length: %d" % len(get(b"/smuggled")))),
                gets(_CONTINUE),
                sends(get(b"/smuggled")),
                arrives(
                    request(b"PUT /k", b"Expect: 100-continue", b"Content-Length: %d" % len(get(b"/smuggled")))
                    + get(b"/smuggled")
                ),
                *back(response(b"417 Expectation Failed", _EMPTY)),
                *_MORE,
            ),
        ),
    ),
)

_HINTS: Final = b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\nlink: </b>\r\n\r\n"
_PROCESSING: Final = b"HTTP/1.1 102 Processing\r\n\r\n"
_ODD: Final = b"HTTP/1.1 199 Odd\r\nX-A: 1\r\n\r\n"

INTERIM: Final = Group(
    title="Interim responses",
    about="RFC 9110 section 15.2: any number of them may come before the response, and all are passed on.",
    cases=(
        Case(name="103", steps=(*same(get(b"/k")), *back(_HINTS), *back(OK), *_MORE)),
        Case(name="103 and the response in one segment", steps=(*same(get(b"/k")), *back(_HINTS + OK), *_MORE)),
        Case(
            name="102, 103, 199 and 100, one after the other",
            steps=(
                *same(get(b"/k")),
                *back(_PROCESSING),
                *back(_HINTS),
                *back(_ODD),
                *back(_CONTINUE),
                *back(OK),
                *_MORE,
            ),
        ),
        Case(
            name="byte by byte",
            steps=(
                *same(get(b"/k")),
                answers(_HINTS + _PROCESSING + OK, bytewise=True),
                gets(_HINTS + _PROCESSING + OK),
                *_MORE,
            ),
        ),
        Case(
            name="before a response to HEAD",
            steps=(*same(request(b"HEAD /k")), *back(_HINTS + response(b"200 OK", b"Content-Length: 5")), *_MORE),
        ),
        Case(
            name="with Content-Length, which means nothing there",
            steps=(
                *same(get(b"/k")),
                *back(b"HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\n" + OK),
                *_MORE,
            ),
        ),
        Case(
            name="none for a client of HTTP/1.0",
            steps=(
                *same(request(b"GET /k", version=b"HTTP/1.0")),
                answers(_HINTS + OK),
                gets(response(b"200 OK", b"Content-Length: 2", b"Connection: close", body=b"ok")),
                ENDED,
            ),
        ),
        Case(
            name="17 of them are too many",
            steps=(*same(get(b"/k")), answers(_PROCESSING * 17), gets(_PROCESSING * 16), told(502), FORGOTTEN),
        ),
        Case(
            name="101 that nobody asked for",
            steps=(
                *same(get(b"/k")),
                answers(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"),
                told(502),
                FORGOTTEN,
            ),
        ),
    ),
)


def _bodiless(name: str, asked: bytes, answer: bytes) -> Case:
    return Case(name=name, steps=(*same(asked), *back(answer), *_MORE))


_HEAD: Final = request(b"HEAD /k")

BODILESS: Final = Group(
    title="Responses without a body",
    about="RFC 9112 section 6.3: what a length or a coding says there is what a GET would have got.",
    cases=(
        _bodiless("HEAD with a length", _HEAD, response(b"200 OK", b"Content-Length: 12345")),
        _bodiless("HEAD with a coding", _HEAD, response(b"200 OK", b"Transfer-Encoding: chunked")),
        _bodiless("HEAD with neither", _HEAD, response(b"200 OK")),
        _bodiless("HEAD, 404", _HEAD, response(b"404 Not Found", b"Content-Length: 300")),
        _bodiless("204", get(b"/k"), response(b"204 No Content")),
        _bodiless("204 to a DELETE", request(b"DELETE /k"), response(b"204 No Content", b"X-A: 1")),
        _bodiless(
            "304 with a length",
            get(b"/k", b'If-None-Match: "a"'),
            response(b"304 Not Modified", b"Content-Length: 12345"),
        ),
        _bodiless("304 with a coding", get(b"/k"), response(b"304 Not Modified", b"Transfer-Encoding: chunked")),
        _bodiless("205", get(b"/k"), response(b"205 Reset Content", b"Content-Length: 0")),
        _bodiless(
            "205 in chunks",
            get(b"/k"),
            response(b"205 Reset Content", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
        ),
        _bodiless("200 with a length of 0", get(b"/k"), response(b"200 OK", b"Content-Length: 0")),
    ),
)

_TOO_LARGE: Final = response(b"413 Content Too Large", b"Content-Length: 3", body=b"big")
_TEN: Final = request(b"PUT /k", b"Content-Length: 10", body=b"abc")

EARLY: Final = Group(
    title="Responses before the end of the request",
    about="A backend may answer while it is still being told. The client gets that at once; the rest of the body is"
    " read and dropped, so that the next request is found where it is, and the backend's connection is not used again.",
    cases=(
        Case(
            name="413, then the rest and a further request",
            steps=(*same(_TEN), *back(_TOO_LARGE), FORGOTTEN, sends(b"defghij" + get(b"/next")), *_ANEW),
            differs=_held_back(sends(_TEN + b"defghij"), arrives(_TEN + b"defghij"), *back(_TOO_LARGE), *_MORE),
        ),
        Case(
            name="403, then the rest in chunks and a request",
            steps=(
                *same(request(b"PUT /k", b"Transfer-Encoding: chunked", body=b"3\r\nabc\r\n")),
                *back(response(b"403 Forbidden", _EMPTY)),
                FORGOTTEN,
                sends(b"2\r\nde\r\n0\r\nX-S: 1\r\n\r\n" + get(b"/next")),
                *_ANEW,
            ),
            differs=_held_back(
                *same(request(b"PUT /k", b"Transfer-Encoding: chunked", body=b"3\r\nabc\r\n0\r\n\r\n")),
                *back(response(b"403 Forbidden", _EMPTY)),
                *_MORE,
            ),
        ),
        Case(
            name="a backend that closes after it",
            steps=(
                *same(_TEN),
                answers(response(b"413 Content Too Large", b"Connection: close", b"Content-Length: 3", body=b"big")),
                gets(_TOO_LARGE),
                FORGOTTEN,
                sends(b"defghij" + get(b"/next")),
                *_ANEW,
            ),
            differs=_held_back(sends(_TEN + b"defghij"), arrives(_TEN + b"defghij"), *back(_TOO_LARGE), *_MORE),
        ),
        Case(
            name="a rest that looks like a request is none",
            steps=(
                *same(request(b"PUT /k", b"Content-Length: %d" % (len(get(b"/smuggled")) + 1), body=b"a")),
                *back(_TOO_LARGE),
                FORGOTTEN,
                sends(get(b"/smuggled") + get(b"/next")),
                *_ANEW,
            ),
            differs=_held_back(
                *same(request(b"PUT /k", b"Content-Length: %d" % len(get(b"/smuggled")), body=get(b"/smuggled"))),
                *back(_TOO_LARGE),
                *_MORE,
            ),
        ),
        Case(
            name="a rest in malformed chunks is the end",
            steps=(
                *same(request(b"PUT /k", b"Transfer-Encoding: chunked", body=b"3\r\nabc\r\n")),
                *back(_TOO_LARGE),
                FORGOTTEN,
                sends(b"zz\r\n" + get(b"/next")),
                CUT_OFF,
            ),
            differs=_held_back(
                sends(request(b"PUT /k", b"Transfer-Encoding: chunked", body=b"3\r\nabc\r\nzz\r\n")),
                refused(400),
            ),
        ),
        Case(
            name="a response that goes on with the request",
            steps=(
                *same(_TEN),
                *back(response(b"200 OK", b"Content-Length: 10", body=b"ABC")),
                *same(b"def"),
                *back(b"DEF"),
                *same(b"ghij"),
                *back(b"GHIJ"),
                *_MORE,
            ),
            differs=_held_back(
                sends(_TEN + b"defghij"),
                arrives(_TEN + b"defghij"),
                *back(response(b"200 OK", b"Content-Length: 10", body=b"ABCDEFGHIJ")),
                *_MORE,
            ),
        ),
    ),
)

GROUPS: Final = (EXPECT, INTERIM, BODILESS, EARLY)
