"""Too much at once, in a sidecar's process of its own: few descriptors, none at all, and plenty again."""

import http.client
import socket
import ssl
import subprocess
import threading
from contextlib import ExitStack, closing
from pathlib import Path

import dns.message
import dns.query
import dns.rcode
import pytest
from identity_lab import AWS
from loaded_lab import OK, PATIENCE_S, Loaded, call, loaded, status_of, until
from relay_lab import read_all, read_exactly, read_head

from kecs.core.names import ADMIN_PORT, DNS_PORT, PROXY_GID

PLENTY = 2048
OTHER = "sqs.eu-central-1.amazonaws.com"


def open_descriptors(lab: Loaded) -> list[int]:
    return [int(one.name) for one in Path(f"/proc/{lab.process.pid}/fd").iterdir()]


def allow(lab: Loaded, descriptors: int) -> None:
    """Change its limit, as whoever has its ids (prlimit(2))."""
    command = ["prlimit", f"--nofile={descriptors}:", "--pid", str(lab.process.pid)]
    subprocess.run(command, check=True, group=PROXY_GID, timeout=PATIENCE_S)


def allow_no_more(lab: Loaded) -> None:
    """Let it have what it has: whatever it wants to open next, it can't, until it has closed something."""
    found = open_descriptors(lab)
    allow(lab, max(found) + 1)


def test_few_descriptors_are_a_limit_that_is_told(tmp_path: Path) -> None:
    with loaded(tmp_path, descriptors=128) as lab:
        with ExitStack() as stack:
            carried = [stack.enter_context(lab.tls()) for _ in range(12)]
            assert [call(sock) for sock in carried] == [200] * 12
            turned_away = stack.enter_context(lab.tls())
            assert call(turned_away) == 503
            assert turned_away.recv(1) == b""
            assert lab.probe("/readyz")[0] == 200
            assert [call(sock) for sock in carried] == [200] * 12
        lab.wait_line(lambda lines: [one["reason"] for one in lines].count("connections_over_limit") == 1)
        until(lambda: len(open_descriptors(lab)) < 60)
        with lab.tls() as again:
            assert call(again) == 200
        assert lab.metrics()["kecs_sidecar_relay_total:connections_over_limit"] == 1


def test_a_flood_is_answered_reset_and_over(tmp_path: Path) -> None:
    """Nothing is queued: whoever comes is carried, told, or reset; and the pod's probe is answered all the while."""
    with loaded(tmp_path, descriptors=160, relay={"peek_timeout_s": 60}) as lab:
        with ExitStack() as stack:
            kept = stack.enter_context(lab.tls())
            assert call(kept) == 200
            silent = [dialled(lab, stack) for _ in range(100)]
            assert lab.probe("/livez")[0] == 200
            assert lab.probe("/readyz")[0] == 200
            assert call(kept) == 200
            assert all(is_reset(sock) for sock in silent[60:])
        with lab.tls() as again:
            assert call(again) == 200


def test_without_any_descriptor_what_is_open_goes_on_and_all_is_well_afterwards(tmp_path: Path) -> None:
    with loaded(tmp_path, relay={"peek_timeout_s": 60}) as lab, ExitStack() as stack:
        kept, handshaking = stack.enter_context(lab.tls()), stack.enter_context(lab.connect())
        admin = stack.enter_context(closing(http.client.HTTPConnection("127.0.0.1", ADMIN_PORT, timeout=PATIENCE_S)))
        assert (call(kept), asked(admin)) == (200, 200)
        allow_no_more(lab)

        # accepting takes the descriptors of connections to the backend, as long as there are such; then there are none
        flood = [dialled(lab, stack) for _ in range(20)]
        assert is_reset(flood[-1])
        assert call(kept) == 503
        assert asked(admin) == 200
        handshaking.sendall(client_hello())
        read_all(handshaking)
        lab.wait_line(lambda lines: {"descriptors_exhausted"} <= {one.get("reason") for one in lines})
        failed = {one["event"] for one in lab.lines if one["reason"] == "descriptors_exhausted"}
        assert "tls_failed" in failed

        allow(lab, PLENTY)
        assert call(kept) == 200
        with lab.tls(OTHER) as fresh:
            assert call(fresh) == 200
        metrics = lab.metrics()
        assert metrics["kecs_sidecar_relay_total:descriptors_exhausted"] >= 2
        assert metrics["kecs_sidecar_relay_total:connections_shed"] >= 1


def dialled(lab: Loaded, stack: ExitStack) -> socket.socket | None:
    """Connect; None when the reset comes while connecting."""
    try:
        return stack.enter_context(lab.connect())
    except ConnectionResetError:
        return None


def is_reset(sock: socket.socket | None) -> bool:
    if sock is None:
        return True
    with pytest.raises(ConnectionResetError):
        sock.recv(1)
    return True


def asked(connection: http.client.HTTPConnection) -> int:
    connection.request("GET", "/livez")
    answer = connection.getresponse()
    answer.read()
    return answer.status


def client_hello() -> bytes:
    incoming, hello = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(incoming, hello, server_hostname=OTHER)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return hello.read()


def test_without_descriptors_for_pipes_bytes_are_copied(tmp_path: Path) -> None:
    """What is passed in bulk is spliced through a pipe; where none can be had, it comes all the same."""
    size, go = 4 << 20, threading.Event()

    def bulk(sock: socket.socket) -> None:
        assert go.wait(PATIENCE_S)
        sock.sendall(bytes(size))

    with loaded(tmp_path) as lab, socket.create_server((AWS, 443)) as world, lab.connect() as passed:
        passed.sendall(b"\0\0\0")
        theirs, _ = world.accept()
        with theirs:
            theirs.settimeout(PATIENCE_S)
            assert theirs.recv(3) == b"\0\0\0"
            allow_no_more(lab)
            go.set()
            sender = threading.Thread(target=bulk, args=(theirs,))
            sender.start()
            assert len(read_exactly(passed, size)) == size
            sender.join(PATIENCE_S)
        allow(lab, PLENTY)
        with lab.tls() as fresh:
            assert call(fresh) == 200


def test_without_descriptors_dns_still_answers(tmp_path: Path) -> None:
    """AWS names need none; of others it says at once that it can't, which is better than silence."""

    def asked(name: str) -> dns.message.Message:
        return dns.query.udp(dns.message.make_query(name, "A"), "127.0.0.1", port=DNS_PORT, timeout=PATIENCE_S)

    with loaded(tmp_path, environment={"KECS_SIDECAR_DNS": "capture"}) as lab:
        asked("s3.amazonaws.com")
        allow_no_more(lab)
        assert asked("sqs.eu-west-1.amazonaws.com").answer
        for _ in range(3):
            assert asked("example.com").rcode() == dns.rcode.SERVFAIL
        allow(lab, PLENTY)
        assert lab.metrics()["kecs_sidecar_relay_total:dns_failed"] >= 3


def test_requests_above_their_limit_are_answered_at_once(tmp_path: Path) -> None:
    """A backend that hangs holds up those who wait for it, and nobody else for long."""
    begun, go = threading.Semaphore(0), threading.Event()

    def slow(sock: socket.socket) -> None:
        held = bytearray()
        while read_head(sock, held):
            begun.release()
            assert go.wait(PATIENCE_S)
            sock.sendall(OK)

    with loaded(tmp_path, slow, relay={"requests_max": 3}) as lab, ExitStack() as stack:
        waiting = [stack.enter_context(lab.tls()) for _ in range(3)]
        for sock in waiting:
            sock.sendall(b"GET /k HTTP/1.1\r\nHost: b.s3.eu-west-1.amazonaws.com\r\n\r\n")
            assert begun.acquire(timeout=PATIENCE_S)
        hasty = stack.enter_context(lab.tls())
        assert [call(hasty) for _ in range(5)] == [503] * 5
        go.set()
        assert [status_of(sock) for sock in waiting] == [200] * 3
        assert call(hasty) == 200
        lab.wait_line(lambda lines: [one["reason"] for one in lines].count("requests_over_limit") == 5)
        assert lab.metrics()["kecs_sidecar_relay_total:requests_over_limit"] == 5
