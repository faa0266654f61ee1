"""How calls are shown: words that settings, flags and reports share."""

from enum import StrEnum


class LogFormat(StrEnum):
    """How calls are written as they happen."""

    TEXT = "text"
    JSON = "json"


class Summary(StrEnum):
    """How calls are summed up at the end."""

    TABLE = "table"
    JSON = "json"
    NONE = "none"
