"""What we rely on inside moto, for the pinned range: breaks here before it breaks a user."""

import importlib
import re
from importlib.metadata import requires, version
from threading import Condition

import moto.sqs.models
import pytest
from moto.backend_index import backend_url_patterns
from moto.core.request import Request

from kecs.emulator import index, patches

SERVICES = (
    "s3",
    "dynamodb",
    "sqs",
    "sns",
    "sts",
    "ssm",
    "secretsmanager",
    "iam",
    "logs",
    "kinesis",
    "awslambda",
    "ec2",
)


def test_the_pin_is_the_range_that_was_read() -> None:
    assert version("moto").startswith("5.2.")
    assert any(re.match(r"moto\[.*\](>=5\.2\.5,<5\.3|<5\.3,>=5\.2\.5)", line) for line in requires("kecs") or [])


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_has_a_url_module(service: str) -> None:
    assert service in {name for name, _ in backend_url_patterns}
    urls = importlib.import_module(f"moto.{service}.urls")
    assert urls.url_bases
    assert all(callable(handler) and "{0}" in path for path, handler in urls.url_paths.items())
    assert index._handlers(service)


def test_a_request_keeps_the_encoded_path_and_the_bare_query() -> None:
    url = "https://s3.us-east-1.amazonaws.com/b/a%2Fb%20c+d//e?x=%2F&y"
    request = Request.from_primitives("PUT", url, {"host": "s3.us-east-1.amazonaws.com"}, b"body")
    assert request.raw_path == "/b/a%2Fb%20c+d//e"
    assert request.raw_url == url
    assert request.data == b"body"


def test_queues_wait_on_the_one_lock() -> None:
    patches.mend_sqs()
    queue = moto.sqs.models.Queue("q", "us-east-1", "000000000000")
    assert isinstance(queue._messages_lock, Condition)
    assert queue._messages_lock._lock is patches.LOCK  # type: ignore[attr-defined] # the point of the patch
    assert moto.sqs.models.unix_time_millis() == pytest.approx(moto.sqs.models.unix_time() * 1000, abs=1000)
