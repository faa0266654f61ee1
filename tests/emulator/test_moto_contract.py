"""What we rely on inside moto, for the pinned range: breaks here before it breaks a user."""

import hashlib
import importlib
import importlib.util
import inspect
import re
from importlib.metadata import requires, version
from threading import Condition
from typing import Any

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


READ_OF_SQS = {
    "Message.change_visibility": "fcde8986de13",
    "Message.delay": "4af4d292f3a6",
    "Message.mark_received": "98e7ec115c7f",
    "Queue.messages": "03a531dbcbcf",
    "Queue.pending_message_groups": "e940658c5997",
    "Queue.approximate_number_of_messages_delayed": "c3c1dadb0c42",
    "Queue.approximate_number_of_messages_not_visible": "5dbecc4dda17",
    "Queue.add_message": "f27c9231c1f2",
    "Queue.delete_message": "fa6fd5b9bd2c",
    "Queue.wait_for_messages": "58432562ccf2",
    "SQSBackend.receive_message": "065f3e5e7d21",
    "SQSBackend.change_message_visibility": "f0e9df5f6662",
    "SQSBackend.purge_queue": "443ea1ae7b15",
}
"""What `kecs.emulator.queues` stands in for or builds upon, as it was when it was read."""


@pytest.mark.parametrize("name", READ_OF_SQS)
def test_what_queues_stand_in_for_is_what_was_read(name: str) -> None:
    """When it changes: read what did, mend `queues` if need be, and note the digest that the failure shows."""
    source = importlib.util.spec_from_file_location("moto.sqs.models_for_reading", moto.sqs.models.__file__)
    assert source
    assert source.loader
    models = importlib.util.module_from_spec(source)
    source.loader.exec_module(models)
    owner, _, member = name.partition(".")
    found: Any = inspect.getattr_static(getattr(models, owner), member)
    read: Any = found.fget if isinstance(found, property) else found
    code = inspect.getsource(read)
    assert hashlib.sha256(code.encode()).hexdigest()[:12] == READ_OF_SQS[name]
