"""Clients of the emulator's services. An edge.

boto3 is loaded with the first of them, which is to be made on a thread: it takes a quarter of a second that most of us
never need.
"""

from typing import Any

from kecs.core.names import DEFAULT_ACCOUNT


def client(endpoint: str, service: str, region: str, account: str, *, attempts: int) -> Any:
    """Make a client of boto3. What stands for an account is its number as access key, as emulators take it."""
    import boto3  # noqa: PLC0415 - see the module
    from botocore.config import Config  # noqa: PLC0415 - the same

    session = boto3.Session(
        aws_access_key_id="test" if account == DEFAULT_ACCOUNT else account,
        aws_secret_access_key="test",  # noqa: S106 - emulators don't look at it
        region_name=region,
    )
    config = Config(
        connect_timeout=3, read_timeout=10, retries={"total_max_attempts": attempts, "mode": "standard"},
        proxies={}, s3={"addressing_style": "path"},
    )  # fmt: skip
    made: Any = session.client(service, endpoint_url=endpoint, config=config)  # type: ignore[call-overload]  # any service
    return made
