"""Values of ECS' shapes at random, and what botocore makes of them: the oracle of the wire's tests."""

import string
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import botocore.session
from botocore.model import OperationModel, ServiceModel, Shape, StructureShape
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from hypothesis import strategies as st

from kecs.aws.head import Answer, RequestHead
from kecs.controlplane.wire.model import model

PROTOCOLS = ("json", "smithy-rpc-v2-cbor")
_DEEP = 3
"""Below this many structures inside each other only what is required."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TEXTS = st.text(st.characters(codec="utf-8"), max_size=12)
_WORDS = st.text(string.ascii_letters + string.digits + "_.:/=+-@", min_size=1, max_size=12)
_MOMENTS = st.integers(0, 4 * 10**12).map(lambda number: _EPOCH + timedelta(milliseconds=number))


@cache
def service() -> ServiceModel:
    return botocore.session.Session().get_service_model("ecs")


def operation(name: str) -> OperationModel:
    return service().operation_model(name)


def input_of(name: str) -> StructureShape:
    shape = operation(name).input_shape
    assert shape is not None
    return shape


def output_of(name: str) -> StructureShape:
    shape = operation(name).output_shape
    assert shape is not None
    return shape


def operation_names() -> list[str]:
    return list(service().operation_names)


def values(shape: Shape, depth: int = 0) -> st.SearchStrategy[Any]:
    """Return values that the model allows."""
    made: st.SearchStrategy[Any] = _values(shape.name, depth)
    return made


@cache
def _values(name: str, depth: int) -> st.SearchStrategy[Any]:
    shape: Any = service().shape_for(name)
    return _KINDS[shape.type_name](shape, depth)


def _list(shape: Any, depth: int) -> st.SearchStrategy[Any]:
    least, most = int(shape.metadata.get("min", 0)), int(shape.metadata.get("max", 9))
    return st.lists(values(shape.member, depth + 1), min_size=least, max_size=min(2 + least, most))


def _map(shape: Any, depth: int) -> st.SearchStrategy[Any]:
    return st.dictionaries(_WORDS, values(shape.value, depth + 1), max_size=2)


def _string(shape: Any, _depth: int) -> st.SearchStrategy[Any]:
    return st.sampled_from(shape.enum) if shape.enum else _strings(shape.metadata)


def _integer(shape: Any, _depth: int) -> st.SearchStrategy[Any]:
    return st.integers(int(shape.metadata.get("min", -(2**31))), int(shape.metadata.get("max", 2**31 - 1)))


def _double(shape: Any, _depth: int) -> st.SearchStrategy[Any]:
    bounds = {"min_value": shape.metadata.get("min"), "max_value": shape.metadata.get("max")}
    return st.floats(**bounds, allow_nan=False, allow_infinity=False)


def _strings(limits: dict[str, Any]) -> st.SearchStrategy[str]:
    if "pattern" in limits:
        return st.text(string.ascii_letters + string.digits + "-", min_size=int(limits["min"]), max_size=12)
    return _TEXTS.filter(lambda text: len(text) >= int(limits.get("min", 0)))


def _structure(shape: Any, depth: int) -> st.SearchStrategy[dict[str, Any]]:
    if shape.is_document_type:
        return st.dictionaries(
            _WORDS, st.integers() | st.booleans() | _TEXTS | st.lists(_TEXTS, max_size=2), max_size=2
        )
    members = {name: _later(inside, depth + 1) for name, inside in shape.members.items()}
    if getattr(shape, "is_tagged_union", False):
        return st.one_of([st.fixed_dictionaries({name: member}) for name, member in members.items()])
    # The installed botocore is older than the model: it may want more.
    wanted = {*shape.required_members, *model().shapes[shape.name].required}
    required = {name: member for name, member in members.items() if name in wanted}
    if depth >= _DEEP:
        return st.fixed_dictionaries(required)
    optional = {name: member for name, member in members.items() if name not in required}
    names = st.lists(st.sampled_from(sorted(optional)), unique=True, max_size=6) if optional else st.just([])
    return names.flatmap(
        lambda chosen: st.fixed_dictionaries(required | {name: optional[name] for name in sorted(chosen)})
    )


def _later(shape: Any, depth: int) -> st.SearchStrategy[Any]:
    return st.deferred(lambda: values(shape, depth))


_KINDS: dict[str, Callable[[Any, int], st.SearchStrategy[Any]]] = {
    "structure": _structure,
    "list": _list,
    "map": _map,
    "string": _string,
    "integer": _integer,
    "long": _integer,
    "double": _double,
    "boolean": lambda _shape, _depth: st.booleans(),
    "timestamp": lambda _shape, _depth: _MOMENTS,
}


def request(name: str, params: dict[str, Any], *, protocol: str = "json") -> tuple[RequestHead, bytes]:
    """Return the request that botocore sends."""
    made = create_serializer(protocol).serialize_to_request(params, operation(name))
    fields = tuple((key.encode(), str(value).encode()) for key, value in made["headers"].items())
    body = made["body"]
    head = RequestHead(
        method=made["method"].encode(), target=made["url_path"].encode(), fields=(*fields, (b"Host", b"localhost:8080"))
    )
    return head, body.encode() if isinstance(body, str) else body


def understood(name: str, answer: Answer, *, protocol: str = "json") -> dict[str, Any]:
    """Return what botocore reads in an answer."""
    response = {
        "status_code": answer.status,
        "headers": {key.decode().lower(): value.decode() for key, value in answer.fields},
        "body": answer.body,
    }
    parsed: dict[str, Any] = create_parser(protocol).parse(response, output_of(name))
    if answer.status >= 300 and (shape := service().shape_for_error_code(parsed["Error"]["Code"])) is not None:
        parsed |= create_parser(protocol).parse(response, shape)
    return parsed
