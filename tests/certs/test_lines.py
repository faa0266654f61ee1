import json
import os
import threading
from datetime import UTC, datetime
from pathlib import Path

from kecs.certs.lines import Lines


def test_an_event_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "log"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    lines = Lines(descriptor, lambda: datetime(2026, 11, 21, tzinfo=UTC), {"replica": "a"})
    lines.event("pod_reviewed", {"pod": "x\ny"})
    lines.close()
    os.close(descriptor)
    assert json.loads(path.read_text()) == {
        "time": "2026-11-21T00:00:00.000Z",
        "event": "pod_reviewed",
        "replica": "a",
        "pod": "x\ny",
    }
    assert path.read_text().count("\n") == 1


def test_a_reader_that_does_not_read_stops_nobody() -> None:
    reading, writing = os.pipe()
    lines = Lines(writing)
    for number in range(20_000):
        lines.event("x", {"number": number, "padding": "y" * 100})
    assert lines.dropped > 10_000
    with os.fdopen(reading, "rb") as reader:
        kept = [json.loads(reader.readline())["number"] for _ in range(100)]
        assert kept == list(range(100))  # the oldest are kept, in order
        threading.Thread(target=reader.read, daemon=True).start()
        lines.close()
        os.close(writing)


def test_a_reader_that_went_away_is_counted() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    lines = Lines(writing)
    lines.event("x", {})
    lines.close()
    os.close(writing)
    assert lines.dropped == 1
