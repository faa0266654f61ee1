"""Tokens by which a client says that a request is the one it sent before."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """One clientToken, with what it was used for."""

    region: str
    account: str
    operation: str
    token: str
    parameters_sha256: str
    """Of the request's other parameters, so that another request with the same token is told."""
    resources: tuple[str, ...]
    """ARNs of what was made."""
    expires_at: datetime

    @property
    def key(self) -> str:
        """Return what it is known by."""
        return f"{self.region}/{self.account}/{self.operation}/{self.token}"
