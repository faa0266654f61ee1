"""Servers with certificates that no authority should give: who refuses them, and who does not.

All are signed on purpose by keys that may not: `issue_leaf` checks nothing. Each case has an address of its own. The
clients trust a root without constraints as well, whose certificates for the very same kind of name they must accept:
else a refusal would prove nothing.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID
from handshake_lab import Client, Flow, Kind, Trusted
from paced_lab import Backend

from kecs.aws.hosts import SUFFIXES
from kecs.certs.authority import Signer, certificate_pem, issue_leaf, issue_root, key_pem, new_key
from kecs.certs.state import Authority
from kecs.relay.contexts import server_context

NAME, ADDRESS, ROOT = "a name outside", "an address", "outside the root's own constraints"
FREE_NAME, FREE_ADDRESS = "control: the same kind of name", "control: the same kind of address"
CONTROLS = (FREE_NAME, FREE_ADDRESS)
HOSTS = {
    NAME: ("127.0.0.2", "evil.example"),
    ADDRESS: ("127.0.0.3", "127.0.0.3"),
    ROOT: ("127.0.0.4", "root.example"),
    FREE_NAME: ("127.0.0.5", "free.example"),
    FREE_ADDRESS: ("127.0.0.6", "127.0.0.6"),
}
"""Where each case is served, and the name that clients ask for."""
_YEAR = timedelta(days=365)
_UNUSED = (
    *("content_commitment", "key_encipherment", "data_encipherment"),
    *("key_agreement", "encipher_only", "decipher_only"),
)


@dataclass(frozen=True, slots=True)
class Signers:
    """Who signs what; `bounded` and `free` are roots that the clients trust too."""

    pod: Signer
    above: tuple[x509.Certificate, ...]
    bounded: Signer
    free: Signer

    @classmethod
    def of(cls, authority: Authority) -> "Signers":
        now = datetime.now(UTC)
        pod = authority.new_intermediate(now, subject="default/evil")
        return cls(pod.signer, pod.above, issue_root(now, permitted=SUFFIXES), unconstrained(now))

    def chains(self) -> Mapping[str, tuple[Signer, tuple[x509.Certificate, ...]]]:
        """Return for each case who signs the leaf, and what is served above it."""
        loose = unconstrained(datetime.now(UTC), self.bounded)
        evil = (self.pod, (self.pod.certificate, *self.above))
        return {
            NAME: evil,
            ADDRESS: evil,
            ROOT: (loose, (loose.certificate,)),
            FREE_NAME: (self.free, ()),
            FREE_ADDRESS: (self.free, ()),
        }


def unconstrained(now: datetime, signer: Signer | None = None) -> Signer:
    """Make a root, or an intermediate below one, that says nothing about names."""
    key = new_key()
    common = f"Unconstrained {'intermediate' if signer else 'root'}"
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])
    by = signer or Signer(certificate=issue_root(now, permitted=SUFFIXES).certificate, key=key)
    usage = dict.fromkeys(
        _UNUSED,
        False,
    )
    certificate = (
        x509.CertificateBuilder(
            issuer_name=by.certificate.subject if signer else subject,
            subject_name=subject,
            public_key=key.public_key(),
            serial_number=x509.random_serial_number(),
            not_valid_before=now - timedelta(hours=1),
            not_valid_after=now + _YEAR,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(digital_signature=False, key_cert_sign=True, crl_sign=True, **usage), critical=True
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by.key.public_key()), critical=False)
        .sign(by.key, hashes.SHA256())
    )
    return Signer(certificate=certificate, key=key)


@asynccontextmanager
async def served(signers: Signers, backend: Backend) -> AsyncIterator[None]:
    """Serve every case, as the relay would: with its contexts."""
    now, servers = datetime.now(UTC), []
    for case, (signer, above) in signers.chains().items():
        address, host = HOSTS[case]
        name = x509.IPAddress(IPv4Address(host)) if host == address else x509.DNSName(host)
        key = new_key()
        leaf = issue_leaf(signer, key.public_key(), (name,), now)
        context = server_context(certificate_pem(leaf, *above), key_pem(key))
        servers.append(await asyncio.start_server(backend.serve, address, 443, ssl=context))
    try:
        yield
    finally:
        for server in servers:
            server.close()


async def judge(
    directory: Path,
    installed: Sequence[tuple[Kind, list[str]]],
    authority: Authority,
    trusted: Mapping[str, x509.Certificate],
) -> list[dict[str, Any]]:
    """Have every client meet every case, trusting one generation's root and the two of the cases."""
    signers, backend, found = Signers.of(authority), Backend(), list[dict[str, Any]]()
    async with served(signers, backend):
        for trust, root in trusted.items():
            roots = certificate_pem(root, signers.bounded.certificate, signers.free.certificate)
            given = Trusted.of(directory / f"constraints-{trust}", roots)
            for first in range(0, len(installed), 4):
                some = [Client(kind, command, f"c{number}-{trust}", given, directory)
                        for number, (kind, command) in enumerate(installed[first : first + 4], first)]  # fmt: skip
                for rows in await asyncio.gather(*(_judged(client, trust, backend) for client in some)):
                    found += rows
    return found


async def _judged(client: Client, trust: str, backend: Backend) -> list[dict[str, Any]]:
    if client.kind.flow is Flow.LINES:
        await client.start()
    rows = []
    for case, (address, host) in HOSTS.items():
        path = f"/{client.label}/{address}"
        error = await client.ask(f"https://{host}{path}")
        asked = path in backend.seen
        rows.append({"client": client.kind.name, "trust": trust, "case": case, "refused": bool(error) and not asked,
                     "reason": error})  # fmt: skip
    await client.close()
    return rows
