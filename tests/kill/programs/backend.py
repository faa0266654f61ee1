"""A backend that shows whose answer is whose, notes what it has read whole, and misbehaves where the path says so.

The path is /BEHAVIOUR/ID, with the answer's size as a query. An answer begins with the request's id and a digest of the
body that came with it, and goes on with bytes that follow from the id; `kill_lab` knows what it is to be. Before it
acts, it notes method and id in a journal, which outlives it.

Usage: python backend.py HOST PORT JOURNAL; a line on standard output says that it listens.
"""

import asyncio
import hashlib
import os
import socket
import struct
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

RESET: Final = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that was read whole."""

    method: str
    behaviour: str
    name: str
    size: int
    digest: str


def body_of(asked: Asked) -> bytes:
    """Make the answer that this request must get, and no other."""
    start = f"{asked.name}|{asked.digest}|".encode()
    seed = hashlib.sha256(asked.name.encode()).digest()
    return start + (seed * (asked.size // len(seed) + 1))[: asked.size]


def head(asked: Asked, length: int, *, more: str = "") -> bytes:
    return f"HTTP/1.1 200 OK\r\nX-Name: {asked.name}\r\nContent-Length: {length}\r\n{more}\r\n".encode()


class _Over(Exception):  # noqa: N818 - no error: the connection is to end
    """The connection ends here."""


async def ok(asked: Asked, writer: asyncio.StreamWriter) -> None:
    body = body_of(asked)
    writer.write(head(asked, len(body)) + (b"" if asked.method == "HEAD" else body))


async def stored(asked: Asked, writer: asyncio.StreamWriter) -> None:
    """Answer as to an object that was put: SDKs want no body there but XML."""
    writer.write(head(asked, 0))


async def chunked(asked: Asked, writer: asyncio.StreamWriter) -> None:
    body = body_of(asked)
    writer.write(f"HTTP/1.1 200 OK\r\nX-Name: {asked.name}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
    for start in range(0, len(body), 1000):
        piece = body[start : start + 1000]
        writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
    writer.write(b"0\r\n\r\n")


async def closing(asked: Asked, writer: asyncio.StreamWriter) -> None:
    body = body_of(asked)
    writer.write(head(asked, len(body), more="Connection: close\r\n") + body)
    raise _Over


async def silent_end(asked: Asked, writer: asyncio.StreamWriter) -> None:
    """Answer as if the connection were kept, then end it: the next request meets it dying."""
    await ok(asked, writer)
    raise _Over


async def slow(asked: Asked, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(0.3)
    await ok(asked, writer)


async def hang(asked: Asked, writer: asyncio.StreamWriter) -> None:
    del asked, writer
    await asyncio.Event().wait()


async def half_head(asked: Asked, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Le")
    await hang(asked, writer)


async def half_body(asked: Asked, writer: asyncio.StreamWriter) -> None:
    writer.write(head(asked, 1000) + b"abc")
    await hang(asked, writer)


async def garbage(asked: Asked, writer: asyncio.StreamWriter) -> None:
    del asked
    writer.write(os.urandom(200).replace(b"H", b"h"))


async def cut(asked: Asked, writer: asyncio.StreamWriter) -> None:
    writer.write(head(asked, 1000) + b"abc")
    raise _Over


async def cut_by_reset(asked: Asked, writer: asyncio.StreamWriter) -> None:
    writer.write(head(asked, 1000) + b"abc")
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    raise _Over


async def cut_chunks(asked: Asked, writer: asyncio.StreamWriter) -> None:
    writer.write(f"HTTP/1.1 200 OK\r\nX-Name: {asked.name}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc".encode())
    raise _Over


async def no_answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
    del asked, writer
    raise _Over


async def too_much(asked: Asked, writer: asyncio.StreamWriter) -> None:
    """Say more than was announced: what follows looks like the answer to somebody else's request."""
    body = body_of(asked)
    forged = b"HTTP/1.1 200 OK\r\nX-Name: forged\r\nContent-Length: 6\r\n\r\nforged"
    writer.write(head(asked, len(body)) + body + forged)


BEHAVIOURS: Final[dict[str, Callable[[Asked, asyncio.StreamWriter], Awaitable[None]]]] = {
    "ok": ok,
    "stored": stored,
    "chunked": chunked,
    "closing": closing,
    "silent-end": silent_end,
    "slow": slow,
    "hang": hang,
    "half-head": half_head,
    "half-body": half_body,
    "garbage": garbage,
    "cut": cut,
    "cut-by-reset": cut_by_reset,
    "cut-chunks": cut_chunks,
    "no-answer": no_answer,
    "too-much": too_much,
}


async def read(reader: asyncio.StreamReader) -> Asked:
    """Read one request; raises IncompleteReadError at the end."""
    raw = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    method, target, _ = raw.split(" ", 2)
    fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in raw.split("\r\n")[1:])}
    digest = hashlib.sha256()
    if fields.get("transfer-encoding") == "chunked":
        while size := int((await reader.readline()).split(b";")[0], 16):
            digest.update(await reader.readexactly(size))
            await reader.readline()
        while (await reader.readline()).strip():
            pass
    else:
        left = int(fields.get("content-length", "0"))
        while left:
            piece = await reader.readexactly(min(left, 65536))
            digest.update(piece)
            left -= len(piece)
    path, _, query = target.partition("?")
    behaviour, name = path.strip("/").split("/")[-2:]
    size = next((int(one[5:]) for one in query.split("&") if one.startswith("size=")), 0)
    return Asked(method=method, behaviour=behaviour, name=name, size=size, digest=digest.hexdigest())


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, journal: int) -> None:
    try:
        while True:
            asked = await read(reader)
            os.write(journal, f"{asked.method} {asked.name}\n".encode())
            await BEHAVIOURS[asked.behaviour](asked, writer)
            await writer.drain()
    except (_Over, OSError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def main() -> None:
    journal = os.open(sys.argv[3], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    server = await asyncio.start_server(lambda r, w: serve(r, w, journal), sys.argv[1], int(sys.argv[2]), backlog=512)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
