"""What the relay costs, beside native peers and no proxy at all. Needs root; changes nothing outside of namespaces.

python -m benchmarks.relay --arms ours,nginx-sni --loads small-c10 --rounds 5 --seconds 1
"""

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NoReturn

from benchmarks.relay import layout, material, nginx, table
from benchmarks.relay.arms import ARMS, Arm, Running, Setting, find, running
from benchmarks.relay.figures import Sample, order
from benchmarks.relay.loads import LOADS, Load
from benchmarks.relay.material import Material
from benchmarks.relay.place import Place, join, place
from kecs.core.names import PROXY_GID, PROXY_UID

REFERENCE = "nginx-sni"
_HINTS = {
    "nginx": "nginx-light libnginx-mod-stream",
    "curl": "curl",
    "wrk": "wrk",
    "setpriv": "util-linux",
    "ip": "iproute2",
}


def main() -> None:
    """Measure and print."""
    options = _options()
    arms, loads = options.arms, options.loads
    _check(arms)
    signal.signal(signal.SIGTERM, _ended)
    with tempfile.TemporaryDirectory(prefix="relay-bench-", dir="/dev/shm") as name:
        directory = Path(name)
        directory.chmod(0o755)
        with _machinery(directory, arms) as found:
            samples = list(_rounds(found, loads, options))
    print(table.render(samples, REFERENCE))
    if options.json:
        Path(options.json).write_text(json.dumps([one.to_json() for one in samples], indent=1), encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arms", type=_names(find), default=list(ARMS.values()), help=", ".join(ARMS))
    parser.add_argument("--loads", type=_names(LOADS.__getitem__), default=list(LOADS.values()), help=", ".join(LOADS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2, help="how long one load lasts in one round")
    parser.add_argument("--json", default="", help="where samples are written")
    return parser.parse_args()


def _names[T](find: Callable[[str], T]) -> Callable[[str], list[T]]:
    def parse(text: str) -> list[T]:
        try:
            return [find(name.strip()) for name in text.split(",") if name.strip()]
        except KeyError as error:
            raise argparse.ArgumentTypeError(f"there is no {error}; see --help") from error

    return parse


def _check(arms: Sequence[Arm]) -> None:
    if os.geteuid() != 0:
        raise SystemExit("error: namespaces and rules take root\n\nhint: sudo make bench")
    needed = {"curl", "wrk", "ip", "setpriv", "nginx", *(name for arm in arms for name in arm.needs)}
    missing = sorted(name for name in needed if shutil.which(name) is None)
    if missing:
        packages = " ".join(_HINTS.get(name, name) for name in missing)
        raise SystemExit(f"error: not installed: {', '.join(missing)}\n\nhint: apt-get install {packages}")


def _ended(_number: int, _frame: object) -> NoReturn:
    raise SystemExit("error: told to end")


@contextmanager
def _machinery(directory: Path, arms: Sequence[Arm]) -> Iterator[list[Running]]:
    """Have all arms run at once, each in its own pod, beside one world."""
    hosts = directory / "hosts"
    hosts.write_text(layout.hosts(), encoding="utf-8")
    made = material.make(directory, layout.LEAF_NAMES)
    with ExitStack() as stack:
        world = stack.enter_context(place(hosts))
        _serve(world, directory, made)
        found = []
        for number, arm in enumerate(arms):
            pod = stack.enter_context(place(hosts))
            join(pod, world, number)
            own = directory / arm.name
            own.mkdir()
            os.chown(own, PROXY_UID, PROXY_GID)
            setting = Setting(directory=own, material=made)
            found.append(stack.enter_context(running(arm, pod, setting)))
        yield found


def _serve(world: Place, directory: Path, made: Material) -> None:
    addresses = (layout.AWS_ADDRESS, layout.FOREIGN_ADDRESS, layout.BACKEND_HOST)
    world.ip("".join(f"addr add {one}/32 dev lo\n" for one in addresses))
    own = directory / "world"
    own.mkdir()
    own.chmod(0o777)
    nginx.provide(own)
    file = own / "nginx.conf"
    file.write_text(nginx.world(own, made), encoding="utf-8")
    world.start("nginx", "-e", "stderr", "-p", str(own), "-c", str(file), user=0)


def _rounds(found: Sequence[Running], loads: Sequence[Load], options: argparse.Namespace) -> Iterator[Sample]:
    for load in loads:
        able = [one for one in found if load.arms is None or one.arm.name in load.arms]
        for one in able:
            load.measure(one, 1)  # warms caches, pools and branch predictors
        for number in range(options.rounds):
            for one in order(able, number):
                values = load.measure(one, options.seconds)
                yield Sample(load=load.name, arm=one.arm.name, round=number, values=values)
                told = " ".join(f"{key}={value:.4g}" for key, value in values.items())
                print(f"{load.name} round {number + 1} {one.arm.name}: {told}", file=sys.stderr)


if __name__ == "__main__":
    main()
