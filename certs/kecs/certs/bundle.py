"""Bundles: PEM text to certificates and back. Strict, so that nothing is distributed which was pasted in by mistake.

The readers of the standard library and of cryptography skip what is not a certificate. Here any other block is refused:
a private key that somebody pasted beside a root would end in every pod, and PEM headers may hold secrets as well.
"""

import re
from collections.abc import Iterable
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from kecs.certs.authority import certificate_pem
from kecs.core.errors import AuthorityError

_BEGIN: Final = re.compile(rb"-----BEGIN ([^\r\n]*?)-----")
_BLOCK: Final = re.compile(rb"-----BEGIN CERTIFICATE-----\s+([A-Za-z0-9+/=\s]+?)\s+-----END CERTIFICATE-----")
_HINT: Final = "leave certificates alone in it: blocks from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----"


def fingerprint(certificate: x509.Certificate) -> str:
    """Return the SHA-256 of a certificate in lower-case hex."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def parse(pem: bytes, *, source: str) -> tuple[x509.Certificate, ...]:
    """Read the certificates of a bundle, each once, in their order; raise AuthorityError on anything else in it.

    `source` is where the bundle came from, for the message. Blank lines and comments (`#`) may stand between blocks.
    """
    certificates: list[x509.Certificate] = []
    place = 0
    for count, begin in enumerate(_BEGIN.finditer(pem), start=1):
        _check_between(pem, place, begin.start(), source)
        certificates.append(_certificate(pem, begin, count, source))
        place = pem.index(b"-----END CERTIFICATE-----", begin.start()) + len(b"-----END CERTIFICATE-----")
    _check_between(pem, place, len(pem), source)
    if not certificates:
        raise AuthorityError(f"{source} holds no certificate", hint=_HINT)
    return distinct(certificates)


def distinct(certificates: Iterable[x509.Certificate]) -> tuple[x509.Certificate, ...]:
    """Leave out what is there already, in order of first appearance."""
    return tuple({fingerprint(certificate): certificate for certificate in certificates}.values())


def ordered(active: x509.Certificate, others: Iterable[x509.Certificate]) -> tuple[x509.Certificate, ...]:
    """Put the active root first and the others by fingerprint: the same roots give the same bytes, whoever writes."""
    return distinct((active, *sorted(others, key=fingerprint)))


def spell(certificates: Iterable[x509.Certificate]) -> bytes:
    """Write a bundle as `parse` reads it."""
    return certificate_pem(*certificates)


def _certificate(pem: bytes, begin: re.Match[bytes], count: int, source: str) -> x509.Certificate:
    line = pem.count(b"\n", 0, begin.start()) + 1
    place = f"block {count} of {source} (line {line})"
    kind = begin.group(1).decode("ascii", "replace")
    if kind != "CERTIFICATE":
        warning = ", which must never be distributed" if "PRIVATE KEY" in kind else ""
        raise AuthorityError(f"{place} is a {kind}{warning}", hint=_HINT)
    block = _BLOCK.match(pem, begin.start())
    if block is None:
        raise AuthorityError(f"{place} is damaged: it has no end, or headers, or is not base64", hint=_HINT)
    try:
        return x509.load_pem_x509_certificate(block.group())
    except ValueError as error:
        raise AuthorityError(f"{place} is damaged: {str(error).partition(' (')[0]}", hint=_HINT) from error


def _check_between(pem: bytes, start: int, end: int, source: str) -> None:
    for line in pem[start:end].splitlines():
        text = line.strip()
        if text and not text.startswith(b"#"):
            number = pem.count(b"\n", 0, start) + 1
            raise AuthorityError(f"after line {number}, {source} holds text that is no certificate", hint=_HINT)
