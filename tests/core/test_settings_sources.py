"""One layer each: what is taken, what is refused, what is nobody's business."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kecs.core.settings_sources import File, Flag, from_file, from_flags, from_variables, shown


def values(text: str) -> dict[str, Any]:
    found = from_file(File(name="kecs.yaml", text=text))
    assert found.problems == ()
    return {given.path: given.value for given in found.given}


def problem(text: str) -> tuple[str, str]:
    (only,) = from_file(File(name="kecs.yaml", text=text)).problems
    return only.message, only.hint


def test_the_guides_own_file() -> None:
    text = """
localstack:
  enabled: true  # Enabled by default since v1.0
  services:
    - iam
    - elbv2
  persistence: true
  image: "localstack/localstack:latest"
  namespace: "aws-services"
  port: 4566
  edgePort: 4566
  resources:
    memory: "2Gi"
    cpu: "1000m"
    storageSize: "10Gi"
  debug: false
  dataDir: "/var/lib/localstack"
  environment:
    LAMBDA_EXECUTOR: "docker"
    SKIP_SSL_CERT_DOWNLOAD: "1"
proxy:
  mode: "environment"  # Options: environment, sidecar, disabled
  localstackEndpoint: "http://localstack.aws-services.svc.cluster.local:4566"
  fallbackEnabled: true
  fallbackOrder:
    - sidecar
    - environment
"""
    found = values(text)
    assert found["localstack.port"] == 4566
    assert found["localstack.resources.storageSize"] == "10Gi"
    assert found["localstack.environment"] == {"LAMBDA_EXECUTOR": "docker", "SKIP_SSL_CERT_DOWNLOAD": "1"}
    assert found["proxy.fallbackOrder"] == ["sidecar", "environment"]
    assert len(found) == 16


def test_files_know_their_lines() -> None:
    found = from_file(File(name="kecs.yaml", text="# one\n\nlocalstack:\n  port: 1\n"))
    assert str(found.given[0].origin) == "kecs.yaml:4"


@pytest.mark.parametrize("text", ["", "# nothing\n", "localstack:\n", "localstack:\n  # all commented out\nproxy:\n"])
def test_empty_files_and_sections_are_nothing(text: str) -> None:
    assert values(text) == {}


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        pytest.param(
            "localstack:\n  prot: 1\n",
            'kecs.yaml:2: localstack.prot is no setting; it is "1"',
            "did you mean localstack.port?",
            id="misspelled key",
        ),
        pytest.param(
            "locastack: {}\n",
            'kecs.yaml:1: locastack is no setting; it is "{}"',
            "did you mean localstack?",
            id="misspelled section",
        ),
        pytest.param(
            "zzzz: 1\n",
            'kecs.yaml:1: zzzz is no setting; it is "1"',
            "`kecs config show` lists every setting",
            id="unknown",
        ),
        pytest.param(
            "localstack: on fire\n",
            'kecs.yaml:1: localstack is "on fire", not a table of settings',
            "write key: value",
            id="text for a section",
        ),
        pytest.param(
            "- a\n",
            'kecs.yaml:1: the document is "[a]", not a table of settings',
            "write key: value",
            id="list at the top",
        ),
        pytest.param(
            "localstack: {port: '1'}\n",
            'kecs.yaml:1: localstack.port is "1": not whole number',
            "localstack.port is whole number, without quotes",
            id="quoted number",
        ),
        pytest.param(
            "localstack: {port: true}\n",
            'kecs.yaml:1: localstack.port is "true": not whole number',
            "localstack.port is whole number, without quotes",
            id="boolean for a number",
        ),
        pytest.param(
            "run: {account: 000000000000}\n",
            'kecs.yaml:1: run.account is "0": not text',
            'put it in quotes: "000000000000"',
            id="number for an account",
        ),
        pytest.param(
            "run: {log: }\n", 'kecs.yaml:1: run.log is "null": not text', "give it a text", id="nothing for a text"
        ),
        pytest.param(
            "localstack: {services: s3}\n",
            'kecs.yaml:1: localstack.services is "s3": not a list',
            "write it like [a, b]",
            id="text for a list",
        ),
        pytest.param(
            "localstack: {services: [1]}\n",
            'kecs.yaml:1: localstack.services is "[1]": a list of text is wanted',
            "put each value in quotes",
            id="number in a list",
        ),
        pytest.param(
            "localstack: {environment: {A: 1}}\n",
            'kecs.yaml:1: localstack.environment is "{A: 1}": a table of text is wanted',
            "put each value in quotes",
            id="number in a table",
        ),
        pytest.param(
            "localstack:\n  port: 1\n  edgePort: 2\n",
            'kecs.yaml:3: localstack.port is "1" at kecs.yaml:2, and as localstack.edgePort "2"',
            "give it once",
            id="two names, two values",
        ),
        pytest.param(
            "a: [",
            "kecs.yaml:1 is not YAML: expected the node content, but found '<stream end>'",
            "check indentation and quotes",
            id="not YAML",
        ),
        pytest.param(
            "run: {log: !!python/name:os.system ''}\n",
            "kecs.yaml:1 is not YAML: could not determine a constructor for the tag "
            "'tag:yaml.org,2002:python/name:os.system'",
            "check indentation and quotes",
            id="a tag that would run code",
        ),
    ],
)
def test_what_a_file_may_not_say(text: str, message: str, hint: str) -> None:
    assert problem(text) == (message, hint)


def test_two_names_one_value() -> None:
    assert values("localstack: {port: 4567, edgePort: 4567}") == {"localstack.port": 4567}


def test_variables_are_taken_by_shape() -> None:
    environ = {
        "KECS_LOCALSTACK_ENABLED": "false",
        "KECS_LOCALSTACK_SERVICES": "s3, sqs,",
        "KECS_LOCALSTACK_ENVIRONMENT": "A=1,B=x=y,",
        "KECS_CONFIG": "/etc/kecs.yaml",
        "PATH": "/bin",
    }
    found = from_variables(environ)
    assert {given.path: given.value for given in found.given} == {
        "localstack.enabled": "false",
        "localstack.services": ["s3", "sqs"],
        "localstack.environment": {"A": "1", "B": "x=y"},
    }
    assert (found.problems, found.foreign) == ((), ())


@pytest.mark.parametrize(
    ("name", "refused"),
    [
        pytest.param("KECS_LOCALSTACK_ENABELD", True, id="misspelled below a section"),
        pytest.param("KECS_PROXY_NOTHING", True, id="unknown below a section"),
        pytest.param("KECS_LOCALSTAK_ENABLED", True, id="section with a letter left out"),
        pytest.param("KECS_LOCLASTACK_ENABLED", True, id="section with letters swapped"),
        pytest.param("KECS_LOCALSTACKK_ENABLED", True, id="section with a letter doubled"),
        pytest.param("KECS_LOCOLSTACK_ENABLED", True, id="section with a letter replaced"),
        pytest.param("KECS_UPDATE_GOLDEN", False, id="a program's own"),
        pytest.param("KECS_INSTANCE", False, id="another program's"),
        pytest.param("KECS_", False, id="prefix alone"),
    ],
)
def test_unknown_variables(*, name: str, refused: bool) -> None:
    found = from_variables({name: "1"})
    assert bool(found.problems) is refused
    assert found.foreign == (() if refused else (name,))


def test_a_misspelled_variable_gets_a_hint() -> None:
    (problem,) = from_variables({"KECS_LOCALSTACK_ENABELD": "false"}).problems
    assert problem.message == 'KECS_LOCALSTACK_ENABELD is no setting; it is "false"'
    assert problem.hint == "did you mean KECS_LOCALSTACK_ENABLED?"


def test_a_table_without_an_equals_sign() -> None:
    (problem,) = from_variables({"KECS_LOCALSTACK_ENVIRONMENT": "A=1,B"}).problems
    assert problem.message == 'KECS_LOCALSTACK_ENVIRONMENT is "A=1,B": not every part is NAME=VALUE'


def test_flags_that_were_not_used_are_nothing() -> None:
    found = from_flags({"run.region": Flag(name="--region", value=None), "run.quiet": Flag(name="-q", value=True)})
    assert [(given.path, given.value, str(given.origin)) for given in found.given] == [("run.quiet", True, "-q")]


@pytest.mark.parametrize(("value", "text"), [("x" * 99, f'"{"x" * 60}…"'), ([1, "a"], '"[1, a]"'), (None, '"null"')])
def test_values_as_errors_quote_them(value: object, text: str) -> None:
    assert shown(value) == text


@given(st.text())
def test_any_text_is_settings_or_problems(text: str) -> None:
    found = from_file(File(name="f", text=text))
    assert all(problem.message and problem.hint for problem in found.problems)
