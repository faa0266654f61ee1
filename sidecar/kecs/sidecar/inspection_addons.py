"""The edge that loads a user's own mitmproxy addons, and tells of their errors by file and line."""

import logging
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Final, override

_TOLD_MAX: Final = 50
"""Places in addons whose errors are told, each once: an addon that fails fails at every call."""

type Tell = Callable[[str, str, int, str], None]
"""Takes an event, a file, a line and what happened."""


def load(paths: Sequence[str], tell: Tell) -> list[ModuleType]:
    """Load the files in this order; those that can't be loaded are told of as `addon_failed`."""
    found = []
    for number, path in enumerate(paths):
        try:
            found.append(_loaded(path, number))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - somebody else's program
            tell("addon_failed", *place(error, (path,)), said(error))
    return found


def _loaded(path: str, number: int) -> ModuleType:
    name = f"kecs_addon_{number}_{Path(path).stem}"
    loader = SourceFileLoader(name, path)
    spec = spec_from_loader(name, loader)
    if spec is None:
        raise ImportError(f"{path} is no module")
    module = module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickles look themselves up there
    sys.path.insert(0, str(Path(path).parent))  # and stay: addons may import beside themselves later
    loader.exec_module(module)
    if not hasattr(module, "name"):
        module.name = name  # type: ignore[attr-defined]  # how mitmproxy tells addons apart
    return module


def said(error: BaseException) -> str:
    """Say what went wrong, as the last line of a traceback does."""
    text = str(error.msg if isinstance(error, SyntaxError) else error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def place(error: BaseException, paths: Sequence[str]) -> tuple[str, int]:
    """Return file and line of the user's that an error is about: the last one in their files."""
    if isinstance(error, SyntaxError) and error.filename is not None:
        return error.filename, error.lineno or 0
    return _last(error.__traceback__, paths) or (paths[0], 0)


def _last(trace: TracebackType | None, paths: Sequence[str]) -> tuple[str, int] | None:
    found = [(frame.filename, frame.lineno or 0) for frame in traceback.extract_tb(trace) if frame.filename in paths]
    return found[-1] if found else None


class Errors(logging.Handler):
    """Tells of what went wrong inside of addons; mitmproxy logs it, and goes on with the flow as it is."""

    def __init__(self, paths: Sequence[str], tell: Tell) -> None:
        super().__init__(logging.ERROR)
        self._paths = tuple(paths)
        self._tell = tell
        self._told: set[tuple[str, int]] = set()

    @override
    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        place = _last(record.exc_info[2], self._paths) if record.exc_info else None
        if error is None or place is None or place in self._told or len(self._told) >= _TOLD_MAX:
            return
        self._told.add(place)
        self._tell("addon_error", *place, said(error))
