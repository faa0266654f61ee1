"""clientToken: the same request sent twice makes its resources once. Pure.

An operation that takes one asks `earlier` first. What it finds it gives back as it is now; where there is nothing it
makes its resources and keeps `kept(...)` along with them.
"""

import json
from datetime import timedelta
from hashlib import sha256
from typing import Final

from kecs.controlplane.errors import ApiError, invalid
from kecs.controlplane.operation import Request
from kecs.controlplane.records import Token
from kecs.controlplane.state import State
from kecs.controlplane.wire.model import model

LIFETIME: Final = timedelta(hours=24)
_MEMBER: Final = "clientToken"
_LONGEST: Final = {"RunTask": 64}
_USUALLY_LONGEST: Final = 36
_CHARACTERS: Final = range(33, 127)


def earlier(request: Request, state: State, *, message: str = "") -> Token | None:
    """Return what an earlier request with this one's clientToken has made; None where it is the first.

    Raise for a token that was used with other parameters: ConflictException with the resources where the operation's
    model lists it, else InvalidParameterException; `message` is the operation's own sentence for it.
    """
    given = request.params.get(_MEMBER)
    if not given:
        return None
    _judge(request.operation, given)
    found = state.get(Token, _key(request, given))
    if found is None or found.expires_at <= request.now:
        return None
    if found.parameters_sha256 != _digest(request):
        message = message or f"The provided clientToken is already in use with a different {request.operation} request."
        if "ConflictException" in model().operations[request.operation].errors:
            raise ApiError("ConflictException", message, resourceIds=list(found.resources))
        raise invalid(message)
    return found


def kept(request: Request, *resources: str) -> tuple[Token, ...]:
    """Return what is to be kept of the ARNs that a request has made; nothing where it has no clientToken."""
    given = request.params.get(_MEMBER)
    if not given:
        return ()
    return (
        Token(
            region=request.scope.region,
            account=request.scope.account,
            operation=request.operation,
            token=given,
            parameters_sha256=_digest(request),
            resources=resources,
            expires_at=request.now + LIFETIME,
        ),
    )


def _key(request: Request, given: str) -> str:
    return f"{request.scope.region}/{request.scope.account}/{request.operation}/{given}"


def _judge(operation: str, given: str) -> None:
    most = _LONGEST.get(operation, _USUALLY_LONGEST)
    if len(given) > most or any(ord(c) not in _CHARACTERS for c in given):
        raise invalid(f"clientToken must have at most {most} characters, each in the range of ASCII 33-126.")


def _digest(request: Request) -> str:
    others = {name: value for name, value in request.params.items() if name != _MEMBER}
    return sha256(json.dumps(others, sort_keys=True, default=str).encode()).hexdigest()
