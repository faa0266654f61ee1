"""How bytes are cut changes nothing: bodies end at the same byte, are refused alike, and are what h11 reads."""

import itertools
from typing import Final

import h11
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kecs.core.errors import ProtocolError
from kecs.relay import framing
from kecs.relay.framing import Body, Chunked, Length, UntilClose

_NEXT: Final = b"GET /next HTTP/1.1\r\nHost: h\r\n\r\n"
_SHOWN: Final = 1 << 16
_AT_LEISURE: Final = settings(suppress_health_check=[HealthCheck.too_slow])

_EXTENSION: Final = st.sampled_from([b"", b";a", b";a=b", b';a="b;c"', b";a=b;c=d", b";" + b"x" * 40])
_TRAILER: Final = st.sampled_from([b"X-Sum: 1\r\n", b"x-b:\r\n", b"X-C: \t a, b \r\n", b"X-D: \xff\r\n"])


@st.composite
def bodies(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """Draw a chunked body as some sender would write it, and its data."""
    parts = draw(st.lists(st.binary(min_size=1, max_size=40), max_size=6))
    spelled = []
    for part in [*parts, b""]:
        size = (b"%X" if draw(st.booleans()) else b"%x") % len(part)
        line = b"0" * draw(st.integers(0, 3)) + size + draw(_EXTENSION) + b"\r\n"
        spelled.append(line + part + b"\r\n" if part else line)
    return b"".join(spelled) + b"".join(draw(st.lists(_TRAILER, max_size=3))) + b"\r\n", b"".join(parts)


def follow(body: Body, pieces: list[bytes]) -> tuple[int, bool, bool]:
    """Feed pieces as a connection would: (bytes taken, whether it is done, whether it was refused)."""
    taken = 0
    try:
        for piece in pieces:
            count = body.take(piece)
            assert 0 <= count <= len(piece)
            taken += count
            if body.done:
                break
            assert count == len(piece)
    except ProtocolError:
        return 0, False, True
    return taken, body.done, False


def cut(data: bytes, points: list[int]) -> list[bytes]:
    """Cut data at points."""
    places = sorted({point % (len(data) + 1) for point in points} | {0, len(data)})
    return [data[start:end] for start, end in itertools.pairwise(places)]


@_AT_LEISURE
@given(bodies(), st.lists(st.integers(0, 2000), max_size=12))
def test_a_chunked_body_ends_at_the_same_byte_however_it_is_cut(body: tuple[bytes, bytes], points: list[int]) -> None:
    data, meant = body
    tracker = Chunked()
    tracker.show(_SHOWN)
    assert follow(tracker, cut(data + _NEXT, points)) == (len(data), True, False)
    assert bytes(tracker.shown) == meant


@settings(_AT_LEISURE, max_examples=50)
@given(bodies())
def test_every_split_point_of_a_chunked_body(body: tuple[bytes, bytes]) -> None:
    data, meant = body
    for point in range(len(data) + 1):
        tracker = Chunked()
        tracker.show(_SHOWN)
        assert follow(tracker, [data[:point], data[point:] + _NEXT]) == (len(data), True, False)
        assert bytes(tracker.shown) == meant


@settings(_AT_LEISURE, max_examples=50)
@given(bodies(), st.data())
def test_a_damaged_body_is_judged_alike_however_it_is_cut(body: tuple[bytes, bytes], choice: st.DataObject) -> None:
    """One byte more, less, or another: whatever that makes of it, it makes of it at every split point."""
    data = body[0]
    place = choice.draw(st.integers(0, len(data) - 1))
    byte = choice.draw(
        st.sampled_from([b"", b"\n", b"\r", b" ", b"\t", b"0", b"-", b"+", b"x", b";", b":", b"\x00", b"\xff"])
    )
    damaged = data[:place] + byte + data[place + choice.draw(st.integers(0, 1)) :] + _NEXT
    judged = follow(Chunked(), [damaged])
    for point in range(len(damaged) + 1):
        assert follow(Chunked(), [damaged[:point], damaged[point:]]) == judged
    assert follow(Chunked(), [damaged[index : index + 1] for index in range(len(damaged))]) == judged


@_AT_LEISURE
@given(st.integers(0, 300), st.lists(st.integers(0, 2000), max_size=12))
def test_a_body_of_known_length_ends_at_the_same_byte_however_it_is_cut(length: int, points: list[int]) -> None:
    data = bytes(length)
    body = Length(length)
    assert follow(Length(0), [b"x"]) == (0, True, False)
    taken, done, refused = follow(body, cut(data + _NEXT, points))
    assert (taken, done, refused) == (length, True, False) or (length == 0 and done)


@_AT_LEISURE
@given(st.lists(st.binary(max_size=50), max_size=8))
def test_a_body_without_an_end_takes_everything(pieces: list[bytes]) -> None:
    assert follow(UntilClose(), pieces) == (sum(map(len, pieces)), False, False)


def as_h11_reads(data: bytes) -> tuple[bytes, int] | None:
    """Return the data that h11 finds in a chunked body and what follows, and how long the body is; None: refused."""
    reader = h11.Connection(h11.SERVER)
    reader.receive_data(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + data)
    found = b""
    try:
        while True:
            event = reader.next_event()
            if isinstance(event, h11.Data):
                found += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return found, len(data) - len(reader.trailing_data[0])
            elif event is h11.NEED_DATA:
                return found, -1
    except h11.RemoteProtocolError:
        return None


@_AT_LEISURE
@given(bodies(), st.data())
def test_what_is_taken_for_whole_h11_reads_in_the_same_way(body: tuple[bytes, bytes], choice: st.DataObject) -> None:
    """It may take more than we do, or less; never the same bytes for another body."""
    data = body[0]
    place = choice.draw(st.integers(0, len(data)))
    damaged = data[:place] + choice.draw(st.binary(max_size=2)) + data[place:] + _NEXT
    tracker = Chunked()
    tracker.show(_SHOWN)
    taken, done, _ = follow(tracker, [damaged])
    read = as_h11_reads(damaged)
    if done and read is not None:
        assert read == (bytes(tracker.shown), taken)


@pytest.mark.parametrize(
    "raw", [_NEXT, b"PUT /k HTTP/1.1\r\nHost: h\r\nX-A: \r\nContent-Length: 3\r\n\r\n"], ids=["a GET", "a PUT"]
)
def test_the_end_of_a_head_is_found_at_every_split_point(raw: bytes) -> None:
    for point in range(len(raw)):
        assert framing.head_end(raw[:point]) == -1
        assert framing.head_end(raw + b"more\r\n\r\n", point) == len(raw)
