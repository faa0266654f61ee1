"""The chart, rendered by a real helm for a table of values: golden, valid for every version, strict."""

import json
import os
import re
import sys
from pathlib import Path
from subprocess import run
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from helm_lab import CHART, KUBERNETES, ROOT, documents, render, run_helm, validate
from pydantic import BaseModel

from kecs.aws.hosts import SUFFIXES
from kecs.certs import keep, loop, serve
from kecs.certs.requests import IMPORT_SECRET
from kecs.controlplane.config import ControlPlaneConfig
from kecs.controlplane.kubernetes.config import PodConfig
from kecs.controlplane.kubernetes.names import CLUSTER_LABEL
from kecs.core import names
from kecs.gateway.config import GatewayConfig
from kecs.injector.document import Document

FOLDER = Path(__file__).parent
VALUES = sorted((FOLDER / "values").glob("*.yaml"))
UPDATE = os.environ.get("KECS_UPDATE_GOLDEN") == "1"
per_values = pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)


def find(objects: list[dict[str, Any]], kind: str, name: str) -> Any:
    (found,) = [one for one in objects if one["kind"] == kind and one["metadata"]["name"] == name]
    return found


def workloads(objects: list[dict[str, Any]]) -> list[Any]:
    return [one for one in objects if one["kind"] in {"Deployment", "Job"}]


@per_values
def test_golden(values: Path) -> None:
    found = render(files=(values,))
    path = FOLDER / "golden" / values.name
    if UPDATE:
        path.write_text(found, encoding="utf-8")
    assert found == path.read_text(encoding="utf-8")


@per_values
def test_lint_is_strict_and_silent(values: Path) -> None:
    result = run_helm("lint", "--strict", str(CHART), "-f", str(values))
    assert result.returncode == 0, result.stdout
    assert "0 chart(s) failed" in result.stdout
    assert "WARNING" not in result.stdout


@pytest.mark.parametrize("version", KUBERNETES)
@per_values
def test_every_version_takes_it(values: Path, version: str) -> None:
    objects = documents(render(files=(values,), version=version))
    assert objects
    for one in objects:
        validate(one, version)


def test_older_versions_are_refused() -> None:
    result = run_helm("template", str(CHART), "--kube-version", "1.28.0")
    assert "incompatible with Kubernetes v1.28.0" in result.stderr


def test_the_schema_is_generated_from_the_values() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "generate_chart_schema.py"), "--check"]
    result = run(command, capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 0, result.stdout


def test_every_value_is_described() -> None:
    lines = (CHART / "values.yaml").read_text(encoding="utf-8").splitlines()
    sections = [number for number, line in enumerate(lines) if re.match(r"[a-z]\w*:", line)]
    assert [lines[number] for number in sections if not lines[number - 1].startswith("#")] == []


@per_values
def test_every_selector_finds_its_pods(values: Path) -> None:
    objects = documents(render(files=(values,)))
    templates = {one["metadata"]["name"]: one["spec"]["template"] for one in objects if one["kind"] == "Deployment"}
    for one in objects:
        if one["kind"] not in {"Service", "PodDisruptionBudget"}:
            continue
        selector = one["spec"]["selector"]
        template = templates[one["metadata"]["name"]]
        assert selector.get("matchLabels", selector).items() <= template["metadata"]["labels"].items()
        for port in one["spec"].get("ports", ()):
            offered = {entry["name"] for entry in template["spec"]["containers"][0]["ports"]}
            assert port["targetPort"] in offered


@per_values
def test_every_pod_of_ours_is_restricted(values: Path) -> None:
    for one in workloads(documents(render(files=(values,)))):
        if one["metadata"]["name"] == "localstack":  # its image runs as root
            continue
        spec = one["spec"]["template"]["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"]:
            given = container["securityContext"]
            assert given["allowPrivilegeEscalation"] is False
            assert given["readOnlyRootFilesystem"] is True
            assert given["capabilities"] == {"drop": ["ALL"]}
            assert {*container["resources"]["requests"], *container["resources"]["limits"]} == {"cpu", "memory"}


def test_the_names_are_those_of_the_code() -> None:
    objects = documents(render())
    for name in (names.AUTHORITY, names.CERTS_SERVICE, names.INJECTOR_SERVICE):
        assert find(objects, "Deployment", name)["spec"]["template"]["spec"]["serviceAccountName"] == name
        assert find(objects, "ServiceAccount", name)["automountServiceAccountToken"] is False
    for name in (names.CERTS_SERVICE, names.INJECTOR_SERVICE):
        (port,) = find(objects, "Service", name)["spec"]["ports"]
        assert (port["port"], port["targetPort"]) == (443, "https")
    volumes = find(objects, "Deployment", names.CERTS_SERVICE)["spec"]["template"]["spec"]["volumes"]
    assert volumes[0]["secret"] | {"defaultMode": 0} == {
        "secretName": names.ISSUER_SECRET,
        "defaultMode": 0,
    }


def test_helm_makes_no_certificate_and_no_webhook() -> None:
    kinds = {one["kind"] for values in VALUES for one in documents(render(files=(values,)))}
    assert not kinds & {"Secret", "MutatingWebhookConfiguration"}
    text = "".join(path.read_text(encoding="utf-8") for path in CHART.rglob("templates/**/*") if path.is_file())
    assert not re.search(r"\b(genCA|genSignedCert|genSelfSignedCert|lookup|randAlphaNum)\b", text)


def rights(objects: list[dict[str, Any]], account: str) -> set[tuple[str, str, str]]:
    """Return (resource, name or *, verb) that an account has, over all its bindings."""
    found = set()
    for binding in objects:
        subjects = [one["name"] for one in binding.get("subjects") or ()]
        if account not in subjects:
            continue
        role = find(objects, binding["roleRef"]["kind"], binding["roleRef"]["name"])
        for rule in role["rules"]:
            for resource in rule["resources"]:
                for name in rule.get("resourceNames", ["*"]):
                    found |= {(resource, name, verb) for verb in rule["verbs"]}
    return found


def test_only_the_authority_reads_the_root() -> None:
    objects = documents(render())
    accounts = {one["metadata"]["name"] for one in objects if one["kind"] == "ServiceAccount"}
    readers = {
        account
        for account in accounts
        for resource, name, verb in rights(objects, account)
        if resource == "secrets" and name in {names.ROOT_SECRET, "*"} and verb in {"get", "list", "watch"}
    }
    assert readers == {names.AUTHORITY}


def test_the_authority_may_what_it_does() -> None:
    found = rights(documents(render()), names.AUTHORITY)
    for resource, name in loop.WATCHED:  # watched by name
        assert {(resource, name, verb) for verb in ("get", "list", "watch", "patch")} <= found
    assert {("secrets", IMPORT_SECRET, "get"), ("secrets", IMPORT_SECRET, "delete")} <= found
    assert {verb for resource, _, verb in found if resource == "pods"} == {"get", "list", "watch"}


def test_the_issuing_service_has_three_rights() -> None:
    assert rights(documents(render()), names.CERTS_SERVICE) == {
        ("tokenreviews", "*", "create"),
        ("pods", "*", "get"),
        ("namespaces", "*", "get"),
    }


def test_the_injector_sees_one_secret_and_one_webhook() -> None:
    found = rights(documents(render()), names.INJECTOR_SERVICE)
    assert {name for resource, name, _ in found if resource == "secrets"} == {names.INJECTOR_TLS_SECRET}
    by_name = {
        (name, verb) for resource, name, verb in found if resource == "mutatingwebhookconfigurations" and name != "*"
    }
    assert by_name == {(names.INJECTOR_SERVICE, verb) for verb in ("get", "list", "watch", "update", "patch")}
    everywhere = {(resource, verb) for resource, name, verb in found if name == "*"}
    assert {resource for resource, _ in everywhere} == {
        "mutatingwebhookconfigurations",
        "namespaces",
        "limitranges",
        "serviceaccounts",
        "events",
    }
    assert {verb for resource, verb in everywhere if resource in {"limitranges", "serviceaccounts"}} == {
        "list",
        "watch",
    }
    assert ("mutatingwebhookconfigurations", "create") in everywhere


def test_nothing_is_allowed_by_a_star() -> None:
    for values in VALUES:
        for one in documents(render(files=(values,))):
            for rule in one.get("rules") or ():
                assert "*" not in (*rule["apiGroups"], *rule["resources"], *rule["verbs"])


@pytest.mark.parametrize(
    ("values", "hooks"),
    [
        pytest.param("default", {"pre-delete", "post-delete"}, id="as it comes"),
        pytest.param("locked", {"pre-delete"}, id="the authority's records are kept"),
    ],
)
def test_what_happens_on_uninstall(values: str, hooks: set[str]) -> None:
    objects = documents(render(files=(FOLDER / "values" / f"{values}.yaml",)))
    jobs = [one for one in objects if one["kind"] == "Job" and one["metadata"]["name"].startswith("kecs-uninstall")]
    assert {one["metadata"]["annotations"]["helm.sh/hook"] for one in jobs} == hooks


def test_the_injector_restarts_when_it_is_told_something_else() -> None:
    def mark(*values: str) -> str:
        deployment = find(documents(render(*values)), "Deployment", "kecs-injector")
        annotations: dict[str, str] = deployment["spec"]["template"]["metadata"]["annotations"]
        return annotations["kecs.io/config-sha256"]

    assert mark() == mark('emulator.resources.limits.memory="4Gi"')
    assert mark() != mark('proxy.mode="sidecar"')


@per_values
def test_the_injector_understands_what_it_is_told(values: Path) -> None:
    rendered = find(documents(render(files=(values,))), "ConfigMap", "kecs-injector")["data"]["injector.yaml"]
    document = Document.parse(rendered, source=values.name)
    injection = document.injection("1")
    assert injection.images.sidecar.startswith(("kecs-sidecar:", "registry.example.com/"))
    assert injection.certs_url == "https://kecs-certs.kecs-system.svc"
    assert document.registration().fail_open is (values.stem == "coredns")
    assert bool(injection.extra_cas) is (values.stem == "locked")


def test_the_injector_is_told_every_key_it_knows() -> None:
    given = told()
    for name, field in Document.model_fields.items():
        section = field.annotation
        assert isinstance(section, type)
        assert issubclass(section, BaseModel)
        keys = {inner.alias for inner in section.model_fields.values()}
        assert set(given[name]) == keys


def environment(objects: list[dict[str, Any]], deployment: str) -> dict[str, str]:
    (container,) = find(objects, "Deployment", deployment)["spec"]["template"]["spec"]["containers"]
    return {one["name"]: one.get("value", "") for one in container["env"]}


@per_values
def test_the_authority_understands_what_it_is_told(values: Path) -> None:
    options = keep.Options.read(environment(documents(render(files=(values,))), names.AUTHORITY))
    scope = options.settings.scope
    expected = ("amazonaws.com", "api.aws") if values.stem == "locked" else SUFFIXES
    assert (scope.permitted, options.health_port) == (expected, 8081)
    assert scope.root_lifetime.days == (90 if values.stem == "locked" else 3650)
    assert options.settings.propagation.total_seconds() == (600 if values.stem == "locked" else 180)


@per_values
def test_the_issuing_service_understands_what_it_is_told(values: Path) -> None:
    options = serve.Options.read(environment(documents(render(files=(values,))), names.CERTS_SERVICE))
    expected = {"locked": ("monitoring",), "localstack": ("aws-services",), "localstack-token": ("aws-services",)}
    assert options.excluded_namespaces == expected.get(values.stem, ())
    assert (options.port, options.health_port) == (8443, 8081)
    assert str(options.directory) == "/var/run/kecs/issuer"


def told(*values: str) -> Any:
    return told_by(documents(render(*values)))


@pytest.mark.parametrize(
    ("values", "endpoint", "profile"),
    [
        pytest.param((), "http://kecs-emulator.kecs-system.svc.cluster.local:4566", "embedded", id="embedded"),
        pytest.param(
            ("localstack.enabled=true",),
            "http://localstack.aws-services.svc.cluster.local:4566",
            "localstack",
            id="LocalStack",
        ),
        pytest.param(
            ('proxy.localstackEndpoint="http://10.0.0.9:4566/"', 'proxy.profile="generic"'),
            "http://10.0.0.9:4566",
            "generic",
            id="existing",
        ),
    ],
)
def test_who_answers(values: tuple[str, ...], endpoint: str, profile: str) -> None:
    assert (told(*values)["proxy"]["localstackEndpoint"], told(*values)["proxy"]["profile"]) == (endpoint, profile)
    deployments = {one["metadata"]["name"] for one in documents(render(*values)) if one["kind"] == "Deployment"}
    assert ("kecs-emulator" in deployments, "localstack" in deployments) == (
        profile == "embedded",
        profile == "localstack",
    )


def test_accounts_are_told() -> None:
    accounts = ["AKIAIOSFODNN7EXAMPLE=111122223333", "*=444455556666"]
    rendered = told(f"relay.accounts={json.dumps(accounts)}")
    injection = Document.parse(yaml.safe_dump(rendered), source="injector.yaml").injection("1")
    assert injection.relay == {"accounts": accounts}


def test_the_emulators_namespace_is_not_touched() -> None:
    given = ("localstack.enabled=true", 'injector.excludedNamespaces=["monitoring"]')
    assert told(*given)["injector"]["excludedNamespaces"] == ["monitoring", "aws-services"]
    assert told()["injector"]["excludedNamespaces"] == []


def test_two_answers_to_who_answers_are_refused() -> None:
    result = run_helm(
        "template", str(CHART), "--set=localstack.enabled=true,proxy.localstackEndpoint=http://10.0.0.9:4566"
    )
    assert "LocalStack would be deployed and not used; set one of them" in result.stderr


@pytest.mark.parametrize(
    ("value", "place"),
    [
        pytest.param("proxi.mode=1", "proxi", id="misspelled section"),
        pytest.param('proxy.mode="sidecars"', "mode", id="unknown mode"),
        pytest.param('proxy.localstackEndpoint="localstack:4566"', "localstackEndpoint", id="no URL"),
        pytest.param('proxy.account="1234"', "account", id="short account"),
        pytest.param('relay.accounts=["AKIA=1234"]', "accounts", id="short account of a key"),
        pytest.param('relay.accounts=["AKIA"]', "accounts", id="key without an account"),
        pytest.param("proxy.excludePorts=[8080]", "excludePorts", id="port that is not redirected"),
        pytest.param('proxy.excludeCIDRs=["10.0.0.0"]', "excludeCIDRs", id="no network"),
        pytest.param('proxy.initResources.limits.memory="much"', "memory", id="no amount"),
        pytest.param('dns.mode="on"', "mode", id="unknown DNS mode"),
        pytest.param('trust.extraCAs="hello"', "extraCAs", id="no PEM"),
        pytest.param('images.pullPolicy="Sometimes"', "pullPolicy", id="unknown pull policy"),
        pytest.param("injector.replicas=0", "replicas", id="no replica"),
        pytest.param("certs=null", "certs", id="section taken away"),
    ],
)
def test_what_the_schema_refuses(value: str, place: str) -> None:
    result = run_helm("template", str(CHART), "--set-json", value)
    assert result.returncode != 0
    assert place in result.stderr


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        pytest.param((), "the embedded emulator (moto; its state is in memory), at", id="embedded"),
        pytest.param((), "helm test kecs -n kecs-system", id="next command"),
        pytest.param((), "port-forward service/kecs-gateway 4566", id="the gateway"),
        pytest.param((), "the next one forgets it, and ends the tasks", id="a state that goes"),
        pytest.param((), "kecs.io/aws-proxy-mode: sidecar", id="what a user writes"),
        pytest.param(("localstack.enabled=true",), "LocalStack, at", id="LocalStack"),
        pytest.param(
            ("localstack.enabled=true", "localstack.image=localstack/localstack@sha256:00"),
            "exit with 55 unless LOCALSTACK_AUTH_TOKEN",
            id="LocalStack that may want a token",
        ),
        pytest.param(("dns.mode=coredns",), "template IN A amazonaws.com", id="lines for the Corefile"),
        pytest.param(("injector.failOpen=true",), "pods start without the proxy and reach real AWS", id="fail open"),
    ],
)
def test_notes(values: tuple[str, ...], sentence: str) -> None:
    settings = [argument for value in values for argument in ("--set", value)]
    result = run_helm("install", "kecs", str(CHART), "-n", "kecs-system", "--dry-run=client", *settings)
    assert result.returncode == 0, result.stderr
    notes = result.stdout.partition("\nNOTES:\n")[2]
    assert sentence in notes
    assert ("exit with 55" in notes) is ("sha256" in "".join(values))


def test_notes_warn_of_no_loss_where_there_is_none() -> None:
    kept = run_helm("install", "kecs", str(CHART), "--dry-run=client", "--set", "controlplane.persistence.enabled=true")
    assert "kecs proxy check" in kept.stdout
    assert "forgets" not in kept.stdout.partition("\nNOTES:\n")[2]


@per_values
def test_control_plane_and_gateway_understand_what_they_are_told(values: Path) -> None:
    objects = documents(render(files=(values,)))
    gateway = GatewayConfig.from_json(environment(objects, "kecs-gateway")["KECS_GATEWAY_CONFIG"])
    told_to_pods = told_by(objects)["proxy"]
    assert (gateway.backend_host, gateway.backend_port) == _address(told_to_pods["localstackEndpoint"])
    assert (gateway.controlplane_host, gateway.controlplane_port) == _address(told_to_pods["controlplane"])
    if values.stem == "endpoint":  # it names a control plane of its own
        assert not [one for one in objects if one["metadata"]["name"] == "kecs-controlplane"]
        return
    plane = ControlPlaneConfig.from_json(environment(objects, "kecs-controlplane")["KECS_CONTROLPLANE_CONFIG"])
    PodConfig.from_mapping(plane.pods)
    assert plane.emulator == told_to_pods["localstackEndpoint"]
    assert told_to_pods["controlplane"] == "http://kecs-controlplane.kecs-system.svc.cluster.local:8080"
    assert plane.data.startswith("/var/lib/kecs/")


def told_by(objects: list[dict[str, Any]]) -> Any:
    return yaml.safe_load(find(objects, "ConfigMap", "kecs-injector")["data"]["injector.yaml"])


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def test_the_control_plane_is_one_and_may_what_it_does() -> None:
    objects = documents(render())
    spec = find(objects, "Deployment", "kecs-controlplane")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    found = rights(objects, "kecs-controlplane")
    assert {verb for resource, _, verb in found if resource == "secrets"} == {"create", "patch"}
    assert {verb for resource, _, verb in found if resource == "pods"} == {
        *("create", "get", "list", "watch", "patch", "delete")
    }
    simulated = documents(render('controlplane.runtime="simulated"'))
    assert rights(simulated, "kecs-controlplane") == set()
    template = find(simulated, "Deployment", "kecs-controlplane")["spec"]["template"]
    assert template["spec"]["automountServiceAccountToken"] is False


def test_the_control_plane_is_kept_to_the_namespaces_of_its_clusters() -> None:
    """Who makes pods anywhere can read any Secret by them."""
    objects = documents(render(version="1.30.0"))
    spec = find(objects, "ValidatingAdmissionPolicy", "kecs-controlplane")["spec"]
    (condition,) = spec["matchConditions"]
    account = find(objects, "ServiceAccount", "kecs-controlplane")["metadata"]
    assert f"'system:serviceaccount:{account['namespace']}:kecs-controlplane'" in condition["expression"]
    (validation,) = spec["validations"]
    assert f"'{CLUSTER_LABEL}' in namespaceObject.metadata.labels" in validation["expression"]
    covered = {resource for rule in spec["matchConstraints"]["resourceRules"] for resource in rule["resources"]}
    changed = {
        resource for resource, _, verb in rights(objects, "kecs-controlplane") if verb not in {"get", "list", "watch"}
    }
    assert changed - covered == {"namespaces"}
    assert find(objects, "ValidatingAdmissionPolicyBinding", "kecs-controlplane")["spec"]["validationActions"] == [
        "Deny"
    ]
    for others in (documents(render(version="1.29.0")), documents(render('controlplane.runtime="simulated"'))):
        assert not [one for one in others if one["kind"].startswith("ValidatingAdmissionPolicy")]


def test_the_state_may_have_a_volume_that_stays() -> None:
    objects = documents(render("controlplane.persistence.enabled=true", 'controlplane.persistence.size="2Gi"'))
    claim = find(objects, "PersistentVolumeClaim", "kecs-controlplane")
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert claim["spec"]["resources"]["requests"]["storage"] == "2Gi"
    volumes = find(objects, "Deployment", "kecs-controlplane")["spec"]["template"]["spec"]["volumes"]
    assert volumes[0]["persistentVolumeClaim"] == {"claimName": "kecs-controlplane"}


def test_the_gateway_may_have_a_port_of_every_node() -> None:
    assert find(documents(render()), "Service", "kecs-gateway")["spec"]["type"] == "ClusterIP"
    service = find(documents(render("gateway.nodePort=30566")), "Service", "kecs-gateway")["spec"]
    assert (service["type"], service["ports"][0]["nodePort"]) == ("NodePort", 30566)


def test_without_control_plane_and_gateway_the_emulator_answers_all() -> None:
    objects = documents(render("controlplane.enabled=false", "gateway.enabled=false"))
    assert not [one for one in objects if one["metadata"]["name"] in {"kecs-controlplane", "kecs-gateway"}]
    proxy = told_by(objects)["proxy"]
    assert (proxy["controlplane"], proxy["gateway"]) == ("", "")
    alone = documents(render("controlplane.enabled=false"))
    config = GatewayConfig.from_json(environment(alone, "kecs-gateway")["KECS_GATEWAY_CONFIG"])
    assert config.controlplane_host == ""
