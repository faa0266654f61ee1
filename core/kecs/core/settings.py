"""Every setting of KECS: its key, its type, its default and what it means. Never reads a file or the environment.

`settings_loading.load` makes these values from flags, `KECS_…` variables, YAML and the defaults below. A field's alias
is its key in files; its variable is the path in capitals: `localstack.resources.storageSize` is
`KECS_LOCALSTACK_RESOURCES_STORAGE_SIZE`.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from kecs.core.backends import BackendProfile
from kecs.core.formats import LogFormat, Summary
from kecs.core.names import DEFAULT_ACCOUNT

LOCALSTACK_IMAGE = "localstack/localstack:4.14.0"
"""The last image that runs without an account: later ones exit with 55 unless LOCALSTACK_AUTH_TOKEN is set."""


class ProxyMode(StrEnum):
    """How a workload reaches the emulator."""

    ENVIRONMENT = "environment"
    SIDECAR = "sidecar"
    DISABLED = "disabled"
    AUTO = "auto"


def _matching(pattern: str, sentence: str) -> AfterValidator:
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if not compiled.fullmatch(value):
            raise ValueError(sentence)
        return value

    return AfterValidator(check)


def _check_url(value: str) -> str:
    try:
        url = urlsplit(value)
        sound = url.scheme in {"http", "https"} and bool(url.hostname) and url.port != 0
    except ValueError:
        sound = False
    if not sound:
        raise ValueError("is not an HTTP URL; give one like http://localhost:4566")
    return value


def _check_controlplane(value: str) -> str:
    return value if value in {"", "backend"} else _check_url(value)


def _unique(values: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(values)) != len(values):
        raise ValueError("names something twice; once is enough")
    return values


def _one_account_each(entries: tuple[str, ...]) -> tuple[str, ...]:
    keys = [entry.partition("=")[0] for entry in entries]
    twice = next((key for key in keys if keys.count(key) > 1), "")
    if twice:
        raise ValueError(f"names {twice} twice; give each access key one account")
    return entries


type Port = Annotated[int, Field(ge=1, le=65535)]
type Url = Annotated[str, AfterValidator(_check_url)]
type OptionalUrl = Annotated[str, AfterValidator(lambda value: _check_url(value) if value else value)]
type Memory = Annotated[
    str, _matching(r"\d+(\.\d+)?(E|P|T|G|M|k|Ei|Pi|Ti|Gi|Mi|Ki)", "has no unit Kubernetes knows; e.g. 512Mi or 2Gi")
]
type Cpu = Annotated[str, _matching(r"\d+m|\d+(\.\d+)?", "is not an amount of CPU; e.g. 500m or 2")]
type DnsLabel = Annotated[
    str,
    _matching(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", "is not a name Kubernetes takes; e.g. aws-services"),
]
type Service = Annotated[str, _matching(r"[a-z][a-z0-9-]*", "is not a service's name; e.g. s3, dynamodb, elbv2")]
type Account = Annotated[str, _matching(r"\d{12}", "is not an account id: 12 digits, e.g. 000000000000")]
type AccountOf = Annotated[
    str,
    _matching(
        r"(\*|[A-Za-z0-9_]{1,128})=[0-9]{12}",
        "is not KEY=ACCOUNT, an access key or * and 12 digits; e.g. AKIAIOSFODNN7EXAMPLE=111122223333",
    ),
]
type Region = Annotated[str, _matching(r"|[a-z]{2,}(-[a-z]+)+-\d+", "is not a region as AWS spells it; e.g. eu-west-1")]
type Publish = Annotated[str, _matching(r"(\d{1,5}:)?\d{1,5}", "is not [HOSTPORT:]PORT; e.g. 8080 or 18080:8080")]
type HostPattern = Annotated[
    str,
    _matching(
        r"(\*|[A-Za-z0-9_-]+)(\.(\*|[A-Za-z0-9_-]+))+",
        "is no host name, nor one in which * stands for whole labels; e.g. transcribestreaming.*.amazonaws.com",
    ),
]
type Seconds = Annotated[float, Field(gt=0, le=86400)]


def _check_workers(value: int | str) -> int | str:
    if value == "auto":
        return value
    try:
        number = int(value)
    except ValueError:
        number = 0
    if not 1 <= number <= _WORKERS_MAX:
        raise ValueError(f"is neither auto nor a number of processes; give 1 to {_WORKERS_MAX}")
    return number


_WORKERS_MAX: Final = 64
type Workers = Annotated[int | str, AfterValidator(_check_workers)]


class Section(BaseModel):
    """A group of settings. Keys are spelled in camel case, as in the files."""

    model_config = ConfigDict(
        alias_generator=to_camel, extra="forbid", frozen=True, populate_by_name=False, use_attribute_docstrings=True
    )


class Resources(Section):
    """What LocalStack's pod may use."""

    memory: Memory = "2Gi"
    """Memory request and limit of LocalStack's container."""
    cpu: Cpu = "1000m"
    """CPU request and limit of LocalStack's container."""
    storage_size: Memory = "10Gi"
    """Size of the volume that keeps LocalStack's data; used with localstack.persistence."""


class LocalStack(Section):
    """LocalStack inside the cluster."""

    enabled: bool = True
    """Deploy LocalStack with the cluster."""
    services: Annotated[tuple[Service, ...], AfterValidator(_unique)] = (
        "iam",
        "logs",
        "ssm",
        "secretsmanager",
        "elbv2",
    )
    """Services LocalStack starts with."""
    persistence: bool = True
    """Keep LocalStack's data in a persistent volume."""
    image: Annotated[str, Field(min_length=1)] = LOCALSTACK_IMAGE
    """LocalStack's image. 4.14.0 is the last that runs without an account."""
    namespace: DnsLabel = "aws-services"
    """Namespace LocalStack is deployed in."""
    port: Port = 4566
    """Port of LocalStack's service; localstack.edgePort is an older name for it."""
    resources: Resources = Resources()
    """What LocalStack's pod may use."""
    debug: bool = False
    """Have LocalStack log what it does."""
    data_dir: Annotated[str, _matching(r"/.*", "is not an absolute path")] = "/var/lib/localstack"
    """Where LocalStack keeps its data inside its container."""
    environment: dict[Annotated[str, _matching(r"[A-Za-z_][A-Za-z0-9_]*", "is no variable's name")], str] = {}
    """Further environment variables for LocalStack."""


class Proxy(Section):
    """How workloads reach the emulator."""

    mode: ProxyMode = ProxyMode.ENVIRONMENT
    """How pods reach the emulator where neither pod nor namespace says."""
    localstack_endpoint: Url = "http://localstack.aws-services.svc.cluster.local:4566"
    """Where pods find the emulator."""
    fallback_enabled: bool = True
    """Try the modes of proxy.fallbackOrder where the wanted one is impossible."""
    fallback_order: Annotated[tuple[ProxyMode, ...], AfterValidator(_unique)] = (
        ProxyMode.SIDECAR,
        ProxyMode.ENVIRONMENT,
    )
    """Modes to fall back to, the first possible one."""
    pass_hosts: tuple[str, ...] = ()
    """AWS names to let through undecrypted to their real address. Nothing AWS passes by default."""


class Run(Section):
    """`kecs run` on this machine."""

    backend: OptionalUrl = ""
    """Emulator that answers; empty for the embedded one."""
    profile: BackendProfile = BackendProfile.AUTO
    """What is known of that emulator; auto to ask it."""
    controlplane: Annotated[str, AfterValidator(_check_controlplane)] = ""
    """Who answers ECS; empty for the embedded control plane, `backend` for the emulator."""
    region: Region = ""
    """Region for the command; empty for AWS_REGION, the AWS profile's, else us-east-1."""
    account: Account = DEFAULT_ACCOUNT
    """Account id in ARNs."""
    publish: Annotated[tuple[Publish, ...], AfterValidator(_unique)] = ()
    """Ports of servers inside that the host reaches, [HOSTPORT:]PORT."""
    log: Annotated[str, Field(min_length=1)] = "-"
    """File for the log of calls; - for standard error."""
    log_format: LogFormat = LogFormat.TEXT
    """How calls are written as they happen."""
    quiet: bool = False
    """Neither calls nor summary."""
    dns: bool = True
    """Answer the command's name lookups, AWS names even without any network."""
    summary: Summary = Summary.TABLE
    """How calls are summed up at the end."""


class Relay(Section):
    """The data path and its limits; none is meant to be reached in ordinary use."""

    workers: Workers = 1
    """Processes of a sidecar that carry connections; auto for as many as there are CPUs."""
    peek_timeout: Seconds = 2.0
    """Seconds without a client's first bytes after which its server may speak first."""
    handshake_timeout: Seconds = 30.0
    """Seconds a client's TLS handshake may take."""
    head_timeout: Seconds = 30.0
    """Seconds from a request's first byte to the end of its head; then it is answered 408."""
    body_timeout: Seconds = 120.0
    """Seconds without a byte of a request's body."""
    continue_timeout: Seconds = 0.5
    """Seconds that the emulator may leave a client waiting to be told to go on (Expect: 100-continue)."""
    idle_timeout: Seconds = 350.0
    """Seconds a kept connection may be without a request."""
    connect_timeout: Seconds = 5.0
    """Seconds the emulator may take to accept a connection."""
    dial_timeout: Seconds = 60.0
    """Seconds a server that is not AWS may take to accept a connection."""
    first_byte_timeout: Seconds = 900.0
    """Seconds from a whole request to the first byte of its answer; Lambda's longest invocation must fit."""
    response_timeout: Seconds = 900.0
    """Seconds between two bytes of the emulator's answer."""
    tunnel_idle_timeout: Seconds = 7200.0
    """Seconds without a byte in either direction of a connection that is passed."""
    linger: Seconds = 2.0
    """Seconds that a refused request is still read, so that its answer is not lost."""
    drain_timeout: Annotated[float, Field(ge=0, le=3600)] = 25.0
    """Seconds that requests may take to finish when a sidecar is told to end."""
    drain_quiet: Annotated[float, Field(ge=0, le=60)] = 0.5
    """Seconds without a connection after which that end comes sooner."""
    ready_needs_backend: bool = False
    """Have pods be unready while the emulator can't be reached."""
    engine_hosts: Annotated[tuple[HostPattern, ...], AfterValidator(_unique)] = ()
    """AWS names that the second engine serves whatever clients offer; * stands for one whole label."""
    engine_idle: Annotated[float, Field(ge=0, le=86400)] = 60.0
    """Seconds without a connection after which the second engine ends; 0: never."""
    accounts: Annotated[tuple[AccountOf, ...], AfterValidator(_one_account_each)] = ()
    """Whose resources calls are about, by access key: KEY=ACCOUNT, or *=ACCOUNT for keys that are not named."""
    head_bytes_max: Annotated[int, Field(ge=4096, le=1 << 20)] = 65536
    """Bytes of a request's head; a longer one is answered 431."""
    head_fields_max: Annotated[int, Field(ge=16, le=10000)] = 200
    """Fields of a request's head; more are answered 431."""
    connections_max: Annotated[int, Field(ge=1, le=1 << 20)] = 8192
    """Connections of clients at a time, of one worker; less where the process has descriptors for fewer."""
    connections_reserve: Annotated[int, Field(ge=0, le=4096)] = 64
    """Connections above connectionsMax that are answered 503; further ones are reset."""
    client_connections_max: Annotated[int, Field(ge=0, le=1 << 20)] = 0
    """Connections from one address, 0 for any number. The containers of a pod share one."""
    requests_max: Annotated[int, Field(ge=1, le=1 << 20)] = 4096
    """Requests that wait for the emulator at a time; further ones are answered 503."""
    pool_max: Annotated[int, Field(ge=0, le=65536)] = 256
    """Idle connections kept to the emulator."""
    pool_idle_timeout: Seconds = 60.0
    """Seconds that they are kept."""
    pipelined_bytes_max: Annotated[int, Field(ge=4096, le=1 << 24)] = 65536
    """Bytes of following requests that are read while one is answered."""
    replay_bytes_max: Annotated[int, Field(ge=0, le=1 << 24)] = 65536
    """Bytes of a body that are kept to send it again when a kept connection was dead."""
    discard_bytes_max: Annotated[int, Field(ge=0, le=1 << 40)] = 256 * 1024 * 1024
    """Bytes of a body that are read and dropped when its answer came before its end."""

    def told(self) -> dict[str, Any]:
        """Spell what differs from the defaults as a sidecar is told it."""
        changed = self.model_dump(include=self.model_fields_set, exclude_defaults=True)
        changed = {name: list(value) if isinstance(value, tuple) else value for name, value in changed.items()}
        own = {_TOLD.get(name, name): changed.pop(name) for name in _OWN if name in changed}
        limits = {name + "_s" * (name in _IN_SECONDS): value for name, value in changed.items()}
        return own | ({"relay": limits} if limits else {})


_TOLD: Final[Mapping[str, str]] = {
    "drain_timeout": "drain_timeout_s",
    "drain_quiet": "drain_quiet_s",
    "engine_idle": "engine_idle_s",
}
_OWN: Final = (
    "workers",
    "drain_timeout",
    "drain_quiet",
    "ready_needs_backend",
    "engine_hosts",
    "engine_idle",
    "accounts",
)
"""What is the sidecar's own; the rest is its relay's."""
_IN_SECONDS: Final = frozenset(name for name in Relay.model_fields if name.endswith("_timeout") or name == "linger")


class LogLevel(StrEnum):
    """How much a server tells."""

    DEBUG = "debug"
    """Also what the control plane's parts do."""
    INFO = "info"
    """Calls, one to a line."""
    WARNING = "warning"
    """What somebody has to know."""


class TaskRuntime(StrEnum):
    """What tasks run on."""

    AUTO = "auto"
    SIMULATED = "simulated"
    KUBERNETES = "kubernetes"


class Certs(Section):
    """The authority of the embedded mode."""

    directory: Annotated[str, _matching(r"|/.*|~/.*", "is not an absolute path")] = ""
    """Where the root's key lives; empty for kecs below the XDG data directory."""
    lifetime_hours: Annotated[int, Field(ge=1, le=24 * 30)] = 24
    """Hours that the intermediate of one run is valid; it is renewed at two thirds."""
    root_days: Annotated[int, Field(ge=30, le=36500)] = 3650
    """Days that a new root is valid."""
    rotate_at: Annotated[float, Field(gt=0, lt=1)] = 0.67
    """Share of its root's life after which a run begins a rotation by itself."""
    poll_seconds: Annotated[float, Field(ge=1, le=3600)] = 1.0
    """How often a run looks whether the authority has changed."""


class Server(Section):
    """`kecs server` on this machine."""

    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    """Address it listens on; 0.0.0.0 or :: to be reached from other machines, which may then do anything."""
    port: Port = 8080
    """Port of the ECS API alone."""
    admin_port: Port = 8081
    """Port of health checks and metrics."""
    api_port: Port = 4566
    """Port of the one endpoint for all of AWS."""
    data_dir: Annotated[str, _matching(r"|/.*|~/.*", "is not an absolute path")] = ""
    """Where state is kept; empty for kecs below the XDG data directory."""
    log_level: LogLevel = LogLevel.INFO
    """How much it tells: info for a line per call."""


class ControlPlane(Section):
    """ECS: where its tasks run, and what is remembered."""

    runtime: TaskRuntime = TaskRuntime.AUTO
    """What tasks run on; auto for a cluster where one is named or around, else simulated."""
    kubeconfig: str = ""
    """File that names the cluster; empty for the one that KECS runs in."""
    region: Region = "us-east-1"
    """Region of requests that name none."""
    account: Account = DEFAULT_ACCOUNT
    """Account of access keys that name none."""
    history_hours: Annotated[int, Field(ge=1, le=24 * 365)] = 1
    """Hours that stopped tasks and deleted services stay to be described."""
    proxy_mode: ProxyMode = ProxyMode.SIDECAR
    """How the pods of tasks reach AWS."""
    service_account: str = ""
    """Service account of the pods of tasks; empty for their namespace's default."""
    image_pull_policy: Annotated[str, _matching(r"|Always|IfNotPresent|Never", "is no pull policy of Kubernetes")] = ""
    """Pull policy of the pods of tasks; empty for Kubernetes' own choice."""
    storage_class: str = ""
    """Storage class of their volumes; empty for the cluster's default."""
    priority_class: str = ""
    """Priority class of the pods of tasks; empty for none."""
    registries: dict[str, str] = {}
    """What stands for a registry in the images of tasks, by its host."""

    def pods(self) -> dict[str, str]:
        """Spell how tasks become pods, as a control plane is told it."""
        named = {
            "proxy_mode": str(self.proxy_mode),
            "service_account": self.service_account,
            "image_pull_policy": self.image_pull_policy,
            "storage_class": self.storage_class,
            "priority_class": self.priority_class,
            "registries": ",".join(f"{host}={other}" for host, other in self.registries.items()),
        }
        return {name: value for name, value in named.items() if value}


class Gateway(Section):
    """The one endpoint for all of AWS."""

    backend: OptionalUrl = ""
    """Emulator that answers everything but ECS; empty for the embedded one."""
    profile: BackendProfile = BackendProfile.AUTO
    """What is known of that emulator; auto to ask it."""


class Settings(BaseSettings):
    """All settings, made by `settings_loading.load` alone."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True)

    localstack: LocalStack = LocalStack()
    proxy: Proxy = Proxy()
    run: Run = Run()
    relay: Relay = Relay()
    certs: Certs = Certs()
    server: Server = Server()
    controlplane: ControlPlane = ControlPlane()
    gateway: Gateway = Gateway()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the same
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the same
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the same
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take the merged layers as the one source: a value read here would not know where it came from."""
        return (init_settings,)
