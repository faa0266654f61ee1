"""Where a client's connection stands between its requests and their answers."""

from enum import Enum, auto
from typing import Final

from kecs.relay.occupancy import Limit


class State(Enum):
    """What a session does."""

    HEAD = auto()
    """Between requests, or inside a head."""
    SHOW = auto()
    """Collecting what the decider wants to see of a body."""
    BODY = auto()
    """Carrying a body."""
    WAIT = auto()
    """The request is complete, its response is not."""
    LINGER = auto()
    """Answered and closing: what still comes is dropped."""
    JOINED = auto()
    """The protocol was switched."""


QUIET: Final = {State.HEAD: Limit.IDLE, State.JOINED: Limit.TUNNEL}
"""What it means that nothing happened for too long."""
