"""A new TLS connection for every URL on standard input; one line of outcome for each.

Usage: python handshakes.py {ssl,requests,boto3}. It runs on any Python from 3.9 on, and imports what it is told to try.
"""

import importlib
import platform
import socket
import ssl
import sys
from collections.abc import Callable
from urllib.parse import urlsplit

AWS = "amazonaws.com"
WAIT_S = 20

Connect = Callable[[str], None]


def by_ssl() -> Connect:
    context = ssl.create_default_context()

    def connect(url: str) -> None:
        parts = urlsplit(url)
        host = parts.hostname or ""
        request = f"GET {parts.path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        with (
            socket.create_connection((host, 443), timeout=WAIT_S) as raw,
            context.wrap_socket(raw, server_hostname=host) as tls,
        ):
            assert not tls.session_reused
            tls.sendall(request.encode())
            assert tls.recv(4096).startswith(b"HTTP/1.1 200")

    return connect


def by_requests() -> Connect:
    requests = importlib.import_module("requests")

    def connect(url: str) -> None:
        with requests.Session() as session:
            session.get(url, timeout=WAIT_S, headers={"Connection": "close"}).raise_for_status()

    return connect


def by_boto3() -> Connect:
    session = importlib.import_module("boto3").Session(region_name="eu-west-1")
    # A second attempt would hide the failure of the first.
    once = importlib.import_module("botocore.config").Config(
        retries={"total_max_attempts": 1}, connect_timeout=WAIT_S, read_timeout=WAIT_S
    )

    def connect(url: str) -> None:
        elsewhere = None if (urlsplit(url).hostname or "").endswith(AWS) else url
        client = session.client("sts", endpoint_url=elsewhere, config=once)
        try:
            client.get_caller_identity()
        finally:
            client.close()

    return connect


def main() -> None:
    connect = {"ssl": by_ssl, "requests": by_requests, "boto3": by_boto3}[sys.argv[1]]()
    library = getattr(sys.modules.get(sys.argv[1]), "__version__", "")
    said = [platform.python_version(), *([f"{sys.argv[1]} {library}"] if library else []), ssl.OPENSSL_VERSION[:14]]
    sys.stdout.write(f"ready {', '.join(said)}\n")
    sys.stdout.flush()
    for line in sys.stdin:
        try:
            connect(line.strip())
        except Exception as error:  # noqa: BLE001 - whatever it is, the connection failed
            sys.stdout.write("refused " + " ".join(f"{type(error).__name__}: {error}".split())[:300] + "\n")
        else:
            sys.stdout.write("ok\n")
        sys.stdout.flush()


main()
