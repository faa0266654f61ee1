"""What a workload would be served for a host, judged as its clients would. Pure but for the leaf's key."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography import x509

from kecs.aws.hosts import is_aws_name, normalise, wants_client_certificate
from kecs.certs.bundle import fingerprint
from kecs.certs.state import Authority
from kecs.certs.verify import verify_served
from kecs.cli.certs_status import Line, cut, generations
from kecs.core.errors import AuthorityError, UsageError
from kecs.relay.contexts import covering


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """One kind of client, and what it says."""

    client: str
    complaint: str = ""
    """Empty when it takes the chain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """The chain for a host, leaf first, and what each client says of it."""

    host: str
    chain: tuple[x509.Certificate, ...]
    judgements: tuple[Judgement, ...]

    @property
    def holds(self) -> bool:
        """Every client takes it."""
        return not any(judgement.complaint for judgement in self.judgements)


def host_of(text: str) -> str:
    """Take a host name; refuse what is none of AWS's, since nothing is ever signed for it."""
    host = normalise(text)
    if not host or not is_aws_name(host):
        raise UsageError(
            f"{text} is not an AWS name: connections to it are passed undecrypted, and no certificate is made for it",
            hint="give one like s3.eu-west-1.amazonaws.com",
        )
    if wants_client_certificate(host, ()):
        raise UsageError(
            f"{text} asks its clients for certificates: connections to it are refused, never intercepted",
            hint="give one like s3.eu-west-1.amazonaws.com",
        )
    return host


def verified(authority: Authority, host: str, now: datetime) -> Verified:
    """Sign what a new workload would be served now, and judge it."""
    pem, _key, _end = authority.new_intermediate(now, subject="verify").mint(covering(host), now)
    chain = tuple(x509.load_pem_x509_certificates(pem))
    judgements = tuple(
        Judgement(client=client, complaint=_complaint(chain, host, roots, now))
        for client, roots in clients(authority).items()
    )
    return Verified(host=host, chain=chain, judgements=judgements)


def clients(authority: Authority) -> dict[str, tuple[x509.Certificate, ...]]:
    """List the kinds of clients that there may be: by the roots that they trust."""
    numbered = sorted(generations(authority).items())
    if len(numbered) == 1:
        return {f"trusts generation {number}": (root,) for number, root in numbered}
    (old, old_root), (new, new_root) = numbered
    return {
        f"trusts generation {old} alone": (old_root,),
        f"trusts generation {new} alone": (new_root,),
        f"trusts generations {old} and {new}": (old_root, new_root),
    }


def _complaint(
    chain: tuple[x509.Certificate, ...], host: str, roots: tuple[x509.Certificate, ...], now: datetime
) -> str:
    try:
        verify_served(chain, host, roots, now)
    except AuthorityError as error:
        return error.message
    return ""


def lines(found: Verified) -> Iterator[Line]:
    """Spell it for people."""
    yield Line(text=f"served for {found.host}", style="bold")
    for depth, certificate in enumerate(found.chain):
        yield Line(text=f"{'   ' * max(depth - 1, 0)}{'└─ ' if depth else ''}{_described(certificate, 3 * depth)}")
    yield Line(text="")
    for judgement in found.judgements:
        verdict = judgement.complaint or "accepted"
        yield Line(text=f"{judgement.client:<30} {verdict}", style="red" if judgement.complaint else "")


def as_data(found: Verified) -> dict[str, Any]:
    """Spell it for programs."""
    return {
        "host": found.host,
        "holds": found.holds,
        "chain": [
            {
                "subject": certificate.subject.rfc4514_string(),
                "issuer": certificate.issuer.rfc4514_string(),
                "sha256": fingerprint(certificate),
                "not_after": f"{certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}",
            }
            for certificate in found.chain
        ],
        "clients": [
            {"client": judgement.client, "accepted": not judgement.complaint, "complaint": judgement.complaint}
            for judgement in found.judgements
        ],
    }


def _described(certificate: x509.Certificate, indent: int) -> str:
    end = f"{certificate.not_valid_after_utc:%Y-%m-%d %H:%M}Z"
    subject, issuer = (name.rfc4514_string() for name in (certificate.subject, certificate.issuer))
    short = f"{subject.removesuffix(',O=KECS')}, by {issuer.removesuffix(',O=KECS')}"
    return f"{cut(short, 76 - indent - len(end))}  {end}"
