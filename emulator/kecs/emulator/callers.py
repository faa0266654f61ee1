"""Who calls, where moto does not know the key: it would name itself. AWS's own answers have the forms given here."""

from typing import Any, Final

import moto.sts.models
from moto.utilities.utils import get_partition

_TEMPORARY: Final = "ASIA"
_ROLE: Final = "kecs"
"""As the metadata endpoints call the role whose credentials they hand out."""
_MOTOS: Final = ":user/moto"


def identity(access_key: str, account: str, partition: str) -> tuple[str, str]:
    """Return user id and ARN for a key that nobody made: a role's session for a temporary one, else the account."""
    if access_key.startswith(_TEMPORARY):
        return f"AROA{access_key[4:]}:{_ROLE}", f"arn:{partition}:sts::{account}:assumed-role/{_ROLE}/{_ROLE}"
    return account, f"arn:{partition}:iam::{account}:root"


def mend_sts() -> None:
    """Mend moto's GetCallerIdentity; what moto knows of a key is its answer still."""
    backend: Any = moto.sts.models.STSBackend
    known = backend.get_caller_identity
    if known.__module__ == __name__:
        return

    def get_caller_identity(self: Any, access_key_id: str, region: str) -> tuple[str, str, str]:
        user_id, arn, account = known(self, access_key_id, region)
        if arn.endswith(_MOTOS):
            user_id, arn = identity(access_key_id, account, get_partition(region))
        return user_id, arn, account

    backend.get_caller_identity = get_caller_identity
