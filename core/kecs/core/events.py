"""One JSON line per event: a stable snake_case name and fields. Pure: edges write it."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

_encode: Final = json.JSONEncoder(separators=(",", ":"), default=str).encode


def line(event: str, now: datetime, fields: Mapping[str, Any]) -> str:
    """Spell an event. The time is UTC with milliseconds, as in every log of KECS."""
    time = now.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
    return _encode({"time": time, "event": event, **fields})
