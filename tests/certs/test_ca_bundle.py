"""What a caBundle is to be: as a table, and for replicas that hear of things at different moments."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from certs_lab import PERMITTED
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from kecs.certs.authority import certificate_pem, issue_root
from kecs.certs.bundle import parse
from kecs.certs.ca_bundle import KEEP_S, CaBundle, plan
from kecs.certs.derived import service_domains
from kecs.certs.rotation import Scope, create, emergency
from kecs.certs.serving import LiveContext, issue
from kecs.certs.state import Authority

NOW = datetime.now(UTC)
OLD, NEW, OTHER = (issue_root(NOW, permitted=PERMITTED).certificate for _ in range(3))
NAMES = {OLD: "old", NEW: "new", OTHER: "other"}
SCOPE = Scope(permitted=PERMITTED, services=service_domains("kecs-system"))


def pem(*roots: x509.Certificate) -> bytes:
    return certificate_pem(*roots)


def named(bundle: CaBundle) -> list[str]:
    return [NAMES[root] for root in parse(bundle.pem, source="it")]


@pytest.mark.parametrize(
    ("found", "wanted", "expected"),
    [
        pytest.param(b"", (OLD,), ["old"], id="nothing there"),
        pytest.param(b"\n", (OLD,), ["old"], id="a blank, as charts leave it"),
        pytest.param(b"garbage", (OLD,), ["old"], id="garbage"),
        pytest.param(pem(OLD) + b"XX", (OLD,), ["old"], id="half garbage"),
        pytest.param(pem(OLD), (OLD,), ["old"], id="all is well"),
        pytest.param(pem(OLD), (OLD, NEW), ["old", "new"], id="a root is added"),
        pytest.param(pem(OLD), (NEW,), ["new", "old"], id="a root is replaced: the old one stays for now"),
        pytest.param(pem(OLD, NEW), (NEW,), ["old", "new"], id="another replica needs the old one"),
        pytest.param(pem(NEW, OLD), (OLD, NEW), ["new", "old"], id="another replica ordered them otherwise"),
        pytest.param(pem(OTHER), (OLD,), ["old", "other"], id="somebody reset it"),
    ],
)
def test_what_it_is_to_be(found: bytes, wanted: tuple[x509.Certificate, ...], expected: list[str]) -> None:
    planned = plan(found, wanted, {}, 100.0)
    assert named(planned) == expected
    again = plan(planned.pem, wanted, planned.unwanted, 101.0)
    assert again.pem == planned.pem


def test_what_is_wanted_no_more_goes_after_a_while() -> None:
    first = plan(pem(OLD), (NEW,), {}, 100.0)
    before = plan(first.pem, (NEW,), first.unwanted, 100.0 + KEEP_S - 1)
    after = plan(before.pem, (NEW,), before.unwanted, 100.0 + KEEP_S)
    assert (named(before), named(after)) == (["new", "old"], ["new"])
    assert after.unwanted == {}


def test_what_is_wanted_again_stays() -> None:
    first = plan(pem(OLD, NEW), (NEW,), {}, 100.0)
    again = plan(first.pem, (OLD, NEW), first.unwanted, 130.0)
    later = plan(again.pem, (NEW,), again.unwanted, 170.0)
    assert named(later) == ["old", "new"]


@dataclass
class Replica:
    wanted: tuple[x509.Certificate, ...] = (OLD,)
    unwanted: dict[str, float] = field(default_factory=dict)


@given(
    steps=st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["round", "hear"])), max_size=40),
    late=st.integers(0, 2),
)
def test_replicas_never_take_away_what_another_one_serves(steps: list[tuple[int, str]], late: int) -> None:
    """They hear of the new certificate in any order, within less than the time that roots are kept."""
    replicas, bundle, clock, writes = [Replica() for _ in range(3)], pem(OLD), 0.0, 0
    steps += [(number, act) for act in ("hear", "round") for number in (late, *range(3))]
    for number, act in steps:
        clock += 1
        replica = replicas[number]
        if act == "hear":
            replica.wanted = (NEW,)
        planned = plan(bundle, replica.wanted, replica.unwanted, clock)
        writes += planned.pem != bundle
        bundle, replica.unwanted = planned.pem, dict(planned.unwanted)
        present = parse(bundle, source="it")
        assert all(root in present for one in replicas if one is replica for root in one.wanted)
        assert OLD in present
    assert writes == 1
    for replica in replicas * 2:
        clock += KEEP_S
        planned = plan(bundle, replica.wanted, replica.unwanted, clock)
        bundle, replica.unwanted = planned.pem, dict(planned.unwanted)
    assert parse(bundle, source="it") == (NEW,)


# with real handshakes


class Server:
    """One replica of a webhook: TLS, and what it does when the authority has published something."""

    def __init__(self, authority: Authority) -> None:
        self.live = LiveContext()
        self.live.load(issue(authority, ("kecs-injector.kecs-system.svc",), NOW))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = self._listener.getsockname()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), plain, self.live.context.wrap_socket(plain, server_side=True) as wrapped:
                wrapped.sendall(b"ok")

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def authorities() -> tuple[Authority, Authority]:
    first = create(SCOPE, NOW)
    return first.authority, emergency(1, NOW, SCOPE).state.authority


@pytest.fixture
def servers(authorities: tuple[Authority, Authority]) -> Iterator[list[Server]]:
    found = [Server(authorities[0]) for _ in range(2)]
    yield found
    for server in found:
        server.close()


def call(server: Server, roots: bytes) -> bytes:
    context = ssl.create_default_context(cadata=roots.decode())
    with (
        socket.create_connection(server.address, timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="kecs-injector.kecs-system.svc") as wrapped,
    ):
        return wrapped.recv(2)


def test_no_call_fails_even_in_an_emergency(servers: list[Server], authorities: tuple[Authority, Authority]) -> None:
    """No cross-certificate leads from one root to the other, and the replicas hear of it one after the other."""
    old, new = authorities
    bundle = certificate_pem(old.root)
    unwanted: list[dict[str, float]] = [{}, {}]
    wanted = [old.bundle, old.bundle]
    for moment, hears in enumerate([None, 0, None, 1, None, None]):
        if hears is not None:
            wanted[hears] = new.bundle
        for number in (0, 1):
            planned = plan(bundle, wanted[number], unwanted[number], float(moment))
            bundle, unwanted[number] = planned.pem, dict(planned.unwanted)
            assert [call(server, bundle) for server in servers] == [b"ok", b"ok"]
        if hears is not None:
            servers[hears].live.load(issue(new, ("kecs-injector.kecs-system.svc",), NOW))
        assert [call(server, bundle) for server in servers] == [b"ok", b"ok"]
    for late in (100.0, 200.0):
        for number in (0, 1):
            planned = plan(bundle, wanted[number], unwanted[number], late)
            bundle, unwanted[number] = planned.pem, dict(planned.unwanted)
    assert bundle == certificate_pem(new.root)
    assert [call(server, bundle) for server in servers] == [b"ok", b"ok"]
