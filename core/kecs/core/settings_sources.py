"""Where values of settings come from: flags, variables, YAML text. Each becomes (key, value, origin), or a problem."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import yaml

from kecs.core.settings_keys import ALIASES, KEYS, PREFIX, SECTIONS, VARIABLES, Key, Shape, canonical, closest

CONFIG_VARIABLE: Final = "KECS_CONFIG"
"""Names the settings file; it is no setting itself."""
_SHOWN: Final = 60


class Layer(StrEnum):
    """The four places a value may come from, the strongest first."""

    FLAG = "flag"
    VARIABLE = "variable"
    FILE = "file"
    DEFAULT = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where one value was written."""

    layer: Layer
    name: str = ""
    """--region, KECS_RUN_REGION, kecs.yaml:12; empty for defaults."""

    def __str__(self) -> str:
        return self.name or self.layer.value


DEFAULT: Final = Origin(layer=Layer.DEFAULT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """One value for one key."""

    path: str
    value: Any
    origin: Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong with what was given."""

    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A settings file, read by whoever calls."""

    name: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """A value from the command line."""

    name: str
    """As typed: --region."""
    value: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What one layer gave."""

    given: tuple[Given, ...] = ()
    problems: tuple[Problem, ...] = ()
    foreign: tuple[str, ...] = ()
    """Variables that begin with KECS_ and are nobody's settings."""


def shown(value: Any) -> str:
    """Return a value as an error message quotes it."""
    text = value if isinstance(value, str) else yaml.safe_dump(value, default_flow_style=True, width=1 << 20).strip()
    text = text.removesuffix("\n...")
    return f'"{text}"' if len(text) <= _SHOWN else f'"{text[:_SHOWN]}…"'


def from_flags(flags: Mapping[str, Flag]) -> Found:
    """Take flags by the key they set; those with the value None were not used."""
    return Found(
        given=tuple(
            Given(path=KEYS[path].path, value=flag.value, origin=Origin(layer=Layer.FLAG, name=flag.name))
            for path, flag in flags.items()
            if flag.value is not None
        )
    )


def from_variables(environ: Mapping[str, str]) -> Found:
    """Take the variables that are settings.

    A variable below one of our sections, or one letter away from a setting, is a typing error and refused. Others that
    begin with KECS_ belong to programs we know nothing of: they are left alone, and `kecs config show` lists them.
    """
    given, problems, foreign = [], [], []
    for name in sorted(name for name in environ if name.startswith(PREFIX) and name != CONFIG_VARIABLE):
        if key := VARIABLES.get(name):
            value, problem = _from_text(key, name, environ[name])
            problems.extend([problem] if problem else [])
            given.append(Given(path=key.path, value=value, origin=Origin(layer=Layer.VARIABLE, name=name)))
        elif _is_ours(name):
            near = closest(name, VARIABLES)
            hint = f"did you mean {near}?" if near else "`kecs config show` lists every setting"
            problems.append(Problem(message=f"{name} is no setting; it is {shown(environ[name])}", hint=hint))
        else:
            foreign.append(name)
    return Found(given=tuple(given), problems=tuple(problems), foreign=tuple(foreign))


def _is_ours(name: str) -> bool:
    sections = {PREFIX + section.partition(".")[0].upper() + "_" for section in SECTIONS}
    return name.startswith(tuple(sections)) or any(_one_letter_apart(name, known) for known in VARIABLES)


def _one_letter_apart(one: str, other: str) -> bool:
    """Say whether a letter was left out, doubled, replaced or swapped with its neighbour."""
    if abs(len(one) - len(other)) > 1:
        return False
    start = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    rest, other_rest = one[start:], other[start:]
    swapped = rest[1::-1] + rest[2:] if len(rest) > 1 else rest
    return rest[1:] in {other_rest, other_rest[1:]} or rest == other_rest[1:] or swapped == other_rest


def _from_text(key: Key, name: str, text: str) -> tuple[Any, Problem | None]:
    if key.shape is Shape.LIST:
        return [part.strip() for part in text.split(",") if part.strip()], None
    if key.shape is Shape.TABLE:
        pairs = [part.partition("=") for part in text.split(",") if part.strip()]
        if not all(equals for _, equals, _ in pairs):
            message = f"{name} is {shown(text)}: not every part is NAME=VALUE"
            return {}, Problem(message=message, hint=f"write {name}=A=1,B=2")
        return {left.strip(): right for left, _, right in pairs}, None
    return text, None


def from_file(file: File) -> Found:
    """Take the keys of a YAML file, with the lines they stand on."""
    reader = _Reader(file.name)
    try:
        root = yaml.compose(file.text, Loader=yaml.SafeLoader)
        if root is not None:
            reader.mapping(root, "")
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{file.name}:{mark.line + 1}" if mark else file.name
        reason = getattr(error, "problem", None) or "can't be read"
        return Found(problems=(Problem(message=f"{where} is not YAML: {reason}", hint="check indentation and quotes"),))
    return Found(given=tuple(reader.given.values()), problems=tuple(reader.problems))


class _Reader:
    """Walks a composed document: nodes still know their lines."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.given: dict[str, Given] = {}
        self.problems: list[Problem] = []
        self._constructor = yaml.SafeLoader("")

    def mapping(self, node: yaml.Node, before: str) -> None:
        """Read one section; an empty one, all of it commented out perhaps, is none."""
        if node.tag == "tag:yaml.org,2002:null":
            return
        if not isinstance(node, yaml.MappingNode):
            what = before.rstrip(".") or "the document"
            self._complain(node, f"{what} is {shown(self._value(node))}, not a table of settings", "write key: value")
            return
        for key_node, value_node in node.value:
            spelled = f"{before}{self._value(key_node)}"
            path = canonical(spelled)
            if path in SECTIONS:
                self.mapping(value_node, f"{path}.")
            elif path in KEYS:
                self._take(key_node, value_node, spelled, path)
            else:
                near = closest(path, (*KEYS, *ALIASES, *SECTIONS))
                hint = f"did you mean {near}?" if near else "`kecs config show` lists every setting"
                self._complain(key_node, f"{spelled} is no setting; it is {shown(self._value(value_node))}", hint)

    def _take(self, key_node: yaml.Node, node: yaml.Node, spelled: str, path: str) -> None:
        value = self._value(node)
        origin = Origin(layer=Layer.FILE, name=self._where(key_node))
        earlier = self.given.get(path)
        if earlier is not None and earlier.value != value:
            both = f"{path} is {shown(earlier.value)} at {earlier.origin}, and as {spelled} {shown(value)}"
            self._complain(key_node, both, "give it once")
        wrong = _wrong_type(KEYS[path], value, node.value if isinstance(node, yaml.ScalarNode) else "")
        if wrong is not None:
            self._complain(key_node, f"{spelled} is {shown(value)}: {wrong.message}", wrong.hint)
            return
        self.given[path] = Given(path=path, value=value, origin=origin)

    def _value(self, node: yaml.Node) -> Any:
        return self._constructor.construct_document(node)

    def _where(self, node: yaml.Node) -> str:
        return f"{self.name}:{node.start_mark.line + 1}"

    def _complain(self, node: yaml.Node, message: str, hint: str) -> None:
        self.problems.append(Problem(message=f"{self._where(node)}: {message}", hint=hint))


_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "true or false": (bool,),
    "whole number": (int,),
    "number": (int, float),
    "whole number or auto": (int, str),
}


def _wrong_type(key: Key, value: Any, spelled: str) -> Problem | None:
    """Check a value of YAML, which has types: pydantic would take `yes` for a text, and 000000000000 for nothing."""
    if key.shape is Shape.LIST:
        return _all_text(value if isinstance(value, list) else None, "a list", "[a, b]")
    if key.shape is Shape.TABLE:
        return _all_text(value.values() if isinstance(value, dict) else None, "a table", 'NAME: "value"')
    wanted = _TYPES.get(key.type_name, (str,))
    if isinstance(value, wanted) and (bool in wanted or not isinstance(value, bool)):
        return None
    if wanted == (str,):
        return Problem(message="not text", hint=f'put it in quotes: "{spelled}"' if spelled else "give it a text")
    return Problem(message=f"not {key.type_name}", hint=f"{key.path} is {key.type_name}, without quotes")


def _all_text(values: Iterable[Any] | None, what: str, example: str) -> Problem | None:
    if values is None:
        return Problem(message=f"not {what}", hint=f"write it like {example}")
    if not all(isinstance(value, str) for value in values):
        return Problem(message=f"{what} of text is wanted", hint="put each value in quotes")
    return None
