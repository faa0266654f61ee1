"""The scripts around the Dockerfile: what they ask of a builder, with builders that only write it down."""

import subprocess
from pathlib import Path

import pytest
from helm_lab import ROOT

SCRIPTS = sorted((ROOT / "scripts").glob("*image*.sh"))
BUILDER = """#!/bin/sh
printf '%s\\n' "$0 $*" >>"$ASKED"
case "$*" in
  *inspect*) echo 123 ;;
  build*) for context; do :; done; ls "$context" "$context/dist" >>"$ASKED" ;;
esac
"""


@pytest.fixture
def builders(tmp_path: Path) -> Path:
    """A directory for PATH, without any builder of this machine."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "cat", "cp", "dirname", "git", "id", "ls", "mkdir", "mktemp", "rm", "sed", "head"):
        found = next(path for path in (Path("/usr/bin", name), Path("/bin", name)) if path.exists())
        (folder / name).symlink_to(found)
    return folder


def add(builders: Path, name: str) -> None:
    path = builders / name
    path.write_text(BUILDER, encoding="utf-8")
    path.chmod(0o755)


def run(builders: Path, *arguments: str, **given: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    asked = builders.parent / "asked"
    environment = {"PATH": str(builders), "ASKED": str(asked), "HOME": str(builders.parent), **given}
    command = [str(builders / "sh"), str(ROOT / "scripts" / "images.sh"), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    return done, asked.read_text(encoding="utf-8").splitlines() if asked.exists() else []


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_every_script_is_sound(script: Path) -> None:
    subprocess.run(["sh", "-n", str(script)], check=True, timeout=10)


@pytest.mark.parametrize("tool", ["docker", "podman", "buildah"])
def test_the_builder_that_is_there(builders: Path, tool: str) -> None:
    add(builders, tool)
    done, asked = run(builders, "init", IMAGE_PREFIX="registry.example.com/kecs-", TAG="7", BASE_IMAGE="base:1")
    assert done.returncode == 0, done.stderr
    (build,) = [line for line in asked if "--target" in line]
    assert build.startswith(f"{builders / tool} build ")
    for words in ("--target init", "-t registry.example.com/kecs-init:7", "BASE_IMAGE=base:1", "VERSION=0."):
        assert words in build
    assert "--secret" not in build
    assert f"registry.example.com/kecs-init:7, by {tool}" in done.stdout


def test_what_a_builder_is_given_is_the_wheel_the_lock_and_a_script(builders: Path) -> None:
    add(builders, "docker")
    _, asked = run(builders, "init")
    given = [line for line in asked if not line.startswith("/") and line]
    assert {"dist", "requirements.lock", "scripts"} <= set(given)
    assert len([line for line in given if line.endswith(".whl")]) == 1
    assert not {".git", ".venv", "tests"} & set(given)


def test_all_targets_by_default_and_roots_as_a_secret(builders: Path) -> None:
    add(builders, "podman")
    _, asked = run(builders, BUILD_ROOTS="/roots.pem")
    builds = [line.split() for line in asked if "--target" in line]
    assert [line[line.index("--target") + 1] for line in builds] == [
        "init",
        "sidecar",
        "injector",
        "certs",
        "emulator",
        "controlplane",
        "gateway",
        "cli",
    ]
    assert all("id=roots,src=/roots.pem" in line for line in builds)


@pytest.mark.parametrize(
    ("given", "error", "hint"),
    [
        pytest.param({}, "none of docker, podman and buildah works here", "start docker", id="no builder"),
        pytest.param({"IMAGE_TOOL": "kaniko"}, 'IMAGE_TOOL is "kaniko"', "one of docker, podman", id="unknown"),
        pytest.param({"IMAGE_TOOL": "podman"}, 'IMAGE_TOOL is "podman", which does not run', "unset", id="not there"),
    ],
)
def test_no_builder_is_said(builders: Path, given: dict[str, str], error: str, hint: str) -> None:
    done, asked = run(builders, **given)
    assert done.returncode == 1
    assert f"error: {error}" in done.stderr
    assert hint in done.stderr
    assert asked == []
