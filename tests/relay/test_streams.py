"""What is relayed depends neither on how the bytes are cut nor on the loop; Python's and curl's clients agree."""

import asyncio
import http.client
import itertools
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvloop
from cryptography.hazmat.primitives import serialization
from hypothesis import given, settings
from hypothesis import strategies as st
from relay_lab import NAME, PATIENCE_S, Lab, Script, read_exactly, read_head, server

from kecs.relay.decide import Upstream

HOST = b"Host: s3.amazonaws.com\r\n"
TRAILER = b"x-amz-checksum-crc32: AAAAAA==\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A request with a body, and the framing that its answer is to have."""

    parts: tuple[bytes, ...]
    chunked: bool
    answer: bytes

    def head(self) -> bytes:
        framing = (
            b"Transfer-Encoding: chunked\r\n" if self.chunked else b"Content-Length: %d\r\n" % sum(map(len, self.parts))
        )
        return b"PUT /k HTTP/1.1\r\n" + HOST + b"X-Answer: %b\r\n%b\r\n" % (self.answer, framing)

    def body(self) -> bytes:
        return chunk(self.parts) if self.chunked else b"".join(self.parts)


def chunk(parts: tuple[bytes, ...]) -> bytes:
    return b"".join(b"%x;n=1\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n" + TRAILER + b"\r\n"


def read_chunked(sock: socket.socket, held: bytearray) -> bytes:
    """Read a chunked body as it is on the wire, in the plainest way."""
    body = bytearray()
    while not body.endswith(b"\r\n0\r\n" + TRAILER + b"\r\n") and body != b"0\r\n" + TRAILER + b"\r\n":
        if not held:
            held += sock.recv(65536)
        body.append(held.pop(0))
    return bytes(body)


def echo(sock: socket.socket) -> None:
    """Answer with what was received, byte for byte, in pieces of changing size."""
    held, sizes = bytearray(), itertools.cycle((1, 2, 5, 11, 300))
    while head := read_head(sock, held):
        fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
        length = int(fields.get(b"Content-Length", b"0"))
        if b"Expect" in fields:
            sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = read_chunked(sock, held) if b"Transfer-Encoding" in fields else read_exactly(sock, length, held)
        got, answer = head + body, fields.get(b"X-Answer", b"length")
        if answer == b"chunked":
            said = b"Transfer-Encoding: chunked\r\n\r\n" + chunk((got[:7], got[7:]))
        elif answer == b"close":
            said = b"\r\n" + got
        else:
            said = b"Content-Length: %d\r\n\r\n%b" % (len(got), b"" if head.startswith(b"HEAD") else got)
        rest = b"HTTP/1.1 200 OK\r\n" + said
        while rest:
            size = next(sizes)
            sock.sendall(rest[:size])
            rest = rest[size:]
        if answer == b"close":
            return


parts = st.lists(st.binary(min_size=1, max_size=300), max_size=4).map(tuple)
messages = st.builds(
    Message, parts=parts, chunked=st.booleans(), answer=st.sampled_from([b"length", b"chunked", b"close"])
)


@pytest.fixture(scope="module", params=["uvloop", "asyncio"])
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    run = asyncio.run if request.param == "asyncio" else uvloop.run
    with (
        server(echo) as address,
        Lab(Script(upstream=Upstream(host=address.host, port=address.port)), run=run) as running,
    ):
        yield running


@settings(max_examples=40)
@given(
    st.lists(messages, min_size=1, max_size=4), st.lists(st.integers(1, 400), min_size=1, max_size=12), st.booleans()
)
def test_the_bytes_relayed_do_not_depend_on_how_they_are_cut(
    lab: Lab,
    asked: list[Message],
    cuts: list[int],
    pipelined: bool,  # noqa: FBT001 - hypothesis passes it by position
) -> None:
    with lab.connect() as sock:
        batches = [asked] if pipelined else [[message] for message in asked]
        for batch in batches:
            stream, sizes = b"".join(message.head() + message.body() for message in batch), itertools.cycle(cuts)
            while stream:
                size = next(sizes)
                sock.sendall(stream[:size])
                stream = stream[size:]
            with sock.makefile("rb") as file:
                for message in batch:
                    response = http.client.HTTPResponse(Shared(file))  # type: ignore[arg-type] # only makefile is used
                    response.begin()
                    assert response.status == 200
                    assert response.read() == message.head() + message.body()


class Shared:
    """Lets responses read one after another from the same buffer, as pipelining needs."""

    def __init__(self, file: object) -> None:
        self._file = file

    def makefile(self, mode: str) -> "Shared":
        del mode
        return self

    def close(self) -> None:
        """Leave it open: the next response is in it."""

    def flush(self) -> None:
        """Nothing is written."""

    def __getattr__(self, name: str) -> object:
        return getattr(self._file, name)


@pytest.fixture(scope="module")
def curl(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    found = shutil.which("curl")
    assert found
    root = tmp_path_factory.mktemp("trust") / "root.pem"
    root.write_bytes(lab.authority.root.public_bytes(serialization.Encoding.PEM))
    there = f"{NAME}:443:{lab.address.host}:{lab.address.port}"
    return [found, "-sS", "--noproxy", "*", "--cacert", str(root), "--connect-to", there]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param([], [b"GET /k HTTP/1.1"], id="GET"),
        pytest.param(["-0"], [b"/k HTTP/1."], id="HTTP/1.0"),
        pytest.param(["--http2"], [b"GET /k HTTP/1.1"], id="HTTP/2 offered"),
        pytest.param(["-H", "X-Answer: chunked"], [b"X-Answer: chunked"], id="chunked answer"),
        pytest.param(["-H", "X-Answer: close"], [b"X-Answer: close"], id="answer until close"),
        pytest.param(["-H", "Expect: 100-continue", "-d", "abc"], [b"Expect: ", b"\r\n\r\nabc"], id="Expect"),
    ],
)  # fmt: skip
def test_curl(curl: list[str], options: list[str], expected: list[bytes]) -> None:
    clean = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    done = subprocess.run(
        [*curl, *options, f"https://{NAME}/k"], capture_output=True, check=True, timeout=PATIENCE_S, env=clean
    )
    assert all(piece in done.stdout for piece in expected), done.stdout


def test_curl_asks_twice_on_one_connection(curl: list[str], tmp_path: Path) -> None:
    url = f"https://{NAME}/k"
    done = subprocess.run(
        [*curl, "-w", "%{num_connects}", url, "-o", str(tmp_path / "1"), url, "-o", str(tmp_path / "2")],
        capture_output=True,
        check=True,
        timeout=PATIENCE_S,
    )
    assert done.stdout == b"10"
