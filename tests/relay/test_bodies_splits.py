"""A body that is changed on its way is the same however the backend's bytes are cut, and whatever its framing."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from relay_lab import NOWHERE, Script

from kecs.aws.head import Answer, Fields, RequestHead, ResponseHead
from kecs.core.errors import ProtocolError
from kecs.relay import framing
from kecs.relay.bodies import Rewriting
from kecs.relay.decide import Connection, Exchange, Filter, Gather, Upstream

BODIES = st.binary(max_size=60)
CUTS = st.lists(st.integers(min_value=0, max_value=200), max_size=8)


class Upper:
    """A filter that holds a byte back."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        whole = self._held + data
        self._held = whole[-1:]
        return whole[:-1].upper()

    def end(self) -> bytes:
        return self._held.upper() + b"."


def changed(head: ResponseHead, body: bytes) -> Answer:
    return Answer(status=head.status, fields=head.fields, body=body.upper() + b".")


def chunked(body: bytes, sizes: list[int]) -> bytes:
    out, at = b"", 0
    for size in sizes:
        piece = body[at : at + size]
        at += len(piece)
        out += b"%x;k=v\r\n%b\r\n" % (len(piece), piece) if piece else b""
    rest = body[at:]
    return out + (b"%x\r\n%b\r\n" % (len(rest), rest) if rest else b"") + b"0\r\nX-Trailer: 1\r\n\r\n"


def exchange() -> Exchange:
    connection = Connection(number=1, client=NOWHERE, destination=NOWHERE)
    return Exchange(connection=connection, name="", head=RequestHead(method=b"GET", target=b"/", fields=()))


def rewriting(head: bytes, bytes_max: int, through: Callable[[], Filter] | None, *, old: bool) -> Rewriting:
    response = framing.response(head, method=b"GET")
    script = Script(upstream=Upstream(host="", port=0), rewritten=changed, through=through)
    return Rewriting(
        script,
        exchange(),
        response,
        Gather(response.head, bytes_max),
        http_1_0=old,
        keep_client=True,
        closing=_closing,
    )


def _closing(keep: bool) -> Fields:  # noqa: FBT001 - called by place
    return ((b"Connection", b"keep-alive" if keep else b"close"),)


def sent(head: bytes, pieces: list[bytes], bytes_max: int, through: Any, *, old: bool) -> tuple[bytes, Rewriting]:
    """Return what the client gets, for a response that is whole or ends with its connection."""
    one = rewriting(head, bytes_max, through, old=old)
    out = b""
    for piece in pieces:
        count, more = one.feed(piece)
        assert count == len(piece)
        out += more
    return out + one.end(), one


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place for place in places if place < len(data)), len(data)]
    return [data[begin:end] for begin, end in pairwise(edges) if end > begin]


def read(response: bytes) -> tuple[bytes, bytes]:
    """Return head and body as a client reads them, by our own strict framing."""
    end = framing.head_end(response)
    head, rest = response[:end], response[end:]
    found = framing.response(head, method=b"GET")
    if isinstance(found.body, framing.Chunked):
        found.body.show(1 << 20)
        assert found.body.take(rest) == len(rest)
        assert found.body.done
        return head, bytes(found.body.shown)
    assert found.body.take(rest) == len(rest)
    assert found.body.done or isinstance(found.body, framing.UntilClose)
    return head, rest


@given(BODIES, st.sampled_from(["length", "chunks", "end"]), st.lists(st.integers(1, 9)), CUTS, st.booleans())
def test_what_the_client_gets_does_not_depend_on_cuts_and_framing(
    body: bytes,
    kind: str,
    sizes: list[int],
    cuts: list[int],
    old: bool,  # noqa: FBT001 - hypothesis'
) -> None:
    head, wire = {
        "length": (b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body), body),
        "chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", chunked(body, sizes)),
        "end": (b"HTTP/1.1 200 OK\r\n\r\n", body),
    }[kind]
    for bytes_max, through in ((1000, None), (0, Upper), (7, Upper), (7, None)):
        response, one = sent(head, cut(wire, cuts), bytes_max, through, old=old)
        said, got = read(response)
        outgrown = len(body) > bytes_max
        assert got == (body if outgrown and through is None else body.upper() + b".")
        assert one.outgrown is outgrown
        if outgrown:
            assert (b"chunked" in said) is (not old and (through is not None or kind != "length"))
            assert one.keep_client is (not old or b"Content-Length" in said)
        else:
            assert b"Content-Length: %d\r\n" % len(got) in said
            assert one.keep_client
        assert one.sent_bytes == len(response) - len(said)


@given(st.lists(st.sampled_from([b"3", b"\r\n", b"abc", b"0", b"x", b";", b"\n"]), max_size=8), CUTS)
def test_chunks_that_are_none_are_refused_however_they_are_cut(tokens: list[bytes], cuts: list[int]) -> None:
    wire = b"".join(tokens)
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

    def outcome(pieces: list[bytes]) -> bool:
        one = rewriting(head, 2, Upper, old=False)
        try:
            for piece in pieces:
                one.feed(piece)
        except ProtocolError:
            return False
        return True

    assert outcome(cut(wire, cuts)) == outcome([wire])
