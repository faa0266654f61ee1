"""TLS's end of sending, without reading. An edge.

RFC 8446 section 6.1 ends each direction for itself. Python's `unwrap` sends close_notify and at once reads for the
peer's; data that it meets there OpenSSL takes for an error, and the data is lost (SSL_shutdown(3)). It can't be told
not to read, so for this call the descriptor stands for something else, where there is nothing to be read: what OpenSSL
writes there is its close_notify. The socket keeps its place in epoll, which knows it by what it is, not by its number.
"""

import contextlib
import os
import socket
import ssl
from typing import Final

from kecs.relay.tls import TlsSocket

_RECORDS: Final = 4096
"""An alert is a record of less than a hundred bytes."""


def close_notify(tls: ssl.SSLSocket | TlsSocket) -> bytes | None:
    """End our direction; return what the peer is to be sent for it, or None where descriptors have run out.

    To be called on the loop's thread, for a non-blocking socket, when all that was written has been sent.
    """
    descriptor = tls.fileno()
    try:
        ours, theirs = socket.socketpair()
    except OSError:
        return None
    with ours, theirs:
        ours.settimeout(0)
        theirs.settimeout(0)
        try:
            kept = os.dup(descriptor)
        except OSError:
            return None
        try:
            os.dup2(ours.fileno(), descriptor, inheritable=False)
            with contextlib.suppress(OSError, ValueError):  # it "wants to read": the peer's own end, which may wait
                tls.unwrap()
        finally:
            os.dup2(kept, descriptor, inheritable=False)
            os.close(kept)
        try:
            return theirs.recv(_RECORDS)
        except BlockingIOError:  # it was ended before, or broken
            return b""
