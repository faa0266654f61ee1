"""What the sidecar of a run is told, as a value that travels between processes. Pure."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """What a sidecar of a run is told once. It travels as JSON on an inherited descriptor: the key touches no disk."""

    sidecar: str
    """A SidecarConfig."""
    chain: str
    key: str
    """The intermediate's, as PEM."""
    sockets: str
    """A description of `Sockets`."""
    publish: tuple[tuple[int, int], ...] = ()
    """Listening descriptors of the host, and the ports inside that they lead to."""
    published: tuple[tuple[int, int], ...] = ()
    """Host ports and inside ports."""

    def as_json(self) -> dict[str, Any]:
        """Return the orders as a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Self:
        """Read what `as_json` wrote."""
        pairs = {name: tuple((int(one), int(other)) for one, other in said[name]) for name in ("publish", "published")}
        return cls(sidecar=said["sidecar"], chain=said["chain"], key=said["key"], sockets=said["sockets"], **pairs)
