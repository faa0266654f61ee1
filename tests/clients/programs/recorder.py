"""The outside: answers DNS and records every IP packet that arrives. Arguments: interface, file, name servers' answers.

Names of AWS resolve to 203.0.113.7, as they would to some real address; all others to the address of this machine.
Prints `ready`, ends on end of standard input, and by then has written down all that came.
"""

import json
import select
import socket
import struct
import sys

import dns.flags
import dns.message
import dns.rrset

interface, path, own = sys.argv[1:4]
AWS = "203.0.113.7"
ETH_P_ALL = 3


def describe(frame: bytes) -> dict[str, object] | None:
    """Give protocol, destination and port of an IP packet; None for anything else and for what this side sent."""
    (kind,) = struct.unpack_from("!H", frame, 12)
    if kind == 0x0800:
        header = (frame[14] & 15) * 4
        protocol, destination, rest = frame[23], socket.inet_ntop(socket.AF_INET, frame[30:34]), frame[14 + header :]
    elif kind == 0x86DD:
        protocol, destination, rest = frame[20], socket.inet_ntop(socket.AF_INET6, frame[38:54]), frame[54:]
    else:
        return None
    port = struct.unpack_from("!H", rest, 2)[0] if protocol in (6, 17) else 0
    return {"protocol": protocol, "to": destination, "port": port}


def answer(query: bytes) -> tuple[str, bytes]:
    message = dns.message.from_wire(query)
    question = message.question[0]
    name = str(question.name).rstrip(".").lower()
    response = dns.message.make_response(message)
    response.flags |= dns.flags.RA
    if question.rdtype == 1:
        address = AWS if name.endswith(("amazonaws.com", "api.aws", "amazonaws.com.cn", "on.aws")) else own
        response.answer.append(dns.rrset.from_text(question.name, 5, "IN", "A", address))
    return name, response.to_wire()


packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
packets.bind((interface, 0))
packets.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
resolver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
resolver.bind((own, 53))

with open(path, "w") as log:  # noqa: PTH123 - a program of its own
    print("ready", flush=True)
    ending = False
    while True:
        readable, _, _ = select.select(
            [packets, resolver, *([] if ending else [sys.stdin])], [], [], 0.2 if ending else None
        )
        if not readable:
            break
        if packets in readable:
            frame, (_, _, direction, *_) = packets.recvfrom(65536)
            seen = describe(frame) if direction != socket.PACKET_OUTGOING else None  # type: ignore[attr-defined,unused-ignore]
            if seen:
                log.write(json.dumps(seen) + "\n")
        if resolver in readable:
            query, client = resolver.recvfrom(4096)
            name, reply = answer(query)
            log.write(json.dumps({"asked": name}) + "\n")
            resolver.sendto(reply, client)
        if sys.stdin in readable:
            ending = True
