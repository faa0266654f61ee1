"""Amounts of CPU and memory as Kubernetes spells them. Pure.

The API server rewrites what it is given to its canonical form ("1000m" becomes "1"), so amounts are compared as numbers
and written canonically: else our own container would look changed to us. The grammar and the form are those of
k8s.io/apimachinery/pkg/api/resource.
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from functools import total_ordering
from typing import Final, Self

from kecs.core.errors import ConfigError

_PATTERN: Final = re.compile(
    r"([+-]?)(\d+(?:\.\d*)?|\.\d+)(?:(n|u|m|k|M|G|T|P|E|[KMGTPE]i)|[eE]([+-]?\d{1,2}))?", re.ASCII
)
_DECIMAL: Final = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY: Final = {f"{letter}i": 1024**power for power, letter in enumerate("KMGTPE", start=1)}
_MOST: Final = Decimal(2**63 - 1)


@total_ordering
@dataclass(frozen=True, slots=True)
class Quantity:
    """One amount, not negative."""

    value: Decimal
    binary: bool = False
    """It was written with a power of 1024."""

    @classmethod
    def parse(cls, text: object) -> Self:
        """Read `text`; raise ConfigError saying what is allowed."""
        found = _PATTERN.fullmatch(text) if isinstance(text, str) else None
        if not found:
            raise ConfigError(f"{text!r} is no amount that Kubernetes knows", hint=_HINT)
        sign, number, suffix, exponent = found.groups()
        scale = (
            Decimal(_BINARY[suffix])
            if suffix in _BINARY
            else Decimal(10) ** (int(exponent) if exponent else _DECIMAL[suffix or ""])
        )
        value = Decimal(number) * scale
        if sign == "-" or value > _MOST:
            raise ConfigError(f"{text!r} is an impossible amount", hint=_HINT)
        return cls(value, suffix in _BINARY)

    def __eq__(self, other: object) -> bool:
        return self.value == other.value if isinstance(other, Quantity) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.value)

    def __lt__(self, other: Self) -> bool:
        return self.value < other.value

    def __str__(self) -> str:
        """Spell it canonically: whole, with the largest suffix that leaves no fraction."""
        whole = self.value == self.value.to_integral_value()
        if self.binary and whole:
            return _spell_binary(int(self.value))
        for suffix, power in reversed(_DECIMAL.items()):
            scaled = self.value.scaleb(-power)
            if self.value and scaled == scaled.to_integral_value():
                return f"{int(scaled)}{suffix}"
        return "0" if not self.value else f"{int(self.value.scaleb(9)) + 1}n"


def _spell_binary(value: int) -> str:
    for suffix, scale in reversed(_BINARY.items()):
        if value and value % scale == 0:
            return f"{value // scale}{suffix}"
    return str(value)


_HINT: Final = "give an amount such as 250m or 1 of CPU, 64Mi or 1Gi of memory"
