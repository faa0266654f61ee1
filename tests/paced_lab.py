"""A backend that answers every call with an identity, and can hold an answer until the next connection is wanted."""

import asyncio
from contextlib import suppress

_IDENTITY = (
    b"<GetCallerIdentityResponse xmlns='https://sts.amazonaws.com/doc/2011-06-15/'><GetCallerIdentityResult>"
    b"<Arn>arn:aws:iam::000000000000:root</Arn><UserId>AKIA</UserId><Account>000000000000</Account>"
    b"</GetCallerIdentityResult><ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></GetCallerIdentityResponse>"
)
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n"


class Turnstile:
    """Lets one client through, request by request."""

    def __init__(self) -> None:
        self.arrived: asyncio.Queue[int] = asyncio.Queue()
        self._released = asyncio.Semaphore(0)

    async def pass_through(self, number: int) -> None:
        """Be the request: say that it is there, wait until the next one is wanted."""
        self.arrived.put_nowait(number)
        await self._released.acquire()

    def release(self) -> None:
        self._released.release()


class Backend:
    """Answers; holds what comes to /paced/LABEL/NUMBER for the turnstile of the label."""

    def __init__(self) -> None:
        self.turnstiles: dict[str, Turnstile] = {}
        self.seen: set[str] = set()
        """The first two segments of every path asked for."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            closing = False
            while not closing:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
                await reader.readexactly(int(fields.get("content-length", 0)))
                await self._pace(head.split(" ")[1])
                writer.write(_HEAD % len(_IDENTITY) + _IDENTITY)
                await writer.drain()
                closing = fields.get("connection") == "close"
        writer.close()

    async def _pace(self, path: str) -> None:
        self.seen.add("/".join(path.split("/")[:3]))
        match path.split("/"):
            case [_, "paced", label, number]:
                await self.turnstiles[label].pass_through(int(number))
            case _:
                pass
