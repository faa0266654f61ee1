"""HTTP/2 clients, whom the engine serves: the backend is asked in HTTP/1.1, framed so that nothing is two things."""

from typing import Final

from conformance.playbook import (
    BACKEND_ENDS,
    FORGOTTEN,
    HANGS_UP,
    NAME,
    OK,
    OPENS,
    Step,
    answers,
    arrives,
    get,
    request,
    response,
)
from conformance.playbook_h2 import (
    DISMISSED,
    LEAVES,
    Case2,
    Group2,
    Step2,
    answered,
    asks,
    asks_oddly,
    cancels,
    ends,
    gets_data,
    informed,
    is_reset,
    is_told,
    pseudo,
    sends_data,
    trails,
)

_CHUNKED: Final = b"Transfer-Encoding: chunked"
_TWO: Final = (b"content-length", b"2")
_OK: Final = (answered(200, _TWO), gets_data(b"ok"), ends())
_SMUGGLED: Final = get(b"/smuggled")


def _chunks(data: bytes, trailers: bytes = b"") -> bytes:
    return b"%x\r\n%b\r\n0\r\n%b\r\n" % (len(data), data, trailers)


def _ok(stream: int) -> tuple[Step2, ...]:
    return (answered(200, _TWO, stream=stream), gets_data(b"ok", stream=stream), ends(stream=stream))


_AGAIN: Final[tuple[Step | Step2, ...]] = (
    asks(b"GET", b"/next", stream=9),
    arrives(get(b"/next")),
    answers(OK),
    *_ok(9),
)
"""The connection goes on."""
_ANEW: Final[tuple[Step | Step2, ...]] = (
    asks(b"GET", b"/next", stream=9),
    OPENS,
    arrives(get(b"/next")),
    answers(OK),
    *_ok(9),
)

MESSAGES: Final = Group2(
    title="HTTP/2: messages",
    about="RFC 9113 section 8. Bodies without a length are sent in chunks, or they would be a further request.",
    cases=(
        Case2(
            name="a GET, twice on one connection",
            steps=(asks(b"GET", b"/k"), arrives(get(b"/k")), answers(OK), *_OK, *_AGAIN),
        ),
        Case2(
            name="fields, also equal ones, in their order",
            steps=(
                asks(b"GET", b"/k?a=b%20", (b"x-b", b"1"), (b"x-a", b"2"), (b"x-b", b"3"), (b"x-u", b"\xe4\xff")),
                arrives(get(b"/k?a=b%20", b"x-b: 1", b"x-a: 2", b"x-b: 3", b"x-u: \xe4\xff")),
                answers(
                    response(
                        b"200 Fine", b"X-B: 1", b"Set-Cookie: b", b"Set-Cookie: a", b"Content-Length: 2", body=b"ok"
                    )
                ),
                answered(200, (b"x-b", b"1"), (b"set-cookie", b"b"), (b"set-cookie", b"a"), _TWO),
                gets_data(b"ok"),
                ends(),
                *_AGAIN,
            ),
        ),
        Case2(
            name="cookies in several fields are one",
            steps=(
                asks(b"GET", b"/k", (b"cookie", b"a=b"), (b"cookie", b"c=d")),
                arrives(get(b"/k", b"cookie: a=b; c=d")),
                answers(OK),
                *_OK,
            ),
        ),
        Case2(
            name="a body with a length",
            steps=(
                asks(b"PUT", b"/k", (b"content-length", b"5"), end=False),
                sends_data(b"hello", end=True),
                arrives(request(b"PUT /k", b"content-length: 5", body=b"hello")),
                answers(OK),
                *_OK,
                *_AGAIN,
            ),
        ),
        Case2(
            name="a body without a length that looks like a request",
            steps=(
                asks(b"PUT", b"/k", end=False),
                sends_data(_SMUGGLED, end=True),
                arrives(request(b"PUT /k", _CHUNKED, body=_chunks(_SMUGGLED))),
                answers(OK),
                *_OK,
                *_AGAIN,
            ),
        ),
        Case2(
            name="a GET with a body without a length",
            steps=(
                asks(b"GET", b"/k", end=False),
                sends_data(_SMUGGLED, end=True),
                arrives(request(b"GET /k", _CHUNKED, body=_chunks(_SMUGGLED))),
                answers(OK),
                *_OK,
                *_AGAIN,
            ),
        ),
        Case2(
            name="a body of no bytes without a length",
            steps=(
                asks(b"POST", b"/k", end=False),
                sends_data(b"", end=True),
                arrives(request(b"POST /k", _CHUNKED, body=b"0\r\n\r\n")),
                answers(OK),
                *_OK,
                *_AGAIN,
            ),
        ),
        Case2(
            name="trailers of a request without a length",
            steps=(
                asks(b"PUT", b"/k", (b"trailer", b"x-sum"), end=False),
                sends_data(b"hello"),
                trails((b"x-sum", b"1"), (b"x-b", b"2")),
                arrives(
                    request(b"PUT /k", b"trailer: x-sum", _CHUNKED, body=_chunks(b"hello", b"x-sum: 1\r\nx-b: 2\r\n"))
                ),
                answers(OK),
                *_OK,
                *_AGAIN,
            ),
        ),
        Case2(
            name="chunks and trailers of a response",
            steps=(
                asks(b"GET", b"/k"),
                arrives(get(b"/k")),
                answers(response(b"200 OK", b"Trailer: X-Sum", _CHUNKED, body=_chunks(b"hello", b"X-Sum: 1\r\n"))),
                answered(200, (b"trailer", b"X-Sum")),
                gets_data(b"hello"),
                ends((b"x-sum", b"1")),
                *_AGAIN,
            ),
        ),
        Case2(
            name="parts of both bodies pass each other as they come",
            steps=(
                asks(b"POST", b"/k", (b"content-length", b"6"), end=False),
                arrives(request(b"POST /k", b"content-length: 6")),
                answers(response(b"200 OK", b"Content-Length: 6")),
                answered(200, (b"content-length", b"6")),
                sends_data(b"abc"),
                arrives(b"abc"),
                answers(b"ABC"),
                gets_data(b"ABC"),
                sends_data(b"def", end=True),
                arrives(b"def"),
                answers(b"DEF"),
                gets_data(b"DEF"),
                ends(),
                *_AGAIN,
            ),
        ),
        Case2(
            name="a response until the end of its connection",
            steps=(
                asks(b"GET", b"/k"),
                arrives(get(b"/k")),
                answers(response(b"200 OK", b"X-A: 1", body=b"hello")),
                HANGS_UP,
                answered(200, (b"x-a", b"1")),
                gets_data(b"hello"),
                ends(),
                *_ANEW,
            ),
        ),
        Case2(
            name="HEAD",
            steps=(
                asks(b"HEAD", b"/k"),
                arrives(request(b"HEAD /k")),
                answers(response(b"200 OK", b"Content-Length: 12345")),
                answered(200, (b"content-length", b"12345")),
                ends(),
                *_AGAIN,
            ),
        ),
        Case2(
            name="204",
            steps=(
                asks(b"DELETE", b"/k"),
                arrives(request(b"DELETE /k")),
                answers(response(b"204 No Content")),
                answered(204),
                ends(),
                *_AGAIN,
            ),
        ),
        Case2(
            name="304 with a length",
            steps=(
                asks(b"GET", b"/k"),
                arrives(get(b"/k")),
                answers(response(b"304 Not Modified", b"Content-Length: 5")),
                answered(304, (b"content-length", b"5")),
                ends(),
                *_AGAIN,
            ),
        ),
        Case2(
            name="fields of the backend's connection do not reach the client",
            steps=(
                asks(b"GET", b"/k"),
                arrives(get(b"/k")),
                answers(
                    response(
                        b"200 OK",
                        b"Connection: X-Foo, keep-alive",
                        b"X-Foo: 1",
                        b"Keep-Alive: max=1",
                        b"Proxy-Connection: x",
                        b"Upgrade: h2c",
                        b"Content-Length: 2",
                        body=b"ok",
                    )
                ),
                answered(200, _TWO),
                gets_data(b"ok"),
                ends(),
                *_AGAIN,
            ),
        ),
        Case2(
            name="TE: trailers is for this connection",
            steps=(asks(b"GET", b"/k", (b"te", b"trailers")), arrives(get(b"/k")), answers(OK), *_OK),
        ),
        Case2(
            name="the asterisk of OPTIONS",
            steps=(asks(b"OPTIONS", b"*"), arrives(request(b"OPTIONS *")), answers(OK), *_OK),
        ),
        Case2(
            name="a head of 50 KB, and one back",
            steps=(
                asks(b"GET", b"/k", *[(b"x-%d" % number, b"v" * 500) for number in range(98)]),
                arrives(get(b"/k", *[b"x-%d: %b" % (number, b"v" * 500) for number in range(98)])),
                answers(
                    response(
                        b"200 OK", *[b"x-%d: %b" % (number, b"v" * 500) for number in range(98)], b"Content-Length: 0"
                    )
                ),
                answered(200, *[(b"x-%d" % number, b"v" * 500) for number in range(98)], (b"content-length", b"0")),
                ends(),
                *_AGAIN,
            ),
        ),
        Case2(
            name="a head of 70 KB",
            steps=(
                asks(b"GET", b"/k", *[(b"x-%d" % number, b"v" * 700) for number in range(100)]),
                is_told(431),
                *_AGAIN,
            ),
        ),
    ),
)

INTERIM: Final = Group2(
    title="HTTP/2: interim and early responses",
    about="They are passed on as with HTTP/1.1; a request that goes on after its answer is reset, without an error.",
    cases=(
        Case2(
            name="102, 103 and 100 before the response",
            steps=(
                asks(b"GET", b"/k"),
                arrives(get(b"/k")),
                answers(b"HTTP/1.1 102 Processing\r\n\r\n"),
                informed(102),
                answers(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + OK),
                informed(103, (b"link", b"</a>")),
                informed(100),
                *_OK,
                *_AGAIN,
            ),
        ),
        Case2(
            name="Expect: 100-continue, and 100",
            steps=(
                asks(b"PUT", b"/k", (b"expect", b"100-continue"), (b"content-length", b"5"), end=False),
                arrives(request(b"PUT /k", b"expect: 100-continue", b"content-length: 5")),
                answers(b"HTTP/1.1 100 Continue\r\n\r\n"),
                informed(100),
                sends_data(b"hello", end=True),
                arrives(b"hello"),
                answers(OK),
                *_OK,
                *_AGAIN,
            ),
        ),
        Case2(
            name="Expect: 100-continue, and nothing",
            steps=(
                asks(b"PUT", b"/k", (b"expect", b"100-continue"), (b"content-length", b"5"), end=False),
                arrives(request(b"PUT /k", b"expect: 100-continue", b"content-length: 5")),
                informed(100),
                sends_data(b"hello", end=True),
                arrives(b"hello"),
                answers(OK),
                *_OK,
                *_AGAIN,
            ),
        ),
        Case2(
            name="Expect: 100-continue, and 403",
            steps=(
                asks(b"PUT", b"/k", (b"expect", b"100-continue"), (b"content-length", b"5"), end=False),
                arrives(request(b"PUT /k", b"expect: 100-continue", b"content-length: 5")),
                answers(response(b"403 Forbidden", b"Content-Length: 2", body=b"no")),
                answered(403, _TWO),
                gets_data(b"no"),
                ends(),
                FORGOTTEN,
                *_ANEW,
            ),
        ),
        Case2(
            name="413 before the end of the request",
            steps=(
                asks(b"PUT", b"/k", (b"content-length", b"10"), end=False),
                sends_data(b"abc"),
                arrives(request(b"PUT /k", b"content-length: 10", body=b"abc")),
                answers(response(b"413 Content Too Large", b"Content-Length: 2", body=b"no")),
                answered(413, _TWO),
                gets_data(b"no"),
                ends(),
                FORGOTTEN,
                *_ANEW,
            ),
        ),
    ),
)

STREAMS: Final = Group2(
    title="HTTP/2: streams",
    about="Each stream is an exchange of its own: what happens to one does not concern the others.",
    cases=(
        Case2(
            name="two at a time, answered in the other order",
            steps=(
                asks(b"GET", b"/1"),
                arrives(get(b"/1")),
                asks(b"GET", b"/2", stream=2),
                OPENS,
                arrives(get(b"/2")),
                answers(OK),
                *_ok(2),
                asks(b"GET", b"/3", stream=3),
                arrives(get(b"/3")),
                answers(OK),
                *_ok(3),
                cancels(),
            ),
        ),
        Case2(
            name="one is cancelled, and its request with it",
            steps=(asks(b"GET", b"/1"), arrives(get(b"/1")), cancels(), FORGOTTEN, *_ANEW),
        ),
        Case2(
            name="one is cancelled inside its body: the backend does not get an end",
            steps=(
                asks(b"PUT", b"/k", end=False),
                arrives(request(b"PUT /k", _CHUNKED)),
                sends_data(b"abc"),
                arrives(b"3\r\nabc\r\n"),
                cancels(),
                FORGOTTEN,
                *_ANEW,
            ),
        ),
        Case2(
            name="a response that breaks off is a reset, never an end",
            steps=(
                asks(b"GET", b"/k"),
                arrives(get(b"/k")),
                answers(response(b"200 OK", b"Content-Length: 100000", body=b"hello")),
                answered(200, (b"content-length", b"100000")),
                gets_data(b"hello"),
                HANGS_UP,
                is_reset(),
                *_ANEW,
            ),
        ),
        Case2(
            name="a response below 64 KB that breaks off is 502",
            steps=(
                asks(b"GET", b"/k"),
                arrives(get(b"/k")),
                answers(response(b"200 OK", b"Content-Length: 10", body=b"hello")),
                HANGS_UP,
                is_told(502),
                *_ANEW,
            ),
        ),
        Case2(
            name="chunks that break off are a reset, never an end",
            steps=(
                asks(b"GET", b"/k"),
                arrives(get(b"/k")),
                answers(response(b"200 OK", _CHUNKED, body=b"5\r\nhello\r\n")),
                answered(200),
                gets_data(b"hello"),
                HANGS_UP,
                is_reset(),
                *_ANEW,
            ),
        ),
        Case2(
            name="malformed chunks are a reset",
            steps=(
                asks(b"GET", b"/k"),
                arrives(get(b"/k")),
                answers(response(b"200 OK", _CHUNKED, body=b"5\r\nhello\r\n")),
                answered(200),
                gets_data(b"hello"),
                answers(b"zz\r\n"),
                is_reset(),
                *_ANEW,
            ),
        ),
        Case2(
            name="no answer is 502",
            steps=(asks(b"GET", b"/k"), arrives(get(b"/k")), BACKEND_ENDS, is_told(502), FORGOTTEN, *_ANEW),
        ),
        Case2(
            name="a response that is none is 502",
            steps=(
                asks(b"GET", b"/k"),
                arrives(get(b"/k")),
                answers(response(b"200 OK", b"Content-Length: 5", _CHUNKED, body=b"0\r\n\r\n")),
                is_told(502),
                FORGOTTEN,
                *_ANEW,
            ),
        ),
        Case2(
            name="two responses at once are none",
            steps=(asks(b"GET", b"/k"), arrives(get(b"/k")), answers(OK + OK), is_told(502), FORGOTTEN, *_ANEW),
        ),
        Case2(
            name="GOAWAY ends nothing that has begun",
            steps=(asks(b"GET", b"/k"), arrives(get(b"/k")), LEAVES, answers(OK), *_OK),
        ),
    ),
)


def _odd(name: str, *fields: tuple[bytes, bytes], end: bool = True, told: bool = False) -> Case2:
    """Have a request refused, by whatever means; nothing of it is forwarded."""
    return Case2(name=name, steps=(asks_oddly(*fields, end=end), is_told(400, 405, 421, 501) if told else DISMISSED))


def _also(name: str, *fields: tuple[bytes, bytes], told: bool = False) -> Case2:
    return _odd(name, *pseudo(b"GET", b"/k"), *fields, told=told)


_METHOD, _SCHEME, _AUTHORITY, _PATH = pseudo(b"GET", b"/k")

SMUGGLING: Final = Group2(
    title="HTTP/2: smuggling",
    about="What would be another request, or another field, once it is spelled in HTTP/1.1 (RFC 9113 sections 8.2.1,"
    " 8.3 and 10.3).",
    cases=(
        _also("a line end in a value", (b"x-a", b"1\r\nTransfer-Encoding: chunked")),
        _also("a bare LF in a value", (b"x-a", b"1\nX-B: 2")),
        _also("a bare CR in a value", (b"x-a", b"1\rX-B: 2")),
        _also("a NUL in a value", (b"x-a", b"1\x00")),
        _also("a request in a value", (b"x-a", b"1\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x")),
        _also("a line end in a name", (b"x-a: 1\r\nx-b", b"2")),
        _also("a colon in a name", (b"transfer-encoding:chunked", b"")),
        _also("a blank in a name", (b"x a", b"1")),
        _also("an upper case name", (b"X-A", b"1")),
        _also("an empty name", (b"", b"1")),
        _also("Transfer-Encoding", (b"transfer-encoding", b"chunked")),
        _also("Connection", (b"connection", b"close")),
        _also("Keep-Alive", (b"keep-alive", b"1")),
        _also("Upgrade", (b"upgrade", b"websocket")),
        _also("Proxy-Connection", (b"proxy-connection", b"close")),
        _also("TE with anything but trailers", (b"te", b"chunked")),
        _also("a second path", (b":path", b"/smuggled")),
        _also("a pseudo-field that nobody knows", (b":smuggled", b"1")),
        _odd("a pseudo-field after others", _METHOD, _SCHEME, (b"x-a", b"1"), _AUTHORITY, _PATH),
        _odd("no path", _METHOD, _SCHEME, _AUTHORITY),
        _odd("an empty path", _METHOD, _SCHEME, _AUTHORITY, (b":path", b"")),
        _odd("no method", _SCHEME, _AUTHORITY, _PATH),
        _odd("a line end in the path", _METHOD, _SCHEME, _AUTHORITY, (b":path", b"/k HTTP/1.1\r\nX-A: 1\r\nX:")),
        _odd("a blank in the path", _METHOD, _SCHEME, _AUTHORITY, (b":path", b"/k HTTP/1.1"), told=True),
        _odd("a path that is none", _METHOD, _SCHEME, _AUTHORITY, (b":path", b"http://other/k"), told=True),
        _odd("a blank in the method", (b":method", b"GET /smuggled HTTP/1.1 "), _SCHEME, _AUTHORITY, _PATH),
        _odd(
            "a line end in the method",
            (b":method", b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET"),
            _SCHEME,
            _AUTHORITY,
            _PATH,
        ),
        _odd("a line end in the authority", _METHOD, _SCHEME, (b":authority", NAME + b"\r\nX-A: 1"), _PATH),
        _odd("a line end in the scheme", _METHOD, (b":scheme", b"https\r\nX-A: 1"), _AUTHORITY, _PATH),
        _odd("another authority", _METHOD, _SCHEME, (b":authority", b"other"), _PATH, told=True),
        _also("a Host that is not the authority", (b"host", b"other")),
        _odd("CONNECT", (b":method", b"CONNECT"), _AUTHORITY),
        _odd(
            "extended CONNECT, which was not offered",
            (b":method", b"CONNECT"),
            (b":protocol", b"websocket"),
            _SCHEME,
            _AUTHORITY,
            _PATH,
        ),
        Case2(
            name="more data than the length",
            steps=(
                asks(b"PUT", b"/k", (b"content-length", b"2"), end=False),
                arrives(request(b"PUT /k", b"content-length: 2")),
                sends_data(b"ok" + _SMUGGLED, end=True),
                DISMISSED,
                FORGOTTEN,
            ),
        ),
        Case2(
            name="less data than the length",
            steps=(
                asks(b"PUT", b"/k", (b"content-length", b"20"), end=False),
                arrives(request(b"PUT /k", b"content-length: 20")),
                sends_data(b"ok", end=True),
                DISMISSED,
                FORGOTTEN,
            ),
        ),
        _also("a length that is no number", (b"content-length", b"+5"), told=True),
        _also("two lengths", (b"content-length", b"0"), (b"content-length", b"0"), told=True),
        _also("a length with a GET that ends at once", (b"content-length", b"5"), told=True),
        Case2(
            name="less data than the length, and trailers",
            steps=(
                asks(b"PUT", b"/k", (b"content-length", b"20"), end=False),
                sends_data(b"ok"),
                arrives(request(b"PUT /k", b"content-length: 20", body=b"ok")),
                trails((b"x-sum", b"1")),
                is_told(400),
                FORGOTTEN,
                *_ANEW,
            ),
        ),
    ),
)

GROUPS: Final = (MESSAGES, INTERIM, STREAMS, SMUGGLING)
