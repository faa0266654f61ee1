"""Who calls: whose key it is, and what moto, which would name itself, says of one that nobody made.

AWS's own answers have the forms given here.
"""

from typing import Any, Final

import moto.iam.models
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


def account_of(access_key: str) -> str:
    """Return the account that has a key, else moto's default one; what nobody has used yet is not made for it."""
    models: Any = moto.iam.models
    for account, partitions in list(models.iam_backends.items()):
        if any(access_key in backend.access_keys for backend in list(partitions.values())):
            return str(account)
    return str(models.DEFAULT_ACCOUNT_ID)


def mend_iam() -> None:
    """Mend how moto looks up a key at each call: the first would make IAM in every partition, with AWS's policies.

    That took 0.4 s and 42 MB, and as much again for each further account. IAM is made when somebody asks it, or STS.
    """
    models: Any = moto.iam.models
    models.get_account_id_from = account_of
    mark = models.mark_account_as_visited
    if mark.__module__ == __name__:
        return

    def mark_account_as_visited(account_id: str, access_key: str, service: str, region: str) -> None:
        if get_partition(region) in models.iam_backends[account_id].keys():  # noqa: SIM118 - moto's `in` asks another thing
            mark(account_id, access_key, service, region)

    models.mark_account_as_visited = mark_account_as_visited


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
