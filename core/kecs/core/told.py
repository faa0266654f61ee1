"""Configurations that travel between processes as one JSON object, read by what their dataclasses say. Pure.

Unknown names, missing ones and values of other types are refused: whoever told them is a program of ours.
"""

import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields
from enum import StrEnum
from typing import Any, get_origin, get_type_hints

from kecs.core.errors import ConfigError


def to_json(config: Any) -> str:
    """Spell a frozen dataclass as one line that `from_json` reads."""
    return json.dumps(asdict(config), separators=(",", ":"))


def from_json[T](kind: type[T], text: str, *, what: str) -> T:
    """Read what `to_json` wrote; `what` is told, as in "the gateway's configuration"."""
    try:
        given = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"{what} is no JSON: {error}") from error
    return from_mapping(kind, given, what=what)


def from_mapping[T](kind: type[T], given: object, *, what: str) -> T:
    """Read values by their names."""
    if not isinstance(given, dict):
        raise ConfigError(f"{what} is no JSON object but {type(given).__name__}")
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]  # a dataclass, as the caller says
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise ConfigError(f"{what} has no {', '.join(map(repr, unknown))}", hint=f"it has {', '.join(known)}")
    missing = [
        name
        for name, field in known.items()
        if name not in given and field.default is MISSING and field.default_factory is MISSING
    ]
    if missing:
        raise ConfigError(f"{what} lacks {', '.join(missing)}")
    hints = get_type_hints(kind)
    return kind(**{name: _typed(name, hints[name], value, what) for name, value in given.items()})


def _typed(name: str, kind: Any, value: Any, what: str) -> Any:
    origin = get_origin(kind)
    if origin is tuple:
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise ConfigError(f"{name} {value!r} is no list of entries")
        return tuple(value)
    if origin is Mapping:
        return _table(name, value)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        try:
            return kind(str(value))
        except ValueError as error:
            raise ConfigError(f"{name} {value!r} is unknown", hint=f"one of {', '.join(kind)}") from error
    if hasattr(kind, "__dataclass_fields__"):
        return kind.from_mapping(value) if hasattr(kind, "from_mapping") else from_mapping(kind, value, what=what)
    wanted = (int, float) if kind is float else (kind,)
    if type(value) not in wanted:  # a bool is an int, but no port
        raise ConfigError(f"{name} {value!r} is no {kind.__name__}")
    return value


def _table(name: str, value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(one, str) for one in value.values()):
        raise ConfigError(f"{name} {value!r} is no table of text")
    return dict(value)
