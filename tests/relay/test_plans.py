"""A plan takes only what the ordinary way takes, reads it in the same way, and spells the same bytes."""

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from plans_lab import (
    FIELDS_MAX,
    MARK,
    MARK_TOO,
    TRAPS,
    Decision,
    Rewriting,
    answer_planned,
    check_answer,
    check_request,
    mutated,
    planned,
    request_plan,
    spelled,
    values,
)

from kecs.aws.head import ResponseHead
from kecs.core.errors import ProtocolError
from kecs.relay import framing
from kecs.relay.decide import Same, SameAnswer
from kecs.relay.framing import Length
from kecs.relay.plans import RequestPlan, Shelf, Shelves

NAMES = [
    b"Host", b"host", b"Content-Length", b"Connection", b"X-Amz-Date", b"authorization", b"X-Amz-Security-Token",
    b"Accept",
    b"Keep-Alive", b"Proxy-Connection", b"X-A.b!#$%&'*+^_`|~9", b"Upgrade", b"TE", b"Expect", b"Transfer-Encoding",
    b"Trailer",
    b"HTTP2-Settings", b"X-a", b"x-A", b"Content-Type",
]  # fmt: skip
FIRSTS = [
    b"GET /b/key HTTP/1.1", b"PUT /b/a%20b HTTP/1.1", b"POST / HTTP/1.1", b"HEAD /b/k HTTP/1.1",
    b"DELETE /b/k?x=y HTTP/1.1",
    b"GET http://h/b/k HTTP/1.1", b"OPTIONS * HTTP/1.1", b"GET /b/k HTTP/1.0", b"PATCH /\xc3\xa9 HTTP/1.1",
    b"GET //b HTTP/1.1",
    b"M-SEARCH /b/k HTTP/1.1",
]  # fmt: skip
OTHERS = [*FIRSTS, b"GET /b/other/key#x HTTP/1.1", b"GET /b/k?y HTTP/1.1", b"GET /b/\x7f HTTP/1.1", b"GET /b/ HTTP/1.1",
    b"get /b/k HTTP/1.1", b"GET  /b/k HTTP/1.1", b"GET /b/k  HTTP/1.1", b"GET /b/k HTTP/1.2", b"GET /b/k HTTP/2.0",
    b"GET /b/a b HTTP/1.1", b'GET /b/<>"{}|\\^`~ HTTP/1.1', b"GET /b/k http/1.1", b"GETT /b/k HTTP/1.1",
    b"GET /b/\xe9 HTTP/1.1",
]  # fmt: skip
STATUSES = [
    b"HTTP/1.1 200 OK", b"HTTP/1.1 206 Partial Content", b"HTTP/1.1 200 ", b"HTTP/1.1 200", b"HTTP/1.0 200 OK",
    b"HTTP/1.1 201 %b",
    b"HTTP/1.1 204 No Content", b"HTTP/1.1 304 Not Modified", b"HTTP/1.1 404 Not Found", b"HTTP/1.1 205 Reset Content",
    b"HTTP/1.1 299 \xe9", b"HTTP/1.1 100 Continue",
]  # fmt: skip
ANSWERED = [
    b"Content-Length", b"content-length", b"Content-Type", b"Date", b"Server", b"X-Id", b"x-other-id", b"Connection",
    b"ETag",
    b"Keep-Alive", b"Cache-Control", b"Content-Encoding", b"Transfer-Encoding", b"Trailer", b"x-%b",
    b"Proxy-Connection",
]  # fmt: skip
EASY = {
    b"content-length": b"3", b"connection": b"keep-alive", b"host": b"h", b"transfer-encoding": b"chunked",
    b"te": b"trailers",
}  # fmt: skip

names = st.lists(st.sampled_from(NAMES), max_size=6, unique_by=bytes.lower).map(
    lambda found: found if b"host" in {name.lower() for name in found} else [b"Host", *found]
)
decisions = st.builds(
    Decision,
    dropped=st.frozensets(
        st.sampled_from([b"x-amz-security-token", b"authorization", b"accept", b"connection", b"x-a"]), max_size=3
    ),
    host=st.sampled_from([None, None, b"s3.amazonaws.com", b"h"]),
    prefix=st.sampled_from([b"", b"", b"/bucket", b"/100%"]),
    decisive=st.frozensets(st.sampled_from([b"host", b"content-type", b"x-amz-date", b"accept"]), max_size=3),
    any_key=st.booleans(),
)
rewritings = st.builds(
    Rewriting,
    dropped=st.frozensets(st.sampled_from([b"server", b"etag", b"content-type"]), max_size=3),
    added=st.lists(
        st.sampled_from([
            (b"X-Id", MARK_TOO), (b"X-Long", MARK), (b"Server", b"AmazonS3"), (b"Date", b"100%"), (b"X-Mark", MARK),
        ]),
        max_size=4, unique=True,
    ).map(tuple),
)  # fmt: skip


@st.composite
def fields(draw: st.DrawFn, found: list[bytes]) -> list[tuple[bytes, bytes]]:
    """Draw values: the plain one mostly, for a plan to be made and to be fitted."""
    return [
        (name, draw(values) if draw(st.integers(0, 5)) == 0 else EASY.get(name.lower(), b"value"))
        for name in found
    ]  # fmt: skip


@st.composite
def requests(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """Draw a head that teaches, and another to be met."""
    found = draw(names)
    first = draw(st.sampled_from(FIRSTS))
    other = draw(st.sampled_from(OTHERS)) if draw(st.integers(0, 3)) == 0 else first
    if draw(st.integers(0, 9)) == 0:
        close = [(name, b"close" if name == b"Connection" else EASY.get(name.lower(), b"v")) for name in found]
        return spelled(first, close), draw(mutated(spelled(other, draw(fields(found)))))
    return spelled(first, draw(fields(found))), draw(mutated(spelled(other, draw(fields(found)))))


@given(requests(), decisions)
@settings(suppress_health_check=list(HealthCheck))
def test_a_planned_request_is_what_it_would_have_been(given_heads: tuple[bytes, bytes], decision: Decision) -> None:
    taught, raw = given_heads
    try:
        if framing.request(taught, fields_max=40).http_1_0:  # the fast path makes no plans of these
            return
        plan = planned(taught, decision)
    except ProtocolError:
        return
    if plan is None:
        event("no plan")
        return
    event("taken" if check_request(plan, taught, raw, decision) else "not taken")
    check_request(plan, taught, taught + b"body", decision)


@st.composite
def answers(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """Draw an answer's head that teaches, and another to be met."""
    found = draw(st.lists(st.sampled_from(ANSWERED), max_size=6, unique_by=bytes.lower))
    if b"content-length" not in {name.lower() for name in found} and draw(st.integers(0, 9)):
        found.append(b"Content-Length")
    first = draw(st.sampled_from(STATUSES))
    other = draw(st.sampled_from(STATUSES)) if draw(st.integers(0, 3)) == 0 else first
    return spelled(first, draw(fields(found))), draw(mutated(spelled(other, draw(fields(found)))))


@given(
    answers(), rewritings, st.builds(request_plan, st.sampled_from([b"GET", b"HEAD", b"PUT"]), keep_alive=st.booleans())
)
@settings(suppress_health_check=list(HealthCheck))
def test_a_planned_answer_is_what_it_would_have_been(
    given_heads: tuple[bytes, bytes], rewriting: Rewriting, plan: RequestPlan
) -> None:
    taught, raw = given_heads
    try:
        answer = answer_planned(plan, taught, rewriting)
    except ProtocolError:
        return
    if answer is None:
        event("no plan")
        return
    event("taken" if check_answer(plan, answer, raw, rewriting) else "not taken")
    check_answer(plan, answer, taught + b"abc", rewriting)


PLAIN = [(b"Host", b"h"), (b"Content-Length", b"3"), (b"X-Amz-Date", b"d"), (b"Connection", b"keep-alive")]


@pytest.mark.parametrize("trap", TRAPS)
@pytest.mark.parametrize("place", range(len(PLAIN)))
def test_each_trap_in_each_field(place: int, trap: bytes) -> None:
    decision = Decision(host=b"s3.amazonaws.com", prefix=b"/p")
    taught = spelled(b"PUT /b/k HTTP/1.1", PLAIN)
    plan = planned(taught, decision)
    assert plan is not None
    assert check_request(plan, taught, taught, decision)
    changed = [*PLAIN[:place], (PLAIN[place][0], trap), *PLAIN[place + 1 :]]
    check_request(plan, taught, spelled(b"PUT /b/k HTTP/1.1", changed), decision)


@pytest.mark.parametrize("one", range(256))
def test_each_byte_at_each_place(one: int) -> None:
    decision = Decision(dropped=frozenset({b"x-amz-date"}))
    taught = spelled(b"PUT /b/k HTTP/1.1", PLAIN)
    plan = planned(taught, decision)
    assert plan is not None
    for place in range(len(taught)):
        check_request(plan, taught, taught[:place] + bytes([one]) + taught[place + 1 :], decision)
        check_request(plan, taught, taught[:place] + bytes([one]) + taught[place:], decision)


@pytest.mark.parametrize("one", range(256))
def test_each_byte_at_each_place_of_an_answer(one: int) -> None:
    rewriting = Rewriting(dropped=frozenset({b"server"}), added=((b"X-Long", MARK), (b"Server", b"AmazonS3")))
    plan = request_plan(b"GET")
    taught = spelled(
        b"HTTP/1.1 200 OK",
        [(b"Server", b"x"), (b"Content-Length", b"3"), (b"X-Id", b"i"), (b"Connection", b"keep-alive")],
    )
    answer = answer_planned(plan, taught, rewriting)
    assert answer is not None
    assert check_answer(plan, answer, taught, rewriting)
    for place in range(len(taught)):
        check_answer(plan, answer, taught[:place] + bytes([one]) + taught[place + 1 :], rewriting)
        check_answer(plan, answer, taught[:place] + bytes([one]) + taught[place:], rewriting)


@pytest.mark.parametrize("cut", range(1, 40))
def test_half_a_head_fits_no_plan(cut: int) -> None:
    taught = spelled(b"PUT /b/k HTTP/1.1", PLAIN)
    plan = planned(taught, Decision())
    assert plan is not None
    assert plan.match(taught[:-cut]) is None


def test_of_what_is_there_the_key_and_other_values_may_differ() -> None:
    decision = Decision(dropped=frozenset({b"x-amz-date"}), host=b"b.s3.amazonaws.com", prefix=b"/p%")
    taught = spelled(b"PUT /b/k HTTP/1.1", PLAIN)
    plan = planned(taught, decision)
    assert plan is not None
    raw = taught.replace(b"/b/k", b"/b/other/%41").replace(b"Length: 3", b"Length: 12").replace(b": d", b": other")
    match = plan.match(raw + b"body")
    assert match is not None
    assert (
        plan.spell(match) == b"PUT /p%/b/other/%41 HTTP/1.1\r\nHost: b.s3.amazonaws.com\r\nContent-Length: 12\r\n\r\n"
    )
    assert not plan.whole
    assert check_request(plan, taught, raw, decision)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"GET / HTTP/1.1\r\nHost: h\r\nX: 1\r\nx: 2\r\n\r\n", id="a name twice"),
        pytest.param(b"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", id="chunked"),
        pytest.param(b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n", id="expect"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n", id="upgrade"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: x-a\r\nX-A: 1\r\n\r\n", id="nominated"),
        pytest.param(b"GET / HTTP/1.0\r\n\r\n", id="without a host"),
    ],
)  # fmt: skip
def test_of_some_requests_no_plan_is_made(raw: bytes) -> None:
    assert framing.request(raw, fields_max=99)
    assert planned(raw, Decision()) is None


def test_a_plan_has_no_more_fields_than_a_head_may_have() -> None:
    many = [(b"Host", b"h"), *((b"X-%d" % number, b"y") for number in range(FIELDS_MAX - 1))]
    plan = planned(spelled(b"GET / HTTP/1.1", many), Decision())
    assert plan is not None
    more = spelled(b"GET / HTTP/1.1", [*many, (b"X-More", b"y")])
    assert plan.match(more) is None
    with pytest.raises(ProtocolError):
        planned(more, Decision())


def test_what_a_decision_adds_or_moves_is_not_planned() -> None:
    class Adding(Decision):
        def forward(self, head):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 - a decision's
            return head.with_fields(add=((b"X-Added", b"1"),))

    class Turning(Decision):
        def forward(self, head):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 - a decision's
            return type(head)(method=head.method, target=head.target, fields=head.fields[::-1])

    taught = spelled(b"GET /b/k HTTP/1.1", [(b"Host", b"h"), (b"X-A", b"1")])
    assert planned(taught, Decision()) is not None
    assert planned(taught, Adding()) is None
    assert planned(taught, Turning()) is None


def test_a_shelf_asks_for_a_plan_now_and_then_and_keeps_few() -> None:
    shelf = Shelf()
    taught = spelled(b"GET /b/k HTTP/1.1", [(b"Host", b"h")])
    shape = framing.request(taught, fields_max=9).head.shape
    due = []
    for number in range(1, 1200):
        if shelf.due(shape):
            shelf.add(request_plan(b"GET"))
            due.append(number)
    assert due[:2] == [12, 24]
    assert len(due) == 64
    assert len(shelf.plans) == 8
    last = shelf.plans[-1]
    shelf.use(7)
    assert shelf.plans[0] is last


def test_what_is_not_alike_has_no_shelf_and_few_shelves_are_kept() -> None:
    shelves = Shelves()
    assert shelves.find(None) is None
    first = shelves.find("a")
    assert first is not None
    assert shelves.find("a") is first
    for number in range(300):
        shelves.find(number)
    assert shelves.find("a") is not first


def test_a_plan_learns_of_answers_and_of_nothing_that_is_none() -> None:
    seen: list[int] = []

    def answer(head: ResponseHead) -> SameAnswer | None:
        seen.append(head.status)
        return Rewriting().same(head)

    plan = request_plan(b"GET")
    plan.same = Same(target=plan.same.target, values={}, answer=answer, note=plan.same.note)
    ok = spelled(b"HTTP/1.1 200 OK", [(b"Content-Length", b"2")])
    for raw in (b"", b"HTTP/1.1 200 OK\r\n", b"SSH-2.0\r\n\r\n", b"\0" * 9, b"HTTP/1.1 100 Continue\r\n\r\n"):
        for _ in range(9):
            plan.met(raw)
    assert not plan.answers
    for _ in range(3):
        plan.met(ok + b"ok")
    assert len(plan.answers) == 1
    assert seen[-1] == 200
    for number in range(40):
        for _ in range(3):
            plan.met(spelled(b"HTTP/1.1 200 OK", [(b"Content-Length", b"2"), (b"X-%d" % number, b"y")]))
    assert len(plan.answers) == 4


def test_a_body_longer_than_nine_digits_goes_the_ordinary_way() -> None:
    taught = spelled(b"PUT /b/k HTTP/1.1", PLAIN)
    plan = planned(taught, Decision())
    assert plan is not None
    long = taught.replace(b"Length: 3", b"Length: 1000000000")
    body = framing.request(long, fields_max=9).body
    assert isinstance(body, Length)
    assert body.left == 10**9
    assert plan.match(long) is None
