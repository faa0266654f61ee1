"""Presigned S3 URLs signed anew, for a backend that verifies them.

It can't know the client's secret, only one of its own. A URL of version 2 names no region, and is for a bucket in any:
one signed anew in version 4 would be for one region's buckets alone. It keeps its version, which no backend verifies,
and gets a key that is known. A URL expires when its maker wanted it to, whichever version it was made with.
"""

import hmac
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, quote, unquote, urlencode

from kecs.aws.head import RequestHead

_ALGORITHM: Final = "AWS4-HMAC-SHA256"
_SIGNATURE: Final = b"Signature="
_KEY: Final = "test"
_SECRET: Final = "test"  # noqa: S105 - what emulators give to anyone
_REPLACED: Final = frozenset(
    {
        "x-amz-algorithm",
        "x-amz-credential",
        "x-amz-date",
        "x-amz-expires",
        "x-amz-s3session-token",
        "x-amz-security-token",
        "x-amz-signature",
        "x-amz-signedheaders",
    }
)
_DATE: Final = "%Y%m%dT%H%M%SZ"
_SCOPE_PARTS: Final = 5
_UNRESERVED: Final = "-_.~"
_ACCOUNT_DIGITS: Final = 12
_LONGEST: Final = 7 * 24 * 60 * 60
"""How long a URL of version 4 may live, in seconds."""
_EPOCH_DIGITS: Final = range(1, 11)


class _Terms(NamedTuple):
    """What a URL was signed for."""

    date: str
    """As X-Amz-Date has it."""
    expires: str
    region: str
    """Empty in version 2."""


def is_presigned(head: RequestHead) -> bool:
    """Tell whether a signature stands in the query."""
    return _SIGNATURE in head.target


def _terms(said: dict[str, str]) -> _Terms | None:
    scope = said.get("x-amz-credential", "").rsplit("/", _SCOPE_PARTS - 1)
    if len(scope) == _SCOPE_PARTS and said.get("x-amz-algorithm") == _ALGORITHM and said.get("x-amz-date"):
        return _Terms(date=said["x-amz-date"], expires=said.get("x-amz-expires", ""), region=scope[2])
    end = said.get("expires", "")
    if "awsaccesskeyid" not in said or len(end) not in _EPOCH_DIGITS or not (end.isascii() and end.isdigit()):
        return None
    start = datetime.fromtimestamp(int(end) - _LONGEST, UTC)
    return _Terms(date=start.strftime(_DATE), expires=str(_LONGEST), region="")


def is_expired(head: RequestHead, now: datetime) -> bool:
    """Tell whether the time for which the URL was signed is over."""
    pairs = parse_qsl(head.target.partition(b"?")[2].decode("latin-1"), keep_blank_values=True)
    terms = _terms({name.lower(): value for name, value in pairs})
    if terms is None or len(terms.expires) not in _EPOCH_DIGITS or not terms.expires.isdecimal():
        return False
    try:
        start = datetime.strptime(terms.date, _DATE).replace(tzinfo=UTC)
    except ValueError:
        return False
    return now > start + timedelta(seconds=int(terms.expires))


def signed_anew(head: RequestHead, *, key: str) -> RequestHead:
    """Return the request signed for an access key that emulators know: an account's number, else `test`.

    A query that is no whole signature is left as it is, to be refused by the backend.
    """
    path, _, query = head.target.decode("latin-1").partition("?")
    pairs = parse_qsl(query, keep_blank_values=True)
    terms = _terms({name.lower(): value for name, value in pairs})
    if terms is None:
        return head
    known = key if len(key) == _ACCOUNT_DIGITS and key.isdigit() else _KEY
    if not terms.region:
        return _with_key(head, path, pairs, known)
    place = f"{terms.date[:8]}/{terms.region}/s3/aws4_request"
    kept = [(name, value) for name, value in pairs if name.lower() not in _REPLACED]
    kept += [
        ("X-Amz-Algorithm", _ALGORITHM),
        ("X-Amz-Credential", f"{known}/{place}"),
        ("X-Amz-Date", terms.date),
        ("X-Amz-SignedHeaders", "host"),
    ]
    if terms.expires:
        kept.append(("X-Amz-Expires", terms.expires))
    quoted = sorted((quote(name, safe=_UNRESERVED), quote(value, safe=_UNRESERVED)) for name, value in kept)
    encoded = "&".join(f"{name}={value}" for name, value in quoted)
    signature = _signature(head, quote(unquote(path), safe=f"/{_UNRESERVED}"), encoded, terms.date, place)
    target = f"{path}?{encoded}&X-Amz-Signature={signature}".encode("latin-1")
    return RequestHead(method=head.method, target=target, fields=head.fields)


def _with_key(head: RequestHead, path: str, pairs: list[tuple[str, str]], key: str) -> RequestHead:
    kept = [(name, value) for name, value in pairs if name.lower() not in {"awsaccesskeyid", "x-amz-security-token"}]
    target = f"{path}?{urlencode([*kept, ('AWSAccessKeyId', key)], quote_via=quote)}"
    return RequestHead(method=head.method, target=target.encode("latin-1"), fields=head.fields)


def _signature(head: RequestHead, path: str, query: str, date: str, place: str) -> str:
    host = (head.get(b"host") or b"").decode("latin-1")
    lines = (head.method.decode("latin-1"), path, query, f"host:{host}\n", "host", "UNSIGNED-PAYLOAD")
    request = sha256("\n".join(lines).encode()).hexdigest()
    secret = f"AWS4{_SECRET}".encode()
    for part in place.split("/"):
        secret = hmac.digest(secret, part.encode(), "sha256")
    return hmac.digest(secret, f"{_ALGORITHM}\n{date}\n{place}\n{request}".encode(), "sha256").hex()
