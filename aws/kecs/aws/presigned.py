"""Presigned S3 URLs signed anew, for a backend that verifies them.

It can't know the client's secret, only one of its own. Date and lifetime stay, so that a URL expires when its maker
wanted it to.
"""

import hmac
from hashlib import sha256
from typing import Final
from urllib.parse import parse_qsl, quote, unquote

from kecs.aws.head import RequestHead

_ALGORITHM: Final = "AWS4-HMAC-SHA256"
_SIGNATURE: Final = b"X-Amz-Signature="
_KEY: Final = "test"
_SECRET: Final = "test"  # noqa: S105 - what emulators give to anyone
_REPLACED: Final = frozenset(
    {
        "x-amz-signature",
        "x-amz-credential",
        "x-amz-signedheaders",
        "x-amz-security-token",
        "x-amz-s3session-token",
        "x-amz-algorithm",
    }
)
_SCOPE_PARTS: Final = 5
_UNRESERVED: Final = "-_.~"
_ACCOUNT_DIGITS: Final = 12


def is_presigned(head: RequestHead) -> bool:
    """Tell whether a signature of version 4 stands in the query."""
    return _SIGNATURE in head.target


def signed_anew(head: RequestHead, *, key: str) -> RequestHead:
    """Return the request signed for an access key that emulators know: an account's number, else `test`.

    A query that is no whole signature is left as it is, to be refused by the backend.
    """
    path, _, query = head.target.decode("latin-1").partition("?")
    pairs = parse_qsl(query, keep_blank_values=True)
    said = {name.lower(): value for name, value in pairs}
    scope = said.get("x-amz-credential", "").rsplit("/", _SCOPE_PARTS - 1)
    date = said.get("x-amz-date", "")
    if len(scope) != _SCOPE_PARTS or said.get("x-amz-algorithm") != _ALGORITHM or not date:
        return head
    known = key if len(key) == _ACCOUNT_DIGITS and key.isdigit() else _KEY
    _, day, region, _, end = scope
    place = f"{day}/{region}/s3/{end}"
    kept = [(name, value) for name, value in pairs if name.lower() not in _REPLACED]
    kept += [
        ("X-Amz-Algorithm", _ALGORITHM),
        ("X-Amz-Credential", f"{known}/{place}"),
        ("X-Amz-SignedHeaders", "host"),
    ]
    quoted = sorted((quote(name, safe=_UNRESERVED), quote(value, safe=_UNRESERVED)) for name, value in kept)
    encoded = "&".join(f"{name}={value}" for name, value in quoted)
    host = (head.get(b"host") or b"").decode("latin-1")
    request = "\n".join(
        (
            head.method.decode("latin-1"),
            quote(unquote(path), safe=f"/{_UNRESERVED}"),
            encoded,
            f"host:{host}\n",
            "host",
            "UNSIGNED-PAYLOAD",
        )
    )
    text = "\n".join((_ALGORITHM, date, place, sha256(request.encode()).hexdigest()))
    secret = f"AWS4{_SECRET}".encode()
    for part in (day, region, "s3", end):
        secret = hmac.digest(secret, part.encode(), "sha256")
    signature = hmac.digest(secret, text.encode(), "sha256").hex()
    target = f"{path}?{encoded}&X-Amz-Signature={signature}".encode("latin-1")
    return RequestHead(method=head.method, target=target, fields=head.fields)
