"""What a webhook's caBundle is to be: every root that is wanted, and those that were wanted until lately. Pure.

Replicas hear of a new certificate at different moments. One that has heard of it must not take away the root that
another one's certificate still needs, nor may the two undo each other's work: so what is found is carried on for a
while, and left as it is when nothing is missing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from cryptography import x509

from kecs.certs.bundle import distinct, fingerprint, parse, spell
from kecs.core.errors import AuthorityError

KEEP_S: Final = 60.0
"""How long a root that is wanted no more stays. A watch brings a new certificate to every replica in less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaBundle:
    """A caBundle that holds what it has to."""

    pem: bytes
    unwanted: Mapping[str, float] = field(default_factory=dict)
    """Roots that will be dropped: fingerprint → since when they are not wanted, on this replica's monotonic clock."""


def plan(
    found: bytes,
    wanted: Iterable[x509.Certificate],
    unwanted: Mapping[str, float],
    now: float,
    *,
    keep_s: float = KEEP_S,
) -> CaBundle:
    """Say what to write where `found` stands; the same bytes when nothing has to be written.

    What is no bundle, as GitOps tools and charts put there, counts as none. `unwanted` is from the plan before.
    """
    there = _parsed(found)
    needed = distinct(wanted)
    names = {fingerprint(root) for root in needed}
    since = {name: unwanted.get(name, now) for root in there if (name := fingerprint(root)) not in names}
    kept = [root for root in there if (name := fingerprint(root)) in since and now - since[name] < keep_s]
    roots = distinct((*needed, *sorted(kept, key=fingerprint)))
    present = {fingerprint(root) for root in there}
    same = present == {fingerprint(root) for root in roots}
    return CaBundle(
        pem=found if same else spell(roots),
        unwanted={fingerprint(root): since[fingerprint(root)] for root in kept},
    )


def _parsed(pem: bytes) -> tuple[x509.Certificate, ...]:
    try:
        return parse(pem, source="caBundle")
    except AuthorityError:
        return ()
