"""What is wrong with a request before any operation has seen it, in the words that AWS has for it."""

from typing import Any, Final

from kecs.controlplane.errors import ApiError
from kecs.controlplane.wire.model import Kind, Shape

_TOKENS: Final = {bool: "TRUE_VALUE", int: "NUMBER_VALUE", float: "DECIMAL_VALUE", str: "STRING_VALUE"}
_TYPES: Final = {
    Kind.STRING: "String",
    Kind.INTEGER: "Integer",
    Kind.LONG: "Long",
    Kind.DOUBLE: "Double",
    Kind.BOOLEAN: "Boolean",
    Kind.TIMESTAMP: "Date",
}
_MISSING: Final = {
    ("RegisterTaskDefinition", "containerDefinitions"): "Container list cannot be empty.",
    ("RegisterTaskDefinition", "family"): "Family should not be null or empty.",
}
"""Members of which AWS speaks in other words."""
_QUOTED_MAX: Final = 256
"""Characters of a client's value that an error repeats."""


def unreadable(message: str = "") -> ApiError:
    """Return what a body gets that is not what the protocol says."""
    return ApiError("SerializationException", message)


def mistyped(value: Any, kind: Kind) -> ApiError:
    """Return what a value of another type gets: `STRING_VALUE cannot be converted to Integer`."""
    if kind in {Kind.STRUCTURE, Kind.LIST, Kind.MAP}:
        return unreadable("Unexpected field type" if kind is Kind.STRUCTURE else "Unrecognized collection type")
    if isinstance(value, dict | list):
        return unreadable("Start of structure or map found where not expected.")
    if value is False:
        return unreadable(f"FALSE_VALUE cannot be converted to {_TYPES[kind]}")
    return unreadable(f"{_TOKENS.get(type(value), 'VALUE')} cannot be converted to {_TYPES[kind]}")


def missing(operation: str, shape: Shape, member: str, inside: Shape, *, outermost: bool) -> ApiError:
    """Return what a request gets that lacks a member."""
    # RegisterTaskDefinition is the one operation that tells such mistakes as ClientException.
    code = "ClientException" if operation == "RegisterTaskDefinition" else "InvalidParameterException"
    known = _MISSING.get((operation, member))
    if known is not None:
        return ApiError(code, known)
    if not outermost:
        return ApiError(code, f"{shape.name}.{member} should not be null or empty.")
    if inside.kind in {Kind.LIST, Kind.MAP, Kind.STRUCTURE}:
        return ApiError(code, f"{_words(member)} cannot be empty.")
    return ApiError(code, f"{member[0].upper()}{member[1:]} can not be blank.")


def _words(member: str) -> str:
    """ContainerInstances -> Container Instances."""
    return "".join(f" {c}" if c.isupper() else c for c in member[0].upper() + member[1:]).strip()


def constraint(value: Any, path: str, rule: str) -> str:
    """Return one line of a validation error."""
    shown = str(value)
    shown = shown if len(shown) <= _QUOTED_MAX else f"{shown[:_QUOTED_MAX]}..."
    return f"Value '{shown}' at '{path}' failed to satisfy constraint: Member must {rule}"


def invalid_values(operation: str, lines: list[str]) -> ApiError:
    """Return what a request gets whose values break the model's constraints: all of them are told."""
    code = "ClientException" if operation == "RegisterTaskDefinition" else "InvalidParameterException"
    plural = "s" if len(lines) > 1 else ""
    return ApiError(code, f"{len(lines)} validation error{plural} detected: {'; '.join(lines)}")
