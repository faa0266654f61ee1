"""The redirect rules, as text for iptables-restore: one text per family. Pure.

All rules live in chains of ours, reached by one jump at the top of each built-in chain, so that what is ours is always
known from what is there. Ids are numbers: names would be looked up, which fails in images without that user. Every rule
has a comment. The proxy is exempt by uid and gid in one rule: an application that happens to run as the proxy's uid is
still intercepted.
"""

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Final

from kecs.core.names import METADATA_IPV4, METADATA_IPV6
from kecs.init_container.config import REDIRECTED_PORTS, Redirect

PREFIX: Final = "KECS_"
PROBE_PREFIX: Final = "KECSPROBE_"


class Family(StrEnum):
    """An address family."""

    IPV4 = "IPv4"
    IPV6 = "IPv6"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Dialect:
    """What the rules of one family spell differently."""

    version: int
    loopback: str
    metadata: tuple[str, ...]
    unreachable: str


_DIALECTS: Final[Mapping[Family, _Dialect]] = {
    Family.IPV4: _Dialect(
        version=4,
        loopback="127.0.0.0/8",
        metadata=tuple(f"{address}/32" for address in METADATA_IPV4),
        unreachable="icmp-port-unreachable",
    ),
    Family.IPV6: _Dialect(
        version=6,
        loopback="::1/128",
        metadata=tuple(f"{address}/128" for address in METADATA_IPV6),
        unreachable="icmp6-port-unreachable",
    ),
}

_PROXY_ZONE: Final = 1
_TABLE: Final = re.compile(r"\*(\S+)")
_CHAIN: Final = re.compile(r":(\S+) ")
_RULE: Final = re.compile(r"-A (\S+) (.*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    """What we want in one table: chains, their rules, and the jumps to them by built-in chain."""

    name: str
    chains: tuple[str, ...]
    rules: tuple[str, ...]
    jumps: tuple[tuple[str, str], ...]


def wanted(redirect: Redirect, family: Family, found: str = "") -> str:
    """Spell the rules that make `found` (what iptables-save says) into what we want. Applying it again changes nothing.

    `iptables-restore --noflush` empties the chains that the text declares and leaves all others alone; our jumps are
    taken out and put first again, chains that we no longer want are removed, in one transaction per table.
    """
    there = _found(found, PREFIX)
    texts = [_renewed(table, there.pop(table.name, _Found())) for table in _tables(redirect, _DIALECTS[family])]
    return "".join([*texts, *(_text(table, ours.removal()) for table, ours in there.items() if ours.any)])


def _renewed(table: "_Table", ours: "_Found") -> str:
    stale = [chain for chain in ours.chains if chain not in table.chains]
    return _text(
        table.name,
        [
            *(f":{chain} - [0:0]" for chain in (*table.chains, *stale)),
            *ours.deleted_jumps(),
            *(f"-X {chain}" for chain in stale),
            *table.rules,
            *(f"-I {chain} 1 {jump}" for chain, jump in table.jumps),
        ],
    )


def cleanup(found: str, *, prefix: str | tuple[str, ...] = (PREFIX, PROBE_PREFIX)) -> str:
    """Spell what takes our chains and jumps out of `found` and nothing else; empty when there are none.

    A probe's chains are there when its run was killed.
    """
    return "".join(_text(table, ours.removal()) for table, ours in _found(found, prefix).items() if ours.any)


def probe(redirect: Redirect, family: Family) -> str:
    """Spell chains that no packet reaches, with every match and target that we need, to ask the kernel for them."""
    lines = wanted(redirect, family).replace(PREFIX, PROBE_PREFIX).splitlines()
    return "".join(f"{line}\n" for line in lines if not line.startswith("-I "))


def rule_count(found: str) -> int:
    """Count the rules that are not ours."""
    rules = [line for line in found.splitlines() if line.startswith("-A ")]
    jumps = sum(len(ours.jumps) for ours in _found(found, PREFIX).values())
    return sum(1 for rule in rules if not rule.startswith(f"-A {PREFIX}")) - jumps


def _tables(redirect: Redirect, dialect: _Dialect) -> Iterator[_Table]:
    yield _Table(
        name="nat",
        chains=("KECS_OUTPUT", "KECS_REDIRECT"),
        rules=(
            _rule("KECS_REDIRECT", "-p tcp", "to the relay", f"REDIRECT --to-ports {redirect.relay_port}"),
            *_exempt("KECS_OUTPUT", redirect),
            _rule("KECS_OUTPUT", f"-d {dialect.loopback}", "loopback addresses stay", "RETURN"),
            *(_dns(redirect) if redirect.capture_dns else ()),
            *(
                _rule("KECS_OUTPUT", f"-d {address} -p tcp -m tcp --dport 80", "metadata", "KECS_REDIRECT")
                for address in dialect.metadata
            ),
            # Behind the metadata: no exclusion opens the way to the node's own credentials.
            *_excluded("KECS_OUTPUT", redirect, dialect),
            *(
                _rule("KECS_OUTPUT", f"-p tcp -m tcp --dport {port}", spoken, "KECS_REDIRECT")
                for port, spoken in REDIRECTED_PORTS.items()
                if port not in redirect.excluded_ports
            ),
        ),
        jumps=(("OUTPUT", _jump("redirect", "KECS_OUTPUT")),),
    )
    yield _Table(
        name="filter",
        chains=("KECS_GUARD",),
        rules=(
            *_exempt("KECS_GUARD", redirect),
            *_excluded("KECS_GUARD", redirect, dialect),
            # At once, so that a client of HTTP/3 falls back to TCP instead of waiting.
            _rule(
                "KECS_GUARD",
                "-p udp -m udp --dport 443",
                "HTTP/3 would bypass the relay",
                f"REJECT --reject-with {dialect.unreachable}",
            ),
        ),
        jumps=(("OUTPUT", _jump("guard", "KECS_GUARD")),),
    )
    if redirect.capture_dns:
        yield _zones(redirect)


def _dns(redirect: Redirect) -> Iterator[str]:
    for protocol in ("udp", "tcp"):
        match = f"-p {protocol} -m {protocol} --dport 53"
        yield _rule("KECS_OUTPUT", match, "name lookups", f"REDIRECT --to-ports {redirect.dns_port}")


def _zones(redirect: Redirect) -> _Table:
    """Track the forwarder's own lookups apart.

    Its query may reuse the source port of a lookup that was redirected shortly before: conntrack would take the two for
    one flow and send the forwarder's query back to the forwarder (istio #33469).
    """
    zone = f"CT --zone {_PROXY_ZONE}"
    return _Table(
        name="raw",
        chains=("KECS_ZONE_OUT", "KECS_ZONE_IN"),
        rules=(
            _rule("KECS_ZONE_OUT", f"{_owner(redirect)} -p udp -m udp --dport 53", "lookups of the forwarder", zone),
            _rule("KECS_ZONE_IN", "! -i lo -p udp -m udp --sport 53", "answers to the forwarder", zone),
        ),
        jumps=(("OUTPUT", _jump("zones", "KECS_ZONE_OUT")), ("PREROUTING", _jump("zones", "KECS_ZONE_IN"))),
    )


def _exempt(chain: str, redirect: Redirect) -> tuple[str, str]:
    return (
        _rule(chain, _owner(redirect), "the proxy itself", "RETURN"),
        _rule(chain, "-o lo", "inside the pod", "RETURN"),
    )


def _excluded(chain: str, redirect: Redirect, dialect: _Dialect) -> Iterator[str]:
    for network in redirect.excluded_networks:
        if network.version == dialect.version:
            yield _rule(chain, f"-d {network}", "excluded by the configuration", "RETURN")


def _owner(redirect: Redirect) -> str:
    return f"-m owner --uid-owner {redirect.uid} --gid-owner {redirect.gid}"


def _rule(chain: str, match: str, comment: str, target: str) -> str:
    return f'-A {chain} {match} -m comment --comment "kecs: {comment}" -j {target}'


def _jump(comment: str, chain: str) -> str:
    return f'-m comment --comment "kecs: {comment}" -j {chain}'


def _text(table: str, lines: Iterable[str]) -> str:
    return "\n".join((f"*{table}", *lines, "COMMIT", ""))


class _Found:
    """What is ours in one table of a saved rule set."""

    def __init__(self) -> None:
        self.chains: list[str] = []
        self.jumps: list[tuple[str, str]] = []

    @property
    def any(self) -> bool:
        return bool(self.chains or self.jumps)

    def deleted_jumps(self) -> list[str]:
        return [f"-D {chain} {rule}" for chain, rule in self.jumps]

    def removal(self) -> list[str]:
        return [*self.deleted_jumps(), *(f"-F {c}" for c in self.chains), *(f"-X {c}" for c in self.chains)]


def _found(saved: str, prefix: str | tuple[str, ...]) -> dict[str, _Found]:
    tables: dict[str, _Found] = {}
    ours = _Found()
    for line in saved.splitlines():
        if table := _TABLE.fullmatch(line):
            ours = tables.setdefault(table[1], _Found())
        elif (chain := _CHAIN.match(line)) and chain[1].startswith(prefix):
            ours.chains.append(chain[1])
        elif (rule := _RULE.fullmatch(line)) and not rule[1].startswith(prefix) and _goes_to(prefix, rule[2]):
            ours.jumps.append((rule[1], rule[2]))
    return tables


def _goes_to(prefix: str | tuple[str, ...], rule: str) -> bool:
    """Say whether the rule's target is a chain of ours; a foreign rule's comment may look like one."""
    try:
        words = shlex.split(rule)
    except ValueError:
        return False
    return any(word in {"-j", "-g"} and target.startswith(prefix) for word, target in pairwise(words))
