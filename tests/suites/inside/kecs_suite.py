"""Loaded into the suite's own pytest, by both runs alike: takes its own endpoint from moto's tests, notes outcomes.

moto's tests come with a mode for a server: each client gets that server's URL as its endpoint, and the server is reset
between tests. Here clients get the endpoint of the environment, or none at all: then boto3 takes AWS' own. And what
tests choose at random is the same in both runs: some names begin with a digit, or sort otherwise.
"""

import json
import os
import random
import socket
import uuid
from pathlib import Path
from typing import IO, Any

import pytest
import requests
from moto.core.models import MockAWS, ServerModeMockAWS

_RESET = os.environ["KECS_SUITE_RESET"]
_OUTCOMES = Path(os.environ["KECS_SUITE_OUTCOMES"])
_ENDPOINT = os.environ.get("AWS_ENDPOINT_URL")
"""Given to clients as moto's mode gives its server's: boto3 looks up Timestream's endpoint by AWS' name otherwise."""
_SAID = 1000


class _Unpointed(ServerModeMockAWS):  # type: ignore[misc] # moto is not checked
    """moto's mode for a server, with no URL where the environment has none."""

    def __init__(self, *arguments: object, **named: object) -> None:
        self._test_server_mode_endpoint = _ENDPOINT
        MockAWS.__init__(self, *arguments, **named)

    def reset(self) -> None:
        requests.post(_RESET, timeout=60).raise_for_status()


ServerModeMockAWS.__init__ = _Unpointed.__init__
ServerModeMockAWS.reset = _Unpointed.reset


_chance = random.Random("collecting")  # noqa: S311 - names of tests' resources, some chosen when tests are collected
uuid.uuid4 = lambda: uuid.UUID(int=_chance.getrandbits(128), version=4)


_lookup = socket.getaddrinfo


def _addresses(host: Any, *arguments: Any, **named: Any) -> Any:
    """Find names below localhost everywhere (RFC 6761): S3 Control's clients put the account before the host."""
    below = isinstance(host, str) and host.endswith(".localhost")
    return _lookup("localhost" if below else host, *arguments, **named)


socket.getaddrinfo = _addresses


class _Notes:
    """One line of JSON for each outcome, written at once: a suite that dies leaves what it did."""

    def __init__(self, lines: IO[str]) -> None:
        self._lines = lines

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        _chance.seed(item.nodeid)
        random.seed(item.nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call" and report.passed:
            return
        outcome: str = "xfailed" if report.skipped and hasattr(report, "wasxfail") else report.outcome
        if report.failed and report.when != "call":
            outcome = "error"
        crash = getattr(report.longrepr, "reprcrash", None)
        said = str(crash.message if crash else report.longrepr or "")[-_SAID:] if report.failed else ""
        self._lines.write(json.dumps({"test": report.nodeid, "outcome": outcome, "said": said}) + "\n")
        self._lines.flush()


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(_Notes(_OUTCOMES.open("w")))
