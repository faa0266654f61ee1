"""Figures of interleaved rounds: medians, ratios of pairs, spread. Pure.

Machines are never quiet. What two arms did in the same round met the same noise, so arms are compared round by round,
and the median of those ratios is the figure; its spread says how far it can be believed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What one arm did under one load in one round."""

    load: str
    arm: str
    round: int
    values: Mapping[str, float]
    """By measure."""
    failure: str = ""
    """Why there are no values."""

    def to_json(self) -> dict[str, Any]:
        """Spell it for a file; six digits are more than anybody has measured."""
        values = {name: float(f"{value:.6g}") for name, value in self.values.items()}
        failure = {"failure": self.failure} if self.failure else {}
        return {"load": self.load, "arm": self.arm, "round": self.round, "values": values} | failure

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Self:
        """Read what `to_json` spelled."""
        return cls(
            load=given["load"],
            arm=given["arm"],
            round=given["round"],
            values=dict(given["values"]),
            failure=given.get("failure", ""),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """A figure of several rounds."""

    median: float
    low: float
    high: float
    rounds: int


def spread(values: Sequence[float]) -> Spread | None:
    """Sum up; None without any value."""
    if not values:
        return None
    return Spread(median=median(values), low=min(values), high=max(values), rounds=len(values))


def select(samples: Iterable[Sample], load: str, arm: str, measure: str) -> dict[int, float]:
    """Return a measure by round."""
    return {
        one.round: one.values[measure]
        for one in samples
        if one.load == load and one.arm == arm and measure in one.values
    }


def absolute(samples: Iterable[Sample], load: str, arm: str, measure: str) -> Spread | None:
    """Return what an arm did."""
    return spread(list(select(samples, load, arm, measure).values()))


def paired(samples: Sequence[Sample], load: str, arm: str, reference: str, measure: str) -> Spread | None:
    """Return an arm's share of the reference, by the rounds that both were in."""
    ours, theirs = select(samples, load, arm, measure), select(samples, load, reference, measure)
    return spread([value / theirs[number] for number, value in ours.items() if theirs.get(number)])


def order[T](arms: Sequence[T], number: int) -> list[T]:
    """Return the arms' order in a round: forwards, then backwards, so that who is first changes."""
    return list(arms) if number % 2 == 0 else list(reversed(arms))
