"""Who reaches whom once the rules are in place: every user, port and family, on both back ends."""

from collections.abc import Iterator, Mapping
from itertools import product

import pytest
from rules_lab import LOOPBACK, METADATA, POD, SITE, Call, namespace, pod_and_world

from kecs.core.names import PROXY_GID, PROXY_UID

APP, ADMIN, PROXY = (1000, 1000), (0, 0), (PROXY_UID, PROXY_GID)
UID_ALONE, GID_ALONE = (PROXY_UID, 1000), (1000, PROXY_GID)
CAPTURE = {"true": True, "false": False}
EVERYBODY = {
    "the application": APP,
    "root": ADMIN,
    "the proxy": PROXY,
    "the proxy's uid alone": UID_ALONE,
    "the proxy's gid alone": GID_ALONE,
}

type Row = tuple[Call, str]


def expected(who: tuple[int, int], protocol: str, address: str, port: int, *, capture: bool) -> str:
    """State the rules once more, from the outside.

    | who      | protocol | destination        | reaches                          |
    |----------|----------|--------------------|----------------------------------|
    | anybody  | any      | loopback, pod's IP | what listens there               |
    | proxy    | any      | elsewhere          | what listens there               |
    | others   | TCP      | 443, 80            | the relay, with what was dialled |
    | others   | UDP      | 443                | nothing, refused at once         |
    | others   | any      | 53                 | the forwarder, if it captures    |
    | others   | any      | other ports        | what listens there               |
    """
    if address in {*POD.values(), *LOOPBACK.values()}:
        return "pod"
    if who == PROXY:
        return "world"
    if protocol == "tcp" and port in {443, 80}:
        return f"relay {address} {port}"
    if (protocol, port) == ("udp", 443):
        return "refused"
    return "dns" if port == 53 and capture else "world"


def table(*, capture: bool) -> dict[str, Row]:
    rows: dict[str, Row] = {}
    for (name, who), family in product(EVERYBODY.items(), (4, 6)):
        far = [*product(("tcp", "udp"), (SITE[family],), (443, 80, 53, 8443))]
        near = [*product(("tcp", "udp"), (POD[family], LOOPBACK[family]), (443,))]
        metadata = [*product(("tcp",), METADATA[family], (80, 443, 8443))]
        for protocol, address, port in far + near + metadata:
            call = Call(uid=who[0], gid=who[1], protocol=protocol, address=address, port=port)
            answer = expected(who, protocol, address, port, capture=capture)
            rows[f"{name}, {protocol} {address} {port}"] = (call, answer)
    return rows


@pytest.fixture(scope="module", params=[(b, c) for b in ("nft", "legacy") for c in CAPTURE], ids="-".join)
def traffic(request: pytest.FixtureRequest) -> Iterator[tuple[Mapping[str, Row], Mapping[str, str]]]:
    backend, capture = request.param
    rows = table(capture=CAPTURE[capture])
    with pod_and_world() as pod:
        pod.init("--rules-only", KECS_IPTABLES_BACKEND=backend, KECS_DNS_CAPTURE=capture)
        answers = pod.dial([call for call, _ in rows.values()])
        yield rows, dict(zip(rows, answers, strict=True))


@pytest.mark.parametrize("name", EVERYBODY)
def test_each_user_reaches_what_the_table_says(traffic: tuple[Mapping[str, Row], Mapping[str, str]], name: str) -> None:
    rows, answers = traffic
    mine = {key: answer for key, (_, answer) in rows.items() if key.startswith(f"{name}, ")}
    assert len(mine) == 2 * 12 + 3 * 5
    assert {key: answers[key] for key in mine} == mine


@pytest.mark.parametrize("backend", ["nft", "legacy"])
def test_what_is_excluded_goes_where_it_was_dialled(backend: str) -> None:
    """Networks with all their ports, for HTTP/3 too; never the metadata, which is the node's own."""
    rows = {
        (protocol, address, port): answer
        for family in (4, 6)
        for protocol, address, port, answer in (
            ("tcp", SITE[family], 443, "world"),
            ("tcp", SITE[family], 80, "world"),
            ("udp", SITE[family], 443, "world"),
            ("tcp", METADATA[family][0], 80, f"relay {METADATA[family][0]} 80"),
            ("tcp", METADATA[family][0], 443, "world"),
            ("udp", SITE[family], 53, "dns"),
        )
    }
    calls = [Call(uid=APP[0], gid=APP[1], protocol=p, address=a, port=port) for p, a, port in rows]
    networks = "203.0.113.0/24,169.254.0.0/16,2001:db8::/32,fd00:ec2::/32"
    with pod_and_world() as pod:
        pod.init(
            "--rules-only",
            KECS_IPTABLES_BACKEND=backend,
            KECS_EXCLUDE_CIDRS=networks,
            KECS_DNS_CAPTURE="true",
        )
        assert dict(zip(rows, pod.dial(calls), strict=True)) == rows


def test_a_port_that_is_excluded_is_excluded_alone() -> None:
    rows = {(SITE[family], port): answer for family in (4, 6) for port, answer in ((80, "world"), (443, "relay"))}
    rows |= {(METADATA[family][0], 80): "relay" for family in (4, 6)}
    calls = [Call(uid=APP[0], gid=APP[1], protocol="tcp", address=a, port=port) for a, port in rows]
    with pod_and_world() as pod:
        pod.init("--rules-only", KECS_EXCLUDE_PORTS="80")
        answers = [answer.partition(" ")[0] for answer in pod.dial(calls)]
        assert dict(zip(rows, answers, strict=True)) == rows


@pytest.mark.parametrize("backend", ["nft", "legacy"])
def test_without_a_relay_calls_are_refused_and_never_leave(backend: str) -> None:
    calls = [
        Call(uid=1000, gid=1000, protocol="tcp", address=SITE[family], port=port)
        for family in (4, 6)
        for port in (443, 80)
    ]
    with namespace() as pod:
        pod.ip("link add eth0 type veth peer name cable\nlink set cable up\n")
        pod.ip("addr add 10.77.0.2/24 dev eth0\naddr add fd77::2/64 dev eth0 nodad\n")
        pod.ip("link set eth0 up\nroute add default dev eth0\nroute add ::/0 dev eth0\n")
        pod.init("--rules-only", KECS_IPTABLES_BACKEND=backend)
        assert pod.dial(calls) == ["refused"] * 4


@pytest.mark.parametrize("backend", ["nft", "legacy"])
@pytest.mark.parametrize("family", [4, 6])
def test_the_forwarder_may_reuse_a_source_port_of_the_application(backend: str, family: int) -> None:
    """What conntrack remembers of the application's lookup would send the forwarder's own back to itself."""
    users = (APP, PROXY, APP, PROXY)
    calls = [Call(uid=uid, gid=gid, protocol="udp", address=SITE[family], port=53, source=40000) for uid, gid in users]
    with pod_and_world() as pod:
        pod.init("--rules-only", KECS_IPTABLES_BACKEND=backend, KECS_DNS_CAPTURE="true")
        assert pod.dial(calls) == ["dns", "world", "dns", "world"]
