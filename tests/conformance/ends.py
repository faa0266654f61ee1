"""The two ends of a proxy: clients, plain and TLS, and a backend that accepts when it is told to."""

import contextlib
import select
import socket
import struct
from collections.abc import Sequence

from OpenSSL import SSL, crypto

PATIENCE_S = 30


class End:
    """One end of a connection, in bytes."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        sock.settimeout(PATIENCE_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.was_reset = False

    def say(self, data: bytes) -> None:
        """Send; a peer that has refused already may have reset the connection."""
        with contextlib.suppress(ConnectionError):
            self.sock.sendall(data)

    def hear(self) -> bytes:
        """Receive what there is; nothing at the end, be it a proper one or not."""
        try:
            return self.sock.recv(65536)
        except ConnectionError:
            self.was_reset = True
            return b""

    def half_close(self) -> None:
        """Send the end, and go on listening."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Be gone."""
        self.sock.close()

    def reset(self) -> None:
        """Be gone without an end."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


class TlsEnd(End):
    """A client's end that speaks TLS. pyOpenSSL's can send its end and go on receiving; Python's own can not."""

    def __init__(self, sock: socket.socket, root: str, name: bytes, protocols: Sequence[bytes]) -> None:
        super().__init__(sock)
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        store = context.get_cert_store()
        assert store is not None
        store.add_cert(crypto.load_certificate(crypto.FILETYPE_PEM, root.encode()))
        context.set_verify(SSL.VERIFY_PEER)
        context.set_alpn_protos(list(protocols))
        self.tls = SSL.Connection(context, sock)
        self.tls.set_tlsext_host_name(name)
        self.tls.set_connect_state()
        self._until(self.tls.do_handshake)
        self.said_goodbye = False

    def _until(self, act: object, *arguments: object) -> bytes:
        """Act as often as it takes: with a timeout, Python's sockets are non-blocking below."""
        while True:
            try:
                return act(*arguments) or b""  # type: ignore[operator]  # pyOpenSSL's methods
            except SSL.WantReadError:
                assert select.select([self.sock], [], [], PATIENCE_S)[0], "nothing came"
            except SSL.WantWriteError:
                assert select.select([], [self.sock], [], PATIENCE_S)[1], "nothing was taken"

    def say(self, data: bytes) -> None:
        """Send; see above."""
        with contextlib.suppress(SSL.SysCallError, SSL.ZeroReturnError, ConnectionError):
            self._until(self.tls.sendall, data)

    def hear(self) -> bytes:
        """Receive; an end without close_notify is a cut."""
        try:
            return self._until(self.tls.recv, 65536)
        except SSL.ZeroReturnError:
            self.said_goodbye = True
        except (SSL.SysCallError, SSL.Error, ConnectionError):
            self.was_reset = True
        return b""

    def half_close(self) -> None:
        """Send close_notify and the end."""
        with contextlib.suppress(SSL.Error):
            self.tls.shutdown()
        super().half_close()


class Backend:
    """A listening socket, and the connections that were accepted from it."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._listener.settimeout(PATIENCE_S)
        self.port: int = self._listener.getsockname()[1]
        self.accepted: list[End] = []

    @property
    def current(self) -> End:
        """Return the connection in use; wait for the first."""
        return self.accepted[-1] if self.accepted else self.accept()

    def accept(self) -> End:
        """Wait for a further connection."""
        sock, _ = self._listener.accept()
        self.accepted.append(End(sock))
        return self.accepted[-1]

    def waiting(self) -> bool:
        """Say whether somebody has connected who was not expected."""
        return bool(select.select([self._listener], [], [], 0)[0])

    def next_speaking(self) -> tuple[End, bytes]:
        """Wait until somebody says something, on whatever connection; return it with that."""
        silent = [end for end in self.accepted if end.sock.fileno() >= 0]
        while True:
            ready = select.select([*[end.sock for end in silent], self._listener], [], [], PATIENCE_S)[0]
            assert ready, "nobody said anything"
            for end in [one for one in silent if one.sock in ready]:
                if data := end.hear():
                    return end, data
                silent.remove(end)
            if self._listener in ready:
                silent.append(self.accept())

    def close(self) -> None:
        """End everything."""
        for end in self.accepted:
            end.close()
        self._listener.close()
