"""Chunks, trailers, and bodies that end in other ways."""

from typing import Final

from conformance.playbook import (
    CUT_OFF,
    ENDED,
    ENGINE,
    FORGOTTEN,
    HANGS_UP,
    OK,
    OPENS,
    RESETS,
    Case,
    Group,
    answers,
    arrives,
    back,
    differs,
    get,
    gets,
    request,
    response,
    same,
    sends,
    told,
)

CHUNKED: Final = b"Transfer-Encoding: chunked"
_MORE: Final = (*same(get(b"/next")), *back(OK))
_AWS: Final = (
    b"Content-Encoding: aws-chunked",
    b"X-Amz-Content-Sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER",
    b"X-Amz-Decoded-Content-Length: 5",
    b"X-Amz-Trailer: x-amz-checksum-crc32",
)
_AWS_BODY: Final = b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n"
_SIGNED: Final = (
    b"5;chunk-signature=" + b"a" * 64 + b"\r\nhello\r\n0;chunk-signature=" + b"b" * 64
    + b"\r\nx-amz-checksum-crc32:NhCmhg==\r\nx-amz-trailer-signature:" + b"c" * 64 + b"\r\n\r\n"
)  # fmt: skip


def _asked(name: str, body: bytes, *fields: bytes) -> Case:
    return Case(name=name, steps=(*same(request(b"PUT /k", CHUNKED, *fields, body=body)), *back(OK), *_MORE))


def _answered(name: str, body: bytes, *fields: bytes) -> Case:
    return Case(name=name, steps=(*same(get(b"/k")), *back(response(b"200 OK", CHUNKED, *fields, body=body)), *_MORE))


_BLANK: Final = request(b"PUT /k", CHUNKED, body=b"5 ;a=b\r\nhello\r\n0\r\n\r\n")
_BODIES: Final = (
    ("one chunk", b"5\r\nhello\r\n0\r\n\r\n", ()),
    ("several chunks", b"3\r\nabc\r\n2\r\nde\r\n1\r\nf\r\n0\r\n\r\n", ()),
    ("no byte", b"0\r\n\r\n", ()),
    ("zeros before sizes, either case", b"00A\r\n0123456789\r\n0b\r\n0123456789a\r\n000\r\n\r\n", ()),
    (
        "data like chunks and heads",
        b"18\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n\r\n0\r\n\r\n".replace(b"18", b"17"),
        (),
    ),
    ("extensions", b'5;a=b;c\r\nhello\r\n3;d="e;f"\r\nabc\r\n0;last\r\n\r\n', ()),
    ("trailers", b"5\r\nhello\r\n0\r\nX-Sum: 1\r\nx-b: 2\r\nX-Sum: 3\r\n\r\n", (b"Trailer: X-Sum",)),
    ("trailers after no byte", b"0\r\nX-Sum: 1\r\n\r\n", (b"Trailer: X-Sum",)),
    ("200 KB in one chunk", b"%x\r\n%b\r\n0\r\n\r\n" % (200_000, b"x" * 200_000), ()),
    ("a thousand chunks", b"1\r\nx\r\n" * 1000 + b"0\r\n\r\n", ()),
)


def _cut(body: bytes) -> Case:
    """Cut a message at every point, one after the other on one connection."""
    data = request(b"PUT /k", CHUNKED, body=body)
    cuts = [
        step
        for point in range(1, len(data))
        for step in (sends(data[:point]), sends(data[point:]), arrives(data), *back(OK))
    ]
    return Case(name="a request in two parts, cut at every point", steps=tuple(cuts))


def _cut_back(body: bytes) -> Case:
    data = response(b"200 OK", CHUNKED, body=body)
    cuts = [
        step
        for point in range(1, len(data))
        for step in (*same(get(b"/k")), answers(data[:point]), answers(data[point:]), gets(data))
    ]
    return Case(name="a response in two parts, cut at every point", steps=tuple(cuts))


CHUNKS: Final = Group(
    title="Chunked bodies and trailers",
    about="Chunks are followed to their end and stay what they are, with extensions and trailers, in both directions.",
    cases=(
        *[_asked(f"a request: {name}", body, *fields) for name, body, fields in _BODIES],
        *[_answered(f"a response: {name}", body, *fields) for name, body, fields in _BODIES],
        Case(
            name="a blank before an extension",
            steps=(*same(_BLANK), *back(OK), *_MORE),
            differs=(
                differs(ENGINE, "h11 takes no blank there, which RFC 9112 lets nobody send", sends(_BLANK), CUT_OFF),
            ),
        ),
        _cut(b"3;x\r\nabc\r\n0\r\nX-S: 1\r\n\r\n"),
        _cut_back(b"3;x\r\nabc\r\n0\r\nX-S: 1\r\n\r\n"),
        Case(
            name="a request byte by byte",
            steps=(
                sends(
                    data := request(b"PUT /k", CHUNKED, body=b"3;x=y\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n"), bytewise=True
                ),
                arrives(data),
                *back(OK),
            ),
        ),
        Case(
            name="a response byte by byte",
            steps=(
                *same(get(b"/k")),
                answers(
                    data := response(b"200 OK", CHUNKED, body=b"3;x=y\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n"), bytewise=True
                ),
                gets(data),
                *_MORE,
            ),
        ),
        Case(
            name="no chunk of a response waits for the next",
            steps=(
                *same(get(b"/k")),
                *back(response(b"200 OK", CHUNKED)),
                *back(b"3\r\nabc\r\n"),
                *back(b"2\r\nde\r\n"),
                *back(b"0\r\n\r\n"),
                *_MORE,
            ),
        ),
    ),
)

AWS_CHUNKED: Final = Group(
    title="aws-chunked",
    about="S3's own chunks are a body like any other; what signs and sums them is inside.",
    cases=(
        Case(
            name="with Content-Length and a checksum in its trailer",
            steps=(
                *same(request(b"PUT /k", *_AWS, b"Content-Length: %d" % len(_AWS_BODY), body=_AWS_BODY)),
                *back(OK),
                *_MORE,
            ),
        ),
        Case(
            name="inside Transfer-Encoding: chunked",
            steps=(
                *same(request(b"PUT /k", *_AWS, CHUNKED, body=b"%x\r\n%b\r\n0\r\n\r\n" % (len(_AWS_BODY), _AWS_BODY))),
                *back(OK),
                *_MORE,
            ),
        ),
        Case(
            name="as the chunked body, its checksum as the trailer",
            steps=(
                *same(request(b"PUT /k", *_AWS, CHUNKED, body=_AWS_BODY.replace(b"crc32:", b"crc32: "))),
                *back(OK),
                *_MORE,
            ),
        ),
        Case(
            name="with signed chunks and a signed trailer",
            steps=(
                *same(request(b"PUT /k", *_AWS, b"Content-Length: %d" % len(_SIGNED), body=_SIGNED)),
                *back(OK),
                *_MORE,
            ),
        ),
    ),
)

_NO_LENGTH: Final = response(b"200 OK", b"X-A: 1")
_GIVEN_CHUNKS: Final = response(b"200 OK", b"X-A: 1", CHUNKED)
_10: Final = response(b"200 OK", b"Content-Length: 10")
_ANEW: Final = (sends(get(b"/next")), OPENS, arrives(get(b"/next")), *back(OK))
_LONG: Final = response(b"200 OK", b"Content-Length: 100000")
_GONE_ABOUT: Final = (sends(get(b"/next")), OPENS, arrives(get(b"/next")), *back(OK))

ENDS: Final = Group(
    title="Responses that end with their connection",
    about="A body without a length ends with the connection. The client's is kept: it gets chunks. What breaks off"
    " in the middle is never made to look whole.",
    cases=(
        Case(
            name="a body until the end of the connection",
            reframes=True,
            steps=(
                *same(get(b"/k")),
                answers(_NO_LENGTH + b"hello"),
                HANGS_UP,
                gets(_GIVEN_CHUNKS + b"5\r\nhello\r\n0\r\n\r\n"),
                *_GONE_ABOUT,
            ),
        ),
        Case(
            name="no body until the end of the connection",
            reframes=True,
            steps=(*same(get(b"/k")), answers(_NO_LENGTH), HANGS_UP, gets(_GIVEN_CHUNKS + b"0\r\n\r\n"), *_GONE_ABOUT),
        ),
        Case(
            name="a client of HTTP/1.0 gets it as it is",
            steps=(
                *same(request(b"GET /k", version=b"HTTP/1.0")),
                answers(_NO_LENGTH + b"hello"),
                HANGS_UP,
                gets(response(b"200 OK", b"X-A: 1", b"Connection: close", body=b"hello")),
                ENDED,
            ),
        ),
        Case(
            name="a backend of HTTP/1.0",
            steps=(
                *same(get(b"/k")),
                answers(OK.replace(b"HTTP/1.1", b"HTTP/1.0")),
                gets(OK),
                FORGOTTEN,
                *_GONE_ABOUT,
            ),
        ),
        Case(
            name="a backend that says Connection: close",
            steps=(
                *same(get(b"/k")),
                answers(response(b"200 OK", b"Connection: close", b"Content-Length: 2", body=b"ok")),
                HANGS_UP,
                gets(OK),
                *_GONE_ABOUT,
            ),
        ),
        Case(
            name="less than its length",
            steps=(*same(get(b"/k")), answers(_LONG + b"hello"), gets(_LONG + b"hello"), HANGS_UP, CUT_OFF),
        ),
        Case(
            name="less than its length, and a reset",
            steps=(*same(get(b"/k")), answers(_LONG + b"hello"), gets(_LONG + b"hello"), RESETS, CUT_OFF),
        ),
        Case(
            name="less than its length, which is below 64 KB",
            steps=(*same(get(b"/k")), answers(_10 + b"hello"), HANGS_UP, told(502), *_ANEW),
        ),
        Case(
            name="less than its length, which is below 64 KB, and a reset",
            steps=(*same(get(b"/k")), answers(_10 + b"hello"), RESETS, told(502), *_ANEW),
        ),
        Case(
            name="an end inside chunks",
            steps=(*same(get(b"/k")), *back(_GIVEN_CHUNKS + b"5\r\nhello\r\n"), HANGS_UP, CUT_OFF),
        ),
        Case(
            name="an end before the last chunk's empty line",
            reframes=True,
            steps=(
                *same(get(b"/k")),
                answers(_GIVEN_CHUNKS + b"5\r\nhello\r\n0\r\n"),
                gets(_GIVEN_CHUNKS + b"5\r\nhello\r\n"),
                HANGS_UP,
                CUT_OFF,
            ),
        ),
        Case(
            name="a reset of what was to end with the connection",
            reframes=True,
            steps=(
                *same(get(b"/k")),
                answers(_NO_LENGTH + b"hello"),
                gets(_GIVEN_CHUNKS + b"5\r\nhello\r\n"),
                RESETS,
                CUT_OFF,
            ),
        ),
    ),
)

GROUPS: Final = (CHUNKS, AWS_CHUNKED, ENDS)
