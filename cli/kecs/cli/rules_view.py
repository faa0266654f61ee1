"""What an init container's log says of the redirect rules it installed, for people and for programs. Pure."""

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

_APPLIED: Final = re.compile(r"rules applied by (\w+) for (\w+(?: and \w+)*)")
_TRUST: Final = "trust files written to "
_EVERYTHING: Final = "everything"
_MATCH_SHOWN: Final = 24
_TARGET_SHOWN: Final = 14


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule."""

    family: str
    table: str
    chain: str
    match: str
    """What it applies to, in few words."""
    target: str
    comment: str
    text: str
    """As iptables-restore reads it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """What an init container has done."""

    backend: str = ""
    """nft or legacy; empty where the log does not say, as when it failed."""
    families: tuple[str, ...] = ()
    trust_directory: str = ""
    rules: tuple[Rule, ...] = ()
    error: str = ""
    hint: str = ""


def read(log: str) -> Installed:
    """Read a log; lines that say nothing of rules are left out."""
    lines = log.splitlines()
    applied = next((found for line in lines if (found := _APPLIED.fullmatch(line))), None)
    return Installed(
        backend=applied[1] if applied else "",
        families=tuple(applied[2].split(" and ")) if applied else (),
        trust_directory=_after(_TRUST, lines),
        rules=tuple(_rules(lines)),
        error=_after("error: ", lines),
        hint=_after("hint: ", lines),
    )


def _after(prefix: str, lines: Iterable[str]) -> str:
    return next((line.removeprefix(prefix) for line in lines if line.startswith(prefix)), "")


def _rules(lines: Iterable[str]) -> Iterator[Rule]:
    family = table = ""
    for line in lines:
        if line.startswith("# "):
            family = line.removeprefix("# ")
        elif line.startswith("*"):
            table = line.removeprefix("*")
        elif line.startswith(("-A ", "-I ")) and (rule := _rule(family, table, line)):
            yield rule


def _rule(family: str, table: str, line: str) -> Rule | None:
    try:
        _, chain, *words = shlex.split(line)
    except ValueError:
        return None
    if words and words[0].isdecimal():  # -I CHAIN NUMBER
        del words[0]
    comment, target = _value("--comment", words), " ".join(words[words.index("-j") + 1 :]) if "-j" in words else ""
    return Rule(
        family=family,
        table=table,
        chain=chain,
        match=_matched(words),
        target=re.sub(r" --\S+", "", target) if not target.startswith("REJECT") else "REJECT",
        comment=comment.removeprefix("kecs: "),
        text=line,
    )


def _value(option: str, words: Sequence[str]) -> str:
    return words[words.index(option) + 1] if option in words[:-1] else ""


_SPELLINGS: Final[tuple[tuple[str, str], ...]] = (
    ("-d", "{}"),
    ("-o", "inside the pod"),
    ("-i", "from outside"),
    ("--uid-owner", "uid {}"),
    ("--gid-owner", "gid {}"),
    ("-p", "{}"),
    ("--dport", "{}"),
    ("--sport", "from {}"),
)
"""Options of a rule, in the order in which they are said."""


def _matched(words: Sequence[str]) -> str:
    said = [spelling.format(value) for option, spelling in _SPELLINGS if (value := _value(option, words))]
    text = re.sub(r"/(?:32|128)\b", "", " ".join(said))
    return re.sub(r"uid (\d+) gid (\d+)", r"uid \1:\2", text) or _EVERYTHING


def as_data(pod: tuple[str, str], found: Installed) -> dict[str, Any]:
    """Spell it for programs."""
    return {
        "namespace": pod[0],
        "pod": pod[1],
        "backend": found.backend or None,
        "families": list(found.families),
        "trust_directory": found.trust_directory or None,
        "error": {"message": found.error, "hint": found.hint} if found.error else None,
        "rules": [
            {"family": one.family, "table": one.table, "chain": one.chain, "match": one.match, "target": one.target,
             "comment": one.comment, "rule": one.text}
            for one in found.rules
        ],
    }  # fmt: skip


def lines(title: str, found: Installed) -> Iterator[str]:
    """Write it for people: by table and chain, what goes where, and why. What does not fit has a line of its own."""
    if found.error:
        yield f"{title}: no rules were installed"
        yield f"  error: {found.error}"
        yield f"  hint: {found.hint}"
        return
    yield f"{title}: rules applied by {found.backend} for {' and '.join(found.families)}"
    if found.trust_directory:
        yield f"trust files in {found.trust_directory}"
    if not found.rules:
        yield "the image of this init container is older: its log does not hold the rules themselves"
    for (family, table), rules in groupby(found.rules, key=lambda one: (one.family, one.table)):
        yield f"\n{family}, table {table}"
        for chain, each in _by_chain(rules).items():
            yield f"  {chain}"
            for one in each:
                if len(one.match) > _MATCH_SHOWN:
                    yield f"    {one.match}"
                match = one.match if len(one.match) <= _MATCH_SHOWN else ""
                yield f"    {match:<{_MATCH_SHOWN}}  {one.target:<{_TARGET_SHOWN}}  {one.comment}".rstrip()


def _by_chain(rules: Iterable[Rule]) -> Mapping[str, list[Rule]]:
    """Gather the rules of each chain, in the order in which a packet comes to them."""
    chains: dict[str, list[Rule]] = {}
    for rule in rules:
        chains.setdefault(rule.chain, []).append(rule)
    reached = [name for name in chains if not name.startswith("KECS_")]
    for name in reached:
        reached += [one.target for one in chains[name] if one.target in chains and one.target not in reached]
    return {name: chains[name] for name in dict.fromkeys((*reached, *chains))}
