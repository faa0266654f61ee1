import pytest

from benchmarks.relay.wrk import parse

SAID = """\
Running 2s test @ https://bench-bucket.s3.us-east-1.amazonaws.com/small
  1 threads and 10 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   628.41us  512.02us  12.64ms   96.17%
    Req/Sec    17.01k     2.13k   19.20k    75.00%
  Latency Distribution
     50%  542.00us
     75%  683.00us
     90%    1.25ms
     99%    2.50s
  33881 requests in 2.00s, 43.30MB read
Requests/sec:  16938.51
Transfer/sec:     21.65MB
"""


def test_requests_rate_and_percentiles_are_read() -> None:
    assert parse(SAID) == {
        "requests": 33881,
        "rate": 16938.51,
        "errors": 0,
        "p50_ms": pytest.approx(0.542),
        "p90_ms": 1.25,
        "p99_ms": 2500.0,
    }


@pytest.mark.parametrize(
    ("more", "errors"),
    [
        pytest.param("  Socket errors: connect 1, read 2, write 3, timeout 4\n", 10, id="connections"),
        pytest.param("  Non-2xx or 3xx responses: 7\n", 7, id="answers"),
        pytest.param(
            "  Socket errors: connect 0, read 2, write 0, timeout 0\n  Non-2xx or 3xx responses: 7\n", 9, id="both"
        ),
    ],
)
def test_errors_are_counted(more: str, errors: int) -> None:
    assert parse(SAID.replace("Requests/sec", more + "Requests/sec"))["errors"] == errors


def test_what_is_no_result_is_refused() -> None:
    with pytest.raises(ValueError, match="wrk said no result: 'unable to connect'"):
        parse("unable to connect")
