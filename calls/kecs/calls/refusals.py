"""What clients are told of a request that can't be understood: whichever engine finds it out says the same. Pure."""

from datetime import datetime
from email.utils import format_datetime
from typing import Final

from kecs.aws.classify import classify
from kecs.aws.errors import error_answer
from kecs.aws.head import Answer, RequestHead
from kecs.calls.context import new_request_id

CODES: Final = {
    400: "BadRequest",
    403: "AccessDenied",
    408: "RequestTimeout",
    413: "EntityTooLarge",
    421: "MisdirectedRequest",
    431: "RequestHeaderSectionTooLarge",
    501: "NotImplemented",
    502: "BadGateway",
    503: "ServiceUnavailable",
    504: "GatewayTimeout",
}
"""What the query protocol and S3 call a status that is not the backend's."""
NO_HEAD: Final = RequestHead(method=b"", target=b"", fields=())


def refusal(status: int, message: str, *, name: str, head: RequestHead = NO_HEAD, now: datetime) -> Answer:
    """Answer in the form of whatever service this is for, as far as the name and the head tell. `now` is in UTC."""
    answer = error_answer(
        classify(head, name=name),
        status=status,
        code=CODES.get(status, "BadRequest"),
        message=message,
        request_id=new_request_id(),
        head_only=head.method == b"HEAD",
    )
    date = (b"Date", format_datetime(now, usegmt=True).encode())
    return Answer(status=answer.status, fields=(*answer.fields, date), body=answer.body)
