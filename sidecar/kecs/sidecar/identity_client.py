"""The certificate service, asked over HTTPS. An edge: it blocks, and belongs on a thread of its own.

Token and roots are read anew for each request, since kubelet replaces the one, and whoever may change the other decides
whom the pod trusts. Nothing is kept between requests: a connection would outlive the roots it was checked against.
"""

import http.client
import ssl
from collections.abc import Sequence
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import Final

from cryptography import x509

from kecs.certs import bundle, csr
from kecs.certs.authority import new_key
from kecs.core.errors import AuthorityError
from kecs.sidecar.identity import Granted, Identity, Reason, RenewalError, denied, granted, issuer_of

CONNECT_S: Final = 5.0
"""For connecting and for the handshake, each."""
ANSWER_S: Final = 25.0
"""The service in turn waits up to ten seconds for the API server, twice."""
_ANSWER_MAX: Final = 1 << 18
_TOKEN_MAX: Final = 16384
_NOT_VALID_NOW: Final = frozenset({9, 10})
"""OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED."""


class IdentityClient:
    """Asks as one pod."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity

    def issuer(self) -> str:
        """Ask which issuer signs now; raise RenewalError."""
        return issuer_of(self._ask("GET", "/v1/authority", self._trusted()))

    def intermediate(self, now: datetime) -> Granted:
        """Have an intermediate issued for a new key; raise RenewalError."""
        trusted, token, key = self._trusted(), self._token(), new_key()
        body = self._ask("POST", "/v1/intermediate", trusted, body=csr.make(key, self.identity.subject), token=token)
        return granted(body, key, trusted=trusted, now=now)

    def _token(self) -> str:
        path = self.identity.token_file
        try:
            with Path(path).open(encoding="ascii") as file:
                token = file.read(_TOKEN_MAX + 1).strip()
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no text"
            raise RenewalError(
                Reason.TOKEN_UNREADABLE, f"the pod's token {path} can't be read: {why}", hint=_TOKEN_HINT
            ) from error
        if not token or not token.isprintable() or len(token) > _TOKEN_MAX:
            raise RenewalError(Reason.TOKEN_UNREADABLE, f"the pod's token {path} is empty or none", hint=_TOKEN_HINT)
        return token

    def _trusted(self) -> tuple[x509.Certificate, ...]:
        path = self.identity.trust_file
        try:
            return bundle.parse(Path(path).read_bytes(), source=path)
        except (OSError, AuthorityError) as error:
            why = error.message if isinstance(error, AuthorityError) else f"{path}: {error.strerror}"
            raise RenewalError(
                Reason.TRUST_UNREADABLE, f"the pod's roots can't be read: {why}", hint="the init container writes them"
            ) from error

    def _ask(
        self, method: str, path: str, trusted: Sequence[x509.Certificate], *, body: bytes | None = None, token: str = ""
    ) -> bytes:
        identity = self.identity
        # a connection whose end is announced costs the service half of one that just ends
        fields = {"Accept": "application/json", "Connection": "close"}
        if token:
            fields |= {"Authorization": f"Bearer {token}", "Content-Type": "application/pkcs10"}
        connection = http.client.HTTPSConnection(
            identity.host, identity.port, timeout=CONNECT_S, context=_context(trusted)
        )
        try:
            connection.connect()
            connection.sock.settimeout(ANSWER_S)
            connection.request(method, path, body=body, headers=fields)
            with connection.getresponse() as response:  # one that was not read to its end keeps the socket open
                received = response.read(_ANSWER_MAX)
                retry_after = response.headers.get("Retry-After", "")
        except ssl.SSLCertVerificationError as error:
            raise RenewalError(
                Reason.SERVICE_UNTRUSTED,
                f"{identity.url} can't show that it is the certificate service: {error.verify_message}",
                hint=_CLOCK_HINT if error.verify_code in _NOT_VALID_NOW else _UNTRUSTED_HINT,
            ) from error
        except (OSError, http.client.HTTPException) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or repr(error)
            raise RenewalError(
                Reason.SERVICE_UNREACHABLE,
                f"{identity.url} does not answer: {why.lower()}",
                hint="is kecs-certs running, and does a network policy let the pod reach it?",
            ) from error
        finally:
            connection.close()
        if response.status != HTTPStatus.OK:
            raise denied(response.status, received, retry_after)
        return received


_TOKEN_HINT: Final = "kubelet writes it: see the pod's events"  # noqa: S105 - a sentence
_CLOCK_HINT: Final = "check the clock of this node, and whether the authority still renews what it signs"
_UNTRUSTED_HINT: Final = "the pod trusts the roots of its start: if the root was replaced since, restart the pod"


def _context(trusted: Sequence[x509.Certificate]) -> ssl.SSLContext:
    """Trust these roots and nothing of the machine."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.load_verify_locations(cadata=bundle.spell(trusted).decode())
    return context
