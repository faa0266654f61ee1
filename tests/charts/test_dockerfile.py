"""What the Dockerfile promises, read from it: no image can be built here, so nothing more is claimed."""

import ast
import contextlib
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from typing import NamedTuple

import pytest
from helm_lab import ROOT

from kecs.core.names import PROXY_GID, PROXY_UID

TARGETS = ("init-container", "sidecar", "cli")
TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
LOCKED = set(re.findall(r"^([a-z0-9][a-z0-9._-]*)==", LOCK, re.MULTILINE))


class Instruction(NamedTuple):
    word: str
    rest: str


def instructions() -> Iterator[Instruction]:
    joined = re.sub(r"\\\n\s*", "", "\n".join(line for line in TEXT.splitlines() if not line.startswith("#")))
    for line in joined.splitlines():
        if line.strip():
            word, _, rest = line.strip().partition(" ")
            yield Instruction(word, rest.strip())


def stages() -> dict[str, list[Instruction]]:
    found: dict[str, list[Instruction]] = {}
    name = ""
    for instruction in instructions():
        if instruction.word == "FROM":
            name = instruction.rest.rpartition(" AS ")[2]
            found[name] = []
        if name:
            found[name].append(instruction)
    return found


def of(stage: str, word: str) -> list[str]:
    return [instruction.rest for instruction in stages()[stage] if instruction.word == word]


@pytest.mark.parametrize("target", TARGETS)
def test_every_image_has_a_target_a_user_and_an_entry(target: str) -> None:
    assert len(of(target, "USER")) == 1
    (entry,) = of(target, "ENTRYPOINT")
    assert re.fullmatch(r'\["[^"]+"(, "[^"]+")*\]', entry)


def test_only_the_init_container_is_root() -> None:
    users = {target: of(target, "USER")[0] for target in TARGETS}
    assert users == {"init-container": "0:0", "sidecar": f"{PROXY_UID}:{PROXY_GID}", "cli": "10001:10001"}


def test_the_base_is_one_exact_version() -> None:
    first = next(instruction for instruction in instructions() if instruction.word == "ARG")
    assert re.fullmatch(r"PYTHON=python:3\.\d+\.\d+-slim-[a-z]+", first.rest)
    bases = {instruction.rest.split()[0] for instruction in instructions() if instruction.word == "FROM"}
    assert bases <= {"${PYTHON}", *stages()}


def test_nothing_comes_by_url_or_without_the_lock() -> None:
    assert not [instruction for instruction in instructions() if instruction.word == "ADD"]
    assert "://" not in "\n".join(rest for _, rest in instructions())
    for stage in stages():
        for run in of(stage, "RUN"):
            assert not re.search(r"\b(curl|wget|git)\b", run)
            for install in re.findall(r"pip install [^&]*", run):
                assert "-c requirements.lock" in install or "--require-hashes" in install or "--no-deps" in install


def test_what_is_copied_from_outside_is_the_lock_and_the_wheel() -> None:
    copied = [rest for stage in stages() for rest in of(stage, "COPY") if not rest.startswith("--from=")]
    assert copied == ["requirements.lock ./", "dist/kecs-*.whl ./"]


def sidecar_packages() -> set[str]:
    (run,) = of("sidecar-packages", "RUN")
    return set(re.findall(r"-c requirements\.lock ([^&]*)", run)[0].split())


def test_the_sidecars_packages_are_the_projects_own_and_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    known = {re.split(r"[\[<>=]", line)[0] for line in project["dependencies"]}
    assert sidecar_packages() <= known
    assert sidecar_packages() <= LOCKED


def test_the_sidecars_packages_are_all_it_imports() -> None:
    provided = packages_distributions()
    wanted = set()
    for folder in ("core", "aws", "certs", "relay", "sidecar"):
        for path in (ROOT / folder / "kecs").rglob("*.py"):
            wanted |= set(imports(path.read_text(encoding="utf-8")))
    missing = {
        name
        for name in wanted - sys.stdlib_module_names - {"kecs"}
        if not {normal(distribution) for distribution in provided[name]} & closure(sidecar_packages())
    }
    assert missing == set()


def closure(packages: set[str]) -> set[str]:
    """Packages, and what they bring along by their own definition."""
    found: set[str] = set()
    waiting = [normal(package) for package in packages]
    while waiting:
        package = waiting.pop()
        if package not in found:
            found.add(package)
            with contextlib.suppress(PackageNotFoundError):  # for another system than this
                lines = requires(package) or []
                waiting += [normal(re.split(r"[\[<>=!~; (]", line)[0]) for line in lines if "extra ==" not in line]
    return found


def normal(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


def imports(text: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]
