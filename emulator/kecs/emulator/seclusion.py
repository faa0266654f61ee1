"""What is settled before moto is imported: the account, its own environment, and that it never reaches a network."""

import errno
import ipaddress
import os
import socket
import sys
from collections.abc import MutableMapping
from typing import Any, Final

SETTINGS: Final = {
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    "MOTO_ALLOW_NONEXISTENT_REGION": "true",  # regions newer than the installed botocore exist too
    "MOTO_IAM_LOAD_MANAGED_POLICIES": "true",  # roles are given arn:aws:iam::aws:policy/… as they would be
}


def clear_environment(environ: MutableMapping[str, str]) -> None:
    """Drop the caller's AWS and moto settings (a profile that does not exist would break every service), set ours."""
    for name in [name for name in environ if name.startswith(("AWS_", "MOTO_", "BOTO"))]:
        del environ[name]
    environ.update(SETTINGS)


def use_account(account: str) -> None:
    """Make this moto's default account. MOTO_ACCOUNT_ID would do so for every request, other accounts' roles too."""
    import moto.core  # noqa: PLC0415 - imports boto3, which reads the environment that is cleared above
    import moto.core.models  # noqa: PLC0415 - the same

    moto.core.DEFAULT_ACCOUNT_ID = moto.core.models.DEFAULT_ACCOUNT_ID = account


def close_network() -> None:
    """Refuse every connection that leaves the machine, for the rest of this process.

    moto delivers to HTTP subscribers and tries hosts of its own (Docker's, for one); only loopback may be reached.
    """
    sys.addaudithook(_audit)


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect" and not _is_near(arguments[1]):
        raise OSError(errno.ENETUNREACH, f"the emulator does not connect to {arguments[1]!r}")
    if event == "socket.getaddrinfo" and not _is_literal(arguments[0]):
        raise socket.gaierror(socket.EAI_NONAME, f"the emulator does not look up {arguments[0]!r}")


def _is_near(address: Any) -> bool:
    return not isinstance(address, tuple) or ipaddress.ip_address(address[0].partition("%")[0]).is_loopback


def _is_literal(host: Any) -> bool:
    """Say whether no resolver is asked for a host."""
    text = host.decode() if isinstance(host, bytes) else host
    if text in {None, "", "localhost"}:
        return True
    try:
        ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return True
