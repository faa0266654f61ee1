"""A small client of HTTP/2 alone: one call at a time on a connection, every answer judged as in `kill_lab`."""

import socket
import ssl
import time
from typing import Any, Final

import h2.config
import h2.connection
import h2.events
import h2.exceptions
from kill_lab import AWS, NAME, PATIENCE_S, Outcome, World, a_name, answer_to

_FRAME: Final = 16384
STATUS: Any = ":status"  # text, as header_encoding asks for


class BrokenError(OSError):
    """The connection or the stream ended before the answer."""


class Client:
    """One connection, opened when it is used."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._tls = world.trust()
        self._tls.set_alpn_protocols(["h2"])
        self._sock: ssl.SSLSocket | None = None

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def call(self, method: str = "PUT", behaviour: str = "ok", body: bytes = b"", size: int = 500) -> Outcome:
        """Make one call and judge it."""
        name, began = a_name(), time.monotonic()

        def outcome(kind: str, detail: str = "") -> Outcome:
            return Outcome(name=name, method=method, kind=kind, began=began, ended=time.monotonic(), detail=detail)

        said = body + name.encode() if method in {"PUT", "POST"} else b""
        try:
            status, got = self._exchange(method, f"/{behaviour}/{name}?size={size}", said)
        except (OSError, h2.exceptions.ProtocolError) as error:
            self.close()
            return outcome("hang" if isinstance(error, TimeoutError) else "broken", repr(error))
        if status != "200":
            return outcome(status, got[:200].decode("latin-1"))
        return outcome("ok") if got == answer_to(name, said, size) else outcome("wrong", repr(got[:200]))

    def _connect(self) -> ssl.SSLSocket:
        if self._sock is None:
            sock = socket.create_connection((self._world.host, AWS), PATIENCE_S)
            try:
                self._sock = self._tls.wrap_socket(sock, server_hostname=NAME)
            except BaseException:
                sock.close()
                raise
            self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
            self._h2.initiate_connection()
        return self._sock

    def _exchange(self, method: str, path: str, body: bytes) -> tuple[str, bytes]:
        sock = self._connect()
        stream = self._h2.get_next_available_stream_id()
        fields = [(":method", method), (":scheme", "https"), (":authority", NAME), (":path", path)]
        self._h2.send_headers(stream, fields, end_stream=not body)
        status, got, left = "", b"", body
        while True:
            while left and (room := min(self._h2.local_flow_control_window(stream), _FRAME)):
                piece, left = left[:room], left[room:]
                self._h2.send_data(stream, piece, end_stream=not left)
            sock.sendall(self._h2.data_to_send())
            data = sock.recv(65536)
            if not data:
                raise BrokenError("the connection ended")
            for event in self._h2.receive_data(data):
                match event:
                    case h2.events.ResponseReceived(stream_id=of, headers=headers) if of == stream:
                        status = str(dict(headers or ())[STATUS])
                    case h2.events.DataReceived(stream_id=of, data=piece, flow_controlled_length=length) if (
                        of == stream
                    ):
                        got += piece or b""
                        self._h2.acknowledge_received_data(length or 0, stream)
                    case h2.events.StreamEnded(stream_id=of) if of == stream:
                        sock.sendall(self._h2.data_to_send())
                        return status, got
                    case h2.events.StreamReset() | h2.events.ConnectionTerminated():
                        raise BrokenError(repr(event))
                    case _:
                        pass
