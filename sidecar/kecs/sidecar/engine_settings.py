"""What the engine's process is told: its settings once, then an intermediate each time one is issued. Plain data."""

import json
from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """The first line that the process reads. It comes from our own supervisor, in the same version."""

    front: int
    """The descriptor of a listening socket: clients come in here."""
    way_back: int
    """The port of the relay, on loopback, where all requests go."""
    secret: str
    """What marks the relay's connections to us, and our requests to it."""
    chain: str
    """The intermediate and what is above it, PEM."""
    key: str
    """The intermediate's key, PEM."""
    idle_s: float = 0.0
    """Without a connection for this long, the process ends; 0: never."""
    inspect: bool = False
    """Show flows on a page."""
    page_port: int = 0
    """Where on loopback; 0: where the kernel chooses."""
    record: str = ""
    """A file that flows are written to; empty: none."""
    addons: tuple[str, ...] = ()
    """Files of the user's own mitmproxy addons."""
    unredacted: bool = False
    """Show and record secrets too."""
    patterns: tuple[str, ...] = ()
    """Names whose clients are answered HTTP/2 whenever they offer it, as `engine_hosts` spells them."""

    def to_line(self) -> bytes:
        """Spell it as one line that `from_line` reads."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes | str) -> Self:
        """Read what `to_line` wrote."""
        given: dict[str, Any] = json.loads(line)
        lists = {name: tuple(given[name]) for name in ("addons", "patterns")}
        return cls(**given | lists)

    @property
    def watched(self) -> bool:
        """Tell whether somebody looks at flows, so that more than forwarding them is needed."""
        return bool(self.inspect or self.record or self.addons)
