"""An operation's refusals, by the names of the service's model."""

from typing import Any

from kecs.core.errors import KecsError


class ApiError(KecsError):
    """What a client is told instead of a result: a modelled exception's shape name, its message, its other members.

    The shape decides the HTTP status: 400, and 500 for ServerException alone.
    """

    def __init__(self, code: str, message: str, **members: Any) -> None:
        super().__init__(message)
        self.code = code
        self.members = members
        """Of the exception's shape besides `message`: `resourceIds` of ConflictException."""


def invalid(message: str) -> ApiError:
    """Return an InvalidParameterException."""
    return ApiError("InvalidParameterException", message)


def refused(message: str) -> ApiError:
    """Return a ClientException."""
    return ApiError("ClientException", message)


def unsupported(message: str) -> ApiError:
    """Return an UnsupportedFeatureException, for operations whose model has it."""
    return ApiError("UnsupportedFeatureException", message)


class StoreError(KecsError):
    """The store's file can't be used: another process has it, it is damaged, it is of a newer version."""
