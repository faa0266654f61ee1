"""The injector's document: the settings that the chart writes for it, as YAML or JSON. Pure.

Its keys are those of the chart's values. Every problem is reported with its path, the value and what is allowed.
"""

from typing import Annotated, Any, Final, Self

import yaml
from pydantic import BeforeValidator, Field, ValidationError

from kecs.core.errors import ConfigError
from kecs.core.names import CERTS_SERVICE, DEFAULT_ACCOUNT, DEFAULT_REGION, SYSTEM_NAMESPACE
from kecs.core.settings import Account, Cpu, DnsLabel, Memory, OptionalUrl, Port, Proxy, Region, Relay, Section, Url
from kecs.injector.config import DnsMode, Endpoint, Images, Injection, Resources, RulesBackend
from kecs.injector.webhook import WebhookSettings

_ECHOED_MAX: Final = 80


class ImagesSection(Section):
    """The images of the two containers."""

    init: str = "kecs-init:latest"
    sidecar: str = "kecs-sidecar:latest"
    pull_policy: str = "IfNotPresent"
    pull_secrets: tuple[str, ...] = ()


def _spelled(value: object) -> object:
    """Take a bare number too: YAML reads `cpu: 1` as one."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


class Amounts(Section):
    """Amounts of one kind."""

    cpu: Annotated[Cpu, BeforeValidator(_spelled)]
    memory: Annotated[Memory, BeforeValidator(_spelled)]


class Bounds(Section):
    """What a container asks for and may use."""

    requests: Amounts
    limits: Amounts

    def resources(self) -> Resources:
        """Return it as the injector knows it."""
        return Resources.of(self.requests.cpu, self.limits.cpu, self.requests.memory, self.limits.memory)


def _bounds(cpu_request: str, cpu_limit: str, memory_request: str, memory_limit: str) -> Bounds:
    return Bounds(
        requests=Amounts(cpu=cpu_request, memory=memory_request), limits=Amounts(cpu=cpu_limit, memory=memory_limit)
    )


class ProxySection(Proxy):
    """How pods reach the emulator: the settings `proxy.*`, and what only a cluster has."""

    profile: str = "localstack"
    region: Region = DEFAULT_REGION
    account: Account = DEFAULT_ACCOUNT
    controlplane: OptionalUrl = ""
    """Who answers ECS; empty for localstackEndpoint."""
    gateway: OptionalUrl = ""
    """What AWS_ENDPOINT_URL says in environment mode; empty for localstackEndpoint."""
    services: Annotated[dict[str, Url], Field(default_factory=dict)]
    """By the end of AWS_ENDPOINT_URL_<SERVICE>."""
    rules: RulesBackend = RulesBackend.NFT
    ipv6: bool = True
    exclude_ports: tuple[Port, ...] = ()
    exclude_cidrs: Annotated[tuple[str, ...], Field(alias="excludeCIDRs")] = ()
    denied_capabilities: tuple[str, ...] = ()
    init_resources: Bounds = _bounds("10m", "500m", "32Mi", "64Mi")
    sidecar_resources: Bounds = _bounds("20m", "1", "64Mi", "256Mi")


class DnsSection(Section):
    """How AWS names are resolved in pods."""

    mode: DnsMode = DnsMode.OFF


class TrustSection(Section):
    """What pods trust."""

    extra_cas: Annotated[str, Field(alias="extraCAs")] = ""


class InjectorSection(Section):
    """The webhook."""

    excluded_namespaces: tuple[DnsLabel, ...] = ()
    fail_open: bool = False
    timeout_seconds: Annotated[int, Field(ge=1, le=30)] = 10


class Document(Section):
    """Everything the injector is told."""

    images: ImagesSection = ImagesSection()
    proxy: Annotated[ProxySection, Field(default_factory=lambda: ProxySection(services={}))]
    relay: Relay = Relay()
    dns: DnsSection = DnsSection()
    trust: TrustSection = TrustSection()
    injector: InjectorSection = InjectorSection()

    @classmethod
    def parse(cls, text: str, *, source: str) -> Self:
        """Read YAML or JSON; raise ConfigError naming `source` and everything that is wrong."""
        try:
            given = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ConfigError(f"{source} is no YAML: {' '.join(str(error).split())}") from error
        if given is None:
            given = {}
        if not isinstance(given, dict):
            raise ConfigError(f"{source} holds {type(given).__name__}, not settings", hint="write `key: value` lines")
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            problems = "; ".join(_problem(one) for one in error.errors())
            raise ConfigError(f"{source}: {problems}", hint="its keys are those of the chart's values") from error

    def injection(self, version: str, *, system_namespace: str = SYSTEM_NAMESPACE) -> Injection:
        """Return the settings of the injection itself."""
        proxy = self.proxy
        return Injection.from_settings(
            proxy,
            version=version,
            images=Images(
                init=self.images.init,
                sidecar=self.images.sidecar,
                pull_policy=self.images.pull_policy,
                pull_secrets=self.images.pull_secrets,
            ),
            environment_endpoint=_endpoint(proxy.gateway, "proxy.gateway"),
            controlplane=_endpoint(proxy.controlplane, "proxy.controlplane"),
            service_endpoints={
                name: Endpoint.parse(url, source=f"proxy.services.{name}") for name, url in proxy.services.items()
            },
            profile=proxy.profile,
            certs_url=f"https://{CERTS_SERVICE}.{system_namespace}.svc",
            region=proxy.region or DEFAULT_REGION,
            account=proxy.account,
            relay=self.relay.told(),
            dns_mode=self.dns.mode,
            rules=proxy.rules,
            ipv6=proxy.ipv6,
            exclude_ports=proxy.exclude_ports,
            exclude_cidrs=proxy.exclude_cidrs,
            denied_capabilities=proxy.denied_capabilities,
            extra_cas=self.trust.extra_cas,
            init_resources=proxy.init_resources.resources(),
            sidecar_resources=proxy.sidecar_resources.resources(),
            system_namespace=system_namespace,
            excluded_namespaces=self.injector.excluded_namespaces,
        )

    def registration(self, *, system_namespace: str = SYSTEM_NAMESPACE) -> WebhookSettings:
        """Return the settings of the webhook's registration."""
        return WebhookSettings(
            system_namespace=system_namespace,
            excluded_namespaces=self.injector.excluded_namespaces,
            fail_open=self.injector.fail_open,
            timeout_s=self.injector.timeout_seconds,
        )


def _endpoint(url: str, source: str) -> Endpoint | None:
    return Endpoint.parse(url, source=source) if url else None


def _problem(error: Any) -> str:
    path = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"there is no key {path}"
    value = repr(error["input"])
    shown = value if len(value) <= _ECHOED_MAX else f"{value[:_ECHOED_MAX]}…"
    return f"{path} is {shown}: {error['msg'].removeprefix('Value error, ')}"
