"""Contexts: made off the loop, once for all who wait, renewed before their end, forgotten with their intermediate."""

import asyncio
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from relay_lab import NAME, PATIENCE_S, Authority, Lab, Script, read_exactly, read_head, server

from kecs.relay.contexts import BusyError, Contexts, covering
from kecs.relay.decide import Upstream

REGION = "eu-west-1.amazonaws.com"
OTHER = "sqs.eu-central-1.amazonaws.com"
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@dataclass
class Bench:
    """Contexts with a clock of their own, on a loop, and a mint that can be held up."""

    contexts: Contexts = field(init=False)
    now: datetime = NOW
    lifetime: timedelta = timedelta(hours=24)
    fault: Exception | None = None
    free: threading.Event = field(default_factory=threading.Event)
    asked: list[tuple[str, ...]] = field(default_factory=list)
    threads: set[int] = field(default_factory=set)
    queued: int = 8

    def __post_init__(self) -> None:
        self.authority = Authority()
        self.contexts = Contexts(self.mint, kept=4, queued=self.queued, clock=lambda: self.now)
        self.free.set()

    def mint(self, names: tuple[str, ...]) -> tuple[bytes, bytes, datetime]:
        self.asked.append(names)
        self.threads.add(threading.get_ident())
        assert self.free.wait(PATIENCE_S)
        if self.fault is not None:
            raise self.fault
        chain, key, _ = self.authority.mint(names)
        return chain, key, self.now + self.lifetime

    def want(self, name: str) -> asyncio.Future[ssl.SSLContext]:
        """Ask for a context, which may have to be made."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[ssl.SSLContext] = loop.create_future()

        def then(made: ssl.SSLContext | Exception) -> None:
            if isinstance(made, Exception):
                future.set_exception(made)
            else:
                future.set_result(made)

        held = self.contexts.obtain(name, then, loop)
        if held is not None:
            future.set_result(held)
        return future

    async def until(self, holds: Callable[[], bool]) -> None:
        """Let the loop turn until something holds."""
        async with asyncio.timeout(PATIENCE_S):
            while not holds():  # noqa: ASYNC110 - nobody announces it
                await asyncio.sleep(0.001)


def run(play: Callable[[Bench], object], **changes: int) -> Bench:
    """Run a play on a loop."""
    bench = Bench(**changes)  # type: ignore[arg-type] # only numbers are changed

    async def main() -> None:
        async with asyncio.timeout(2 * PATIENCE_S):
            await play(bench)  # type: ignore[misc] # plays are coroutine functions

    asyncio.run(main())
    return bench


@pytest.mark.parametrize(
    ("name", "names"),
    [
        pytest.param("sqs." + REGION, ("*." + REGION, REGION), id="a region's services share"),
        pytest.param("b.s3." + REGION, ("*.s3." + REGION, "s3." + REGION), id="a region's buckets share"),
        pytest.param("s3.amazonaws.com", ("*.amazonaws.com", "amazonaws.com"), id="global services share"),
        pytest.param("backend.example", ("backend.example",), id="no wildcard outside of AWS"),
        pytest.param("localhost", ("localhost",), id="one label"),
    ],
)
def test_what_a_leaf_covers(name: str, names: tuple[str, ...]) -> None:
    assert covering(name) == names


def test_a_leaf_is_made_once_for_all_who_wait_and_on_another_thread() -> None:
    async def play(bench: Bench) -> None:
        bench.free.clear()
        waiting = [bench.want(f"{service}.{REGION}") for service in ("sqs", "sns", "sts")]
        await bench.until(lambda: bool(bench.asked))
        assert not any(one.done() for one in waiting)
        bench.free.set()
        assert len({id(await one) for one in waiting}) == 1
        assert bench.want(f"kms.{REGION}").done()

    bench = run(play)
    assert bench.asked == [("*." + REGION, REGION)]
    assert bench.contexts.minted == 1
    assert threading.get_ident() not in bench.threads


def test_a_fault_is_for_those_who_wait_for_this_leaf() -> None:
    async def play(bench: Bench) -> None:
        bench.free.clear()
        first = bench.want(NAME)
        await bench.until(lambda: bool(bench.asked))
        second = bench.want(OTHER)
        bench.fault = KeyError("a fault")
        bench.free.set()
        with pytest.raises(KeyError):
            await first
        with pytest.raises(KeyError):
            await second
        bench.fault = None
        assert isinstance(await bench.want(NAME), ssl.SSLContext)

    assert run(play).contexts.minted == 1


def test_no_more_wait_than_is_reasonable() -> None:
    async def play(bench: Bench) -> None:
        bench.free.clear()
        waiting = [bench.want(NAME), bench.want(OTHER)]
        with pytest.raises(BusyError):
            await bench.want(f"sqs.{REGION}")
        waiting.append(bench.want(OTHER))  # one that is being made already takes no room
        bench.free.set()
        for one in waiting:
            await one
        await bench.want(f"sqs.{REGION}")

    run(play, queued=2)


def test_a_leaf_that_ends_soon_serves_until_another_is_there() -> None:
    async def play(bench: Bench) -> None:
        first = await bench.want(NAME)
        bench.now += timedelta(hours=23, minutes=49)
        assert await bench.want(NAME) is first
        assert len(bench.asked) == 1
        bench.now += timedelta(minutes=2)
        bench.free.clear()
        assert await bench.want(NAME) is first
        assert await bench.want(NAME) is first
        bench.free.set()
        await bench.until(lambda: bench.contexts.minted == 2)
        assert await bench.want(NAME) is not first

    assert len(run(play).asked) == 2


def test_a_leaf_that_has_ended_is_waited_for() -> None:
    async def play(bench: Bench) -> None:
        first = await bench.want(NAME)
        bench.now += timedelta(hours=24)
        again = bench.want(NAME)
        assert not again.done()
        assert await again is not first

    run(play)


def test_a_renewal_that_fails_is_reported_and_tried_again_a_little_later() -> None:
    async def play(bench: Bench) -> None:
        reports: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reports.append(context["exception"]))
        first = await bench.want(NAME)
        bench.now += timedelta(hours=23, minutes=55)
        bench.fault = KeyError("a fault")
        assert await bench.want(NAME) is first
        await bench.until(lambda: bool(reports))
        assert await bench.want(NAME) is first
        assert len(bench.asked) == 2
        bench.now += timedelta(seconds=31)
        bench.fault = None
        assert await bench.want(NAME) is first
        await bench.until(lambda: bench.contexts.minted == 2)

    assert len(run(play).asked) == 3


def test_leaves_of_an_intermediate_that_ends_soon_are_not_made_for_every_connection() -> None:
    async def play(bench: Bench) -> None:
        bench.lifetime = timedelta(minutes=5)
        for _ in range(20):
            await bench.want(NAME)
            bench.now += timedelta(seconds=10)

    assert len(run(play).asked) == 1


def test_a_new_intermediate_signs_anew_what_was_in_use_and_what_was_under_way() -> None:
    async def play(bench: Bench) -> None:
        old = await bench.want(NAME)
        bench.free.clear()
        waiting = bench.want(OTHER)
        await bench.until(lambda: len(bench.asked) == 2)
        bench.contexts.clear()
        bench.free.set()
        await waiting
        await bench.until(lambda: bench.contexts.minted == 3)
        assert await bench.want(NAME) is not old

    bench = run(play)
    assert [bench.asked.count(covering(name)) for name in (NAME, OTHER)] == [2, 2]


def test_the_least_recently_used_is_forgotten() -> None:
    async def play(bench: Bench) -> None:
        names = [f"sqs.{region}.amazonaws.com" for region in ("eu-west-1", "eu-west-2", "eu-west-3", "us-west-1")]
        first = [await bench.want(name) for name in names]
        assert await bench.want(names[0]) is first[0]
        await bench.want(OTHER)
        assert await bench.want(names[0]) is first[0]
        assert not bench.want(names[1]).done()
        await bench.until(lambda: bench.contexts.minted == 6)

    run(play)


def ok(sock: object) -> None:
    held = bytearray()
    while read_head(sock, held):  # type: ignore[arg-type] # a socket
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")  # type: ignore[attr-defined]


@pytest.fixture
def lab() -> Iterator[Lab]:
    with server(ok) as address, Lab(Script(upstream=Upstream(host=address.host, port=address.port))) as running:
        yield running


def test_a_connection_that_waits_for_its_leaf_holds_up_no_other(lab: Lab) -> None:
    free, reached = threading.Event(), threading.Event()

    def mint(names: tuple[str, ...]) -> tuple[bytes, bytes, datetime]:
        reached.set()
        assert free.wait(PATIENCE_S)
        return lab.authority.mint(names)

    lab.relay.contexts = Contexts(mint)
    context = lab.authority.client_context()
    done = threading.Event()

    def shake() -> None:
        with context.wrap_socket(lab.connect(), server_hostname=NAME):
            done.set()

    thread = threading.Thread(target=shake)
    thread.start()
    assert reached.wait(PATIENCE_S)
    with lab.connect() as other:
        other.sendall(b"GET / HTTP/1.1\r\nHost: s3.amazonaws.com\r\n\r\n")
        assert read_exactly(other, 15) == b"HTTP/1.1 200 OK"
    assert not done.is_set()
    free.set()
    thread.join(PATIENCE_S)
    assert done.is_set()


def test_a_client_that_goes_while_its_leaf_is_made(lab: Lab) -> None:
    free, reached = threading.Event(), threading.Event()

    def mint(names: tuple[str, ...]) -> tuple[bytes, bytes, datetime]:
        reached.set()
        assert free.wait(PATIENCE_S)
        return lab.authority.mint(names)

    lab.relay.contexts = Contexts(mint)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = lab.authority.client_context().wrap_bio(incoming, outgoing, server_hostname=NAME)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    with lab.connect() as sock:
        sock.sendall(outgoing.read())
        assert reached.wait(PATIENCE_S)
    free.set()
    lab.script.wait(lambda seen: len(seen.ends) == 1)


def test_too_many_who_wait_are_refused_with_their_own_word(lab: Lab) -> None:
    lab.relay.contexts = Contexts(lab.authority.mint, queued=0)
    context = lab.authority.client_context()
    with lab.connect() as sock, pytest.raises(OSError, match=r"reset|EOF"):
        context.wrap_socket(sock, server_hostname=NAME)
    lab.script.wait(lambda seen: [reason for _, reason, _, _ in seen.ends] == ["tls_setup_busy"])
    assert lab.relay.counters["refused_tls_setup_busy"] == 1
