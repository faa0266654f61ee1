"""CBOR (RFC 8949) as values: what Smithy's RPC v2 and Kinesis speak. Bytes in, values out, and back. Pure.

Maps are lists of pairs, so that nothing is lost where a name stands twice. Tags are kept with what they mark.
"""

import struct
from dataclasses import dataclass
from typing import Any, Final

_DEPTH_MAX: Final = 64
_INDEFINITE: Final = 31
_BREAK: Final = 0xFF
_SIZES: Final = {24: ">B", 25: ">H", 26: ">I", 27: ">Q"}
_FLOATS: Final = {25: ">e", 26: ">f", 27: ">d"}
_SIMPLE: Final = {20: False, 21: True, 22: None, 23: None}


class Pairs(list[tuple[Any, Any]]):
    """A map, in its order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tagged:
    """A value and the number that says what it means: 1 is a time."""

    number: int
    value: Any


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, count: int) -> bytes:
        end = self.at + count
        if end > len(self.data):
            raise ValueError(f"CBOR ends at byte {len(self.data)}, inside a value")
        found, self.at = self.data[self.at : end], end
        return found

    def head(self) -> tuple[int, int, int]:
        """Return major type, additional information and the argument."""
        first = self.take(1)[0]
        major, info = first >> 5, first & 31
        if info in _SIZES and major != 7:  # noqa: PLR2004 - floats and simple values
            form = _SIZES[info]
            return major, info, struct.unpack(form, self.take(struct.calcsize(form)))[0]
        if info > 27 and info != _INDEFINITE:  # noqa: PLR2004 - reserved by the RFC
            raise ValueError(f"CBOR has the reserved length {info} at byte {self.at - 1}")
        return major, info, info

    def value(self, depth: int = 0) -> Any:  # noqa: PLR0911 - one for each major type
        if depth > _DEPTH_MAX:
            raise ValueError(f"CBOR is nested deeper than {_DEPTH_MAX}")
        major, info, argument = self.head()
        match major:
            case 0:
                return argument
            case 1:
                return -1 - argument
            case 2 | 3:
                raw = self._string(major, info, argument)
                return raw if major == 2 else raw.decode()  # noqa: PLR2004 - byte strings
            case 4:
                return list(self._items(info, argument, depth))
            case 5:
                return Pairs(self._pairs(info, argument, depth))
            case 6:
                return Tagged(number=argument, value=self.value(depth + 1))
        return self._simple(info)

    def _string(self, major: int, info: int, argument: int) -> bytes:
        if info != _INDEFINITE:
            return self.take(argument)
        parts = []
        while not self._broken():
            inner, kind, length = self.head()
            if inner != major or kind == _INDEFINITE:
                raise ValueError(f"CBOR has another type inside a string at byte {self.at}")
            parts.append(self.take(length))
        return b"".join(parts)

    def _items(self, info: int, argument: int, depth: int) -> list[Any]:
        if info == _INDEFINITE:
            found = []
            while not self._broken():
                found.append(self.value(depth + 1))
            return found
        if argument > len(self.data) - self.at:
            raise ValueError(f"CBOR announces {argument} items, and ends before")
        return [self.value(depth + 1) for _ in range(argument)]

    def _pairs(self, info: int, argument: int, depth: int) -> list[tuple[Any, Any]]:
        if info == _INDEFINITE:
            found = []
            while not self._broken():
                found.append((self.value(depth + 1), self.value(depth + 1)))
            return found
        flat = self._items(info, argument * 2, depth)
        return list(zip(flat[::2], flat[1::2], strict=True))

    def _broken(self) -> bool:
        if self.at < len(self.data) and self.data[self.at] == _BREAK:
            self.at += 1
            return True
        return False

    def _simple(self, info: int) -> Any:
        if info in _FLOATS:
            form = _FLOATS[info]
            return struct.unpack(form, self.take(struct.calcsize(form)))[0]
        if info not in _SIMPLE:
            raise ValueError(f"CBOR has the simple value {info} at byte {self.at - 1}")
        return _SIMPLE[info]


def decode(data: bytes) -> Any:
    """Read one value that fills the data; raise ValueError for anything else."""
    reader = _Reader(data)
    found = reader.value()
    if reader.at != len(data):
        raise ValueError(f"CBOR ends at byte {reader.at} of {len(data)}")
    return found


def encode(value: Any) -> bytes:  # noqa: PLR0911 - one for each type
    """Write a value as `decode` returns it: lengths known, floats of eight bytes."""
    match value:
        case bool():
            return bytes([0xF5 if value else 0xF4])
        case None:
            return b"\xf6"
        case int():
            return _head(0, value) if value >= 0 else _head(1, -1 - value)
        case float():
            return b"\xfb" + struct.pack(">d", value)
        case bytes():
            return _head(2, len(value)) + value
        case str():
            raw = value.encode()
            return _head(3, len(raw)) + raw
        case Pairs():
            return _head(5, len(value)) + b"".join(encode(name) + encode(one) for name, one in value)
        case list():
            return _head(4, len(value)) + b"".join(map(encode, value))
        case Tagged():
            return _head(6, value.number) + encode(value.value)
    raise TypeError(f"CBOR has no {type(value).__name__}")


def _head(major: int, argument: int) -> bytes:
    if argument < 24:  # noqa: PLR2004 - the RFC's first size
        return bytes([major << 5 | argument])
    for info, form in _SIZES.items():
        if argument < 1 << 8 * struct.calcsize(form):
            return bytes([major << 5 | info]) + struct.pack(form, argument)
    raise ValueError(f"CBOR has no integer of {argument.bit_length()} bits")
