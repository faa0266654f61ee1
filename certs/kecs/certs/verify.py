"""What a client would say of a served chain: cryptography's verifier, with the time and the trusted roots given.

It keeps the rules of the web's profile, which are stricter than most clients'. Nothing of this machine is trusted.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from kecs.core.errors import AuthorityError


def verify_served(
    chain: Sequence[x509.Certificate], name: str, trusted: Iterable[x509.Certificate], now: datetime
) -> tuple[x509.Certificate, ...]:
    """Return the path from the leaf to a trusted root; raise AuthorityError when a client would refuse the chain.

    `chain` is as served, leaf first; `name` the host that the client asked for.
    """
    roots = list(trusted)
    if not chain or not roots:
        missing = "no certificate is served" if not chain else "no root is trusted"
        raise AuthorityError(f"nothing can be verified for {name}: {missing}", hint="see `kecs proxy certs status`")
    policy = PolicyBuilder().store(Store(roots)).time(now.astimezone(UTC))
    verifier = policy.build_server_verifier(x509.DNSName(name))
    try:
        return tuple(verifier.verify(chain[0], list(chain[1:])))
    except VerificationError as error:
        subjects = ", ".join(root.subject.rfc4514_string() for root in roots)
        raise AuthorityError(
            f"who trusts {subjects} refuses what is served for {name}: {error}",
            hint="see which generation it trusts with `kecs proxy certs status`; restarting it has it trust the newest",
        ) from error


def is_verified(
    chain: Sequence[x509.Certificate], name: str, trusted: Iterable[x509.Certificate], now: datetime
) -> bool:
    """Say whether a client would take the chain."""
    try:
        verify_served(chain, name, trusted, now)
    except AuthorityError:
        return False
    return True
