"""Runs as a whole: signals, terminals, exit codes, published ports, nesting, and what is left behind."""

import contextlib
import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pexpect
import pytest
from namespace_lab import Apart, Lab, apart, free_port, lab, processes_with, server, until, users

SERVER = """
import os, socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
listener = socket.create_server((sys.argv[1], int(sys.argv[2])), family=family)
print("listening", flush=True)
while True:
    client, _ = listener.accept()
    with client:
        data = b"".join(iter(lambda: client.recv(65536), b""))
        client.sendall(b"inside got " + data)
"""
WAITING = "import time; print('up', flush=True); time.sleep(600)"


@pytest.fixture(params=users(), ids=lambda user: "root" if user == 0 else "user")
def here(request: pytest.FixtureRequest) -> Iterator[Lab]:
    with lab(request.param) as one:
        yield one


@pytest.fixture(autouse=True)
def hang_ups_are_not_ignored() -> Iterator[None]:
    """Do as in a terminal, whatever runs the tests: what `nohup` ignores, commands go on ignoring, rightly."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.fixture
def alone() -> Iterator[Apart]:
    """Where what is mounted is what runs mount: beside the tests, others may mount what they like."""
    with apart() as one:
        yield one


@pytest.mark.parametrize(
    ("script", "code"),
    [
        pytest.param("exit 0", 0, id="success"),
        pytest.param("exit 7", 7, id="its own code"),
        pytest.param("kill -SEGV $$", 139, id="a crash"),
        pytest.param("kill -INT $$", 130, id="interrupted"),
        pytest.param("kill -KILL $$", 137, id="killed"),
    ],
)
def test_the_exit_code_is_the_commands(script: str, code: int) -> None:
    with lab(users()[-1]) as here:
        assert here.run("sh", "-c", script).returncode == code


def test_a_command_that_is_not_found_or_not_executable(here: Lab) -> None:
    (here.directory / "plain").write_text("text")
    not_found, plain, directory = (here.run(name) for name in ("no-such-command", "./plain", "./"))
    assert [not_found.returncode, plain.returncode, directory.returncode] == [127, 126, 126]
    assert not_found.stderr.startswith("error: `no-such-command` is not on PATH")
    assert plain.stderr.startswith("error: `./plain` can't be executed: Permission denied")
    assert "hint: `chmod +x ./plain`" in plain.stderr


def test_a_script_without_its_first_line_is_run_by_the_shell_and_a_broken_one_is_not(here: Lab) -> None:
    for name, text in {"script": "echo ran $1; exit 3", "broken": "#!/no/such/interpreter\n"}.items():
        (here.directory / name).write_text(text)
        (here.directory / name).chmod(0o755)
    ran = here.run("./script", "well")
    assert (ran.returncode, ran.stdout) == (3, "ran well\n")
    assert here.run("./broken").returncode == 126


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2])
def test_signals_to_us_reach_the_command(here: Lab, number: signal.Signals) -> None:
    program = f"""if True:
        import signal, sys
        signal.pthread_sigmask(signal.SIG_BLOCK, [{int(number)}])
        print("up", flush=True)
        signal.sigwait([{int(number)}])
        sys.exit(42)
    """
    with here.started(sys.executable, "-c", program) as run:
        assert line(run) == "up"
        # with `drop` P is the process itself: it was executed in place
        run.send_signal(number)
        assert run.wait(30) == 42


def test_ignored_signals_stay_ignored_and_others_are_reset(here: Lab) -> None:
    program = "import signal; print(*(signal.getsignal(n).name for n in (1, 3, 10)))"
    argv = ["sh", "-c", 'trap "" HUP USR1; exec "$@"', "sh", *here.argv(sys.executable, "-c", program)]
    ran = subprocess.run(
        argv, env=here.environment(), capture_output=True, text=True, check=True, timeout=60, cwd=here.directory
    )
    assert ran.stdout.split() == ["SIG_IGN", "SIG_DFL", "SIG_IGN"]


def test_a_closed_pipe_ends_the_command_as_usual(here: Lab) -> None:
    ran = here.run("sh", "-c", "yes | head -1; grep SigIgn /proc/self/status")
    ignored = int(ran.stdout.split()[2], 16)
    assert not ignored >> (signal.SIGPIPE - 1) & 1


# --- terminals


def shell(here: Lab) -> "pexpect.spawn[str]":
    environment = here.environment(PS1="prompt> ", ENV="")
    spawned = pexpect.spawn(
        "bash", ["--norc", "--noprofile"], env=environment, encoding="utf-8", timeout=30, echo=False, cwd=here.directory
    )
    spawned.expect_exact("prompt> ")
    return spawned


@pytest.mark.parametrize(("key", "code"), [("\x03", 130), ("\x1c", 131)], ids=["ctrl-c", "ctrl-backslash"])
def test_a_key_that_ends_the_command(here: Lab, key: str, code: int) -> None:
    sh = shell(here)
    sh.sendline(f"ulimit -c 0; {shlex.join(here.argv('sh', '-c', 'echo up; exec sleep 600'))}; echo code $?")
    sh.expect_exact("up")
    sh.send(key)
    sh.expect_exact(f"code {code}")
    sh.sendline("exit")
    sh.expect(pexpect.EOF)


def test_ctrl_c_while_a_process_is_forked_is_not_lost(tmp_path: Path) -> None:
    program = """if True:
        import os, signal
        os.register_at_fork(after_in_parent=lambda: os.kill(os.getpid(), signal.SIGINT))
        from kecs.cli.main import main
        main(["run", "--quiet", "--", "sleep", "600"])
    """
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    ran = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, timeout=60, check=False)
    assert (ran.returncode, ran.stderr.strip()) == (130, b"")


def test_ctrl_c_that_the_command_handles_is_its_own(here: Lab) -> None:
    program = """if True:
        import signal, time
        print("up", flush=True)
        try: time.sleep(600)
        except KeyboardInterrupt: print("interrupted, going on", flush=True)
        print("done"); raise SystemExit(5)
    """
    sh = shell(here)
    (here.directory / "program.py").write_text(program)
    sh.sendline(f"{shlex.join(here.argv(sys.executable, 'program.py'))}; echo code $?")
    sh.expect_exact("up")
    sh.send("\x03")
    sh.expect_exact("interrupted, going on")
    sh.expect_exact("code 5")
    sh.sendline("exit")
    sh.expect(pexpect.EOF)


def test_ctrl_z_stops_both_and_fg_goes_on(here: Lab) -> None:
    sh = shell(here)
    sh.sendline(f"{shlex.join(here.argv('sh', '-c', 'echo up; read word; echo got $word; exit 9'))}; echo code $?")
    sh.expect_exact("up")
    sh.send("\x1a")
    sh.expect_exact("Stopped")
    sh.expect_exact("prompt> ")
    sh.sendline("fg")
    sh.sendline("hello")
    sh.expect_exact("got hello")
    sh.sendline("jobs; echo end")
    sh.expect_exact("end")
    sh.sendline("exit")
    sh.expect(pexpect.EOF)


def test_an_interactive_shell_inside_has_job_control_and_can_be_suspended(here: Lab) -> None:
    sh = shell(here)
    inner = ["env", "PS1=inner> ", "bash", "--norc", "--noprofile", "-i"]
    sh.sendline(f"{shlex.join(here.argv(*inner))}; echo code $?")
    sh.expect_exact("inner> ")
    sh.sendline("sleep 600")
    sh.send("\x1a")
    sh.expect_exact("Stopped")
    sh.expect_exact("inner> ")
    sh.sendline("kill %1; wait %1; suspend")
    sh.expect_exact("prompt> ")
    sh.sendline("fg")
    sh.sendline("echo back; exit 4")
    sh.expect_exact("back")
    sh.sendline("exit")
    sh.expect(pexpect.EOF)


# --- what is left


def test_kill_9_leaves_nothing(here: Lab, alone: Apart) -> None:
    here = replace(here, apart=alone)
    before = alone.mounts()
    mark = f"KECS_TEST_MARK={here.directory}"
    script = "trap '' TERM; (setsid sleep 600 &) ; sleep 600 & echo up; wait; sleep 600"
    with here.started("sh", "-c", script, KECS_TEST_MARK=str(here.directory)) as run:
        assert line(run) == "up"
        assert processes_with(mark)
        run.kill()
        run.wait(30)
        until(lambda: not processes_with(mark), "all processes of the killed run have ended")
    assert alone.mounts() == before
    runs = here.directory / "kecs"
    assert len(list(runs.glob("run-*"))) == 1
    assert here.run("true").returncode == 0
    assert list(runs.glob("run-*")) == []


def test_daemons_that_the_command_left_are_ended(here: Lab) -> None:
    mark = f"KECS_TEST_MARK={here.directory}"
    ran = here.run("sh", "-c", "trap '' TERM; setsid sleep 600 >&- 2>&- <&- &", KECS_TEST_MARK=str(here.directory))
    assert ran.returncode == 0
    assert processes_with(mark) == []


def test_daemons_are_kept_on_request(here: Lab) -> None:
    mark = f"KECS_TEST_MARK={here.directory}"
    script = "setsid sleep 600 >/dev/null 2>&1 </dev/null &"
    ran = here.run("sh", "-c", script, options=["--keep"], KECS_TEST_MARK=str(here.directory))
    assert ran.returncode == 0
    (daemon,) = processes_with(mark)
    os.kill(daemon, signal.SIGKILL)


def test_nothing_is_left_after_an_ordinary_end(here: Lab, alone: Apart) -> None:
    here = replace(here, apart=alone)
    before = alone.mounts()
    mark = f"KECS_TEST_MARK={here.directory}"
    assert here.run("true", KECS_TEST_MARK=str(here.directory)).returncode == 0
    assert processes_with(mark) == []
    assert alone.mounts() == before
    assert list((here.directory / "kecs").glob("run-*")) == []


def test_a_mount_that_gets_out_of_a_runs_namespace_would_be_seen(alone: Apart, tmp_path: Path) -> None:
    before = alone.mounts()
    alone.leak(tmp_path)
    (left,) = [line for line in alone.mounts() if line not in before]
    assert left.split()[4] == str(tmp_path)
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text(encoding="utf-8")  # nor is ours seen there


# --- several runs


def test_runs_in_parallel_do_not_see_each_other(here: Lab) -> None:
    port = free_port()
    program = f"""if True:
        import socket, sys
        listener = socket.create_server(("127.0.0.1", {port}))
        print("up", flush=True); sys.stdin.readline()
        with socket.create_connection(("127.0.0.1", {port})) as client:
            listener.accept()[0].send(b"own")
            print(client.recv(9))
    """
    with (
        here.started(sys.executable, "-c", program) as one,
        here.started(sys.executable, "-c", program) as two,
        here.started(sys.executable, "-c", program) as three,
    ):
        runs = (one, two, three)
        assert [line(run) for run in runs] == ["up"] * 3
        assert [run.communicate("\n", timeout=30)[0] for run in runs] == ["b'own'\n"] * 3


def test_a_run_inside_a_run_reaches_both_insides_and_the_host(here: Lab) -> None:
    connect = """if True:
        import socket, sys
        for port in sys.argv[1:]:
            try:
                with socket.create_connection(("127.0.0.1", int(port)), 15) as s: print(s.recv(100).decode())
            except OSError as error: print(type(error).__name__)
        print(socket.gethostbyname("sqs.eu-west-1.amazonaws.com"))
    """
    outer = """if True:
        import socket, subprocess, sys, threading
        listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
        def serve():
            client, _ = listener.accept(); client.sendall(b"outer"); client.close()
        threading.Thread(target=serve, daemon=True).start()
        raise SystemExit(subprocess.run(sys.argv[2:]).returncode)
    """
    outer_port, dead = free_port(), free_port()
    with server(lambda client: client.sendall(b"host")) as host_port:
        nested = here.argv(sys.executable, "-c", connect, str(host_port), str(outer_port), str(dead))
        nested = nested[nested.index("run") - 2 :]  # the user has been changed by then
        ran = here.run(sys.executable, "-c", outer, str(outer_port), *nested)
    assert ran.stdout.split() == ["host", "outer", "ConnectionRefusedError", "198.19.0.7"], ran.stderr


# --- published ports


def ask(port: int, host: str = "127.0.0.1") -> bytes:
    with socket.create_connection((host, port), 30) as client:
        client.sendall(b"a question")
        with contextlib.suppress(OSError):  # a reset may be here already: reading tells of it
            client.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: client.recv(65536), b""))


@pytest.mark.parametrize("inside", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("outside", ["127.0.0.1", "::1"])
def test_a_published_port_is_reached_from_the_host(here: Lab, inside: str, outside: str) -> None:
    host_port, port = free_port(), free_port()
    with here.started(
        sys.executable, "-c", SERVER, inside, str(port), options=["--publish", f"{host_port}:{port}"]
    ) as run:
        assert line(run) == "listening"
        assert ask(host_port, outside) == b"inside got a question"


def test_a_published_port_at_which_nobody_listens_is_reset_on_the_host_and_refused_inside(here: Lab) -> None:
    port = free_port()
    inside = f"""if True:
        import socket, sys
        try: socket.create_connection(("127.0.0.1", {port}), 15)
        except OSError as error: print(type(error).__name__, flush=True)
        sys.stdin.readline()
    """
    with here.started(sys.executable, "-c", inside, options=["--publish", str(port)]) as run:
        assert line(run) == "ConnectionRefusedError"
        with pytest.raises(ConnectionResetError):
            ask(port)


def test_a_published_port_at_which_nobody_listens_inside_does_not_reach_the_hosts_server(here: Lab) -> None:
    published = free_port()
    with server(lambda client: client.sendall(b"the host's")) as port:
        options = ["--publish", f"{published}:{port}"]
        with here.started(sys.executable, "-c", WAITING, options=options) as run:
            assert line(run) == "up"
            with pytest.raises(ConnectionResetError):
                ask(published)


def test_a_busy_host_port_is_refused_before_the_command_starts(here: Lab) -> None:
    with server(lambda _: None) as port:
        ran = here.run("echo", "started", options=["--publish", str(port)])
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith(f"error: --publish {port}: port {port} of the host is busy")
    assert f"hint: choose another one on the host: --publish {port + 1}:{port}" in ran.stderr


def test_a_reset_inside_is_a_reset_outside(here: Lab) -> None:
    port = free_port()
    program = f"""if True:
        import socket, struct
        listener = socket.create_server(("127.0.0.1", {port})); print("up", flush=True)
        client, _ = listener.accept(); client.recv(100)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)); client.close()
        input()
    """
    with here.started(sys.executable, "-c", program, options=["--publish", str(port)]) as run:
        assert line(run) == "up"
        with pytest.raises(ConnectionResetError):
            ask(port)
