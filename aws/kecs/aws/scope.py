"""Who signed a request and for what: the credential scope, wherever a client put it. Signatures are never verified."""

from collections.abc import Mapping
from typing import Final, NamedTuple

_SCOPE_PARTS: Final = 5  # access key, date, region, service, aws4_request
_SCOPE_PARTS_V4A: Final = 4  # the region is in a header of its own
_LIMIT: Final = 2048
_USUAL: Final = "AWS4-HMAC-SHA256 Credential="
"""How nearly all of them begin; some put other parts before the credential, or none of the blanks."""


class Scope(NamedTuple):
    """A credential. Empty strings mean that it does not tell."""

    access_key: str = ""
    date: str = ""
    region: str = ""
    service: str = ""
    """The signing name."""
    asymmetric: bool = False
    """SigV4A: signed for a set of regions."""
    presigned: bool = False
    """It stands in the query string."""


NOTHING: Final = Scope()


def _credential(text: str, *, asymmetric: bool, region: str, presigned: bool) -> Scope:
    wanted = _SCOPE_PARTS_V4A if asymmetric else _SCOPE_PARTS
    parts = text.rsplit("/", wanted - 1)
    if parts[-1] != "aws4_request" or len(parts) != wanted:
        return NOTHING
    if asymmetric:
        access_key, date, service, _ = parts
        region = next((name for name in region.replace(" ", "").split(",") if name and "*" not in name), "")
    else:
        access_key, date, region, service, _ = parts
    return Scope(
        access_key=access_key,
        date=date,
        region=region.lower(),
        service=service,
        asymmetric=asymmetric,
        presigned=presigned,
    )


def from_header(authorization: str, region_set: str = "") -> Scope:
    """Return the credential of an Authorization header: SigV4, SigV4A, or the older AWS and AWS3-HTTPS."""
    if authorization.startswith(_USUAL):
        text = authorization[len(_USUAL) : _LIMIT].partition(",")[0]
        return _credential(text.strip(), asymmetric=False, region="", presigned=False)
    scheme, _, rest = authorization[:_LIMIT].partition(" ")
    if scheme in ("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"):
        # Blanks after commas are optional, and some clients put none.
        text = rest.partition("Credential=")[2].partition(",")[0].strip()
        return _credential(text, asymmetric=scheme == "AWS4-ECDSA-P256-SHA256", region=region_set, presigned=False)
    if scheme == "AWS":
        return Scope(access_key=rest.partition(":")[0].strip(), service="s3")
    if scheme == "AWS3-HTTPS":
        return Scope(access_key=rest.partition("AWSAccessKeyId=")[2].partition(",")[0])
    return NOTHING


def from_query(query: Mapping[str, str]) -> Scope:
    """Return the credential of a presigned URL, SigV4, SigV4A or Signature Version 2; query values are decoded."""
    text = query.get("X-Amz-Credential", "")[:_LIMIT]
    if text:
        return _credential(
            text,
            asymmetric=query.get("X-Amz-Algorithm") == "AWS4-ECDSA-P256-SHA256",
            region=query.get("X-Amz-Region-Set", ""),
            presigned=True,
        )
    key = query.get("AWSAccessKeyId", "")[:_LIMIT]
    # S3's has Expires and no Action; the query protocol's has an Action.
    if key and "Signature" in query:
        return Scope(
            access_key=key, service="s3" if "Expires" in query and "Action" not in query else "", presigned=True
        )
    return NOTHING
