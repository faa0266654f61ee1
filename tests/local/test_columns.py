"""The table at the end of a run, for every width."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from kecs.core.formats import Summary
from kecs.local.columns import HEADINGS, folded, laid
from kecs.local.reporter import drawn, show_summary
from kecs.local.summary import Row

LONG = ("servicecatalog-appregistry", "DescribeVerifiedAccessInstanceLoggingConfigurations")


def row(service: str = "s3", operation: str = "PutObject", /, **numbers: Any) -> Row:
    given = {"calls": 1, "errors": 0, "p50_ms": 2.0, "p99_ms": 2.0, "bytes": 1500} | numbers
    return Row(service=service, operation=operation, **given)


MOST: dict[str, Any] = {
    "calls": 1_234_567,
    "errors": 123_456,
    "p50_ms": 998.0,
    "p99_ms": 99_900.0,
    "bytes": 999_900_000,
}
TABLES = [
    pytest.param(
        80,
        [row(), row("sqs", "SendMessage", errors=1)],
        [
            "Service  Operation    Calls  Errors     p50     p99   Bytes",
            "s3       PutObject        1       -  2.0 ms  2.0 ms  1.5 kB",
            "sqs      SendMessage      1       1  2.0 ms  2.0 ms  1.5 kB",
        ],
        id="what fits is as wide as it is",
    ),
    pytest.param(
        80,
        [row("elasticloadbalancing", "DescribeTargetGroupAttributes", calls=12), row()],
        [
            "Service               Operation            Calls  Errors     p50     p99   Bytes",
            "elasticloadbalancing  DescribeTargetGroup     12       -  2.0 ms  2.0 ms  1.5 kB",
            "                      Attributes",
            "s3                    PutObject                1       -  2.0 ms  2.0 ms  1.5 kB",
        ],
        id="a long operation is folded where a word begins",
    ),
    pytest.param(
        80,
        [row("servicecatalog-appregistry", "ListApplications"), row("elbv2", "DescribeTargetGroups", calls=3)],
        [
            "Service          Operation             Calls  Errors     p50     p99   Bytes",
            "servicecatalog-  ListApplications          1       -  2.0 ms  2.0 ms  1.5 kB",
            "appregistry",
            "elbv2            DescribeTargetGroups      3       -  2.0 ms  2.0 ms  1.5 kB",
        ],
        id="a long service is folded where that makes fewer lines",
    ),
    pytest.param(
        80,
        [row(*LONG, **MOST)],
        [
            "Service         Operation                Calls  Errors     p50     p99     Bytes",
            "servicecatalog  DescribeVerified       1234567  123456  998 ms  99.9 s  999.9 MB",
            "-appregistry    AccessInstanceLogging",
            "                Configurations",
        ],
        id="the longest names beside the largest numbers",
    ),
    pytest.param(
        100,
        [row(*LONG, calls=1234, bytes=999_900_000)],
        [
            "Service                     Operation                       Calls  Errors     p50     p99     Bytes",
            "servicecatalog-appregistry  DescribeVerifiedAccessInstance   1234       -  2.0 ms  2.0 ms  999.9 MB",
            "                            LoggingConfigurations",
        ],
        id="a wider terminal folds less",
    ),
    pytest.param(
        40,
        [row("dynamodb", "ExecuteTransaction")],
        [
            "Service   Operation    Calls  Errors",
            "dynamodb  Execute          1       -",
            "          Transaction",
        ],
        id="a narrow one goes without numbers that others have room for",
    ),
]


@pytest.mark.parametrize(("width", "rows", "lines"), TABLES)
def test_tables(width: int, rows: list[Row], lines: list[str]) -> None:
    assert [one.text for one in laid(rows, width)] == lines


NAMES = st.text("abcXYZ-_.?", min_size=1, max_size=90)
ROWS = st.lists(
    st.builds(
        row,
        NAMES,
        NAMES,
        calls=st.integers(1, 9_999_999),
        errors=st.integers(0, 999_999),
        p50_ms=st.floats(0, 999_000),
        p99_ms=st.floats(0, 999_000),
        bytes=st.integers(0, 10**15),
    ),
    min_size=1,
    max_size=5,
)


@given(ROWS, st.integers(80, 300))
def test_from_eighty_columns_on_every_table_fits_and_nothing_is_lost(rows: list[Row], width: int) -> None:
    heading, *lines = laid(rows, width)
    assert max(len(one.text) for one in (heading, *lines)) <= width
    assert heading.text.split() == list(HEADINGS)
    numbers = heading.text.index("Operation"), heading.text.index("Calls")
    assert "".join(one.text[: numbers[0]].strip() for one in lines) == "".join(one.service for one in rows)
    assert sum(len(one.text.split()) >= len(HEADINGS) for one in lines) == len(rows)


@given(ROWS, st.integers(40, 79))
def test_narrow_terminals_get_what_was_called(rows: list[Row], width: int) -> None:
    lines = laid(rows, width)
    assert max(len(one.text) for one in lines) <= width
    assert lines[0].text.split()[:4] == list(HEADINGS[:4])


@given(NAMES, st.integers(1, 60))
def test_the_pieces_of_a_name_are_the_name(name: str, width: int) -> None:
    pieces = folded(name, width)
    assert "".join(pieces) == name
    assert all(0 < len(piece) <= width for piece in pieces)


@pytest.mark.parametrize(
    ("name", "width", "pieces"),
    [
        ("PutObject", 9, ["PutObject"]),
        ("CreateDBCluster", 10, ["CreateDB", "Cluster"]),
        ("servicecatalog-appregistry", 20, ["servicecatalog-", "appregistry"]),
        ("PayerResponsibility", 16, ["Payer", "Responsibility"]),
        ("elasticloadbalancing", 12, ["elasticloadb", "alancing"]),
    ],
)
def test_where_names_are_folded(name: str, width: int, pieces: list[str]) -> None:
    assert folded(name, width) == pieces


def test_what_is_no_terminal_has_eighty_columns(capfd: pytest.CaptureFixture[str]) -> None:
    show_summary([row(*LONG, **MOST)], Summary.TABLE)
    out, err = capfd.readouterr()
    assert (out, max(map(len, err.splitlines())) <= 80) == ("", True)
    assert " 1234567  123456  998 ms  99.9 s  999.9 MB\n" in err


def test_a_terminal_gets_a_bold_heading_and_red_lines_where_there_were_errors() -> None:
    console = Console(width=80, force_terminal=True, color_system="standard")
    heading, good, *bad = drawn([row(), row(*LONG, errors=3)], console).splitlines()
    assert heading.startswith("\x1b[1mService")
    assert good.startswith("s3 ")
    assert [line[:5] for line in bad] == ["\x1b[31m"] * len(bad)
    assert len(bad) > 1
