"""Two runs are compared as they are, and what is wrong with the reasons is told."""

import json
from pathlib import Path

import pytest
from suites.outcomes import NOT_RUN, Outcome, alike, compare, page, read, reasons, totals

HERE = Path(__file__).parent


def lines(*noted: tuple[str, str]) -> list[str]:
    return [json.dumps({"test": test, "outcome": ended, "said": ""}) for test, ended in noted]


def test_the_worse_of_two_ends_counts() -> None:
    found = read(lines(("a", "passed"), ("a", "error"), ("b", "failed"), ("b", "error"), ("c", "passed")))
    assert {test: outcome.ended for test, outcome in found.items()} == {"a": "error", "b": "error", "c": "passed"}


def runs() -> tuple[dict[str, Outcome], dict[str, Outcome]]:
    direct = read(lines(("t/test_s3/a", "passed"), ("t/test_s3/b", "passed"), ("t/test_sqs/c", "failed")))
    proxied = read(lines(("t/test_s3/a", "passed"), ("t/test_s3/b", "failed"), ("t/test_sqs/d", "passed")))
    return direct, proxied


def test_every_difference_is_told_with_its_reason() -> None:
    found = compare(*runs(), {"t/test_s3/b": "its own address", "t/test_s3/a": "no longer"})
    told = [(each.test, each.direct.ended, each.proxied.ended, each.reason) for each in found.differences]
    assert told == [
        ("t/test_s3/b", "passed", "failed", "its own address"),
        ("t/test_sqs/c", "failed", NOT_RUN, ""),
        ("t/test_sqs/d", NOT_RUN, "passed", ""),
    ]
    assert [each.test for each in found.unexplained] == ["t/test_sqs/c", "t/test_sqs/d"]
    assert found.needless == ["t/test_s3/a"]
    assert alike(found) == 1


def test_what_is_unsteady_is_no_difference() -> None:
    found = compare(*runs(), {}, unsteady=["t/test_s3/b"])
    assert "t/test_s3/b" not in [each.test for each in found.differences]
    assert found.unsteady == ["t/test_s3/b"]


def test_the_page_has_all_of_it() -> None:
    text = page(compare(*runs(), {"t/test_s3/b": "its own address"}, unsteady=["t/test_sqs/d"]), head="# Head")
    assert "| `t/test_s3/b` | passed | failed | its own address |" in text
    assert "| `t/test_sqs/c` | failed | not run | **none** |" in text
    assert "- `t/test_sqs/d`" in text
    assert "s3 2, sqs 2" in text
    assert "2 passed, 1 failed" in text


def test_totals_leave_out_what_is_not_there() -> None:
    assert totals(read(lines(("a", "skipped"), ("b", "passed")))) == "1 passed, 1 skipped"


@pytest.mark.parametrize("path", sorted(HERE.glob("*.reasons.toml")), ids=lambda path: path.name)
def test_every_reason_is_a_sentence(path: Path) -> None:
    found = reasons(path.read_text())
    assert all(test.startswith("tests/") and "::" in test for test in found)
    assert all(reason.endswith(".") and len(reason) > 20 for reason in found.values())
