"""The edge that reads settings files, and the process's variables."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from kecs.core.errors import ConfigError
from kecs.core.settings_loading import Loaded, load
from kecs.core.settings_sources import CONFIG_VARIABLE, File, Flag


def read_settings(
    *, flags: Mapping[str, Flag] | None = None, config: str = "", environ: Mapping[str, str] | None = None
) -> Loaded:
    """Load the settings of this process: flags, KECS_… variables and the settings files.

    The file is `config`, else what KECS_CONFIG names, else both kecs/kecs.yaml in the XDG configuration directory and
    kecs.yaml in the working directory, as far as they exist; the nearer one is stronger.
    """
    variables = os.environ if environ is None else environ
    return load(flags=flags, environ=variables, files=_files(config, variables))


def _files(config: str, environ: Mapping[str, str]) -> Sequence[File]:
    if named := config or environ.get(CONFIG_VARIABLE, ""):
        return [_file(Path(named), "--config" if config else CONFIG_VARIABLE)]
    home = Path(environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME", "/"), ".config"))
    paths = (home / "kecs" / "kecs.yaml", Path("kecs.yaml"))
    return [_file(path, "the search for settings") for path in paths if path.is_file()]


def _file(path: Path, asked: str) -> File:
    try:
        return File(name=str(path), text=path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise ConfigError(f"settings file {path} is not UTF-8", hint="save it as UTF-8") from error
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigError(
            f"settings file {path} (from {asked}): {reason}", hint="name a file that can be read"
        ) from error
