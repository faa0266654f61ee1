"""Messages with file descriptors over a Unix stream socket: how the processes of a run talk to each other."""

import array
import json
import socket
import struct
from collections.abc import Sequence
from typing import Any, Final

_LENGTH: Final = struct.Struct("=I")
_MOST_DESCRIPTORS: Final = 16
_CHUNK: Final = 1 << 16


def send(channel: socket.socket, message: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
    """Send one message whole. Strings may hold undecodable bytes as lone surrogates: JSON escapes them."""
    data = json.dumps(message).encode()
    frame = _LENGTH.pack(len(data)) + data
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
    sent = channel.sendmsg([frame], ancillary)
    if sent < len(frame):  # an empty send would fail where the peer has read it all and ended
        channel.sendall(frame[sent:])


def receive(channel: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Return the next message and its descriptors (close-on-exec), None at the end of the stream."""
    # the descriptors come with the first byte of the frame
    head, descriptors = _receive_head(channel)
    if not head:
        return None
    data = _exactly(channel, _LENGTH.unpack(head + _exactly(channel, _LENGTH.size - len(head)))[0])
    return json.loads(data), descriptors


def _receive_head(channel: socket.socket) -> tuple[bytes, list[int]]:
    descriptors = array.array("i")
    space = socket.CMSG_SPACE(_MOST_DESCRIPTORS * descriptors.itemsize)
    head, ancillary, _flags, _address = channel.recvmsg(_LENGTH.size, space, socket.MSG_CMSG_CLOEXEC)
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
    return head, list(descriptors)


def _exactly(channel: socket.socket, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        part = channel.recv(min(size - len(parts), _CHUNK))
        if not part:
            raise EOFError(f"the other process ended {size - len(parts)} bytes before the end of its message")
        parts += part
    return bytes(parts)
