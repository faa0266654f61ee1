"""Counters, and their text form."""

from datetime import UTC, datetime

from prometheus_client.parser import text_string_to_metric_families
from sidecar_lab import connection

from kecs.aws.head import RequestHead
from kecs.calls.counts import LIMITS, Counts
from kecs.calls.exposition import CertificateCounts, render
from kecs.calls.metrics import Tally
from kecs.relay.decide import Exchange, Pass, Refuse

METADATA = {"event": "metadata", "reason": ""}


def call(status: int = 200, *, seconds: float = 0.004, reason: str = "") -> Exchange:
    head = RequestHead(method=b"GET", target=b"/", fields=())
    return Exchange(
        connection=connection(), name="", head=head, status=status, started=1.0, ended=1.0 + seconds, request_bytes=1,
        response_bytes=2, reason=reason,
    )  # fmt: skip


def lines(tally: Tally) -> list[str]:
    counts = Counts.of(tally, {"accepted": 7, "idle_timeout": 2}, log_dropped=3, now={"connections": 4})
    return render(counts, ready={"backend": False}).decode().splitlines()


def test_everything_that_is_counted_is_shown() -> None:
    tally = Tally()
    tally.verdict(Pass())
    tally.verdict(Refuse(reason="x"))
    tally.passed(50)
    tally.call("s3", call())
    tally.call("", call(503, seconds=60.0, reason="upstream_connect"))
    tally.exchange(METADATA)
    tally.connection({"event": "refused", "reason": 'with "quotes"\n'})
    found = lines(tally)
    for line in (
        'kecs_sidecar_calls_total{service="s3",status="200"} 1.0',
        'kecs_sidecar_calls_total{service="unknown",status="503"} 1.0',
        'kecs_sidecar_call_failures_total{reason="upstream_connect"} 1.0',
        'kecs_sidecar_call_duration_seconds_bucket{le="0.005"} 1.0',
        'kecs_sidecar_call_duration_seconds_bucket{le="30.0"} 1.0',
        'kecs_sidecar_call_duration_seconds_bucket{le="+Inf"} 2.0',
        'kecs_sidecar_connections_total{verdict="pass"} 1.0',
        'kecs_sidecar_events_total{event="refused",reason="with \\"quotes\\"\\n"} 1.0',
        'kecs_sidecar_relay_total{what="accepted"} 7.0',
        "kecs_sidecar_passed_bytes_total 50.0",
        "kecs_sidecar_metadata_requests_total 1.0",
        "kecs_sidecar_log_dropped_total 3.0",
        'kecs_sidecar_limits_total{limit="idle_timeout"} 2.0',
        'kecs_sidecar_limits_total{limit="requests_over_limit"} 0.0',
        "kecs_sidecar_connections_now 4.0",
        'kecs_sidecar_ready{check="backend"} 0.0',
    ):
        assert line in found


def test_clients_can_not_make_it_grow_without_end() -> None:
    tally = Tally()
    for index in range(5000):
        tally.call(f"s{index}", call())
        tally.connection({"event": "refused", "reason": str(index)})
    assert len(tally.calls) == len(tally.events) == 2001
    assert sum(tally.calls.values()) == 5000
    assert tally.calls["other", "other"] == 3000


def test_the_intermediate_is_shown_when_there_is_one() -> None:
    assert not any("certificate_not_after" in line for line in lines(Tally()))
    ends = datetime(2026, 11, 22, tzinfo=UTC)
    counts = CertificateCounts(not_after=ends, renewals={"issued": 2, "no_pod": 1})
    found = render(Counts(), counts).decode().splitlines()
    (shown,) = [line for line in found if line.startswith("kecs_sidecar_certificate_not_after_seconds ")]
    assert float(shown.split()[1]) == ends.timestamp()
    assert 'kecs_sidecar_certificate_renewals_total{result="issued"} 2.0' in found
    assert 'kecs_sidecar_certificate_renewals_total{result="no_pod"} 1.0' in found


def test_every_limit_is_shown_before_it_is_reached() -> None:
    shown = [line for line in lines(Tally()) if line.startswith("kecs_sidecar_limits_total{")]
    assert len(shown) == len(LIMITS)
    assert len(set(LIMITS)) == len(LIMITS)


def test_prometheus_own_parser_reads_it() -> None:
    tally = Tally()
    tally.connection({"event": "refused", "reason": 'with "quotes"\n and \\'})
    families = {family.name: family for family in text_string_to_metric_families("\n".join(lines(tally)) + "\n")}
    (sample,) = families["kecs_sidecar_events"].samples
    assert (sample.name, sample.labels["reason"], sample.value) == (
        "kecs_sidecar_events_total",
        'with "quotes"\n and \\',
        1.0,
    )
    assert {family.type for family in families.values()} == {"counter", "gauge", "histogram"}
    assert all(name.startswith("kecs_sidecar_") and family.documentation for name, family in families.items())
