"""TLS of the engine towards clients: leaves of our own intermediate, and which HTTP is spoken inside."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from mitmproxy import certs
from OpenSSL import SSL

from kecs.certs.leaf import Intermediate
from kecs.relay.contexts import covering
from kecs.sidecar.engine_hosts import matches

_RENEW_BEFORE_S: Final = 600
_KEPT: Final = 512
_H2, _HTTP_1 = b"h2", (b"http/1.1", b"http/1.0")


class Leaves:
    """Contexts by server name. mitmproxy's own store would write an authority to disk, and make RSA keys."""

    def __init__(self, chain: str, key: str, patterns: Sequence[str]) -> None:
        self._patterns = tuple(patterns)
        self._held: dict[tuple[str, ...], tuple[SSL.Context, certs.Cert, datetime]] = {}
        self.renew(chain, key)

    def renew(self, chain: str, key: str) -> None:
        """Sign with another intermediate from now on."""
        self._intermediate = Intermediate.from_pem(chain.encode(), key.encode())
        self._held.clear()

    def tls_start_client(self, tls_start: Any) -> None:
        """Give a connection its leaf."""
        context, leaf = self._context(tls_start.context.client.sni or "")
        tls_start.conn.mitmcert = leaf
        tls_start.ssl_conn = SSL.Connection(context)
        tls_start.ssl_conn.set_accept_state()

    def _context(self, name: str) -> tuple[SSL.Context, certs.Cert]:
        names, now = covering(name), datetime.now(UTC)
        held = self._held.get(names)
        if held is None or (held[2] - now).total_seconds() < _RENEW_BEFORE_S:
            if len(self._held) >= _KEPT:
                self._held.clear()
            held = self._held[names] = self._make(names, now)
        return held[0], held[1]

    def _make(self, names: tuple[str, ...], now: datetime) -> tuple[SSL.Context, certs.Cert, datetime]:
        chain, key, not_after = self._intermediate.mint(names, now)
        leaf, *above = x509.load_pem_x509_certificates(chain)
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        context.set_options(SSL.OP_NO_COMPRESSION)
        context.use_certificate(leaf)
        context.use_privatekey(load_pem_private_key(key, None))  # type: ignore[arg-type]  # ours are P-256
        for one in above:
            context.add_extra_chain_cert(one)
        context.set_session_id(b"kecs")
        context.set_alpn_select_callback(self._choose)
        return context, certs.Cert(leaf), not_after

    def _choose(self, conn: SSL.Connection, offered: list[bytes]) -> bytes | Any:
        """Speak HTTP/1.1 where the client would, as the relay does, unless its name was asked to get HTTP/2."""
        name = (conn.get_servername() or b"").decode("latin-1")
        wanted = (_H2, *_HTTP_1) if matches(self._patterns, name) else (*_HTTP_1, _H2)
        return next((one for one in wanted if one in offered), SSL.NO_OVERLAPPING_PROTOCOLS)
