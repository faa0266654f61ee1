"""Records in files: whole or not at all, compare-and-swap, full disks, kills, edits by hand, older files."""

import fcntl
import os
import resource
import stat
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from certs_lab import CLEAN, NAME, SCOPE, served

from kecs.certs.authority import Signer, certificate_pem, key_pem, new_key
from kecs.certs.bundle import fingerprint
from kecs.certs.file_store import DirectoryStore
from kecs.certs.keeper import Keeper
from kecs.certs.outcome import Action, Step
from kecs.certs.records import Conflict, Record
from kecs.certs.state import Authority, Phase
from kecs.certs.verify import verify_served
from kecs.core.errors import AuthorityError, MachineError

FORWARD = (Action.PREPARE, Action.SWITCH, Action.RETIRE)
FIELDS = {"state.json": b"{}\n", "tls.crt": b"one\ntwo\n", "tls.key": b"secret\n"}


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path / "share" / "authority")


@pytest.fixture
def keeping(store: DirectoryStore) -> Keeper:
    return Keeper(store=store, scope=SCOPE, sources={record: str(store.path(record)) for record in Record})


def test_a_record_is_a_file_of_its_owner(store: DirectoryStore) -> None:
    assert store.read(Record.ROOT) is None
    before = os.umask(0)
    try:
        version = store.write(Record.ROOT, FIELDS, None)
    finally:
        os.umask(before)
    assert store.read(Record.ROOT) == (FIELDS, version)
    assert store.path(Record.ROOT) == store.directory / "root.pem"
    assert stat.S_IMODE(store.directory.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in store.directory.iterdir()}
    assert modes == {"root.pem": 0o600, "lock": 0o600}


def test_who_read_an_older_version_does_not_write(store: DirectoryStore) -> None:
    first = store.write(Record.ISSUER, FIELDS, None)
    with pytest.raises(Conflict, match=r"issuer\.pem was written by another process"):
        store.write(Record.ISSUER, FIELDS, None)
    second = store.write(Record.ISSUER, {**FIELDS, "tls.key": b"another\n"}, first)
    assert second != first
    with pytest.raises(Conflict):
        store.write(Record.ISSUER, FIELDS, first)
    store.path(Record.ISSUER).unlink()
    with pytest.raises(Conflict):
        store.write(Record.ISSUER, FIELDS, second)
    assert store.read(Record.ISSUER) is None


def test_openssl_reads_the_files(store: DirectoryStore, keeping: Keeper, now: datetime) -> None:
    """The comments between the blocks are what PEM allows."""
    authority = keeping.load_or_create(now)
    for record, certificate in ((Record.ROOT, authority.root), (Record.ISSUER, authority.issuer.certificate)):
        path = str(store.path(record))
        said = [
            subprocess.run(
                ["openssl", *command, "-in", path], capture_output=True, text=True, env=CLEAN, timeout=30, check=True
            ).stdout
            for command in (["x509", "-noout", "-fingerprint", "-sha256"], ["pkey", "-noout", "-check"])
        ]
        assert said[0].partition("=")[2].strip().replace(":", "").lower() == fingerprint(certificate)
        assert "Key is valid" in said[1]


def legacy(path: Path, signer: Signer) -> None:
    """What KECS wrote before it rotated: a key and its certificate."""
    path.write_bytes(key_pem(signer.key) + certificate_pem(signer.certificate))
    path.chmod(0o600)


@pytest.fixture
def old_files(store: DirectoryStore, root: Signer, issuer: Signer) -> None:
    store.directory.mkdir(parents=True, mode=0o700)
    legacy(store.directory / "root.pem", root)
    legacy(store.directory / "issuer.pem", issuer)


@pytest.mark.usefixtures("old_files")
def test_files_of_before_rotations_are_a_first_generation(
    store: DirectoryStore, keeping: Keeper, root: Signer, issuer: Signer, now: datetime
) -> None:
    kept = store.read(Record.ROOT)
    assert kept
    assert list(kept[0]) == ["tls.key", "tls.crt"]
    before = (store.directory / "root.pem").read_bytes()
    authority = keeping.load_or_create(now)
    assert (authority.generation, authority.phase) == (1, Phase.STABLE)
    assert (authority.root, authority.issuer.certificate) == (root.certificate, issuer.certificate)
    assert (store.directory / "root.pem").read_bytes() == before, "clients go on trusting the same root"
    for action in FORWARD:
        assert isinstance(keeping.rotate(action, now), Step)
        verify_served(served(keeping.load_or_create(now), now), NAME, [root.certificate], now)


@pytest.mark.usefixtures("old_files")
def test_files_of_before_rotations_are_read_where_nothing_can_be_written(
    store: DirectoryStore, root: Signer, now: datetime
) -> None:
    said = limited(store.directory, now, "load", files=0)
    assert said == f"{fingerprint(root.certificate)} 1 stable"


LIMITED = """
import resource, signal, sys
from datetime import datetime
from pathlib import Path
from kecs.certs.file_store import DirectoryStore
from kecs.certs.keeper import Keeper
from kecs.certs.outcome import Action
from kecs.certs.rotation import Scope
from kecs.core.errors import MachineError
directory, now, action, size = Path(sys.argv[1]), datetime.fromisoformat(sys.argv[2]), sys.argv[3], int(sys.argv[4])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
if size >= 0:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
keeper = Keeper(store=DirectoryStore(directory), scope=Scope(permitted=("amazonaws.com", "api.aws")))
try:
    if action != "load":
        keeper.rotate(Action(action), now)
    authority = keeper.load_or_create(now)
    print(authority.trust_sha256[0], authority.generation, authority.phase)
except MachineError as error:
    print(f"error: {error.message} hint: {error.hint}")
"""


def limited(directory: Path, now: datetime, action: str, *, files: int) -> str:
    """Act in a process whose files can't grow beyond a size."""
    command = [sys.executable, "-B", "-c", LIMITED, str(directory), now.isoformat(), action, str(files)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.strip()


def test_what_can_not_be_written_whole_is_not_written(store: DirectoryStore) -> None:
    version = store.write(Record.ROOT, FIELDS, None)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(MachineError, match="File too large"):
            store.write(Record.ROOT, {**FIELDS, "tls.key": b"x" * 200}, version)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert store.read(Record.ROOT) == (FIELDS, version)
    assert {path.name for path in store.directory.iterdir()} == {"root.pem", "lock"}


@pytest.mark.parametrize("size", [0, 100, 2000, 3000])
@pytest.mark.parametrize("done", range(3), ids=["prepare", "switch", "retire"])
def test_no_space_left_in_any_act(store: DirectoryStore, keeping: Keeper, now: datetime, done: int, size: int) -> None:
    """Whatever could be written is whole, what could not is said, and the act succeeds once there is space."""
    bundles = [keeping.load_or_create(now).bundle]
    for action in FORWARD[:done]:
        keeping.rotate(action, now)
        bundles.append(keeping.load_or_create(now).bundle)
    said = limited(store.directory, now, FORWARD[done], files=size)
    assert size > 2000 or said.startswith("error: the authority can't be written to"), said
    assert {path.name for path in store.directory.iterdir()} == {"root.pem", "issuer.pem", "lock"}
    authorities = [keeping.load_or_create(now), rotated(keeping, FORWARD[done], now)]
    for authority in authorities:
        for bundle in bundles:
            verify_served(served(authority, now), NAME, bundle, now)


def rotated(keeping: Keeper, action: Action, now: datetime) -> Authority:
    step = keeping.rotate(action, now)
    assert isinstance(step, Step)
    return step.state.authority


TINY = """
mount -t tmpfs -o size=16k,mode=700 none "$0" && cd "$0" && head -c 4096 /dev/zero > filler && exec "$@"
"""


def test_a_disk_that_is_full(tmp_path: Path, now: datetime) -> None:
    """A file system of four pages, one of them taken: the first root fits, its successor does not."""
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    program = LIMITED + "\nprint(sorted(path.name for path in directory.iterdir()))\n"
    twice = f"import sys\nfor action in ('load', 'prepare'):\n    sys.argv[3] = action\n    exec({program!r})\n"
    command = [sys.executable, "-B", "-c", twice, str(tmp_path), now.isoformat(), "load", "-1"]
    done = subprocess.run(
        ["unshare", *user, "--mount", "sh", "-c", TINY, str(tmp_path), *command],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    first, names, refused, names_after = done.stdout.splitlines()
    assert first.endswith(" 1 stable")
    assert "No space left on device" in refused
    assert names == names_after == "['filler', 'issuer.pem', 'lock', 'root.pem']"


KILLED = """
import os, shutil, sys
from datetime import datetime
from pathlib import Path
from kecs.certs.file_store import DirectoryStore
from kecs.certs.keeper import Keeper
from kecs.certs.outcome import Action
from kecs.certs.rotation import Scope
directory, now = Path(sys.argv[1]), datetime.fromisoformat(sys.argv[2])
BEFORE = ("open", "os.rename", "fcntl.flock", "os.remove")

def run(step, place, action):
    keeper = Keeper(store=DirectoryStore(place), scope=Scope(permitted=("amazonaws.com", "api.aws")))
    def hook(event, arguments):
        nonlocal step
        step -= event in BEFORE
        if step == 0:
            os._exit(9)
    sys.addaudithook(hook)
    keeper.rotate(Action(action), now)
    os._exit(0)

for action in sys.argv[3:]:
    step, status = 0, 9
    while status:
        step += 1
        place = directory / f"{action}-{step}"
        shutil.copytree(directory / action, place)
        child = os.fork()
        if not child:
            run(step, place, action)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(place, status)
"""


def test_killed_at_any_system_call_of_any_act(tmp_path: Path, now: datetime) -> None:
    """The next process finds both records whole, finishes or forgets the act, and every workload verifies."""
    bundles = []
    for done, action in enumerate(FORWARD):
        before = Keeper(store=DirectoryStore(tmp_path / action), scope=SCOPE)
        source = tmp_path / FORWARD[done - 1] if done else None
        for record in Record:
            kept = DirectoryStore(source).read(record) if source else None
            if kept:
                DirectoryStore(tmp_path / action).write(record, kept[0], None)
        if done:
            before.rotate(FORWARD[done - 1], now)
        bundles.append(before.load_or_create(now).bundle)
    command = [sys.executable, "-B", "-c", KILLED, str(tmp_path), now.isoformat(), *FORWARD]
    said = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    killed = [line.split() for line in said.splitlines()]
    assert len(killed) > 30
    assert sum(status == "0" for _, status in killed) == len(FORWARD)
    for place, _ in killed:
        after = Keeper(store=DirectoryStore(Path(place)), scope=SCOPE)
        authority = after.load_or_create(now)
        chain = served(authority, now)
        for bundle in bundles[: FORWARD.index(Action(Path(place).name.partition("-")[0])) + 1]:
            verify_served(chain, NAME, bundle, now)
        assert isinstance(after.rotate(Action(Path(place).name.partition("-")[0]), now), Step)
        assert {path.name for path in Path(place).iterdir()} == {"root.pem", "issuer.pem", "lock"}


def test_processes_that_rotate_at_once_make_one_rotation(store: DirectoryStore, keeping: Keeper, now: datetime) -> None:
    keeping.load_or_create(now)
    command = [sys.executable, "-B", "-c", LIMITED, str(store.directory), now.isoformat(), "prepare", "-1"]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    said = [run.communicate(timeout=60)[0].strip() for run in runs]
    assert [run.returncode for run in runs] == [0] * 4
    assert len(set(said)) == 1
    assert said[0].endswith(" 1 prepared")
    state = keeping.load()
    assert state is not None
    assert [root.number for root in state.roots.all] == [2, 1]


def first_line(path: Path) -> None:
    path.write_bytes(b"pasted by mistake\n" + path.read_bytes())


def field_twice(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"# tls.key\n" + key_pem(new_key()))


def key_at_the_end(path: Path) -> None:
    path.write_bytes(path.read_bytes() + key_pem(new_key()))


EDITS: dict[str, tuple[Callable[[Path], None], str]] = {
    "text before the first field": (first_line, "text before the first one"),
    "a field twice": (field_twice, "a field is there twice"),
    "a private key pasted at the end": (key_at_the_end, r"ca\.crt.* is a PRIVATE KEY, which must never"),
}


@pytest.mark.parametrize("record", Record)
@pytest.mark.parametrize("edit", EDITS)
def test_files_edited_by_hand(store: DirectoryStore, keeping: Keeper, now: datetime, record: Record, edit: str) -> None:
    keeping.load_or_create(now)
    inflict, complaint = EDITS[edit]
    inflict(store.path(record))
    with pytest.raises(AuthorityError, match=complaint) as raised:
        keeping.load_or_create(now)
    assert str(store.path(record)) in raised.value.message
    assert ("restore" if record is Record.ROOT else "remove") in raised.value.hint


def test_a_lock_that_nobody_lets_go_is_said_with_its_path(store: DirectoryStore) -> None:
    store.directory.mkdir(parents=True, mode=0o700)
    hasty = DirectoryStore(store.directory, patience=timedelta(milliseconds=50))
    with (store.directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(MachineError, match=r"for 0\.05 s") as raised:
            hasty.write(Record.ROOT, FIELDS, None)
        assert str(store.directory / "lock") in raised.value.hint
    hasty.write(Record.ROOT, FIELDS, None)
