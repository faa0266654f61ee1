"""Event streams of AWS (`application/vnd.amazon.eventstream`) as values: frames with headers and a payload. Pure."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

TYPE: Final = "application/vnd.amazon.eventstream"
_PRELUDE: Final = 12
_AROUND: Final = 16
"""Lengths and checksums: what a frame has besides headers and payload."""
_NUMBERS: Final = {2: ">b", 3: ">h", 4: ">i", 5: ">q", 8: ">q"}
_BYTES: Final = 6
_TEXT: Final = 7
_UUID: Final = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """A header: its type's number decides how the value is written."""

    name: str
    kind: int
    value: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One frame."""

    headers: tuple[Header, ...]
    payload: bytes

    def get(self, name: str) -> str:
        """Return a header's value as text; empty where there is none."""
        return next((str(one.value) for one in self.headers if one.name == name), "")


def is_stream(data: bytes) -> bool:
    """Tell whether the data begins with a frame: its prelude has its checksum."""
    return len(data) >= _AROUND and zlib.crc32(data[:8]) == struct.unpack(">I", data[8:_PRELUDE])[0]


def decode(data: bytes) -> list[Event]:
    """Read whole frames; raise ValueError where one is cut or its checksum is wrong."""
    found = []
    at = 0
    while at < len(data):
        found.append(_event(data, at))
        at += struct.unpack(">I", data[at : at + 4])[0]
    return found


def _event(data: bytes, at: int) -> Event:
    if len(data) - at < _AROUND or not is_stream(data[at:]):
        raise ValueError(f"no event begins at byte {at}")
    total, headers = struct.unpack(">II", data[at : at + 8])
    frame = data[at : at + total]
    if len(frame) < total or total < _AROUND + headers:
        raise ValueError(f"the event at byte {at} is cut")
    if zlib.crc32(frame[:-4]) != struct.unpack(">I", frame[-4:])[0]:
        raise ValueError(f"the event at byte {at} has a wrong checksum")
    end = _PRELUDE + headers
    return Event(headers=tuple(_headers(frame[_PRELUDE:end])), payload=frame[end:-4])


def _headers(data: bytes) -> Iterator[Header]:
    at = 0
    try:
        while at < len(data):
            length = data[at]
            name, kind = data[at + 1 : at + 1 + length].decode(), data[at + 1 + length]
            size, value = _value(kind, data[at + 2 + length :])
            yield Header(name=name, kind=kind, value=value)
            at += 2 + length + size
    except (struct.error, IndexError) as error:
        raise ValueError("an event's headers are cut") from error


def _value(kind: int, data: bytes) -> tuple[int, Any]:
    if kind in (0, 1):
        return 0, kind == 0
    if kind in _NUMBERS:
        size = struct.calcsize(_NUMBERS[kind])
        return size, struct.unpack(_NUMBERS[kind], data[:size])[0]
    if kind == _UUID:
        return 16, data[:16]
    if kind not in (_BYTES, _TEXT):
        raise ValueError(f"an event has a header of the unknown type {kind}")
    size = struct.unpack(">H", data[:2])[0]
    raw = data[2 : 2 + size]
    return 2 + size, raw.decode() if kind == _TEXT else raw


def encode(events: list[Event]) -> bytes:
    """Write frames, with their checksums."""
    return b"".join(map(_encoded, events))


def _encoded(event: Event) -> bytes:
    headers = b"".join(map(_header, event.headers))
    prelude = struct.pack(">II", _AROUND + len(headers) + len(event.payload), len(headers))
    frame = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + event.payload
    return frame + struct.pack(">I", zlib.crc32(frame))


def _header(header: Header) -> bytes:
    name = header.name.encode()
    start = bytes([len(name)]) + name + bytes([header.kind])
    if header.kind in (0, 1):
        return start
    if header.kind in _NUMBERS:
        return start + struct.pack(_NUMBERS[header.kind], header.value)
    if header.kind == _UUID:
        return start + bytes(header.value)
    raw = str(header.value).encode() if header.kind == _TEXT else bytes(header.value)
    return start + struct.pack(">H", len(raw)) + raw
