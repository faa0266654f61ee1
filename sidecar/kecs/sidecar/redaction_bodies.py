"""Bodies without their secrets, in every form that AWS speaks. Bytes in, bytes out; what was found is told. Pure.

What can't be read as what it says it is can't be cleaned: it is left out as a whole.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote_plus, unquote_plus
from xml.parsers import expat

from kecs.sidecar import redaction_cbor as cbor
from kecs.sidecar import redaction_events as events
from kecs.sidecar.redaction_names import PARAMETERS, Members, normal

REDACTED: Final = "REDACTED"
UNREADABLE: Final = b"REDACTED: this body could not be read as what it says it is"
_NESTED_MAX: Final = 6
_TAG: Final = re.compile(rb"<(?:[^>\"']|\"[^\"]*\"|'[^']*')*>")
_JSON_NAMES: Final = re.compile(rb'"(?=((?:[^"\\]|\\.)*)"\s*:)')
_JSON_INNER: Final = re.compile(rb'"\s*[\[{]')
"""A text that may be JSON itself."""
_XML_NAMES: Final = re.compile(rb"<(?:[^\s<>/:!?]+:)?([^\s<>/:!?]+)")
_CHUNK: Final = re.compile(rb"(chunk-signature=|x-amz-trailer-signature:)[0-9A-Za-z]+")

_FORM: Final = PARAMETERS - {"policy"}
"""A policy in a form is a document that somebody wants to read; in a signed URL it is part of the signature."""

type Learn = Callable[[bytes], None]
"""Takes a secret that was found."""


class _Duplicates(dict[str, Any]):
    """An object of which some member stood twice: it can't be left as it was, for who knows what the first one held."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    return found if len(found) == len(pairs) else _Duplicates(found)


class Body:
    """Cleans bodies of one operation."""

    def __init__(self, members: Members, learn: Learn) -> None:
        self._members = members
        self._learn = learn
        self._changed = False

    def clean(self, data: bytes, content_type: str) -> bytes:
        """Return the body without the secrets that its form shows."""
        data = _CHUNK.sub(rb"\1" + REDACTED.encode(), data)
        kind = content_type.partition(";")[0].strip().lower()
        declared = self._declared(data, kind)
        reader = declared or self._guessed(data)
        if reader is None or not data:
            return data
        self._changed = False
        try:
            found = reader(data)
        except (ValueError, RecursionError, OverflowError, TypeError, expat.ExpatError):
            return UNREADABLE if declared else data
        return found if self._changed else data

    def _declared(self, data: bytes, kind: str) -> Callable[[bytes], bytes] | None:
        if kind == events.TYPE or events.is_stream(data):
            return self._events
        if kind.startswith("multipart/form-data"):
            return self._parts
        by_word = (
            ("cbor", self._cbor),
            ("x-www-form-urlencoded", self._form),
            ("json", self._json),
            ("xml", self._xml),
        )
        return next((reader for word, reader in by_word if word in kind), None)

    def _guessed(self, data: bytes) -> Callable[[bytes], bytes] | None:
        start = data[:64].lstrip()[:1]
        return self._json if start in (b"{", b"[") else self._xml if start == b"<" else None

    # JSON and CBOR

    def _json(self, data: bytes) -> bytes:
        if not data.strip() or not self._worth_reading(data):
            return data
        lines = data.splitlines() if data.count(b"\n") and not _is_json(data) else [data]
        # One value, or one on each line (S3 Select, logs).
        return b"\n".join(self._json_value(line) if line.strip() else line for line in lines)

    def _worth_reading(self, data: bytes) -> bool:
        """Tell whether JSON may hold a secret, without reading all of it: most has none, and may be long."""
        names = set(_JSON_NAMES.findall(data))
        odd = not data.isascii() or any(b"\\" in name for name in names) or b"\0" in data
        if odd or _JSON_INNER.search(data) is not None or self._members.any_secret(map(bytes.decode, names)):
            return True
        json.loads(data)  # what is no JSON may have names that were not found
        return False

    def _json_value(self, data: bytes) -> bytes:
        found = self._tree(json.loads(data, object_pairs_hook=_object), 0)
        return json.dumps(found, ensure_ascii=False, separators=(",", ":")).encode(errors="surrogatepass")

    def _cbor(self, data: bytes) -> bytes:
        return cbor.encode(self._tree(cbor.decode(data), 0))

    def _tree(self, value: Any, depth: int) -> Any:
        match value:
            case dict():
                self._changed |= isinstance(value, _Duplicates)
                return dict(self._object(list(value.items()), depth))
            case cbor.Pairs():
                return cbor.Pairs(self._object(value, depth))
            case list():
                return [self._tree(one, depth) for one in value]
            case cbor.Tagged():
                return cbor.Tagged(number=value.number, value=self._tree(value.value, depth))
            case str():
                return self._inner(value, depth)
        return value

    def _object(self, pairs: Iterable[tuple[Any, Any]], depth: int) -> list[tuple[Any, Any]]:
        pairs = list(pairs)
        texts = {name: one for name, one in pairs if isinstance(name, str) and isinstance(one, str)}
        beside = set(self._members.beside(texts))
        found = []
        for name, one in pairs:
            text = isinstance(one, str | bytes)
            if isinstance(name, str) and (name in beside or self._members.secret(name, text=text)) and _tells(one):
                self._note(one)
                self._changed = True
                found.append((name, REDACTED))
            else:
                found.append((name, self._tree(one, depth)))
        return found

    def _note(self, value: Any) -> None:
        """Learn the texts below a secret member."""
        match value:
            case dict():
                self._note(list(value.values()))
            case cbor.Pairs():
                self._note([one for _, one in value])
            case list():
                for one in value:
                    self._note(one)
            case cbor.Tagged():
                self._note(value.value)
            case bytes():
                self._learn(value)
            case str():
                self._learn(value.encode(errors="surrogatepass"))

    def _inner(self, text: str, depth: int) -> str:
        """Look into JSON that is told as a text: messages, event details, the input of a state machine."""
        if depth >= _NESTED_MAX or text.lstrip()[:1] not in ("{", "["):
            return text
        before, self._changed = self._changed, False
        try:
            found = self._tree(json.loads(text, object_pairs_hook=_object), depth + 1)
        except (ValueError, RecursionError):
            self._changed = before
            return text
        inner, self._changed = self._changed, self._changed or before
        return json.dumps(found, ensure_ascii=False, separators=(",", ":")) if inner else text

    # forms

    def _form(self, data: bytes) -> bytes:
        pairs = [one.partition(b"=") for one in data.split(b"&")]
        names = [unquote_plus(name.decode("latin-1")) for name, _, _ in pairs]
        values = [unquote_plus(value.decode("latin-1"), "latin-1") for _, _, value in pairs]
        beside = self._form_beside(dict(zip(names, values, strict=True)))
        found = []
        for (name, equals, value), spelled, plain in zip(pairs, names, values, strict=True):
            if value and (spelled in beside or self._segments(spelled)):
                self._learn(plain.encode("latin-1", "replace"))
                self._changed = True
                found.append(name + equals + REDACTED.encode())
            else:
                found.append(name + equals + self._form_inner(value, plain))
        return b"&".join(found)

    def _segments(self, name: str) -> bool:
        parts = [part for part in name.split(".") if not part.isdecimal()]
        return (
            any(self._members.secret(part, text=True) for part in parts) or normal(parts[-1] if parts else "") in _FORM
        )

    def _form_beside(self, pairs: Mapping[str, str]) -> set[str]:
        """Find values beside names that are secret: `Parameters.member.1.ParameterKey=DbPassword`."""
        groups: dict[str, dict[str, str]] = {}
        for name, value in pairs.items():
            group, _, last = name.rpartition(".")
            groups.setdefault(group, {})[last] = value
        return {
            f"{group}.{last}" if group else last
            for group, members in groups.items()
            for last in self._members.beside(members)
        }

    def _form_inner(self, value: bytes, plain: str) -> bytes:
        before, self._changed = self._changed, False
        found = self._inner(plain, 0)
        inner, self._changed = self._changed, self._changed or before
        return quote_plus(found).encode() if inner else value

    def _parts(self, data: bytes) -> bytes:
        """Clean an upload form: the boundary is its first line."""
        boundary = data.partition(b"\r\n")[0]
        if not boundary.startswith(b"--"):
            raise ValueError("a form without a boundary")
        found = []
        for part in data.split(boundary):
            head, blank, content = part.partition(b"\r\n\r\n")
            name = re.search(rb'name="([^"]*)"', head)
            plain = normal(name[1].decode("latin-1")) if name else ""
            if blank and name and (plain in PARAMETERS or self._members.secret(plain, text=True)):
                self._learn(content.removesuffix(b"\r\n"))
                self._changed = True
                found.append(head + blank + REDACTED.encode() + b"\r\n")
            else:
                found.append(part)
        return boundary.join(found)

    # XML

    def _xml(self, data: bytes) -> bytes:
        if not data.strip() or not self._tells_xml(data):
            return data
        found, at = [], 0
        for start, end in sorted(set(self._spans(_parsed(data)))):
            if start < at:
                continue  # inside one that is left out already
            self._learn(data[start:end])
            self._changed = True
            found += [data[at:start], REDACTED.encode()]
            at = end
        return b"".join(found) + data[at:]

    def _tells_xml(self, data: bytes) -> bool:
        return not data.isascii() or self._members.any_secret(map(bytes.decode, set(_XML_NAMES.findall(data))))

    def _spans(self, node: "_Node") -> Iterable[tuple[int, int]]:
        texts = {child.name: child.text.strip() for child in node.children if not child.children}
        beside = set(self._members.beside(texts))
        for child in node.children:
            leaf = not child.children
            if (child.name in beside or self._members.secret(child.name, text=leaf)) and child.start < child.end:
                self._note([child.text.strip()])
                yield child.start, child.end
            else:
                yield from self._spans(child)

    # events

    def _events(self, data: bytes) -> bytes:
        return events.encode([self._event(one) for one in events.decode(data)])

    def _event(self, event: events.Event) -> events.Event:
        headers = []
        for header in event.headers:
            if header.kind in (6, 7) and (
                header.name == ":chunk-signature" or self._members.secret(header.name, text=True)
            ):
                self._note(header.value)
                self._changed = True
                value: Any = REDACTED if header.kind == 7 else REDACTED.encode()  # noqa: PLR2004 - texts
                headers.append(events.Header(name=header.name, kind=header.kind, value=value))
            else:
                headers.append(header)
        changed, self._changed = self._changed, False
        inner = Body(self._members, self._learn)
        payload = inner.clean(event.payload, event.get(":content-type")) if event.payload else b""
        self._changed = changed or payload != event.payload
        return events.Event(headers=tuple(headers), payload=payload)


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return False
    return True


def _tells(value: Any) -> bool:
    """Tell whether a value can hold a secret: what is empty, null, true or false can't."""
    return bool(value) and not isinstance(value, bool)


class _Node:
    """An element: where its content stands in the bytes, and what it holds."""

    __slots__ = ("children", "end", "name", "start", "text")

    def __init__(self, name: str, start: int) -> None:
        self.name = name
        self.start = start
        self.end = start
        self.text = ""
        self.children: list[_Node] = []


def _parsed(data: bytes) -> _Node:
    parser = expat.ParserCreate()
    top = _Node("", 0)
    open_nodes = [top]

    def started(name: str, _: Mapping[str, str]) -> None:
        tag = _TAG.match(data, parser.CurrentByteIndex)
        if tag is None:
            raise ValueError("XML in an encoding that is not ASCII's")
        node = _Node(name.rpartition(":")[2], tag.end())
        open_nodes[-1].children.append(node)
        open_nodes.append(node)

    def ended(_: str) -> None:
        node = open_nodes.pop()
        node.end = max(node.start, parser.CurrentByteIndex)

    def said(text: str) -> None:
        open_nodes[-1].text += text

    parser.StartElementHandler = started
    parser.EndElementHandler = ended
    parser.CharacterDataHandler = said
    parser.Parse(data, True)  # noqa: FBT003 - expat's own signature
    return top
