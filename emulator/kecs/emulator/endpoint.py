"""Requests that came by an endpoint URL (AWS_ENDPOINT_URL) and not by a name of AWS: which service they are for.

The signature's scope, the target or the action tells. Without any of them nobody can know, and nothing is guessed.
"""

from dataclasses import replace
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

import botocore.session
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from kecs.aws.classify import classify
from kecs.core.names import DEFAULT_REGION
from kecs.emulator.answers import Request
from kecs.emulator.hosts import Place, locate

_NAMES_ITSELF: Final = frozenset({"sqs"})
"""Services whose answers name the host that was asked, for the client to go on with."""


def locate_by_scope(request: Request) -> Place | None:
    """Return where moto answers a request that was sent to another host than AWS's; None when nothing tells."""
    call = classify(request.head, body=request.body)
    host = _host(call.service, call.region or DEFAULT_REGION) if call.service else ""
    place = locate(host) if host else None
    if place is None or call.service not in _NAMES_ITSELF:
        return place
    return replace(place, scheme="http", host=request.headers["host"])


@lru_cache(maxsize=1024)
def _host(service: str, region: str) -> str:
    """Return the host that the SDK would ask."""
    session = botocore.session.Session()
    try:
        client = session.create_client(service, region_name=region, config=Config(signature_version=UNSIGNED))
    except (BotoCoreError, ValueError):  # a service that botocore does not know, a region that is none
        return ""
    return urlsplit(client.meta.endpoint_url).hostname or ""
