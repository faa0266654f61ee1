"""Whatever happens to a planned exchange, client, backend and record see what they would have seen without plans."""

import contextlib
import time
from collections.abc import Callable
from functools import partial

import pytest
from fast_path_lab import (
    CLOSE,
    GET,
    HEAD,
    HOST,
    OK,
    POST,
    PUT,
    Act,
    Play,
    Stage,
    breaks,
    halves,
    perform,
    says,
    staged,
    waits,
    waits_and_breaks,
)
from relay_lab import read_all, read_exactly, read_head, standing, until

from kecs.relay.relay import RelayConfig
from kecs.relay.stream import HIGH_WATER

SHORT = b"GET /b/k HTTP/1.1\r\n" + HOST + b"\r\n"
ONE, TWO = GET % b"one", GET % b"two"
PUT_3 = PUT % (b"one", 3) + b"abc"
LONG = b"HTTP/1.1 200 OK\r\nServer: x\r\nX-Id: one\r\nContent-Length: 200000\r\n\r\n" + bytes(200_000)
CHUNKED = b"HTTP/1.1 200 OK\r\nX-Id: one\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\nX-Id: one\r\n\r\nok"
NOT_FOUND = OK.replace(b"200 OK", b"404 Not Found")
HEADED = OK.removesuffix(b"ok")
WARM_ALL = (GET, HEAD, PUT, POST)
STALE = frozenset({"upstream_reused", "upstream_dialled", "upstream_stale"})


def asks(*pieces: bytes, notes: int = 1) -> Callable[[Stage], None]:
    """Send these pieces; leave when everything was answered."""

    def client(stage: Stage) -> None:
        stage.send(*pieces)
        stage.wait_noted(notes)
        stage.shut()

    return client


def answered(*acts: Act, raw: bytes = ONE, after: bool = True, differs: frozenset[str] = frozenset()) -> Play:
    """Ask once, and once more where the connection lives on."""

    def client(stage: Stage) -> None:
        stage.send(raw)
        stage.wait_noted(1)
        if after:
            stage.send(TWO)
            stage.wait_noted(2)
            stage.shut()

    return Play(client=client, acts=(*acts, says(OK)), warm=WARM_ALL, differs=differs)


def again(stage: Stage) -> None:
    for number in range(3):
        stage.send(GET % b"%d" % number)
        stage.wait_noted(number + 1)
    stage.shut()


ANSWERS: dict[str, Play] = {
    "three after another": Play(client=again, planned=3),
    "a body": answered(says(OK), raw=PUT_3),
    "a POST": answered(says(OK), raw=POST % (b"one", 0)),
    "an answer to HEAD": answered(says(HEADED), raw=HEAD % b"one"),
    "a body behind an answer to HEAD": answered(says(OK), raw=HEAD % b"one"),
    **{
        f"in two pieces at {cut}": answered(says(OK[:cut], OK[cut:]))
        for cut in (1, 9, 20, len(HEADED) - 1, len(HEADED), len(OK) - 1)
    },
    "byte by byte": answered(says(*[OK[place : place + 1] for place in range(len(OK))])),
    "a body in more pieces than are waited for": answered(
        says(HEADED.replace(b": 2", b": 12"), *[b"%d" % number for number in range(10)], b"ab")
    ),
    "longer than a read": answered(says(LONG)),
    "as long as a read": answered(says(OK.replace(b": 2\r\n", b": 65461\r\n").removesuffix(b"ok") + bytes(65461))),
    "longer than a read, in two pieces": answered(says(LONG[:70_000], LONG[70_000:])),
    "chunked": answered(says(CHUNKED)),
    "chunked in two pieces": answered(says(CHUNKED[:-8], CHUNKED[-8:])),
    "until close": answered(says(UNTIL_CLOSE, keeps=False)),
    "until close, in two pieces": answered(says(UNTIL_CLOSE, b"more", keeps=False)),
    "trailing bytes": answered(says(OK + b"more")),
    "a second answer": answered(says(OK + OK)),
    "trailing bytes later": Play(client=asks(ONE), acts=(says(OK, b"more"),)),
    "100 first": answered(says(b"HTTP/1.1 100 Continue\r\n\r\n" + OK)),
    "103 first, alone": answered(says(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", OK)),
    "101": answered(says(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n")),
    "404": answered(says(NOT_FOUND)),
    "201 with other words": answered(says(OK.replace(b"200 OK", b"201 Made"))),
    "another reason": answered(says(OK.replace(b"200 OK", b"200 Fine"))),
    "304": answered(says(b"HTTP/1.1 304 Not Modified\r\nX-Id: one\r\nContent-Length: 2\r\n\r\n")),
    "204": answered(says(b"HTTP/1.1 204 No Content\r\nX-Id: one\r\n\r\n")),
    "another request id": answered(says(OK.replace(b"one", b"another"))),
    "no request id": answered(says(OK.replace(b"X-Id: one\r\n", b""))),
    "one field more": answered(says(OK.replace(b"Server", b"Etag: x\r\nServer"))),
    "names in another case": answered(says(OK.replace(b"Server", b"server"))),
    "a length twice": answered(says(OK.replace(b"Server", b"Content-Length: 2\r\nServer"))),
    "an odd length": answered(says(OK.replace(b": 2", b": +2"))),
    "a length with zeros": answered(says(OK.replace(b": 2", b": 002"))),
    "a length of nothing": answered(says(HEADED.replace(b": 2", b": 0"))),
    "HTTP/1.0": answered(says(OK.replace(b"HTTP/1.1", b"HTTP/1.0"), keeps=False)),
    "the last on its connection": answered(says(OK.replace(b"Server", b"Connection: close\r\nServer"), keeps=False)),
    "closed behind the answer": answered(says(OK, keeps=False), differs=STALE),
    "reset behind the answer": Play(client=asks(ONE), acts=(breaks(OK),), differs=STALE),
    "garbage": answered(says(b"SSH-2.0-x\r\n", keeps=False)),
    "garbage with an end": answered(says(b"what?\r\n\r\n", keeps=False)),
    "a folded field": answered(says(OK.replace(b"X-Id: one", b"X-Id: one\r\n more"), keeps=False)),
    "closed without an answer": answered(says(keeps=False)),
    "closed without an answer, twice": answered(says(keeps=False), says(keeps=False)),
    "closed without an answer to HEAD": answered(says(keeps=False), says(HEADED), raw=HEAD % b"one"),
    "closed without an answer to POST": answered(says(keeps=False), raw=POST % (b"one", 3) + b"abc"),
    "closed without an answer to PUT": answered(says(keeps=False), raw=PUT_3),
    "closed in the head": answered(says(OK[:20], keeps=False)),
    "closed in the body": answered(says(OK[:-1], keeps=False)),
    "closed in a long body": answered(says(LONG[:100_000], keeps=False), after=False),
    "reset without an answer": answered(breaks()),
    "reset without an answer to POST": answered(breaks(), raw=POST % (b"one", 3) + b"abc"),
    "reset in the head": answered(breaks(OK[:20])),
    "reset in the body": answered(breaks(OK[:-1])),
}  # fmt: skip


def late(*pieces: bytes, notes: int = 1, then: bytes = TWO, planned: int = 1) -> Play:
    """Send a request in pieces, and another one."""

    def client(stage: Stage) -> None:
        stage.send(*pieces)
        stage.wait_noted(notes)
        stage.send(then)
        stage.wait_noted(notes + 1)
        stage.shut()

    return Play(client=client, warm=WARM_ALL, planned=planned)


def shuts(*pieces: bytes, planned: int = 0) -> Play:
    """Send the end right behind what is no whole request, or no good one."""

    def client(stage: Stage) -> None:
        stage.send(*pieces)
        stage.shut()

    return Play(client=client, warm=WARM_ALL, planned=planned)


def expires(*pieces: bytes, seen: int = 0, acts: tuple[Act, ...] = (waits(),)) -> Play:
    """Let time pass when this was sent, and seen by the backend."""

    def client(stage: Stage) -> None:
        stage.send(*pieces)
        stage.wait_seen(seen)
        stage.settle(stage.sock)
        stage.expire()
        stage.wait_noted(1)
        stage.release()
        stage.shut()

    return Play(client=client, acts=acts, warm=WARM_ALL, planned=seen)


def leaves(*, resets: bool) -> Play:
    """Leave while the backend thinks."""

    def client(stage: Stage) -> None:
        stage.send(ONE)
        stage.wait_seen(1)
        if resets:
            stage.reset()
            stage.wait_noted(1)
        else:
            stage.shut()
            stage.settle(stage.sock)
        stage.release()

    return Play(client=client, acts=(waits(OK),))


def drains(*behind: bytes) -> Play:
    """Drain while the backend thinks."""

    def client(stage: Stage) -> None:
        stage.send(ONE)
        stage.wait_seen(1)
        stage.drain()
        for one in behind:
            stage.send(one)
            stage.settle(stage.sock)
        stage.release()

    return Play(client=client, acts=(waits(OK), says(OK)))


def drained_before(stage: Stage) -> None:
    stage.send(ONE)
    stage.wait_noted(1)
    stage.drain()


def half(then: Callable[[Stage], None], *, whole: bool = True) -> Play:
    """Let something happen while half an answer is there, whose rest comes then, or never."""

    def client(stage: Stage) -> None:
        stage.send(ONE)
        stage.wait_halved()
        then(stage)
        stage.release()
        stage.wait_noted(1)
        with contextlib.suppress(OSError):  # it may have ended already
            stage.shut()

    return Play(client=client, acts=(halves(OK[:-1], OK[-1:] if whole else b""),))


def another_comes(stage: Stage) -> None:
    stage.send(TWO)
    stage.settle(stage.sock)


def overloads(stage: Stage) -> None:
    """Ask while another waits."""
    first = stage.sock
    stage.send(ONE)
    stage.wait_seen(1)
    with stage.lab.connect() as stage.sock:
        stage.send(TWO)
        stage.wait_noted(1)
        stage.shut()
        stage.got += b"".join(iter(lambda: stage.sock.recv(65536), b""))
    stage.release()
    stage.sock = first
    stage.wait_noted(2)
    stage.shut()


def meets_a_dying_connection(raw: bytes) -> Play:
    """Ask while the kept connection ends."""

    def client(stage: Stage) -> None:
        with standing(stage.lab):
            stage.send(raw)
            stage.end_kept()
        stage.wait_noted(1)
        stage.shut()

    return Play(client=client, warm=WARM_ALL, planned=0, differs=STALE)


def asked_for(stage: Stage) -> None:
    """Ask with a body that the decision needs."""
    stage.send(PUT_3)
    stage.wait_noted(1)
    assert stage.script.shown == [b"abc"]
    stage.shut()


def faulty(stage: Stage) -> None:
    """Ask a decider that can't take notes."""
    stage.script.faulty = True
    stage.send(ONE)
    stage.wait_noted(1)


def faulty_at_last(stage: Stage) -> None:
    """Ask for the last time a decider that can't take notes."""
    stage.script.faulty = True
    stage.send(CLOSE % b"one")
    stage.wait_noted(1)


def held(*happens: Callable[[Stage], None], raw: bytes = PUT_3[:-2], planned: int = 0) -> Play:
    """Let something happen while a part of a body is missing, and ask once more behind it, a byte at first."""

    def client(stage: Stage) -> None:
        stage.send(raw)
        stage.settle(stage.sock)
        for happen in happens:
            happen(stage)
        stage.wait_noted(1)
        with contextlib.suppress(OSError):  # it may have ended already
            stage.send(TWO[:1], TWO[1:])
            stage.wait_noted(2)
            stage.shut()

    return Play(client=client, warm=WARM_ALL, planned=planned)


def ends_held(*happens: Callable[[Stage], None]) -> Play:
    """End while a part of a body is missing."""

    def client(stage: Stage) -> None:
        stage.send(PUT_3[:-1])
        stage.settle(stage.sock)
        for happen in happens:
            happen(stage)
        stage.wait_noted(1)

    return Play(client=client, warm=WARM_ALL, planned=0)


def comes(piece: bytes) -> Callable[[Stage], None]:
    return lambda stage: stage.send(piece)


def slips(piece: bytes) -> Callable[[Stage], None]:
    return lambda stage: stage.slip(stage.sock, piece)


def drained_held(stage: Stage) -> None:
    """Drain while a part of a body is missing; the client ends when it was answered."""
    stage.send(PUT_3[:-1])
    stage.settle(stage.sock)
    stage.drain()
    stage.send(b"c")
    stage.wait_noted(1)
    stage.shut()


def answered_meanwhile(stage: Stage) -> None:
    """Send a body's parts while an answer comes."""
    stage.send(ONE)
    stage.wait_seen(1)
    stage.send(PUT_3[:-2])
    stage.settle(stage.sock)
    with standing(stage.lab):
        stage.release()
        stage.wait_acted()
        stage.sock.sendall(b"b")
        until(lambda: all(session._stream.unread() for session in stage.lab.relay._sessions))
    stage.settle(stage.sock)
    stage.send(b"c")
    stage.wait_noted(2)
    stage.send(TWO[:1], TWO[1:])
    stage.wait_noted(3)
    stage.shut()


def long_in_one(stage: Stage) -> None:
    """Ask with a body that is longer than what is kept to be said again, read in one go."""
    stage.send(ONE)
    stage.wait_noted(1)
    stage.in_one(PUT % (b"one", 100_000) + bytes(100_000))
    stage.wait_noted(2)
    stage.shut()


OLD = GET.replace(b"HTTP/1.1", b"HTTP/1.0")
EMPTY = PUT.replace(b"/b/", b"/b/empty")
LONGER = PUT % (b"one", 65_500) + bytes(65_500)
CLIENTS: dict[str, Play] = {
    "head and body apart": late(PUT_3[:-3], b"abc"),
    "a body in three": late(PUT_3[:-3], b"a", b"b", b"c"),
    "a head in two": late(ONE[:30], ONE[30:]),
    "a head byte by byte": late(*[ONE[place : place + 1] for place in range(len(ONE))]),
    "a body that is a little more than a read": late(LONGER),
    "a body that is much more than a read": late(PUT % (b"one", 300_000) + bytes(300_000)),
    "a body that is more than is held": late(PUT % (b"one", 65_600) + bytes(65_600)),
    "a body behind its read": late(LONGER[:-100], LONGER[-100:]),
    "a line's end before": late(ONE, then=b"\r\n" + TWO),
    "three in one piece": Play(client=asks(ONE + TWO + ONE, notes=3), planned=0),
    "three in pieces": Play(client=asks(ONE, TWO, ONE, notes=3), differs=STALE),
    "three cut anywhere": Play(
        client=asks(ONE + TWO[:20], TWO[20:] + ONE[:40], ONE[40:], notes=3), planned=0, differs=STALE
    ),
    "two bodies in one piece": Play(client=asks(PUT_3 + PUT_3, notes=2), warm=WARM_ALL, planned=0),
    "half a head behind a late body": late(PUT_3[:-3], b"abc" + ONE[:60], ONE[60:], notes=2, then=SHORT, planned=0),
    "a last request": Play(client=asks(CLOSE % b"one"), warm=(GET, CLOSE)),
    "a last request and more": Play(client=asks(CLOSE % b"one" + ONE), warm=(GET, CLOSE), planned=0),
    "Expect": Play(
        client=asks(PUT_3[:-3].replace(b"X-Amz", b"Expect: 100-continue\r\nX-Amz"), b"abc"), warm=WARM_ALL, planned=0
    ),
    "HTTP/1.0": Play(client=asks(ONE.replace(b"HTTP/1.1", b"HTTP/1.0")), planned=0),
    "another name": late(ONE.replace(b"X-Amz-Date", b"x-amz-date")),
    "a field twice": late(ONE.replace(b"X-Amz", b"X-Amz-Date: e\r\nX-Amz")),
    "a tab": late(ONE.replace(b": d", b": d\te")),
    "trailing blanks": late(ONE.replace(b": d", b": d  ")),
    "no blank": late(ONE.replace(b": d", b":d")),
    "an empty value": late(ONE.replace(b": d", b": ")),
    "a folded field": shuts(ONE.replace(b": d", b": d\r\n e")),
    "a bare line feed": shuts(ONE.replace(b": d\r", b": d")),
    "a NUL": shuts(ONE.replace(b": d", b": \0")),
    "a Host twice": shuts(ONE.replace(b"X-Amz", HOST + b"X-Amz")),
    "an odd length": shuts(PUT_3.replace(b": 3", b": +3")),
    "a length with zeros": late(PUT_3.replace(b": 3", b": 003")),
    "a length twice": shuts(PUT_3.replace(b"X-Amz", b"Content-Length: 3\r\nX-Amz")),
    "a length and a coding": shuts(PUT_3.replace(b"X-Amz", b"Transfer-Encoding: chunked\r\nX-Amz")),
    "another coding": shuts(PUT_3.replace(b"Content-Length: 3", b"Transfer-Encoding: gzip")),
    "no request": shuts(b"what?\r\n\r\n"),
    "a head without end": Play(
        client=asks(ONE[:-2] + b"X: " + bytes([120]) * 5000), config=RelayConfig(head_bytes_max=4096), planned=0
    ),
    "a head that is too long": Play(
        client=asks(GET % (b"k" * 4096)), config=RelayConfig(head_bytes_max=4096), planned=0
    ),
    "too many fields": Play(
        client=asks(ONE[:-2] + b"X: y\r\n" * 16 + b"\r\n"), config=RelayConfig(head_fields_max=16), planned=0
    ),
    "the end right behind": shuts(ONE, planned=1),
    "the end right behind a body": shuts(PUT_3, planned=1),
    "the end in a body": shuts(PUT_3[:-1]),
    "the end in a body, which came late": shuts(PUT_3[:-3], b"ab"),
    "the end in a head": shuts(ONE[:-1]),
    "a body that never comes": expires(PUT_3[:-3]),
    "a body that ends early": expires(PUT_3[:-3], b"ab"),
    "an answer that never comes": expires(ONE, seen=1),
    "an answer to a body that never comes": expires(PUT_3, seen=1),
    "half a head forever": expires(ONE[:-4]),
    "the client is reset": leaves(resets=True),
    "the client's end while it waits": leaves(resets=False),
    "drained while it waits": drains(),
    "drained while it waits, more behind": drains(TWO),
    "drained between requests": Play(client=drained_before),
    "too many requests": Play(client=overloads, acts=(waits(OK),), config=RelayConfig(requests_max=1)),
    "an HTTP/1.0 client before": Play(client=again, warm=(OLD,), planned=0),
    "no body before, and one that is asked for": Play(client=asked_for, warm=(EMPTY, PUT), wants=9, planned=0),
    "a body that is not kept to be said again": Play(
        client=asks(PUT_3), warm=WARM_ALL, config=RelayConfig(replay_bytes_max=2), planned=0
    ),
    "half an answer, and a tick": half(Stage.tick),
    "half an answer, a tick, and its end": half(Stage.tick, whole=False),
    "half an answer, and no more": half(lambda _: None, whole=False),
    "half an answer, and time": half(Stage.expire),
    "half an answer, and the client's end": half(Stage.shut),
    "half an answer, and the client's reset": half(Stage.reset),
    "half an answer, and another request": half(another_comes),
    "half a body, and a tick": held(Stage.tick, comes(b"bc")),
    "half a body, a tick, and more of it": held(slips(b"b"), comes(b"c")),
    "half a body, a tick, and the rest of it": held(slips(b"bc"), planned=1),
    "half a body, a tick, and too much": held(slips(b"bc" + ONE), planned=0),
    "half a body, and room": held(Stage.drained, comes(b"bc")),
    "half a body, and time": ends_held(Stage.expire),
    "half a body, and a drain": Play(client=drained_held, warm=WARM_ALL, planned=0),
    "half a body, and the client's reset": ends_held(Stage.reset),
    "half a body, and the client's reset, and time": ends_held(Stage.reset, Stage.expire),
    "half a body, and no room": ends_held(Stage.evict),
    "half a body behind a request": Play(
        client=answered_meanwhile, acts=(waits(OK), says(OK)), warm=WARM_ALL, differs=STALE
    ),
    "a body in more pieces than are waited for": late(
        PUT % (b"one", 12), *[b"%d" % number for number in range(10)], b"ab", planned=0
    ),
    "a long body in one piece": Play(client=long_in_one, warm=WARM_ALL),
    "the note can't be taken": Play(client=faulty),
    "the last note can't be taken": Play(client=faulty_at_last, warm=(GET, CLOSE)),
    "a dying connection": meets_a_dying_connection(ONE),
    "a dying connection and a body": meets_a_dying_connection(PUT_3),
    "a dying connection and a POST": meets_a_dying_connection(POST % (b"one", 3) + b"abc"),
}  # fmt: skip


@pytest.mark.parametrize(
    "play",
    [
        pytest.param(play, id=name)
        for name, play in {**ANSWERS, **{f"asked: {name}": play for name, play in CLIENTS.items()}}.items()
    ],
)
def test_with_plans_as_without(play: Play) -> None:
    ordinary, _ = perform(play, plans=False)
    quick, planned = perform(play, plans=True)
    assert quick == ordinary
    assert quick.waiting == 0
    assert planned >= play.planned


def test_a_drain_while_half_an_answer_is_there_is_told_with_it() -> None:
    told, _ = perform(half(Stage.drain), plans=True)
    assert told.got.replace(b"Connection: close\r\n", b"") == perform(half(lambda _: None), plans=True)[0].got
    assert b"Connection: close" in told.got


def answer_is_long(stage: Stage) -> None:
    stage.release()


def client_is_reset(stage: Stage) -> None:
    stage.reset()


def time_passes(stage: Stage) -> None:
    stage.expire()


def half_came(stage: Stage) -> None:
    stage.wait_halved()
    stage.tick()


MAD: dict[str, tuple[Act, Callable[[Stage], None]]] = {
    "a long answer": (waits(LONG), answer_is_long),
    "no answer": (waits(), answer_is_long),
    "a reset": (waits_and_breaks, answer_is_long),
    "the client is reset": (waits(OK), client_is_reset),
    "time": (waits(OK), time_passes),
    "half an answer, and a tick": (halves(OK[:-1], OK[-1:]), half_came),
}


@pytest.mark.parametrize("name", MAD)
def test_a_decider_that_raises_when_it_is_asked_later_ends_this_connection_and_nothing_else(name: str) -> None:
    act, happens = MAD[name]
    with staged(Play(client=again, acts=(act, says(OK))), plans=True) as stage:
        stage.send(ONE)
        stage.wait_seen(1)
        assert stage.lab.relay.waiting == 1
        stage.script.mad = True
        happens(stage)
        if stage.sock.fileno() >= 0:
            assert read_all(stage.sock) == b""
        until(lambda: stage.lab.relay.open == 0)
        assert stage.lab.relay.waiting == 0
        assert stage.lab.relay.counters["internal_errors"] == 1
        stage.release()
        stage.script.mad = False
        with stage.lab.connect() as stage.sock:
            stage.send(TWO)
            assert read_head(stage.sock, bytearray()).startswith(b"HTTP/1.1 200 OK")
    assert stage.lab.relay.counters["internal_errors"] == 1


def test_a_decider_that_raises_when_half_a_body_is_lost_ends_this_connection_and_nothing_else() -> None:
    with staged(Play(client=again, warm=WARM_ALL), plans=True) as stage:
        stage.send(PUT_3[:-1])
        stage.settle(stage.sock)
        stage.script.mad = True
        stage.reset()
        until(lambda: stage.lab.relay.open == 0)
        assert stage.lab.relay.waiting == 0
        assert stage.lab.relay.counters["internal_errors"] == 1


def test_a_request_began_with_its_head_though_its_body_was_waited_for() -> None:
    with staged(Play(client=again, warm=WARM_ALL), plans=True) as stage:
        stage.send(PUT_3[:-1])
        stage.settle(stage.sock)
        begun = time.monotonic()
        stage.tick()
        stage.send(b"c")
        stage.wait_noted(1)
        (exchange,) = stage.script.exchanges
        assert exchange.started < begun


def test_a_client_that_does_not_read_is_not_asked_for_more() -> None:
    body = bytes(60_000)
    big = says(OK.replace(b": 2\r\n", b": 60000\r\n").removesuffix(b"ok") + body)
    with staged(Play(client=again, acts=(big,)), plans=True) as stage:
        sent = 0

        def stands(asked: int) -> bool:
            return len(stage.script.noted) == asked or any(one._stream._paused for one in stage.lab.relay._sessions)

        while len(stage.script.noted) == sent:
            stage.send(ONE)
            sent += 1
            assert sent < 1_000
            until(partial(stands, sent))
        for session in stage.lab.relay._sessions:
            assert session._stream.buffered <= HIGH_WATER + len(body) + 1_000
        held = bytearray()
        for _ in range(sent):
            assert read_head(stage.sock, held).startswith(b"HTTP/1.1 200 OK")
            rest = len(body) - len(held)
            del held[: len(body)]
            assert len(read_exactly(stage.sock, max(0, rest))) == max(0, rest)
        assert stage.lab.relay.counters["requests_planned"] >= sent - 1
