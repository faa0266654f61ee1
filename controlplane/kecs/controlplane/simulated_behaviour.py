"""What a container does in the simulated runtime: what its definition says it does, or nothing, for ever. Pure.

A container that nothing is said of starts, and runs until it is stopped. More is said, in this order, by

1. the environment variable `KECS_SIMULATE` (an override of RunTask reaches it), or else the docker label
   `kecs.io/simulate`: a JSON object, see `Behaviour`: `{"exitCode": 3, "afterSeconds": 2}`;
2. an image that can't be there: one of a registry below `.invalid` (RFC 6761 keeps it from ever existing), or one whose
   repository's last part is `does-not-exist`;
3. a command that is no more than waiting and ending: `sleep 5`, `true`, `false`, `sh -c 'echo x; sleep 2 && exit 3'`.
"""

import json
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from kecs.core.errors import KecsError

type Json = dict[str, Any]

VARIABLE: Final = "KECS_SIMULATE"
LABEL: Final = "kecs.io/simulate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """What a container does."""

    exit_code: int | None = None
    """`exitCode`: it ends by itself, with this; without one it runs for ever."""
    after_s: float = 0.0
    """`afterSeconds`: how long after its start."""
    reason: str = ""
    """`reason`: its container's, e.g. `OutOfMemoryError: Container killed due to memory usage`."""
    pull_failure: str = ""
    """`pullFailure`: its image can't be pulled, and why."""
    start_failure: str = ""
    """`startFailure`: it can't be started, and why."""
    healthy: bool = True
    """`healthy`: what its health check says once the start period has passed."""
    unhealthy_after_s: float | None = None
    """`unhealthyAfterSeconds`: when its health check begins to fail, after its start."""
    stop_s: float | None = None
    """`stopSeconds`: how long it takes to end when it is told to, at most its stopTimeout; then it is killed (137)."""
    stop_exit_code: int = 143
    """`stopExitCode`: what it ends with when it is told to."""


MEMBERS: Final[dict[str, tuple[str, type]]] = {
    "exitCode": ("exit_code", int),
    "afterSeconds": ("after_s", float),
    "reason": ("reason", str),
    "pullFailure": ("pull_failure", str),
    "startFailure": ("start_failure", str),
    "healthy": ("healthy", bool),
    "unhealthyAfterSeconds": ("unhealthy_after_s", float),
    "stopSeconds": ("stop_s", float),
    "stopExitCode": ("stop_exit_code", int),
}


class BehaviourError(KecsError):
    """What is said of a container can't be understood."""


def behaviour(container: Json) -> Behaviour:
    """Return what a container of a definition does. Raise BehaviourError."""
    if said := _said(container):
        return _read(*said)
    if why := _missing_image(container["image"]):
        return Behaviour(pull_failure=why)
    return _commanded([*(container.get("entryPoint") or ()), *(container.get("command") or ())])


def _said(container: Json) -> tuple[str, str] | None:
    for one in container.get("environment") or ():
        if one.get("name") == VARIABLE:
            return VARIABLE, one.get("value", "")
    label = (container.get("dockerLabels") or {}).get(LABEL)
    return (LABEL, label) if label is not None else None


def _read(source: str, text: str) -> Behaviour:
    try:
        said = json.loads(text)
    except ValueError as error:
        raise BehaviourError(f"{source} is no JSON: {text!r}: {error}") from error
    if not isinstance(said, dict):
        raise BehaviourError(f"{source} is no JSON object: {text!r}")
    unknown = sorted(said.keys() - MEMBERS.keys())
    if unknown:
        raise BehaviourError(f"{source} has unknown members {unknown}: there are {sorted(MEMBERS)}")
    fields: Json = {}
    for name, value in said.items():
        field, kind = MEMBERS[name]
        fits = isinstance(value, (int, float) if kind is float else kind) and isinstance(value, bool) is (kind is bool)
        if not fits or (kind in {int, float} and value < 0):
            raise BehaviourError(f"{source} has {name} {value!r}: it must be a {kind.__name__}, and none below zero")
        fields[field] = value
    return Behaviour(**fields)


def _missing_image(image: str) -> str:
    """Return what a registry says of an image that can't be there."""
    host = image.split("/", 1)[0].split(":", 1)[0] if "/" in image else ""
    repository = image.split("@", 1)[0].rpartition("/")[2].split(":", 1)[0]
    reference = image if "." in host else f"docker.io/{'' if '/' in image else 'library/'}{image}"
    retried = "pull image manifest has been retried 1 time(s): failed to resolve ref"
    if host == "invalid" or host.endswith(".invalid"):
        return f"{retried} {reference}: failed to do request: dial tcp: lookup {host}: no such host"
    if repository == "does-not-exist":
        return (
            f"{retried} {reference}: pull access denied, repository does not exist or may require authorization: "
            "server message: insufficient_scope: authorization failed"
        )
    return ""


_SHELLS: Final = frozenset({"sh", "/bin/sh", "bash", "/bin/bash", "ash", "/bin/ash"})
_SECONDS: Final = re.compile(r"(\d+(?:\.\d+)?)s?")
_HARMLESS: Final = frozenset({"echo", "printf", ":", "true"})
_OPERATORS: Final = ";&|<>()"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    words: list[str] = field(default_factory=list)
    only_after_success: bool = False


def _commanded(words: list[str]) -> Behaviour:
    """Return what a command does that is understood whole; any other runs for ever."""
    if len(words) == 3 and words[0] in _SHELLS and words[1] == "-c":  # noqa: PLR2004 - the shell, -c, the script
        found = _script(words[2])
    else:
        found = _steps([_Step(words=words)]) if words else None
    return Behaviour() if found is None else Behaviour(exit_code=found[0], after_s=found[1])


def _script(script: str) -> tuple[int, float] | None:
    """Return a script's exit code and how long it takes; None where it says more than is understood."""
    lexer = shlex.shlex(script, posix=True, punctuation_chars=_OPERATORS)
    lexer.whitespace_split = True
    try:
        words = list(lexer)
    except ValueError:
        return None
    steps: list[_Step] = [_Step()]
    for word in words:
        if word in {";", "&&"}:
            steps.append(_Step(only_after_success=word == "&&"))
        elif not word.strip(_OPERATORS) or "`" in word:
            return None
        else:
            steps[-1].words.append(word)
    return _steps(steps) if "\n" not in script else None


def _steps(steps: Iterable[_Step]) -> tuple[int, float] | None:
    seconds = 0.0
    code = 0
    for step in steps:
        if step.only_after_success and code:
            continue
        match step.words:
            case ["sleep", duration] if (found := _SECONDS.fullmatch(duration)) is not None:
                seconds += float(found[1])
                code = 0
            case ["exit", number] if number.isdecimal():
                return int(number) % 256, seconds
            case ["false"]:
                code = 1
            case [name, *_] if name in _HARMLESS:
                code = 0
            case [] | ["exit"]:
                pass
            case _:
                return None
        if step.words == ["exit"]:
            break
    return code, seconds
