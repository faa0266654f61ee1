"""Lambda's code and layers: objects in buckets of Lambda's own, which a backend may have somewhere else. Pure."""

from typing import Final

from kecs.aws.call import Call
from kecs.aws.head import RequestHead
from kecs.aws.profiles import Profile

BUCKET: Final = "awslambda-"
"""How the buckets' names begin."""
PATH: Final = "/snapshots/"
"""Where the code of functions is in them."""

_PATH: Final = PATH.encode()


def at_backend(call: Call, head: RequestHead, profile: Profile) -> RequestHead:
    """Return the request for an object of Lambda's with the path at which the backend has it; any other as it is."""
    if not profile.code_path or not call.resource.startswith(BUCKET) or not head.target.startswith(_PATH):
        return head
    target = profile.code_path + head.target.removeprefix(_PATH)
    return RequestHead(method=head.method, target=target, fields=head.fields)
