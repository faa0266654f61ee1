"""The errors of KECS, one tree.

KecsError                  exit code 1
├── UsageError         2   the command line is wrong
├── ConfigError        2   a setting is unknown, of the wrong type or impossible
├── BackendError       2   a backend can't be used as asked
├── AuthorityError     1   a key or certificate of the authority can't be used
├── MachineError       1   the machine lacks or forbids what is needed
└── ProtocolError          bytes from a peer that can't be understood; `status` is what to answer
"""


class KecsError(Exception):
    """What went wrong, with the value and where it came from; `hint` is what to do about it."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(KecsError):
    """The command line is wrong."""

    exit_code = 2


class ConfigError(KecsError, ValueError):
    """A setting is unknown, of the wrong type or impossible."""

    exit_code = 2


class BackendError(KecsError):
    """A backend can't be used as asked."""

    exit_code = 2


class AuthorityError(KecsError):
    """A key or certificate of the authority can't be used."""


class MachineError(KecsError, OSError):
    """The machine lacks or forbids what is needed: a kernel feature, a tool, a permission."""


class ProtocolError(KecsError, ValueError):
    """Bytes from a peer that can't be understood; `status` is the HTTP status that says so."""

    def __init__(self, message: str, *, status: int = 400, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status
