"""A client's TLS: OpenSSL on a connected, non-blocking socket. An edge.

Python's `ssl.SSLSocket` is a socket made anew, with checks for blocking use and calls of Python around each of
OpenSSL's: making one costs 11 us where OpenSSL's own part takes 4, and every read and write some more. What
`SSLContext.wrap_socket` calls in the end, with the socket as it is, has had the same name and arguments since Python
3.6. It is no public name, though: where it should be missing, or be something else, an `SSLSocket` serves.
"""

import socket
import ssl
from collections.abc import Callable
from typing import Any, Final, Self

type Buffer = bytes | bytearray | memoryview


class TlsSocket:
    """What a stream needs of OpenSSL, by the names that sockets have."""

    __slots__ = ("_openssl", "do_handshake", "pending", "plain", "recv", "send", "unwrap")

    plain: socket.socket
    """The socket below, which belongs to whoever has this."""
    recv: Callable[[int], bytes]
    send: Callable[[Buffer], int]
    pending: Callable[[], int]
    unwrap: Callable[[], object]
    do_handshake: Callable[[], None]
    _openssl: Any

    @classmethod
    def directly(cls, context: ssl.SSLContext, sock: socket.socket) -> Self:
        """Make OpenSSL's object and nothing else; raises AttributeError or TypeError where Python has it otherwise."""
        made = cls()
        found: Any = context._wrap_socket(sock, True)  # type: ignore[attr-defined] # noqa: FBT003 - see the module
        made.plain = sock
        made.recv, made.send = found.read, found.write
        made.pending, made.unwrap = found.pending, found.shutdown
        made.do_handshake = found.do_handshake
        made._openssl = found
        return made

    @classmethod
    def by_the_library(cls, context: ssl.SSLContext, sock: socket.socket) -> Self:
        """Make Python's own object; the socket it was made of is closed in the end by this one."""
        made = cls()
        found = context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        made.plain = found
        made.recv, made.send = found.recv, found.send
        made.pending, made.unwrap = found.pending, found.unwrap
        made.do_handshake = found.do_handshake
        made._openssl = found
        return made

    @property
    def resumed(self) -> bool:
        """Whether the client came back to a session."""
        return bool(self._openssl.session_reused)

    def fileno(self) -> int:
        """Return the socket's descriptor."""
        return self.plain.fileno()


def _has_direct() -> bool:
    """Try it once, on a socket that is not connected: OpenSSL is not to do anything yet."""
    with socket.socket() as sock:
        sock.settimeout(0)
        try:
            TlsSocket.directly(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), sock)
        except (AttributeError, TypeError):
            return False
    return True


serve_tls: Final = TlsSocket.directly if _has_direct() else TlsSocket.by_the_library
"""Speak TLS as a server; nothing is sent or read yet. Raises OSError or ValueError when the socket is dead."""
