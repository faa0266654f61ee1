"""LocalStack as the chart deploys it: the settings' defaults, the guides' names, the token of newer images."""

from typing import Any

import pytest
from helm_lab import CHART, documents, render, run_helm

from kecs.core.settings_keys import KEYS
from kecs.core.settings_loading import load
from kecs.core.settings_sources import File

ON = "localstack.enabled=true"


def objects(*values: str, namespace: str = "kecs-system") -> dict[str, Any]:
    found = documents(render(ON, *values, namespace=namespace))
    ours = [one for one in found if one["metadata"]["name"] in {"localstack", "aws-services"}]
    return {one["kind"]: one for one in ours}


def environment(*values: str) -> dict[str, Any]:
    (container,) = objects(*values)["Deployment"]["spec"]["template"]["spec"]["containers"]
    return {variable["name"]: variable.get("value") for variable in container["env"]}


def test_the_values_are_the_settings_defaults() -> None:
    """All but one: the chart's default backend is the embedded emulator."""
    text = (CHART / "values.yaml").read_text(encoding="utf-8")
    section = text[text.index("\nlocalstack:") : text.index("\n# Who may talk")]
    own = section[: section.index("  # The Secret, in LocalStack's")]
    loaded = load(files=[File(name="values.yaml", text=own)])
    given = [path for path in KEYS if path.startswith("localstack.") and path != "localstack.enabled"]
    assert {path: loaded.value(path) for path in given} == {path: KEYS[path].default for path in given}
    assert all(str(loaded.origin(path)).startswith("values.yaml:") for path in given)


def test_what_is_rendered_hangs_together() -> None:
    found = objects()
    assert sorted(found) == ["Deployment", "Namespace", "PersistentVolumeClaim", "Service"]
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
    service = objects()["Service"]
    host = f"{service['metadata']['name']}.{service['metadata']['namespace']}.svc.cluster.local"
    port = service["spec"]["ports"][0]["port"]
    assert f"http://{host}:{port}" == KEYS["proxy.localstackEndpoint"].default


def test_no_namespace_of_its_own_where_the_release_is() -> None:
    assert "Namespace" not in objects('localstack.namespace="kecs-system"')


def test_an_empty_list_of_services_means_all() -> None:
    assert "SERVICES" not in environment("localstack.services=[]")


def test_the_users_variables_win() -> None:
    assert environment('localstack.environment={"DEBUG":"1"}')["DEBUG"] == "1"


def test_the_token_comes_from_a_secret() -> None:
    (container,) = objects('localstack.authToken={"secretName":"ls"}')["Deployment"]["spec"]["template"]["spec"][
        "containers"
    ]
    (token,) = [one for one in container["env"] if one["name"] == "LOCALSTACK_AUTH_TOKEN"]
    assert token["valueFrom"] == {"secretKeyRef": {"name": "ls", "key": "LOCALSTACK_AUTH_TOKEN"}}


@pytest.mark.parametrize(
    ("image", "refused"),
    [
        pytest.param("localstack/localstack:2026.03.0", True, id="an image that wants a token"),
        pytest.param("registry.example:5000/mirror/localstack:2026.8", True, id="the same from a mirror"),
        pytest.param("localstack/localstack-pro:latest", True, id="the latest"),
        pytest.param("localstack/localstack", True, id="no tag is the latest"),
        pytest.param("localstack/localstack:4.14.0", False, id="the last that wants none"),
        pytest.param("localstack/localstack@sha256:00", False, id="a digest does not tell"),
        pytest.param("example.com/our-own:2026.1", False, id="another program"),
    ],
)
def test_an_image_that_wants_a_token_is_refused_without_one(image: str, *, refused: bool) -> None:
    given = ("--set-json", ON, "--set-json", f'localstack.image="{image}"')
    said = run_helm("template", str(CHART), *given).stderr
    assert (f"localstack.image is {image}, which exits with 55 without LOCALSTACK_AUTH_TOKEN" in said) is refused
    if refused:
        token = 'localstack.authToken={"secretName":"ls"}'
        assert run_helm("template", str(CHART), *given, "--set-json", token).returncode == 0


def test_the_older_name_of_the_port() -> None:
    assert objects("localstack.edgePort=4567")["Service"]["spec"]["ports"][0]["port"] == 4567
    assert environment("localstack.edgePort=4567")["GATEWAY_LISTEN"] == "0.0.0.0:4567"
    both = ("--set-json", "localstack.edgePort=4567", "--set-json", "localstack.port=4568", "--set-json", ON)
    said = run_helm("template", str(CHART), *both).stderr
    assert "localstack.port is 4568 and localstack.edgePort is 4567: they are one port, give it once" in said


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
    result = run_helm("template", str(CHART), "--set-json", value)
    assert result.returncode != 0
    assert place in result.stderr
