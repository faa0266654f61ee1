"""Configurations as one JSON object: what is written is read, and nothing else is."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import pytest

from kecs.core import told
from kecs.core.errors import ConfigError


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    size: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    name: str
    seconds: float = 1.0
    on: bool = False
    words: tuple[str, ...] = ()
    table: Mapping[str, str] = field(default_factory=dict)
    colour: Colour = Colour.RED
    inner: Inner = field(default_factory=Inner)


WHAT = "the test's configuration"


def test_what_is_written_is_read() -> None:
    config = Config(
        name="n", seconds=2, on=True, words=("a",), table={"k": "v"}, colour=Colour.BLUE, inner=Inner(size=3)
    )
    assert told.from_json(Config, told.to_json(config), what=WHAT) == config
    assert told.from_json(Config, '{"name":"n"}', what=WHAT) == Config(name="n")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([], "the test's configuration is no JSON object but list"),
        ({}, "the test's configuration lacks name"),
        ({"name": "n", "nme": 1}, "the test's configuration has no 'nme'"),
        ({"name": 1}, "name 1 is no str"),
        ({"name": "n", "seconds": True}, "seconds True is no float"),
        ({"name": "n", "on": 1}, "on 1 is no bool"),
        ({"name": "n", "words": "a"}, "words 'a' is no list of entries"),
        ({"name": "n", "words": [1]}, "words [1] is no list of entries"),
        ({"name": "n", "table": {"k": 1}}, "table {'k': 1} is no table of text"),
        ({"name": "n", "table": []}, "table [] is no table of text"),
        ({"name": "n", "colour": "green"}, "colour 'green' is unknown"),
        ({"name": "n", "inner": 1}, "is no JSON object but int"),
        ({"name": "n", "inner": {"size": "1"}}, "size '1' is no int"),
    ],
)
def test_what_is_wrong_is_said(given: object, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        told.from_json(Config, json.dumps(given), what=WHAT)
    assert words in caught.value.message


def test_what_is_no_json_is_said() -> None:
    with pytest.raises(ConfigError, match="the test's configuration is no JSON: "):
        told.from_json(Config, "{", what=WHAT)
