"""What derives from an authority and is written beside it: the public bundle, the injector's serving certificate. Pure.

Whatever others make of these objects, they are made anew from the records; nothing is read from them that matters.
"""

import base64
import binascii
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import DNSName, SubjectAlternativeName, load_pem_x509_certificates

from kecs.certs.authority import certificate_pem, fits
from kecs.certs.serving import Serving, issue, read
from kecs.certs.state import Authority
from kecs.core.errors import AuthorityError

_MOMENT: Final = "%Y-%m-%dT%H:%M:%SZ"


def trust(authority: Authority) -> dict[str, str]:
    """Spell what anybody may know: the data of the ConfigMap that the injector reads."""
    return {
        "ca.crt": authority.bundle_pem.decode(),
        "generation": str(authority.generation),
        "phase": authority.phase.value,
        "since": f"{authority.since:{_MOMENT}}",
        "trust_sha256": ",".join(authority.trust_sha256),
        "issuer.crt": certificate_pem(authority.issuer.certificate, *authority.above).decode(),
        "issuer_sha256": authority.issuer_sha256,
    }


def service_names(service: str, namespace: str) -> tuple[str, ...]:
    """List the names by which a service is called inside the cluster."""
    return (f"{service}.{namespace}.svc", f"{service}.{namespace}.svc.cluster.local")


def service_domains(namespace: str) -> tuple[str, ...]:
    """List the domains that a root must permit for the services of a namespace."""
    return (f"{namespace}.svc", f"{namespace}.svc.cluster.local")


def serving_fields(
    found: Mapping[str, Any], authority: Authority, names: tuple[str, ...], now: datetime
) -> dict[str, bytes]:
    """Return the fields of a service's serving Secret: its certificate while it is good, otherwise another.

    `found` is the Secret's data as it stands, in base64; it may be anything.
    """
    fields = _decoded(found)
    kept = _kept(fields, names)
    above = certificate_pem(authority.issuer.certificate, *authority.served_above(now))
    if kept is None or kept.due(now, authority.issuer_sha256) or not kept.chain_pem.endswith(above):
        kept = issue(authority, names, now)
    return {"tls.crt": kept.chain_pem, "tls.key": kept.key_pem, "ca.crt": authority.bundle_pem}


def _decoded(found: Mapping[str, Any]) -> dict[str, bytes]:
    try:
        return {name: base64.b64decode(value, validate=True) for name, value in found.items()}
    except (binascii.Error, TypeError, ValueError):
        return {}


def _kept(fields: Mapping[str, bytes], names: tuple[str, ...]) -> Serving | None:
    """Read the certificate that is there, if it is whole and for these names."""
    try:
        serving = read(fields.get("tls.crt", b""), fields.get("tls.key", b""), source="the serving Secret")
        leaf, *_ = load_pem_x509_certificates(serving.chain_pem)
        key = load_pem_private_key(serving.key_pem, password=None)
        said = leaf.extensions.get_extension_for_class(SubjectAlternativeName).value.get_values_for_type(DNSName)
    except (AuthorityError, ValueError, TypeError, LookupError):
        return None
    sound = isinstance(key, ec.EllipticCurvePrivateKey) and fits(leaf, key) and set(names) <= set(said)
    return serving if sound else None
