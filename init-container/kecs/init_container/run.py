"""Apply, show and remove: what the init container does, in order. An edge."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kecs.core.errors import ConfigError, MachineError
from kecs.init_container import bundle, rules
from kecs.init_container.backend import Backend, Tool, find
from kecs.init_container.config import Config, IPv6
from kecs.init_container.rules import Family

_IPV6_IN_KERNEL: Final = Path("/proc/net/if_inet6")


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What was applied, and where."""

    backend: Backend
    families: tuple[Family, ...]


def families(ipv6: IPv6, *, in_kernel: bool) -> tuple[Family, ...]:
    """Return the families to write rules for. What the kernel does not speak needs none."""
    return (Family.IPV4, Family.IPV6) if in_kernel and ipv6 is IPv6.AUTO else (Family.IPV4,)


def _families(config: Config) -> tuple[Family, ...]:
    return families(config.ipv6, in_kernel=_IPV6_IN_KERNEL.exists())


def apply(config: Config) -> Applied:
    """Put the rules into this network namespace: all texts are checked before the first is applied."""
    wanted = _families(config)
    backend = find(config.backend, config.redirect, wanted)
    remove(other for other in Backend if other is not backend)
    texts = []
    for family in wanted:
        tool = Tool(backend=backend, family=family)
        texts.append((tool, rules.wanted(config.redirect, family, tool.save())))
    for tool, text in texts:
        tool.check(text)
    for tool, text in texts:
        tool.restore(text)
    return Applied(backend=backend, families=wanted)


def show(config: Config) -> str:
    """Return the texts that `apply` would give to iptables-restore in an empty namespace."""
    return "".join(f"# {family}\n{rules.wanted(config.redirect, family)}" for family in _families(config))


def remove(backends: Iterable[Backend] = tuple(Backend)) -> None:
    """Take out what is ours, of both families; what others wrote stays as it is."""
    for backend in backends:
        for family in Family:
            tool = Tool(backend=backend, family=family)
            text = rules.cleanup(_saved(tool))
            if text:
                tool.restore(text)


def _saved(tool: Tool) -> str:
    """Return nothing where the tool or its kernel side is missing: then nothing of ours is there either."""
    try:
        return tool.save() if tool.present else ""
    except MachineError:
        return ""


def write_trust(config: Config) -> bundle.Trust:
    """Write the trust files. Their variables are in the pod's spec: the application's environment is not ours."""
    if not config.trust_roots:
        raise ConfigError("KECS_TRUST_ROOTS is empty", hint="set it to the authority's root certificate as PEM")
    try:
        public_roots = config.public_roots.read_bytes()
    except OSError as error:
        raise MachineError(
            f"the public roots in {config.public_roots} can't be read: {error.strerror}",
            hint="install ca-certificates, or set KECS_PUBLIC_ROOTS to a PEM file",
        ) from error
    trust = bundle.trust(
        config.trust_directory,
        own_roots=config.trust_roots,
        public_roots=public_roots,
        existing={},
        read=lambda _: None,
    )
    bundle.write(trust.files)
    return trust
