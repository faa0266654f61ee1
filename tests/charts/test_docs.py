"""docs/kubernetes.md does not drift: its commands exist with their flags, its manifests are valid and are injected."""

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import pytest
import yaml
from docs_lab import Document, Step
from helm_lab import KUBERNETES, ROOT, documents, helm, kubectl, render, validate

from kecs.certs.store import FileStore

PAGE = Document.read(ROOT / "docs" / "kubernetes.md")
KECS = Path(sys.executable).parent / "kecs"
TOOLS: dict[str, Callable[[], Path]] = {"helm": helm, "kubectl": kubectl, "kecs": lambda: KECS}
MANIFESTS = {name: text for name, text in PAGE.files.items() if not name.startswith("values")}
VALUES = {name: text for name, text in PAGE.files.items() if name.startswith("values")}
per_step = pytest.mark.parametrize("step", PAGE.steps, ids=lambda step: step.command)


def subcommands(step: Step) -> list[str]:
    """Return the words that choose a command: those before the first flag, name or file."""
    words: list[str] = []
    for word in step.words[1:]:
        if word.startswith("-") or (words and not has_subcommand(step.words[0], tuple(words), word)):
            break
        words.append(word)
    return words


@cache
def help_of(tool: str, words: tuple[str, ...]) -> str:
    command = [str(TOOLS[tool]()), *words, "--help"]
    environment = {**os.environ, "COLUMNS": "200"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def has_subcommand(tool: str, words: tuple[str, ...], word: str) -> bool:
    return any(line.split()[:1] == [word] for line in help_of(tool, words).splitlines() if line.startswith(" "))


@per_step
def test_every_command_and_flag_exists(step: Step) -> None:
    tool = step.words[0]
    words = subcommands(step)
    assert words
    text = help_of(tool, tuple(words))
    for flag in (word.partition("=")[0] for word in step.words if word.startswith("-")):
        inherited = {"--namespace"} if tool != "kecs" else set()
        assert flag in text or flag in inherited, f"{tool} {' '.join(words)} has no {flag}"


@per_step
def test_every_file_a_command_names_is_in_the_document(step: Step) -> None:
    files = [word for word in step.words if word.endswith(".yaml")]
    assert set(files) <= set(PAGE.files)
    charts = [word for word in step.words if word.startswith("charts/")]
    assert all((ROOT / chart / "Chart.yaml").exists() for chart in charts)


def test_other_shell_lines_are_sound() -> None:
    text = PAGE.text
    for block in text.split("```shell\n")[1:]:
        script = block.partition("```")[0]
        subprocess.run(["bash", "-n"], input=script, text=True, check=True, timeout=10)
        for target in ("images", "e2e"):
            if f"make {target}" in script:
                assert f"\n{target}:" in (ROOT / "Makefile").read_text(encoding="utf-8")


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("name", MANIFESTS)
def test_every_version_takes_the_manifests(name: str, version: str) -> None:
    for one in documents(MANIFESTS[name]):
        validate(one, version)


@pytest.mark.parametrize("name", VALUES)
def test_the_chart_takes_the_values(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(VALUES[name], encoding="utf-8")
    assert documents(render(files=(path,)))
    uncommented = "\n".join(line.replace("# authToken", "authToken") for line in VALUES[name].splitlines())
    path.write_text(uncommented, encoding="utf-8")
    assert documents(render(files=(path,)))


def test_the_programs_compile() -> None:
    (pod,) = documents(MANIFESTS["app.yaml"])
    (container,) = pod["spec"]["containers"]
    (program,) = container["args"]
    compile(program, "app.yaml", "exec")
    assert "endpoint" not in program


def test_the_example_is_injected(tmp_path: Path) -> None:
    """With what the chart tells the injector, and the roots of an authority."""
    rendered = next(
        one for one in documents(render()) if one["kind"] == "ConfigMap" and one["metadata"]["name"] == "kecs-injector"
    )
    authority = FileStore(tmp_path / "authority", permitted=("amazonaws.com",)).load_or_create(datetime.now(UTC))
    files = {
        "app.yaml": MANIFESTS["app.yaml"],
        "settings.yaml": rendered["data"]["injector.yaml"],
        "roots.pem": authority.bundle_pem.decode(),
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    given = ["--settings", "settings.yaml", "--trust-roots", "roots.pem", "--server-version", "1.34"]
    command = [str(KECS), "proxy", "inject", "-f", "app.yaml", *given]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (pod,) = documents(done.stdout)
    names = [container["name"] for container in pod["spec"]["initContainers"]]
    assert names == ["aws-proxy-init", "aws-proxy-sidecar"]
    for version in KUBERNETES:
        validate(pod, version)


def test_every_variable_of_the_e2e_driver_is_described() -> None:
    lab = (ROOT / "tests" / "e2e_lab.py").read_text(encoding="utf-8")
    described = lab[: lab.index('"""\n')]
    table = PAGE.section("Testing on a cluster of your own").text
    for name in ("E2E_LOAD_IMAGE", "E2E_HELM_ARGS", "E2E_JAVA_IMAGE", "E2E_NODE_IMAGE", "E2E_TIMEOUT", "IMAGE_PREFIX"):
        assert name in described
        assert f"`{name}`" in table


def test_links_lead_somewhere() -> None:
    for word in PAGE.text.split("](")[1:]:
        target = word.partition(")")[0]
        assert (ROOT / "docs" / target).exists(), target


def test_yaml_blocks_are_yaml() -> None:
    for text in PAGE.files.values():
        assert yaml.safe_load(text)
