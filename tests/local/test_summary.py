"""The table at the end of a run, from records."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from kecs.local.reporter import drawn
from kecs.local.summary import Tally, as_json, duration, line, quantile, size


def call(**fields: object) -> dict[str, object]:
    record: dict[str, object] = {
        "time": "2026-11-21T04:05:06.789Z",
        "event": "call",
        "service": "s3",
        "operation": "PutObject",
        "region": "us-east-1",
        "status": 200,
        "duration_ms": 2.0,
        "bytes_in": 1000,
        "bytes_out": 500,
    }
    return record | fields


def test_calls_are_gathered_by_service_and_operation() -> None:
    tally = Tally()
    for record in (
        call(),
        call(status=404, duration_ms=4.0),
        call(operation="GetObject"),
        call(service="dynamodb", operation="PutItem"),
    ):
        tally.add(record)
    tally.add({"event": "refused"})
    assert [(row.service, row.operation, row.calls, row.errors, row.bytes) for row in tally.rows()] == [
        ("dynamodb", "PutItem", 1, 0, 1500),
        ("s3", "PutObject", 2, 1, 3000),
        ("s3", "GetObject", 1, 0, 1500),
    ]
    assert as_json(tally.rows())[1]["p99_ms"] == 4.0


def test_an_unanswered_call_is_an_error() -> None:
    tally = Tally()
    tally.add(call(status=0))
    assert tally.rows()[0].errors == 1


def test_memory_stays_bounded() -> None:
    tally = Tally()
    for number in range(25_000):
        tally.add(call(duration_ms=float(number)))
    (row,) = tally.rows()
    assert row.calls == 25_000
    assert row.p50_ms >= 15_000  # the newest ten thousand


@given(st.lists(st.floats(min_value=0, max_value=1e6), min_size=1), st.floats(min_value=0.01, max_value=1))
def test_a_quantile_is_one_of_the_values_and_covers_its_share(values: list[float], share: float) -> None:
    ordered = sorted(values)
    found = quantile(ordered, share)
    assert found in ordered
    assert sum(value <= found for value in ordered) >= share * len(ordered)


def test_the_quantile_of_nothing_is_zero() -> None:
    assert quantile([], 0.5) == 0.0


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (67_108_864, "67.1 MB"), (5 * 10**15, "5000.0 TB")],
)
def test_size(count: int, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("milliseconds", "text"), [(0.04, "0.0 ms"), (2.34, "2.3 ms"), (12.6, "13 ms"), (1234, "1.2 s")]
)
def test_duration(milliseconds: float, text: str) -> None:
    assert duration(milliseconds) == text


def test_a_call_is_one_line_of_eighty_columns() -> None:
    text = line(call())
    assert text == "04:05:06 s3 PutObject                       us-east-1      200  2.0 ms    1.5 kB"
    assert len(text) <= 80


def test_metadata_requests_are_lines_too() -> None:
    record = {"time": "2026-11-21T04:05:06.789Z", "event": "metadata", "method": "PUT", "address": "169.254.169.254"}
    assert line(record | {"status": 200}) == "04:05:06 metadata PUT 169.254.169.254       -              200"


def test_a_failed_call_says_why() -> None:
    assert line(call(status=503, reason="upstream_connect")).endswith("upstream_connect")


def test_an_event_shows_its_hint_on_a_line_of_its_own() -> None:
    text = line({"time": "2026-11-21T04:05:06Z", "event": "client_distrusts", "client": "127.0.0.1", "hint": "set X"})
    assert text == "04:05:06 client_distrusts client=127.0.0.1\n         hint: set X"


@pytest.mark.parametrize(
    ("width", "headings"),
    [
        pytest.param(80, "Service Operation Calls Errors p50 p99 Bytes", id="all"),
        pytest.param(60, "Service Operation Calls Errors p50 p99", id="no bytes"),
        pytest.param(52, "Service Operation Calls Errors p99", id="no median"),
        pytest.param(44, "Service Operation Calls Errors", id="what was called"),
        pytest.param(36, "Service Operation Calls Errors", id="names over several lines"),
    ],
)
def test_the_summary_fits_the_terminal(width: int, headings: str) -> None:
    tally = Tally()
    tally.add(call(service="dynamodb", operation="ExecuteTransaction"))
    lines = drawn(tally.rows(), Console(width=width, force_terminal=True, color_system=None)).splitlines()
    assert max(map(len, lines)) <= width
    assert " ".join(lines[0].split()) == headings
    assert "".join(line[10:22].strip() for line in lines[1:]).startswith("Execute")
    assert "…" not in "".join(lines)
