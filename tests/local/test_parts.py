"""The smaller parts: diagnoses, counters, resolv.conf, programs, run directories, channels, published ports."""

import errno
import json
import os
import socket
import stat
from pathlib import Path

import pytest

from kecs.core.errors import MachineError, UsageError
from kecs.local import channel, counters, processes, publish, resolver, rundir
from kecs.local.diagnosis import Facts, Step, explain
from kecs.local.options import Publish
from kecs.local.rules import Method
from kecs.local.sockets import Sockets
from kecs.local.synhold import dials_early, stays_inside
from kecs.relay.decide import Address

# --- diagnoses


@pytest.mark.parametrize(
    ("step", "number", "facts", "message", "hint"),
    [
        pytest.param(
            Step.UNSHARE,
            errno.ENOSPC,
            Facts(max_user_namespaces=0, max_net_namespaces=900),
            "no more namespaces may be made: user.max_user_namespaces is 0",
            "sudo sysctl -w user.max_user_namespaces=15000",
            id="none allowed",
        ),
        pytest.param(
            Step.UNSHARE,
            errno.ENOSPC,
            Facts(),
            "no more namespaces may be made",
            "end other containers",
            id="exhausted",
        ),
        pytest.param(
            Step.UNSHARE,
            errno.EPERM,
            Facts(unprivileged_userns_clone=0),
            "kernel.unprivileged_userns_clone is 0",
            "sudo sysctl -w kernel.unprivileged_userns_clone=1",
            id="Debian's and Arch's switch",
        ),
        pytest.param(
            Step.UNSHARE,
            errno.EPERM,
            Facts(seccomp=True, user_namespace=False),
            "this container may not make network namespaces",
            "--cap-add SYS_ADMIN",
            id="a container's seccomp profile",
        ),
        pytest.param(Step.UNSHARE, errno.EPERM, Facts(), "no namespace may be made here", "in a chroot", id="chroot"),
        pytest.param(
            Step.UNSHARE,
            errno.EINVAL,
            Facts(),
            "has no network or user namespaces",
            "CONFIG_USER_NS",
            id="not built in",
        ),
        pytest.param(Step.UNSHARE, errno.ENOMEM, Facts(), "Cannot allocate memory", "sudo", id="anything else"),
        pytest.param(
            Step.MAPS,
            errno.EACCES,
            Facts(apparmor_restrict=1),
            "kernel.apparmor_restrict_unprivileged_userns is 1",
            "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
            id="Ubuntu: the maps are refused",
        ),
        pytest.param(
            Step.LINKS,
            errno.EPERM,
            Facts(apparmor_restrict=1),
            "AppArmor keeps users from setting up namespaces",
            "userns,",
            id="Ubuntu: the addresses are refused",
        ),
        pytest.param(
            Step.LINKS,
            errno.EPERM,
            Facts(apparmor_restrict=1, user_namespace=False, container=True),
            "this container may not",
            "--privileged",
            id="root in a container on Ubuntu",
        ),
        pytest.param(
            Step.MAPS, errno.EPERM, Facts(root=True), "neither the capabilities", "--privileged", id="a stripped root"
        ),
        pytest.param(Step.SOCKETS, errno.EMFILE, Facts(), "sockets: Too many open files", "sudo", id="a later step"),
    ],
)
def test_a_refusal_is_explained_with_its_remedy(step: Step, number: int, facts: Facts, message: str, hint: str) -> None:
    error = explain(step, number, facts)
    assert message in error.message
    assert hint in error.hint
    assert os.strerror(number) in error.message


def test_facts_are_read_from_this_machine() -> None:
    facts = Facts.read(user_namespace=True, root=False)
    assert facts.max_net_namespaces is not None


# --- counters


def test_unserved_datagrams_are_counted_in_both_families() -> None:
    snmp = "Ip: A B\nIp: 1 2\nUdp: InDatagrams NoPorts InErrors\nUdp: 9 3 0\n"
    assert counters.udp_unserved(snmp, "Ip6InReceives 4\nUdp6NoPorts                    \t2\n") == 5
    assert counters.notes(snmp, "") == (
        "3 UDP datagrams were not delivered: only TCP and DNS leave the namespace of a run",
    )


@pytest.mark.parametrize("snmp", ["", "Udp:", "Udp: NoPorts\nUdp: many\n", "Udp: NoPorts\nUdp: 0\n"])
def test_counters_that_say_nothing_are_no_note(snmp: str) -> None:
    assert counters.notes(snmp, "") == ()


# --- resolv.conf


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        pytest.param("", "nameserver 198.18.0.1\noptions edns0\n", id="empty"),
        pytest.param(
            "# c\nnameserver 8.8.8.8\nsearch a.example b.example\noptions use-vc ndots:5 timeout:1\n",
            "nameserver 198.18.0.1\nsearch a.example b.example\noptions edns0 ndots:5\n",
            id="search list and ndots stay, servers and transport do not",
        ),
    ],
)
def test_resolv_conf(host: str, expected: str) -> None:
    assert resolver.resolv_conf(host, "198.18.0.1") == expected


# --- programs


def test_a_program_is_found_as_execvp_would(tmp_path: Path) -> None:
    program = tmp_path / "tool"
    program.write_text("")
    program.chmod(0o755)
    assert processes.find_program("tool", path=str(tmp_path), cwd="/") == str(program)
    assert processes.find_program("./tool", path="", cwd=str(tmp_path)) == "./tool"
    assert processes.find_program("sh", path=None, cwd="/").endswith("/sh")


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [
        pytest.param("tool", 127, "`tool` is not on PATH", id="only in the current directory"),
        pytest.param("./missing", 127, "`./missing` does not exist", id="a path to nothing"),
        pytest.param("./tool/x", 127, "`./tool/x` does not exist", id="a path through a file"),
        pytest.param("./tool", 126, "Permission denied", id="not executable"),
        pytest.param(".", 127, "`.` is not on PATH", id="a dot"),
        pytest.param("./", 126, "`./` is a directory", id="a directory"),
        pytest.param("", 127, "`` is not on PATH", id="an empty word"),
    ],
)
def test_a_program_that_can_not_be_run(tmp_path: Path, name: str, code: int, message: str) -> None:
    (tmp_path / "tool").write_text("")
    with pytest.raises(UsageError) as error:
        processes.find_program(name, path="/nonexistent", cwd=str(tmp_path))
    assert (error.value.exit_code, message in error.value.message, bool(error.value.hint)) == (code, True, True)


# --- run directories


def test_a_run_directory_is_private_and_goes_with_the_run(tmp_path: Path) -> None:
    parent = tmp_path / "kecs"
    with rundir.run_directory(parent) as first, rundir.run_directory(parent) as second:
        assert first != second
        assert stat.S_IMODE(first.stat().st_mode) == stat.S_IMODE(parent.stat().st_mode) == 0o700
        assert {first.parent, second.parent} == {parent}
    assert not first.exists()
    assert not second.exists()


def test_what_killed_runs_left_is_removed_and_the_living_are_not(tmp_path: Path) -> None:
    parent = tmp_path / "kecs"
    with rundir.run_directory(parent) as living:
        (living / "file").write_text("")
        stale = parent / "run-stale"
        stale.mkdir()
        (stale / "lock").touch()
        (stale / "key.pem").touch()
        with rundir.run_directory(parent):
            assert not stale.exists()
            assert (living / "file").exists()


def test_a_directory_that_others_can_read_is_refused(tmp_path: Path) -> None:
    parent = tmp_path / "kecs"
    parent.mkdir(mode=0o755)
    parent.chmod(0o755)
    with pytest.raises(MachineError, match="is not private") as error, rundir.run_directory(parent):
        pass
    assert str(parent) in error.value.hint


def test_a_place_that_can_not_be_written_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(MachineError, match="can't be made"), rundir.run_directory(file / "kecs"):
        pass


def test_the_place_of_run_directories(tmp_path: Path) -> None:
    assert rundir.base({"XDG_RUNTIME_DIR": str(tmp_path)}) == tmp_path / "kecs"
    for environment in ({}, {"XDG_RUNTIME_DIR": str(tmp_path / "missing")}):
        assert rundir.base(environment).name == f"kecs-{os.geteuid()}"


# --- channels and sockets


def test_a_channel_carries_large_messages_and_descriptors() -> None:
    left, right = socket.socketpair()
    read, write = os.pipe()
    with left, right:
        left.settimeout(10)
        channel.send(left, {"odd": "\udcff", "n": 1}, [write])
        os.close(write)
        received = channel.receive(right)
        assert received is not None
        message, descriptors = received
        assert message == {"odd": "\udcff", "n": 1}
        assert not os.get_inheritable(descriptors[0])
        os.write(descriptors[0], b"through")
        os.close(descriptors[0])
        assert os.read(read, 10) == b"through"
        left.close()
        assert channel.receive(right) is None
    os.close(read)


def test_a_message_that_is_cut_is_an_error() -> None:
    left, right = socket.socketpair()
    with left, right:
        left.sendall(b"\x09\0\0\0{")
        left.close()
        with pytest.raises(EOFError, match="8 bytes before the end"):
            channel.receive(right)


@pytest.mark.parametrize("queue", [True, False], ids=["with queue", "without"])
@pytest.mark.parametrize("dns", [0, 2])
def test_sockets_are_adopted_in_place(dns: int, *, queue: bool) -> None:
    made = [socket.socket() for _ in range(3 + dns + queue)]
    numbers = [os.dup(one.fileno()) for one in made]
    sockets = Sockets.build(numbers, listeners=2, dns=dns, method=Method.NFT.value)
    described = json.loads(sockets.describe())
    assert described["descriptors"] == list(sockets.descriptors()) == numbers
    described["descriptors"] = [os.dup(one) for one in numbers]
    adopted = Sockets.adopt(json.dumps(described))
    assert (len(adopted.listeners), len(adopted.dns), adopted.queue is not None) == (2, dns, queue)
    assert adopted.helper.fileno() == described["descriptors"][0]
    for one in (sockets, adopted):
        one.close()
    for plain in made:
        plain.close()


# --- what may be dialled


@pytest.mark.parametrize(
    ("host", "port", "expected"),
    [
        pytest.param("127.0.0.1", 443, True, id="loopback"),
        pytest.param("10.1.2.3", 443, True, id="private"),
        pytest.param("52.216.1.1", 443, False, id="global, TLS"),
        pytest.param("2600:1f00::1", 80, False, id="global, HTTP"),
        pytest.param("52.216.1.1", 5432, True, id="global, another port"),
        pytest.param("169.254.169.254", 80, False, id="metadata"),
        pytest.param("169.254.170.2", 8080, False, id="metadata on any port"),
        pytest.param("fd00:ec2::254", 80, False, id="metadata, IPv6"),
        pytest.param("198.19.0.9", 8443, False, id="given out for an AWS name"),
        pytest.param("198.19.0.10", 8443, True, id="another of that range"),
        pytest.param("8.8.8.8", 53, False, id="DNS over TCP"),
    ],
)
def test_what_is_dialled_before_the_client_speaks(host: str, port: int, *, expected: bool) -> None:
    assert dials_early(Address(host, port), allocated=lambda one: one == "198.19.0.9") is expected


@pytest.mark.parametrize(
    ("host", "expected"), [("127.0.0.9", True), ("::1", True), ("198.18.0.1", True), ("192.0.2.1", False)]
)
def test_where_inside_comes_first(host: str, *, expected: bool) -> None:
    assert stays_inside(Address(host, 80)) is expected


@pytest.mark.parametrize(
    ("host", "port", "expected"),
    [
        pytest.param("127.0.0.1", 8080, True, id="published under its own number"),
        pytest.param("::1", 8080, True, id="IPv6"),
        pytest.param("127.0.0.1", 9000, False, id="published under another"),
        pytest.param("10.0.0.1", 8080, False, id="not loopback"),
        pytest.param("127.0.0.1", 80, False, id="not published"),
    ],
)
def test_a_dial_that_would_come_back(host: str, port: int, *, expected: bool) -> None:
    published = (Publish(host_port=8080, inside_port=8080), Publish(host_port=9000, inside_port=80))
    assert publish.is_own(Address(host, port), published) is expected


def test_a_busy_port_is_refused_and_nothing_stays_bound() -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as busy:
        port = busy.getsockname()[1]
        with pytest.raises(UsageError, match=f"port {port} of the host is busy") as error:
            publish.bind(Publish(host_port=port, inside_port=80))
        assert error.value.hint == f"choose another one on the host: --publish {port + 1}:80"
        socket.create_server(("127.0.0.1", port)).close()
