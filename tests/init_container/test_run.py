"""The program in namespaces of its own: applied, applied again, cleaned up; refused with a reason and a hint."""

import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from certs_lab import CLEAN, PERMITTED
from rules_lab import Namespace, namespace

from kecs.certs.authority import certificate_pem, issue_root
from kecs.init_container.config import IPv6, Redirect
from kecs.init_container.rules import Family, wanted
from kecs.init_container.run import families

BACKENDS = ("nft", "legacy")
BASES = ("iptables", "ip6tables")
FOREIGN = """\
*nat
:MESH_OUTPUT - [0:0]
-A OUTPUT -p tcp -m comment --comment "not KECS_OUTPUT" -j MESH_OUTPUT
-A MESH_OUTPUT -p tcp -m tcp --dport 15001 -j RETURN
COMMIT
*filter
-A OUTPUT -p udp -m udp --dport 443 -m comment --comment "say \\"no\\" -j KECS_GUARD" -j DROP
COMMIT
"""
SETPRIV = shutil.which("setpriv") or "setpriv"


@pytest.fixture
def pod() -> Iterator[Namespace]:
    with namespace() as made:
        yield made


def bare(rules: str) -> list[str]:
    """Leave out what is no rule: empty tables and built-in chains, which stay once a table was used."""
    return [line for line in rules.splitlines() if line.startswith("-A ") or line.endswith(" - [0:0]")]


def add_foreign(pod: Namespace, backend: str) -> str:
    for base in BASES:
        pod.run(f"{base}-{backend}-restore", "--noflush", stdin=FOREIGN)
    return pod.rules(backend)


@pytest.mark.parametrize("capture", ["false", "true"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_applying_twice_changes_nothing(pod: Namespace, backend: str, capture: str) -> None:
    add_foreign(pod, backend)
    environ = {"KECS_IPTABLES_BACKEND": backend, "KECS_DNS_CAPTURE": capture}
    said = pod.init("--rules-only", **environ)
    first = pod.rules(backend)
    assert said == f"rules applied by {backend} for IPv4 and IPv6\n{pod.init('--dry-run', **environ)}"
    pod.init("--rules-only", **environ)
    assert pod.rules(backend) == first
    assert first.count("-j KECS_OUTPUT\n") == 2
    assert "PROBE" not in first


@pytest.mark.parametrize("backend", BACKENDS)
def test_cleaning_up_leaves_foreign_rules_byte_identical(pod: Namespace, backend: str) -> None:
    before = add_foreign(pod, backend)
    pod.init("--rules-only", KECS_IPTABLES_BACKEND=backend)
    assert pod.rules(backend) != before
    pod.init("--cleanup")
    assert pod.rules(backend) == before
    pod.init("--cleanup")
    assert pod.rules(backend) == before


@pytest.mark.parametrize("backend", BACKENDS)
def test_cleaning_up_an_empty_namespace_leaves_no_rule(pod: Namespace, backend: str) -> None:
    pod.init("--rules-only", KECS_IPTABLES_BACKEND=backend, KECS_DNS_CAPTURE="true")
    pod.init("--cleanup")
    assert bare(pod.rules(backend)) == []


def test_less_is_applied_over_more(pod: Namespace) -> None:
    pod.init("--rules-only", KECS_DNS_CAPTURE="true")
    pod.init("--rules-only", KECS_DNS_CAPTURE="false")
    with namespace() as fresh:
        fresh.init("--rules-only")
        assert bare(pod.rules("nft")) == bare(fresh.rules("nft"))


RESIDUE = """\
*nat
:KECS_OUTPUT - [0:0]
:KECS_OLD - [0:0]
:KECSPROBE_OUTPUT - [0:0]
-A KECSPROBE_OUTPUT -p tcp -j RETURN
-A OUTPUT -p tcp -m tcp --dport 8080 -j KECS_OLD
-A OUTPUT -p tcp -m comment --comment "kecs: redirect" -j KECS_OUTPUT
-A KECS_OUTPUT -p tcp -g KECS_OLD
-A KECS_OLD -p tcp -j REDIRECT --to-ports 15001
COMMIT
*mangle
:KECS_MARK - [0:0]
-A PREROUTING -m comment --comment "kecs: an older idea" -j KECS_MARK
COMMIT
"""


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_an_older_version_left_is_replaced_and_then_removed(pod: Namespace, backend: str) -> None:
    foreign = bare(add_foreign(pod, backend))
    for base in BASES:
        pod.run(f"{base}-{backend}-restore", "--noflush", stdin=RESIDUE)
    pod.init("--rules-only", "--backend", backend)
    with namespace() as fresh:
        add_foreign(fresh, backend)
        fresh.init("--rules-only", "--backend", backend)
        assert bare(pod.rules(backend)) == bare(fresh.rules(backend))
    pod.init("--cleanup")
    assert bare(pod.rules(backend)) == foreign


def test_switching_back_ends_leaves_rules_in_one_only(pod: Namespace) -> None:
    pod.init("--rules-only", KECS_IPTABLES_BACKEND="legacy")
    pod.init("--rules-only", KECS_IPTABLES_BACKEND="nft")
    assert bare(pod.rules("legacy")) == []
    assert bare(pod.rules("nft"))


def test_a_flag_goes_over_the_environment(pod: Namespace) -> None:
    assert "by legacy" in pod.init("--rules-only", "--backend", "legacy", KECS_IPTABLES_BACKEND="nft")


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(("--backend", "bpf"), id="an unknown back end"),
        pytest.param(("--nft",), id="an unknown flag"),
        pytest.param(("--dry-run", "--cleanup"), id="two deeds at once"),
    ],
)
def test_a_wrong_command_line_is_refused(pod: Namespace, arguments: tuple[str, ...]) -> None:
    done = pod.try_init(*arguments)
    assert done.returncode == 2
    assert "error: " in done.stderr
    assert pod.rules("nft") == pod.rules("legacy") == ""


def test_an_unused_namespace_gets_nft(pod: Namespace) -> None:
    assert "by nft" in pod.init("--rules-only")
    assert pod.rules("legacy") == ""


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_back_end_in_use_is_preferred(pod: Namespace, backend: str) -> None:
    add_foreign(pod, backend)
    assert f"by {backend}" in pod.init("--rules-only")
    assert f"by {backend}" in pod.init("--rules-only")


def test_our_own_rules_are_no_reason_to_stay_with_a_back_end(pod: Namespace) -> None:
    pod.init("--rules-only", KECS_IPTABLES_BACKEND="legacy")
    assert "by nft" in pod.init("--rules-only")


def test_where_nft_is_refused_legacy_is_taken(pod: Namespace, tmp_path: Path) -> None:
    path = tools(tmp_path, nft='echo "Could not fetch rule set generation id" >&2; exit 3')
    assert "by legacy" in pod.init("--rules-only", PATH=path)


def tools(directory: Path, *, nft: str) -> str:
    """Make a PATH of legacy tools that work and nft ones that run a script; empty for none."""
    for base in BASES:
        for verb in ("save", "restore"):
            name = f"{base}-legacy-{verb}"
            (directory / name).symlink_to(shutil.which(name) or pytest.fail(f"{name} is not installed"))
            if nft:
                (directory / f"{base}-nft-{verb}").write_text(f"#!/bin/sh\n{nft}\n", encoding="utf-8")
                (directory / f"{base}-nft-{verb}").chmod(0o755)
    return str(directory)


def test_where_nft_is_not_installed_legacy_is_taken(pod: Namespace, tmp_path: Path) -> None:
    assert "by legacy" in pod.init("--rules-only", PATH=tools(tmp_path, nft=""))


@pytest.mark.parametrize(
    ("nft", "complaint", "hint"),
    [
        pytest.param("", "iptables-nft-restore is not installed", "install iptables", id="not installed"),
        pytest.param("echo Operation not permitted >&2; exit 4", "not permitted", "NET_ADMIN", id="not permitted"),
        pytest.param("echo Permission denied >&2; exit 4", "denied", "as root", id="not root"),
        pytest.param("echo Another app holds the xtables lock >&2; exit 4", "lock", "end it", id="locked"),
        pytest.param("exit 2", "exit code 2", "KECS_IPTABLES_BACKEND=legacy", id="silent"),
        pytest.param("echo No chain/target/match >&2; exit 2", "No chain", "xt_REDIRECT", id="kernel lacks it"),
    ],
)
def test_a_refusal_says_who_refused_and_what_to_do(
    pod: Namespace, tmp_path: Path, nft: str, complaint: str, hint: str
) -> None:
    environ = {"PATH": tools(tmp_path, nft=nft), "KECS_IPTABLES_BACKEND": "nft"}
    done = pod.try_init("--rules-only", **environ)
    assert done.returncode == 1
    error, _, remedy = done.stderr.partition("\n\nhint: ")
    assert error.startswith("error: iptables-nft-")
    assert complaint in error
    assert hint in remedy
    assert "Traceback" not in done.stderr


def test_when_both_refuse_both_are_said(pod: Namespace, tmp_path: Path) -> None:
    done = pod.try_init("--rules-only", PATH=str(tmp_path))
    assert "iptables-nft-restore is not installed; iptables-legacy-restore is not installed" in done.stderr


def test_without_any_privilege_one_hint_says_which(pod: Namespace) -> None:
    done = limited(pod, "", "auto")
    assert done.stderr.partition("hint: ")[2] == "the init container needs NET_ADMIN and to run as root\n"


CAPABILITIES = {"nft": ",+net_admin", "legacy": ",+net_admin,+net_raw"}


def limited(
    pod: Namespace, capabilities: str, backend: str, deed: str = "--rules-only"
) -> "subprocess.CompletedProcess[str]":
    return pod.run(
        *(SETPRIV, f"--bounding-set=-all{capabilities}", "--", sys.executable, "-m", "kecs.init_container"),
        *(deed, "--backend", backend),
        check=False,
    )


@pytest.mark.parametrize("backend", BACKENDS)
def test_these_capabilities_are_enough(pod: Namespace, backend: str) -> None:
    done = limited(pod, CAPABILITIES[backend], backend)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("backend", "capabilities", "needs"),
    [
        pytest.param("nft", ",+net_raw", "NET_ADMIN", id="nft"),
        pytest.param("legacy", ",+net_raw", "NET_ADMIN and NET_RAW", id="legacy without NET_ADMIN"),
        pytest.param("legacy", ",+net_admin", "NET_ADMIN and NET_RAW", id="legacy without NET_RAW"),
    ],
)
def test_without_them_the_hint_names_them(pod: Namespace, backend: str, capabilities: str, needs: str) -> None:
    done = limited(pod, capabilities, backend)
    assert done.returncode == 1
    assert needs in done.stderr.partition("hint: ")[2]


@pytest.mark.parametrize(
    ("backend", "capabilities"),
    [
        pytest.param("nft", "", id="nft without NET_ADMIN"),
        pytest.param("legacy", ",+net_admin", id="legacy without NET_RAW"),
    ],
)
def test_what_can_not_be_seen_is_not_said_to_be_removed(pod: Namespace, backend: str, capabilities: str) -> None:
    pod.init("--rules-only", "--backend", backend)
    before = pod.rules(backend)
    done = limited(pod, capabilities, backend, "--cleanup")
    assert done.returncode == 1
    assert "removed" not in done.stdout
    assert "NET_ADMIN" in done.stderr.partition("hint: ")[2]
    assert pod.rules(backend) == before


def test_in_a_user_namespace_rules_are_written_by_nft_and_removed(tmp_path: Path) -> None:
    """As in a pod with `hostUsers: false`. The tools run in there; the program outside, where it can be read."""
    with namespace(users=True) as pod:
        for name in (f"{b}-{backend}-{v}" for b in BASES for backend in BACKENDS for v in ("save", "restore")):
            words = shlex.join([*pod.enter, shutil.which(name) or name])
            (tmp_path / name).write_text(f'#!/bin/sh\nXTABLES_LOCKFILE=/dev/null exec {words} "$@"\n', encoding="utf-8")
            (tmp_path / name).chmod(0o755)
        outside, path = Namespace(pod.pid, "net"), str(tmp_path)
        assert "by nft" in outside.init("--rules-only", PATH=path)
        assert "--uid-owner 14566 --gid-owner 14566" in pod.run("iptables-nft-save").stdout
        assert outside.init("--cleanup", PATH=path) == "rules removed\n"
        assert bare(pod.run("iptables-nft-save").stdout) == []
        refused = outside.try_init("--rules-only", "--backend", "legacy", PATH=path)
        assert refused.returncode == 1
        assert "KECS_IPTABLES_BACKEND=nft" in refused.stderr.partition("hint: ")[2]


READ_ONLY = "mount --bind /run /run && mount -o remount,bind,ro /run && exec python -m kecs.init_container --rules-only"


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_read_only_root_file_system_does_no_harm(pod: Namespace, backend: str) -> None:
    environ = {"KECS_IPTABLES_BACKEND": backend, "PATH": f"{Path(sys.executable).parent}:{CLEAN['PATH']}"}
    done = pod.run("unshare", "--mount", "sh", "-c", READ_ONLY, environ=environ)
    assert done.stdout.splitlines()[0] == f"rules applied by {backend} for IPv4 and IPv6"


@pytest.mark.parametrize(
    ("ipv6", "in_kernel", "expected"),
    [
        pytest.param(IPv6.AUTO, True, (Family.IPV4, Family.IPV6), id="the kernel has it"),
        pytest.param(IPv6.AUTO, False, (Family.IPV4,), id="the kernel has it not"),
        pytest.param(IPv6.OFF, True, (Family.IPV4,), id="switched off"),
    ],
)
def test_rules_are_written_for(ipv6: IPv6, *, in_kernel: bool, expected: tuple[Family, ...]) -> None:
    assert families(ipv6, in_kernel=in_kernel) == expected


def test_ipv6_switched_off_writes_none(pod: Namespace) -> None:
    said = pod.init("--rules-only", KECS_IPV6="off")
    assert said.startswith("rules applied by nft for IPv4\n# IPv4\n*nat\n")
    assert "IPv6" not in said
    assert "KECS" not in pod.run("ip6tables-nft-save").stdout


def test_ipv6_that_can_not_be_written_is_an_error_and_nothing_is_applied(pod: Namespace, tmp_path: Path) -> None:
    path = tools(tmp_path, nft="")
    (tmp_path / "ip6tables-legacy-restore").unlink()
    done = pod.try_init("--rules-only", PATH=path)
    assert done.returncode == 1
    assert "ip6tables-legacy-restore is not installed" in done.stderr
    assert "KECS_IPV6=off" in done.stderr.partition("hint: ")[2]
    assert bare(pod.rules("legacy")) == []


def disable_ipv6(pod: Namespace) -> None:
    pod.run("sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6")


def test_ipv6_that_is_disabled_here_is_written_where_it_can_be(pod: Namespace) -> None:
    disable_ipv6(pod)
    assert pod.init("--rules-only").startswith("rules applied by nft for IPv4 and IPv6\n")


def test_ipv6_that_is_disabled_here_is_left_out_where_it_can_not_be_written(pod: Namespace, tmp_path: Path) -> None:
    disable_ipv6(pod)
    path = tools(tmp_path, nft="")
    (tmp_path / "ip6tables-legacy-restore").unlink()
    assert pod.init("--rules-only", PATH=path).startswith("rules applied by legacy for IPv4\n")
    assert bare(pod.rules("legacy"))


def test_a_dry_run_prints_and_changes_nothing(pod: Namespace) -> None:
    said = pod.init("--dry-run")
    assert said == "".join(f"# {family}\n{wanted(Redirect(), family)}" for family in Family)
    assert pod.rules("nft") == pod.rules("legacy") == ""


ROOT = certificate_pem(issue_root(datetime.now(UTC), permitted=PERMITTED).certificate).decode()


def test_in_a_pod_trust_files_and_rules_are_written(pod: Namespace, tmp_path: Path) -> None:
    (tmp_path / "public.pem").write_text(ROOT, encoding="utf-8")
    directory = tmp_path / "trust"
    environ = {"KECS_TRUST_ROOTS": ROOT, "KECS_TRUST_DIRECTORY": str(directory)}
    said = pod.init(KECS_PUBLIC_ROOTS=str(tmp_path / "public.pem"), **environ)
    assert said.startswith(f"trust files written to {directory}\nrules applied by nft")
    assert (directory / "bundle.pem").read_text(encoding="utf-8") == ROOT
    assert {path.name for path in directory.iterdir()} == {"bundle.pem", "ca.pem", "truststore.jks", "php"}


@pytest.mark.parametrize(
    ("environ", "complaint", "code"),
    [
        pytest.param({}, "KECS_TRUST_ROOTS is empty", 2, id="no roots"),
        pytest.param({"KECS_TRUST_ROOTS": "junk"}, "no certificate among the roots", 2, id="roots that are none"),
        pytest.param(
            {"KECS_TRUST_ROOTS": ROOT, "KECS_PUBLIC_ROOTS": "/nowhere.pem"}, "/nowhere.pem", 1, id="no public roots"
        ),
        pytest.param({"KECS_IPV6": "maybe"}, "KECS_IPV6 is 'maybe'", 2, id="a wrong setting"),
    ],
)
def test_without_trust_no_rule_is_applied(
    pod: Namespace, tmp_path: Path, environ: dict[str, str], complaint: str, code: int
) -> None:
    (tmp_path / "public.pem").write_text(ROOT, encoding="utf-8")
    defaults = {"KECS_TRUST_DIRECTORY": str(tmp_path / "t"), "KECS_PUBLIC_ROOTS": str(tmp_path / "public.pem")}
    done = pod.try_init(**(defaults | environ))
    assert done.returncode == code
    assert complaint in done.stderr
    assert "hint: " in done.stderr
    assert pod.rules("nft") == pod.rules("legacy") == ""


def test_nothing_but_the_standard_library_is_imported() -> None:
    program = (
        "import sys, kecs.init_container.__main__\n"
        "foreign = {name.partition('.')[0] for name in sys.modules} - sys.stdlib_module_names - {'__main__'}\n"
        "print(sorted(n for n in sys.modules if n.startswith('kecs.')), sorted(foreign))"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys\nsys.path[:0] = {source()!r}\n{program}"],
        capture_output=True,
        text=True,
        timeout=60,
        env=CLEAN,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    modules, _, foreign = done.stdout.partition("] ")
    assert foreign == "['kecs']\n"
    assert "'kecs.core.errors', 'kecs.core.names'" in modules


def source() -> list[str]:
    root = Path(__file__).parents[2]
    return [str(root / "core"), str(root / "init-container")]
