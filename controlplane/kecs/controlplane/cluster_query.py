"""The cluster query language: an expression read once, and asked of container instances. Pure.

    not? subject operator argument, joined by and/or, in parentheses

The grammar and its operators are those of the ECS developer guide, "Cluster query language".
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from kecs.controlplane.errors import invalid

type Facts = Mapping[str, tuple[str, ...]]
"""What is known of an instance by subject: attribute:NAME, ec2InstanceId, task:group, … A subject may have several."""
type Query = Callable[[Facts], bool]

_TOKEN: Final = re.compile(
    r"""\s*(?P<token>\(|\)|\[|\]|,|&&|\|\||==|!=|>=|<=|=~|!~|!in\b|!exists\b|[<>!]|"[^"]*"|'[^']*'|[^\s()\[\],<>=!&|~]+)"""
)
_SUBJECTS: Final = frozenset(
    {"agentConnected", "agentVersion", "ec2InstanceId", "registeredAt", "runningTasksCount", "task:group"}
)
_WORDS: Final = {
    "equals": "==",
    "not_equals": "!=",
    "greater_than": ">",
    "greater_than_equal": ">=",
    "less_than": "<",
    "less_than_equal": "<=",
    "matches": "=~",
    "not_matches": "!~",
    "not_in": "!in",
    "not_exists": "!exists",
    "&&": "and",
    "||": "or",
    "!": "not",
}
_COMPARED: Final[Mapping[str, Callable[[int], bool]]] = {
    "==": lambda order: order == 0,
    "!=": lambda order: order != 0,
    ">": lambda order: order > 0,
    ">=": lambda order: order >= 0,
    "<": lambda order: order < 0,
    "<=": lambda order: order <= 0,
}
_NEGATIVE: Final = frozenset({"!=", "!~", "!in"})
"""Operators that hold where the subject is not there at all."""


def query(expression: str) -> Query:
    """Read an expression. Raise InvalidParameterException for one that can't be read."""
    reader = _Reader(expression)
    found = reader.either()
    reader.end()
    return found


class _Reader:
    def __init__(self, expression: str) -> None:
        self._expression = expression
        self._tokens: list[str] = []
        at, text = 0, expression.rstrip()
        while at < len(text):
            found = _TOKEN.match(text, at)
            if found is None:
                raise self._wrong()
            self._tokens.append(found["token"])
            at = found.end()

    def either(self) -> Query:
        found = [self._both()]
        while self._accept("or"):
            found.append(self._both())
        return lambda facts: any(one(facts) for one in found)

    def end(self) -> None:
        if self._tokens:
            raise self._wrong()

    def _both(self) -> Query:
        found = [self._one()]
        while self._accept("and"):
            found.append(self._one())
        return lambda facts: all(one(facts) for one in found)

    def _one(self) -> Query:
        if self._accept("not"):
            inner = self._one()
            return lambda facts: not inner(facts)
        if self._accept("("):
            inner = self.either()
            if not self._accept(")"):
                raise self._wrong()
            return inner
        return self._comparison()

    def _comparison(self) -> Query:
        subject = self._take()
        if subject not in _SUBJECTS and not subject.startswith("attribute:"):
            raise self._wrong()
        if self._word() in {"", "and", "or", ")"}:
            return lambda facts: bool(facts.get(subject))
        operator = self._word()
        self._take()
        if operator in {"exists", "!exists"}:
            return lambda facts: bool(facts.get(subject)) is (operator == "exists")
        if operator in {"in", "!in"}:
            values = self._list()
            return lambda facts: any(v in values for v in facts.get(subject, ())) is (operator == "in")
        argument = _plain(self._take())
        if operator in {"=~", "!~"}:
            return self._matching(subject, operator, argument)
        if operator not in _COMPARED:
            raise self._wrong()
        holds = _COMPARED[operator]
        return lambda facts: _any(facts, subject, operator, lambda value: holds(_order(value, argument)))

    def _matching(self, subject: str, operator: str, argument: str) -> Query:
        try:
            pattern = re.compile(argument)
        except re.error as error:
            raise self._wrong() from error
        negative = operator == "!~"
        return lambda facts: _any(facts, subject, operator, lambda value: (pattern.search(value) is None) is negative)

    def _list(self) -> frozenset[str]:
        if not self._accept("["):
            raise self._wrong()
        values = []
        while not self._accept("]"):
            values.append(_plain(self._take()))
            self._accept(",")
        return frozenset(values)

    def _word(self) -> str:
        token = self._tokens[0] if self._tokens else ""
        return _WORDS.get(token, token)

    def _accept(self, word: str) -> bool:
        if self._word() != word:
            return False
        self._tokens.pop(0)
        return True

    def _take(self) -> str:
        if not self._tokens:
            raise self._wrong()
        return self._tokens.pop(0)

    def _wrong(self) -> Exception:
        return invalid(f"Invalid query: {self._expression}")


def _plain(token: str) -> str:
    return token[1:-1] if token[:1] in {'"', "'"} else token


def _any(facts: Facts, subject: str, operator: str, holds: Callable[[str], bool]) -> bool:
    values: Iterable[str] = facts.get(subject, ())
    if operator in _NEGATIVE:
        return all(holds(value) for value in values)
    return any(holds(value) for value in values)


def _order(left: str, right: str) -> int:
    """Compare as numbers where both are, part by part for versions, else as text."""
    parts = [_parts(left), _parts(right)]
    if all(part is not None for part in parts):
        a, b = parts
        return (a > b) - (a < b)  # type: ignore[operator]  # neither is None, see above
    return (left > right) - (left < right)


def _parts(text: str) -> tuple[int, ...] | None:
    return tuple(int(part) for part in text.split(".")) if re.fullmatch(r"\d+(\.\d+)*", text) else None
