import pytest

from kecs.core.errors import ConfigError
from kecs.core.settings import ProxyMode
from kecs.injector.config import DnsMode, RulesBackend
from kecs.injector.document import Document

FULL = """
images: {init: a/init:1, sidecar: a/sidecar:1, pullPolicy: Always, pullSecrets: [one, two]}
proxy:
  mode: auto
  localstackEndpoint: http://emulator.kecs-system.svc:4566
  fallbackEnabled: false
  profile: embedded
  controlplane: http://controlplane.own.svc:8080
  gateway: http://gateway.own.svc:4566
  services: {S3: "http://s3.own.svc:9000"}
  rules: legacy
  ipv6: false
  excludePorts: [80]
  excludeCIDRs: [10.0.0.0/8]
  deniedCapabilities: [NET_RAW]
  initResources: {requests: {cpu: 1m, memory: 16Mi}, limits: {cpu: 1, memory: 32Mi}}
  sidecarResources: {requests: {cpu: 0.5, memory: 64Mi}, limits: {cpu: 2, memory: 256Mi}}
  region: eu-west-1
  account: "123456789012"
dns: {mode: capture}
injector: {excludedNamespaces: [emulators, others], failOpen: true, timeoutSeconds: 7}
"""


def test_an_empty_document_is_the_defaults() -> None:
    injection = Document.parse("", source="injector.yaml").injection("1.2.3")
    assert (injection.version, injection.mode, injection.dns_mode) == ("1.2.3", ProxyMode.ENVIRONMENT, DnsMode.OFF)
    assert injection.certs_url == "https://kecs-certs.kecs-system.svc"
    assert injection.endpoint.url == "http://localstack.aws-services.svc.cluster.local:4566"


def test_every_key_arrives() -> None:
    document = Document.parse(FULL, source="injector.yaml")
    injection = document.injection("1", system_namespace="own")
    registration = document.registration(system_namespace="own")
    assert injection.mode is ProxyMode.AUTO
    assert injection.endpoint.host == "emulator.kecs-system.svc"
    assert not injection.fallback_enabled
    assert (injection.images.init, injection.images.pull_policy) == ("a/init:1", "Always")
    assert injection.images.pull_secrets == ("one", "two")
    assert (injection.rules, injection.ipv6) == (RulesBackend.LEGACY, False)
    assert (injection.exclude_ports, injection.exclude_cidrs) == ((80,), ("10.0.0.0/8",))
    assert injection.denied_capabilities == ("NET_RAW",)
    assert injection.sidecar_resources.spell()["requests"] == {"cpu": "500m", "memory": "64Mi"}
    assert (injection.region, injection.account, injection.profile) == ("eu-west-1", "123456789012", "embedded")
    assert injection.controlplane is not None
    assert injection.controlplane.port == 8080
    assert injection.environment_endpoint is not None
    assert injection.environment_endpoint.host == "gateway.own.svc"
    assert injection.service_endpoints["S3"].port == 9000
    assert injection.certs_url == "https://kecs-certs.own.svc"
    assert injection.untouched_namespaces == registration.untouched
    assert registration.untouched[-3:] == ("own", "emulators", "others")
    assert (registration.fail_open, registration.timeout_s) == (True, 7)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("proxy: {mode: sidekick}", "proxy.mode is 'sidekick'", id="unknown mode"),
        pytest.param("proxi: {}", "there is no key proxi", id="unknown key"),
        pytest.param("dns: {mod: off}", "there is no key dns.mod", id="unknown key below"),
        pytest.param("- 1", "holds list", id="a list"),
        pytest.param("{", "is no YAML", id="no YAML"),
        pytest.param("proxy: {account: 12}", "proxy.account is 12", id="account as a number"),
        pytest.param("injector: {timeoutSeconds: 31}", "injector.timeoutSeconds is 31", id="beyond the API's limit"),
        pytest.param(
            "proxy: {initResources: {requests: {cpu: 1x, memory: 1Mi}, limits: {cpu: 1, memory: 1Mi}}}",
            "proxy.initResources.requests.cpu is '1x': is not an amount of CPU",
            id="impossible quantity",
        ),
    ],
)
def test_what_nobody_can_obey_is_named(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Document.parse(text, source="injector.yaml")
    assert said in caught.value.message
    assert caught.value.message.startswith("injector.yaml")


def test_every_problem_is_named() -> None:
    with pytest.raises(ConfigError) as caught:
        Document.parse("a: 1\nb: 2\nproxy: {mode: x}", source="f")
    assert [word in caught.value.message for word in ("key a", "key b", "proxy.mode")] == [True, True, True]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("proxy: {localstackEndpoint: 'https://s3.amazonaws.com'}", "which is AWS itself"),
        ("proxy: {gateway: 'http://x/path'}", "proxy.gateway"),
        ("images: {pullPolicy: Sometimes}", "images.pullPolicy is 'Sometimes'"),
    ],
)
def test_values_that_fit_the_type_and_nothing_else(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Document.parse(text, source="f").injection("1")
    assert said in caught.value.message
