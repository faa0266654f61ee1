"""The catalogue of keys: every setting's path, variable, type and meaning, read off the models. Pure."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Final, TypeAliasType, get_args, get_origin

from pydantic import BaseModel
from pydantic.alias_generators import to_camel, to_snake
from pydantic.fields import FieldInfo

from kecs.core.settings import Settings

PREFIX: Final = "KECS_"

ALIASES: Final[Mapping[str, str]] = {"localstack.edgePort": "localstack.port"}
"""Older keys, to the keys that they mean."""


class Shape(StrEnum):
    """How a key's value is written in a variable."""

    ONE = "one"
    LIST = "list"
    """a,b,c"""
    TABLE = "table"
    """NAME=VALUE,NAME=VALUE"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One setting."""

    path: str
    """As in files: localstack.resources.storageSize."""
    variable: str
    """As in the environment: KECS_LOCALSTACK_RESOURCES_STORAGE_SIZE."""
    shape: Shape
    type_name: str
    meaning: str
    default: Any


def _variable(path: str) -> str:
    return PREFIX + "_".join(to_snake(part) for part in path.split(".")).upper()


def _bare(annotation: Any) -> Any:
    """Take type aliases and Annotated off a type."""
    while True:
        if isinstance(annotation, TypeAliasType):
            annotation = annotation.__value__
        elif get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        else:
            return annotation


_WORDS: Final[Mapping[Any, str]] = {
    bool: "true or false",
    int: "whole number",
    float: "number",
    str: "text",
    int | str: "whole number or auto",
}


def _type_name(annotation: Any) -> str:
    bare = _bare(annotation)
    if isinstance(bare, type) and issubclass(bare, StrEnum):
        return " | ".join(bare)
    if get_origin(bare) is tuple:
        return f"list of {_type_name(get_args(bare)[0])}"
    if get_origin(bare) is dict:
        return "table of text"
    return _WORDS[bare]


def _shape(annotation: Any) -> Shape:
    shapes: Mapping[Any, Shape] = {tuple: Shape.LIST, dict: Shape.TABLE}
    return shapes.get(get_origin(_bare(annotation)), Shape.ONE)


def _section(field: FieldInfo) -> type[BaseModel] | None:
    bare = _bare(field.annotation)
    return bare if isinstance(bare, type) and issubclass(bare, BaseModel) else None


def _walk(model: type[BaseModel], before: str) -> Iterator[Key]:
    for name, field in model.model_fields.items():
        path = f"{before}{field.alias or name}"
        if section := _section(field):
            yield from _walk(section, f"{path}.")
            continue
        yield Key(
            path=path,
            variable=_variable(path),
            shape=_shape(field.annotation),
            type_name=_type_name(field.annotation),
            meaning=field.description or "",
            default=field.default,
        )


KEYS: Final[Mapping[str, Key]] = {key.path: key for key in _walk(Settings, "")}
"""Every setting by its path, in the order of the models."""

VARIABLES: Final[Mapping[str, Key]] = {key.variable: key for key in KEYS.values()} | {
    _variable(old): KEYS[new] for old, new in ALIASES.items()
}
"""Every setting by its variable, older names too."""

SECTIONS: Final = tuple(dict.fromkeys(path.rpartition(".")[0] for path in KEYS))


def canonical(path: str) -> str:
    """Return the path as it is spelled today: camel case (snake case is accepted), older keys by their new name."""
    camel = ".".join(to_camel(part) if "_" in part else part for part in path.split("."))
    return ALIASES.get(camel, camel)


def closest(word: str, among: Iterable[str]) -> str:
    """Return the most similar word, or an empty string."""
    candidates = {candidate.lower(): candidate for candidate in among}
    found = difflib.get_close_matches(word.lower(), candidates, n=1, cutoff=0.6)
    return candidates[found[0]] if found else ""
