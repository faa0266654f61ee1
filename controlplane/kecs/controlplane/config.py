"""What a control plane is told once, at its start. Plain data: it travels as one JSON object between processes."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Final, Self
from urllib.parse import urlsplit

from kecs.aws.accounts import Accounts
from kecs.core import told
from kecs.core.errors import ConfigError
from kecs.core.names import DEFAULT_ACCOUNT, DEFAULT_REGION

IN_MEMORY: Final = ":memory:"
_WHAT: Final = "the control plane's configuration"
_HOURS: Final = range(1, 24 * 366)
_ACCOUNT_DIGITS: Final = 12
_SECRET: Final = ("token", "secret", "password", "key", "credential")
_MASK: Final = "***"
_DEFAULT: Final = "default"


class RuntimeKind(StrEnum):
    """What tasks run on."""

    SIMULATED = "simulated"
    """Nothing: they live by the clock."""
    KUBERNETES = "kubernetes"
    """Pods of a cluster."""
    AUTO = "auto"
    """Kubernetes where a cluster is named or around us, else simulated."""


def kind_of(asked: RuntimeKind, kubeconfig: str, environ: Mapping[str, str]) -> RuntimeKind:
    """Say which runtime `auto` means."""
    if asked is not RuntimeKind.AUTO:
        return asked
    around = kubeconfig or environ.get("KUBERNETES_SERVICE_HOST")
    return RuntimeKind.KUBERNETES if around else RuntimeKind.SIMULATED


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlPlaneConfig:
    """Where state is, what runs tasks, and who else answers."""

    data: str = IN_MEMORY
    """The file that keeps the state; `:memory:` for none."""
    runtime: RuntimeKind = RuntimeKind.SIMULATED
    kubeconfig: str = ""
    """A file; empty: the service account of the pod we are in."""
    region: str = DEFAULT_REGION
    """Of requests that name none."""
    account: str = DEFAULT_ACCOUNT
    """Of access keys that name none."""
    accounts: tuple[str, ...] = ()
    """Which account an access key means: KEY=ACCOUNT."""
    emulator: str = ""
    """URL of who answers other services; empty: nobody does."""
    gateway: str = ""
    """URL of the gateway, to tell how it is; empty: there is none."""
    history_hours: int = 1
    """How long what has stopped stays to be described."""
    drain_timeout_s: float = 10.0
    """How long requests may take to finish after SIGTERM."""
    pods: Mapping[str, str] = field(default_factory=dict)
    """How tasks become pods, by the names of the runtime's own settings."""
    sources: Mapping[str, str] = field(default_factory=dict)
    """Where values came from, by name."""

    def __post_init__(self) -> None:
        for name in ("emulator", "gateway"):
            value = getattr(self, name)
            if value and (urlsplit(value).scheme not in {"http", "https"} or not urlsplit(value).hostname):
                raise ConfigError(f"{name} {value!r} is no HTTP URL", hint="e.g. http://localhost:4566")
        if self.history_hours not in _HOURS:
            raise ConfigError(f"history_hours is {self.history_hours}", hint=f"1 to {_HOURS.stop - 1}")
        if len(self.account) != _ACCOUNT_DIGITS or not (self.account.isascii() and self.account.isdigit()):
            raise ConfigError(f"account {self.account!r} is no account number", hint="twelve digits")
        if self.drain_timeout_s < 0:
            raise ConfigError(f"drain_timeout_s is {self.drain_timeout_s}", hint="0 or more seconds")
        if not self.data:
            raise ConfigError("data is empty", hint=f"name a file, or {IN_MEMORY}")
        try:
            Accounts.parse(self.accounts)
        except ValueError as error:
            raise ConfigError(f"accounts: {error}", hint="an access key or *, =, and twelve digits") from error

    def to_json(self) -> str:
        """Spell it as one line that `from_json` reads."""
        return told.to_json(self)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote; raise ConfigError for anything unknown or of the wrong type."""
        return told.from_json(cls, text, what=_WHAT)

    def described(self) -> dict[str, Any]:
        """Return every value with its source; what may be a secret is masked."""
        values = asdict(self)
        del values["sources"]
        return {
            name: {"value": _shown(name, value), "source": self.sources.get(name, _DEFAULT)}
            for name, value in values.items()
        }


def _shown(name: str, value: Any) -> Any:
    if value and any(word in _SECRET for word in name.lower().split("_")):
        return _MASK
    if isinstance(value, Mapping):
        return {key: _shown(key, one) for key, one in value.items()}
    if isinstance(value, tuple):
        return [_masked(one) for one in value]
    return _without_password(value) if isinstance(value, str) else value


def _masked(entry: str) -> str:
    """Return an entry of accounts: access keys are no secrets, but nobody's business either."""
    key, equals, account = entry.partition("=")
    return f"{_MASK if key != '*' else key}{equals}{account}"


def _without_password(text: str) -> str:
    """Return a URL without the credentials that it may hold."""
    scheme, found, rest = text.partition("://")
    return f"{scheme}://{_MASK}@{rest.rpartition('@')[2]}" if found and "@" in rest.partition("/")[0] else text
