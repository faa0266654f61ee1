"""The certificates of a run: one authority, a pod's intermediate for who mints, leaves for who can't."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from kecs.aws.hosts import SUFFIXES
from kecs.certs.authority import Signer, certificate_pem, issue_intermediate, issue_issuer, issue_root, new_key
from kecs.certs.leaf import Intermediate

FOREIGN: Final = "files.example.net"
"""A name that is not AWS; its server has a certificate of its own root."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """Files, all PEM."""

    root: Path
    """Both roots, for clients that verify."""
    chain: Path
    """The certificates from the pod's intermediate to its issuer."""
    key: Path
    leaf: Path
    """What servers that can't mint present: the chain that the sidecar would."""
    leaf_key: Path
    pair: Path
    """Leaf, chain and key in one file."""
    foreign: Path
    foreign_key: Path


def make(directory: Path, names: tuple[str, ...]) -> Material:
    """Issue everything; the leaf is for `names`."""
    now = datetime.now(UTC)
    root, pod = _authority(SUFFIXES, now)
    chain, key = pod.to_pem()
    leaf, leaf_key, _end = pod.mint(names, now)
    other, elsewhere = _authority((FOREIGN,), now)
    foreign, foreign_key, _end = elsewhere.mint((FOREIGN,), now)
    files = {
        "root": certificate_pem(root.certificate, other.certificate),
        "chain": chain,
        "key": key,
        "leaf": leaf,
        "leaf_key": leaf_key,
        "pair": leaf + leaf_key,
        "foreign": foreign,
        "foreign_key": foreign_key,
    }
    return Material(**{name: _written(directory / f"{name}.pem", text) for name, text in files.items()})


def _authority(domains: tuple[str, ...], now: datetime) -> tuple[Signer, Intermediate]:
    root = issue_root(now, permitted=domains)
    issuer = issue_issuer(root, now)
    key = new_key()
    certificate = issue_intermediate(issuer, key.public_key(), now, subject="bench/pod")
    return root, Intermediate(signer=Signer(certificate=certificate, key=key), above=(issuer.certificate,))


def _written(path: Path, text: bytes) -> Path:
    path.write_bytes(text)
    path.chmod(0o644)
    return path
