"""`kecs proxy inject` and `uninject` on files: what is written, what is said, and what stays byte for byte."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kecs.certs.authority import certificate_pem, issue_root
from kecs.cli.inject import inject_command, uninject_command
from kecs.cli.inject_documents import read, spell, to_yaml
from kecs.core.errors import ConfigError, KecsError
from kecs.injector.reason import SENTENCES, Reason

SERVICE = """\
# a service, not ours
apiVersion: v1
kind: Service   # kept as it is
metadata: {name: web}
spec:
    ports:   [ {port: 80} ]
"""
DEPLOYMENT = """\
---
# about the web
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: demo}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata:
      labels: {app: web}
      annotations: {kecs.io/aws-proxy-mode: environment}
    spec:
      containers:
      - {name: web, image: "python:3.13", args: ["1e3", "0x1", "22:22", "yes", 2026-01-01]}
# the end
"""
CRON_JOB = """\
---
kind: CronJob
metadata: {name: nightly}
spec: {jobTemplate: {spec: {template: {spec: {containers: [{name: a, image: b}]}}}}}
"""


def run(command: Any, text: str, *arguments: str) -> Result:
    return CliRunner().invoke(command, ["-f", "-", *arguments], input=text, standalone_mode=False)


def injected(text: str, *arguments: str) -> Result:
    found = run(inject_command, text, *arguments)
    assert found.exception is None, found.output
    return found


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = issue_root(datetime(2026, 1, 1, tzinfo=UTC), permitted=("amazonaws.com",)).certificate
    path = tmp_path_factory.mktemp("roots") / "roots.pem"
    path.write_bytes(certificate_pem(root))
    return str(path)


def test_what_does_not_change_stays_byte_for_byte() -> None:
    found = injected(SERVICE + DEPLOYMENT + CRON_JOB)
    start, _, rest = found.stdout.partition("---\n# about the web\n")
    assert start == SERVICE
    assert rest.endswith(f"# the end\n{CRON_JOB}")
    assert found.stderr.splitlines() == [
        f"deployment/web in demo: injected, mode environment: {SENTENCES[Reason.POD_MODE]} (pod_mode)",
        f"cronjob/nightly in default: untouched: {SENTENCES[Reason.NOT_OPTED_IN]} (not_opted_in)",
    ]


def test_nothing_to_do_changes_nothing() -> None:
    text = f"%YAML 1.1\n---\n{SERVICE}...\n--- {{kind: ConfigMap}}\n---\n{CRON_JOB}\r\n# über\n"
    assert injected(text).stdout_bytes.decode() == text
    assert injected(SERVICE).stderr == "no workload: nothing in there makes pods\n"


def test_inject_then_uninject_gives_the_same_values_and_a_second_inject_the_same_bytes() -> None:
    once = injected(SERVICE + DEPLOYMENT).stdout
    assert injected(once).stdout == once
    back = run(uninject_command, once)
    assert list(yaml.safe_load_all(back.stdout)) == [
        *yaml.safe_load_all(SERVICE + DEPLOYMENT.replace("2026", "'2026").replace("01-01]", "01-01']"))
    ]
    assert back.stderr == "deployment/web: taken back\n"
    assert run(uninject_command, DEPLOYMENT).stderr == "deployment/web: untouched: it is not injected\n"


def test_texts_that_look_like_something_else_stay_texts() -> None:
    (template,) = [each for each in yaml.safe_load_all(injected(DEPLOYMENT).stdout) if each]
    assert template["spec"]["template"]["spec"]["containers"][0]["args"] == ["1e3", "0x1", "22:22", "yes", "2026-01-01"]


def test_the_sidecar_of_a_cron_job(roots: str) -> None:
    found = injected(CRON_JOB, "--mode", "sidecar", "--trust-roots", roots, "--server-version", "v1.34.2")
    pod = yaml.safe_load(found.stdout)["spec"]["jobTemplate"]["spec"]["template"]
    assert [one["name"] for one in pod["spec"]["initContainers"]] == ["aws-proxy-init", "aws-proxy-sidecar"]
    assert Path(roots).read_text() in {entry.get("value") for entry in pod["spec"]["initContainers"][0]["env"]}
    back = run(uninject_command, found.stdout)
    assert yaml.safe_load(back.stdout) == yaml.safe_load(CRON_JOB)


def test_what_is_refused_stops_all(roots: str) -> None:
    found = run(
        inject_command, DEPLOYMENT + CRON_JOB, "--mode", "sidecar", "--trust-roots", roots, "--server-version", "1.28"
    )
    assert (found.return_value, found.stdout) == (1, "")
    assert "cronjob/nightly in default: refused (namespace_mode, server_too_old)" in found.stderr
    assert "  error: the API server is 1.28: sidecars that start before the application need" in found.stderr


def test_missing_roots_come_with_a_hint() -> None:
    found = run(inject_command, CRON_JOB, "--mode", "sidecar")
    assert (found.return_value, found.stdout) == (1, "")
    assert found.stderr.splitlines()[-1].startswith("hint: give the roots with --trust-roots")


def test_settings_and_flags(tmp_path: Path, roots: str) -> None:
    settings_file = tmp_path / "settings.yaml"
    settings_file.write_text("proxy: {mode: sidecar, localstackEndpoint: 'http://theirs:1'}\n")
    metadata = "metadata: {name: p, annotations: {kecs.io/aws-proxy-enabled: 'true'}}"
    pod = f"kind: Pod\n{metadata}\nspec: {{containers: [{{name: a}}]}}\n"
    arguments = ("--settings", str(settings_file), "--trust-roots", roots, "-n", "here", "--endpoint", "http://ours:2")
    images = ("--init-image", "mine/init:1", "--sidecar-image", "mine/sidecar:1")
    found = injected(pod, *arguments, *images, "-o", "json")
    spec = json.loads(found.stdout)["spec"]
    assert [one["image"] for one in spec["initContainers"]] == ["mine/init:1", "mine/sidecar:1"]
    assert '"backend_host":"ours","backend_port":2' in json.dumps(spec).replace('\\"', '"')
    assert found.stderr.startswith("pod/p in here: injected, mode sidecar")


def test_namespaces_and_service_accounts_in_the_file_count() -> None:
    text = """\
kind: Namespace
metadata: {name: demo, labels: {kecs.io/aws-proxy: enabled}, annotations: {kecs.io/aws-proxy-mode: auto}}
---
kind: ServiceAccount
metadata: {name: reader, namespace: demo, annotations: {eks.amazonaws.com/role-arn: x}}
---
kind: Pod
metadata: {name: p, namespace: demo}
spec: {serviceAccountName: reader, hostNetwork: true, containers: [{name: a}]}
---
kind: Pod
metadata: {name: q, namespace: demo}
spec: {containers: [{name: a}]}
"""
    lines = injected(text).stderr.splitlines()
    assert lines[0].startswith("pod/p in demo: injected, mode environment: the namespace's annotation")
    assert lines[1].startswith("  warning: no sidecar, mode environment instead: spec.hostNetwork is true")
    assert lines[2].startswith("pod/q in demo: untouched: ")
    assert lines[2].endswith("(no_evidence)")


def test_an_annotation_in_the_wrong_place_is_told() -> None:
    text = DEPLOYMENT.replace("namespace: demo}", "namespace: demo, annotations: {kecs.io/aws-proxy-mode: sidecar}}")
    assert (
        "  warning: annotation kecs.io/aws-proxy-mode has no effect here; pods are marked at spec.template.metadata"
        in injected(text).stderr.splitlines()
    )


def test_lost_comments_are_told() -> None:
    text = DEPLOYMENT.replace("spec:\n  selector", "spec:  # inside\n  selector")
    assert injected(text).stderr.splitlines()[-1] == "1 changed document had comments inside, which are not kept"


def test_json_stays_json_and_becomes_yaml_or_a_list_when_asked() -> None:
    values = list(yaml.safe_load_all(DEPLOYMENT.replace("2026-01-01", "x")))
    as_json = json.dumps(values[0])
    once = json.loads(injected(as_json).stdout)
    assert yaml.safe_load(injected(as_json, "-o", "yaml").stdout) == once
    listed = json.loads(injected(SERVICE + DEPLOYMENT.replace("2026-01-01", "x"), "-o", "json").stdout)
    assert (listed["kind"], listed["items"][1]) == ("List", once)
    wrapped = json.dumps({"kind": "List", "items": values})
    assert json.loads(injected(wrapped).stdout)["items"] == [once]
    assert injected('{"kind":   "Service"}').stdout == '{"kind":   "Service"}'


def test_several_files_are_kept_apart(tmp_path: Path) -> None:
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.write_text("kind: A")
    two.write_text("# two\nkind: B\n---\nkind: C\n")
    found = CliRunner().invoke(inject_command, ["-f", str(one), "-f", str(two)], standalone_mode=False)
    assert found.stdout == "kind: A\n---\n# two\nkind: B\n---\nkind: C\n"


def test_a_document_in_flow_style_behind_its_mark_gets_a_line_of_its_own() -> None:
    metadata = "{annotations: {kecs.io/aws-proxy-mode: environment}}"
    found = injected(f"kind: A\n--- {{kind: Pod, metadata: {metadata}, spec: {{containers: [{{name: a}}]}}}}\n").stdout
    assert found.startswith("kind: A\n---\nkind: Pod\n")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(b"a: [", "standard input is no manifest", id="no YAML"),
        pytest.param(b"{", "standard input is no manifest", id="no JSON"),
        pytest.param(b"a: !!python/object:os.x {}", "standard input is no manifest", id="a tag"),
        pytest.param(b"a: !!binary aGk=", "a value of type bytes has no place", id="a type"),
        pytest.param(b"\xff", "standard input is not UTF-8", id="another encoding"),
    ],
)
def test_what_is_no_manifest(content: bytes, said: str) -> None:
    found = CliRunner().invoke(inject_command, ["-f", "-"], input=content, standalone_mode=False)
    assert isinstance(found.exception, KecsError)
    assert said in found.exception.message
    assert found.exception.hint


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--server-version", "new"), "--server-version is 'new'"),
        (("--endpoint", "https://s3.amazonaws.com"), "which is AWS itself"),
    ],
)
def test_flags_that_are_impossible(arguments: tuple[str, ...], said: str) -> None:
    found = run(inject_command, SERVICE, *arguments)
    assert isinstance(found.exception, KecsError)
    assert said in found.exception.message


def test_uninject_refuses_what_it_can_not_read() -> None:
    found = run(uninject_command, "kind: Pod\nspec: {containers: 7}\n")
    assert (found.return_value, found.stdout) == (1, "")
    assert found.stderr == "pod/(no name): refused\n  error: spec.containers is 7; it must be a list\n"


SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=12)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)
AMBIGUOUS = st.sampled_from(
    ["y", "NO", "on", "~", "null", "0o17", "010", "1e3", "1_0", "1:30", "2026-01-01", "=", "<<", ".5"]
)


@settings(max_examples=300)
@example({"\n\x85": "a\x85b", "a": "\n\u2028\u2029\n"})
@given(st.dictionaries(st.text(max_size=5) | AMBIGUOUS, VALUES | AMBIGUOUS, max_size=4))
def test_what_is_written_is_read_as_it_was(value: dict[str, Any]) -> None:
    text = to_yaml(value)
    (document,) = read(text, source="x")
    assert document.value == value
    assert yaml.safe_load(text) == value


@settings(max_examples=200)
@given(st.text("-#.:{}[]ab \n\r\t%&*!|>'\"\\", max_size=40))
def test_any_text_is_kept_or_refused(text: str) -> None:
    try:
        documents = read(text, source="x")
    except ConfigError:
        return
    assert spell(documents, "") == text


@pytest.mark.parametrize(
    ("text", "value"),
    [("0o17", 15), ("017", 15), ("0x1F", 31), ("-0b11", -3), ("1_000", 1000), ("1e3", 1000.0), ("-.5", -0.5), ("0", 0)],
)
def test_numbers_are_read_as_kubectl_reads_them(text: str, value: float) -> None:
    assert read(f"a: {text}", source="x")[0].value == {"a": value}


@pytest.mark.parametrize("text", ["1:30", "2026-01-01", "089", "1.2.3", "0x", "="])
def test_what_is_no_number_is_a_text(text: str) -> None:
    assert read(f"a: {text}", source="x")[0].value == {"a": text}
