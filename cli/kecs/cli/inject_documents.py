"""Manifests as text: cut into documents, read, and written back so that what did not change stays byte for byte. Pure.

Values are read as kubectl reads them: no dates, no `1:30` for ninety, `0o17` and `1e3` are numbers. What is written
quotes every text that another reader might take for something else.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Final, Self

import yaml

from kecs.core.errors import ConfigError

_MARGIN: Final = re.compile(r"(?:[ \t]*(?:#[^\n]*)?\r?\n|---[ \t]*(?:#[^\n]*)?\r?\n|%[^\n]*\n)*(?:---[ \t]+)?")
"""Lines before a document's first value, or after its last: blank, comments, marks."""
_COMMENT: Final = re.compile(r"(?m)(?:^|[ \t])#")
_PLAIN: Final = re.compile(r"[A-Za-z_/][A-Za-z0-9_./-]*(?::[A-Za-z0-9_./-]+)*")
_WORDS: Final = frozenset({"y", "yes", "on", "n", "no", "off", "true", "false", "null"})
"""Words that some reader of YAML takes for no text, in any case."""

_NUMBERS: Final = {
    "tag:yaml.org,2002:int": re.compile(r"[-+]?(?:0b[01_]+|0o[0-7_]+|0x[0-9a-fA-F_]+|0[0-7_]*|[1-9][0-9_]*)$"),
    "tag:yaml.org,2002:float": re.compile(
        r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?$|[-+]?\.(?:inf|Inf|INF)$|\.(?:nan|NaN|NAN)$"
    ),
}
_KEPT: Final = ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:null", "tag:yaml.org,2002:merge")


class _Loader(yaml.SafeLoader):
    """Reads what kubectl reads."""

    def construct_yaml_int(self, node: Any) -> int:
        text = str(self.construct_scalar(node)).replace("_", "")
        digits = text.lstrip("+-")
        octal = len(digits) > 1 and digits.isdecimal() and digits.startswith("0")
        value = int(digits, 8) if octal else int(digits, 0)
        return -value if text.startswith("-") else value


_Loader.yaml_implicit_resolvers = {
    first: kept
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    if (kept := [(tag, pattern) for tag, pattern in resolvers if tag in _KEPT])
}
for _tag, _pattern in _NUMBERS.items():
    _Loader.add_implicit_resolver(_tag, _pattern, list("-+.0123456789"))
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)


_OTHER_BREAKS: Final = frozenset("\x85\u2028\u2029")


class _Dumper(yaml.SafeDumper):
    """Writes what everybody reads the same way."""

    def ignore_aliases(self, data: Any) -> bool:
        del data  # a patched list must not be shared
        return True

    def represent_text(self, data: str) -> yaml.ScalarNode:
        if not _OTHER_BREAKS.isdisjoint(data):  # within any other style they are read as ordinary line breaks
            return self.represent_scalar("tag:yaml.org,2002:str", data, style='"')
        if "\n" in data:
            return self.represent_scalar("tag:yaml.org,2002:str", data, style="|")
        if _PLAIN.fullmatch(data) and data.lower() not in _WORDS:
            return self.represent_scalar("tag:yaml.org,2002:str", data)
        return self.represent_scalar("tag:yaml.org,2002:str", data, style="'" if '"' in data else '"')


_Dumper.add_representer(str, _Dumper.represent_text)


@dataclass(frozen=True, slots=True)
class Document:
    """One document: its text as it was given, and its value."""

    text: str
    value: Any
    is_json: bool = False
    begins_file: bool = False

    @property
    def has_comments(self) -> bool:
        """Tell whether writing its value anew loses comments; those around it are kept."""
        start, end = self._body
        return not self.is_json and _COMMENT.search(self.text[start:end]) is not None

    @property
    def _body(self) -> tuple[int, int]:
        """Where the value stands between what surrounds it."""
        margin = _MARGIN.match(self.text)
        start = margin.end() if margin else 0
        lines = self.text[start:].splitlines(keepends=True)
        while lines and (not (line := lines[-1].strip()) or line.startswith("#") or line == "..."):
            lines.pop()
        return start, start + sum(map(len, lines))

    def changed(self, value: Any) -> Self:
        """Return it with another value. Comments inside are lost, those around it are not."""
        if self.is_json:
            return replace(self, text=f"{json.dumps(value, indent=2, ensure_ascii=False)}\n", value=value)
        start, end = self._body
        before = self.text[:start]
        if before and not before.endswith("\n"):  # `--- {kind: Pod}`: no block may follow there
            before = f"{before.rstrip()}\n"
        return replace(self, text=f"{before}{to_yaml(value)}{self.text[end:]}", value=value)


def to_yaml(value: Any) -> str:
    """Spell a value as YAML."""
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, width=2**31, allow_unicode=True)
    return text


def read(text: str, *, source: str) -> tuple[Document, ...]:
    """Cut a file into its documents; raise ConfigError with the place of what is no YAML."""
    if text.lstrip().startswith("{"):
        try:
            return (Document(text, json.loads(text), is_json=True, begins_file=True),)
        except ValueError:
            pass  # flow style, or several documents: YAML tells
    try:
        parts = enumerate(_parts(text))
        return tuple(Document(part, _value(part), begins_file=number == 0) for number, part in parts)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        said = " ".join(str(error).split())
        raise ConfigError(f"{source} is no manifest: {said}", hint="give YAML or JSON, as kubectl takes it") from error


def _parts(text: str) -> tuple[str, ...]:
    starts = [
        event.start_mark.index
        for event in yaml.parse(text, Loader=yaml.SafeLoader)
        if isinstance(event, yaml.DocumentStartEvent) and event.start_mark is not None
    ]
    bounds = [0, *starts[1:], len(text)]
    return tuple(text[start:end] for start, end in pairwise(bounds)) if starts else (text,)


def _value(text: str) -> Any:
    value = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader with fewer resolvers
    return json.loads(json.dumps(value, default=_refuse))  # no shared parts, no keys but texts


def _refuse(value: object) -> Any:
    raise ValueError(f"a value of type {type(value).__name__} has no place in a manifest")


def spell(documents: Sequence[Document], output: str) -> str:
    """Write documents: `output` is json, yaml, or empty for each as it came."""
    if output == "json":
        values = [document.value for document in documents if document.value is not None]
        whole = values[0] if len(values) == 1 else {"apiVersion": "v1", "kind": "List", "items": values}
        return f"{json.dumps(whole, indent=2, ensure_ascii=False)}\n"
    written: list[str] = []
    for one in documents:
        part = to_yaml(one.value) if output == "yaml" and one.is_json else one.text
        if written and one.begins_file:
            written.append("" if written[-1].endswith("\n") else "\n")
            written.append("" if part.startswith(("---", "%")) else "---\n")
        written.append(part)
    return "".join(written)
