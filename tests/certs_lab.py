"""Authorities to test with, and a foreign judge of certificates: `openssl verify`."""

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from kecs.certs.authority import Signer, certificate_pem, issue_issuer, new_key
from kecs.certs.keeper import Keeper
from kecs.certs.outcome import Refused, State, Step
from kecs.certs.records import Conflict, Record, Store
from kecs.certs.rotation import Scope
from kecs.certs.state import Authority, Phase

PERMITTED = ("amazonaws.com", "api.aws")
SCOPE = Scope(permitted=PERMITTED)
NAME = "s3.amazonaws.com"
CLEAN = {"PATH": os.environ["PATH"]}
"""No variable that says whom to trust."""
_CERT_SIGN = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)
OPTIONS = (
    *("-x509_strict", "-no-CApath", "-no-CAstore", "-purpose", "sslserver"),
    *("-CAfile", "verify-root.pem", "-untrusted", "verify-chain.pem"),
)


def first_generation(root: Signer, now: datetime, *, issuer: Signer | None = None) -> Authority:
    """Say what an authority is before any rotation."""
    return Authority(
        generation=1,
        phase=Phase.STABLE,
        issuer=issuer or issue_issuer(root, now),
        above=(),
        bundle=(root.certificate,),
        since=now,
    )


def foreign(
    now: datetime,
    signer: Signer | None = None,
    *,
    path_length: int | None = None,
    permitted: tuple[str, ...] = (),
    days: int = 365,
    begins: timedelta = timedelta(hours=-1),
    ca: bool = True,
    identified: bool = True,
    usable: bool = True,
    basic: bool = True,
) -> Signer:
    """Make a CA as others make them: a root, or one that `signer` signed."""
    key = new_key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Example CA {x509.random_serial_number() % 10**6}")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(signer.certificate.subject if signer else name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins)
        .not_valid_after(now + timedelta(days=days))
    )
    if basic:
        constraints = x509.BasicConstraints(ca=ca, path_length=path_length if ca else None)
        builder = builder.add_extension(constraints, critical=True)
    if usable:
        builder = builder.add_extension(_CERT_SIGN, critical=True)
    above = signer.key.public_key() if signer else key.public_key()
    builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(above), critical=False)
    if identified:
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        builder = builder.add_extension(identifier, critical=False)
    if permitted:
        trees = [x509.DNSName(domain) for domain in permitted]
        builder = builder.add_extension(x509.NameConstraints(trees, None), critical=True)
    certificate = builder.sign(signer.key if signer else key, hashes.SHA256())
    return Signer(certificate=certificate, key=key)


class OpenSsl:
    """`openssl verify`, trusting one root and nothing of this machine."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def verify(self, *, root: bytes, chain: bytes, at: datetime | None = None) -> str:
        """Return "" for a chain that is accepted, otherwise what openssl says."""
        (self.directory / "verify-root.pem").write_bytes(root)
        (self.directory / "verify-chain.pem").write_bytes(chain)
        moment = ["-attime", str(int(at.timestamp()))] if at else []
        done = subprocess.run(
            ["openssl", "verify", *OPTIONS, *moment, "verify-chain.pem"],
            cwd=self.directory,
            capture_output=True,
            text=True,
            env=CLEAN,
            timeout=30,
            check=False,
        )
        return "" if done.returncode == 0 else done.stderr


@dataclass(slots=True)
class MemoryStore:
    """Records in memory, with versions that count up."""

    records: dict[Record, tuple[Mapping[str, bytes], str]] = field(default_factory=dict)
    written: list[Record] = field(default_factory=list)

    def read(self, record: Record) -> tuple[Mapping[str, bytes], str] | None:
        return self.records.get(record)

    def write(self, record: Record, fields: Mapping[str, bytes], version: str | None) -> str:
        found = self.records.get(record)
        if (found[1] if found else None) != version:
            raise Conflict(f"{record} has version {found[1] if found else None}, not {version}")
        self.written.append(record)
        self.records[record] = (dict(fields), str(len(self.written)))
        return self.records[record][1]

    def edit(self, record: Record, **fields: bytes | None) -> None:
        """Change fields by hand: `tls_crt` stands for `tls.crt`; None removes one."""
        kept, _ = self.records[record]
        changed = {name.replace("_", "."): value for name, value in fields.items()}
        merged = {**kept, **changed}
        self.records[record] = ({name: value for name, value in merged.items() if value is not None}, "edited")

    def copy(self) -> "MemoryStore":
        return MemoryStore(dict(self.records), list(self.written))


class Killed(BaseException):
    """The process ends here: nothing of ours may catch it."""


@dataclass(slots=True)
class DyingStore:
    """A store whose process is killed at its n-th write: before it, or after it and before it is told."""

    store: Store
    writes: int
    after: bool = False

    def read(self, record: Record) -> tuple[Mapping[str, bytes], str] | None:
        return self.store.read(record)

    def write(self, record: Record, fields: Mapping[str, bytes], version: str | None) -> str:
        self.writes -= 1
        if self.writes == 0 and not self.after:
            raise Killed
        told = self.store.write(record, fields, version)
        if self.writes == 0:
            raise Killed
        return told


@dataclass(slots=True)
class RacedStore:
    """A store where another does something right before our n-th write."""

    store: Store
    writes: int
    other: Callable[[], object]

    def read(self, record: Record) -> tuple[Mapping[str, bytes], str] | None:
        return self.store.read(record)

    def write(self, record: Record, fields: Mapping[str, bytes], version: str | None) -> str:
        self.writes -= 1
        if self.writes == 0:
            self.other()
        return self.store.write(record, fields, version)


def keeper(store: Store, scope: Scope = SCOPE) -> Keeper:
    return Keeper(store=store, scope=scope)


def stepped(outcome: Step | Refused) -> State:
    """Take the state of a step that was not refused."""
    assert isinstance(outcome, Step), outcome
    return outcome.state


def served(authority: Authority, now: datetime, name: str = NAME) -> list[x509.Certificate]:
    """Return the chain that a new sidecar serves, leaf first."""
    return x509.load_pem_x509_certificates(authority.new_intermediate(now).mint((name,), now)[0])


def java_says(
    directory: Path, cases: Mapping[str, tuple[Sequence[x509.Certificate], Sequence[x509.Certificate]]]
) -> dict[str, str]:
    """Ask a JDK about (served chain, trusted roots), all in one process; return what it says of each."""
    for name, (chain, roots) in cases.items():
        (directory / f"{name}.chain.pem").write_bytes(certificate_pem(*chain))
        (directory / f"{name}.roots.pem").write_bytes(certificate_pem(*roots))
    program = Path(__file__).parent / "certs" / "ChainProbe.java"
    done = subprocess.run(
        ["java", "-XX:TieredStopAtLevel=1", str(program), *cases],
        cwd=directory,
        capture_output=True,
        text=True,
        env=CLEAN,
        timeout=120,
        check=True,
    )
    return dict(line.split(": ", 1) for line in done.stdout.splitlines())
