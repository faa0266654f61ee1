"""CBOR (RFC 8949), as far as AWS' protocols use it: read into what JSON has, and written from there.

What JSON does not have becomes a value of its own: bytes, and `Instant` for tag 1. Depth is bounded, and size by what
is given; anything that is no whole item is a CborError.
"""

import math
import struct
from dataclasses import dataclass
from typing import Final

type Item = bool | int | float | str | bytes | Instant | list[Item] | dict[str, Item] | None

_INTEGERS: Final = 1
_STRINGS: Final = 3
_ARRAY: Final = 4
_MAP: Final = 5
_TAG: Final = 6
_SIMPLES: Final = 7
_DEPTH_MAX: Final = 64
_BREAK: Final = 0xFF
_INDEFINITE: Final = 31
_TAG_EPOCH: Final = 1
_TAG_BIG: Final = 2
_TAG_BIG_NEGATIVE: Final = 3
_WIDTHS: Final = {24: 1, 25: 2, 26: 4, 27: 8}
_FLOATS: Final = {25: ">e", 26: ">f", 27: ">d"}
_SIMPLE: Final[dict[int, bool | None]] = {20: False, 21: True, 22: None, 23: None}
_UINT64: Final = 1 << 64


class CborError(ValueError):
    """Bytes that are no CBOR item, or one that AWS' protocols don't have."""


@dataclass(frozen=True, slots=True)
class Instant:
    """A point in time: tag 1. The unit is the protocol's: seconds, but milliseconds with Kinesis' CBOR."""

    number: float


class _Reader:
    """Reads one item after the other."""

    __slots__ = ("_data", "_place")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._place = 0

    def whole(self) -> Item:
        """Read the only item."""
        item = self._item(0)
        if self._place != len(self._data):
            raise CborError(f"{len(self._data) - self._place} bytes follow the item")
        return item

    def _take(self, count: int) -> bytes:
        end = self._place + count
        if end > len(self._data):
            raise CborError(f"it ends in the middle of an item, at byte {len(self._data)}")
        taken = self._data[self._place : end]
        self._place = end
        return taken

    def _head(self) -> tuple[int, int]:
        first = self._take(1)[0]
        return first >> 5, first & 31

    def _number(self, kind: int) -> int:
        if kind < 24:  # noqa: PLR2004 - numbers below stand for themselves
            return kind
        width = _WIDTHS.get(kind)
        if width is None:
            raise CborError(f"a length of kind {kind} at byte {self._place}")
        return int.from_bytes(self._take(width))

    def _item(self, depth: int) -> Item:
        if depth > _DEPTH_MAX:
            raise CborError(f"more than {_DEPTH_MAX} items inside each other")
        major, kind = self._head()
        if major <= _INTEGERS:
            number = self._number(kind)
            return -1 - number if major else number
        if major <= _STRINGS:
            return self._text(kind) if major == _STRINGS else self._string(major, kind)
        if major == _SIMPLES:
            return self._simple(kind)
        if major == _ARRAY:
            return self._array(kind, depth)
        return self._map(kind, depth) if major == _MAP else self._tagged(kind, depth)

    def _string(self, major: int, kind: int) -> bytes:
        if kind != _INDEFINITE:
            return self._take(self._number(kind))
        pieces = []
        while not self._ended():
            inner, size = self._head()
            if inner != major or size == _INDEFINITE:
                raise CborError(f"a string in pieces holds something else at byte {self._place}")
            pieces.append(self._take(self._number(size)))
        return b"".join(pieces)

    def _text(self, kind: int) -> str:
        try:
            return self._string(_STRINGS, kind).decode()
        except UnicodeDecodeError as error:
            raise CborError(f"a text is no UTF-8: {error.reason}") from error

    def _ended(self) -> bool:
        if self._place < len(self._data) and self._data[self._place] == _BREAK:
            self._place += 1
            return True
        return False

    def _array(self, kind: int, depth: int) -> list[Item]:
        if kind != _INDEFINITE:
            return [self._item(depth + 1) for _ in range(self._bounded(kind))]
        items: list[Item] = []
        while not self._ended():
            items.append(self._item(depth + 1))
        return items

    def _bounded(self, kind: int) -> int:
        count = self._number(kind)
        if count > len(self._data) - self._place:
            raise CborError(f"it says {count} items and holds less")
        return count

    def _map(self, kind: int, depth: int) -> dict[str, Item]:
        found: dict[str, Item] = {}
        count = None if kind == _INDEFINITE else self._bounded(kind)
        while not self._ended() if count is None else len(found) < count:
            key = self._item(depth + 1)
            if not isinstance(key, str) or key in found:
                raise CborError(f"a map's key is {key!r}, which is no text, or twice there")
            found[key] = self._item(depth + 1)
        return found

    def _tagged(self, kind: int, depth: int) -> Item:
        tag, item = self._number(kind), self._item(depth + 1)
        if tag == _TAG_EPOCH:
            if isinstance(item, bool) or not isinstance(item, int | float):
                raise CborError("a time is no number")
            return Instant(item)
        if tag in {_TAG_BIG, _TAG_BIG_NEGATIVE} and isinstance(item, bytes):
            number = int.from_bytes(item)
            return number if tag == _TAG_BIG else -1 - number
        return item  # other tags say how to show what they hold

    def _simple(self, kind: int) -> Item:
        if kind in _SIMPLE:
            return _SIMPLE[kind]
        form = _FLOATS.get(kind)
        if form is None:
            raise CborError(f"a simple value of kind {kind} at byte {self._place}")
        number: float = struct.unpack(form, self._take(struct.calcsize(form)))[0]
        return number


def loads(data: bytes) -> Item:
    """Read the one item that the bytes are."""
    return _Reader(data).whole()


def _start(major: int, number: int) -> bytes:
    if number < 24:  # noqa: PLR2004 - numbers below stand for themselves
        return bytes((major << 5 | number,))
    for kind, width in _WIDTHS.items():
        if number < 1 << 8 * width:
            return bytes((major << 5 | kind,)) + number.to_bytes(width)
    raise CborError(f"{number} is longer than 64 bits")


def _write(item: Item, out: list[bytes]) -> None:
    match item:
        case None | bool():
            out.append({None: b"\xf6", False: b"\xf4", True: b"\xf5"}[item])
        case int():
            out.append(_integer(item))
        case float():
            out.append(b"\xfb" + struct.pack(">d", item))
        case str():
            raw = item.encode("utf-8", "replace")
            out.append(_start(3, len(raw)) + raw)
        case bytes():
            out.append(_start(2, len(item)) + item)
        case Instant(number):
            whole = isinstance(number, int) or (math.isfinite(number) and number.is_integer())
            out.append(b"\xc1" + (_integer(int(number)) if whole else b"\xfb" + struct.pack(">d", number)))
        case list():
            out.append(_start(4, len(item)))
            for one in item:
                _write(one, out)
        case _:
            out.append(_start(5, len(item)))
            for key, value in item.items():
                _write(key, out)
                _write(value, out)


def _integer(number: int) -> bytes:
    if -_UINT64 <= number < _UINT64:
        return _start(0, number) if number >= 0 else _start(1, -1 - number)
    tag, size = (b"\xc2", number) if number >= 0 else (b"\xc3", -1 - number)
    raw = size.to_bytes((size.bit_length() + 7) // 8)
    return tag + _start(2, len(raw)) + raw


def dumps(item: Item) -> bytes:
    """Write an item, with definite lengths."""
    out: list[bytes] = []
    _write(item, out)
    return b"".join(out)
