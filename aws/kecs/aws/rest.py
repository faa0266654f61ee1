"""Operations of REST services from method and path, by the URI templates of botocore's models.

Each service's templates are compiled into a tree when it is first asked for: most programs use few of them.
"""

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from functools import cache

from kecs.aws.tables import rest_lines


@dataclass(frozen=True, slots=True)
class Candidate:
    """An operation at a path, and what else a request must have to mean it."""

    rank: int
    """Of candidates that fit, the lowest is meant: it requires the most."""
    name: str
    query: tuple[tuple[str, str | None], ...]
    """Parameters that must be present, and their values where the template says one."""
    headers: tuple[bytes, ...]

    def fits(self, query: Mapping[str, str], headers: Container[bytes]) -> bool:
        """Tell whether the request has all that this operation requires."""
        for key, value in self.query:
            if key not in query or value not in (None, query[key]):
                return False
        return all(name in headers for name in self.headers)


@dataclass(slots=True)
class Node:
    """What may follow so many segments of a path."""

    literal: dict[str, "Node"] = field(default_factory=dict)
    label: "Node | None" = None
    greedy: "Node | None" = None
    candidates: dict[str, list[Candidate]] = field(default_factory=dict)
    """By the first parameter they require, empty for none: a bucket's GET alone has thirty."""

    def below(self, segment: str) -> "Node":
        """Return the node below for a segment of a template, made when it is new."""
        if segment == "{}":
            self.label = self.label or Node()
            return self.label
        if segment == "{+}":
            self.greedy = self.greedy or Node()
            return self.greedy
        return self.literal.setdefault(segment, Node())


def segments(path: str) -> list[str]:
    """Return the segments of a path; one slash at its end means nothing."""
    return path.removeprefix("/").removesuffix("/").split("/")


def _constraint(text: str) -> tuple[str, str | None]:
    key, equals, value = text.partition("=")
    return key, value if equals else None


@cache
def _tree(service: str) -> dict[str, Node]:
    roots: dict[str, Node] = {}
    for rank, line in enumerate(rest_lines().get(service, "").splitlines()):
        method, uri, *headers, name = line.split(" ")
        path, _, query = uri.partition("?")
        node = roots.setdefault(method, Node())
        for segment in segments(path):
            node = node.below(segment)
        wanted = tuple(_constraint(part) for part in query.split("&") if part)
        candidate = Candidate(rank, name, wanted, tuple(headers[0].encode().split(b",")) if headers else ())
        node.candidates.setdefault(wanted[0][0] if wanted else "", []).append(candidate)
    return roots


def _pick(candidates: dict[str, list[Candidate]], query: Mapping[str, str], headers: Container[bytes]) -> str:
    best: Candidate | None = None
    for key in ("", *query):
        for candidate in candidates.get(key, ()):
            if (best is None or candidate.rank < best.rank) and candidate.fits(query, headers):
                best = candidate
    if best is not None:
        return best.name
    # Clients leave out what a model requires; where a path means one thing only, it still does.
    every = [candidate for listed in candidates.values() for candidate in listed]
    return every[0].name if len(every) == 1 else ""


def _match(node: Node, parts: list[str], at: int, query: Mapping[str, str], headers: Container[bytes]) -> str:
    if at == len(parts):
        return _pick(node.candidates, query, headers)
    found = ""
    literal = node.literal.get(parts[at])
    if literal is not None:
        found = _match(literal, parts, at + 1, query, headers)
    if not found and node.label is not None and parts[at]:
        found = _match(node.label, parts, at + 1, query, headers)
    if not found and node.greedy is not None:
        # The shortest rest first: what follows a greedy label in a template is more particular than the label.
        ends = range(at + 1, len(parts) + 1) if node.greedy.literal else (len(parts),)
        for end in ends:
            found = found or _match(node.greedy, parts, end, query, headers)
    return found


def operation(
    service: str, method: str, path: str, query: Mapping[str, str], headers: Container[bytes] = frozenset()
) -> str:
    """Return the operation that method, path, query and header names (lower case) mean, or an empty string."""
    root = _tree(service).get(method)
    return "" if root is None else _match(root, segments(path), 0, query, headers)
