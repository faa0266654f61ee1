"""`python -m kecs.init_container`: redirect rules and trust files of one pod, then gone."""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence

from kecs.core.errors import KecsError
from kecs.init_container import run
from kecs.init_container.config import BackendChoice, Config, from_environment


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run the command and return its exit code; errors are said on standard error, with their hint."""
    parser = argparse.ArgumentParser(prog="python -m kecs.init_container", description=__doc__)
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--dry-run", action="store_true", help="print the rules and change nothing")
    group.add_argument("--cleanup", action="store_true", help="take our rules out and change nothing else")
    group.add_argument("--rules-only", action="store_true", help="write no trust files")
    parser.add_argument(
        "--backend", choices=tuple(BackendChoice), help="which kernel interface to use (over KECS_IPTABLES_BACKEND)"
    )
    options = parser.parse_args(arguments)
    flags = {"KECS_IPTABLES_BACKEND": options.backend} if options.backend else {}
    try:
        print(_act(options, from_environment({**environ, **flags})), end="")  # noqa: T201 - the program's output
    except KecsError as error:
        print(f"error: {error.message}\n\nhint: {error.hint}", file=sys.stderr)  # noqa: T201 - the same
        return error.exit_code
    return 0


def _act(options: argparse.Namespace, config: Config) -> str:
    if options.dry_run:
        return run.show(config)
    if options.cleanup:
        run.remove()
        return "rules removed\n"
    lines = []
    if not options.rules_only:
        run.write_trust(config)
        lines.append(f"trust files written to {config.trust_directory}\n")
    applied = run.apply(config)
    # `kecs proxy rules` reads this log: who is not allowed into the pod sees its rules all the same.
    lines.append(f"rules applied by {applied.backend} for {' and '.join(applied.families)}\n{applied.rules}")
    return "".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
