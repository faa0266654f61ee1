"""Other protocols inside, and connections that end on one side only."""

from typing import Final

from conformance.playbook import (
    BACKEND_ENDS,
    CLOSES,
    CUT_OFF,
    ENDED,
    ENGINE,
    FORGOTTEN,
    HALF_CLOSES,
    HANGS_UP,
    OK,
    OPENS,
    Case,
    Group,
    Way,
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

_MORE: Final = (*same(get(b"/next")), *back(OK))
_KEY: Final = (b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", b"Sec-WebSocket-Version: 13")
_ASKS: Final = get(b"/ws", *_KEY, b"Connection: upgrade", b"Upgrade: websocket")
_AGREES: Final = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)
# RFC 6455 section 5.7: a masked "Hello", an unmasked one, a ping, its pong, a close and its answer.
_HELLO: Final = bytes.fromhex("818537fa213d7f9f4d5158")
_HELLO_BACK: Final = bytes.fromhex("810548656c6c6f")
_PING: Final = bytes.fromhex("890548656c6c6f")
_PONG: Final = bytes.fromhex("8a8537fa213d7f9f4d5158")
_BYE: Final = bytes.fromhex("88820000000003e8")
_BYE_BACK: Final = bytes.fromhex("880203e8")

_BOTH: Final = "in mitmproxy a switched connection ends on both sides with the first of them"

UPGRADES: Final = Group(
    title="Upgrade and WebSocket",
    about="After 101 both directions are carried as they are. What hides further requests (h2c, TLS) is not asked for.",
    cases=(
        Case(
            name="a WebSocket, from handshake to close",
            steps=(
                *same(_ASKS),
                *back(_AGREES),
                *same(_HELLO),
                *back(_HELLO_BACK),
                *back(_PING),
                *same(_PONG),
                *same(_BYE),
                *back(_BYE_BACK),
                HANGS_UP,
                ENDED,
            ),
        ),
        Case(
            name="frames in the 101's segment, and byte by byte",
            steps=(
                *same(_ASKS),
                *back(_AGREES + _HELLO_BACK + _PING),
                sends(_PONG + _HELLO, bytewise=True),
                arrives(_PONG + _HELLO),
                answers(_HELLO_BACK, bytewise=True),
                gets(_HELLO_BACK),
                CLOSES,
                FORGOTTEN,
            ),
        ),
        Case(
            name="the fields of other hops do not go along",
            steps=(
                sends(get(b"/ws", b"Connection: keep-alive, Upgrade", b"Upgrade: websocket", *_KEY)),
                arrives(_ASKS),
                *back(_AGREES),
                CLOSES,
                FORGOTTEN,
            ),
        ),
        Case(
            name="a client that does not wait for the 101",
            steps=(
                sends(_ASKS + _HELLO),
                arrives(_ASKS),
                *back(_AGREES),
                arrives(_HELLO),
                *back(_HELLO_BACK),
                CLOSES,
                FORGOTTEN,
            ),
        ),
        Case(
            name="the client ends its side first",
            steps=(*same(_ASKS), *back(_AGREES), HALF_CLOSES, FORGOTTEN, *back(_HELLO_BACK), HANGS_UP, ENDED),
            differs=(differs(ENGINE, _BOTH, *same(_ASKS), *back(_AGREES), HALF_CLOSES, FORGOTTEN, CUT_OFF),),
        ),
        Case(
            name="the backend ends its side first",
            steps=(*same(_ASKS), *back(_AGREES), BACKEND_ENDS, *same(_HELLO), CLOSES, FORGOTTEN),
            differs=(differs(ENGINE, _BOTH, *same(_ASKS), *back(_AGREES), BACKEND_ENDS, CUT_OFF, FORGOTTEN),),
        ),
        Case(
            name="refused, and the connection goes on",
            steps=(*same(_ASKS), *back(response(b"403 Forbidden", b"Content-Length: 2", body=b"no")), *_MORE),
        ),
        Case(name="ignored, and the connection goes on", steps=(*same(_ASKS), *back(OK), *_MORE)),
        Case(
            name="any other protocol",
            steps=(
                *same(get(b"/k", b"Connection: upgrade", b"Upgrade: spoken/1.0")),
                *back(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: spoken/1.0\r\n\r\n"),
                *same(b"\x00\xff\r\n\r\nGET"),
                *back(b"\xff\x00"),
                CLOSES,
                FORGOTTEN,
            ),
        ),
        Case(
            name="h2c is not asked for",
            steps=(
                sends(
                    get(
                        b"/k",
                        b"Connection: Upgrade, HTTP2-Settings",
                        b"Upgrade: h2c",
                        b"HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA",
                    )
                ),
                arrives(get(b"/k")),
                *back(OK),
                *_MORE,
            ),
        ),
        Case(
            name="Upgrade that Connection does not name",
            steps=(sends(get(b"/k", b"Upgrade: websocket")), arrives(get(b"/k")), *back(OK), *_MORE),
        ),
    ),
)

_PUT: Final = request(b"PUT /k", b"Content-Length: 10", body=b"abc")

HALVES: Final = Group(
    title="Connections that end on one side",
    about="A client that has said all may end its side and is still answered. What a backend ends is not used again.",
    cases=(
        Case(
            name="the client's, after a request",
            steps=(sends(get(b"/k")), HALF_CLOSES, arrives(get(b"/k")), *back(OK), ENDED),
        ),
        Case(
            name="the client's, after a request, and a long answer",
            steps=(
                sends(get(b"/k")),
                HALF_CLOSES,
                arrives(get(b"/k")),
                *back(response(b"200 OK", b"Content-Length: 200000", body=b"x" * 100_000)),
                *back(b"x" * 100_000),
                ENDED,
            ),
        ),
        Case(
            name="the client's, after three requests",
            steps=(
                sends(get(b"/1") + get(b"/2") + get(b"/3")),
                HALF_CLOSES,
                *[step for path in (b"/1", b"/2", b"/3") for step in (arrives(get(path)), *back(OK))],
                ENDED,
            ),
        ),
        Case(
            name="the client's, inside a body",
            steps=(sends(_PUT), arrives(_PUT), HALF_CLOSES, FORGOTTEN, CUT_OFF),
            differs=(
                differs(
                    frozenset({Way.LOOKED_AT}),
                    "nothing is sent before the body has been looked at",
                    sends(_PUT),
                    HALF_CLOSES,
                    CUT_OFF,
                ),
            ),
        ),
        Case(name="the client is gone while its request is worked on", steps=(*same(get(b"/k")), CLOSES)),
        Case(
            name="the backend's, after its answer",
            steps=(
                *same(get(b"/k")),
                *back(OK),
                BACKEND_ENDS,
                FORGOTTEN,
                sends(get(b"/l")),
                OPENS,
                arrives(get(b"/l")),
                *back(OK),
            ),
        ),
        Case(name="the backend's, before its answer", steps=(*same(get(b"/k")), BACKEND_ENDS, told(502), FORGOTTEN)),
        Case(
            name="the backend's, inside its head",
            steps=(*same(get(b"/k")), answers(b"HTTP/1.1 200 OK\r\nContent-Le"), BACKEND_ENDS, told(502), FORGOTTEN),
        ),
    ),
)

GROUPS: Final = (UPGRADES, HALVES)
