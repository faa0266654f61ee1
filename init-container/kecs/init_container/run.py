"""Apply, show and remove: what the init container does, in order. An edge."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kecs.core.errors import ConfigError, MachineError
from kecs.init_container import bundle, rules
from kecs.init_container.backend import Backend, DeniedError, Tool, find
from kecs.init_container.config import Config, IPv6
from kecs.init_container.rules import Family

_IPV6_ADDRESSES: Final = Path("/proc/net/if_inet6")
"""The IPv6 addresses of this network namespace; there is no such file where the kernel does not speak it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What was applied, and where."""

    backend: Backend
    families: tuple[Family, ...]
    rules: str
    """As iptables-restore would make them in an empty namespace, a comment line before each family's."""


def families(ipv6: IPv6, *, in_kernel: bool) -> tuple[Family, ...]:
    """Return the families to write rules for. What the kernel does not speak needs none."""
    return (Family.IPV4, Family.IPV6) if in_kernel and ipv6 is IPv6.AUTO else (Family.IPV4,)


def _families(config: Config) -> tuple[Family, ...]:
    return families(config.ipv6, in_kernel=_IPV6_ADDRESSES.exists())


def apply(config: Config) -> Applied:
    """Put the rules into this network namespace: all texts are checked before the first is applied."""
    wanted, backend = _placed(config)
    _remove(_ours(other for other in Backend if other is not backend))
    texts = []
    for family in wanted:
        tool = Tool(backend=backend, family=family)
        texts.append((tool, rules.wanted(config.redirect, family, tool.save())))
    for tool, text in texts:
        tool.check(text)
    for tool, text in texts:
        tool.restore(text)
    return Applied(backend=backend, families=wanted, rules=_shown(config, wanted))


def _placed(config: Config) -> tuple[tuple[Family, ...], Backend]:
    """Choose families and back end: both families, but for IPv6 where it is switched off and can't be written.

    Loopback has an address whenever IPv6 is on, so that without any address no packet can leave by it.
    """
    wanted = _families(config)
    try:
        return wanted, find(config.backend, config.redirect, wanted)
    except MachineError:
        if Family.IPV6 not in wanted or _IPV6_ADDRESSES.read_text(encoding="ascii"):
            raise
        return (Family.IPV4,), find(config.backend, config.redirect, (Family.IPV4,))


def show(config: Config) -> str:
    """Return the texts that `apply` would give to iptables-restore in an empty namespace."""
    return _shown(config, _families(config))


def _shown(config: Config, wanted: Iterable[Family]) -> str:
    return "".join(f"# {family}\n{rules.wanted(config.redirect, family)}" for family in wanted)


def remove() -> None:
    """Take out what is ours, of both back ends and families; what others wrote stays as it is.

    Raise DeniedError when that can't be known.
    """
    _remove(_ours(Backend, strict=True))


def _ours(backends: Iterable[Backend], *, strict: bool = False) -> list[tuple[Tool, str]]:
    """Return the texts that take our rules out, for those tools that have any."""
    tools = [Tool(backend=backend, family=family) for backend in backends for family in Family]
    texts = [(tool, rules.cleanup(_saved(tool, strict=strict))) for tool in tools]
    return [(tool, text) for tool, text in texts if text]


def _remove(texts: Iterable[tuple[Tool, str]]) -> None:
    for tool, text in texts:
        tool.restore(text)


def _saved(tool: Tool, *, strict: bool) -> str:
    """Return nothing where the tool or its kernel side is missing: then nothing of ours is there either."""
    try:
        return tool.save() if tool.present else ""
    except DeniedError:
        if strict:
            raise
        return ""
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
