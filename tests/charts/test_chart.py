"""The chart, rendered by a real helm: golden output, refusals by schema, and the same defaults as the settings."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from helm_lab import ROOT, helm

from kecs.core.settings_keys import KEYS
from kecs.core.settings_loading import load
from kecs.core.settings_sources import File

CHART = ROOT / "charts" / "kecs"
GOLDEN = Path(__file__).parent / "golden"
UPDATE = os.environ.get("KECS_UPDATE_GOLDEN") == "1"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(helm()), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def render(*values: str, namespace: str = "kecs-system") -> str:
    settings = [argument for value in values for argument in ("--set-json", value)]
    result = run("template", "kecs", str(CHART), "-n", namespace, *settings)
    assert result.returncode == 0, result.stderr
    return result.stdout


def objects(text: str) -> dict[str, Any]:
    return {document["kind"]: document for document in yaml.safe_load_all(text) if document}


def environment(text: str) -> dict[str, str]:
    (container,) = objects(text)["Deployment"]["spec"]["template"]["spec"]["containers"]
    return {variable["name"]: variable["value"] for variable in container["env"]}


@pytest.mark.parametrize(
    ("name", "values"),
    [
        pytest.param("default", (), id="as it comes"),
        pytest.param("no-persistence", ("localstack.persistence=false",), id="no volume"),
        pytest.param(
            "custom",
            (
                'localstack.services=["s3","dynamodb"]',
                'localstack.environment={"LAMBDA_EXECUTOR":"docker","SKIP_SSL_CERT_DOWNLOAD":"1"}',
                'localstack.resources={"memory":"4Gi","cpu":"2000m","storageSize":"20Gi"}',
                "localstack.debug=true",
                "localstack.port=4567",
            ),
            id="as the guide tunes it",
        ),
    ],
)
def test_golden(name: str, values: tuple[str, ...]) -> None:
    found = render(*values)
    path = GOLDEN / f"{name}.yaml"
    if UPDATE:
        path.write_text(found, encoding="utf-8")
    assert found == path.read_text(encoding="utf-8")


def test_lint_is_strict_and_silent() -> None:
    result = run("lint", "--strict", str(CHART))
    assert result.returncode == 0, result.stdout
    assert "0 chart(s) failed" in result.stdout


def test_the_values_are_the_settings_defaults() -> None:
    text = (CHART / "values.yaml").read_text(encoding="utf-8")
    loaded = load(files=[File(name="values.yaml", text=text)])
    given = [path for path in KEYS if path.startswith("localstack.")]
    assert {path: loaded.value(path) for path in given} == {path: KEYS[path].default for path in given}
    assert all(str(loaded.origin(path)).startswith("values.yaml:") for path in given)


def test_what_is_rendered_hangs_together() -> None:
    found = objects(render())
    assert list(found) == ["Namespace", "PersistentVolumeClaim", "Service", "Deployment"]
    spec = found["Deployment"]["spec"]
    labels = spec["template"]["metadata"]["labels"]
    assert found["Service"]["spec"]["selector"].items() <= labels.items()
    assert spec["selector"]["matchLabels"].items() <= labels.items()
    assert labels["app"] == "localstack"
    (container,) = spec["template"]["spec"]["containers"]
    assert found["Service"]["spec"]["ports"][0]["targetPort"] == container["ports"][0]["name"]
    claim = spec["template"]["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"]
    assert claim == found["PersistentVolumeClaim"]["metadata"]["name"]


def test_the_endpoint_is_the_settings_default() -> None:
    service = objects(render())["Service"]
    host = f"{service['metadata']['name']}.{service['metadata']['namespace']}.svc.cluster.local"
    port = service["spec"]["ports"][0]["port"]
    assert f"http://{host}:{port}" == KEYS["proxy.localstackEndpoint"].default


def test_no_namespace_of_its_own_where_the_release_is() -> None:
    assert "Namespace" not in objects(render('localstack.namespace="kecs-system"'))


def test_switched_off_is_empty() -> None:
    assert objects(render("localstack.enabled=false")) == {}


def test_an_empty_list_of_services_means_all() -> None:
    assert "SERVICES" not in environment(render("localstack.services=[]"))


def test_the_users_variables_win() -> None:
    assert environment(render('localstack.environment={"DEBUG":"1"}'))["DEBUG"] == "1"


def test_the_older_name_of_the_port() -> None:
    found = render("localstack.edgePort=4567")
    assert objects(found)["Service"]["spec"]["ports"][0]["port"] == 4567
    assert environment(found)["GATEWAY_LISTEN"] == "0.0.0.0:4567"
    both = run("template", str(CHART), "--set-json", "localstack.edgePort=4567", "--set-json", "localstack.port=4568")
    assert "localstack.port is 4568 and localstack.edgePort is 4567: they are one port, give it once" in both.stderr


@pytest.mark.parametrize(
    ("value", "place"),
    [
        pytest.param("localstack.prot=1", "localstack", id="misspelled key"),
        pytest.param("localstak.port=1", "localstak", id="misspelled section"),
        pytest.param('localstack.port="http"', "port", id="text for a number"),
        pytest.param("localstack.port=70000", "port", id="port out of range"),
        pytest.param('localstack.resources.memory="2"', "memory", id="amount without a unit"),
        pytest.param('localstack.enabled="yes"', "enabled", id="text for a boolean"),
        pytest.param('localstack.services="s3"', "services", id="text for a list"),
        pytest.param('localstack.dataDir="data"', "dataDir", id="relative path"),
        pytest.param('localstack.environment={"A":1}', "environment", id="number for a variable"),
        pytest.param('localstack.image=""', "image", id="no image"),
        pytest.param('localstack.namespace="A_B"', "namespace", id="no name for a namespace"),
    ],
)
def test_what_the_schema_refuses(value: str, place: str) -> None:
    result = run("template", str(CHART), "--set-json", value)
    assert result.returncode != 0
    assert place in result.stderr


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        pytest.param((), "http://localstack.aws-services.svc.cluster.local:4566", id="where it answers"),
        pytest.param(
            ("--set", "localstack.image=localstack/localstack:latest"), "LOCALSTACK_AUTH_TOKEN is set", id="newer image"
        ),
        pytest.param(("--set", "localstack.enabled=false"), "LocalStack is switched off", id="off"),
    ],
)
def test_notes(values: tuple[str, ...], sentence: str) -> None:
    result = run("install", "kecs", str(CHART), "-n", "kecs-system", "--dry-run=client", *values)
    assert result.returncode == 0, result.stderr
    assert sentence in result.stdout
    assert ("LOCALSTACK_AUTH_TOKEN" in result.stdout) is ("latest" in "".join(values))
