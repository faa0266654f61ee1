"""Who issues pods' intermediates in a run: `python -m benchmarks.relay.issuer ISSUER SERVING`.

It speaks as the certificate service does, and asks nobody whether a pod may have what it wants.
"""

import json
import ssl
import sys
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from benchmarks.relay.layout import CERTS_PORT
from kecs.certs import csr
from kecs.certs.authority import Signer, certificate_pem, issue_intermediate
from kecs.certs.bundle import fingerprint


def _read(path: str) -> Signer:
    text = Path(path).read_bytes()
    key = load_pem_private_key(text, password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return Signer(certificate=x509.load_pem_x509_certificate(text), key=key)


def main() -> None:
    """Serve until the end of the place."""
    issuer = _read(sys.argv[1])
    said = {"issuer_sha256": fingerprint(issuer.certificate), "generation": 1}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(said)

        def do_POST(self) -> None:
            asked = csr.read(self.rfile.read(int(self.headers["Content-Length"])))
            assert isinstance(asked, csr.Csr)
            now = datetime.now(UTC)
            issued = issue_intermediate(issuer, asked.public_key, now, subject=asked.subject or "bench/pod")
            self._answer(said | {"chain": certificate_pem(issued, issuer.certificate).decode()})

        def _answer(self, answer: dict[str, Any]) -> None:
            body = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[2])
    with ThreadingHTTPServer(("", CERTS_PORT), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        print("ready", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
