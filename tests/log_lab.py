"""A container's log as the API server tells it, for kube_lab: with times, from a time on, its end only. Pure."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

CONTAINER: Final = "aws-proxy-sidecar"
BASE: Final = "2026-01-01T00:00:00.000"


def told(content: bytes, query: dict[str, str], now: float, *, skip: int = 0) -> Iterator[bytes]:
    """Select lines, from the line number `skip` on, as the query asks."""
    lines = [(_stamp(line, number), line) for number, line in enumerate(content.splitlines())][skip:]
    if "sinceSeconds" in query:
        since = datetime.fromtimestamp(now, UTC) - timedelta(seconds=int(query["sinceSeconds"]))
        lines = [(stamp, line) for stamp, line in lines if stamp >= f"{since:%Y-%m-%dT%H:%M:%S}"]
    if "sinceTime" in query:  # kubelet is told whole seconds
        lines = [(stamp, line) for stamp, line in lines if stamp >= query["sinceTime"][:19]]
    if "tailLines" in query and not skip:
        lines = lines[len(lines) - min(len(lines), int(query["tailLines"])) :]
    for stamp, line in lines:
        yield (f"{stamp} ".encode() if query.get("timestamps") == "true" else b"") + line + b"\n"


def _stamp(line: bytes, number: int) -> str:
    """Give a line its time: the record's own, and nanoseconds that tell lines apart."""
    try:
        said = json.loads(line)["time"]
    except (ValueError, KeyError, TypeError):
        said = ""
    return f"{(said or BASE)[:23]}{number:06d}Z"


def record(event: str = "call", *, at: str = "2026-11-21T09:00:00.000Z", **fields: Any) -> dict[str, Any]:
    """Make a sidecar's record."""
    if event != "call":
        return {"time": at, "event": event, **fields}
    return {
        "time": at, "event": "call", "service": "s3", "operation": "PutObject", "region": "us-east-1", "status": 200,
        "duration_ms": 3.2, "bytes_in": 1000, "bytes_out": 200, "upstream": "10.0.0.9:4566", "request_id": "r",
        "host": "shop.s3.us-east-1.amazonaws.com", "method": "PUT", "verdict": "intercept", "reason": "", **fields,
    }  # fmt: skip


def lines(*records: dict[str, Any]) -> bytes:
    """Write a log."""
    return b"".join(json.dumps(one).encode() + b"\n" for one in records)
