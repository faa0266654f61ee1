"""Threads of a sidecar allocate from one place: what one has freed, the others can use."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import ctypes, sys, threading
from kecs.calls.process import have_one_arena

if sys.argv[2] == "one":
    have_one_arena()
libc = ctypes.CDLL(None)
libc.malloc.restype = libc.fopen.restype = ctypes.c_void_p
gate = threading.Barrier(4)

def allocate():
    libc.malloc(5000)
    gate.wait()

threads = [threading.Thread(target=allocate) for _ in range(4)]
[one.start() for one in threads]
[one.join() for one in threads]
file = ctypes.c_void_p(libc.fopen(sys.argv[1].encode(), b"w"))
libc.malloc_info(0, file)
libc.fclose(file)
"""


@pytest.mark.parametrize(("which", "several"), [("one", False), ("glibc's own", True)])
def test_arenas(which: str, tmp_path: Path, *, several: bool) -> None:
    told = tmp_path / "malloc"
    subprocess.run([sys.executable, "-c", PROGRAM, str(told), which], check=True, env={}, timeout=60)
    assert (told.read_text().count("<heap nr") > 1) is several
