"""Loaded into the suite's own pytest, by both runs alike: takes its own endpoint from moto's tests, notes outcomes.

moto's tests come with a mode for a server: each client gets that server's URL as its endpoint, and the server is reset
between tests. Here clients get no endpoint of the test's: boto3 takes the one of the environment, or AWS' own. And what
tests choose at random is the same in both runs: some names begin with a digit, or sort otherwise.
"""

import json
import os
import random
import uuid
from pathlib import Path
from typing import IO

import pytest
import requests
from moto.core.models import MockAWS, ServerModeMockAWS

_RESET = os.environ["KECS_SUITE_RESET"]
_OUTCOMES = Path(os.environ["KECS_SUITE_OUTCOMES"])
_SAID = 1000


class _Unpointed(ServerModeMockAWS):  # type: ignore[misc] # moto is not checked
    """moto's mode for a server, without the server's URL."""

    def __init__(self, *arguments: object, **named: object) -> None:
        self._test_server_mode_endpoint = None
        MockAWS.__init__(self, *arguments, **named)

    def reset(self) -> None:
        requests.post(_RESET, timeout=60).raise_for_status()


ServerModeMockAWS.__init__ = _Unpointed.__init__
ServerModeMockAWS.reset = _Unpointed.reset


_chance = random.Random()  # noqa: S311 - names of tests' resources
uuid.uuid4 = lambda: uuid.UUID(int=_chance.getrandbits(128), version=4)


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
