"""What came of a suite that ran twice: read, compared test by test, written as a page. It runs nothing."""

import json
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final

NOT_RUN: Final = "not run"
_ORDER: Final = ("passed", "failed", "error", "skipped", "xfailed", NOT_RUN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a test ended."""

    ended: str
    said: str = ""
    """What the failure said."""


type Outcomes = Mapping[str, Outcome]


def read(lines: Iterable[str]) -> dict[str, Outcome]:
    """Read what the plugin wrote; of a test that ended twice (its call and what follows it), the worse end counts."""
    found: dict[str, Outcome] = {}
    for line in lines:
        noted = json.loads(line)
        outcome = Outcome(ended=noted["outcome"], said=noted["said"])
        if noted["test"] not in found or outcome.ended not in {"passed", "skipped"}:
            found[noted["test"]] = outcome
    return found


def reasons(text: str) -> dict[str, str]:
    """Read the reasons file: tests whose direct answer was not AWS', each with why."""
    read_in = tomllib.loads(text)
    return {str(test): str(reason["why"]) for test, reason in read_in.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One test that ended in two ways."""

    test: str
    direct: Outcome
    proxied: Outcome
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two runs of one suite."""

    direct: Outcomes
    proxied: Outcomes
    differences: Sequence[Difference]
    unsteady: Sequence[str] = field(default=())
    """Tests that ended in two ways once, and in one way when both runs were repeated."""
    needless: Sequence[str] = field(default=())
    """Tests that have a reason and ended in one way."""

    @property
    def unexplained(self) -> Sequence[Difference]:
        """Return what must not be."""
        return [found for found in self.differences if not found.reason]


def compare(direct: Outcomes, proxied: Outcomes, why: Mapping[str, str], unsteady: Sequence[str] = ()) -> Comparison:
    """Compare two runs; `unsteady` tests are left out of the differences."""
    nothing = Outcome(ended=NOT_RUN)
    differences = []
    for test in sorted({*direct, *proxied}):
        one, other = direct.get(test, nothing), proxied.get(test, nothing)
        if one.ended != other.ended and test not in unsteady:
            differences.append(Difference(test=test, direct=one, proxied=other, reason=why.get(test, "")))
    differing = {found.test for found in differences}
    return Comparison(
        direct=direct,
        proxied=proxied,
        differences=differences,
        unsteady=sorted(unsteady),
        needless=sorted(test for test in why if test in direct and test not in differing and test not in unsteady),
    )


def totals(outcomes: Outcomes) -> str:
    """Say how many tests ended how."""
    counts = Counter(outcome.ended for outcome in outcomes.values())
    return ", ".join(f"{counts[ended]:,} {ended}" for ended in _ORDER if counts[ended])


def alike(comparison: Comparison) -> int:
    """Count the tests that ended alike."""
    return len({*comparison.direct, *comparison.proxied}) - len(comparison.differences) - len(comparison.unsteady)


def folder(test: str) -> str:
    """Return the service a test of moto's is about."""
    return PurePosixPath(test).parts[1].removeprefix("test_")


def page(comparison: Comparison, *, head: str) -> str:
    """Write the page's results."""
    services = Counter(folder(test) for test in {*comparison.direct, *comparison.proxied})
    runs = (
        f"| directly, `AWS_ENDPOINT_URL` at the emulator | {totals(comparison.direct)} |",
        f"| no endpoint, `kecs run --backend` | {totals(comparison.proxied)} |",
    )
    verdict = (
        f"{alike(comparison):,} tests ended alike, {len(comparison.differences)} did not; "
        f"{len(comparison.unexplained)} of these without a reason."
    )
    parts = (
        head,
        "\n".join(("| run | outcomes |", "|---|---|", *runs)),
        verdict,
        _table(comparison.differences),
        _list(comparison.unsteady),
        "## Tests by service\n\n" + ", ".join(f"{name} {count:,}" for name, count in sorted(services.items())),
    )
    return "\n\n".join(part for part in parts if part) + "\n"


def _list(unsteady: Sequence[str]) -> str:
    if not unsteady:
        return ""
    told = "They ended in two ways once, and in one way when both runs were repeated."
    return "\n".join(("## Unsteady tests", "", told, "", *(f"- `{test}`" for test in unsteady)))


def _table(differences: Sequence[Difference]) -> str:
    if not differences:
        return ""
    rows = (
        f"| `{found.test}` | {found.direct.ended} | {found.proxied.ended} | {found.reason or '**none**'} |"
        for found in differences
    )
    return (
        "## Tests that ended in two ways\n\n| test | directly | without endpoint | reason |\n|---|---|---|---|\n"
        + "\n".join(rows)
    )
