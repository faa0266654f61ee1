"""The iptables tools: which there are, which the kernel takes, and running them. An edge."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from kecs.core.errors import MachineError
from kecs.init_container import rules
from kecs.init_container.config import BackendChoice, Redirect
from kecs.init_container.rules import Family

_TIMEOUT_S: Final = 60.0
_LOCK_WAIT_S: Final = 30


class DeniedError(MachineError):
    """The kernel answers only those with more privileges: what is there can't be known."""


class Backend(StrEnum):
    """A kernel interface that iptables writes to."""

    NFT = "nft"
    LEGACY = "legacy"


_BASE: Final[Mapping[Family, str]] = {Family.IPV4: "iptables", Family.IPV6: "ip6tables"}
_OTHER: Final[Mapping[Backend, Backend]] = {Backend.NFT: Backend.LEGACY, Backend.LEGACY: Backend.NFT}
_NEEDS: Final[Mapping[Backend, str]] = {Backend.NFT: "NET_ADMIN", Backend.LEGACY: "NET_ADMIN and NET_RAW"}
_DENIED: Final = ("not permitted", "ermission denied")
# What the legacy tools say in a user namespace, whatever its privileges: they don't work there, so nothing is there.
_UNLISTED: Final = "Failed to list table names"
_HINTS: Final[tuple[tuple[str, Callable[[Backend], str]], ...]] = (
    (_UNLISTED, lambda _: "in a user namespace nft alone works: set KECS_IPTABLES_BACKEND=nft"),
    (_DENIED[0], lambda backend: f"the init container needs {_NEEDS[backend]}; a sandbox may refuse it"),
    (_DENIED[1], lambda backend: f"the init container needs {_NEEDS[backend]} and to run as root"),
    (
        "unable to initialize table",  # all that the legacy tools say of either cause
        lambda backend: (
            f"the init container needs {_NEEDS[backend]}, and the node's kernel iptable_nat and iptable_filter;"
            f" or try KECS_IPTABLES_BACKEND={_OTHER[backend]}"
        ),
    ),
    ("xtables lock", lambda _: "another program changes rules in this network namespace; end it"),
    (
        "",
        lambda backend: (
            "the node's kernel needs nf_conntrack, nf_nat, xt_REDIRECT, xt_owner, xt_comment;"
            f" or try KECS_IPTABLES_BACKEND={_OTHER[backend]}"
        ),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """The programs of one back end and family."""

    backend: Backend
    family: Family

    @property
    def present(self) -> bool:
        """Say whether both programs are on PATH."""
        return all(shutil.which(self._program(verb)) for verb in ("save", "restore"))

    def save(self) -> str:
        """Return the rules that are there; raise MachineError when the kernel does not tell."""
        return self._run("save", [])

    def check(self, text: str) -> None:
        """Have the tool parse the text, without applying it."""
        self._run("restore", ["--noflush", "--test"], text)

    def restore(self, text: str) -> None:
        """Apply the text, each table in one transaction."""
        self._run("restore", ["--noflush", "--wait", str(_LOCK_WAIT_S)], text)

    def _program(self, verb: str) -> str:
        return f"{_BASE[self.family]}-{self.backend}-{verb}"

    def _run(self, verb: str, options: list[str], text: str = "") -> str:
        program = self._program(verb)
        try:
            done = subprocess.run(
                [program, *options],
                input=text,
                capture_output=True,
                text=True,
                timeout=_TIMEOUT_S,
                env=_environment(),
                check=False,
            )
        except FileNotFoundError as error:
            raise MachineError(
                f"{program} is not installed", hint=f"install iptables with both back ends{self._otherwise}"
            ) from error
        except (OSError, subprocess.TimeoutExpired) as error:
            raise MachineError(f"{program} can't be run: {error}", hint="run it by hand to see why") from error
        if done.returncode:
            lines = (line for line in done.stderr.splitlines() if not line.startswith("Try `"))
            said = " ".join(" ".join(lines).split()) or f"exit code {done.returncode}"
            denied = _UNLISTED not in said and any(words in said for words in _DENIED)
            kind = DeniedError if denied else MachineError
            raise kind(f"{program} refused ({self.family}): {said}", hint=self._hint(said))
        return done.stdout

    def _hint(self, said: str) -> str:
        return next(hint(self.backend) for words, hint in _HINTS if words in said) + self._otherwise

    @property
    def _otherwise(self) -> str:
        return "; or set KECS_IPV6=off if the pod has no IPv6 address" if self.family is Family.IPV6 else ""


def _environment() -> dict[str, str]:
    environment = dict(os.environ)
    if not os.access("/run", os.W_OK):
        # The legacy tools keep their lock there, and a root file system may be read-only; in a pod nobody competes.
        environment.setdefault("XTABLES_LOCKFILE", "/dev/null")
    return environment


def find(choice: BackendChoice, redirect: Redirect, families: Iterable[Family]) -> Backend:
    """Return the back end to use: the first, in order of preference, whose kernel side takes our rules."""
    families = tuple(families)
    refusals = []
    for backend in _preferred(choice, families):
        try:
            for family in families:
                _probe(Tool(backend=backend, family=family), redirect)
        except MachineError as error:
            refusals.append(error)
        else:
            return backend
    denied = [error for error in refusals if isinstance(error, DeniedError)]
    hints = dict.fromkeys(error.hint for error in denied or refusals)
    raise MachineError("; ".join(error.message for error in refusals), hint="; ".join(hints))


def _preferred(choice: BackendChoice, families: tuple[Family, ...]) -> tuple[Backend, ...]:
    """Prefer the back end that somebody uses here already: rules in both are walked one after the other."""
    if choice is not BackendChoice.AUTO:
        return (Backend(choice.value),)
    used = {backend: sum(_rules_in(backend, family) for family in families) for backend in Backend}
    return tuple(sorted(Backend, key=lambda backend: -used[backend]))


def _rules_in(backend: Backend, family: Family) -> int:
    tool = Tool(backend=backend, family=family)
    try:
        return rules.rule_count(tool.save()) if tool.present else 0
    except MachineError:
        return 0


def _probe(tool: Tool, redirect: Redirect) -> None:
    """Make chains that nothing reaches and remove them: parsing alone does not ask the kernel."""
    try:
        tool.restore(rules.probe(redirect, tool.family))
    except MachineError:
        with suppress(MachineError):  # the first refusal says why
            _forget(tool)
        raise
    _forget(tool)


def _forget(tool: Tool) -> None:
    tool.restore(rules.cleanup(tool.save(), prefix=rules.PROBE_PREFIX))
