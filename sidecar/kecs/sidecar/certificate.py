"""What is said of the intermediate in use: to clients that need it, to probes, on the admin port. Pure."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from kecs.certs.bundle import fingerprint
from kecs.certs.leaf import Intermediate
from kecs.core.errors import KecsError


class Lack(StrEnum):
    """Why AWS names can't be spoken for now."""

    NONE = ""
    """They can."""
    NO_CERTIFICATE = "no_certificate"
    """None was issued yet."""
    CERTIFICATE_NOT_VALID = "certificate_not_valid"
    """The one in use has ended, or begins later than this clock says."""


def lack(intermediate: Intermediate | None, now: datetime) -> Lack:
    """Say whether leaves can be signed."""
    if intermediate is None:
        return Lack.NO_CERTIFICATE
    signer = intermediate.signer
    return Lack.NONE if signer.not_before <= now < signer.not_after else Lack.CERTIFICATE_NOT_VALID


def problem(intermediate: Intermediate | None, trouble: str, now: datetime) -> str:
    """Say in a sentence what keeps leaves from being signed; empty when nothing does. `trouble`: why no other came."""
    why = f": {trouble}" if trouble else ""
    if intermediate is None:
        return f"there is no intermediate yet{why}"
    if lack(intermediate, now) is Lack.NONE:
        return ""
    begins, end = intermediate.signer.certificate.not_valid_before_utc, intermediate.not_after
    if now < begins:
        return f"the intermediate begins at {begins.isoformat()}{why}"
    return f"the intermediate ended at {end.isoformat()}{why}"


def trial(intermediate: Intermediate, now: datetime) -> str:
    """Sign a leaf, and throw it away; say what went wrong."""
    try:
        # below a domain that it may sign for; where there is none, it is of no use
        intermediate.mint((f"ready.{next(iter(intermediate.permitted), '')}",), now)
    except KecsError as error:
        return f"the intermediate signs no leaves: {error.message}"
    return ""


def described(intermediate: Intermediate | None, now: datetime) -> dict[str, Any]:
    """Say all that may be known of it."""
    if intermediate is None:
        return {"subject": None, "not_after": None, "seconds_left": 0, "issuer_sha256": None}
    certificate = intermediate.signer.certificate
    return {
        "subject": certificate.subject.rfc4514_string(),
        "issuer": certificate.issuer.rfc4514_string(),
        "issuer_sha256": fingerprint(intermediate.above[0]) if intermediate.above else None,
        "serial_number": f"{certificate.serial_number:x}",
        "not_before": certificate.not_valid_before_utc.isoformat(),
        "not_after": certificate.not_valid_after_utc.isoformat(),
        "seconds_left": max(0, int((intermediate.not_after - now).total_seconds())),
        "permitted": list(intermediate.permitted),
    }
