"""Everything that a run has found, as it lies in a file. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from benchmarks.relay.figures import Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A run."""

    machine: Mapping[str, str]
    rounds: int
    seconds: float
    samples: list[Sample] = field(default_factory=list)

    def to_json(self) -> str:
        """Spell it for a file: a line for each sample."""
        samples = ",\n  ".join(json.dumps(one.to_json()) for one in self.samples)
        head = json.dumps({"machine": dict(self.machine), "rounds": self.rounds, "seconds": self.seconds}, indent=1)
        return f'{head[:-2]},\n "samples": [\n  {samples}\n ]\n}}\n'

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` spelled."""
        given = json.loads(text)
        samples = [Sample.from_json(one) for one in given["samples"]]
        return cls(machine=given["machine"], rounds=given["rounds"], seconds=given["seconds"], samples=samples)
