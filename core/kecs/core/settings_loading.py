"""From layers to settings: flags over variables over files over defaults; every problem is reported, not the first."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from kecs.core.errors import ConfigError
from kecs.core.settings import Settings
from kecs.core.settings_keys import KEYS, Key, closest
from kecs.core.settings_sources import (
    DEFAULT,
    File,
    Flag,
    Found,
    Given,
    Origin,
    Problem,
    from_file,
    from_flags,
    from_variables,
    shown,
)


class SettingsError(ConfigError):
    """Settings that can't be used: one line when it is one, else a line for each with its hint."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        if len(problems) == 1:
            super().__init__(problems[0].message, hint=problems[0].hint)
        else:
            lines = [f"{problem.message} ({problem.hint})" for problem in problems]
            super().__init__("\n  ".join([f"{len(problems)} settings can't be used", *lines]))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """Settings, and where each value came from."""

    settings: Settings
    considered: Mapping[str, tuple[Given, ...]]
    """For every key what was given for it, the strongest first, the default last."""
    foreign: tuple[str, ...]
    """Variables that begin with KECS_ and are no settings."""

    def value(self, path: str) -> Any:
        """Return the value that holds."""
        here: Any = self.settings
        for part in path.split("."):
            fields = type(here).model_fields
            here = getattr(here, next(name for name, field in fields.items() if (field.alias or name) == part))
        return here

    def origin(self, path: str) -> Origin:
        """Return where the value that holds came from."""
        return self.considered[path][0].origin


def load(
    *, flags: Mapping[str, Flag] | None = None, environ: Mapping[str, str] | None = None, files: Sequence[File] = ()
) -> Loaded:
    """Merge the layers and check them; a later file is stronger than an earlier one.

    Raises SettingsError with everything that is wrong.
    """
    layers = [from_flags(flags or {}), from_variables(environ or {}), *(from_file(file) for file in reversed(files))]
    problems = [problem for layer in layers for problem in layer.problems]
    considered = {path: (*_given(layers, path), _default(key)) for path, key in KEYS.items()}
    settings, wrong = _validated(considered)
    if settings is None or problems:
        raise SettingsError([*problems, *wrong])
    foreign = tuple(name for layer in layers for name in layer.foreign)
    return Loaded(settings=settings, considered=considered, foreign=foreign)


def _given(layers: Iterable[Found], path: str) -> Iterable[Given]:
    return (given for layer in layers for given in layer.given if given.path == path)


def _default(key: Key) -> Given:
    return Given(path=key.path, value=key.default, origin=DEFAULT)


def _validated(considered: Mapping[str, tuple[Given, ...]]) -> tuple[Settings | None, list[Problem]]:
    tree: dict[str, Any] = {}
    for path, (winner, *_) in considered.items():
        *sections, name = path.split(".")
        here = tree
        for section in sections:
            here = here.setdefault(section, {})
        here[name] = winner.value
    try:
        return Settings(**tree), []
    except ValidationError as error:
        return None, [_problem(details, considered) for details in error.errors()]


_SENTENCES: Final[Mapping[str, str]] = {
    "bool_parsing": "is not true or false",
    "int_parsing": "is not a whole number",
    "float_parsing": "is not a number",
    "string_too_short": "is empty",
    "greater_than": "is too small",
    "greater_than_equal": "is too small",
    "less_than": "is too large",
    "less_than_equal": "is too large",
}


_LIMITS: Final[Mapping[str, str]] = {
    "ge": "the limit is {:g}",
    "gt": "it must be above {:g}",
    "le": "the limit is {:g}",
    "lt": "it must be below {:g}",
}


def _problem(details: ErrorDetails, considered: Mapping[str, tuple[Given, ...]]) -> Problem:
    path = _path(details["loc"])
    key, winner = KEYS[path], considered[path][0]
    kind, context = details["type"], details.get("ctx", {})
    sentence, hint = _SENTENCES.get(kind, ""), f"{path} is {key.type_name}"
    if kind == "enum":
        near = closest(str(details["input"]), key.type_name.removeprefix("list of ").split(" | "))
        sentence = f"is not {key.type_name}"
        hint = f"did you mean {near}?" if near else f"{path} is {key.type_name}"
    elif kind == "value_error":
        sentence, _, hint = str(context["error"]).partition("; ")
    elif limits := [said.format(context[name]) for name, said in _LIMITS.items() if name in context]:
        hint = limits[0]
    return Problem(
        message=f"{path} is {shown(details['input'])} (from {winner.origin}): {sentence or details['msg']}",
        hint=hint or f"{path} is {key.type_name}",
    )


def _path(location: tuple[int | str, ...]) -> str:
    """Return the key that an error's location is inside of: list indexes and table keys follow it."""
    return next(path for end in range(len(location), 0, -1) if (path := ".".join(map(str, location[:end]))) in KEYS)
