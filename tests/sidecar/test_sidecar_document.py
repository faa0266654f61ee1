"""docs/sidecar.md against the settings and the words that it lists."""

import re
from pathlib import Path

from kecs.calls.counts import LIMITS
from kecs.core.names import ADMIN_PORT, PROBE_PORT
from kecs.core.settings_keys import KEYS
from kecs.sidecar.effective import VARIABLES

TEXT = (Path(__file__).parents[2] / "docs" / "sidecar.md").read_text(encoding="utf-8")
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in TEXT.splitlines() if line.startswith("| `")]
SETTINGS = {f"relay.{row[0].strip('`')}": row for row in ROWS if len(row) == 5}


def spelled(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple):
        return ", ".join(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def test_every_setting_has_its_row() -> None:
    keys = {path: key for path, key in KEYS.items() if path.startswith("relay.")}
    assert SETTINGS.keys() == keys.keys()
    for path, key in keys.items():
        assert SETTINGS[path][1] == spelled(key.default)
        assert SETTINGS[path][3] == key.meaning
        assert key.variable in VARIABLES


def test_every_limit_has_its_word() -> None:
    told = {row[4].strip("`") for row in SETTINGS.values()} - {""}
    beside = {"descriptors_exhausted", "client_timeout"}
    assert told | beside == set(LIMITS)
    assert all(f"`{word}`" in TEXT for word in beside)


def test_ports_and_paths_are_those_that_are_served() -> None:
    assert re.findall(r"^\| `(/\w+)` \|", TEXT, re.MULTILINE) == ["/livez", "/readyz", "/metrics", "/config", "/certs"]
    assert f"127.0.0.1:{ADMIN_PORT}" in TEXT
    assert f"port {PROBE_PORT}" in TEXT
