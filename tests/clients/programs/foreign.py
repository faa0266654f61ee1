"""Say which certificate a TLS server shows, and what it answers. Arguments: host, port, file with its CA."""

import hashlib
import socket
import ssl
import sys

host, port, authority = sys.argv[1], int(sys.argv[2]), sys.argv[3]
context = ssl.create_default_context(cafile=authority)
with (
    socket.create_connection((host, port), timeout=10) as raw,
    context.wrap_socket(raw, server_hostname="server.example") as tls,
):
    certificate = tls.getpeercert(binary_form=True) or b""
    tls.sendall(b"GET / HTTP/1.0\r\n\r\n")
    answer = b"".join(iter(lambda: tls.recv(65536), b""))
    print(hashlib.sha256(certificate).hexdigest(), answer.rsplit(b"\r\n", 1)[-1].decode())
