"""Our processes start, say that they are ready, and end with us."""

import os
import signal
import socket

import pytest

from kecs.core.errors import MachineError
from kecs.local import children


def test_the_emulator_says_when_it_is_ready_and_ends_when_asked() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        child = children.start("emulator", "kecs.emulator", ["--fd", str(listener.fileno())], [listener.fileno()])
        assert child.wait_ready(60)
        assert os.getsid(child.process.pid) == child.process.pid
        child.stop()
    assert child.process.returncode is not None


def test_a_child_ends_when_our_end_of_its_control_pipe_closes() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        child = children.start("emulator", "kecs.emulator", ["--fd", str(listener.fileno())], [listener.fileno()])
        child.wait_ready(60)
        child.close()
        assert child.process.wait(30) is not None


def test_a_child_that_ends_at_start_is_reported_with_its_code() -> None:
    child = children.start("emulator", "kecs.emulator", ["--no-such-option"], [])
    with pytest.raises(MachineError, match="the emulator ended at start with code 2"):
        child.wait_ready(60)
    child.close()


def test_a_child_that_stays_silent_is_reported_and_can_be_stopped() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        child = children.start("emulator", "kecs.emulator", ["--fd", str(listener.fileno())], [listener.fileno()])
        os.kill(child.process.pid, signal.SIGSTOP)
        with pytest.raises(MachineError, match="not ready within 0 s"):
            child.wait_ready(0.0)
        os.kill(child.process.pid, signal.SIGCONT)
        child.stop()
    assert child.process.returncode is not None
