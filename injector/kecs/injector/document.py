"""The injector's document: the settings that the chart writes for it, as YAML or JSON. Pure.

Its keys are those of the chart's values. Every problem is reported with its path, the value and what is allowed.
"""

from typing import Annotated, Any, Final, Self

import yaml
from pydantic import BeforeValidator, Field, ValidationError

from kecs.core.errors import ConfigError
from kecs.core.names import DEFAULT_ACCOUNT, DEFAULT_REGION, INJECTOR_SERVICE, SYSTEM_NAMESPACE
from kecs.core.settings import Account, Cpu, DnsLabel, Memory, OptionalUrl, Port, Proxy, Region, Section, Url
from kecs.injector.config import DnsMode, Endpoint, Images, Injection, Resources, RulesBackend
from kecs.injector.webhook import WebhookSettings

_ECHOED_MAX: Final = 80


class ImagesSection(Section):
    """The images of the two containers."""

    init: str = "kecs-init:latest"
    sidecar: str = "kecs-sidecar:latest"
    pull_policy: str = "IfNotPresent"
    pull_secrets: tuple[str, ...] = ()


class WebhookSection(Section):
    """The webhook's registration and its server."""

    system_namespace: DnsLabel = SYSTEM_NAMESPACE
    excluded_namespaces: tuple[DnsLabel, ...] = ("aws-services",)
    service: DnsLabel = INJECTOR_SERVICE
    port: Port = 443
    fail_open: bool = False
    timeout_seconds: Annotated[int, Field(ge=1, le=30)] = 10
    psa_default: str = ""


class BackendSection(Section):
    """Who answers, where that is not the same for all."""

    profile: str = "localstack"
    controlplane: OptionalUrl = ""
    gateway: OptionalUrl = ""
    """What AWS_ENDPOINT_URL says in environment mode; empty for proxy.localstackEndpoint."""
    services: Annotated[dict[str, Url], Field(default_factory=dict)]


class DnsSection(Section):
    """How AWS names are resolved in pods."""

    mode: DnsMode = DnsMode.OFF


class RulesSection(Section):
    """The redirect rules."""

    backend: RulesBackend = RulesBackend.NFT
    ipv6: bool = True
    exclude_ports: tuple[Port, ...] = ()
    exclude_cidrs: tuple[str, ...] = ()
    denied_capabilities: tuple[str, ...] = ()


class TrustSection(Section):
    """What pods trust."""

    extra_cas: Annotated[str, Field(alias="extraCAs")] = ""


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


class ResourcesSection(Section):
    """The resources of the two containers."""

    init: Bounds = _bounds("10m", "500m", "32Mi", "64Mi")
    sidecar: Bounds = _bounds("20m", "1", "48Mi", "128Mi")


class Document(Section):
    """Everything the injector is told."""

    proxy: Proxy = Proxy()
    images: ImagesSection = ImagesSection()
    webhook: WebhookSection = WebhookSection()
    backend: BackendSection = BackendSection()
    dns: DnsSection = DnsSection()
    rules: RulesSection = RulesSection()
    trust: TrustSection = TrustSection()
    resources: ResourcesSection = ResourcesSection()
    region: Region = DEFAULT_REGION
    account: Account = DEFAULT_ACCOUNT
    certs_url: Annotated[str, Field(alias="certsURL")] = ""

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
            problems = [_problem(one) for one in error.errors()]
            raise ConfigError(
                f"{source}: {'; '.join(problems)}", hint="its keys are those of the chart's values"
            ) from error

    def injection(self, version: str) -> Injection:
        """Return the settings of the injection itself."""
        backend, system = self.backend, self.webhook.system_namespace
        return Injection.from_settings(
            self.proxy,
            version=version,
            images=Images(
                init=self.images.init,
                sidecar=self.images.sidecar,
                pull_policy=self.images.pull_policy,
                pull_secrets=self.images.pull_secrets,
            ),
            environment_endpoint=_endpoint(backend.gateway, "backend.gateway"),
            controlplane=_endpoint(backend.controlplane, "backend.controlplane"),
            service_endpoints={
                name: Endpoint.parse(url, source=f"backend.services.{name}") for name, url in backend.services.items()
            },
            profile=backend.profile,
            certs_url=self.certs_url or f"https://kecs-certs.{system}.svc",
            region=self.region or DEFAULT_REGION,
            account=self.account,
            dns_mode=self.dns.mode,
            rules=self.rules.backend,
            ipv6=self.rules.ipv6,
            exclude_ports=self.rules.exclude_ports,
            exclude_cidrs=self.rules.exclude_cidrs,
            denied_capabilities=self.rules.denied_capabilities,
            extra_cas=self.trust.extra_cas,
            init_resources=self.resources.init.resources(),
            sidecar_resources=self.resources.sidecar.resources(),
            system_namespace=system,
            excluded_namespaces=self.webhook.excluded_namespaces,
        )

    def registration(self) -> WebhookSettings:
        """Return the settings of the webhook's registration."""
        return WebhookSettings(
            system_namespace=self.webhook.system_namespace,
            excluded_namespaces=self.webhook.excluded_namespaces,
            service=self.webhook.service,
            port=self.webhook.port,
            fail_open=self.webhook.fail_open,
            timeout_s=self.webhook.timeout_seconds,
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
