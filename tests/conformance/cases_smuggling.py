"""Requests that two readers could take for different ones, and responses of a backend that does the same."""

from typing import Final

from conformance.playbook import (
    CUT_OFF,
    ENDED,
    ENGINE,
    FORGOTTEN,
    NAME,
    OK,
    OPENS,
    Case,
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

_INSIDE: Final = get(b"/smuggled")
_ANY: Final = (400, 411, 431, 501, 505)


def _fields(name: str, *fields: bytes, body: bytes = b"", start: bytes = b"POST /k") -> Case:
    """Have a request with these fields refused; what follows it looks like a request to some reader."""
    return Case(name=name, steps=(sends(request(start, *fields, body=body or b"0\r\n\r\n" + _INSIDE)), refused(*_ANY)))


def _raw(name: str, data: bytes) -> Case:
    return Case(name=name, steps=(sends(data), refused(*_ANY)))


_CODING: Final = b"Transfer-Encoding: chunked"
_FIVE: Final = b"Content-Length: 5"

LENGTHS: Final = Group(
    title="Smuggling: lengths and codings",
    about="Whatever two readers could frame in two ways is refused, and nothing of it is forwarded (RFC 9112 sections"
    " 6.1 and 11.2). After each of these the client looks at a closed connection, and the next request of another"
    " client arrives alone.",
    cases=(
        _fields("CL.TE: a length, then a coding", _FIVE, _CODING),
        _fields("TE.CL: a coding, then a length", _CODING, _FIVE),
        _fields("CL.0: a length of 0 and a coding", b"Content-Length: 0", _CODING),
        _fields("two unequal lengths", _FIVE, b"Content-Length: 6"),
        _fields("two equal lengths", _FIVE, _FIVE),
        _fields("a list of lengths", b"Content-Length: 5, 5"),
        _fields("a list of unequal lengths", b"Content-Length: 5, 6"),
        _fields("a length with a plus", b"Content-Length: +5"),
        _fields("a length with a minus", b"Content-Length: -5"),
        _fields("a hexadecimal length", b"Content-Length: 0x5"),
        _fields("a length with a blank inside", b"Content-Length: 1 5"),
        _fields("a length with an underscore", b"Content-Length: 1_5"),
        _fields("a length with a fraction", b"Content-Length: 5.0"),
        _fields("a length with an exponent", b"Content-Length: 5e0"),
        _fields("a length in quotes", b'Content-Length: "5"'),
        _fields("a length in the digits of another script", b"Content-Length: \xd9\xa5"),
        _fields("a length that no 64 bits hold", b"Content-Length: 18446744073709551621"),
        _fields("a length of forty digits", b"Content-Length: " + b"9" * 40),
        _fields("an empty length", b"Content-Length: "),
        _fields("a blank before the colon of a length", b"Content-Length : 5"),
        _fields("a tab before the colon of a length", b"Content-Length\t: 5"),
        _fields("a vertical tab before a length", b"Content-Length: \x0b5"),
        _fields("a form feed after a length", b"Content-Length: 5\x0c"),
        _fields("a NUL after a length", b"Content-Length: 5\x00"),
        _fields("a byte of the upper half before a length", b"Content-Length: \xa05"),
        _fields("an unknown coding", b"Transfer-Encoding: xchunked"),
        _fields("chunked, identity", b"Transfer-Encoding: chunked, identity"),
        _fields("identity, chunked", b"Transfer-Encoding: identity, chunked"),
        _fields("gzip, chunked", b"Transfer-Encoding: gzip, chunked"),
        _fields("chunked twice in a list", b"Transfer-Encoding: chunked, chunked"),
        _fields("TE.TE: chunked, then another coding", _CODING, b"Transfer-Encoding: x"),
        _fields("TE.TE: another coding, then chunked", b"Transfer-Encoding: x", _CODING),
        _fields("chunked twice", _CODING, _CODING),
        _fields("an empty coding and a length", b"Transfer-Encoding: ", _FIVE),
        _fields("an empty coding alone", b"Transfer-Encoding:"),
        _fields("a coding with a parameter", b"Transfer-Encoding: chunked;q=1"),
        _fields("a coding in quotes", b'Transfer-Encoding: "chunked"'),
        _fields("a comma before chunked", b"Transfer-Encoding: , chunked"),
        _fields("a vertical tab before chunked", b"Transfer-Encoding: \x0bchunked"),
        _fields("a vertical tab after chunked", b"Transfer-Encoding: chunked\x0b"),
        _fields("a NUL after chunked", b"Transfer-Encoding: chunked\x00"),
        _fields("a byte of the upper half after chunked", b"Transfer-Encoding: chunked\xa0"),
        _fields("a blank before the colon of a coding", b"Transfer-Encoding : chunked"),
        _fields("a tab before the colon of a coding", b"Transfer-Encoding\t: chunked"),
        _fields("a blank before the name of a coding", b" Transfer-Encoding: chunked"),
        _fields("a tab before the name of a coding", b"\tTransfer-Encoding: chunked"),
        _fields("a vertical tab before the name of a coding", b"\x0bTransfer-Encoding: chunked"),
        _fields("a NUL in the name of a coding", b"Transfer-\x00Encoding: chunked"),
        _fields("a coding whose colon is on the next line", b"Transfer-Encoding\r\n : chunked"),
        _fields("a coding whose value is on the next line", b"Transfer-Encoding:\r\n chunked"),
        _fields("a coding after a bare LF", b"X-A: a\nTransfer-Encoding: chunked"),
        _fields("a coding after a bare CR", b"X-A: a\rTransfer-Encoding: chunked"),
        _fields("a coding after CR CR LF", b"X-A: a\r\r\nTransfer-Encoding: chunked"),
        _fields("a length after a bare LF", b"X-A: a\nContent-Length: 5"),
        _raw(
            "TE.0: a coding in HTTP/1.0",
            request(b"POST /k", _CODING, version=b"HTTP/1.0", body=b"0\r\n\r\n" + _INSIDE),
        ),
        _raw(
            "a coding and keep-alive in HTTP/1.0",
            request(b"POST /k", _CODING, b"Connection: keep-alive", version=b"HTTP/1.0", body=b"0\r\n\r\n" + _INSIDE),
        ),
    ),
)

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"
_SPEAK_1_1: Final = bytes.fromhex("000000040000000000000008070000000000000000000000000d")
"""SETTINGS, then GOAWAY with HTTP_1_1_REQUIRED (RFC 9113 section 7)."""

HEADS: Final = Group(
    title="Smuggling: heads",
    about="RFC 9112 sections 2.2, 3 and 5.",
    cases=(
        _raw("a bare LF after every line", get(b"/k").replace(b"\r\n", b"\n") + _INSIDE),
        _raw("a bare LF after the request line", get(b"/k").replace(b"\r\n", b"\n", 1)),
        _raw("a bare LF before the empty line", get(b"/k")[:-4] + b"\n\r\n" + _INSIDE),
        _raw("a bare CR in the request line", b"GET /k\rX HTTP/1.1\r\nHost: " + NAME + b"\r\n\r\n"),
        _fields("a bare CR in a value", b"X-A: a\rb"),
        _fields("a NUL in a value", b"X-A: a\x00b"),
        _fields("another control character in a value", b"X-A: a\x01b"),
        _fields("a folded field", b"X-A: a\r\n b"),
        _fields("a field that begins with a tab", b"X-A: a\r\n\tb"),
        _raw("a blank line of blanks", b"GET /k HTTP/1.1\r\nHost: " + NAME + b"\r\n \r\n\r\n"),
        _raw(
            "a folded field right after the request line", b"GET /k HTTP/1.1\r\n Host: x\r\nHost: " + NAME + b"\r\n\r\n"
        ),
        _fields("a blank inside a name", b"X A: a"),
        _fields("a name that is no token", b"X(A): a"),
        _fields("a name in quotes", b'"X": a'),
        _fields("a name of the upper half of bytes", b"X-\xe9: a"),
        _fields("an underscore is a token, an at sign is none", b"X_@: a"),
        _fields("no name", b": a"),
        _fields("a line without a colon", b"nothing"),
        _raw("no Host", b"GET /k HTTP/1.1\r\n\r\n"),
        _fields("a second Host", b"Host: other.amazonaws.com"),
        _fields("the same Host twice", b"Host: " + NAME),
        _fields("a Host with a blank before its colon", b"Host : other"),
        _raw("no version (HTTP/0.9)", b"GET /k\r\n\r\n"),
        _raw("an unknown version", request(b"GET /k", version=b"HTTP/1.2")),
        _raw("HTTP/2.0 in words", request(b"GET /k", version=b"HTTP/2.0")),
        _raw("a version in lower case", request(b"GET /k", version=b"http/1.1")),
        _raw("a blank after the version", request(b"GET /k", version=b"HTTP/1.1 ")),
        _raw("a tab after the method", b"GET\t/k HTTP/1.1\r\nHost: " + NAME + b"\r\n\r\n"),
        _raw("a method in lower case", request(b"get /k")),
        _raw("an unknown method", request(b"SMUGGLE /k")),
        _raw("a method with a NUL", request(b"GE\x00T /k")),
        _raw("a NUL in the target", request(b"GET /a\x00b")),
        _raw("a fragment as the target", request(b"GET #a")),
        Case(
            name="HTTP/2's preface",
            steps=(sends(_PREFACE), refused(*_ANY)),
            differs=(
                differs(
                    ENGINE,
                    "says in HTTP/2 that HTTP/1.1 is required, which clients of gRPC understand",
                    sends(_PREFACE),
                    gets(_SPEAK_1_1),
                    ENDED,
                ),
            ),
        ),
        _fields("Connection names Content-Length", b"Connection: close, content-length", _FIVE, body=b"hello"),
        _fields("Connection names Transfer-Encoding", b"Connection: Transfer-Encoding", _CODING, body=b"0\r\n\r\n"),
        _fields("Connection names Host", b"Connection: host", _FIVE, body=b"hello"),
        _fields("Connection names Authorization", b"Connection: authorization", b"Authorization: AWS4 x", body=b" "),
        _fields("Connection names a signed field", b"Connection: x-amz-date", b"X-Amz-Date: x", body=b" "),
    ),
)


def _kept(name: str, data: bytes, *, arriving: bytes = b"", answer: bytes = OK) -> Case:
    """Have a request that looks odd carried as the one that it is, and the connection go on."""
    more = (sends(get(b"/next")), arrives(get(b"/next")), *back(OK))
    return Case(name=name, steps=(sends(data), arrives(arriving or data), *back(answer), *more))


_BODY: Final = b"Content-Length: %d" % len(_INSIDE)
_IN_CHUNKS: Final = b"%x\r\n%b\r\n0\r\n\r\n" % (len(_INSIDE), _INSIDE)

_ZEROS: Final = request(b"PUT /k", b"Content-Length: 0005")

HARMLESS: Final = Group(
    title="Smuggling: what is no trick",
    about="A body that looks like a request is a body, whatever the method, and nobody else takes it for one.",
    cases=(
        _kept("0.CL: a GET with a body that is a request", request(b"GET /k", _BODY, body=_INSIDE)),
        _kept("a GET with such a body in chunks", request(b"GET /k", _CODING, body=_IN_CHUNKS)),
        _kept("a DELETE with such a body", request(b"DELETE /k", _BODY, body=_INSIDE)),
        _kept(
            "a HEAD with such a body",
            request(b"HEAD /k", _BODY, body=_INSIDE),
            answer=response(b"200 OK", b"Content-Length: 9"),
        ),
        _kept("an OPTIONS with such a body", request(b"OPTIONS *", _BODY, body=_INSIDE)),
        Case(
            name="a length with zeros in front",
            steps=(*same(_ZEROS + b"hello"), *back(OK), *same(get(b"/next")), *back(OK)),
            differs=(
                differs(ENGINE, "mitmproxy refuses it, which RFC 9110 lets senders write", sends(_ZEROS), refused(400)),
            ),
        ),
        _kept("Chunked in another case", request(b"PUT /k", b"TRANSFER-encoding: ChunKed", body=_IN_CHUNKS)),
        _kept(
            "a tab before chunked",
            request(b"PUT /k", b"Transfer-Encoding:\tchunked", body=_IN_CHUNKS),
            arriving=request(b"PUT /k", _CODING, body=_IN_CHUNKS),
        ),
        _kept(
            "a tab after a length",
            request(b"PUT /k", b"Content-Length: 5\t", body=b"hello"),
            arriving=request(b"PUT /k", _FIVE, body=b"hello"),
        ),
        _kept(
            "names that an underscore makes look alike",
            request(b"PUT /k", _FIVE, b"Transfer_Encoding: chunked", b"Content_Length: 9", body=b"hello"),
        ),
        _kept(
            "names that begin alike",
            request(b"PUT /k", _FIVE, b"Transfer-Encodin: chunked", b"Content-Lengths: 9", b"X-Host: a", body=b"hello"),
        ),
        Case(
            name="an empty line between requests",
            steps=(
                sends(request(b"PUT /k", _FIVE, body=b"hello") + b"\r\n" + get(b"/next")),
                arrives(request(b"PUT /k", _FIVE, body=b"hello")),
                *back(OK),
                arrives(get(b"/next")),
                *back(OK),
            ),
        ),
    ),
)


def _chunk(name: str, body: bytes) -> Case:
    """Have a malformed body refused, wherever that comes to light."""
    return Case(name=name, steps=(sends(request(b"PUT /k", _CODING, body=body + _INSIDE)), BROKEN_REQUEST))


BROKEN_REQUEST: Final = refused(400, 431)
_CHUNKS: Final = (
    ("a size that is no number", b"zz\r\n"),
    ("a size with 0x", b"0x5\r\nhello\r\n0\r\n\r\n"),
    ("a negative size", b"-5\r\nhello\r\n0\r\n\r\n"),
    ("a size with a plus", b"+5\r\nhello\r\n0\r\n\r\n"),
    ("a size with an underscore", b"1_0\r\nhellohellohello!\r\n0\r\n\r\n"),
    ("no size", b"\r\nhello\r\n0\r\n\r\n"),
    ("a size of 17 digits", b"10000000000000005\r\nhello\r\n0\r\n\r\n"),
    ("a size of 300 zeros in front", b"0" * 300 + b"5\r\nhello\r\n0\r\n\r\n"),
    ("a blank before a size", b" 5\r\nhello\r\n0\r\n\r\n"),
    ("a blank after a size", b"5 \r\nhello\r\n0\r\n\r\n"),
    ("a bare LF after a size", b"5\nhello\r\n0\r\n\r\n"),
    ("a bare CR after a size", b"5\rhello\r\n0\r\n\r\n"),
    ("a bare LF in an extension", b"5;a\nb\r\nhello\r\n0\r\n\r\n"),
    ("a bare CR in an extension", b"5;a\rb\r\nhello\r\n0\r\n\r\n"),
    ("a NUL in an extension", b"5;a\x00b\r\nhello\r\n0\r\n\r\n"),
    ("an extension of 8 KB", b"5;" + b"a" * 8192 + b"\r\nhello\r\n0\r\n\r\n"),
    ("an extension without a semicolon", b"5 a\r\nhello\r\n0\r\n\r\n"),
    ("data longer than its size", b"3\r\nhello\r\n0\r\n\r\n"),
    ("data that ends in a bare LF", b"5\r\nhello\n0\r\n\r\n"),
    ("data that ends in a bare CR", b"5\r\nhello\r0\r\n\r\n"),
    ("the end by bare LFs", b"5\r\nhello\r\n0\n\n"),
    ("a trailer that says a length", b"0\r\nContent-Length: 5\r\n\r\n"),
    ("a trailer that says a coding", b"0\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ("a trailer that says a host", b"0\r\nHost: other\r\n\r\n"),
    ("a trailer with a blank before its colon", b"0\r\nX-S : 1\r\n\r\n"),
    ("a trailer that is folded", b"0\r\nX-S: 1\r\n 2\r\n\r\n"),
    ("a trailer with a NUL", b"0\r\nX-S: \x00\r\n\r\n"),
    ("a trailer after a bare LF", b"0\r\nX-S: 1\nX-T: 2\r\n\r\n"),
    ("a trailer that is no field", b"0\r\n" + b"GET /smuggled HTTP/1.1\r\n\r\n"),
    ("trailers of 30 KB", b"0\r\n" + b"X-S: 1\r\n" * 4000 + b"\r\n"),
)

_ALSO_LATE: Final = frozenset({
    "a size that is no number", "a negative size", "a bare LF after a size", "data longer than its size",
    "a trailer that says a length", "a trailer that is no field",
})  # fmt: skip


def _late_chunk(name: str, body: bytes) -> Case:
    """Have the same refused after the backend got a part: that ends there, without an end of the chunks."""
    begun = request(b"PUT /k", _CODING, body=b"3\r\nabc\r\n")
    return Case(
        name=name,
        steps=(*same(begun), sends(body + _INSIDE), BROKEN_REQUEST),
        differs=(
            differs(
                frozenset({Way.LOOKED_AT}),
                "nothing is sent before the body has been looked at",
                sends(begun + body + _INSIDE),
                BROKEN_REQUEST,
            ),
        ),
    )


CHUNKS: Final = Group(
    title="Smuggling: chunks",
    about="RFC 9112 section 7.1. What has gone to the backend by then is broken off there, never completed.",
    cases=(
        *[_chunk(name, body) for name, body in _CHUNKS],
        *[_late_chunk(f"after a good chunk: {name}", body) for name, body in _CHUNKS if name in _ALSO_LATE],
    ),
)

_NEXT: Final = (sends(get(b"/next")), OPENS, arrives(get(b"/next")), *back(OK))


def _answered(name: str, *sent: bytes) -> Case:
    """Have a backend's head taken for no answer; its connection is not used again, the client's goes on."""
    return Case(
        name=name,
        steps=(*same(get(b"/k")), answers(b"".join(sent)), told(502), FORGOTTEN, *_NEXT),
    )


def _more(name: str, good: bytes, more: bytes) -> Case:
    """Have what follows a whole response go to nobody."""
    return Case(name=name, steps=(*same(get(b"/k")), answers(good + more), gets(good), FORGOTTEN, *_NEXT))


def _too_much(name: str, good: bytes, more: bytes) -> Case:
    """Have more than the length it gave taken for no answer: either of both is wrong."""
    return Case(name=name, steps=(*same(get(b"/k")), answers(good + more), told(502), FORGOTTEN, *_NEXT))


def _late(name: str, good: bytes, more: bytes) -> Case:
    """Have the same come a moment later, when the connection waits for its next use."""
    return Case(name=name, steps=(*same(get(b"/k")), *back(good), answers(more), FORGOTTEN, *_NEXT))


def _bad_body(name: str, head: bytes, whole: bytes, bad: bytes) -> Case:
    """Have a body broken off where it is malformed."""
    steps: tuple[Step, ...] = (
        *same(get(b"/k")),
        answers(head + whole),
        gets(head + whole),
        answers(bad),
        FORGOTTEN,
        CUT_OFF,
    )
    return Case(name=name, steps=steps)


_EVIL: Final = response(b"200 OK", b"Content-Length: 4", body=b"evil")
_CHUNKED: Final = response(b"200 OK", _CODING)
_DONE: Final = _CHUNKED + b"2\r\nok\r\n0\r\n\r\n"

RESPONSES: Final = Group(
    title="Smuggling: responses",
    about="A backend, or somebody who speaks for it, may say more than it was asked. Nobody else gets that: the next"
    " request never meets a connection on which anything is left.",
    cases=(
        _too_much("two responses at once", OK, _EVIL),
        _more("two responses at once, the first in chunks", _DONE, _EVIL),
        _too_much("garbage after a response", OK, b"garbage"),
        _too_much("a body after an empty one", response(b"200 OK", b"Content-Length: 0"), b"garbage"),
        _more("an empty line after a response", OK, b"\r\n"),
        _late("a second response later", OK, _EVIL),
        _late("garbage later", OK, b"x"),
        _late("an empty line later", OK, b"\r\n"),
        _more("a body after 204", response(b"204 No Content"), b"hello"),
        _more("a body after 204 with a length", response(b"204 No Content", _FIVE), b"hello"),
        _more("a body after 304", response(b"304 Not Modified", _FIVE), b"hello"),
        Case(
            name="a body after HEAD",
            steps=(
                *same(request(b"HEAD /k")),
                answers(response(b"200 OK", b"Content-Length: 4", body=b"evil")),
                gets(response(b"200 OK", b"Content-Length: 4")),
                FORGOTTEN,
                *_NEXT,
            ),
        ),
        _answered("a length and a coding", response(b"200 OK", _FIVE, _CODING, body=b"0\r\n\r\n" + _EVIL)),
        _answered("two unequal lengths", response(b"200 OK", _FIVE, b"Content-Length: 6", body=b"hello!")),
        _answered("two equal lengths", response(b"200 OK", _FIVE, _FIVE, body=b"hello")),
        _answered("a list of lengths", response(b"200 OK", b"Content-Length: 5, 5", body=b"hello")),
        _answered("a length with a plus", response(b"200 OK", b"Content-Length: +5", body=b"hello")),
        _answered("a negative length", response(b"200 OK", b"Content-Length: -5", body=b"hello")),
        _answered("a hexadecimal length", response(b"200 OK", b"Content-Length: 0x5", body=b"hello")),
        _answered("a blank before the colon of a length", response(b"200 OK", b"Content-Length : 5", body=b"hello")),
        _answered("an unknown coding", response(b"200 OK", b"Transfer-Encoding: x", body=b"hello")),
        _answered("gzip, chunked", response(b"200 OK", b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n")),
        _answered("chunked twice", response(b"200 OK", _CODING, _CODING, body=b"0\r\n\r\n")),
        _answered(
            "a vertical tab before chunked", response(b"200 OK", b"Transfer-Encoding:\x0bchunked", body=b"0\r\n\r\n")
        ),
        _answered("a folded field", response(b"200 OK", b"X-A: a\r\n b", b"Content-Length: 0")),
        _answered("a bare LF", response(b"200 OK", b"X-A: a\nContent-Length: 0")),
        _answered("a bare CR in a value", response(b"200 OK", b"X-A: a\rContent-Length: 0")),
        _answered("a NUL in a value", response(b"200 OK", b"X-A: \x00", b"Content-Length: 0")),
        _answered("a name with a blank", response(b"200 OK", b"X A: a", b"Content-Length: 0")),
        _answered("a status of two digits", response(b"20 OK", b"Content-Length: 0")),
        _answered("a status of four digits", response(b"2000 OK", b"Content-Length: 0")),
        _answered("a status of 99", response(b"099 OK", b"Content-Length: 0")),
        _answered("no status", response(b"OK", b"Content-Length: 0")),
        _answered("another version", OK.replace(b"HTTP/1.1", b"HTTP/2.0")),
        _answered("another protocol", b"SSH-2.0-OpenSSH_9.2\r\n\r\n"),
        _answered("HTTP/0.9", b"<html>hello</html>\r\n\r\n"),
        _answered("a head of 400 KB", response(b"200 OK", *[b"X-A: " + b"a" * 1000] * 400)),
        _bad_body("a chunk without a size", _CHUNKED, b"2\r\nok\r\n", b"zz\r\n" + _EVIL),
        _bad_body("a chunk longer than its size", _CHUNKED, b"2\r\nok\r\n", b"2\r\nevil\r\n0\r\n\r\n"),
        _bad_body("a chunk's bare LF", _CHUNKED, b"2\r\nok\r\n", b"2\nok\r\n"),
        _bad_body("a trailer that says a length", _CHUNKED, b"2\r\nok\r\n", b"0\r\nContent-Length: 4\r\n\r\n"),
        Case(
            name="a bad chunk in the segment of the head",
            steps=(*same(get(b"/k")), answers(_CHUNKED + b"zz\r\n" + _EVIL), gets(_CHUNKED), CUT_OFF, FORGOTTEN),
        ),
    ),
)

GROUPS: Final = (LENGTHS, HEADS, CHUNKS, HARMLESS, RESPONSES)
