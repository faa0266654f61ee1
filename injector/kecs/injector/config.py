"""What the injector is told: by its operator once (`Injection`), about the cluster with each pod (`Facts`). Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, Self
from urllib.parse import SplitResult, urlsplit

from kecs.aws.hosts import is_aws_name
from kecs.aws.profiles import PROFILES
from kecs.certs.bundle import fingerprint, parse
from kecs.core.errors import ConfigError
from kecs.core.names import CERTS_SERVICE, DEFAULT_ACCOUNT, DEFAULT_REGION, SYSTEM_NAMESPACE, UNTOUCHED_NAMESPACES
from kecs.core.settings import Proxy, ProxyMode
from kecs.injector.mode import Marks
from kecs.injector.quantity import Quantity

PSA_LABEL: Final = "pod-security.kubernetes.io/enforce"
_SERVICE: Final = re.compile(r"[A-Z][A-Z0-9_]*")
_PSA_LEVELS: Final = ("privileged", "baseline", "restricted")
_PULL_POLICIES: Final = ("Always", "IfNotPresent", "Never")
_TRUST_BYTES_MAX: Final = 120 * 1024
"""One environment variable holds them all, and Linux takes none above 128 KiB (MAX_ARG_STRLEN)."""
_ROOTS_BYTES: Final = 16 * 1024
"""Room for the authority's own roots, two at most."""
_EMPTY: Final[Mapping[str, str]] = MappingProxyType({})


class DnsMode(StrEnum):
    """How AWS names are resolved in a pod."""

    OFF = "off"
    """As ever: the cluster's DNS must know them."""
    CAPTURE = "capture"
    """The sidecar answers them; a cluster without internet needs it."""
    COREDNS = "coredns"
    """The cluster's DNS answers them, told so by the chart."""


class RulesBackend(StrEnum):
    """Which kernel interface the redirect rules go to."""

    NFT = "nft"
    """NET_ADMIN is enough."""
    LEGACY = "legacy"
    """Needs NET_RAW too: it opens a raw socket."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """The two images, and how they are pulled."""

    init: str
    sidecar: str
    pull_policy: str = "IfNotPresent"
    pull_secrets: tuple[str, ...] = ()
    """Names of Secrets; each must exist in the pod's namespace."""

    def __post_init__(self) -> None:
        for name, image in (("init", self.init), ("sidecar", self.sidecar)):
            if not image or image != image.strip():
                raise ConfigError(f"images.{name} is {image!r}", hint="name an image, e.g. kecs-sidecar:0.1.0")
        if self.pull_policy not in _PULL_POLICIES:
            raise ConfigError(
                f"images.pullPolicy is {self.pull_policy!r}", hint=f"set it to one of {', '.join(_PULL_POLICIES)}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What a container asks for and may use: all four, or a quota on any of them refuses the pod."""

    cpu_request: Quantity
    cpu_limit: Quantity
    memory_request: Quantity
    memory_limit: Quantity

    @classmethod
    def of(cls, cpu_request: str, cpu_limit: str, memory_request: str, memory_limit: str) -> Self:
        """Read the four amounts as Kubernetes spells them."""
        return cls(
            cpu_request=Quantity.parse(cpu_request),
            cpu_limit=Quantity.parse(cpu_limit),
            memory_request=Quantity.parse(memory_request),
            memory_limit=Quantity.parse(memory_limit),
        )

    def __post_init__(self) -> None:
        for what, request, limit in (
            ("cpu", self.cpu_request, self.cpu_limit),
            ("memory", self.memory_request, self.memory_limit),
        ):
            if request > limit:
                raise ConfigError(
                    f"the {what} request {request} is above the limit {limit}", hint="a request fits within its limit"
                )

    def spell(self) -> dict[str, dict[str, str]]:
        """Write it as a container's `resources`."""
        return {
            "requests": {"cpu": str(self.cpu_request), "memory": str(self.memory_request)},
            "limits": {"cpu": str(self.cpu_limit), "memory": str(self.memory_limit)},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """An HTTP endpoint that is not AWS."""

    url: str
    host: str
    port: int
    tls: bool

    @classmethod
    def parse(cls, url: str, *, source: str) -> Self:
        """Read `url`; raise ConfigError naming `source` for anything that no call could be sent to."""
        split = _split(url)
        if split is None or split.scheme not in {"http", "https"} or not split.hostname:
            raise ConfigError(f"{source} is {url!r}, which is no HTTP URL", hint=_URL_HINT)
        if split.path.rstrip("/") or split.query or split.fragment or split.username is not None:
            raise ConfigError(f"{source} is {url!r}, which is more than scheme, host and port", hint=_URL_HINT)
        if is_aws_name(split.hostname):
            raise ConfigError(f"{source} is {url!r}, which is AWS itself", hint="name an emulator's address")
        tls = split.scheme == "https"
        port = split.port if split.port is not None else (443 if tls else 80)
        return cls(url=url.rstrip("/"), host=split.hostname, port=port, tls=tls)


_URL_HINT: Final = "give one like http://localstack.aws-services.svc.cluster.local:4566"


def _split(url: str) -> SplitResult | None:
    try:
        split = urlsplit(url)
        sound = split.port != 0 and not any(c.isspace() or not c.isprintable() for c in url)
    except ValueError:
        return None
    return split if sound else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Injection:
    """The operator's settings. `proxy.*` of kecs.core.settings is their vocabulary; the rest is the chart's."""

    version: str
    images: Images
    mode: ProxyMode = ProxyMode.ENVIRONMENT
    endpoint: Endpoint
    """Who answers AWS calls."""
    environment_endpoint: Endpoint | None = None
    """What AWS_ENDPOINT_URL says, where that is another one: a gateway's."""
    controlplane: Endpoint | None = None
    """Who answers ECS; None: `endpoint` too."""
    service_endpoints: Mapping[str, Endpoint] = field(default=MappingProxyType({}))
    """By the end of AWS_ENDPOINT_URL_<SERVICE>, e.g. S3 or ELASTIC_LOAD_BALANCING_V2."""
    profile: str = "localstack"
    """What is known of the emulator: a name of `kecs.aws.profiles`."""
    certs_url: str = f"https://{CERTS_SERVICE}.{SYSTEM_NAMESPACE}.svc"
    region: str = DEFAULT_REGION
    account: str = DEFAULT_ACCOUNT
    pass_hosts: tuple[str, ...] = ()
    relay: Mapping[str, Any] = field(default=_EMPTY)
    """What the sidecar is told of limits and workers, where that is not its default."""
    dns_mode: DnsMode = DnsMode.OFF
    rules: RulesBackend = RulesBackend.NFT
    ipv6: bool = True
    exclude_ports: tuple[int, ...] = ()
    exclude_cidrs: tuple[str, ...] = ()
    extra_cas: str = ""
    """PEM: what pods are to trust besides the public roots and the authority's."""
    fallback_enabled: bool = True
    fallback_order: tuple[ProxyMode, ...] = (ProxyMode.SIDECAR, ProxyMode.ENVIRONMENT)
    denied_capabilities: tuple[str, ...] = ()
    """What a policy of this cluster takes away or refuses, e.g. NET_ADMIN."""
    init_resources: Resources = field(default=Resources.of("10m", "500m", "32Mi", "64Mi"))
    sidecar_resources: Resources = field(default=Resources.of("20m", "1", "48Mi", "128Mi"))
    system_namespace: str = SYSTEM_NAMESPACE
    excluded_namespaces: tuple[str, ...] = ()
    """Further namespaces that are never touched; the emulator's own belongs here."""

    def __post_init__(self) -> None:
        if self.extra_cas:
            parse(self.extra_cas.encode(), source="trust.extraCAs")
        _check_trust_size(self.extra_cas, room=_ROOTS_BYTES)
        if self.profile not in PROFILES:
            raise ConfigError(f"the emulator's profile is {self.profile!r}", hint=f"one of {', '.join(PROFILES)}")
        for pattern in self.relay.get("engine_hosts", ()):
            if not is_aws_name(pattern.replace("*", "any")):
                raise ConfigError(
                    f"relay.engineHosts names {pattern!r}, which is no AWS name",
                    hint="only AWS names are served at all; e.g. transcribestreaming.*.amazonaws.com",
                )
        for name in self.service_endpoints:
            if not _SERVICE.fullmatch(name):
                raise ConfigError(
                    f"an endpoint of its own has the service {name!r}",
                    hint="name it as in AWS_ENDPOINT_URL_<SERVICE>: S3, DYNAMODB, ELASTIC_LOAD_BALANCING_V2",
                )

    @classmethod
    def from_settings(cls, proxy: Proxy, **rest: Any) -> Self:
        """Take what the settings `proxy.*` say; `rest` is by the names of the fields above."""
        return cls(
            mode=proxy.mode,
            endpoint=Endpoint.parse(proxy.localstack_endpoint, source="proxy.localstackEndpoint"),
            fallback_enabled=proxy.fallback_enabled,
            fallback_order=proxy.fallback_order,
            pass_hosts=proxy.pass_hosts,
            **rest,
        )

    @property
    def untouched_namespaces(self) -> tuple[str, ...]:
        """Every namespace that is never touched, each once."""
        return tuple(dict.fromkeys((*UNTOUCHED_NAMESPACES, self.system_namespace, *self.excluded_namespaces)))

    @property
    def capabilities(self) -> tuple[str, ...]:
        """What the init container needs."""
        return ("NET_ADMIN",) if self.rules is RulesBackend.NFT else ("NET_ADMIN", "NET_RAW")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """The roots that the authority has published."""

    pem: str
    sha256: tuple[str, ...]
    """One per root, lower-case hex, active root first."""

    @classmethod
    def from_pem(cls, pem: bytes, *, source: str) -> Self:
        """Read a bundle; raise AuthorityError naming `source` for anything but certificates."""
        return cls(pem=pem.decode("ascii"), sha256=tuple(fingerprint(one) for one in parse(pem, source=source)))

    def with_extra(self, extra_cas: str) -> str:
        """Spell what a pod is to trust, as PEM; raise ConfigError where no variable can hold it."""
        together = "".join(f"{one.strip()}\n" for one in (self.pem, extra_cas) if one.strip())
        _check_trust_size(together)
        return together


def _check_trust_size(pem: str, *, room: int = 0) -> None:
    most = _TRUST_BYTES_MAX - room
    if len(pem) > most:
        raise ConfigError(
            f"trust.extraCAs and the roots are {len(pem)} bytes, above {most}",
            hint="keep to the roots that pods need; one environment variable holds them all",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitRange:
    """Bounds of one LimitRange for containers; None where it names none."""

    name: str
    minimum: Mapping[str, Quantity] = field(default=MappingProxyType({}))
    maximum: Mapping[str, Quantity] = field(default=MappingProxyType({}))
    ratio: Mapping[str, Quantity] = field(default=MappingProxyType({}))
    """The most that a limit may be, as a multiple of the request."""

    @classmethod
    def of(cls, manifest: Mapping[str, Any]) -> Self:
        """Read what a LimitRange says about containers; the API server has checked it."""
        found: dict[str, dict[str, Quantity]] = {"minimum": {}, "maximum": {}, "ratio": {}}
        for one in manifest["spec"].get("limits") or ():
            if one.get("type") != "Container":
                continue
            for key, bound in (("min", "minimum"), ("max", "maximum"), ("maxLimitRequestRatio", "ratio")):
                amounts = one.get(key) or {}
                found[bound] |= {what: Quantity.parse(amounts[what]) for what in ("cpu", "memory") if what in amounts}
        return cls(name=manifest["metadata"]["name"], **found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of the cluster and of the pod's namespace when the pod is reviewed."""

    namespace: Marks = field(default=Marks())
    """Labels and annotations of the pod's namespace."""
    trust: Trust | None = None
    """None while the authority has published nothing."""
    server_version: tuple[int, int] | None = None
    """Of the API server, e.g. (1, 34); None where it is not known."""
    service_account_annotations: Mapping[str, str] = field(default=_EMPTY)
    """Of the pod's service account, as far as known: a role there is evidence for AWS."""
    limit_ranges: tuple[LimitRange, ...] = ()
    """Of the pod's namespace, as far as known."""
    psa_default: str = ""
    """The cluster's own Pod Security level where a namespace has no label; empty for privileged."""
    dry_run: bool = False
    """Nothing is written: no event, no log as if."""

    @property
    def pod_security(self) -> str:
        """The Pod Security level that the namespace enforces."""
        level = self.namespace.labels.get(PSA_LABEL) or self.psa_default
        return level if level in _PSA_LEVELS else _PSA_LEVELS[0]
