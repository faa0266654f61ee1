import os
import subprocess
import sys

from benchmarks.relay.accounting import cpu_ns, memory


def test_the_kernel_tells_what_a_process_has_used_and_holds() -> None:
    pid = os.getpid()
    before = cpu_ns([pid])[pid]
    assert before > 0
    while cpu_ns([pid])[pid] == before:  # the account of who runs is brought up to date by the clock's interrupts
        sum(range(100_000))
    held = memory([pid])
    assert 0 < held.private <= held.pss <= held.rss


def test_several_processes_are_summed_up() -> None:
    program = "import sys; print(flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout
        other.stdout.readline()
        both = [os.getpid(), other.pid]
        assert set(cpu_ns(both)) == set(both)
        assert memory(both).rss > memory([other.pid]).rss > 0
