"""Exchanges that go the way of one before: a plan reads, judges and respells a head by one match. Pure.

A program makes the same few calls again and again, with other keys, dates and signatures. Once such a call has gone
the ordinary way (`framing`, `templates`, the decider) a few times, the decider may say what of it the decision has
read (`Same`). A plan is the pattern of all requests that agree in just that, and how they are spelled for the upstream;
its answers are planned likewise. What fits no plan, or is not there whole, goes the ordinary way, so a plan can only
take what that would take, to the same bytes: a property test holds it to that.
"""

import re
from collections.abc import Callable, Hashable, Mapping
from typing import Final

from kecs.aws.head import RequestHead, ResponseHead, Shape
from kecs.core.errors import ProtocolError
from kecs.relay.decide import Same, SameAnswer, Upstream
from kecs.relay.framing import HOP_BY_HOP, REQUEST_HOP_BY_HOP, fields_without, head_end, response
from kecs.relay.templates import VALUE, is_plain

_DIGITS: Final = rb"([0-9]{1,9})"
_KEPT_ALIVE: Final = frozenset({b"keep-alive", b"Keep-Alive"})
_ALIVE: Final = {True: _KEPT_ALIVE, False: frozenset({b"close", b"Close"})}
_NO_LENGTH: Final = frozenset({b"HEAD"})
_PLANNED: Final = range(200, 300)
_BODILESS: Final = frozenset({204})
_READ: Final = frozenset({b"content-type", b"content-encoding", b"cache-control"})
"""Fields of an answer by whose values it may be treated in another way."""
_PLANNED_AFTER: Final = 12
"""Requests of one shape, before a plan is made: compiling a pattern costs as much as hundreds of requests."""
_ANSWERS_AFTER: Final = 3
_PLANS_MAX: Final = 8
_ANSWERS_MAX: Final = 4
_MADE_MAX: Final = 64
_SEEN_MAX: Final = 64
_SHELVES_MAX: Final = 256

type Matcher = Callable[[bytes], re.Match[bytes] | None]


class _Pattern:
    """A head's pattern as it grows: what is sent on as it came stands in groups."""

    __slots__ = ("_count", "_open", "literal", "pattern", "places", "spelled")

    def __init__(self) -> None:
        self.pattern = bytearray()
        self.spelled = bytearray()
        """What is sent, as bytes to be formatted with the groups of `places`."""
        self.places: list[int] = []
        self._count = 0
        self._open = False
        self.literal = False
        """Something is sent that did not come, or something that came is not sent."""

    def keep(self, pattern: bytes) -> None:
        """Send on what matches here."""
        if not self._open:
            self._open = True
            self.pattern += b"("
            self._count += 1
            self.places.append(self._count)
            self.spelled += b"%b"
        self.pattern += pattern

    def group(self, pattern: bytes) -> int:
        """Send on what matches here, as a group of its own too; return its number."""
        self.keep(pattern)
        self._count += 1
        return self._count

    def drop(self, pattern: bytes) -> None:
        """Take what matches here without sending it."""
        self._end()
        self.pattern += pattern

    def drop_group(self, pattern: bytes) -> int:
        """Take what matches here as a group, without sending it; return its number."""
        self.drop(pattern)
        self._count += 1
        return self._count

    def put(self, text: bytes) -> None:
        """Send these bytes, which did not come."""
        self._end()
        self.spelled += text.replace(b"%", b"%%")

    def slot(self) -> None:
        """Send what is given each time anew."""
        self._end()
        self.spelled += b"%b"

    def _end(self) -> None:
        self.literal = True
        if self._open:
            self._open = False
            self.pattern += b")"

    def compile(self) -> Matcher:
        """Return what matches at the beginning of bytes."""
        return re.compile(bytes(self.pattern) + (b")" if self._open else b"")).match


class AnswerPlan:
    """Answers of the same names and values that matter, as the client gets them."""

    __slots__ = ("body", "fill", "form", "identity", "length", "match", "places", "status")

    def __init__(self, match: Matcher, form: _Pattern, answer: SameAnswer, *, length: int, body: bool) -> None:
        self.match = match
        self.form = bytes(form.spelled)
        self.places = tuple(form.places)
        self.status = answer.head.status
        self.fill = answer.fill
        self.length = length
        """The group of the Content-Length."""
        self.body = body
        """A body follows the head."""
        self.identity = 0
        """The group of the request id; 0: the upstream gives none."""

    def spell(self, match: re.Match[bytes]) -> tuple[bytes, bytes]:
        """Return the head for the client, and the request id."""
        identity, made = self.fill(match[self.identity] if self.identity else b"")
        taken = match.group(*self.places) if len(self.places) > 1 else _few(match, self.places)
        return self.form % (*taken, *made), identity


class RequestPlan:
    """Requests that are decided in the same way."""

    __slots__ = (
        "_answers_seen", "answers", "form", "keep_alive", "length", "match", "method", "places", "same", "upstream",
        "whole",
    )  # fmt: skip

    def __init__(
        self, match: Matcher, form: _Pattern, same: Same, upstream: Upstream, *, method: bytes, keep_alive: bool
    ) -> None:
        self.match = match
        self.whole = not form.literal
        """What came is sent on, byte for byte."""
        self.form = bytes(form.spelled)
        self.places = tuple(form.places)
        self.length = 0
        """The group of the Content-Length; 0: there is no body."""
        self.method = method
        self.keep_alive = keep_alive
        self.upstream = upstream
        self.same = same
        self.answers: list[AnswerPlan] = []
        self._answers_seen: dict[Shape, int] = {}

    def spell(self, match: re.Match[bytes]) -> bytes:
        """Return the head for the upstream."""
        return self.form % match.group(*self.places)  # the method's at least; one is no tuple, which does as well

    def met(self, data: bytes) -> None:
        """Learn of an answer that fits no plan."""
        end = head_end(data)
        try:
            found = response(data[: max(0, end)], method=self.method)
        except ProtocolError:
            return
        shape = found.head.shape
        seen = self._answers_seen.get(shape, 0) + 1
        if len(self._answers_seen) < _SEEN_MAX or shape in self._answers_seen:
            self._answers_seen[shape] = seen
        if seen % _ANSWERS_AFTER or seen > _MADE_MAX:
            return
        same = self.same.answer(found.head)
        plan = None if same is None else plan_answer(self, found.head, same)
        if plan is not None:
            self.answers.insert(0, plan)
            del self.answers[_ANSWERS_MAX:]


def _few(match: re.Match[bytes], places: tuple[int, ...]) -> tuple[bytes, ...]:
    return (match[places[0]],) if places else ()


def _line(name: bytes, value: bytes) -> bytes:
    return re.escape(name) + b": " + value + rb"\r\n"


def plan_request(
    head: RequestHead, forward: RequestHead, same: Same, upstream: Upstream, *, keep_alive: bool, fields_max: int
) -> RequestPlan | None:
    """Return the plan of requests like this one, which was sent on as `forward`; None where it can't be told."""
    shape = head.shape
    if not is_plain(head) or len(head.fields) > fields_max or b"host" not in shape.index:
        return None
    if forward.method != head.method or not forward.target.endswith(head.target):
        return None
    form = _Pattern()
    form.keep(re.escape(head.method) + b" ")
    if forward.target != head.target:
        form.put(forward.target.removesuffix(head.target))
    form.keep(same.target + rb" HTTP/1\.1\r\n")
    length = _plan_fields(
        form, head, list(fields_without(forward, REQUEST_HOP_BY_HOP)), same.values, alive=_ALIVE[keep_alive]
    )
    if length is None:
        return None
    form.keep(rb"\r\n")
    plan = RequestPlan(form.compile(), form, same, upstream, method=head.method, keep_alive=keep_alive)
    plan.length = length
    return plan


def _plan_fields(
    form: _Pattern,
    head: RequestHead,
    sent: list[tuple[bytes, bytes]],
    values: Mapping[bytes, bytes],
    alive: frozenset[bytes],
) -> int | None:
    """Add the fields; return the group of the Content-Length, 0 without one, None where they can't be planned."""
    length = 0
    for (name, value), key in zip(head.fields, head.shape.names, strict=True):
        kept = bool(sent) and sent[0] == (name, value)
        if key == b"content-length":
            if not kept or not value.isdigit():
                return None
            form.keep(re.escape(name) + b": ")
            length = form.group(_DIGITS)
            form.keep(rb"\r\n")
        elif key == b"connection":
            if value not in alive or kept:
                return None
            form.drop(_line(name, re.escape(value)))
        elif kept:
            form.keep(_line(name, values.get(key, VALUE)))
        elif key == b"host" and key in values and sent and sent[0][0].lower() == b"host":
            form.drop(_line(name, values[key]))
            form.put(b"%b: %b\r\n" % sent[0])
            kept = True
        else:
            form.drop(_line(name, values.get(key, VALUE)))
        if kept:
            del sent[0]
    return None if sent else length


def plan_answer(plan: RequestPlan, head: ResponseHead, same: SameAnswer) -> AnswerPlan | None:
    """Return the plan of answers like this one; None where it can't be told."""
    shape = head.shape
    if head.status not in _PLANNED or head.status in _BODILESS or not is_plain(head):
        return None
    length_place = shape.index.get(b"content-length")
    if length_place is None or not head.fields[length_place][1].isdigit():
        return None
    form = _Pattern()
    form.drop(re.escape(b"HTTP/1.1 %d %b" % (head.status, head.reason)) + rb"\r\n")
    form.put(b"HTTP/1.1 %d %b\r\n" % (same.head.status, same.head.reason))
    given = list(fields_without(same.head, HOP_BY_HOP))
    groups = _plan_answer_fields(form, head, given, frozenset(same.identity))
    if groups is None:
        return None
    for name, value in given:
        form.put(name + b": ")
        if value in same.marks:
            form.slot()
        else:
            form.put(value)
        form.put(b"\r\n")
    marked = [value for _, value in given if value in same.marks]
    if marked != list(same.marks):
        return None  # `fill` returns one value for each, in this order
    if not plan.keep_alive:
        form.put(b"Connection: close\r\n")
    form.put(b"\r\n")
    form.drop(rb"\r\n")
    made = AnswerPlan(form.compile(), form, same, length=groups[b"content-length"], body=plan.method not in _NO_LENGTH)
    made.identity = next((groups[name] for name in same.identity if name in groups), 0)
    return made


def _plan_answer_fields(
    form: _Pattern, head: ResponseHead, given: list[tuple[bytes, bytes]], identity: frozenset[bytes]
) -> dict[bytes, int] | None:
    """Add the fields, taking from `given` what is kept; return the groups of those whose values are wanted."""
    groups: dict[bytes, int] = {}
    for (name, value), key in zip(head.fields, head.shape.names, strict=True):
        kept = bool(given) and given[0] == (name, value)
        if key == b"connection" and value not in _KEPT_ALIVE:
            return None
        take = form.keep if kept else form.drop
        if key in _READ or key == b"connection":
            take(_line(name, re.escape(value)))
        elif key == b"content-length" or key in identity:
            take(re.escape(name) + b": ")
            wanted = _DIGITS if key == b"content-length" else b"(" + VALUE + b")"
            groups[key] = (form.group if kept else form.drop_group)(wanted)
            take(rb"\r\n")
        else:
            take(_line(name, VALUE))
        if kept:
            del given[0]
    return groups


class Shelf:
    """Plans for one name, the latest first."""

    __slots__ = ("_made", "_seen", "plans")

    def __init__(self) -> None:
        self.plans: list[RequestPlan] = []
        self._seen: dict[Shape, int] = {}
        self._made = 0

    def use(self, place: int) -> None:
        """Put a plan before the others."""
        self.plans.insert(0, self.plans.pop(place))

    def due(self, shape: Shape) -> bool:
        """Count a request that no plan has taken; say whether one is to be made of it."""
        seen = self._seen.get(shape, 0) + 1
        if len(self._seen) < _SEEN_MAX or shape in self._seen:
            self._seen[shape] = seen
        return seen % _PLANNED_AFTER == 0 and self._made < _MADE_MAX

    def add(self, plan: RequestPlan) -> None:
        """Keep a plan."""
        self._made += 1
        self.plans.insert(0, plan)
        del self.plans[_PLANS_MAX:]


class Shelves:
    """Shelves by what requests have in common."""

    __slots__ = ("_shelves",)

    def __init__(self) -> None:
        self._shelves: dict[Hashable, Shelf] = {}

    def find(self, alike: Hashable | None) -> Shelf | None:
        """Return the shelf of requests that are alike, a new one where there is none; None for None."""
        if alike is None:
            return None
        shelf = self._shelves.get(alike)
        if shelf is None:
            if len(self._shelves) >= _SHELVES_MAX:
                del self._shelves[next(iter(self._shelves))]
            shelf = self._shelves[alike] = Shelf()
        return shelf
