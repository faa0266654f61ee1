"""A read of less than a record leaves nothing in OpenSSL: whatever else there is, the kernel knows of, and tells.

The records are made here: of every size, empty, padded, several in a segment. OpenSSL's own writer makes few kinds.
"""

import asyncio
import hashlib
import hmac
import select
import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from itertools import accumulate, count, pairwise
from pathlib import Path
from typing import Final

import pytest
import uvloop
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from relay_lab import NAME, PATIENCE_S, Authority

from kecs.relay.contexts import server_context
from kecs.relay.stream import TLS_RECORD, Stream
from kecs.relay.tls import TlsSocket, serve_tls

AUTHORITY = Authority()
SERVER = server_context(*AUTHORITY.mint((NAME,))[:2])
_DATA: Final = 23
_WIRE_VERSION: Final = 0x0303
_TAG: Final = 16
_HELLO_RANDOM: Final = slice(11, 43)
"""Of a ServerHello: behind the headers of its record and of its message, and the version."""
_SIZES: Final = (0, 0, 1, 2, 100, 1_460, 8_192, TLS_RECORD - 1, TLS_RECORD)

type Seal = Callable[[bytes, int], bytes]
"""Makes a record of its data, padded with so much."""


def expand(secret: bytes, label: bytes, length: int) -> bytes:
    """Derive a key of TLS 1.3 (RFC 8446 section 7.1)."""
    name = b"tls13 " + label
    info = struct.pack("!HB", length, len(name)) + name + b"\0"
    return HKDFExpand(hashes.SHA384(), length, info).derive(secret)


def sealed_1_3(secret: bytes) -> Seal:
    key, iv, numbers = AESGCM(expand(secret, b"key", 32)), expand(secret, b"iv", 12), count()

    def seal(data: bytes, padding: int) -> bytes:
        nonce = (int.from_bytes(iv) ^ next(numbers)).to_bytes(12)
        inner = data + bytes((_DATA,)) + bytes(min(padding, TLS_RECORD - len(data)))
        header = struct.pack("!BHH", _DATA, _WIRE_VERSION, len(inner) + _TAG)
        return header + key.encrypt(nonce, inner, header)

    return seal


def sealed_1_2(master: bytes, client_random: bytes, server_random: bytes) -> Seal:
    """Derive the client's key of AES-128-GCM with SHA-256 (RFC 5246 section 6.3, RFC 5288)."""
    seed = b"key expansion" + server_random + client_random
    block, link = b"", seed
    while len(block) < 40:  # two keys, two beginnings of nonces
        link = hmac.digest(master, link, hashlib.sha256)
        block += hmac.digest(master, link + seed, hashlib.sha256)
    key, salt, numbers = AESGCM(block[:16]), block[32:36], count(1)  # the client's Finished was number 0

    def seal(data: bytes, padding: int) -> bytes:
        del padding  # there is none with AEAD before 1.3
        number = struct.pack("!Q", next(numbers))
        bound = number + struct.pack("!BHH", _DATA, _WIRE_VERSION, len(data))
        sent = number + key.encrypt(salt + number, data, bound)
        return struct.pack("!BHH", _DATA, _WIRE_VERSION, len(sent)) + sent

    return seal


@dataclass(kw_only=True)
class Reader:
    """Owns the stream, and never says that more has to come."""

    got: bytearray = field(default_factory=bytearray)
    left: list[tuple[int, int]] = field(default_factory=list)
    """Sizes of reads, and what OpenSSL held behind them."""
    wanted: int = 0
    done: asyncio.Event = field(default_factory=asyncio.Event)

    def received(self, stream: Stream, data: bytes) -> bool:
        self.got += data
        if len(data) < TLS_RECORD and stream._pending():
            self.left.append((len(data), stream._ssl.pending()))  # type: ignore[union-attr]
        if len(self.got) >= self.wanted:
            self.done.set()
        return False

    def ended(self, stream: Stream) -> None:
        raise AssertionError(stream)

    def lost(self, stream: Stream, error: OSError) -> None:
        raise AssertionError(stream, error)

    def drained(self, stream: Stream) -> None:
        """Nothing is sent."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A stream that reads on a loop, and a client that makes its records itself."""

    loop: asyncio.AbstractEventLoop
    reader: Reader
    sock: socket.socket
    seal: Seal

    def read(self, records: list[tuple[int, int]], cuts: list[float]) -> None:
        """Send these records, cut into pieces; all is read, though nobody asks OpenSSL for more."""
        data = b"".join(bytes((place % 251,)) * size for place, (size, _) in enumerate(records))
        places = pairwise(accumulate((size for size, _ in records), initial=0))
        pieces = zip(places, (padding for _, padding in records), strict=True)
        raw = b"".join([self.seal(data[one:two], padding) for (one, two), padding in pieces])
        self.reader.got.clear()
        self.reader.wanted = len(data)
        self.reader.done.clear()
        ends = sorted({0, *[int(cut * len(raw)) for cut in cuts], len(raw)})
        self.loop.run_until_complete(self._read([raw[one:two] for one, two in pairwise(ends)]))
        assert self.reader.got == data
        assert self.reader.left == []

    async def _read(self, pieces: list[bytes]) -> None:
        for piece in pieces:
            await self.loop.run_in_executor(None, self.sock.sendall, piece)
        async with asyncio.timeout(PATIENCE_S):
            await self.reader.done.wait()


def shaken(sock: socket.socket, version: ssl.TLSVersion, keys: Path) -> Seal:
    """Shake hands as a client, byte by byte in our hands, and return what seals records from then on."""
    context = AUTHORITY.client_context()
    context.minimum_version = context.maximum_version = version
    context.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")  # of TLS 1.2; the first of 1.3 is AES-256-GCM with SHA-384
    context.keylog_filename = str(keys)
    came, goes = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls, heard = context.wrap_bio(came, goes, server_hostname=NAME), b""
    while True:
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            sock.sendall(goes.read())
            data = sock.recv(65536)
            heard += data
            came.write(data)
        else:
            sock.sendall(goes.read())
            break
    lines = [line.split() for line in keys.read_text().splitlines() if not line.startswith("#")]
    logged = {name: (bytes.fromhex(random), bytes.fromhex(secret)) for name, random, secret in lines}
    if version is ssl.TLSVersion.TLSv1_2:
        random, master = logged["CLIENT_RANDOM"]
        return sealed_1_2(master, random, heard[_HELLO_RANDOM])
    assert tls.cipher() == ("TLS_AES_256_GCM_SHA384", "TLSv1.3", 256)
    return sealed_1_3(logged["CLIENT_TRAFFIC_SECRET_0"][1])


def served(sock: socket.socket) -> TlsSocket:
    """Shake hands as the relay does."""
    sock.settimeout(0)
    tls = serve_tls(SERVER, sock)
    while True:
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            assert select.select([sock], [], [], PATIENCE_S)[0]
        else:
            return tls


VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.fixture(scope="module", params=VERSIONS, ids=lambda version: version.name)
def reading(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reading]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname(), PATIENCE_S)
        accepted, _ = listener.accept()
    with client, ThreadPoolExecutor(1) as thread, closing(uvloop.new_event_loop()) as loop:
        serving = thread.submit(served, accepted)
        seal = shaken(client, request.param, tmp_path_factory.mktemp("keys") / "log")
        tls = serving.result(PATIENCE_S)
        reader = Reader()
        stream = Stream(loop, tls, reader)
        loop.call_soon(stream.start)
        yield Reading(loop=loop, reader=reader, sock=client, seal=seal)
        stream.abort()


RECORDS = st.tuples(st.one_of(st.sampled_from(_SIZES), st.integers(0, TLS_RECORD)), st.sampled_from((0, 1, TLS_RECORD)))


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(records=st.lists(RECORDS, min_size=1, max_size=12), cuts=st.lists(st.floats(0, 1), max_size=4))
def test_what_is_read_short_was_read_whole(reading: Reading, records: list[tuple[int, int]], cuts: list[float]) -> None:
    reading.read([*records, (1, 0)], cuts)  # OpenSSL takes 32 empty records in a row, not more


@pytest.mark.parametrize("size", [1, 2, 100, 1_460, 5_000, TLS_RECORD - 1, TLS_RECORD])
def test_many_records_of_a_size_in_one_go(reading: Reading, size: int) -> None:
    reading.read([(size, 0)] * 40, [])


def test_empty_records_before_and_between(reading: Reading) -> None:
    reading.read([(0, 0), (0, 0), (5, 0), (0, 0), (TLS_RECORD, 0), (0, 0), (0, 0), (1, 0)], [])
