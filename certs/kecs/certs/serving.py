"""A server's certificate that is replaced while it serves, and the bundle its clients need for that.

`LiveContext` is for the injector's webhook and the certificate service. The order matters to clients: whoever checks
the certificate must trust the new one before it is served, so a bundle holds the old roots and the new ones.
"""

import os
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509

from kecs.certs.authority import SERVING_LIFETIME, certificate_pem, issue_serving, key_pem, new_key
from kecs.certs.bundle import distinct, fingerprint
from kecs.certs.state import Authority
from kecs.core.errors import AuthorityError

RENEW_SHARE: Final = 2 / 3
"""A certificate is renewed when this share of its life has passed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """A certificate of one of our own services, and what it was signed by."""

    chain_pem: bytes
    """From the leaf to the last certificate below the root."""
    key_pem: bytes
    not_before: datetime
    not_after: datetime
    issuer_sha256: str

    def due(self, now: datetime, issuer_sha256: str) -> bool:
        """Say whether it is time for another: it ages, or the issuer is another one."""
        age = self.not_before + (self.not_after - self.not_before) * RENEW_SHARE
        return now >= age or issuer_sha256 != self.issuer_sha256


def issue(
    authority: Authority, names: tuple[str, ...], now: datetime, *, lifetime: timedelta = SERVING_LIFETIME
) -> Serving:
    """Sign a certificate for services of ours, with a key of its own."""
    key = new_key()
    lifetime = min(lifetime, authority.not_after - now)
    leaf = issue_serving(authority.issuer, key.public_key(), names, now, lifetime=lifetime)
    return Serving(
        chain_pem=certificate_pem(leaf, authority.issuer.certificate, *authority.served_above(now)),
        key_pem=key_pem(key),
        not_before=leaf.not_valid_before_utc,
        not_after=leaf.not_valid_after_utc,
        issuer_sha256=authority.issuer_sha256,
    )


def read(chain_pem: bytes, key_pem: bytes, *, source: str) -> Serving:
    """Read a certificate that the authority has issued; raise AuthorityError naming `source`."""
    try:
        leaf, *above = x509.load_pem_x509_certificates(chain_pem)
    except ValueError as error:
        raise AuthorityError(f"{source} holds no certificate chain: {error}", hint=_HINT) from error
    if not above:
        raise AuthorityError(f"{source} holds a certificate without its issuer", hint=_HINT)
    return Serving(
        chain_pem=chain_pem,
        key_pem=key_pem,
        not_before=leaf.not_valid_before_utc,
        not_after=leaf.not_valid_after_utc,
        issuer_sha256=fingerprint(above[0]),
    )


_HINT: Final = "delete it: the authority writes it anew"


def covering(*bundles: Iterable[x509.Certificate]) -> tuple[x509.Certificate, ...]:
    """Join bundles: everything that is or will be served verifies against one of them."""
    return distinct(root for bundle in bundles for root in bundle)


class LiveContext:
    """A server's SSLContext whose certificate can be replaced: handshakes from then on use the new one.

    Connections that are open go on. To be used on one thread: a handshake that began between the certificate's and the
    key's replacement would fail.
    """

    def __init__(self, *, minimum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = minimum
        self.context.num_tickets = 0  # no caller of ours resumes sessions; two tickets cost a seventh of a handshake
        self.serving: Serving | None = None

    def load(self, serving: Serving) -> None:
        """Serve another certificate. Raise AuthorityError when the key is not its own, and serve on as before."""
        probe = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)  # a context that failed half-way could serve neither
        for context in (probe, self.context):
            try:
                load_chain(context, serving.chain_pem, serving.key_pem)
            except ssl.SSLError as error:
                raise AuthorityError(
                    f"the serving certificate can't be used: {error.reason or error}", hint=_HINT
                ) from error
        self.serving = serving


def load_chain(context: ssl.SSLContext, chain_pem: bytes, key_pem: bytes) -> None:
    """Give a context its chain and key. OpenSSL reads them from a file; this one has no name and touches no disk."""
    descriptor = os.memfd_create("leaf", os.MFD_CLOEXEC)
    try:
        view = memoryview(key_pem + b"\n" + chain_pem)
        while view:
            view = view[os.write(descriptor, view) :]
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
