"""Parsers of client bytes under whatever may come: mutated seeds, grammar with mistakes, and families that grow.

What must hold stands in `fuzz_lab`; `make fuzz` goes on for longer, guided by coverage.
"""

import sys
from collections.abc import Callable
from types import CodeType

import fuzz_lab
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kecs.core.errors import ProtocolError
from kecs.relay import framing, peek
from kecs.relay.framing import Chunked

OFTEN = settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
TOOL = 4


@st.composite
def mutated(draw: st.DrawFn, target: str) -> bytes:
    """A seed in which pieces were replaced, doubled, cut out or put in from another."""
    found = fuzz_lab.seeds(target)
    data = bytearray(draw(st.sampled_from(found)))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 40)))
        other = draw(st.sampled_from(found))
        data[start:end] = draw(
            st.one_of(
                st.binary(max_size=8), st.just(bytes(data[start:end]) * 2), st.just(b""), st.just(other[start:end]),
                st.sampled_from([b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b",", b";", b"0", b"-1", b"\xff"]),
            )
        )  # fmt: skip
    return bytes(data)


@pytest.mark.parametrize("target", sorted(fuzz_lab.TARGETS))
def test_seeds(target: str) -> None:
    assert fuzz_lab.seeds(target)
    for seed in fuzz_lab.seeds(target):
        fuzz_lab.TARGETS[target](seed)


@pytest.mark.parametrize("target", sorted(fuzz_lab.TARGETS))
@given(data=st.data())
@OFTEN
def test_mutated_seeds(target: str, data: st.DataObject) -> None:
    fuzz_lab.TARGETS[target](data.draw(mutated(target)))


@pytest.mark.parametrize("target", sorted(fuzz_lab.TARGETS))
@given(data=st.binary(max_size=300))
@OFTEN
def test_any_bytes(target: str, data: bytes) -> None:
    fuzz_lab.TARGETS[target](data)


FIELD = st.tuples(
    st.sampled_from([
        b"Content-Length", b"content-length", b"Transfer-Encoding", b"Connection", b"Host", b"Expect", b"Upgrade",
        b"TE", b"X-Amz-Date", b"Trailer", b"Content-Length ", b" Content-Length", b"Transfer_Encoding",
    ]),
    st.sampled_from([b": ", b":", b":\t", b" : "]),
    st.sampled_from([
        b"0", b"3", b"+3", b"3, 3", b"3,4", b"03", b"0x3", b"3 ", b"chunked", b"Chunked", b"chunked, identity",
        b"xchunked", b"identity", b"gzip, chunked", b"chunked;q=1", b"close", b"keep-alive, close", b"host",
        b"content-length", b"a", b"100-continue", b"websocket", b"h2c", b"", b"\x0bchunked", b"18446744073709551616",
    ]),
    st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r\n ", b"\r\r\n"]),
)  # fmt: skip


@given(
    st.sampled_from([b"POST / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\n", b"POST / HTTP/1.0\r\n", b"POST  / HTTP/1.1\r\n"]),
    st.lists(FIELD, max_size=5),
)
@OFTEN
def test_framing_fields_in_every_company(line: bytes, fields: list[tuple[bytes, bytes, bytes, bytes]]) -> None:
    fuzz_lab.request_head(line + b"Host: a\r\n" + b"".join(b"".join(field) for field in fields) + b"\r\n")


@given(
    st.sampled_from([b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 200 OK\r\n", b"HTTP/1.1 204 x\r\n"]),
    st.lists(FIELD, max_size=4),
)
@OFTEN
def test_framing_fields_of_responses(line: bytes, fields: list[tuple[bytes, bytes, bytes, bytes]]) -> None:
    fuzz_lab.response_head(line + b"".join(b"".join(field) for field in fields) + b"\r\n")


CHUNK = st.tuples(
    st.sampled_from([b"0", b"1", b"3", b"03", b"0x3", b"-1", b"+1", b"3;a", b"3 ;a=b", b"3\t", b"", b"f" * 16, b"A"]),
    st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r"]),
    st.sampled_from([b"abc", b"a", b"", b"0123456789", b"\r\n"]),
    st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n", b""]),
)


@given(
    st.lists(CHUNK, max_size=5),
    st.sampled_from([b"0\r\n\r\n", b"0\r\nX: y\r\n\r\nGET /", b"0\r\nHost: a\r\n\r\n", b""]),
)
@OFTEN
def test_chunks_with_mistakes(parts: list[tuple[bytes, bytes, bytes, bytes]], end: bytes) -> None:
    fuzz_lab.chunks(b"".join(b"".join(part) for part in parts) + end)


# work


def steps(work: Callable[[], object]) -> int:
    """Count the lines that are run: unlike seconds, they are the same on every machine."""
    count = 0

    def line(code: CodeType, number: int) -> None:
        del code, number
        nonlocal count
        count += 1

    monitoring = sys.monitoring
    monitoring.use_tool_id(TOOL, "steps")
    try:
        monitoring.register_callback(TOOL, monitoring.events.LINE, line)
        monitoring.set_events(TOOL, monitoring.events.LINE)
        work()
    finally:
        monitoring.set_events(TOOL, 0)
        monitoring.free_tool_id(TOOL)
    return count


class Counted(bytes):
    """Bytes that count how many of them were copied out."""

    copied = 0

    def __getitem__(self, key: object) -> bytes:  # type: ignore[override] # slices alone are counted
        found: bytes = super().__getitem__(key)  # type: ignore[call-overload] # the same
        if isinstance(key, slice):
            Counted.copied += len(found)
        return found


def head_of(count: int) -> bytes:
    return b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * count + b"\r\n"


def records(count: int) -> bytes:
    """A message in records of one byte each."""
    return b"".join(b"\x16\x03\x01\x00\x01" + piece for piece in [b"\x01", b"\x00", b"\xff", b"\xff"] + [b"\0"] * count)


def hello_of(extensions: int) -> bytes:
    body = b"\x03\x03" + bytes(32) + b"\0" + b"\0\x02\x13\x01" + b"\x01\0"
    body += (extensions * 4).to_bytes(2) + b"\xfa\xfa\0\0" * extensions
    message = b"\x01" + len(body).to_bytes(3) + body
    return b"\x16\x03\x01" + len(message).to_bytes(2) + message


def refused(work: Callable[[], object]) -> None:
    with pytest.raises(ProtocolError):
        work()


@pytest.mark.parametrize(
    ("work", "size"),
    [
        pytest.param(lambda n: framing.request(head_of(n), fields_max=1 << 20), 400, id="many fields"),
        pytest.param(lambda n: Chunked().take(b"1\r\na\r\n" * n), 400, id="chunks of one byte"),
        pytest.param(
            lambda n: [one.take(b"f") for one in [Chunked()] for _ in range(min(n, 15))], 15, id="bytes alone"
        ),
        pytest.param(lambda n: peek.look(records(n)), 400, id="records of one byte"),
        pytest.param(lambda n: peek.read(hello_of(n)), 400, id="many extensions"),
        pytest.param(lambda n: peek.look(b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * n), 400, id="fields without a Host"),
        pytest.param(lambda n: fuzz_lab.names(bytes(4) + b"\0\1" + bytes(6) + b"\1a" * n), 100, id="labels"),
    ],
)
def test_work_grows_as_the_bytes_do(work: Callable[[int], object], size: int) -> None:
    work(size)  # what is done once only is done
    once, twice = steps(lambda: work(size)), steps(lambda: work(2 * size))
    assert twice <= 2 * once + 200


@pytest.mark.parametrize("made", [head_of, records, hello_of])
def test_no_byte_is_copied_more_than_a_few_times(made: Callable[[int], bytes]) -> None:
    data = Counted(made(2000))
    Counted.copied = 0
    peek.look(data)
    assert Counted.copied <= 4 * len(data)
