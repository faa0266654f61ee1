"""What `kecs run` does for those who look at calls: the files they name, and the engine's word that it is there.

The command starts once the engine is ready: its first call is seen too, and what can't be loaded or written is refused
before anything has run.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from kecs.core.errors import KecsError, MachineError, UsageError
from kecs.local.options import RunOptions
from kecs.local.reporter import Reporter
from kecs.sidecar import recording
from kecs.sidecar.config import EngineMode

_READY_S: Final = 60.0
_CREATOR: Final = metadata.version("kecs")
_HEARD: Final = frozenset({"inspect", "engine_started", "engine_failed", "addon_failed", "record_failed"})


def mode(options: RunOptions) -> EngineMode:
    """Return what the engine is for."""
    if options.inspect:
        return EngineMode.INSPECT
    return EngineMode.WATCH if options.record or options.addons else EngineMode.ON_DEMAND


def wanted(options: RunOptions) -> bool:
    """Tell whether the command is to wait for the engine."""
    return mode(options) is not EngineMode.ON_DEMAND


def settings(options: RunOptions) -> dict[str, Any]:
    """Return what the sidecar is told of it, with files' absolute names; raise UsageError for those that are none."""
    return {
        "engine": mode(options),
        "record": str(_absolute(options.record)) if options.record else "",
        "addons": tuple(str(_addon(one)) for one in options.addons),
        "unredacted": options.unredacted,
    }


def _absolute(path: str) -> Path:
    return Path.cwd() / Path(path).expanduser()


def _addon(path: str) -> Path:
    found = _absolute(path)
    try:
        with found.open("rb"):
            return found
    except OSError as error:
        raise UsageError(
            f'--addon is "{path}": {os.strerror(error.errno or 0).lower()}', hint="name a Python file that you may read"
        ) from error


@contextmanager
def recorded(options: RunOptions) -> Iterator[None]:
    """Begin the recording anew; make it whole at the end, whatever has become of its writer."""
    if not options.record:
        yield
        return
    with recording.held(str(_absolute(options.record)), creator=_CREATOR):
        yield


def await_engine(reporter: Reporter, options: RunOptions) -> None:
    """Wait until the engine is ready; raise KecsError when it can't be."""
    missing = {"engine_started", "inspect"} if options.inspect else {"engine_started"}
    while missing:
        heard = reporter.await_any(_HEARD, _READY_S)
        if heard is None:
            raise MachineError(f"the engine was not ready within {_READY_S:.0f} s", hint="what it wrote stands above")
        refused = _refusal(heard)
        if refused is not None:
            raise refused
        missing.discard(str(heard["event"]))


def _refusal(heard: Mapping[str, Any]) -> KecsError | None:
    match heard["event"]:
        case "addon_failed":
            line = f", line {heard['line']}" if heard["line"] else ""
            return UsageError(f"--addon {heard['file']}{line}: {heard['reason']}", hint="nothing was run")
        case "record_failed":
            return UsageError(f"{heard['reason']}", hint="nothing was run")
        case "engine_failed":
            return MachineError(f"the engine {heard['reason']}", hint="what it wrote stands above this line")
    return None
