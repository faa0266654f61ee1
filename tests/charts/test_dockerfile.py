"""What the Dockerfile promises, read from it. Building is `make images`, which needs a builder and registries."""

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
from kecs.injector.containers import PYTHON

ENTRIES = {
    "init": ("0:0", "kecs.init_container"),
    "sidecar": (f"{PROXY_UID}:{PROXY_GID}", "kecs.sidecar"),
    "injector": ("10001:10001", "kecs.injector"),
    "certs": ("10001:10001", "kecs.certs"),
    "emulator": ("10001:10001", "kecs.emulator"),
    "controlplane": ("10001:10001", "kecs.controlplane"),
    "gateway": ("10001:10001", "kecs.gateway"),
    "cli": ("10001:10001", "kecs"),
}
TARGETS = tuple(ENTRIES)
PICKED = ("sidecar", "injector", "certs", "emulator", "controlplane", "gateway")
"""The images whose packages are named one by one."""
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
def test_every_image_has_a_target_a_user_a_title_and_an_entry(target: str) -> None:
    user, program = ENTRIES[target]
    assert of(target, "USER") == [user]  # only the init container is root
    (entry,) = of(target, "ENTRYPOINT")
    assert ast.literal_eval(entry)[-1] == program
    assert target == "cli" or ast.literal_eval(entry)[0] == PYTHON  # what the injector's manifests call
    (labels,) = of(target, "LABEL")
    assert re.search(r'org\.opencontainers\.image\.title="kecs', labels)


def test_the_older_name_of_a_target() -> None:
    assert Instruction("FROM", "init AS init-container") in list(instructions())


def test_the_base_is_one_exact_version_and_can_be_another() -> None:
    first = next(instruction for instruction in instructions() if instruction.word == "ARG")
    assert re.fullmatch(r"BASE_IMAGE=python:3\.\d+\.\d+-slim-[a-z]+", first.rest)
    bases = {instruction.rest.split()[0] for instruction in instructions() if instruction.word == "FROM"}
    assert bases <= {"${BASE_IMAGE}", "scratch", *stages()}


def lineage(stage: str) -> list[str]:
    """Return a stage and those it is built on."""
    base = next(
        one.rest.split()[0] for one in instructions() if one == Instruction("FROM", f"{one.rest.split()[0]} AS {stage}")
    )
    return [stage, *(lineage(base) if base in stages() else [])]


@pytest.mark.parametrize("target", TARGETS)
def test_what_is_shipped_is_made_of_one_trimmed_layer(target: str) -> None:
    """A layer that removes pip would still hold it: the base's files are copied after the removal."""
    assert lineage(target)[-1] == "runtime"
    assert of("runtime", "COPY") == ["--from=trimmed / /"]
    (removal,) = of("trimmed", "RUN")
    for unwanted in ("/site-packages/*", "/ensurepip", "/usr/local/bin/pip*", "/usr/local/include"):
        assert unwanted in removal


def test_the_init_image_has_all_that_its_program_imports_and_nothing_else() -> None:
    (_link, run) = of("init-packages", "RUN")
    shipped = run.split()[3:]
    wanted = {"kecs/init_container", "kecs/core/__init__.py"}
    for path in (ROOT / "init-container" / "kecs").rglob("*.py"):
        for module in re.findall(r"^\s*from (kecs\.core\.\w+) import", path.read_text(encoding="utf-8"), re.MULTILINE):
            wanted.add(module.replace(".", "/") + ".py")
    assert set(shipped) == wanted
    for name in shipped:
        if name.startswith("kecs/core/"):
            found = imports((ROOT / "core" / name).read_text(encoding="utf-8"))
            assert {one.partition(".")[0] for one in found} <= sys.stdlib_module_names


def test_nothing_comes_by_url_or_without_the_lock() -> None:
    assert not [instruction for instruction in instructions() if instruction.word == "ADD"]
    assert "://" not in "\n".join(rest for _, rest in instructions())
    for stage in stages():
        for run in of(stage, "RUN"):
            assert not re.search(r"\b(curl|wget|git|pip install)\b", run)
    script = (ROOT / "scripts" / "image-packages.sh").read_text(encoding="utf-8")
    for install in re.findall(r"pip install .*", script):
        assert "-c requirements.lock" in install or "--require-hashes" in install or "--no-deps" in install


def test_what_is_copied_from_outside_is_the_lock_and_the_wheel() -> None:
    copied = [rest for stage in stages() for rest in of(stage, "COPY") if not rest.startswith("--from=")]
    assert copied == ["requirements.lock scripts/image-packages.sh ./", "dist/kecs-*.whl ./"]


def image_packages(target: str) -> set[str]:
    """Return what an image asks for: names of distributions, without their extras."""
    (run,) = of(f"{target}-packages", "RUN")
    return {re.split(r"[\[]", name.strip("'"))[0] for name in run.partition("/opt/kecs ")[2].split()}


@pytest.mark.parametrize("target", PICKED)
def test_an_images_packages_are_the_projects_own_and_locked(target: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    known = {re.split(r"[\[<>=]", line)[0] for line in project["dependencies"]}
    assert image_packages(target) <= known
    assert image_packages(target) <= LOCKED


@pytest.mark.parametrize("target", PICKED)
def test_an_images_packages_are_all_it_imports(target: str) -> None:
    provided = packages_distributions()
    _, program = ENTRIES[target]
    wanted = foreign(f"{program}.__main__")
    missing = {
        name
        for name in wanted - sys.stdlib_module_names
        if not {normal(distribution) for distribution in provided[name]} & closure(image_packages(target))
    }
    assert missing == set()


MODULES = {
    ".".join(path.relative_to(path.parents[len(path.parts) - path.parts.index("kecs") - 1]).with_suffix("").parts): path
    for folder in ROOT.iterdir()
    for path in (folder / "kecs").glob("*/*.py")
}
"""Every module of the project and its file."""


def foreign(entry: str) -> set[str]:
    """Return the packages of others that a module imports, by itself or by what it imports of ours."""
    found: set[str] = set()
    seen: set[str] = set()
    waiting = [entry]
    while waiting:
        module = waiting.pop()
        if module in seen or module not in MODULES:
            continue
        seen |= {module}
        for name in imports(MODULES[module].read_text(encoding="utf-8")):
            if name.startswith("kecs."):
                waiting += [name, f"{name}.__init__"]
            else:
                found.add(name.partition(".")[0])
    return found


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
    """Return the modules that a text imports; of `from a import b` both a and a.b."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            if node.module.startswith("kecs"):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
