"""Authorities to test with, and a foreign judge of certificates: `openssl verify`."""

import os
import subprocess
from datetime import datetime
from pathlib import Path

from kecs.certs.authority import Signer, issue_issuer
from kecs.certs.state import Authority, Phase

PERMITTED = ("amazonaws.com", "api.aws")
CLEAN = {"PATH": os.environ["PATH"]}
"""No variable that says whom to trust."""
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
