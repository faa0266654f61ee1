"""Fuzz the parsers of client bytes, guided by coverage: by atheris where it can be had, else by hypothesis.

What is found lies in .cache/fuzz/TARGET; the beginning is tests/fuzz/seeds/TARGET.

Usage: python tests/fuzz/run.py [--seconds 60] [TARGET...]
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

TESTS: Final = Path(__file__).parents[1]
CACHE: Final = TESTS.parent / ".cache" / "fuzz"
ATHERIS: Final = CACHE / "atheris"
sys.path.insert(0, str(TESTS))


def have_atheris() -> bool:
    """Install it beside the environment, which does not need it otherwise."""
    if (ATHERIS / "atheris").is_dir():
        return True
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--only-binary", ":all:"]
    return subprocess.run([*pip, "--target", str(ATHERIS), "atheris>=3"], check=False).returncode == 0


def guided(target: str, arguments: list[str]) -> None:
    """Be the process that atheris fuzzes in."""
    sys.path.insert(0, str(ATHERIS))
    import atheris  # type: ignore[import-not-found,import-untyped,unused-ignore] # noqa: PLC0415 - see above

    with atheris.instrument_imports(include=["kecs", "h11", "dns"]):
        import fuzz_lab  # noqa: PLC0415 - instrumented only here
    atheris.Setup([sys.argv[0], *arguments], fuzz_lab.TARGETS[target])
    atheris.Fuzz()


def unguided(target: str, seconds: float) -> int:
    """Draw examples for that long."""
    import fuzz_lab  # noqa: PLC0415 - only where atheris is not
    from hypothesis import HealthCheck, given, settings  # noqa: PLC0415 - the same
    from hypothesis import strategies as st  # noqa: PLC0415 - the same

    until, count = time.monotonic() + seconds, 0
    drawn = st.one_of(st.binary(max_size=2000), st.sampled_from(fuzz_lab.seeds(target)))

    @settings(max_examples=2000, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(drawn, drawn, st.integers(0, 2000))
    def one(first: bytes, second: bytes, cut: int) -> None:
        nonlocal count
        count += 1
        fuzz_lab.TARGETS[target](first[:cut] + second)

    while time.monotonic() < until:
        one()
    print(f"{target}: {count} examples, by hypothesis")  # noqa: T201 - a program
    return 0


def fuzz(target: str, seconds: int) -> int:
    """Fuzz one target."""
    corpus = CACHE / target
    corpus.mkdir(parents=True, exist_ok=True)
    limits = [f"-max_total_time={seconds}", "-max_len=4096", "-timeout=20", "-rss_limit_mb=2048", "-verbosity=0"]
    places = [f"-artifact_prefix={corpus}-", str(corpus), str(TESTS / "fuzz" / "seeds" / target)]
    command = [sys.executable, __file__, "--guided", target, "--", *limits, "-print_final_stats=1", *places]
    done = subprocess.run(command, check=False, env={**os.environ, "PYTHONWARNINGS": "ignore"})
    print(f"{target}: {'held' if done.returncode == 0 else 'BROKEN'}", flush=True)  # noqa: T201 - a program
    return done.returncode


def main() -> int:
    """Fuzz what was asked for."""
    if sys.argv[1:2] == ["--guided"]:
        guided(sys.argv[2], sys.argv[4:])
        return 0
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("targets", nargs="*")
    asked = parser.parse_args()
    targets = asked.targets or sorted(path.name for path in (TESTS / "fuzz" / "seeds").iterdir())
    run = fuzz if have_atheris() else unguided
    return max([run(target, asked.seconds) for target in targets])


if __name__ == "__main__":
    sys.exit(main())
