"""Reading what wrk prints. Pure."""

import re
from typing import Final

_UNITS_MS: Final = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0, "h": 3_600_000.0}
_PERCENTILE: Final = re.compile(r"^\s+(50|90|99)%\s+([\d.]+)(us|ms|s|m|h)\s*$", re.MULTILINE)
_TOTAL: Final = re.compile(r"^\s+(\d+) requests in ", re.MULTILINE)
_RATE: Final = re.compile(r"^Requests/sec:\s+([\d.]+)\s*$", re.MULTILINE)
_ERRORS: Final = re.compile(r"^\s+Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", re.MULTILINE)
_NOT_2XX: Final = re.compile(r"^\s+Non-2xx or 3xx responses: (\d+)", re.MULTILINE)


def parse(text: str) -> dict[str, float]:
    """Return requests, rate, percentiles in milliseconds, errors; raise ValueError where there is no result."""
    total, rate = _TOTAL.search(text), _RATE.search(text)
    if total is None or rate is None:
        raise ValueError(f"wrk said no result: {text!r}")
    socket_errors, refused = _ERRORS.search(text), _NOT_2XX.search(text)
    errors = sum(map(int, socket_errors.groups())) if socket_errors else 0
    found = {
        "requests": float(total[1]),
        "rate": float(rate[1]),
        "errors": float(errors + (int(refused[1]) if refused else 0)),
    }
    return found | {f"p{share}_ms": float(value) * _UNITS_MS[unit] for share, value, unit in _PERCENTILE.findall(text)}
