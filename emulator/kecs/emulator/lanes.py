"""Which threads a request may run on.

moto's models are plain Python objects without locks: two UpdateItem calls that add to one number at a time lose one of
them, and a conditional put can succeed twice. So every service has one thread of its own, which costs no throughput
(the work is pure Python, one thread at a time anyway). Services that wait for others have more: SQS waits for messages
and takes the one lock of `patches` instead; a few call programs of the user's, which may call back.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from kecs.emulator.answers import Request

WIDTHS: Final[Mapping[str, int]] = {
    "sqs": 8,
    "sqs-receive": 256,  # long polls, up to 20 s each
    "sns": 32,  # delivers to HTTP subscribers while it publishes
    "awslambda": 32,
    "apigateway": 32,
    "cloudformation": 32,
    "events": 32,
    "firehose": 32,
    "stepfunctions": 32,
}


def lane_of(service: str, request: Request) -> str:
    """Return the lane of a request: its service, with SQS' receiving apart so that waiting never holds up sending."""
    if service == "sqs" and request.action == "ReceiveMessage":
        return "sqs-receive"
    return service


class Lanes:
    """Thread pools by lane, made on first use. Only the event loop's thread asks for them."""

    def __init__(self) -> None:
        self._pools: dict[str, ThreadPoolExecutor] = {}

    def pool(self, lane: str) -> ThreadPoolExecutor:
        """Return the threads of a lane."""
        if lane not in self._pools:
            self._pools[lane] = ThreadPoolExecutor(WIDTHS.get(lane, 1), thread_name_prefix=lane)
        return self._pools[lane]
