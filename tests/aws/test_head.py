from kecs.aws.head import Answer, RequestHead, ResponseHead

FIELDS = ((b"Host", b"a"), (b"X-One", b"1"), (b"x-one", b"2"))


def test_requests_are_asked_and_changed_by_lower_case_name() -> None:
    head = RequestHead(method=b"GET", target=b"/", fields=FIELDS)
    assert head.get(b"x-one") == b"1"
    assert head.get(b"x-two") is None
    changed = head.with_fields(drop=[b"x-one"], add=((b"X-Two", b"3"),))
    assert changed.fields == ((b"Host", b"a"), (b"X-Two", b"3"))
    assert head.fields == FIELDS


def test_responses_too() -> None:
    head = ResponseHead(status=200, reason=b"OK", fields=FIELDS)
    assert head.get(b"host") == b"a"
    assert head.get(b"server") is None
    assert head.with_fields(drop=[b"host", b"x-one"]).fields == ()
    assert head.with_fields().fields == FIELDS


def test_an_answer_needs_no_more_than_a_status() -> None:
    assert (Answer(status=204).fields, Answer(status=204).body) == ((), b"")
