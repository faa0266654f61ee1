"""Runs a third-party test suite twice, directly against an emulator and without any endpoint, and compares the tests.

The suite is moto's own, of the release that `moto.lock` pins: its source distribution is fetched by hash into a
temporary directory; nothing of it is kept. Each run has an emulator of its own and the same options: the one has
AWS_ENDPOINT_URL at it, the other is started by `kecs run --backend` and has none.

Usage: python -m suites.run [--emulator NAME] [--services s3,sqs | --all | --earlier DIR] [--again 2] [--page FILE]
"""

import argparse
import http.client
import os
import platform
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from suites.outcomes import Comparison, Outcome, compare, folder, page, read, reasons, totals

HERE: Final = Path(__file__).parent
BIN: Final = Path(sys.executable).parent
VERSION: Final = "5.2.5"
MARKS: Final = "not requires_docker and not network"
PATH: Final = f"{BIN}:{os.environ['PATH']}"
ENDLESS: Final = "tests/test_secretsmanager/test_secretsmanager.py::test_rotate_secret_using_lambda"
"""Waits without end for a Lambda function, which needs Docker, and is not marked so."""
_READY_S: Final = 120.0
_SHOWN: Final = 300
_COULD_RUN: Final = (0, 1, 5)
"""Exit codes of pytest that mean it came to its end: all passed, some failed, nothing was selected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Emulator:
    """What both runs talk to."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    reset: str
    """Where it is told to forget everything."""
    account: str
    """Whom it takes for the owner of the suite's access key."""
    services: tuple[str, ...]
    """Folders of the suite that run unless told otherwise."""


EMULATORS: Final[Mapping[str, Emulator]] = {
    "moto_server": Emulator(
        command=(str(BIN / "moto_server"), "-H", "127.0.0.1", "-p", "{port}"),
        environment={"MOTO_EC2_LOAD_DEFAULT_AMIS": "false"},
        reset="/moto-api/reset",
        account="123456789012",
        services=tuple((HERE / "moto_server.services").read_text().split()),
    ),
    "ministack": Emulator(
        command=(str(HERE.parents[1] / ".cache/backends/ministack/bin/python"), "-m", "ministack.app"),
        environment={"GATEWAY_PORT": "{port}", "BIND_HOST": "127.0.0.1", "LOG_LEVEL": "ERROR"},
        reset="/_ministack/reset",
        account="000000000000",
        services=("dynamodb", "kms", "s3", "secretsmanager", "sns", "sqs", "ssm", "sts"),
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the suite lies."""

    emulator: str
    suite: Path
    packages: Path
    outcomes: Path


def fetch(directory: Path, emulator: str) -> Place:
    """Fetch the suite and what it imports beyond our own packages, by hash."""
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "-q")
    hashed = ("--require-hashes", "--no-deps")
    packages = directory / "packages"
    subprocess.run(
        [*pip, "download", *hashed, "--no-binary", "moto", "-d", str(directory), "-r", str(HERE / "moto.lock")],
        check=True,
    )
    subprocess.run(
        [*pip, "install", *hashed, "--target", str(packages), "-r", str(HERE / "moto.packages.lock")], check=True
    )
    name = f"moto-{VERSION}"
    with tarfile.open(directory / f"{name}.tar.gz") as archive:
        # Its tests and settings only: what is tested is the moto that is installed.
        wanted = [each for each in archive if each.name.startswith((f"{name}/tests/", f"{name}/pyproject.toml"))]
        archive.extractall(directory, wanted, filter="data")
    outcomes = directory / "outcomes"
    outcomes.mkdir()
    return Place(emulator=emulator, suite=directory / name, packages=packages, outcomes=outcomes)


@contextmanager
def serving(emulator: Emulator) -> Iterator[str]:
    """Run an emulator; give its URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [part.format(port=port) for part in emulator.command]
    environment = {name: value.format(port=port) for name, value in emulator.environment.items()}
    # Its log has a line for each call, which nobody reads.
    process = subprocess.Popen(
        command, env={"PATH": PATH, **environment}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for(port)
        yield f"http://localhost:{port}"  # S3 Control puts the account before the host's name
    finally:
        process.terminate()
        process.wait(10)


def wait_for(port: int) -> None:
    """Ask until there is an answer."""
    until = time.monotonic() + _READY_S
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("GET", "/")
            connection.getresponse()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)
        else:
            return
        finally:
            connection.close()


def run(place: Place, name: str, tests: Sequence[str]) -> dict[str, Outcome]:
    """Run tests once; `name` says which way: direct or proxied."""
    emulator = EMULATORS[place.emulator]
    noted = place.outcomes / f"{name}-{time.monotonic_ns()}.jsonl"
    with serving(emulator) as url:
        pytest = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "kecs_suite",
            "-p",
            "no:cacheprovider",
            "-m",
            MARKS,
            "--deselect",
            ENDLESS,
            *tests,
        ]
        kecs = [
            str(BIN / "kecs"),
            "run",
            "--backend",
            url,
            "--controlplane",
            "backend",
            "--account",
            emulator.account,
            "-q",
            "--summary",
            "none",
            "--",
        ]
        environment = {
            "PATH": PATH,
            "HOME": str(place.outcomes),
            "LANG": "C.UTF-8",
            "TEST_SERVER_MODE": "true",
            "AWS_ACCESS_KEY_ID": "FOOBARKEY",
            "AWS_SECRET_ACCESS_KEY": "FOOBARSECRET",
            "PYTHONPATH": f"{place.packages}:{HERE / 'inside'}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "KECS_SUITE_RESET": f"{url}{emulator.reset}",
            "KECS_SUITE_OUTCOMES": str(noted),
        }
        if name == "direct":
            environment["AWS_ENDPOINT_URL"] = url
        command = pytest if name == "direct" else [*kecs, *pytest]
        with (place.outcomes / f"{name}.out").open("a") as output:
            code = subprocess.run(
                command, cwd=place.suite, env=environment, stdout=output, stderr=output, check=False
            ).returncode
    if code not in _COULD_RUN:
        raise SystemExit(f"error: the {name} run ended with code {code}\n\nhint: see {output.name} (--keep)")
    with noted.open() as lines:
        return read(lines)


def both(place: Place, tests: Sequence[str]) -> tuple[dict[str, Outcome], dict[str, Outcome]]:
    """Run tests both ways, at the same time."""
    with ThreadPoolExecutor(2) as pool:
        direct, proxied = (pool.submit(run, place, name, tests) for name in ("direct", "proxied"))
        return direct.result(), proxied.result()


def measure(place: Place, tests: Sequence[str], again: int) -> Comparison:
    """Run tests both ways, those that differ once more or oftener, and compare."""
    why = known_reasons(place.emulator)
    direct, proxied = both(place, tests)
    differing = [found.test for found in compare(direct, proxied, why).differences]
    unsteady: list[str] = []
    for _ in range(again):
        open_yet = [test for test in differing if test not in unsteady]
        if not open_yet:
            break
        differ = {found.test for found in compare(*both(place, open_yet), why).differences}
        unsteady += [test for test in open_yet if test not in differ]
    return compare(direct, proxied, why, unsteady)


def known_reasons(emulator: str) -> dict[str, str]:
    """Read the reasons for an emulator's answers."""
    return reasons((HERE / f"{emulator}.reasons.toml").read_text())


def earlier(directory: Path, emulator: str) -> Comparison:
    """Compare what earlier runs have left in a directory: a suite may run in parts."""
    runs = []
    for name in ("direct", "proxied"):
        parts = (part.read_text().splitlines() for part in sorted(directory.glob(f"{name}-*.jsonl")))
        runs.append(read(line for part in parts for line in part))
    return compare(runs[0], runs[1], known_reasons(emulator))


def head(emulator: str, services: Sequence[str], again: int, *, parts: bool) -> str:
    """Say what was run."""
    how = f"Tests that end differently run again, both ways, up to {again} times; what then ends alike is listed apart."
    if parts:
        how = "It ran in parts, which were put together afterwards; what both runs had reached is compared."
    return f"""# A third-party suite, with and without an endpoint: {emulator}

<!-- Written by tests/suites/run.py. -->

{datetime.now(UTC).isoformat(timespec="seconds")}, {os.cpu_count()} CPUs, Python {platform.python_version()}. \
`make test-suite` repeats it.

The suite is moto {VERSION}'s own, {len(services)} folders of it. It has a mode for a server, in which each client gets
that server's URL; here the URL is taken away, and clients have the endpoint of their environment. The suite runs twice,
each time with a {emulator} of its own: once with `AWS_ENDPOINT_URL` at it, and once by `kecs run --backend URL` with no
endpoint at all: names of AWS, TLS verified. Names that tests choose at random are the same in both runs. Left out both
times: tests that need Docker or other machines (`-m "{MARKS}"`).

{how}"""


def say(line: str) -> None:
    """Print a line."""
    sys.stdout.write(f"{line}\n")


def measured(options: argparse.Namespace) -> tuple[Sequence[str], Comparison]:
    """Return the folders of the suite that ran, and what came of them."""
    if options.earlier:
        found = earlier(options.earlier, options.emulator)
        return sorted({folder(test) for test in found.direct}), found
    with tempfile.TemporaryDirectory() as temporary:
        place = fetch(options.keep or Path(temporary), options.emulator)
        tests = [f"tests/test_{service}" for service in options.services or EMULATORS[options.emulator].services]
        if options.all:
            tests = sorted(f"tests/{found.name}" for found in (place.suite / "tests").glob("test_*") if found.is_dir())
        return tests, measure(place, tests, options.again)


def main() -> int:
    """Run, print, write the page; 1 when a test without a reason ended in two ways."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--emulator", choices=sorted(EMULATORS), default="moto_server")
    parser.add_argument("--services", type=lambda text: text.split(","), help="folders of the suite, like s3,sqs")
    parser.add_argument("--all", action="store_true", help="every folder of the suite")
    parser.add_argument("--again", type=int, default=2)
    parser.add_argument("--page", type=Path)
    parser.add_argument("--keep", type=Path, help="an empty directory to work in, and to leave everything in")
    parser.add_argument("--earlier", type=Path, help="the outcomes of earlier runs (--keep), instead of running")
    options = parser.parse_args()
    tests, found = measured(options)
    say(f"directly: {totals(found.direct)}\nwithout endpoint: {totals(found.proxied)}")
    for each in found.differences:
        say(f"\n{each.test}: {each.direct.ended}, without endpoint {each.proxied.ended}")
        say(each.reason or f"  {each.direct.said[-_SHOWN:]}\n  {each.proxied.said[-_SHOWN:]}")
    for test in found.needless:
        say(f"has a reason and needs none: {test}")
    if options.page:
        options.page.write_text(
            page(found, head=head(options.emulator, tests, options.again, parts=bool(options.earlier)))
        )
    return 1 if found.unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
