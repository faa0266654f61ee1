"""What a rotation is asked to do, and what comes of it: a step, or a refusal with every reason. Values alone."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from kecs.certs.state import Authority, Roots
from kecs.core.errors import AuthorityError


class Action(StrEnum):
    """What can be asked of an authority."""

    PREPARE = "prepare"
    """Make the next generation and have new workloads trust it too."""
    SWITCH = "switch"
    """Let the next generation sign."""
    RETIRE = "retire"
    """Stop trusting the generation before."""
    EMERGENCY = "emergency"
    """Replace a generation whose key has leaked, at once and without a cross-certificate."""
    RENEW = "renew"
    """Replace the issuer below the same root."""


class Reason(StrEnum):
    """Why an authority does not do what it is asked."""

    NOT_PREPARED = "not_prepared"
    """There is no next generation to switch to."""
    NOT_SWITCHED = "not_switched"
    """The new generation does not sign yet."""
    NOT_RETIRED = "not_retired"
    """An earlier rotation still has two generations alive."""
    UNSETTLED = "unsettled"
    """The cross-certificates of earlier rotations are still served, and a chain can hold no more."""
    OLD_ROOT_ONLY = "old_root_only"
    """Workloads are running that trust the old root alone."""
    UNCROSSED = "uncrossed"
    """No cross-certificate leads workloads that trust the old root alone to the new one."""
    ROOT_KEY_ABSENT = "root_key_absent"
    """The root's key is not here: the issuer was imported without."""
    ROOT_NOT_VALID = "root_not_valid"
    """The root has ended, or has not begun."""
    ISSUER_NOT_VALID = "issuer_not_valid"
    """The issuer that was imported has ended, or has not begun."""
    ROTATING = "rotating"
    """What is imported belongs to the generation that a rotation is preparing."""
    ALREADY_THERE = "already_there"
    """What is imported is in use."""
    KEY_OF_ANOTHER = "key_of_another"
    """The key is not the certificate's."""
    KEY_NOT_P256 = "key_not_p256"
    """The key is not P-256, the one kind that every client takes."""
    NO_CA = "no_ca"
    """The certificate may not sign others."""
    PATH_TOO_SHORT = "path_too_short"
    """A path length leaves no room for the certificates that have to stand below."""
    NO_KEY_IDENTIFIER = "no_key_identifier"
    """The certificate has no subject key identifier, which strict clients want."""
    DOMAINS_MISSING = "domains_missing"
    """Its name constraints leave out domains that have to be signed."""
    NO_ROOT = "no_root"
    """The root is not given."""
    CHAIN_BROKEN = "chain_broken"
    """The certificates do not lead from the issuer to the root."""


REMEDIES: Final = {
    Reason.NOT_PREPARED: "prepare first",
    Reason.NOT_SWITCHED: "switch first",
    Reason.NOT_RETIRED: "retire it first",
    Reason.UNSETTLED: "wait a day after the last retirement",
    Reason.OLD_ROOT_ONLY: "restart them, or force: they stay served through the cross-certificate while they are seen",
    Reason.UNCROSSED: "restart them so that they trust both roots, or force and they fail until restarted",
    Reason.ROOT_KEY_ABSENT: "import the next issuer or root: `kecs proxy certs import`",
    Reason.ROOT_NOT_VALID: "check the clock; if it is right, use an emergency rotation",
    Reason.ISSUER_NOT_VALID: "import one that is valid",
    Reason.ROTATING: "finish the rotation first",
    Reason.ALREADY_THERE: "nothing is left to do",
    Reason.KEY_OF_ANOTHER: "give the key and the certificate of one Secret",
    Reason.KEY_NOT_P256: "make one with cert-manager's privateKey: {algorithm: ECDSA, size: 256}",
    Reason.NO_CA: "give a certificate with basicConstraints CA:TRUE and keyUsage keyCertSign",
    Reason.PATH_TOO_SHORT: "give an issuer with path length 1 or more, below a root without any",
    Reason.NO_KEY_IDENTIFIER: "issue it with the extension subjectKeyIdentifier",
    Reason.DOMAINS_MISSING: "permit these domains, or constrain no names",
    Reason.NO_ROOT: "put the root's certificate into ca.crt",
    Reason.CHAIN_BROKEN: "put the issuer first into tls.crt, then what signed it; the root alone into ca.crt",
}
"""What to do about each reason."""

SENTENCES: Final = {
    Reason.NOT_PREPARED: "there is no prepared generation to switch to",
    Reason.NOT_SWITCHED: "the new generation does not sign yet",
    Reason.NOT_RETIRED: "an earlier rotation is not retired yet",
    Reason.UNSETTLED: "cross-certificates of earlier rotations are still served, and a chain can hold no more",
    Reason.OLD_ROOT_ONLY: "running workloads trust the old root alone",
    Reason.UNCROSSED: "no cross-certificate leads workloads that trust the old root alone to the new one",
    Reason.ROOT_KEY_ABSENT: "the root's key is not here, so it can sign neither an issuer nor its successor",
    Reason.ROOT_NOT_VALID: "the root has ended, or has not begun",
    Reason.ISSUER_NOT_VALID: "the imported issuer, or what stands above it, has ended or has not begun",
    Reason.ROTATING: "it belongs to the generation that a rotation is preparing",
    Reason.ALREADY_THERE: "it is in use already",
    Reason.KEY_OF_ANOTHER: "the key is not the certificate's",
    Reason.KEY_NOT_P256: "the key is not P-256, the one kind that every client takes",
    Reason.NO_CA: "the certificate may not sign others",
    Reason.PATH_TOO_SHORT: "a path length leaves no room for the certificates that stand below",
    Reason.NO_KEY_IDENTIFIER: "the certificate has no subject key identifier, which strict clients want",
    Reason.DOMAINS_MISSING: "its name constraints leave out domains that have to be signed",
    Reason.NO_ROOT: "the root's certificate is not given",
    Reason.CHAIN_BROKEN: "the certificates don't lead from the issuer to the root",
}
"""Each reason as a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A running pod or `kecs run`, and the roots it was told to trust: for as long as it runs."""

    name: str
    kind: str
    trusted: tuple[str, ...]
    """Fingerprints, lower-case hex."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Both records."""

    roots: Roots
    authority: Authority


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What the records are to become."""

    state: State
    changed: bool = True
    """False when what was asked for is the case already."""
    broken: tuple[Workload, ...] = ()
    """The workloads that trust no root which will be in use: they have to be restarted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Why nothing is done: every reason, not the first alone."""

    reasons: tuple[Reason, ...]
    workloads: tuple[Workload, ...] = ()
    """The workloads that stand in the way."""
    details: tuple[str, ...] = ()
    """The values that the reasons are about: domains, fingerprints."""

    @property
    def sentences(self) -> tuple[str, ...]:
        """Each reason as a sentence."""
        return tuple(SENTENCES[reason] for reason in self.reasons)

    def error(self) -> AuthorityError:
        """Say it as an error."""
        named = (*self.details, *(f"{workload.kind} {workload.name}" for workload in self.workloads))
        about = f" ({', '.join(named)})" if named else ""
        return AuthorityError(
            "; ".join(self.sentences) + about, hint="; ".join(REMEDIES[reason] for reason in self.reasons)
        )
