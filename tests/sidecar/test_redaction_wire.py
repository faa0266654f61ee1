"""CBOR and event streams, against botocore, the RFC's own examples, and whatever hypothesis makes."""

import math
from typing import Any

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from kecs.sidecar import redaction_cbor as cbor
from kecs.sidecar import redaction_events as events

LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**64), 2**64 - 1),
    st.floats(allow_nan=False),
    st.text(),
    st.binary(),
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(st.tuples(st.text(), inner), max_size=4).map(cbor.Pairs),
        st.builds(cbor.Tagged, number=st.integers(0, 2**32), value=inner),
    ),
    max_leaves=12,
)


@given(VALUES)
def test_what_is_written_in_cbor_is_read_back(value: Any) -> None:
    assert cbor.decode(cbor.encode(value)) == value


@pytest.mark.parametrize(
    ("written", "value"),
    [
        pytest.param("1bffffffffffffffff", 18446744073709551615, id="a long integer"),
        pytest.param("3903e7", -1000, id="a negative one"),
        pytest.param("f93c00", 1.0, id="a float of two bytes"),
        pytest.param("fa47c35000", 100000.0, id="a float of four bytes"),
        pytest.param("c11a514b67b0", cbor.Tagged(number=1, value=1363896240), id="a time"),
        pytest.param("5f42010243030405ff", b"\1\2\3\4\5", id="bytes in pieces"),
        pytest.param("7f657374726561646d696e67ff", "streaming", id="a text in pieces"),
        pytest.param("9f018202039f0405ffff", [1, [2, 3], [4, 5]], id="lists without a length"),
        pytest.param("bf61610161629f0203ffff", cbor.Pairs([("a", 1), ("b", [2, 3])]), id="a map without a length"),
        pytest.param("f7", None, id="undefined"),
    ],
)
def test_the_rfc_s_examples(written: str, value: Any) -> None:
    assert cbor.decode(bytes.fromhex(written)) == value


def test_infinity_and_no_number_are_read() -> None:
    assert cbor.decode(bytes.fromhex("f97c00")) == math.inf
    assert math.isnan(cbor.decode(bytes.fromhex("f97e00")))


@given(st.binary())
def test_anything_else_is_a_value_error(data: bytes) -> None:
    for read in (cbor.decode, events.decode):
        try:
            read(data)
        except ValueError:
            continue


@pytest.mark.parametrize("written", ["1c", "ff", "5f6161ff", "e0", "0101", "9affffffff", "bf61", "81" * 70 + "01"])
def test_what_is_no_cbor(written: str) -> None:
    with pytest.raises(ValueError, match="CBOR"):
        cbor.decode(bytes.fromhex(written))


def test_what_cbor_does_not_know() -> None:
    with pytest.raises(TypeError, match="object"):
        cbor.encode(object())
    with pytest.raises(ValueError, match="bits"):
        cbor.encode(1 << 64)


HEADERS = st.one_of(
    st.tuples(st.sampled_from([0]), st.just(value=True)),
    st.tuples(st.sampled_from([1]), st.just(value=False)),
    st.tuples(st.just(2), st.integers(-128, 127)),
    st.tuples(st.just(3), st.integers(-(2**15), 2**15 - 1)),
    st.tuples(st.just(4), st.integers(-(2**31), 2**31 - 1)),
    st.tuples(st.sampled_from([5, 8]), st.integers(-(2**63), 2**63 - 1)),
    st.tuples(st.just(6), st.binary(max_size=50)),
    st.tuples(st.just(7), st.text(max_size=50)),
    st.tuples(st.just(9), st.binary(min_size=16, max_size=16)),
)
EVENTS = st.builds(
    events.Event,
    headers=st.lists(
        st.builds(
            lambda name, typed: events.Header(name=name, kind=typed[0], value=typed[1]),
            st.text(st.characters(codec="ascii"), min_size=1, max_size=20),
            HEADERS,
        ),
        max_size=5,
        unique_by=lambda header: header.name,
    ).map(tuple),
    payload=st.binary(max_size=200),
)


@given(st.lists(EVENTS, max_size=4))
def test_events_are_read_back_and_botocore_reads_them_too(made: list[events.Event]) -> None:
    written = events.encode(made)
    assert events.decode(written) == made
    buffer = EventStreamBuffer()
    buffer.add_data(written)
    theirs: list[Any] = list(buffer)
    assert [one.payload for one in theirs] == [one.payload for one in made]
    assert [set(one.headers) for one in theirs] == [{header.name for header in one.headers} for one in made]


@given(EVENTS, st.data())
def test_a_changed_byte_is_noticed(made: events.Event, data: st.DataObject) -> None:
    written = bytearray(events.encode([made]))
    written[data.draw(st.integers(0, len(written) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(ValueError, match="event"):
        events.decode(bytes(written))


def test_a_cut_event_is_noticed() -> None:
    whole = events.encode([events.Event(headers=(), payload=b"12345")])
    for length in range(1, len(whole)):
        with pytest.raises(ValueError, match="event"):
            events.decode(whole[:length])
    assert events.is_stream(whole)
    assert not events.is_stream(whole[:15])
