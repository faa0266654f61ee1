"""What a client is told when the backend has not answered: status, code and words, for each way of not answering.

Every status here is one that all AWS SDKs try again. They differ in what is known of the call:

status  what is known
------  ----------------------------------------------------------------------------------------------
503     the backend has not seen the call: it can't be reached, or a limit of ours stood before it
502     it may have seen the call, and said nothing, something else than HTTP, or another length than it gave
504     it may have seen the call, and took longer than it may
"""

from typing import Final, NamedTuple

from kecs.relay.decide import Failure


class Outage(NamedTuple):
    """One way of not answering. The code is what the query protocol and S3 say; JSON adds Exception to it."""

    status: int
    code: str
    what: str
    why: str


# MediaLive's model has errors of these two names with these two statuses; most services have none of their own.
_BAD: Final = (502, "BadGateway", "emulator gave no valid answer")
_LATE: Final = (504, "GatewayTimeout", "emulator gave no answer in time")
_AWAY: Final = (503, "ServiceUnavailable", "emulator unreachable")

_OUTAGES: Final[dict[Failure, Outage]] = {
    Failure.CONNECT: Outage(*_AWAY, "can't be connected to"),
    Failure.CONNECT_TIMEOUT: Outage(*_AWAY, "did not accept the connection in time"),
    Failure.FIRST_BYTE_TIMEOUT: Outage(*_LATE, "did not answer in time"),
    Failure.TIMEOUT: Outage(*_LATE, "stopped in the middle for too long"),
    Failure.RESET: Outage(*_BAD, "closed the connection before its answer was complete"),
    Failure.INVALID: Outage(*_BAD, "answered what is no HTTP response"),
    Failure.OVERLOAD: Outage(503, "ServiceUnavailable", "too much at once", "is not asked for now"),
}


def outage(failure: Failure) -> Outage:
    """Return what a client is told."""
    return _OUTAGES[failure]


def message(failure: Failure, endpoint: str, detail: str) -> str:
    """Say what happened, to which endpoint, and what exactly is known."""
    found = outage(failure)
    return f"{found.what}: {endpoint} ({found.why}{f': {detail}' if detail else ''})"
