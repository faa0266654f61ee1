"""What is kept of an authority: the roots, and what signs and is trusted now. Values alone; never reads a clock.

A generation is one root and the issuers below it. At most two live, and only during a rotation:

    phase      who signs                 what new workloads trust     what is served above the issuer
    stable     the one generation        its root                     nothing; for a day, the last cross-certificate
    prepared   the old one               the old root, the new one    the same
    switched   the new one               the new root, the old one    the new root signed by the old one
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from kecs.certs import bundle as bundles
from kecs.certs.authority import (
    INTERMEDIATE_LIFETIME,
    Signer,
    issue_intermediate,
    new_key,
    permitted_domains,
)
from kecs.certs.leaf import Intermediate
from kecs.core.errors import AuthorityError


class Phase(StrEnum):
    """How far a rotation has come."""

    STABLE = "stable"
    """One generation; no rotation is under way."""
    PREPARED = "prepared"
    """The new root is there and trusted by new workloads; the old generation still signs."""
    SWITCHED = "switched"
    """The new generation signs; both roots are trusted by new workloads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """The root of one generation. Its key is absent when the issuer below it was imported without."""

    number: int
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey | None

    @property
    def signer(self) -> Signer | None:
        """The root as what signs, if its key is here."""
        return Signer(certificate=self.certificate, key=self.key) if self.key else None

    @property
    def sha256(self) -> str:
        """The fingerprint that workloads carry."""
        return bundles.fingerprint(self.certificate)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """An imported issuer that signs once the rotation to its root is switched."""

    issuer: Signer
    chain: tuple[x509.Certificate, ...] = ()
    """What stands between the issuer and its root."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Roots:
    """The root record: read by what holds the authority, and by nothing else."""

    newest: Root
    previous: Root | None = None
    """The root of the generation before, until the rotation to the newest is retired."""
    cross: x509.Certificate | None = None
    """The newest root signed by the previous one, and kept when that one has gone: an issuer record that is lost can
    be made anew with it. None when the previous one's key was not here."""
    waiting: Waiting | None = None

    @property
    def all(self) -> tuple[Root, ...]:
        """Every root of the record, newest first."""
        return (self.newest, self.previous) if self.previous else (self.newest,)

    def of(self, generation: int) -> Root | None:
        """Find a generation's root."""
        return next((root for root in self.all if root.number == generation), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """The issuer record: what signing and trusting need, and the truth about the phase. Never a root's key."""

    generation: int
    phase: Phase
    issuer: Signer
    above: tuple[x509.Certificate, ...]
    """What follows the issuer in served chains: an imported issuer's own chain, then cross-certificates."""
    bundle: tuple[x509.Certificate, ...]
    """The roots that new workloads are told to trust, the active generation's first."""
    since: datetime
    """When this phase began, in UTC."""
    domains: tuple[str, ...] = ()
    """What intermediates may sign for; empty for all that the issuer may. The issuer also signs for KECS' services."""

    @property
    def root(self) -> x509.Certificate:
        """The active generation's root."""
        return self.bundle[0]

    @property
    def bundle_pem(self) -> bytes:
        """The bundle as PEM."""
        return bundles.spell(self.bundle)

    @property
    def trust_sha256(self) -> tuple[str, ...]:
        """The fingerprints of the bundle, in its order."""
        return tuple(bundles.fingerprint(root) for root in self.bundle)

    @property
    def issuer_sha256(self) -> str:
        """The issuer's fingerprint: when it changes, intermediates are to be renewed."""
        return bundles.fingerprint(self.issuer.certificate)

    @property
    def permitted(self) -> tuple[str, ...]:
        """The domains below which intermediates sign."""
        return self.domains or permitted_domains(self.issuer.certificate)

    @property
    def chain(self) -> tuple[x509.Certificate, ...]:
        """What stands between an imported issuer and its root; empty for issuers of our own."""
        return self.above[: self._crossing]

    @property
    def crosses(self) -> tuple[x509.Certificate, ...]:
        """The cross-certificates that are served: the active root signed by the one before, and so on."""
        return self.above[self._crossing :]

    @property
    def not_after(self) -> datetime:
        """The end of all that can be signed now."""
        return min(self.issuer.not_after, *(upper.not_valid_after_utc for upper in (*self.chain, self.root)))

    @property
    def _crossing(self) -> int:
        stands_for_root = (
            index
            for index, upper in enumerate(self.above)
            if upper.subject == self.root.subject and upper.public_key() == self.root.public_key()
        )
        return next(stands_for_root, len(self.above))

    def served_above(self, now: datetime) -> tuple[x509.Certificate, ...]:
        """List what follows the issuer at `now`: a cross-certificate that has ended leads nobody anywhere."""
        return tuple(upper for upper in self.above if now < upper.not_valid_after_utc)

    def sign_intermediate(
        self,
        public_key: ec.EllipticCurvePublicKey,
        now: datetime,
        *,
        subject: str,
        lifetime: timedelta = INTERMEDIATE_LIFETIME,
    ) -> tuple[x509.Certificate, ...]:
        """Sign an intermediate for a key that is not here; return the chain: intermediate, issuer, what is above."""
        if self.not_after <= now:
            raise AuthorityError(
                f"the issuer or its root ended at {self.not_after:%Y-%m-%dT%H:%M:%SZ}",
                hint="check the clock; if it is right, renew the issuer or rotate: `kecs proxy certs rotate`",
            )
        certificate = issue_intermediate(
            self.issuer,
            public_key,
            now,
            subject=subject,
            lifetime=min(lifetime, self.not_after - now),
            permitted=self.domains,
        )
        return (certificate, self.issuer.certificate, *self.served_above(now))

    def new_intermediate(
        self, now: datetime, *, subject: str = "run", lifetime: timedelta = INTERMEDIATE_LIFETIME
    ) -> Intermediate:
        """Issue the intermediate of one run, with a key of its own."""
        key = new_key()
        certificate, *above = self.sign_intermediate(key.public_key(), now, subject=subject, lifetime=lifetime)
        return Intermediate(signer=Signer(certificate=certificate, key=key), above=tuple(above))
