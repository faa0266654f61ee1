"""The kinds of emulator that settings and flags can name."""

from enum import StrEnum


class BackendProfile(StrEnum):
    """What is known of an emulator: a name of `kecs.aws.profiles`, or that it is to be asked."""

    AUTO = "auto"
    EMBEDDED = "embedded"
    LOCALSTACK = "localstack"
    MINISTACK = "ministack"
    MOTO_SERVER = "moto-server"
    GENERIC = "generic"
