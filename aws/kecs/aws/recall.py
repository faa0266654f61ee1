"""Classification that remembers: a program makes the same calls again and again, to other keys.

What `classify` reads of a head without a form is: the names of its fields, the values of a few, method and target. Of
an object's key only that there is one. So a call is remembered by just these, and said again in 2 us instead of 7; a
property test holds it to what `classify` says.
"""

import re
from typing import Final

from kecs.aws.call import Call
from kecs.aws.classify import API_FIELD, classify
from kecs.aws.head import RequestHead, Shape
from kecs.aws.hosts import parse_host

_KEPT: Final = 2048
_TARGET_MAX: Final = 512
_SIGNED: Final = b"AWS4-HMAC-SHA256 Credential="
_KEY: Final = re.compile(rb"(/[^/?%]++)/[^?]*[^/?](\?x-id=[A-Za-z]+)?")
"""A bucket and a key, as path-style requests spell them, and what some SDKs add to tell operations apart."""
_HOST_KEY: Final = re.compile(rb"()/[^?]*[^/?](\?x-id=[A-Za-z]+)?")
_NO_KEYS: Final = (b"/v20180820/", b"/WriteGetObjectResponse", b"/service/")
"""Paths that may mean other things than objects."""
READ: Final = (b"content-type", b"x-amz-target", b"x-amzn-query-mode", b"x-amz-region-set", API_FIELD)
"""Fields that are read besides Host and the scope of Authorization."""

_ANY_KEY: Final = rb"/(?!v20180820/|WriteGetObjectResponse|service/)[!->@-~]++(?<!/)"
"""What these patterns take for a key, without question marks and blanks."""
_PRINTABLE: Final = re.compile(rb"[!-~]+")

type _Asked = tuple[bytes, str, bytes | None, bytes | None, tuple[bytes | None, ...], Shape]


class Recall:
    """See the module. One for all connections: it knows nothing of who asked."""

    __slots__ = ("_calls", "_kept", "_keyed")

    def __init__(self, *, kept: int = _KEPT) -> None:
        self._kept = kept
        self._calls: dict[tuple[_Asked, bytes], Call] = {}
        self._keyed: dict[_Asked, re.Pattern[bytes]] = {}
        """Requests to S3, and how their targets spell keys."""

    def classify(self, head: RequestHead, *, name: str = "", body: bytes = b"") -> Call:
        """Say what a request is for, as `classify` does."""
        if body or len(head.target) > _TARGET_MAX:
            return classify(head, name=name, body=body)
        asked = _asked(head, name)
        target = head.target
        keyed = self._keyed.get(asked)
        if keyed is not None:
            target = _without_key(keyed, target)
        call = self._calls.get((asked, target))
        if call is None:
            call = classify(head, name=name)
            self._learn(asked, head.target, call)
        return call

    def alike(self, head: RequestHead, *, name: str = "") -> bytes | None:
        """Return the pattern of the targets that make the same call of this head; None where that is not known."""
        target = head.target
        if len(target) > _TARGET_MAX or not _PRINTABLE.fullmatch(target):
            return None
        keyed = self._keyed.get(_asked(head, name))
        match = None if keyed is None or target.startswith(_NO_KEYS) else keyed.fullmatch(target)
        if match is None:
            return re.escape(target)
        bucket, tail = match.groups()
        return re.escape(bucket) + _ANY_KEY + re.escape(tail or b"")

    def _learn(self, asked: _Asked, target: bytes, call: Call) -> None:
        if call.service == "s3":
            if len(self._keyed) >= self._kept:
                self._keyed.clear()
            host = parse_host(call.host)
            keyed = self._keyed[asked] = _HOST_KEY if host is not None and host.resource else _KEY
            target = _without_key(keyed, target)
        if len(self._calls) >= self._kept:
            del self._calls[next(iter(self._calls))]
        self._calls[asked, target] = call


def _without_key(keyed: re.Pattern[bytes], target: bytes) -> bytes:
    match = keyed.fullmatch(target)
    if match is None or target.startswith(_NO_KEYS):
        return target
    return b"\n".join([group or b"" for group in match.groups()])  # no target holds a line's end


def _asked(head: RequestHead, name: str) -> _Asked:
    authorization = head.get(b"authorization")
    if authorization is not None and authorization.startswith(_SIGNED):
        authorization = authorization.partition(b",")[0]
    shape = head.shape
    index, fields = shape.index, head.fields
    read = tuple([None if (place := index.get(key)) is None else fields[place][1] for key in READ])
    return head.method, name, head.get(b"host"), authorization, read, shape
