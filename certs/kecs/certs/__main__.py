"""The processes of the authority: `python -m kecs.certs serve` and `python -m kecs.certs keep`."""

import argparse
import sys
from collections.abc import Callable, Mapping
from typing import Final

from kecs.core.errors import KecsError


def _serve() -> None:
    """Issue intermediates to pods (kecs-certs)."""
    from kecs.certs import serve  # noqa: PLC0415 - neither process needs the other's modules

    serve.run()


def _keep() -> None:
    """Keep the authority of a cluster (kecs-authority)."""
    from kecs.certs import keep  # noqa: PLC0415 - the same

    keep.run()


_COMMANDS: Final[Mapping[str, Callable[[], None]]] = {"serve": _serve, "keep": _keep}


def main() -> int:
    """Run one of the processes until it is told to end."""
    parser = argparse.ArgumentParser(prog="python -m kecs.certs", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, command in _COMMANDS.items():
        commands.add_parser(name, help=command.__doc__)
    try:
        _COMMANDS[parser.parse_args().command]()
    except KecsError as error:
        print(f"error: {error.message}", file=sys.stderr)  # noqa: T201 - the process' one way to say so
        if error.hint:
            print(f"hint: {error.hint}", file=sys.stderr)  # noqa: T201 - the same
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
