"""A real browser without a window. `scripts/setup.sh --clients` installs one where it can."""

import shutil
import subprocess
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final

_NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
_PATIENCE_S: Final = 180
_ARGUMENTS: Final = (
    "--headless=new",
    "--no-sandbox",  # it refuses to run as root otherwise
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--no-first-run",
    "--disable-background-networking",
    "--window-size=1280,640",
    "--virtual-time-budget=10000",
)


@cache
def browser() -> str:
    """Return the path of a browser that runs; empty where there is none."""
    return next((path for path in map(shutil.which, _NAMES) if path and _runs(path)), "")


def _runs(path: str) -> bool:
    # Some distributions have a program of this name that only says where to get the browser.
    version = [path, "--version"]
    return subprocess.run(version, capture_output=True, timeout=_PATIENCE_S, check=False).returncode == 0


def _run(scratch: Path, *arguments: str) -> str:
    profile = scratch / f"profile-{len(list(scratch.iterdir()))}"
    done = subprocess.run(
        [browser(), *_ARGUMENTS, f"--user-data-dir={profile}", *arguments],
        capture_output=True,
        text=True,
        timeout=_PATIENCE_S,
        check=True,
        env={"PATH": "/usr/bin:/bin", "HOME": str(scratch)},
    )
    return done.stdout


def document(url: str, scratch: Path, wanted: Callable[[str], bool]) -> str:
    """Return the page's document once it is as wanted; what it is in the end where it never is."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        found = _run(scratch, "--dump-dom", url)
        if wanted(found) or time.monotonic() > deadline:
            return found


def screenshot(url: str, scratch: Path) -> bytes:
    """Return what a person sees, as PNG."""
    picture = scratch / "page.png"
    _run(scratch, f"--screenshot={picture}", url)
    return picture.read_bytes()
