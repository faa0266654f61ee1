"""The edge that reads a root or issuer to be imported: a directory in cert-manager's Secret layout, or single files."""

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from kecs.core.errors import AuthorityError, UsageError

_FIELDS: Final = ("tls.crt", "tls.key", "ca.crt")
_SIZE_MAX: Final = 1 << 20
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def read_fields(
    directory: Path | None, *, certificate: Path | None, key: Path | None, root: Path | None
) -> tuple[dict[str, bytes], str]:
    """Return the fields and what to call their source; raise an error that names everything that is wrong with them."""
    paths = _paths(directory, certificate=certificate, key=key, root=root)
    complaints: list[str] = []
    fields: dict[str, bytes] = {}
    for name, path in paths.items():
        try:
            fields[name] = _content(path)
        except OSError as error:
            complaints.append(f"{path} can't be read: {(error.strerror or str(error)).lower()}")
            continue
        if name == "tls.key" and _is_open(path):
            complaints.append(f"others than its owner may read {path}, and it holds a private key: `chmod 600 {path}`")
    if complaints:
        raise AuthorityError("; ".join(complaints), hint="mend that, and have the key replaced if others have seen it")
    return fields, str(directory or certificate)


def _paths(
    directory: Path | None, *, certificate: Path | None, key: Path | None, root: Path | None
) -> Mapping[str, Path]:
    singles = {"tls.crt": certificate, "tls.key": key, "ca.crt": root}
    if directory is not None:
        if any(singles.values()):
            raise UsageError("a directory and single files are given", hint="give DIRECTORY, or --cert and --key")
        named = {name: directory / name for name in _FIELDS}
        return {name: path for name, path in named.items() if name != "ca.crt" or path.exists()}
    if certificate is None or key is None:
        raise UsageError(
            "nothing to import is given", hint="give a DIRECTORY with tls.crt, tls.key and ca.crt, or --cert and --key"
        )
    return {name: path for name, path in singles.items() if path is not None}


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_SIZE_MAX)


def _is_open(path: Path) -> bool:
    """Say whether others may read a key. Root may mount Secrets as it likes: what counts is the mode."""
    found = path.stat()
    return bool(found.st_mode & _OTHERS) or found.st_uid not in {os.geteuid(), 0}
