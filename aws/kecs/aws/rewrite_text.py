"""Named fields of JSON and XML texts changed where they stand: everything else stays, byte for byte. Pure.

Texts are not parsed into values and written anew: numbers, blanks, order and spelling are the backend's and stay so. A
text may come in pieces, cut anywhere; what leaves is the same however it was cut.
"""

import json
import re
from collections.abc import Callable
from html import escape
from typing import Final, Protocol

type Change = Callable[[str, str], str]
"""Told a field's name and its value, return the value that is to stand there."""

WHOLE: Final = 1 << 62
"""No limit: for texts that are there whole."""
STREAMED: Final = 65536
"""The longest value that is looked at while a text streams. What is longer is no address."""

_STRING: Final = re.compile(rb'"((?:[^"\\]|\\.)*+)"', re.DOTALL)
_STRING_END: Final = re.compile(rb'(?:[^"\\]|\\.)*+"', re.DOTALL)
_IN_STRING: Final = re.compile(rb'(?:[^"\\]|\\.)*+', re.DOTALL)
_BLANKS: Final = re.compile(rb"[ \t\r\n]*+")
_OPENING: Final = re.compile(rb"<(?:[A-Za-z_][\w.-]*:)?([A-Za-z_][\w.-]*)(?:\s[^<>]*)?(?<!/)>")
_RAW: Final = ((b"<!--", b"-->"), (b"<![CDATA[", b"]]>"))
"""What may hold angle brackets: how it begins, how it ends."""
_RAW_LONGEST: Final = max(len(begin) for begin, _ in _RAW)
_ENTITY: Final = re.compile(r"&(?:#x([0-9a-fA-F]{1,6})|#([0-9]{1,7})|(lt|gt|amp|quot|apos));")
_NAMED: Final = {"lt": "<", "gt": ">", "amp": "&", "quot": '"', "apos": "'"}
_UNICODE: Final = 0x110000


class Walker(Protocol):
    """Goes through a text."""

    def feed(self, data: bytes) -> bytes:
        """Take more of the text; return what can't change any more."""

    def end(self) -> bytes:
        """Return what was held back, now that the text is whole."""


class JsonWalker:
    """Changes strings of JSON. A string's field is the last key before it, so elements of a list have their list's."""

    __slots__ = ("_change", "_fields", "_held", "_key", "_limit", "_skips")

    def __init__(self, fields: frozenset[str], change: Change, *, limit: int = WHOLE) -> None:
        self._fields = frozenset(name.encode() for name in fields)
        self._change = change
        self._limit = limit
        self._held = b""
        self._key = b""
        self._skips = False
        """Inside of a string that is longer than the limit."""

    def feed(self, data: bytes) -> bytes:
        """Take more of the text; return what can't change any more."""
        return self._walk(self._held + data, final=False)

    def end(self) -> bytes:
        """Return what was held back, now that the text is whole."""
        out = self._walk(self._held, final=True)
        return out + self._held

    def _walk(self, text: bytes, *, final: bool) -> bytes:
        out: list[bytes] = []
        position = self._skip(text, out) if self._skips else 0
        while not self._skips:
            quote = text.find(b'"', position)
            if quote < 0:
                out.append(text[position:])
                position = len(text)
                break
            out.append(text[position:quote])
            position = quote
            found = _STRING.match(text, quote)
            if found is None:
                if len(text) - quote <= self._limit + 1:
                    break
                self._skips, self._key = True, b""
                out.append(b'"')
                position = self._skip(text, out, quote + 1)
                break
            blanks = _BLANKS.match(text, found.end())
            after = found.end() if blanks is None else blanks.end()
            if after == len(text) and not final and after - found.end() <= self._limit:
                break  # a key or a value: the next byte tells
            is_key = text[after : after + 1] == b":" and after - found.end() <= self._limit
            out.append(self._string(found, is_key=is_key))
            position = found.end()
        self._held = text[position:]
        return b"".join(out)

    def _skip(self, text: bytes, out: list[bytes], start: int = 0) -> int:
        found = _STRING_END.match(text, start)
        if found is None:  # a backslash at the end belongs to what follows
            inside = _IN_STRING.match(text, start)
            end = start if inside is None else inside.end()
            out.append(text[start:end])
            return end
        self._skips = False
        out.append(found[0])
        return found.end()

    def _string(self, found: re.Match[bytes], *, is_key: bool) -> bytes:
        raw = found[1]
        if is_key or len(raw) > self._limit:
            self._key = raw if len(raw) <= self._limit else b""
            return found[0]
        if self._key not in self._fields:
            return found[0]
        try:
            value: str = json.loads(found[0])
        except ValueError:  # no escape of JSON's, or no UTF-8
            return found[0]
        changed = self._change(self._key.decode(), value)
        return found[0] if changed == value else json.dumps(changed).encode()


class XmlWalker:
    """Changes the texts of XML elements that hold nothing else. Names are told without their prefix."""

    __slots__ = ("_change", "_fields", "_held", "_limit", "_name", "_until")

    def __init__(self, fields: frozenset[str], change: Change, *, limit: int = WHOLE) -> None:
        self._fields = frozenset(name.encode() for name in fields)
        self._change = change
        self._limit = limit
        self._held = b""
        self._name = b""
        """The field whose text comes; empty where no text is looked at."""
        self._until = b""
        """What ends a comment or a CDATA section that has begun."""

    def feed(self, data: bytes) -> bytes:
        """Take more of the text; return what can't change any more."""
        return self._walk(self._held + data, final=False)

    def end(self) -> bytes:
        """Return what was held back, now that the text is whole."""
        out = self._walk(self._held, final=True)
        return out + self._held

    def _walk(self, text: bytes, *, final: bool) -> bytes:
        out: list[bytes] = []
        position = -1
        following = 0
        while following != position:
            position = following
            following = self._step(text, position, out, final=final)
        self._held = text[position:]
        return b"".join(out)

    def _step(self, text: bytes, position: int, out: list[bytes], *, final: bool) -> int:
        """Take one token; return where the next begins, the same place when it is not there whole."""
        if self._until:
            return self._raw(text, position, out)
        bracket = text.find(b"<", position)
        if bracket != position:
            return self._text(text, position, bracket, out)
        rest = text[position : position + _RAW_LONGEST]
        for begin, end in _RAW:
            if rest.startswith(begin):
                self._until, self._name = end, b""
                out.append(begin)
                return position + len(begin)
            if begin.startswith(rest) and not final:
                return position
        close = text.find(b">", position)
        if close < 0 and len(text) - position <= self._limit:
            return position
        if not 0 <= close - position <= self._limit:
            close = position  # no tag at all
        tag = text[position : close + 1]
        opening = _OPENING.fullmatch(tag)
        self._name = opening[1] if opening is not None and opening[1] in self._fields else b""
        out.append(tag)
        return close + 1

    def _raw(self, text: bytes, position: int, out: list[bytes]) -> int:
        found = text.find(self._until, position)
        end = max(position, len(text) - len(self._until) + 1) if found < 0 else found + len(self._until)
        out.append(text[position:end])
        if found >= 0:
            self._until = b""
        return end

    def _text(self, text: bytes, position: int, bracket: int, out: list[bytes]) -> int:
        end = len(text) if bracket < 0 else bracket
        if self._name and bracket < 0 and end - position <= self._limit:
            return position
        raw = text[position:end]
        out.append(self._changed(raw) if self._name and len(raw) <= self._limit else raw)
        self._name = b""
        return end

    def _changed(self, raw: bytes) -> bytes:
        try:
            value = _ENTITY.sub(_character, raw.decode())
        except UnicodeDecodeError:
            return raw
        changed = self._change(self._name.decode(), value)
        if changed == value:
            return raw
        # A bare CR would reach the client as a line feed (XML 1.0 section 2.11).
        return escape(changed, quote=False).replace('"', "&quot;").replace("\r", "&#13;").encode()


def _character(entity: re.Match[str]) -> str:
    if entity[3]:
        return _NAMED[entity[3]]
    code = int(entity[1], 16) if entity[1] else int(entity[2])
    return chr(code) if code < _UNICODE else entity[0]


def is_xml(beginning: bytes) -> bool:
    """Tell by its beginning whether a text is XML; what is not, is JSON or nothing with fields."""
    return beginning.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<"


def walk(text: bytes, fields: frozenset[str], change: Change) -> bytes:
    """Return a whole text with its fields changed."""
    walker = walker_of(text, fields, change, limit=WHOLE)
    return walker.feed(text) + walker.end()


def walker_of(beginning: bytes, fields: frozenset[str], change: Change, *, limit: int = STREAMED) -> Walker:
    """Return the walker for a text that begins like this."""
    kind = XmlWalker if is_xml(beginning) else JsonWalker
    return kind(fields, change, limit=limit)
