"""A classified AWS request."""

from enum import StrEnum
from typing import NamedTuple


class Protocol(StrEnum):
    """How a service spells requests, responses and errors."""

    JSON = "json"
    REST_JSON = "rest-json"
    REST_XML = "rest-xml"
    QUERY = "query"
    EC2 = "ec2"
    CBOR = "cbor"


class Call(NamedTuple):
    """One AWS request: who is asked, where, for what. Empty strings mean that the request does not tell.

    A named tuple: one is made for every request, at a quarter of what a frozen dataclass costs.
    """

    service: str
    """botocore's service id: s3, dynamodb, ecs, elbv2, …; for customers' own endpoints a name from
    `hosts.DATA_PLANES`: execute-api, lambda-url, …; empty when no service was recognised."""
    region: str
    operation: str
    """The operation's name where target, action, CBOR path or (for common REST services) method and path tell it."""
    protocol: Protocol
    host: str
    """The name the client asked, lower case, no port."""
    signing_name: str = ""
    """The service of the credential scope."""
    access_key: str = ""
    account: str = ""
    """From the host name, where it holds one."""
    resource: str = ""
    """The bucket of an S3 request, the API id of execute-api, …"""
    json_version: str = "1.0"
    """1.0 or 1.1: echoed in the content type of JSON errors."""
    query_compatible: bool = False
    """The client asked for query-compatible JSON errors (x-amzn-query-mode)."""
