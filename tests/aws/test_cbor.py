import math
from datetime import datetime
from typing import Any

import pytest
from botocore.parsers import RpcV2CBORParser
from hypothesis import given
from hypothesis import strategies as st

from kecs.aws.cbor import CborError, Instant, dumps, loads

VECTORS = [
    ("00", 0),
    ("17", 23),
    ("1818", 24),
    ("1903e8", 1000),
    ("1a000f4240", 1000000),
    ("1bffffffffffffffff", 18446744073709551615),
    ("c249010000000000000000", 18446744073709551616),
    ("3bffffffffffffffff", -18446744073709551616),
    ("c349010000000000000000", -18446744073709551617),
    ("20", -1),
    ("3903e7", -1000),
    ("f90000", 0.0),
    ("f93c00", 1.0),
    ("fb3ff199999999999a", 1.1),
    ("fa47c35000", 100000.0),
    ("f9c400", -4.0),
    ("f97c00", math.inf),
    ("f4", False),
    ("f5", True),
    ("f6", None),
    ("f7", None),
    ("c11a514b67b0", Instant(1363896240)),
    ("c1fb41d452d9ec200000", Instant(1363896240.5)),
    ("4401020304", b"\x01\x02\x03\x04"),
    ("60", ""),
    ("62c3bc", "ü"),
    ("83010203", [1, 2, 3]),
    ("826161a161626163", ["a", {"b": "c"}]),
    ("5f42010243030405ff", b"\x01\x02\x03\x04\x05"),
    ("7f657374726561646d696e67ff", "streaming"),
    ("9fff", []),
    ("9f018202039f0405ffff", [1, [2, 3], [4, 5]]),
    ("bf61610161629f0203ffff", {"a": 1, "b": [2, 3]}),
    ("d818456449455446", b"dIETF"),
]
"""From RFC 8949, appendix A, and the forms of one value that it gives beside the shortest."""


@pytest.mark.parametrize(("raw", "value"), VECTORS)
def test_the_standards_own_examples(raw: str, value: Any) -> None:
    found = loads(bytes.fromhex(raw))
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "18",
        "0000",
        "1c",
        "ff",
        "62c3",
        "61ff",
        "5f00ff",
        "5f5f4100ffff",
        "9f01",
        "bf6161ff",
        "a10102",
        "a2616101616102",
        "9bffffffffffffffff",
        "5bffffffffffffffff",
        "bbffffffffffffffff",
        "c161",
        "c16161",
        "c1f5",
        "f8ff",
        "fc",
        "81" * 100 + "00",
    ],
)
def test_what_is_no_item_is_an_error(raw: str) -> None:
    with pytest.raises(CborError):
        loads(bytes.fromhex(raw))


@given(st.binary(max_size=80))
def test_any_bytes_are_an_item_or_an_error(raw: bytes) -> None:
    try:
        item = loads(raw)
    except CborError:
        return
    assert repr(loads(dumps(item))) == repr(item)


instants = st.one_of(st.integers(-(2**40), 2**40), st.integers(-(2**40), 2**40).map(lambda n: n + 0.5)).map(Instant)
leaves = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False), st.text(), st.binary(), instants
)
items = st.recursive(leaves, lambda inside: st.lists(inside) | st.dictionaries(st.text(), inside), max_leaves=20)


@given(items)
def test_what_is_written_is_read_again(item: Any) -> None:
    found = loads(dumps(item))
    assert found == item
    assert repr(found) == repr(item)


moments = st.integers(0, 2**31).map(Instant)
theirs = st.recursive(
    st.one_of(
        st.booleans(), st.integers(-(2**64), 2**64 - 1), st.floats(allow_nan=False), st.text(), st.binary(), moments
    ),
    lambda inside: st.lists(inside) | st.dictionaries(st.text(), inside),
    max_leaves=20,
)


@given(theirs)
def test_botocore_reads_what_is_written(item: Any) -> None:
    parser = RpcV2CBORParser()
    found = parser.parse_data_item(parser.get_peekable_stream_from_bytes(dumps(item)))
    assert plain(found) == plain(item)


def plain(value: Any) -> Any:
    """Return a value with its times as numbers: botocore reads them into a type of its own."""
    match value:
        case Instant(number):
            return float(number)
        case datetime():
            return value.timestamp()
        case dict():
            return {key: plain(one) for key, one in value.items()}
        case list():
            return [plain(one) for one in value]
    return value
