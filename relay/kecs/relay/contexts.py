"""TLS contexts, one per parent domain, with leaves minted on first need. Keys live in memory only."""

import ssl
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from kecs.aws.hosts import is_aws_name
from kecs.certs.serving import load_chain

type Mint = Callable[[tuple[str, ...]], tuple[bytes, bytes, datetime]]
"""Names in; chain (PEM, leaf first), key (PEM) and the leaf's end out."""

_KEPT: Final = 512
_RENEW_BEFORE: Final = timedelta(minutes=10)


def covering(name: str) -> tuple[str, ...]:
    """Return the names of the certificate that serves this name: wildcard and parent, where a wildcard may stand.

    One wildcard reaches one label, so `*.s3.eu-west-1.amazonaws.com` serves every bucket of a region.
    """
    _, _, parent = name.partition(".")
    if parent and is_aws_name(f"x.{parent}"):
        return (f"*.{parent}", parent)
    return (name,)


class Contexts:
    """An LRU of server contexts that knows when their certificates end."""

    def __init__(self, mint: Mint, *, kept: int = _KEPT) -> None:
        self._mint = mint
        self._kept = kept
        self._contexts: OrderedDict[tuple[str, ...], tuple[ssl.SSLContext, datetime]] = OrderedDict()
        self.minted = 0

    def get(self, name: str) -> ssl.SSLContext:
        """Return the context for a server name, minting a leaf where there is none that still holds."""
        names = covering(name)
        held = self._contexts.get(names)
        if held is None or held[1] - _RENEW_BEFORE < datetime.now(UTC):
            chain, key, not_after = self._mint(names)
            held = (server_context(chain, key), not_after)
            self.minted += 1
            self._contexts[names] = held
            while len(self._contexts) > self._kept:
                self._contexts.popitem(last=False)
        self._contexts.move_to_end(names)
        return held[0]

    def clear(self) -> None:
        """Forget all: the next handshakes use leaves of a new intermediate."""
        self._contexts.clear()


def server_context(chain: bytes, key: bytes) -> ssl.SSLContext:
    """Make a context that offers HTTP/1.1 over TLS 1.2 and 1.3."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.set_alpn_protocols(["http/1.1"])
    load_chain(context, chain, key)
    return context
