"""The name server that knows the backend's address does not answer for a while."""

import time
from pathlib import Path

from kill_lab import BACKEND_NAME, Load, World, anew, kept, tell


def test_calls_are_503_in_time_while_names_do_not_resolve(tmp_path: Path) -> None:
    """Connections to the backend that are open go on; who needs a new one is told, and waits for nobody else."""
    away = tmp_path / "away"
    relay = {"connect_timeout_s": 0.5}
    with World.running(tmp_path, backend_host=BACKEND_NAME, relay=relay) as world:
        with Load.on(world, kept, kept, kept, anew, anew) as load:
            load.wait(50)
            away.touch()
            since = time.monotonic()
            load.wait(10, "503", since=since)
            away.unlink()
            back = time.monotonic()
            load.wait(100, since=back)
        load.judge("503")
        tell("name server away", load, back)
