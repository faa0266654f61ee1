"""Where a connection wanted to go, asked of a real kernel with real REDIRECT rules, in a namespace of its own."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from kecs.relay.decide import Address
from kecs.relay.original import client_of, from_redirect

_PATIENCE_S = 60
_RULES = "*nat\n-A OUTPUT -p tcp --dport {port} -j REDIRECT --to-ports {to}\nCOMMIT\n"
V4, V6 = Address("192.0.2.7", 443), Address("2001:db8::7", 443)


def inside() -> None:
    """Redirect both families to one listener, connect, and print what `from_redirect` says of each."""
    for command in (
        "ip link set lo up",
        "ip address add 10.9.9.1/32 dev lo",
        "ip address add 2001:db8:9::1/128 dev lo nodad",
        "ip route add default dev lo src 10.9.9.1",
        "ip -6 route add default dev lo",
    ):
        subprocess.run(command.split(), check=True)
    found = []
    for bound, family in (("0.0.0.0", socket.AF_INET), ("::1", socket.AF_INET6), ("::", socket.AF_INET6)):
        dual = bound == "::"
        with socket.create_server((bound, 0), family=family, dualstack_ipv6=dual) as listener:
            to = listener.getsockname()[1]
            for tables in ("iptables-restore", "ip6tables-restore"):
                subprocess.run([tables], input=_RULES.format(port=443, to=to).encode(), check=True)
            for destination in (V4, V6) if dual else (V4,) if family == socket.AF_INET else (V6,):
                with socket.create_connection(destination, _PATIENCE_S) as client:
                    accepted, _ = listener.accept()
                    with accepted:
                        here = client_of(accepted) == Address(*client.getsockname()[:2])
                        found.append([*from_redirect(accepted), here])
    sys.stdout.write(json.dumps(found))


def test_both_families_and_a_listener_for_both() -> None:
    if os.geteuid() != 0:
        pytest.fail("this needs a namespace's network, as root")
    done = subprocess.run(
        ["unshare", "--net", sys.executable, str(Path(__file__)), "inside"],
        capture_output=True,
        check=False,
        timeout=_PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout) == [[*V4, True], [*V6, True], [*V4, True], [*V6, True]]


def test_what_was_not_redirected_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            try:
                found = from_redirect(accepted)
            except OSError:
                return
            assert found == Address(*listener.getsockname())  # conntrack knows it, and nothing was replaced


if __name__ == "__main__" and sys.argv[1:] == ["inside"]:
    inside()
