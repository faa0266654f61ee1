"""What tests of plans share: heads that teach, the same heads changed here and there, and how both are read."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hypothesis import strategies as st

from kecs.aws.head import RequestHead, ResponseHead
from kecs.relay import framing
from kecs.relay.decide import Same, SameAnswer, Upstream
from kecs.relay.framing import Length
from kecs.relay.plans import AnswerPlan, RequestPlan, plan_answer, plan_request

UPSTREAM = Upstream(host="127.0.0.1", port=4566)
FIELDS_MAX = 40
ANY_KEY = rb"/b/[!->@-~]++"

type Pairs = Sequence[tuple[bytes, bytes]]

TRAPS = [
    b"", b" ", b"x ", b"x\t", b"a\tb", b" x", b"  x", b"a b", b"a,b", b"\xe9", b"\x7f", b"\x00", b"a\rb", b"a\nb",
    b"a\r\nB: c",
    b"a\r\n b", b"x\x0b", b"close", b"keep-alive", b"Keep-Alive", b"CLOSE", b"keep-alive, close", b"upgrade", b"te",
    b"0", b"3", b"007", b"+3", b"-1", b"3 ", b"3, 3", b"0x3", b"9" * 9, b"9" * 10, b"9" * 19, b"\xb2", b"chunked",
    b"100-continue", b"h2c", b"%b", b"%", b"\\1", b"(request id)", b":",
]  # fmt: skip
values = st.one_of(
    st.just(b"v"), st.sampled_from(TRAPS), st.binary(max_size=8), st.from_regex(rb"[ -~]{0,9}", fullmatch=True)
)
_LINES = [
    b"X-New: y\r\n", b"Content-Length: 3\r\n", b"Host: other\r\n", b"Transfer-Encoding: chunked\r\n", b" folded\r\n",
    b"Connection: close\r\n", b"Upgrade: h2c\r\n", b"Expect: 100-continue\r\n", b"\tfolded\r\n", b": none\r\n", b"\r\n",
]  # fmt: skip
_BYTES = b"\r\n\0\t :,;%?#/\x7f\x80\xff019aZ"


def spelled(first: bytes, fields: Pairs) -> bytes:
    """Spell a head."""
    return first + b"\r\n" + b"".join(b"%b: %b\r\n" % field for field in fields) + b"\r\n"


@st.composite
def mutated(draw: st.DrawFn, raw: bytes) -> bytes:
    """Change a head as a careless or hostile peer would; often not at all."""
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 1, 2]))):
        place = draw(st.integers(0, max(0, len(raw) - 1)))
        one = bytes([draw(st.sampled_from(_BYTES) | st.integers(0, 255))])
        lines = raw.split(b"\r\n")
        number = draw(st.integers(0, len(lines) - 1))
        match draw(st.integers(0, 8)):
            case 0:
                raw = raw[:place] + one + raw[place + 1 :]
            case 1:
                raw = raw[:place] + one + raw[place:]
            case 2:
                raw = raw[:place] + raw[place + 1 :]
            case 3:
                raw = b"\r\n".join([*lines[: number + 1], *lines[number:]])
            case 4:
                raw = b"\r\n".join([*lines[:number], lines[number].swapcase(), *lines[number + 1 :]])
            case 5:
                raw = b"\r\n".join(
                    [*lines[:number], lines[number] + draw(st.sampled_from([b" ", b"\t", b"\r"])), *lines[number + 1 :]]
                )
            case 6:
                raw = b"\r\n".join(
                    [
                        *lines[:number],
                        lines[number].replace(b": ", draw(st.sampled_from([b":", b":  ", b" : ", b":\t"])), 1),
                        *lines[number + 1 :],
                    ]
                )
            case 7:
                inserted = draw(st.sampled_from(_LINES))
                raw = (
                    raw.replace(b"\r\n", b"\r\n" + inserted, 1)
                    if draw(st.booleans())
                    else raw[:-2] + inserted + b"\r\n"
                )
            case _:
                raw = raw.replace(b"\r\n", b"\n", 1)
    return raw


@dataclass(frozen=True, kw_only=True)
class Decision:
    """How a decider that only drops, renames and prefixes treats requests; and what of them it has read."""

    dropped: frozenset[bytes] = frozenset()
    host: bytes | None = None
    prefix: bytes = b""
    decisive: frozenset[bytes] = frozenset()
    any_key: bool = True

    def forward(self, head: RequestHead) -> RequestHead:
        """Return the head for the upstream."""
        if not (self.dropped or self.host or self.prefix):
            return head
        fields = tuple(
            (name, self.host if name.lower() == b"host" and self.host is not None else value)
            for name, value in head.fields
            if name.lower() not in self.dropped
        )
        return RequestHead(method=head.method, target=self.prefix + head.target, fields=fields)

    def same(self, head: RequestHead, answer: Callable[[ResponseHead], SameAnswer | None]) -> Same:
        """Say what of a head the decision has read."""
        read = {name: value for name in self.decisive if (value := head.get(name)) is not None}
        if self.host is not None:
            read[b"host"] = head.get(b"host") or b""
        keyed = self.any_key and re.fullmatch(ANY_KEY, head.target)
        return Same(
            target=ANY_KEY if keyed else re.escape(head.target),
            values={name: re.escape(value) for name, value in read.items()},
            answer=answer,
            note=_unnoted,
        )


def _unnoted(started: float, ended: float, status: int, sent: int, got: int, identity: bytes) -> None:  # noqa: PLR0917 - the protocol's
    """Take note of nothing."""


def no_answer(head: ResponseHead) -> SameAnswer | None:
    """Plan no answers."""
    del head
    return None


def planned(raw: bytes, decision: Decision) -> RequestPlan | None:
    """Return the plan that a whole head teaches."""
    request = framing.request(raw, fields_max=FIELDS_MAX)
    return plan_request(
        request.head,
        decision.forward(request.head),
        decision.same(request.head, no_answer),
        UPSTREAM,
        keep_alive=request.keep_alive,
        fields_max=FIELDS_MAX,
    )


def said(body: framing.Body) -> int:
    """Return the length of a body that has one; -1 for others."""
    if body.done:
        return 0
    return body.left if isinstance(body, Length) else -1


def check_request(plan: RequestPlan, taught: bytes, raw: bytes, decision: Decision) -> bool:
    """Hold what a plan takes to what is read and spelled without it; return whether it takes the bytes."""
    match = plan.match(raw)
    if match is None:
        return False
    head = raw[: match.end()]
    assert framing.head_end(raw) == match.end()
    first = framing.request(taught, fields_max=FIELDS_MAX)
    found = framing.request(head, fields_max=FIELDS_MAX)
    assert (found.http_1_0, found.expects_continue, found.upgrade) == (False, False, b"")
    assert (found.keep_alive, found.head.method) == (plan.keep_alive, plan.method)
    length = int(match[plan.length]) if plan.length else 0
    assert said(found.body) == length
    assert found.head.shape.names == first.head.shape.names
    for name in decision.decisive if decision.host is None else decision.decisive | {b"host"}:
        if name not in {b"connection", b"content-length"}:
            assert (found.head.get(name) or b"") == (first.head.get(name) or b"")
    ordinary = framing.write_request(decision.forward(found.head), upgrade=found.upgrade, http_1_0=found.http_1_0)
    assert (head if plan.whole else plan.spell(match)) == ordinary
    return True


def request_plan(method: bytes, *, keep_alive: bool = True) -> RequestPlan:
    """Return a plan of plain requests, to plan answers for."""
    connection = b"" if keep_alive else b"Connection: close\r\n"
    made = planned(method + b" /b/k HTTP/1.1\r\nHost: h\r\n" + connection + b"\r\n", Decision())
    assert made is not None
    return made


MARK, MARK_TOO = b"(mark)", b"(another)"


@dataclass(frozen=True, kw_only=True)
class Rewriting:
    """How a decider that only drops and adds treats answers."""

    dropped: frozenset[bytes] = frozenset()
    added: tuple[tuple[bytes, bytes], ...] = ()
    """With marks as values, which get the request id."""
    identity: tuple[bytes, ...] = (b"x-id", b"x-other-id")

    def given(self, head: ResponseHead) -> tuple[ResponseHead, bytes]:
        """Return the ordinary way's head, and the request id."""
        identity = next((value for name in self.identity if (value := head.get(name)) is not None), b"")
        marks = {MARK: b"<" + identity + b">", MARK_TOO: identity}
        added = tuple((name, marks.get(value, value)) for name, value in self._missing(head))
        return head.with_fields(drop=self.dropped, add=added), identity

    def same(self, head: ResponseHead) -> SameAnswer:
        """Say the same of all answers of this kind."""
        added = self._missing(head)
        marks = tuple(value for _, value in added if value in {MARK, MARK_TOO})

        def fill(identity: bytes) -> tuple[bytes, tuple[bytes, ...]]:
            return identity, tuple(b"<" + identity + b">" if mark == MARK else identity for mark in marks)

        return SameAnswer(
            head=head.with_fields(drop=self.dropped, add=added), marks=marks, fill=fill, identity=self.identity
        )

    def _missing(self, head: ResponseHead) -> tuple[tuple[bytes, bytes], ...]:
        return tuple((name, value) for name, value in self.added if name.lower() not in head.shape.index)


def answer_planned(plan: RequestPlan, raw: bytes, rewriting: Rewriting) -> AnswerPlan | None:
    """Return the plan that a whole head of an answer teaches."""
    head = framing.response(raw, method=plan.method).head
    return plan_answer(plan, head, rewriting.same(head))


def check_answer(plan: RequestPlan, answer: AnswerPlan, raw: bytes, rewriting: Rewriting) -> bool:
    """Hold what an answer's plan takes to what is read and spelled without it; return whether it takes the bytes."""
    match = answer.match(raw)
    if match is None:
        return False
    head = raw[: match.end()]
    assert framing.head_end(raw) == match.end()
    found = framing.response(head, method=plan.method)
    length = int(match[answer.length]) if answer.body else 0
    assert found.keep_alive
    assert found.head.status == answer.status
    assert said(found.body) == length
    given, identity = rewriting.given(found.head)
    extra = () if plan.keep_alive else ((b"Connection", b"close"),)
    assert answer.spell(match) == (framing.write_response(given, extra=extra), identity)
    return True
