"""What is said for each way of not answering, and that the AWS SDKs try it again."""

import pytest

from kecs.calls.outages import message, outage
from kecs.relay.decide import Failure

RETRIED = {500, 502, 503, 504}
"""By botocore's both modes and the SDKs for Java 2, JavaScript 3, Go 2, Rust and PHP; Ruby tries all from 500 on."""


@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        (Failure.CONNECT, 503, "ServiceUnavailable"),
        (Failure.CONNECT_TIMEOUT, 503, "ServiceUnavailable"),
        (Failure.OVERLOAD, 503, "ServiceUnavailable"),
        (Failure.RESET, 502, "BadGateway"),
        (Failure.INVALID, 502, "BadGateway"),
        (Failure.FIRST_BYTE_TIMEOUT, 504, "GatewayTimeout"),
        (Failure.TIMEOUT, 504, "GatewayTimeout"),
    ],
)
def test_the_table(failure: Failure, status: int, code: str) -> None:
    found = outage(failure)
    assert (found.status, found.code) == (status, code)


@pytest.mark.parametrize("failure", Failure)
def test_every_failure_has_words_and_is_tried_again(failure: Failure) -> None:
    assert outage(failure).status in RETRIED
    said = message(failure, "http://127.0.0.1:4566", "connection refused")
    assert said.startswith(f"{outage(failure).what}: http://127.0.0.1:4566 (")
    assert said.endswith(": connection refused)")
    assert message(failure, "http://e", "").endswith(f"({outage(failure).why})")
