"""What a program finds in the namespace: real ones, made as root and as a user without privileges."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
from namespace_lab import DNS_ANSWER, Lab, free_port, lab, server, users

from kecs.local.rules import Method

CONNECT = """
import socket, sys
try:
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), 15) as s:
        s.sendall(b"ping")
        s.shutdown(socket.SHUT_WR)
        print(b"".join(iter(lambda: s.recv(65536), b"")).decode())
except OSError as error:
    print(type(error).__name__)
"""

INSIDE_SERVER = """
import socket, sys, threading
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
def serve():
    client, _ = listener.accept()
    with client:
        client.sendall(b"inside")
threading.Thread(target=serve).start()
with socket.create_connection((sys.argv[2], int(sys.argv[1])), 15) as s:
    print(s.recv(100).decode())
"""


@pytest.fixture(params=users(), ids=lambda user: "root" if user == 0 else "user")
def here(request: pytest.FixtureRequest) -> Iterator[Lab]:
    with lab(request.param) as one:
        yield one


def echo(client: socket.socket) -> None:
    while data := client.recv(65536):
        client.sendall(data)


def greet(client: socket.socket) -> None:
    client.sendall(b"220 hello")
    client.shutdown(socket.SHUT_WR)
    client.recv(100)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_server_on_the_hosts_loopback_is_reached(here: Lab, host: str) -> None:
    with server(echo, host) as port:
        assert here.python(CONNECT, host, str(port)) == "ping"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_refused_port_is_refused(here: Lab, host: str) -> None:
    assert here.python(CONNECT, host, str(free_port())) == "ConnectionRefusedError"


@pytest.mark.parametrize("host", ["198.18.0.1", "fd00:6b65:6373::1"])
def test_the_namespaces_own_address_is_refused_where_nobody_listens(here: Lab, host: str) -> None:
    assert here.python(CONNECT, host, str(free_port())) == "ConnectionRefusedError"


def test_a_server_that_speaks_first_is_heard(here: Lab) -> None:
    program = (
        "import socket, sys; print(socket.create_connection(('127.0.0.1', int(sys.argv[1])), 15).recv(100).decode())"
    )
    with server(greet) as port:
        assert here.python(program, str(port)) == "220 hello"


def test_a_server_inside_comes_before_the_hosts(here: Lab) -> None:
    with server(greet) as port:
        assert here.python(INSIDE_SERVER, str(port), "127.0.0.1") == "inside"


@pytest.mark.parametrize(
    "address",
    [
        ("169.254.169.254", 80),
        ("169.254.170.2", 80),
        ("169.254.170.23", 80),
        ("fd00:ec2::254", 80),
        ("fd00:ec2::23", 80),
    ],
    ids=lambda address: address[0],
)
def test_metadata_addresses_arrive_with_their_original_destination(address: tuple[str, int]) -> None:
    with lab(users()[-1]) as here:
        assert here.python(CONNECT, address[0], str(address[1])) == f"{address[0]} {address[1]}"


QUERY = """
import dns.message, dns.query, sys
for server in sys.argv[1:]:
    print(dns.query.udp(dns.message.make_query("s3.amazonaws.com", "A"), server, timeout=15).answer[0][0])
"""


def test_dns_is_answered_for_every_name_server(here: Lab) -> None:
    servers = ["198.18.0.1", "127.0.0.53", "8.8.8.8", "::1", "2001:4860:4860::8888"]
    assert here.python(QUERY, *servers).split() == [DNS_ANSWER] * len(servers)


def test_names_resolve_through_the_c_library(here: Lab) -> None:
    program = "import socket; print(socket.getaddrinfo('s3.amazonaws.com', 443, socket.AF_INET)[0][4][0])"
    assert here.python(program) == DNS_ANSWER


def test_user_groups_and_directory_are_kept(here: Lab) -> None:
    program = "import os; print(os.getuid(), os.geteuid(), os.getgid(), os.getcwd())"
    gid = here.user if here.user != os.geteuid() else os.getegid()
    assert here.python(program) == f"{here.user} {here.user} {gid} {here.directory}"


def test_a_user_has_no_capabilities_inside() -> None:
    user = users()[-1]
    with lab(user) as here:
        program = "print(next(line for line in open('/proc/self/status') if line.startswith('CapEff')))"
        assert int(here.python(program).split()[1], 16) == 0 or user == 0


def test_udp_that_nobody_serves_is_refused_and_noted(here: Lab) -> None:
    program = """if True:
        import socket
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.connect(("192.0.2.77", 123))
            s.send(b"time?")
            try: s.recv(10)
            except ConnectionRefusedError: pass
    """
    report = here.report(sys.executable, "-c", program)
    assert report["notes"] == ["1 UDP datagram was not delivered: only TCP and DNS leave the namespace of a run"]


def test_descriptors_that_the_caller_passes_on_reach_the_command(here: Lab) -> None:
    read, write = os.pipe()
    os.set_inheritable(write, True)  # noqa: FBT003 - the signature is positional
    with os.fdopen(read, "rb") as reader:
        argv = here.argv(sys.executable, "-c", f"import os; os.write({write}, b'passed on')")
        subprocess.run(argv, env=here.environment(), pass_fds=[write], check=True, timeout=60)
        os.close(write)
        assert reader.read() == b"passed on"


METHODS = [method for method in Method if method is not Method.NFT]  # this one depends on the kernel


@pytest.mark.parametrize("user", users(), ids=lambda user: "root" if user == 0 else "user")
@pytest.mark.parametrize("method", METHODS)
def test_every_way_to_redirect_reaches_outside_and_inside(method: Method, user: int) -> None:
    with lab(user, method) as here, server(echo) as port:
        with server(echo, "::1") as port6:
            assert here.python(CONNECT, "127.0.0.1", str(port)) == "ping"
            assert here.python(CONNECT, "::1", str(port6)) == "ping"
        assert here.python(INSIDE_SERVER, str(free_port()), "127.0.0.1") == "inside"
        assert here.python(CONNECT, "169.254.169.254", "80") == "169.254.169.254 80"
        if method.holds:
            assert here.python(CONNECT, "127.0.0.1", str(free_port())) == "ConnectionRefusedError"


def test_no_way_to_redirect_is_an_error_that_names_each() -> None:
    with lab(users()[0], Method.IPTABLES) as here:
        ran = here.run("true", PATH="/nonexistent")
        assert ran.returncode == 1
        assert "iptables" in ran.stderr
        assert "hint: the kernel needs nftables" in ran.stderr


def outside(
    script: str, here: Lab, *command: str, options: list[str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run in a network (and user) namespace of its own, prepared by a shell script."""
    argv = ["unshare", "-rn", "sh", "-ec", f'{script}\nexec "$@"', "sh", *here.argv(*command, options=options or [])]
    environment = here.environment()
    return subprocess.run(argv, env=environment, capture_output=True, text=True, check=False, timeout=60)


def test_without_an_ipv6_route_outside_there_is_none_inside_but_loopback_and_metadata() -> None:
    program = f"""if True:
        import socket, sys
        {"; ".join(CONNECT.splitlines()[1:2])}
        for host in ("2001:db8::1", "fd00:ec2::254"):
            try:
                with socket.create_connection((host, 80), 15) as s:
                    s.shutdown(socket.SHUT_WR); print(s.recv(100).decode().strip())
            except OSError as error: print(error.strerror)
        listener = socket.create_server(("::1", 8080), family=socket.AF_INET6)
        socket.create_connection(("::1", 8080)).close(); print("::1")
    """
    with lab(os.geteuid()) as here:
        ran = outside("ip link set lo up", here, sys.executable, "-c", program)
    assert ran.stdout.splitlines() == ["Network is unreachable", "fd00:ec2::254 80", "::1"], ran.stderr


@pytest.mark.parametrize("limit", ["max_net_namespaces", "max_mnt_namespaces"])
def test_an_exhausted_limit_is_named_with_its_remedy(limit: str) -> None:
    with lab(os.geteuid()) as here:
        ran = outside(f"echo 0 > /proc/sys/user/{limit}", here, "true")
    assert ran.returncode == 1
    assert ran.stderr.startswith(f"error: no more namespaces may be made: user.{limit} is 0")
    assert f"hint: `sudo sysctl -w user.{limit}=15000`" in ran.stderr


def test_root_that_was_stripped_of_its_capabilities_gets_them_from_a_user_namespace() -> None:
    strip = 'ip link set lo up; exec setpriv --bounding-set -all,+setfcap --inh-caps -all "$@"'
    with lab(os.geteuid()) as here:
        ran = outside(strip, here, "sh", "-c", "id -u; ip link show lo | grep -c UP")
    assert (ran.stdout, ran.returncode) == ("0\n1\n", 0), ran.stderr


def test_root_without_any_capability_is_told_what_it_lacks() -> None:
    strip = 'exec setpriv --bounding-set -all --inh-caps -all "$@"'
    with lab(os.geteuid()) as here:
        ran = outside(strip, here, "true")
    assert ran.returncode == 1
    assert ran.stderr.startswith("error: this root has neither the capabilities to make a network namespace")


def test_the_hosts_own_address_reaches_a_server_inside_and_else_the_hosts() -> None:
    script = "ip link set lo up; ip address add 192.0.2.55/32 dev lo"
    program = INSIDE_SERVER.replace('("127.0.0.1", int', '("0.0.0.0", int')
    with lab(os.geteuid()) as here:
        inside = outside(script, here, sys.executable, "-c", program, "8080", "192.0.2.55")
        refused = outside(script, here, sys.executable, "-c", CONNECT, "192.0.2.55", "8080")
    assert inside.stdout.strip() == "inside", inside.stderr
    assert refused.stdout.strip() == "ConnectionRefusedError", refused.stderr


def test_an_address_elsewhere_never_reaches_a_server_inside() -> None:
    program = INSIDE_SERVER.replace('("127.0.0.1", int', '("0.0.0.0", int').replace(
        "threading.Thread(target=serve)", "threading.Thread(target=serve, daemon=True)"
    )
    with lab(os.geteuid()) as here:
        ran = outside("ip link set lo up", here, sys.executable, "-c", program, "8080", "192.0.2.55")
    assert ran.returncode == 1
    assert "ConnectionRefusedError" in ran.stderr


def test_a_server_that_does_not_answer_at_first_is_waited_for(here: Lab) -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen(0)
        port = busy.getsockname()[1]
        # a full accept queue drops SYNs, as a distant host that is down would
        fillers = [socket.socket() for _ in range(2)]
        for one in fillers:
            one.settimeout(0)
            one.connect_ex(("127.0.0.1", port))
        program = """if True:
            import socket, sys
            with socket.socket() as s:
                s.settimeout(1.5)
                try: s.connect(("127.0.0.1", int(sys.argv[1])))
                except TimeoutError: print("waiting", flush=True)
            sys.stdin.readline()
            print(socket.create_connection(("127.0.0.1", int(sys.argv[1])), 15).recv(100).decode())
        """
        with here.started(sys.executable, "-c", program, str(port)) as run:
            assert run.stdout is not None
            assert run.stdout.readline() == "waiting\n"
            for _ in fillers[:1]:
                busy.accept()[0].close()
            assert run.stdin is not None
            run.stdin.write("\n")
            run.stdin.flush()
            busy.settimeout(20)
            answered = False
            while not answered:
                client, _address = busy.accept()
                with client:
                    client.settimeout(20)
                    answered = bool(client.send(b"hello")) and run.poll() is None
                    if run.stdout.readline() == "hello\n":
                        break
        for one in fillers:
            one.close()
