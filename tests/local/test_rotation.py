"""A run and its authority: who is listed, when an intermediate is renewed, what is never handed over."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from namespace_lab import until

from kecs.certs.keeper import Keeper
from kecs.certs.leaf import Intermediate
from kecs.certs.outcome import Action, Reason, Refused, Step
from kecs.certs.state import Authority, Phase
from kecs.core.errors import ConfigError, MachineError
from kecs.local import children
from kecs.local.authority import Embedded, automatic
from kecs.local.options import CertsOptions
from kecs.local.renewal import Held, Renewal, Terms, issued
from kecs.local.running import listed, registered

NOW = datetime(2026, 11, 21, 7, 0, tzinfo=UTC)
DAY = timedelta(days=1)
OLD, NEW = "a" * 64, "b" * 64


@pytest.fixture
def place(tmp_path: Path) -> Embedded:
    return embedded(tmp_path)


def embedded(directory: Path, **options: object) -> Embedded:
    given = CertsOptions(directory=str(directory / "authority"), **options)  # type: ignore[arg-type]  # as the class says
    return Embedded.of(given, {})


def rotated(keeper: Keeper, *actions: Action, now: datetime = NOW, force: bool = False) -> Authority:
    outcome: Step | Refused | None = None
    for action in actions:
        outcome = keeper.rotate(action, now, force=force)
        assert isinstance(outcome, Step), outcome
    assert isinstance(outcome, Step)
    return outcome.state.authority


# --- who is listed


def test_a_run_is_listed_with_what_it_trusts_while_it_lives(tmp_path: Path) -> None:
    with registered(tmp_path, ["python", "my app.py"], NOW) as entry:
        (starting,) = listed(tmp_path)
        assert starting.workload.trusted == ()
        assert starting.workload.name == f"{os.getpid()} (`python 'my app.py'`, starting)"
        entry.trusts([OLD, NEW])
        entry.serves(2)
        (run,) = listed(tmp_path)
        assert (run.pid, run.generation, run.trusted) == (os.getpid(), 2, (OLD, NEW))
        assert run.workload.name == f"{os.getpid()} (`python 'my app.py'`)"
        assert run.since == "2026-11-21T07:00:00+00:00"
        assert not entry.notes
    assert listed(tmp_path) == ()
    assert list((tmp_path / "runs").iterdir()) == []


def test_runs_are_listed_side_by_side_and_each_looker_sees_all(tmp_path: Path) -> None:
    with ExitStack() as stack:
        for number in range(3):
            stack.enter_context(registered(tmp_path, [f"program-{number}"], NOW))
        assert {run.command for run in listed(tmp_path)} == {"program-0", "program-1", "program-2"}
        assert listed(tmp_path) == listed(tmp_path)


KILLED = """
import sys, time
from datetime import UTC, datetime
from pathlib import Path
from kecs.local.running import registered
with registered(Path(sys.argv[1]), ["victim"], datetime.now(UTC)):
    print("listed", flush=True)
    time.sleep(600)
"""


def test_a_killed_run_does_not_count_and_its_entry_goes(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True) as victim:
        assert victim.stdout is not None
        assert victim.stdout.readline() == "listed\n"
        assert [run.pid for run in listed(tmp_path)] == [victim.pid]
        victim.send_signal(signal.SIGKILL)
        victim.wait(30)
    assert len(list((tmp_path / "runs").iterdir())) == 1
    assert listed(tmp_path) == ()
    assert list((tmp_path / "runs").iterdir()) == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": "x"}'], ids=["empty", "cut", "no object", "no number"])
def test_an_entry_that_can_not_be_read_trusts_nothing_known(tmp_path: Path, text: str) -> None:
    with registered(tmp_path, ["true"], NOW) as entry:
        assert entry.descriptor is not None
        os.truncate(entry.descriptor, 0)
        os.pwrite(entry.descriptor, text.encode(), 0)
        (run,) = listed(tmp_path)
        assert run.workload.trusted == ()


def test_a_long_command_is_cut(tmp_path: Path) -> None:
    with registered(tmp_path, ["x" * 100], NOW):
        assert listed(tmp_path)[0].command == "x" * 59 + "…"


def test_where_nothing_can_be_written_the_run_goes_on_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with registered(tmp_path / "file", ["true"], NOW) as entry:
        entry.trusts([OLD])
        assert "is not listed with the authority" in entry.notes[0]


def test_the_authoritys_directory_is_its_owners_alone(tmp_path: Path) -> None:
    before = os.umask(0o002)
    try:
        with registered(tmp_path / "share" / "authority", ["true"], NOW):
            made = tmp_path / "share" / "authority"
            modes = {path.stat().st_mode & 0o777 for path in (made, *made.rglob("*"))}
    finally:
        os.umask(before)
    assert modes == {0o700, 0o600}


# --- retiring


def test_retire_is_refused_while_a_run_knows_the_old_root_alone_and_names_it(place: Embedded) -> None:
    old = place.load_or_create(NOW)
    with registered(place.directory, ["python", "app.py"], NOW) as entry:
        entry.trusts(old.trust_sha256)
        rotated(place.keeper, Action.PREPARE, Action.SWITCH)
        refused = place.keeper.rotate(Action.RETIRE, NOW, workloads=place.workloads())
        assert isinstance(refused, Refused)
        assert refused.reasons == (Reason.OLD_ROOT_ONLY,)
        assert f"run {os.getpid()} (`python app.py`)" in refused.error().message
        entry.trusts([*old.trust_sha256, NEW])
        assert isinstance(place.keeper.rotate(Action.RETIRE, NOW, workloads=place.workloads()), Refused)
    assert isinstance(place.keeper.rotate(Action.RETIRE, NOW, workloads=place.workloads()), Step)


# --- renewal


class Handed:
    """What a renewal handed over and said."""

    def __init__(self, place: Embedded, now: datetime = NOW) -> None:
        self.now = now
        self.intermediates: list[Intermediate] = []
        self.said: list[str] = []
        self.fails = False
        authority = place.load_or_create(now)
        self.terms = Terms(trusted=authority.bundle, lifetime=DAY, poll_s=1.0)
        first = issued(authority, self.terms, now)
        self.renewal = Renewal(
            source=place,
            held=Held.of(authority, first, now),
            terms=self.terms,
            hand_over=self.take,
            tell=self.said.append,
            clock=lambda: self.now,
        )

    def take(self, _authority: Authority, intermediate: Intermediate) -> None:
        if self.fails:
            raise MachineError("the sidecar has ended")
        self.intermediates.append(intermediate)


def test_a_switch_is_picked_up_once_and_served_with_the_cross_certificate(place: Embedded) -> None:
    handed = Handed(place)
    handed.renewal.look()
    rotated(place.keeper, Action.PREPARE)
    handed.renewal.look()
    assert handed.intermediates == []
    switched = rotated(place.keeper, Action.SWITCH)
    handed.renewal.look()
    handed.renewal.look()
    (taken,) = handed.intermediates
    assert taken.above == (switched.issuer.certificate, *switched.above)
    assert len(switched.above) == 1
    rotated(place.keeper, Action.RETIRE)
    handed.renewal.look()
    assert len(handed.intermediates) == 1
    assert handed.said == []


@pytest.mark.parametrize(("hours", "renewed"), [(15.9, 0), (16.1, 1), (30, 1)])
def test_it_is_renewed_at_two_thirds_of_its_life(place: Embedded, hours: float, renewed: int) -> None:
    handed = Handed(place)
    handed.renewal.look()
    handed.now = NOW + timedelta(hours=hours)
    handed.renewal.look()
    handed.renewal.look()
    assert len(handed.intermediates) == renewed
    assert all(one.not_after == handed.now + DAY for one in handed.intermediates)


def test_a_run_of_many_days_is_renewed_again_and_again(place: Embedded) -> None:
    handed = Handed(place)
    for _ in range(24 * 100):
        handed.now += timedelta(hours=1)
        handed.renewal.look()
        current = handed.intermediates[-1] if handed.intermediates else None
        assert current is None or current.not_after > handed.now
    assert len(handed.intermediates) == 150
    assert len({one.above[0] for one in handed.intermediates}) == 2  # the issuer was renewed meanwhile


def test_what_the_command_can_not_verify_is_not_handed_over_and_said_once(place: Embedded) -> None:
    handed = Handed(place)
    rotated(place.keeper, Action.EMERGENCY)
    for _ in range(3):
        handed.renewal.look()
    assert handed.intermediates == []
    (said,) = handed.said
    assert said.startswith("certificates are not renewed, and end at 07:00:00Z: the root of this run's authority was")
    assert said.endswith("start the run again")


def test_trouble_is_tried_again_until_it_is_over(place: Embedded) -> None:
    handed = Handed(place)
    rotated(place.keeper, Action.PREPARE, Action.SWITCH)
    handed.fails = True
    handed.renewal.look()
    handed.renewal.look()
    assert (handed.intermediates, len(handed.said)) == ([], 1)
    handed.fails = False
    handed.renewal.look()
    assert len(handed.intermediates) == 1


def test_damaged_records_are_reported_and_the_old_certificates_stay(place: Embedded) -> None:
    handed = Handed(place)
    issuer = place.directory / "issuer.pem"
    sound = issuer.read_bytes()
    issuer.write_bytes(b"not PEM")
    handed.renewal.look()
    assert "issuer.pem" in handed.said[0]
    assert handed.intermediates == []
    issuer.write_bytes(sound)
    handed.renewal.look()
    assert len(handed.said) == 1


def test_the_thread_renews_and_stops(place: Embedded) -> None:
    handed = Handed(place)
    handed.renewal._terms = replace(handed.terms, poll_s=0.01)
    handed.renewal.start()
    rotated(place.keeper, Action.PREPARE, Action.SWITCH)
    until(lambda: handed.intermediates, "the switch is picked up")
    handed.renewal.stop()
    assert not handed.renewal._thread.is_alive()
    rotated(place.keeper, Action.RETIRE)
    rotated(place.keeper, Action.RENEW)
    handed.renewal.look()
    assert len(handed.intermediates) == 1


# --- what is done by itself


@pytest.mark.parametrize(
    ("phase", "age", "action"),
    [
        pytest.param(Phase.STABLE, 0.5, None, id="young"),
        pytest.param(Phase.STABLE, 0.7, Action.PREPARE, id="old"),
        pytest.param(Phase.PREPARED, 0.5, None, id="prepared by a person"),
        pytest.param(Phase.PREPARED, 0.7, Action.SWITCH, id="prepared, and old"),
        pytest.param(Phase.SWITCHED, 0.0001, None, id="just switched"),
        pytest.param(Phase.SWITCHED, 0.001, Action.RETIRE, id="switched for days"),
    ],
)
def test_what_is_due_by_itself(place: Embedded, phase: Phase, age: float, action: Action | None) -> None:
    authority = replace(place.load_or_create(NOW), phase=phase)
    assert automatic(authority, NOW + age * timedelta(days=3650), 0.67) is action


def test_runs_rotate_an_old_root_and_retire_it_when_nobody_needs_it(tmp_path: Path) -> None:
    place = embedded(tmp_path, root_lifetime=timedelta(days=100))
    first = place.tended(NOW)
    assert (first.generation, first.phase) == (1, Phase.STABLE)
    with registered(place.directory, ["old"], NOW) as entry:
        entry.trusts(first.trust_sha256)
        later = place.tended(NOW + 70 * DAY)
        assert (later.generation, later.phase) == (2, Phase.SWITCHED)
        assert place.tended(NOW + 73 * DAY).phase is Phase.SWITCHED
    with registered(place.directory, ["new"], NOW + 73 * DAY) as entry:
        done = place.tended(NOW + 73 * DAY, entry)
    assert (done.generation, done.phase, len(done.bundle)) == (2, Phase.STABLE, 1)


def test_a_directory_below_the_home_is_found(tmp_path: Path) -> None:
    options = CertsOptions(directory="~/keys")
    assert Embedded.of(options, {"HOME": str(tmp_path)}).directory == tmp_path / "keys"
    with pytest.raises(ConfigError, match="HOME is no absolute path"):
        Embedded.of(options, {})


# --- the way to the sidecar


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError:
            continue


def child(control: int) -> children.Child:
    return children.Child(name="sidecar", process=None, control=control, ready=-1)  # type: ignore[arg-type]  # none is needed


def test_a_line_reaches_the_child_whole(pipe: tuple[int, int]) -> None:
    line = json.dumps({"chain": "x" * 5000})
    child(pipe[1]).tell(line)
    assert os.read(pipe[0], 10000).decode() == line + "\n"


def test_a_child_that_is_gone_is_an_error(pipe: tuple[int, int]) -> None:
    os.close(pipe[0])
    with pytest.raises(MachineError, match="the sidecar has ended"):
        child(pipe[1]).tell("x")
