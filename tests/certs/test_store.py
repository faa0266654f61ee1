"""The authority in files: where, with which modes, made once, refused when it can't be trusted."""

import fcntl
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from certs_lab import PERMITTED
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from kecs.certs.authority import (
    CLOCK_SKEW,
    ISSUER_LIFETIME,
    ROOT_LIFETIME,
    Signer,
    certificate_pem,
    issue_issuer,
    issue_root,
    key_pem,
    new_key,
)
from kecs.certs.bundle import fingerprint
from kecs.certs.store import RENEW_BEFORE, FileStore, default_directory
from kecs.core.errors import AuthorityError, MachineError

SECOND = timedelta(seconds=1)


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "share" / "kecs" / "authority", permitted=PERMITTED)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(
    ("environ", "directory"),
    [
        pytest.param({"HOME": "/home/a"}, "/home/a/.local/share/kecs/authority", id="below HOME"),
        pytest.param({"HOME": "/home/a", "XDG_DATA_HOME": "/d"}, "/d/kecs/authority", id="XDG_DATA_HOME wins"),
        pytest.param({"XDG_DATA_HOME": "/d"}, "/d/kecs/authority", id="no HOME is needed then"),
        pytest.param(
            {"HOME": "/home/a", "XDG_DATA_HOME": ""}, "/home/a/.local/share/kecs/authority", id="empty is unset"
        ),
        pytest.param(
            {"HOME": "/home/a", "XDG_DATA_HOME": "d"}, "/home/a/.local/share/kecs/authority", id="relative is ignored"
        ),
    ],
)
def test_the_default_directory(environ: dict[str, str], directory: str) -> None:
    assert default_directory(environ) == Path(directory)


@pytest.mark.parametrize("environ", [{}, {"HOME": ""}, {"HOME": "here", "XDG_DATA_HOME": "there"}])
def test_without_a_place_the_error_names_the_variable(environ: dict[str, str]) -> None:
    with pytest.raises(MachineError) as raised:
        default_directory(environ)
    assert "XDG_DATA_HOME" in raised.value.hint


def test_the_first_run_makes_it_and_later_ones_reuse_it(store: FileStore, now: datetime) -> None:
    first = store.load_or_create(now)
    files = {path.name: path.read_bytes() for path in store.directory.iterdir()}
    second = store.load_or_create(now + timedelta(days=1))
    assert (second.bundle_pem, second.trust_sha256[0]) == (first.bundle_pem, first.trust_sha256[0])
    assert second.issuer.certificate == first.issuer.certificate
    assert {path.name: path.read_bytes() for path in store.directory.iterdir()} == files
    assert set(files) == {"root.pem", "issuer.pem", "lock"}
    (root,) = x509.load_pem_x509_certificates(first.bundle_pem)
    assert b"PRIVATE" not in first.bundle_pem
    assert first.trust_sha256[0] == root.fingerprint(hashes.SHA256()).hex()


def test_only_its_owner_can_read_it_whatever_the_umask(store: FileStore, now: datetime) -> None:
    before = os.umask(0)
    try:
        store.load_or_create(now)
    finally:
        os.umask(before)
    assert mode(store.directory) == 0o700
    assert {path.name: mode(path) for path in store.directory.iterdir()} == dict.fromkeys(
        ("root.pem", "issuer.pem", "lock"), 0o600
    )


PARALLEL = """
import sys
from datetime import datetime
from pathlib import Path
from kecs.certs.store import FileStore
sys.stdin.readline()
authority = FileStore(Path(sys.argv[1]), permitted=("amazonaws.com", "api.aws")).load_or_create(
    datetime.fromisoformat(sys.argv[2])
)
print(authority.trust_sha256[0], authority.issuer.certificate.serial_number)
"""


def test_parallel_first_runs_make_one_root(store: FileStore, now: datetime) -> None:
    command = [sys.executable, "-c", PARALLEL, str(store.directory), now.isoformat()]
    runs = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(6)]
    for run in runs:
        assert run.stdin
        run.stdin.write("\n")
        run.stdin.flush()
    said = [run.communicate(timeout=60)[0] for run in runs]
    assert [run.returncode for run in runs] == [0] * 6
    assert len(set(said)) == 1
    assert {path.name for path in store.directory.iterdir()} == {"root.pem", "issuer.pem", "lock"}


def test_a_run_that_finds_the_lock_taken_waits_and_uses_what_was_made(store: FileStore, now: datetime) -> None:
    store.directory.mkdir(parents=True, mode=0o700)
    with (store.directory / "lock").open("w") as lock:
        (store.directory / "lock").chmod(0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        command = [sys.executable, "-c", PARALLEL, str(store.directory), now.isoformat()]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
            root = issue_root(now, permitted=PERMITTED)
            write(store.directory / "root.pem", root)
            fcntl.flock(lock, fcntl.LOCK_UN)
            said, _ = run.communicate("\n", timeout=60)
    assert said.split()[0] == fingerprint(root.certificate)


def test_a_lock_that_nobody_lets_go_is_said_with_its_path(store: FileStore, now: datetime) -> None:
    store.directory.mkdir(parents=True, mode=0o700)
    hasty = FileStore(store.directory, permitted=PERMITTED, patience=timedelta(milliseconds=50))
    with (store.directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(MachineError, match=r"for 0\.05 s") as raised:
            hasty.load_or_create(now)
        assert str(store.directory / "lock") in raised.value.hint
    hasty.load_or_create(now)


def write(path: Path, signer: Signer, *, key: bytes = b"") -> None:
    path.write_bytes((key or key_pem(signer.key)) + certificate_pem(signer.certificate))
    path.chmod(0o600)


@pytest.mark.parametrize(
    ("later", "renewed"),
    [
        pytest.param(ISSUER_LIFETIME - RENEW_BEFORE, False, id="just not near its end"),
        pytest.param(ISSUER_LIFETIME - RENEW_BEFORE + SECOND, True, id="near its end"),
        pytest.param(ISSUER_LIFETIME + SECOND, True, id="past its end"),
    ],
)
def test_the_issuer_is_renewed_near_its_end(
    store: FileStore, now: datetime, later: timedelta, *, renewed: bool
) -> None:
    first = store.load_or_create(now)
    second = store.load_or_create(now + later)
    assert (second.issuer.certificate != first.issuer.certificate) == renewed
    assert second.bundle_pem == first.bundle_pem
    assert second.new_intermediate(now + later).not_after > now + later


def test_an_issuer_that_ends_with_the_root_is_not_renewed_in_vain(store: FileStore, now: datetime) -> None:
    store.load_or_create(now)
    late = now + ROOT_LIFETIME - timedelta(days=2)
    first, second = store.load_or_create(late), store.load_or_create(late + timedelta(days=1))
    assert first.issuer.certificate == second.issuer.certificate
    assert first.issuer.not_after == first.root.not_valid_after_utc


@pytest.mark.parametrize(
    ("moment", "complaint", "hint"),
    [
        pytest.param(ROOT_LIFETIME - SECOND, "", "", id="a second before its end"),
        pytest.param(ROOT_LIFETIME, "expired", "rotate", id="at its end"),
        pytest.param(-CLOCK_SKEW, "", "", id="at its begin"),
        pytest.param(-CLOCK_SKEW - SECOND, "begins", "clock", id="a second before its begin"),
    ],
)
def test_a_root_is_used_within_its_validity(
    store: FileStore, now: datetime, moment: timedelta, complaint: str, hint: str
) -> None:
    store.load_or_create(now)
    if not complaint:
        store.load_or_create(now + moment)
        return
    with pytest.raises(AuthorityError, match=complaint) as raised:
        store.load_or_create(now + moment)
    assert hint in raised.value.hint
    assert str(store.directory) in raised.value.message


@pytest.mark.parametrize("name", ["root.pem", "issuer.pem"])
@pytest.mark.parametrize("others", [0o640, 0o604, 0o620, 0o602, 0o610, 0o666])
def test_a_key_that_others_may_use_is_refused(store: FileStore, now: datetime, name: str, others: int) -> None:
    store.load_or_create(now)
    path = store.directory / name
    path.chmod(others)
    with pytest.raises(AuthorityError, match=f"{others:04o}") as raised:
        store.load_or_create(now)
    assert str(path) in raised.value.message
    assert raised.value.hint == f"chmod 600 {path}"
    path.chmod(0o600)
    store.load_or_create(now)


@pytest.mark.parametrize("others", [0o720, 0o702, 0o777])
def test_a_directory_that_others_may_write_is_refused(store: FileStore, now: datetime, others: int) -> None:
    store.load_or_create(now)
    store.directory.chmod(others)
    with pytest.raises(AuthorityError, match=f"{others:04o}") as raised:
        store.load_or_create(now)
    assert raised.value.hint == f"chmod 700 {store.directory}"


def test_a_directory_that_others_may_write_gets_no_root(store: FileStore, now: datetime) -> None:
    store.directory.mkdir(parents=True)
    store.directory.chmod(0o777)
    with pytest.raises(AuthorityError, match="others may write"):
        store.load_or_create(now)
    assert list(store.directory.iterdir()) == []


def test_what_belongs_to_another_is_refused(store: FileStore, now: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    store.load_or_create(now)
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: 61234)  # not chown, which takes root
    with pytest.raises(AuthorityError, match=f"belongs to uid {owner}, not to uid 61234") as raised:
        store.load_or_create(now)
    assert "XDG_DATA_HOME" in raised.value.hint


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def without_certificate(path: Path) -> None:
    path.write_bytes(key_pem(new_key()))


def another_key(path: Path) -> None:
    begin, end = b"-----BEGIN PRIVATE KEY-----", b"-----END PRIVATE KEY-----\n"
    before, after = path.read_bytes().split(begin)
    path.write_bytes(before + key_pem(new_key()) + after.partition(end)[2])


def link(path: Path) -> None:
    path.rename(path.with_suffix(".moved"))
    path.symlink_to(path.with_suffix(".moved"))


def directory_instead(path: Path) -> None:
    path.unlink()
    path.mkdir(mode=0o700)


def pipe_instead(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda path: path.write_bytes(b""), "is damaged"),
    "garbage": (lambda path: path.write_bytes(b"\0" * 100), "is damaged"),
    "truncated": (truncate, "is damaged"),
    "key alone": (without_certificate, "is damaged"),
    "another's key": (another_key, "its key is not the certificate's"),
    "two certificates": (lambda path: path.write_bytes(path.read_bytes() * 2), "is damaged"),
    "a symbolic link": (link, "can't be read"),
    "a directory": (directory_instead, "not a regular file"),
    "a pipe": (pipe_instead, "not a regular file"),
}


@pytest.mark.parametrize("name", ["root.pem", "issuer.pem"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_refused_with_the_path(store: FileStore, now: datetime, name: str, damage: str) -> None:
    store.load_or_create(now)
    inflict, complaint = DAMAGE[damage]
    inflict(store.directory / name)
    with pytest.raises(AuthorityError, match=complaint) as raised:
        store.load_or_create(now)
    assert str(store.directory / name) in raised.value.message
    assert raised.value.hint


def test_an_issuer_of_another_root_is_refused(store: FileStore, now: datetime) -> None:
    store.load_or_create(now)
    write(store.directory / "issuer.pem", issue_issuer(issue_root(now, permitted=PERMITTED), now))
    with pytest.raises(AuthorityError, match="was not signed by") as raised:
        store.load_or_create(now)
    assert raised.value.hint == f"remove {store.directory / 'issuer.pem'}: it is issued anew"
    (store.directory / "issuer.pem").unlink()
    store.load_or_create(now)


def test_a_root_that_is_not_self_signed_is_refused(store: FileStore, now: datetime) -> None:
    store.load_or_create(now)
    write(store.directory / "root.pem", issue_issuer(issue_root(now, permitted=PERMITTED), now))
    with pytest.raises(AuthorityError, match="was not signed"):
        store.load_or_create(now)


def test_a_root_for_fewer_domains_is_refused(store: FileStore, now: datetime) -> None:
    store.load_or_create(now)
    wider = FileStore(store.directory, permitted=(*PERMITTED, "amazonaws.eu"))
    with pytest.raises(AuthorityError, match=r"may not sign for amazonaws\.eu") as raised:
        wider.load_or_create(now)
    assert str(store.directory / "root.pem") in raised.value.message
    assert "rotate" in raised.value.hint


def test_a_place_that_is_no_directory_is_said_with_the_variable(tmp_path: Path, now: datetime) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(MachineError, match="can't be written") as raised:
        FileStore(tmp_path / "file" / "authority", permitted=PERMITTED).load_or_create(now)
    assert "XDG_DATA_HOME" in raised.value.hint


def test_a_full_disk_leaves_nothing_half_written(store: FileStore) -> None:
    """A file size limit stands for a full disk: the process gets an error in the middle of writing."""
    program = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))\n"
        "from datetime import UTC, datetime\n"
        "from pathlib import Path\n"
        "from kecs.certs.store import FileStore\n"
        "from kecs.core.errors import MachineError\n"
        "try:\n"
        "    FileStore(Path(sys.argv[1]), permitted=('amazonaws.com',)).load_or_create(datetime.now(UTC))\n"
        "except MachineError as error:\n"
        "    print(error.hint)\n"
    )
    command = [sys.executable, "-B", "-c", program, str(store.directory)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert "XDG_DATA_HOME" in done.stdout
    assert {path.name for path in store.directory.iterdir()} == {"lock"}


def test_a_read_only_authority_that_is_in_order_is_used(store: FileStore, now: datetime) -> None:
    """Reading writes nothing, so it works where nothing can be written: not even a lock is taken."""
    first = store.load_or_create(now)
    (store.directory / "lock").unlink()
    store.directory.chmod(0o500)
    assert store.load_or_create(now).bundle_pem == first.bundle_pem
    assert not (store.directory / "lock").exists()


@pytest.mark.parametrize(
    ("later", "works"),
    [
        pytest.param(timedelta(0), True, id="an issuer that is not due"),
        pytest.param(ISSUER_LIFETIME - SECOND, True, id="one that is due and still holds"),
        pytest.param(ISSUER_LIFETIME, False, id="one that has ended"),
    ],
)
def test_on_a_read_only_file_system(store: FileStore, now: datetime, later: timedelta, *, works: bool) -> None:
    first = store.load_or_create(now)
    said = on_read_only_home(store.directory, now + later)
    assert said.startswith(f"{first.trust_sha256[0]} {first.issuer.certificate.serial_number}" if works else "error")
    assert works or "Read-only file system" in said
    assert works or "XDG_DATA_HOME" in said


def test_a_first_run_with_a_read_only_home_names_the_variable(tmp_path: Path, now: datetime) -> None:
    said = on_read_only_home(tmp_path / "kecs" / "authority", now)
    assert said.startswith(f"error: the authority can't be written to {tmp_path / 'kecs' / 'authority'}: Read-only")
    assert "XDG_DATA_HOME" in said


READ_ONLY = """
import sys
from datetime import datetime
from pathlib import Path
from kecs.certs.store import FileStore
from kecs.core.errors import MachineError
try:
    authority = FileStore(Path(sys.argv[1]), permitted=("amazonaws.com", "api.aws")).load_or_create(
        datetime.fromisoformat(sys.argv[2])
    )
    print(authority.trust_sha256[0], authority.issuer.certificate.serial_number)
except MachineError as error:
    print(f"error: {error.message} hint: {error.hint}")
"""


def on_read_only_home(directory: Path, now: datetime) -> str:
    """Load the authority where its file system is mounted read-only: permissions alone don't stop root."""
    mounted = next(path for path in directory.parents if path.is_dir())
    program = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    command = [sys.executable, "-B", "-c", READ_ONLY, str(directory), now.isoformat()]
    done = subprocess.run(
        ["unshare", *user, "--mount", "sh", "-c", program, str(mounted), *command],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


KILLED = """
import os, sys
from datetime import datetime
from pathlib import Path
from kecs.certs.store import FileStore
directory, now = Path(sys.argv[1]), datetime.fromisoformat(sys.argv[2])
BEFORE = ("open", "os.mkdir", "os.rename", "fcntl.flock")

def run(step, place):
    def hook(event, arguments):
        nonlocal step
        step -= event in BEFORE
        if step == 0:
            os._exit(9)
    sys.addaudithook(hook)
    FileStore(place, permitted=("amazonaws.com", "api.aws")).load_or_create(now)
    os._exit(0)

step, status = 0, 9
while status:
    step += 1
    child = os.fork()
    if not child:
        run(step, directory / str(step) / "authority")
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(step, status)
"""


def test_a_run_that_is_killed_at_any_step_leaves_what_the_next_one_can_use(tmp_path: Path, now: datetime) -> None:
    command = [sys.executable, "-B", "-c", KILLED, str(tmp_path), now.isoformat()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    *killed, whole = [line.split() for line in done.stdout.splitlines()]
    assert whole[1] == "0"
    assert {status for _, status in killed} == {"9"}
    assert len(killed) >= 10
    for step, _ in killed:
        directory = tmp_path / step / "authority"
        kept = directory / "root.pem"
        before = kept.read_bytes() if kept.exists() else b""
        authority = FileStore(directory, permitted=PERMITTED).load_or_create(now)
        assert kept.read_bytes().startswith(before)
        assert authority.new_intermediate(now).mint(("s3.amazonaws.com",), now)
        assert {path.name for path in directory.iterdir()} == {"root.pem", "issuer.pem", "lock"}


def test_loading_takes_any_zone(store: FileStore) -> None:
    moment = datetime.fromisoformat("2030-01-01T00:00:00+09:00")
    assert store.load_or_create(moment).root.not_valid_after_utc.tzinfo is UTC
