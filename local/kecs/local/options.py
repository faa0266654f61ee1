"""What `kecs run` was asked for, as values; wrong ones are refused with a hint. Pure."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from kecs.core import names
from kecs.core.backends import BackendProfile
from kecs.core.errors import UsageError
from kecs.core.formats import LogFormat, Summary

BACKEND = "backend"
"""Who answers ECS, where that is the emulator like for all else."""
_PORT_MAX = 65535


@dataclass(frozen=True, slots=True, kw_only=True)
class Publish:
    """A port inside the namespace that the host reaches on its loopback address."""

    host_port: int
    inside_port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CertsOptions:
    """What is asked of this machine's authority."""

    directory: str = ""
    """Empty: below the XDG data directory."""
    lifetime: timedelta = timedelta(hours=24)
    """Of one run's intermediate."""
    root_lifetime: timedelta = timedelta(days=3650)
    rotate_at: float = 0.67
    """The share of its root's life after which a run begins a rotation."""
    poll_s: float = 1.0
    """How often a run looks whether the authority has changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """One `kecs run`."""

    command: tuple[str, ...]
    backend: str = ""
    """URL of an emulator; empty for the embedded one."""
    profile: BackendProfile = BackendProfile.AUTO
    """What is known of it; auto: it is asked."""
    controlplane: str = ""
    """URL that answers ECS; empty for the embedded control plane, `BACKEND` for the backend."""
    region: str = ""
    """Empty: from the caller's environment or AWS configuration file, else the default."""
    account: str = names.DEFAULT_ACCOUNT
    publish: tuple[Publish, ...] = ()
    log: str = "-"
    """A file, or `-` for standard error."""
    log_format: LogFormat = LogFormat.TEXT
    quiet: bool = False
    env: Mapping[str, str] = field(default_factory=dict)
    dns: bool = True
    inspect: bool = False
    """Show calls on a page."""
    record: str = ""
    """A file that calls are written to; see `kecs.sidecar.recording`."""
    addons: tuple[str, ...] = ()
    """Files of mitmproxy addons."""
    unredacted: bool = False
    """Show and record secrets too."""
    keep: bool = False
    """Leave processes that outlive the command."""
    summary: Summary = Summary.TABLE
    timings: bool = False
    certs: CertsOptions = CertsOptions()
    relay: Mapping[str, Any] = field(default_factory=dict)
    """Limits of the data path that are not to be the default, as `kecs.relay.config.RelayConfig` names them."""
    engine_hosts: tuple[str, ...] = ()
    """AWS names that the second engine serves in any case, as `kecs.sidecar.config.SidecarConfig` spells them."""
    engine_idle_s: float = 60.0
    """The second engine ends after this long without a connection; 0: never."""
    accounts: tuple[str, ...] = ()
    """Which accounts access keys mean, as `kecs.sidecar.config.SidecarConfig` spells them."""

    def __post_init__(self) -> None:
        if not self.command:
            raise UsageError("no command to run", hint="put it behind two dashes: kecs run -- python app.py")
        if not re.fullmatch(r"\d{12}", self.account):
            raise UsageError(
                f'--account is "{self.account}"', hint="an AWS account id has 12 digits, e.g. 000000000000"
            )
        if self.profile is not BackendProfile.AUTO and not self.backend:
            raise UsageError(
                f'--profile is "{self.profile}", and there is no backend', hint="add --backend URL, or leave it out"
            )
        if self.unredacted and not (self.inspect or self.record):
            raise UsageError("--unredacted has nothing to show", hint="add --inspect or --record FILE")
        if self.region and not re.fullmatch(r"[a-z]{2,}(-[a-z]+)+-\d+", self.region):
            raise UsageError(f'--region is "{self.region}"', hint="name it as AWS does, e.g. eu-west-1")


def publishes(values: Sequence[str]) -> tuple[Publish, ...]:
    """Read `PORT` or `HOSTPORT:PORT`, each once."""
    found = tuple(_publish(value) for value in values)
    ports = [publish.host_port for publish in found]
    for port in ports:
        if ports.count(port) > 1:
            raise UsageError(f"--publish names host port {port} twice", hint="give each its own: HOSTPORT:PORT")
    return found


def _publish(value: str) -> Publish:
    match = re.fullmatch(r"(?:(\d{1,5}):)?(\d{1,5})", value)
    if match is None or not all(1 <= int(part) <= _PORT_MAX for part in match.groups(default="1")):
        raise UsageError(f'--publish is "{value}"', hint="give PORT or HOSTPORT:PORT, each from 1 to 65535")
    inside = int(match[2])
    return Publish(host_port=int(match[1] or inside), inside_port=inside)


def variables(values: Iterable[str]) -> dict[str, str]:
    """Read `NAME=VALUE` settings of --env; the last of a name wins."""
    found = {}
    for value in values:
        name, equals, content = value.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise UsageError(f'--env is "{value}"', hint="give NAME=VALUE, e.g. --env LOG_LEVEL=debug")
        found[name] = content
    return found
