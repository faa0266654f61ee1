"""The certificates of a run: one authority, whose issuer serves who mints, and leaves for who can't."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from benchmarks.relay.layout import CERTS_NAME, FOREIGN, LEAF_NAMES
from kecs.aws.hosts import SUFFIXES
from kecs.certs.authority import (
    Signer,
    certificate_pem,
    issue_intermediate,
    issue_issuer,
    issue_root,
    issue_serving,
    key_pem,
    new_key,
)
from kecs.certs.leaf import Intermediate

_SERVICES: Final = ("kecs-system.svc",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """Files, all PEM."""

    root: Path
    """What clients trust: the authority's root, and that of the server which is not AWS."""
    trust: Path
    """The authority's root alone."""
    issuer: Path
    """The issuer's certificate and key."""
    serving: Path
    """Chain and key of who issues."""
    leaf: Path
    """What servers that can't mint present: the chain that the sidecar would."""
    leaf_key: Path
    pair: Path
    """Leaf, chain and key in one file."""
    foreign: Path
    foreign_key: Path


def make(directory: Path) -> Material:
    """Issue everything."""
    now = datetime.now(UTC)
    root = issue_root(now, permitted=(*SUFFIXES, *_SERVICES))
    issuer = issue_issuer(root, now)
    leaf, leaf_key, _end = _pod(issuer, now).mint(LEAF_NAMES, now)
    serving = new_key()
    service = issue_serving(issuer, serving.public_key(), (CERTS_NAME,), now)
    other = issue_root(now, permitted=(FOREIGN,))
    foreign, foreign_key, _end = _pod(issue_issuer(other, now), now).mint((FOREIGN,), now)
    files = {
        "root": certificate_pem(root.certificate, other.certificate),
        "trust": certificate_pem(root.certificate),
        "issuer": certificate_pem(issuer.certificate) + key_pem(issuer.key),
        "serving": certificate_pem(service, issuer.certificate) + key_pem(serving),
        "leaf": leaf,
        "leaf_key": leaf_key,
        "pair": leaf + leaf_key,
        "foreign": foreign,
        "foreign_key": foreign_key,
    }
    return Material(**{name: _written(directory / f"{name}.pem", text) for name, text in files.items()})


def _pod(issuer: Signer, now: datetime) -> Intermediate:
    key = new_key()
    certificate = issue_intermediate(issuer, key.public_key(), now, subject="bench/pod")
    return Intermediate(signer=Signer(certificate=certificate, key=key), above=(issuer.certificate,))


def _written(path: Path, text: bytes) -> Path:
    path.write_bytes(text)
    path.chmod(0o644)  # nothing but this run trusts any of it
    return path
