"""The webhook: `python -m kecs.injector`. What it is told stands in `kecs.injector.run`."""

import sys

from kecs.core.errors import KecsError
from kecs.injector.run import run


def main() -> int:
    """Run until told to end."""
    try:
        run()
    except KecsError as error:
        print(f"error: {error.message}", file=sys.stderr)  # noqa: T201 - the process' one way to say so
        if error.hint:
            print(f"hint: {error.hint}", file=sys.stderr)  # noqa: T201 - the same
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
