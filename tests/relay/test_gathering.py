"""Full records of TLS on their way to a backend: sent in few calls, in their order, up to the last byte."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator

import pytest
import uvloop

from kecs.relay.stream import TLS_RECORD, Stream

PATIENCE_S = 20
RECORD = bytes(range(256)) * (TLS_RECORD // 256)


class Owner:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.drained_at: list[int] = []
        self.error: OSError | None = None
        self.told = asyncio.Event()

    def received(self, stream: Stream, data: bytes) -> bool:  # noqa: ARG002 - the protocol's
        return False

    def ended(self, stream: Stream) -> None:
        """Nothing is read."""

    def lost(self, stream: Stream, error: OSError) -> None:  # noqa: ARG002 - the protocol's
        self.error = error
        self.told.set()

    def drained(self, stream: Stream) -> None:
        self.drained_at.append(stream.buffered)
        self.told.set()


@contextlib.contextmanager
def connected() -> Iterator[tuple[Stream, Owner, socket.socket]]:
    """Yield a stream and its peer's socket, which holds little."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    ours.settimeout(0)
    theirs.settimeout(0)
    owner = Owner()
    stream = Stream(asyncio.get_running_loop(), ours, owner)
    stream.start()
    try:
        with theirs:
            yield stream, owner, theirs
    finally:
        stream.abort()


async def read(theirs: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        more = await asyncio.get_running_loop().sock_recv(theirs, min(100_000, size - len(data)))
        if not more:
            break
        data += more
    return bytes(data)


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(PATIENCE_S):
            await test()

    uvloop.run(limited())


@pytest.mark.parametrize("records", [1, 2, 7, 8, 9, 16, 17, 100])
@pytest.mark.parametrize("tail", [0, 1, 5000, TLS_RECORD + 1])
def test_everything_comes_in_order(records: int, tail: int) -> None:
    async def test() -> None:
        with connected() as (stream, _, theirs):
            sent = b""
            for number in range(records):
                piece = number.to_bytes(2) + RECORD[2:]
                sent += piece
                stream.write(piece)
            if tail:
                sent += RECORD[:1] * tail
                stream.write(RECORD[:1] * tail)
            assert await read(theirs, len(sent)) == sent

    run(test)


def test_what_is_gathered_counts_as_buffered_until_the_loop_turns() -> None:
    async def test() -> None:
        with connected() as (stream, owner, theirs):
            stream.write(RECORD)
            assert stream.buffered == stream.unacknowledged() == TLS_RECORD
            assert await read(theirs, TLS_RECORD) == RECORD
            assert not stream.buffered
            assert owner.drained_at == []  # nobody was told to wait

    run(test)


def test_who_was_told_to_wait_is_told_to_go_on() -> None:
    async def test() -> None:
        with connected() as (stream, owner, theirs):
            count = 0
            while stream.buffered <= 262144:
                stream.write(RECORD)
                count += 1
            assert await read(theirs, count * TLS_RECORD) == RECORD * count
            await owner.told.wait()
            assert owner.drained_at

    run(test)


def test_closing_sends_what_is_gathered() -> None:
    async def test() -> None:
        with connected() as (stream, owner, theirs):
            for _ in range(3):
                stream.write(RECORD)
            stream.close()
            assert not stream.closed
            assert await read(theirs, 4 * TLS_RECORD) == RECORD * 3
            await owner.told.wait()
            assert stream.closed

    run(test)


def test_the_end_comes_behind_what_is_gathered() -> None:
    async def test() -> None:
        with connected() as (stream, _, theirs):
            stream.write(RECORD)
            stream.shutdown()
            assert await read(theirs, 2 * TLS_RECORD) == RECORD
            assert not stream.closed

    run(test)


def test_aborting_sends_nothing_more() -> None:
    async def test() -> None:
        with connected() as (stream, _, theirs):
            stream.write(RECORD)
            stream.abort()
            with pytest.raises(ConnectionResetError):
                await read(theirs, TLS_RECORD)

    run(test)


def test_a_peer_that_is_gone_is_told_of_and_what_it_did_not_get_counted() -> None:
    async def test() -> None:
        with connected() as (stream, owner, theirs):
            stream.pause()  # so that it is the writing that fails
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            theirs.close()
            while owner.error is None:
                stream.write(RECORD)
                await asyncio.sleep(0)
                stream.resume()
            assert stream.closed
            assert stream.unacknowledged() >= TLS_RECORD

    run(test)
