"""What is mended in moto's SQS: one lock for its queues, a clock that is cheap, and queues that find their messages.

moto deletes a message by rebuilding the queue's list without a lock, so that a message sent meanwhile is lost, and
two consumers may receive the same message. Its conditions, which a long poll waits on, share one lock here: whoever
asks SQS holds it, and waiting lets go of it. Other services of moto send through the same condition.
"""

import time
from functools import partial
from threading import Condition, RLock
from typing import Any, Final

import moto.sqs.models

from kecs.emulator import queues

LOCK: Final = RLock()


def _unix_time_millis() -> float:
    return time.time() * 1000.0


def mend_sqs() -> None:
    """Mend moto's SQS; to be called before its first queue is made.

    Every property of every message asks moto's clock, which builds three datetime objects: with 1,000 messages that
    is nine tenths of a call (35 ms for a pair of SendMessage and ReceiveMessage, 2 ms with this clock).
    """
    models: Any = moto.sqs.models
    models.Condition = partial(Condition, LOCK)
    models.unix_time_millis = _unix_time_millis
    queues.mend()
