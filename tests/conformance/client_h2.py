"""A client of HTTP/2 on h2, the library, which takes care of frames and windows and says what breaks a rule."""

from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events
from conformance.ends import End
from conformance.playbook_h2 import Fields

_FRAME = 16384


@dataclass
class Stream:
    """What one stream has brought."""

    interim: list[tuple[int, Fields]] = field(default_factory=list)
    status: int = 0
    fields: Fields = ()
    body: bytearray = field(default_factory=bytearray)
    trailers: Fields = ()
    ended: bool = False
    reset: int | None = None
    taken: int = 0
    """How much of the body has been expected."""


class Client:
    """One connection. Outgoing fields are not checked: some cases break the rules."""

    def __init__(self, end: End) -> None:
        self.end = end
        config = h2.config.H2Configuration(
            client_side=True, validate_outbound_headers=False, normalize_outbound_headers=False, header_encoding=None
        )
        self.h2 = h2.connection.H2Connection(config)
        self.h2.initiate_connection()
        self.streams: dict[int, Stream] = {}
        self._ids: dict[int, int] = {}
        self.dismissed: int | None = None
        self.gone = False

    def flush(self) -> None:
        """Send what h2 has to send."""
        self.end.say(self.h2.data_to_send())

    def id_of(self, number: int) -> int:
        """Return the id of a stream that is counted."""
        return self._ids[number]

    def ask(self, number: int, fields: Fields, *, end: bool) -> None:
        """Begin a stream."""
        self._ids[number] = stream = self.h2.get_next_available_stream_id()
        self.streams[stream] = Stream()
        self.h2.send_headers(stream, fields, end_stream=end)
        self.flush()

    def send(self, number: int, data: bytes, *, end: bool) -> None:
        """Send a part of a body, as far as the windows let."""
        stream = self._ids[number]
        parts = [data[start : start + _FRAME] for start in range(0, len(data), _FRAME)] or [b""]
        for index, part in enumerate(parts):
            while self.h2.local_flow_control_window(stream) < len(part):
                assert self.hear(), "the connection ended while a window was waited for"
            self.h2.send_data(stream, part, end_stream=end and index == len(parts) - 1)
            self.flush()

    def trail(self, number: int, fields: Fields) -> None:
        """End a request with trailers."""
        self.h2.send_headers(self._ids[number], fields, end_stream=True)
        self.flush()

    def cancel(self, number: int) -> None:
        """Reset a stream."""
        self.h2.reset_stream(self._ids[number], 8)
        self.flush()

    def hear(self) -> bool:
        """Take what comes; say whether anything did."""
        data = self.end.hear()
        if not data:
            self.gone = True
            return False
        for event in self.h2.receive_data(data):
            self._take(event)
        self.flush()
        return True

    def _take(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.InformationalResponseReceived(stream_id=number, headers=headers):
                status, rest = _parted(headers)
                self.streams[number].interim.append((status, rest))
            case h2.events.ResponseReceived(stream_id=number, headers=headers):
                self.streams[number].status, self.streams[number].fields = _parted(headers)
            case h2.events.DataReceived(stream_id=number, data=data, flow_controlled_length=length):
                self.streams[number].body += data
                self.h2.acknowledge_received_data(length, number)
            case h2.events.TrailersReceived(stream_id=number, headers=headers):
                self.streams[number].trailers = tuple((bytes(name), bytes(value)) for name, value in headers)
            case h2.events.StreamEnded(stream_id=number):
                self.streams[number].ended = True
            case h2.events.StreamReset(stream_id=number, error_code=code):
                self.streams[number].reset = int(code or 0)
            case h2.events.ConnectionTerminated(error_code=code):
                self.dismissed = int(code or 0)
            case _:
                pass


def _parted(headers: object) -> tuple[int, Fields]:
    assert isinstance(headers, list)
    fields = tuple((bytes(name), bytes(value)) for name, value in headers)
    assert fields[0][0] == b":status", fields
    return int(fields[0][1]), fields[1:]
