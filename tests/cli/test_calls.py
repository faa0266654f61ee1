"""Which records are wanted, and how lines are spelled."""

import json
from typing import Any

import pytest
from log_lab import record

from kecs.cli.calls import Filter, Line, Spelling, seconds_ago, shortened, spelled
from kecs.core.errors import UsageError


def line(said: dict[str, Any] | str) -> Line:
    text = said if isinstance(said, str) else json.dumps(said)
    return Line.of("shop", "app-7b8654cb9f-h2rj8", f"2026-11-21T09:00:00.000000001Z {text}".encode())


CALL = record()
LATE = record("certificate_renewal_failed", reason="service_unreachable")
DISTRUST = record("client_distrusts", host="sts.amazonaws.com", reason="tls_alert_unknown_ca", hint="trust it")


@pytest.mark.parametrize(
    ("wanted", "said", "shown"),
    [
        pytest.param(Filter(), CALL, True, id="without filters a call"),
        pytest.param(Filter(), LATE, True, id="without filters an event"),
        pytest.param(Filter(), "Traceback (most recent call last):", True, id="without filters any text"),
        pytest.param(Filter(services=("S3",)), CALL, True, id="case does not matter"),
        pytest.param(Filter(services=("sqs", "s3")), CALL, True, id="one of several services"),
        pytest.param(Filter(services=("sqs",)), CALL, False, id="another service"),
        pytest.param(Filter(operations=("put*",)), CALL, True, id="a pattern"),
        pytest.param(Filter(operations=("put-object",)), CALL, True, id="as the AWS CLI spells it"),
        pytest.param(Filter(services=("s3",), operations=("Get*",)), CALL, False, id="both must fit"),
        pytest.param(Filter(services=("s3",)), LATE, False, id="an event has no service"),
        pytest.param(Filter(services=("s3",)), "text", False, id="text has no service"),
        pytest.param(Filter(statuses=("2xx",)), CALL, True, id="a class"),
        pytest.param(Filter(statuses=("4xx", "5xx")), record(status=503), True, id="one of two classes"),
        pytest.param(Filter(statuses=("404",)), record(status=403), False, id="another number"),
        pytest.param(Filter(statuses=("ok",)), record(status=304), True, id="ok"),
        pytest.param(Filter(statuses=("error",)), record(status=400), True, id="a bad status is an error"),
        pytest.param(Filter(statuses=("error",)), record(status=0), True, id="no answer is an error"),
        pytest.param(Filter(statuses=("ok",)), record(status=0), False, id="no answer is not ok"),
        pytest.param(Filter(statuses=("error",)), DISTRUST, True, id="a client that distrusts is an error"),
        pytest.param(Filter(statuses=("4xx",)), DISTRUST, False, id="it has no status"),
        pytest.param(Filter(statuses=("error",)), LATE, False, id="another event is no call"),
        pytest.param(Filter(calls_only=True), CALL, True, id="calls only: a call"),
        pytest.param(Filter(calls_only=True), DISTRUST, True, id="calls only: a connection that failed"),
        pytest.param(Filter(calls_only=True), LATE, False, id="calls only: no other event"),
        pytest.param(Filter(calls_only=True), "{broken", False, id="calls only: no text"),
    ],
)
def test_a_filter(*, wanted: Filter, said: dict[str, Any] | str, shown: bool) -> None:
    assert wanted.wants(line(said)) is shown


@pytest.mark.parametrize("status", ["6xx", "4XX", "40", "bad", ""])
def test_a_status_that_is_none_is_refused(status: str) -> None:
    with pytest.raises(UsageError, match="--status"):
        Filter(statuses=(status,))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("", None), ("45s", 45), ("10m", 600), ("1h30m", 5400), ("2d", 172800), ("365d", 31536000)],
)
def test_durations(text: str, seconds: int | None) -> None:
    assert seconds_ago(text) == seconds


@pytest.mark.parametrize("text", ["10", "m", "-5m", "0s", "1w", "366d", "5m1h", "\u0661m", "9" * 30 + "s"])
def test_durations_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="--since"):
        seconds_ago(text)


def test_one_pods_call_fits_into_80_columns() -> None:
    text = spelled(line(CALL), Spelling.TEXT, several=False)
    assert text == "09:00:00 s3 PutObject                       us-east-1      200  3.2 ms    1.2 kB"
    assert len(text) <= 80


def test_several_pods_lines_say_whose_they_are() -> None:
    text = spelled(line(CALL), Spelling.TEXT, several=True)
    assert text.startswith("shop/app-7b8654cb9f-h2rj8 09:00:00 s3 PutObject")


def test_on_a_terminal_several_pods_calls_fit_into_80_columns() -> None:
    said = record(service="elasticloadbalancing", operation="DescribeTargetGroupAttributes")
    text = spelled(line(said), Spelling.TEXT, several=True, narrow=True)
    assert text == "09:00:00 app-7b8654cb9f-h2rj8       elasticloadbalanc..upAttributes 200  3.2 ms"
    assert len(text) <= 80


def test_raw_is_what_the_sidecar_wrote() -> None:
    assert spelled(line(CALL), Spelling.RAW, several=False) == json.dumps(CALL)


def test_json_tells_pod_and_namespace() -> None:
    found = json.loads(spelled(line(CALL), Spelling.JSON, several=False))
    assert found == {"namespace": "shop", "pod": "app-7b8654cb9f-h2rj8", **CALL}
    assert json.loads(spelled(line("oops"), Spelling.JSON, several=False))["text"] == "oops"


def test_nothing_steers_a_terminal() -> None:
    assert spelled(line("\x1b[2Jgone"), Spelling.TEXT, several=False) == "?[2Jgone"
    assert "\x1b" not in spelled(line(record(reason="\x1b[2J")), Spelling.TEXT, several=False)
    assert "\x1b" not in spelled(line(record(operation="\x1b[2J")), Spelling.TEXT, several=True, narrow=True)


@pytest.mark.parametrize(
    "said",
    [
        pytest.param({"event": "call"}, id="nothing but its event"),
        pytest.param({"event": "call", "status": "x"}, id="a status that is no number"),
        pytest.param({"event": "call", "duration_ms": None, "bytes_in": None}, id="nulls"),
        pytest.param({"event": "call", "time": 5, "service": ["s3"], "region": {}}, id="other types"),
        pytest.param({"event": 5}, id="no event"),
        pytest.param("[1]", id="no object"),
    ],
)
@pytest.mark.parametrize("several", [True, False])
def test_a_records_fields_may_be_anything(*, said: dict[str, Any] | str, several: bool) -> None:
    assert spelled(line(said), Spelling.TEXT, several=several, narrow=True)
    assert json.loads(spelled(line(said), Spelling.JSON, several=several))["pod"]
    assert not Filter(services=("sqs",), statuses=("ok",)).wants(line(said))


def test_a_line_that_is_no_text() -> None:
    assert Line.of("a", "b", b"\xff").record is None


def test_a_names_end_stays() -> None:
    assert shortened("orders-worker-7b8654cb9f-h2rj8", 26) == "orders-worke..54cb9f-h2rj8"
