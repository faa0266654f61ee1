"""A pod's identity: who issues its intermediate, and whether what was issued may be used. Pure; draws no key.

What came over the network is believed as far as the pod's own roots vouch for it: a chain that the pod's clients could
not verify is worth less than the one in use, however new it is.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Self
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from kecs.certs.authority import key_pem
from kecs.certs.bundle import fingerprint
from kecs.certs.issuance import Denial
from kecs.certs.leaf import Intermediate
from kecs.certs.verify import verify_served
from kecs.core.errors import AuthorityError, ConfigError, KecsError
from kecs.core.names import TOKEN_FILE, TRUST_DIRECTORY

URL: Final = "KECS_SIDECAR_CERTS_URL"
_HTTPS: Final = 443
_COMMON_NAME_MAX: Final = 64
_PROBE: Final = "kecs-probe"
_TEXT_MAX: Final = 500
_LASTING: Final = frozenset({400, 403, 413})
"""Answers that stay what they are until a person, or the pod's end, changes something."""


class Reason(StrEnum):
    """Why there is no new intermediate, beside what the service itself says (`kecs.certs.issuance.Denial`)."""

    TOKEN_UNREADABLE = "token_unreadable"  # noqa: S105 - a word
    """The pod's token can't be read."""
    TRUST_UNREADABLE = "trust_unreadable"
    """The pod's own roots can't be read."""
    SERVICE_UNREACHABLE = "service_unreachable"
    """The service does not answer, or not in time."""
    SERVICE_UNTRUSTED = "service_untrusted"
    """Who answers at the service's address can't show that it is the service."""
    ANSWER_INVALID = "answer_invalid"
    """The service's answer can't be understood."""
    CHAIN_UNUSABLE = "chain_unusable"
    """What was issued can't sign: another key, another order, not valid now."""
    CHAIN_UNVERIFIED = "chain_unverified"
    """What was issued does not lead to a root that this pod trusts."""
    INTERNAL = "internal"
    """A fault of ours."""


class RenewalError(KecsError):
    """There is no new intermediate. `lasting`: trying again soon would help nobody."""

    def __init__(
        self,
        reason: Reason | Denial,
        message: str,
        *,
        hint: str = "",
        retry_after_s: float = 0,
        lasting: bool = False,
    ) -> None:
        super().__init__(message, hint=hint)
        self.reason = reason
        self.retry_after_s = retry_after_s
        self.lasting = lasting


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Where a pod asks, and as whom."""

    host: str
    port: int
    token_file: str
    trust_file: str
    subject: str = ""
    """NAMESPACE/POD; empty where that is too long for a common name. The service knows the pod by its token."""

    @property
    def url(self) -> str:
        """The service's address, as an error names it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"https://{host}" + ("" if self.port == _HTTPS else f":{self.port}")

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Self:
        """Read KECS_SIDECAR_{CERTS_URL,TOKEN_FILE,TRUST_FILE} and POD_{NAMESPACE,NAME}; raise ConfigError."""
        value = environ.get(URL, "")
        try:
            url = urlsplit(value)
            host, port = url.hostname or "", url.port or _HTTPS
        except ValueError as error:
            raise ConfigError(f"{URL} {value!r} is no URL: {error}", hint=_URL_HINT) from error
        if url.scheme != "https" or not host or url.path.strip("/") or url.query or url.username is not None:
            raise ConfigError(f"{URL} {value!r} is not the address of the certificate service", hint=_URL_HINT)
        namespace, pod = environ.get("POD_NAMESPACE", ""), environ.get("POD_NAME", "")
        subject = f"{namespace}/{pod}" if namespace and pod else ""
        return cls(
            host=host,
            port=port,
            token_file=environ.get("KECS_SIDECAR_TOKEN_FILE") or TOKEN_FILE,
            trust_file=environ.get("KECS_SIDECAR_TRUST_FILE") or f"{TRUST_DIRECTORY}/ca.pem",
            subject=subject if len(subject) <= _COMMON_NAME_MAX else "",
        )


_URL_HINT: Final = "give one like https://kecs-certs.kecs-system.svc"


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """An intermediate that may be used."""

    intermediate: Intermediate
    generation: int
    issuer_sha256: str


def granted(
    body: bytes, key: ec.EllipticCurvePrivateKey, *, trusted: Sequence[x509.Certificate], now: datetime
) -> Granted:
    """Read the answer to a request for `key`; raise RenewalError unless the pod's clients would take its leaves."""
    said = _object(body)
    chain, generation = said.get("chain"), said.get("generation")
    if not isinstance(chain, str) or type(generation) is not int:
        raise _invalid("it has no chain or no generation")
    try:
        intermediate = Intermediate.from_pem(chain.encode(), key_pem(key), now=now)
        leaf, *above = _probe(intermediate, now)
    except AuthorityError as error:
        raise RenewalError(Reason.CHAIN_UNUSABLE, error.message, hint=error.hint) from error
    try:
        for name in _probe_names(intermediate):
            verify_served((leaf, *above), name, trusted, now)
    except AuthorityError as error:
        raise RenewalError(Reason.CHAIN_UNVERIFIED, error.message, hint=_RESTART) from error
    # Of what is in use it is the chain that counts: the service may have said something else beside it.
    issuer = intermediate.above[0]
    return Granted(intermediate=intermediate, generation=generation, issuer_sha256=fingerprint(issuer))


_RESTART: Final = "restart the pod: it trusts the roots of its start"


def _probe_names(intermediate: Intermediate) -> tuple[str, ...]:
    return tuple(f"{_PROBE}.{domain}" for domain in intermediate.permitted)


def _probe(intermediate: Intermediate, now: datetime) -> list[x509.Certificate]:
    """Sign a leaf as clients would get it."""
    if not intermediate.above or not intermediate.permitted:
        raise AuthorityError("the chain has no issuer, or may sign for any name", hint="see the authority's log")
    chain, _key, _end = intermediate.mint(_probe_names(intermediate), now)
    return x509.load_pem_x509_certificates(chain)


def issuer_of(body: bytes) -> str:
    """Read which issuer signs now."""
    found = _object(body).get("issuer_sha256")
    if not isinstance(found, str) or not found:
        raise _invalid("it names no issuer")
    return found


def denied(status: int, body: bytes, retry_after: str) -> RenewalError:
    """Say what an answer other than 200 means."""
    after = float(retry_after) if retry_after.isascii() and retry_after.isdecimal() else 0.0
    try:
        said = _object(body)
        reason = Denial(str(said.get("reason")))
    except (RenewalError, ValueError):
        # not ours: something in between, or a version that knows more reasons
        said, reason = {}, None
    return RenewalError(
        reason or Reason.ANSWER_INVALID,
        f"the certificate service answered {status}: {_text(said.get('message') or _shown(body))}",
        hint=_text(said.get("hint") or _OTHER_HINT),
        retry_after_s=after,
        lasting=status in _LASTING,
    )


def _object(body: bytes) -> dict[str, Any]:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _invalid(f"it is no JSON: {_shown(body)}") from error
    if not isinstance(said, dict):
        raise _invalid(f"it is no object: {_shown(body)}")
    return said


def _invalid(why: str) -> RenewalError:
    return RenewalError(
        Reason.ANSWER_INVALID,
        f"the certificate service's answer can't be understood: {why}",
        hint=_OTHER_HINT,
    )


_OTHER_HINT: Final = f"see that {URL} leads to kecs-certs, of the version of this sidecar, and what its log says"


def _shown(body: bytes) -> str:
    return _text(" ".join(body[:_TEXT_MAX].decode("utf-8", "replace").split())) or "nothing"


def _text(value: object) -> str:
    """Bound what came from elsewhere."""
    return "".join(c if c.isprintable() else "?" for c in str(value)[:_TEXT_MAX])
