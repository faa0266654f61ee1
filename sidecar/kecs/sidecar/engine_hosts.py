"""Which AWS names are served by the engine because somebody asked for it: patterns, by label. Pure."""

from collections.abc import Sequence
from typing import Final

from kecs.aws.hosts import is_aws_name, normalise
from kecs.core.errors import ConfigError

_ANY: Final = "*"
_STANDS_FOR_ANY: Final = "any"
_HINT: Final = "an AWS name in which * may stand for a whole label, e.g. transcribestreaming.*.amazonaws.com"


def check(pattern: str) -> None:
    """Raise ConfigError for a pattern that can't match what it seems to."""
    labels = pattern.split(".")
    if any(_ANY in label and label != _ANY for label in labels):
        raise ConfigError(f"engine_hosts: {pattern!r} has a * that is a part of a label", hint=_HINT)
    name = ".".join(_STANDS_FOR_ANY if label == _ANY else label for label in labels)
    if not normalise(name):
        raise ConfigError(f"engine_hosts: {pattern!r} is no host name", hint=_HINT)
    if not is_aws_name(normalise(name)):
        raise ConfigError(
            f"engine_hosts: {pattern!r} is no AWS name",
            hint=f"only those are served at all, the rest is passed; {_HINT}",
        )


def matches(patterns: Sequence[str], name: str) -> bool:
    """Tell whether one of the patterns matches a name, label by label: * stands for one label, whatever it is."""
    if not patterns:
        return False
    labels = normalise(name).split(".")
    return any(_match(pattern.lower().rstrip(".").split("."), labels) for pattern in patterns)


def _match(pattern: list[str], labels: list[str]) -> bool:
    return len(pattern) == len(labels) and all(
        wanted in (_ANY, label) for wanted, label in zip(pattern, labels, strict=True)
    )
