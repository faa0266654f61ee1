"""CBOR bodies of AWS' protocols as the JSON that says the same, and back.

CBOR tells bytes and times from texts and numbers, so the way to JSON needs no model. Back, a table made from
botocore's models says which members of an answer are bytes, times or broken numbers.
"""

import json
import math
from base64 import b64decode, b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final

from kecs.aws import tables
from kecs.aws.cbor import CborError, Instant, Item, dumps, loads

type Shape = Mapping[str, str] | list[str]

_ANY: Final = "*"
_MILLI: Final = 1000
_WORDS: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


@cache
def _services() -> dict[str, Any]:
    table: dict[str, Any] = json.loads(tables.read("cbor.json"))
    services: dict[str, Any] = table["services"]
    return services


def is_known(service: str) -> bool:
    """Tell whether a service speaks CBOR as another notation of its JSON."""
    return service in _services()


def to_json(body: bytes, *, milliseconds: bool) -> bytes:
    """Return a CBOR body as JSON; raise CborError for what is none. No body at all is an empty structure."""
    item = loads(body) if body else {}
    if not isinstance(item, dict):
        raise CborError(f"the body is no map but {type(item).__name__}")
    return json.dumps(_plain(item, milliseconds), separators=(",", ":")).encode()


def _plain(item: Item, milliseconds: bool) -> Any:  # noqa: FBT001 - passed on at each level
    match item:
        case dict():
            return {key: _plain(value, milliseconds) for key, value in item.items()}
        case list():
            return [_plain(value, milliseconds) for value in item]
        case bytes():
            return b64encode(item).decode()
        case Instant(number):
            return number / _MILLI if milliseconds else number
        case float() if not math.isfinite(item):
            return "NaN" if math.isnan(item) else ("Infinity" if item > 0 else "-Infinity")
        case _:
            return item


def from_json(body: bytes, *, service: str, operation: str, milliseconds: bool) -> bytes:
    """Return an answer in JSON as CBOR; raise ValueError for what is no JSON."""
    entry = _services().get(service, {"outputs": {}, "shapes": {}})
    found = json.loads(body) if body.strip() else {}
    writer = _Typed(entry["shapes"], milliseconds=milliseconds)
    return dumps(writer.item(found, entry["outputs"].get(operation, "")))


class _Typed:
    """Gives values back the types that JSON does not tell."""

    def __init__(self, shapes: Mapping[str, Shape], *, milliseconds: bool) -> None:
        self._shapes = shapes
        self._scale = _MILLI if milliseconds else 1

    def item(self, value: Any, name: str) -> Item:
        """Return a value of the shape of this name; an empty name for one that JSON tells."""
        match name:
            case "!t":
                return self._instant(value)
            case "!b":
                return _decoded(value)
            case "!f":
                return _number(value)
        shape = self._shapes.get(name, {})
        if isinstance(value, dict):
            inside = shape if isinstance(shape, Mapping) else {}
            usual = inside.get(_ANY, "")
            # A member without a value is none: CBOR clients take a null for one that has a type of its own.
            return {key: self.item(one, inside.get(key, usual)) for key, one in value.items() if one is not None}
        if isinstance(value, list):
            member = shape[0] if isinstance(shape, list) else ""
            return [self.item(one, member) for one in value]
        plain: Item = value
        return plain

    def _instant(self, value: Any) -> Item:
        if isinstance(value, str):
            value = _seconds(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        return Instant(round(value * self._scale)) if self._scale != 1 else Instant(value)


def _seconds(text: str) -> float | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _decoded(value: Any) -> Item:
    if not isinstance(value, str):
        return None
    try:
        return b64decode(value, validate=True)
    except ValueError:
        return value.encode()


def _number(value: Any) -> Item:
    if isinstance(value, str):
        return _WORDS.get(value)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
