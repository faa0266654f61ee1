"""Our two containers, against those who read what they are told: the init container, the sidecar, kubelet."""

import json
import re
from dataclasses import fields
from typing import Any

import pytest
from injector_lab import FACTS, TRUST, a_pod, applied, container_of, env_of, injection, patched

import kecs.sidecar.__main__ as sidecar_main
from kecs.aws.profiles import PROFILES
from kecs.core import names
from kecs.core.errors import ConfigError
from kecs.core.names import INSPECT_PORT, TASK_ANNOTATION
from kecs.core.settings import Relay
from kecs.init_container.config import BackendChoice, IPv6, from_environment
from kecs.injector.config import DnsMode, Endpoint, Injection, RulesBackend
from kecs.injector.containers import EVICTABLE, VOLUMES, sidecar_config, volumes
from kecs.injector.inject import review
from kecs.injector.variables import BUNDLE, PHP_DIRECTORY, ROOTS, TRUSTSTORE
from kecs.injector.wishes import Wishes, read
from kecs.relay.config import RelayConfig
from kecs.sidecar.config import EngineMode, SidecarConfig


def wished(config: Injection, **annotations: str) -> Wishes:
    found = read({f"kecs.io/{name.replace('_', '-')}": value for name, value in annotations.items()}, config)
    assert isinstance(found, Wishes)
    return found


def injected(**changes: Any) -> dict[str, Any]:
    pod = a_pod()
    return applied(pod, patched(review(pod, FACTS, injection(**changes), namespace="demo")).operations)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="defaults"),
        pytest.param(
            {"profile": "generic", "dns_mode": DnsMode.CAPTURE, "pass_hosts": ("*.iot.amazonaws.com",)}, id="more"
        ),
        pytest.param({"controlplane": Endpoint.parse("https://cp:8443", source="x"), "region": "eu-west-1"}, id="most"),
    ],
)
def test_the_sidecar_reads_its_configuration(changes: dict[str, Any]) -> None:
    config = injection(**changes)
    data = sidecar_config(config, wished(config, aws_proxy_debug="true"))
    assert set(data) <= {field.name for field in fields(SidecarConfig)}
    read_back = SidecarConfig.from_json(json.dumps(data))
    assert (read_back.engine, read_back.page_port) == (EngineMode.INSPECT, INSPECT_PORT)
    assert (read_back.profile, read_back.region) == (config.profile, config.region)
    assert read_back.dns_capture is (config.dns_mode is DnsMode.CAPTURE)
    assert read_back.backend_host == config.endpoint.host
    assert bool(read_back.controlplane_host) is (config.controlplane is not None)


def test_everything_that_the_sidecar_can_be_told_about_calls_is_told() -> None:
    config = injection(controlplane=Endpoint.parse("http://cp:1", source="x"))
    missing = {field.name for field in fields(SidecarConfig)} - set(sidecar_config(config, wished(config)))
    with_page = {"page_port", "record", "addons", "unredacted"}
    told = Relay(workers=2, drainTimeout=1, drainQuiet=1, readyNeedsBackend=True, linger=1, engineIdle=1)
    where_not_default = {"accounts", "engine_hosts", "task", *told.told()}
    assert missing == {"role", "backend_found"} | with_page | where_not_default


def test_limits_are_told_where_they_are_not_the_default() -> None:
    hosts = ("transcribestreaming.*.amazonaws.com",)
    accounts = ("AKIAIOSFODNN7EXAMPLE=111122223333", "*=444455556666")
    told = Relay(idleTimeout=20, workers=2, engineHosts=hosts, engineIdle=0, accounts=accounts).told()
    config = injection(relay=told)
    read_back = SidecarConfig.from_mapping(sidecar_config(config, wished(config)))
    assert (read_back.relay.idle_timeout_s, read_back.workers) == (20, 2)
    assert (read_back.engine_hosts, read_back.engine_idle_s) == (hosts, 0)
    assert read_back.accounts == accounts
    assert read_back.relay.head_timeout_s == RelayConfig().head_timeout_s


def test_names_for_the_engine_are_looked_at_before_pods_are() -> None:
    with pytest.raises(ConfigError, match=r"'example\.\*\.com', which is no AWS name"):
        injection(relay={"engine_hosts": ["kinesis.*.amazonaws.com", "example.*.com"]})


def test_the_sidecar_is_told_of_the_task_that_the_pod_is() -> None:
    config = injection()
    said = {"task_arn": "arn:aws:ecs:us-east-1:000000000000:task/c/1", "containers": [{"name": "web", "cpu": 5}]}
    wanted = read({TASK_ANNOTATION: json.dumps(said)}, config)
    assert isinstance(wanted, Wishes)
    read_back = SidecarConfig.from_mapping(sidecar_config(config, wanted))
    assert read_back.task.task_arn == said["task_arn"]
    assert [(one.name, one.cpu) for one in read_back.task.containers] == [("web", 5)]


@pytest.mark.parametrize("value", ["{", "[]", "1", ""])
def test_a_task_that_is_no_object_is_refused(value: str) -> None:
    assert read({TASK_ANNOTATION: value}, injection()) == (
        "pod annotation kecs.io/ecs-task is no JSON object; the control plane writes it",
    )


def test_the_pods_own_endpoint_is_the_backend() -> None:
    config = injection()
    data = sidecar_config(config, wished(config, localstack_endpoint="https://mine.example"))
    assert (data["backend_host"], data["backend_port"], data["backend_tls"]) == ("mine.example", 443, True)


def test_the_settings_know_the_sidecars_profiles() -> None:
    assert injection().profile in PROFILES
    with pytest.raises(ConfigError, match="'moto'"):
        injection(profile="moto")
    with pytest.raises(ConfigError, match="'s3'"):
        injection(service_endpoints={"s3": Endpoint.parse("http://s3", source="x")})


def test_the_sidecar_knows_the_variables_that_it_gets() -> None:
    given = {name for name in env_of(injected(), names.SIDECAR_CONTAINER) if name.startswith("KECS_")}
    documented = set(re.findall(r"KECS_[A-Z_]+", sidecar_main.__doc__ or ""))
    agreed = {
        "KECS_SIDECAR_CERTS_URL",
        "KECS_SIDECAR_TOKEN_FILE",
        "KECS_SIDECAR_TRUST_FILE",
        "KECS_SIDECAR_PROBE_HOST",
    }
    assert given <= documented | agreed


def test_the_init_container_reads_its_environment() -> None:
    config = from_environment(env_of(injected(), names.INIT_CONTAINER))
    assert config.trust_roots.decode() == TRUST.pem
    assert str(config.trust_directory) == names.TRUST_DIRECTORY
    assert (config.backend, config.ipv6) == (BackendChoice.NFT, IPv6.AUTO)
    assert not config.redirect.capture_dns


def test_the_init_container_reads_an_operators_choices() -> None:
    pod = injected(
        dns_mode=DnsMode.CAPTURE,
        rules=RulesBackend.LEGACY,
        ipv6=False,
        exclude_ports=(80,),
        exclude_cidrs=("10.0.0.0/8", "fd00::/8"),
    )
    environment = env_of(pod, names.INIT_CONTAINER)
    config = from_environment(environment)
    assert (config.backend, config.ipv6) == (BackendChoice.LEGACY, IPv6.OFF)
    assert config.redirect.capture_dns
    assert config.redirect.excluded_ports == (80,)
    assert [str(one) for one in config.redirect.excluded_networks] == ["10.0.0.0/8", "fd00::/8"]
    lock = environment["XTABLES_LOCKFILE"]
    writable = [mount["mountPath"] for mount in mounts(pod, names.INIT_CONTAINER) if not mount.get("readOnly")]
    assert any(lock.startswith(f"{path}/") for path in writable)
    assert container_of(pod, names.INIT_CONTAINER)["securityContext"]["capabilities"]["add"] == ["NET_ADMIN", "NET_RAW"]


def mounts(pod: dict[str, Any], container: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = container_of(pod, container)["volumeMounts"]
    return found


def test_only_the_init_container_can_write_the_trust_files_and_only_the_sidecar_has_the_token() -> None:
    pod = injected()
    containers = (names.INIT_CONTAINER, names.SIDECAR_CONTAINER, "app")
    every = [(name, mount) for name in containers for mount in mounts(pod, name)]
    writable = [(name, mount["name"]) for name, mount in every if not mount.get("readOnly")]
    assert writable == [(containers[0], "kecs-trust"), (containers[1], "kecs-tmp")]
    assert [name for name, mount in every if mount["name"] == "kecs-token"] == [containers[1]]
    assert [name for name, mount in every if mount["name"] == "kecs-none"] == list(containers[:2])
    assert {mount["name"] for _, mount in every} == set(VOLUMES)
    assert tuple(volume["name"] for volume in volumes()) == VOLUMES
    assert {volume["name"] for volume in volumes() if "emptyDir" in volume} == set(EVICTABLE)


def test_both_run_with_no_more_than_they_need() -> None:
    pod = injected()
    init, sidecar = (container_of(pod, name) for name in (names.INIT_CONTAINER, names.SIDECAR_CONTAINER))
    for container in (init, sidecar):
        security = container["securityContext"]
        assert security["capabilities"]["drop"] == ["ALL"]
        assert security["readOnlyRootFilesystem"]
        assert not security["allowPrivilegeEscalation"]
        assert not security["privileged"]
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert {key: set(value) for key, value in container["resources"].items()} == {
            "requests": {"cpu", "memory"},
            "limits": {"cpu", "memory"},
        }
    assert init["securityContext"]["capabilities"]["add"] == ["NET_ADMIN"]
    assert (init["securityContext"]["runAsUser"], init["securityContext"]["runAsNonRoot"]) == (0, False)
    assert "add" not in sidecar["securityContext"]["capabilities"]
    assert sidecar["securityContext"]["runAsUser"] == names.PROXY_UID
    assert sidecar["securityContext"]["runAsGroup"] == names.PROXY_GID


def test_kubelet_probes_the_health_port_on_the_pods_address() -> None:
    sidecar = container_of(injected(), names.SIDECAR_CONTAINER)
    for name, path in (("startupProbe", "/readyz"), ("readinessProbe", "/readyz"), ("livenessProbe", "/livez")):
        assert sidecar[name]["httpGet"] == {"path": path, "port": names.PROBE_PORT, "scheme": "HTTP"}
    environment = {entry["name"]: entry for entry in sidecar["env"]}
    assert environment["KECS_SIDECAR_PROBE_HOST"]["valueFrom"]["fieldRef"]["fieldPath"] == "status.podIP"
    assert environment["KECS_SIDECAR_ADMIN_HOST"]["value"] == "127.0.0.1"


def test_ours_come_first_so_that_the_users_init_containers_are_intercepted() -> None:
    pod = a_pod(initContainers=[{"name": "migrate"}])
    after = applied(pod, patched(review(pod, FACTS, injection(), namespace="demo")).operations)
    assert [one["name"] for one in after["spec"]["initContainers"]] == [
        "aws-proxy-init",
        "aws-proxy-sidecar",
        "migrate",
    ]
    assert container_of(after, "aws-proxy-sidecar")["restartPolicy"] == "Always"


def test_the_paths_are_those_of_the_files_that_the_init_container_writes() -> None:
    assert {BUNDLE, ROOTS, TRUSTSTORE, PHP_DIRECTORY} == {
        f"{names.TRUST_DIRECTORY}/{name}" for name in ("bundle.pem", "ca.pem", "truststore.jks", "php")
    }
