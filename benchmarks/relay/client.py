"""A client that makes TLS connections: many new ones, or many that then do nothing. Runs inside a pod, by its path.

`connect` tells of each connection whether its session was resumed; `idle` opens connections, says `ready`, and holds
them until its input ends; `await` says when it could first shake hands and be answered, by the monotonic clock.
"""

import argparse
import json
import resource
import socket
import ssl
import sys
import threading
import time
from dataclasses import dataclass, field

_PATIENCE_S = 20
_POLL_S = 0.001


@dataclass
class Tally:
    """What one thread's connections came to."""

    full: int = 0
    resumed: int = 0
    errors: int = 0
    took_s: list[float] = field(default_factory=list)


def context(version: str) -> ssl.SSLContext:
    """Return a context that verifies nothing: checking a chain would cost the client more than the proxy's signing."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    made.set_alpn_protocols(["http/1.1"])
    if version:
        made.maximum_version = made.minimum_version = ssl.TLSVersion[version]
    return made


def connect(options: argparse.Namespace, tls: ssl.SSLContext) -> ssl.SSLSocket:
    """Shake hands."""
    sock = socket.create_connection((options.name, 443), timeout=_PATIENCE_S)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return tls.wrap_socket(sock, server_hostname=options.name)
    except BaseException:
        sock.close()
        raise


def ask(sock: ssl.SSLSocket, options: argparse.Namespace) -> None:
    """Ask once, and read the whole answer."""
    fields = "".join(f"{key}: {value}\r\n" for key, value in json.loads(options.fields).items())
    sock.sendall(f"GET {options.path} HTTP/1.1\r\nHost: {options.name}\r\n{fields}\r\n".encode())
    data = b""
    while b"\r\n\r\n" not in data:
        data += _some(sock)
    head, _, body = data.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    named = {key.lower(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    missing = int(named["content-length"]) - len(body)
    while missing > 0:
        missing -= len(_some(sock))
    if " 200" not in status:
        raise OSError(status)


def _some(sock: ssl.SSLSocket) -> bytes:
    data = sock.recv(65536)
    if not data:
        raise ConnectionResetError("the answer is cut")
    return data


def _repeat(options: argparse.Namespace, until: float, tally: Tally) -> None:
    # a context of its own for each thread: a shared one has one cache, and one lock, for all
    tls = context(options.tls)
    while (began := time.perf_counter()) < until:
        try:
            with connect(options, tls) as sock:
                ask(sock, options)
                if sock.session_reused:
                    tally.resumed += 1
                else:
                    tally.full += 1
        except OSError:
            tally.errors += 1
        tally.took_s.append(time.perf_counter() - began)


def repeat(options: argparse.Namespace) -> None:
    """Make connections one after the other on several threads; print what came of them."""
    tallies = [Tally() for _ in range(options.threads)]
    began = time.perf_counter()
    arguments = [(options, began + options.seconds, tally) for tally in tallies]
    threads = [threading.Thread(target=_repeat, args=one) for one in arguments]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - began
    took = sorted(one for tally in tallies for one in tally.took_s)
    counts = {kind: sum(getattr(tally, kind) for tally in tallies) for kind in ("full", "resumed", "errors")}
    print(json.dumps({**counts, "seconds": seconds, "p50_ms": took[len(took) // 2] * 1000}))


def idle(options: argparse.Namespace) -> None:
    """Hold connections that have been used once."""
    tls = context(options.tls)
    held = []
    for _ in range(options.count):
        sock = connect(options, tls)
        ask(sock, options)
        held.append(sock)
    print("ready", flush=True)
    sys.stdin.read()
    for sock in held:
        sock.close()


def wait(options: argparse.Namespace) -> None:
    """Try until a call is answered."""
    tls = context(options.tls)
    print("ready", flush=True)
    deadline = time.monotonic() + options.seconds
    while time.monotonic() < deadline:
        try:
            with connect(options, tls) as sock:
                ask(sock, options)
        except OSError:
            time.sleep(_POLL_S)
        else:
            print(json.dumps({"answered": time.monotonic()}), flush=True)
            return
    raise SystemExit(f"error: no answer within {options.seconds} s")


def main() -> None:
    """Choose what to do."""
    kinds = {"connect": repeat, "idle": idle, "await": wait}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=kinds)
    parser.add_argument("name")
    parser.add_argument("--path", default="/small")
    parser.add_argument("--fields", default="{}", help="a JSON object")
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--tls", default="", help="TLSv1_2 or TLSv1_3; empty: what both sides like best")
    options = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, hard), hard))
    kinds[options.kind](options)


if __name__ == "__main__":
    main()
