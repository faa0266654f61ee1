"""Whether those beside the control plane answer: the emulator, the gateway. An edge that asks them over HTTP."""

import asyncio
import time
from typing import Final
from urllib.parse import urlsplit

from kecs.controlplane.health import Component

_TIMEOUT_S: Final = 3.0
_LINE_MAX: Final = 256
_PORTS: Final = {"http": 80, "https": 443}


async def look(name: str, url: str, path: str, *, timeout_s: float = _TIMEOUT_S) -> Component:
    """Ask one of them, and say how it is: any answer of HTTP but a server's fault is one."""
    began = time.monotonic()
    try:
        async with asyncio.timeout(timeout_s):
            status = await _status(url, path)
    except (OSError, TimeoutError, ValueError) as error:
        why = "it did not answer in time" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
        return Component(name=name, ok=False, required=False, error=f"{url}: {why}", details={"url": url})
    took_ms = (time.monotonic() - began) * 1000
    wrong = f"{url}{path} answered {status}" if status >= 500 else ""  # noqa: PLR2004 - servers' faults begin there
    return Component(name=name, ok=not wrong, required=False, latency_ms=took_ms, error=wrong, details={"url": url})


async def _status(url: str, path: str) -> int:
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
    reader, writer = await asyncio.open_connection(host, port, ssl=parts.scheme == "https" or None)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        line = (await reader.readline())[:_LINE_MAX]
    finally:
        writer.close()
    version, _, rest = line.partition(b" ")
    if not version.startswith(b"HTTP/1."):
        raise ValueError("it does not speak HTTP")
    return int(rest[:3])
