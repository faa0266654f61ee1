"""How each arm's program is run. Writes their configuration files; starts nothing."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.relay import haproxy, nginx
from benchmarks.relay.layout import CERTS_NAME, CERTS_PORT, Backend
from benchmarks.relay.material import Material
from kecs.core.names import RELAY_PORT

_PROJECT: Final = Path(__file__).parents[2]
_FOLDERS: Final = ("core", "aws", "certs", "relay", "sidecar")
_STREAM_MODULES: Final = ("/usr/lib/nginx/modules", "/usr/lib64/nginx/modules", "/usr/share/nginx/modules")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What an arm is started with."""

    directory: Path
    """Its own; the proxy's user may write."""
    material: Material
    backend: Backend


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """How an arm is run."""

    argv: tuple[str, ...]
    environ: dict[str, str]


def ours(setting: Setting, *, revision: str = "", **settings: object) -> Program:
    """Return the sidecar as the injector writes it into a pod; at a revision of this project, if one is named."""
    backend = setting.backend  # what else there is to say has a default, whichever revision it is said to
    config = {"backend_host": backend.host, "backend_port": backend.port, "profile": backend.profile, **settings}
    token = setting.directory / "token"
    token.write_text("a.pods.token", encoding="ascii")
    environ = {
        "KECS_SIDECAR_CONFIG": json.dumps(config),
        "KECS_SIDECAR_CERTS_URL": f"https://{CERTS_NAME}:{CERTS_PORT}",
        "KECS_SIDECAR_TOKEN_FILE": str(token),
        "KECS_SIDECAR_TRUST_FILE": str(setting.material.trust),
        "KECS_SIDECAR_ADMIN_HOST": "127.0.0.1",
        "KECS_SIDECAR_PROBE_HOST": "127.0.0.2",
        "KECS_SIDECAR_DNS": "capture",
        "POD_NAMESPACE": "bench",
        "POD_NAME": "pod",
    }
    tree = _PROJECT
    if revision:
        tree = _checked_out(revision, setting.directory)
        environ["PYTHONPATH"] = ":".join(str(tree / folder) for folder in _FOLDERS)
    _compile(tree)
    return Program(argv=(sys.executable, "-m", "kecs.sidecar"), environ=environ)


def _checked_out(revision: str, directory: Path) -> Path:
    """Lay out a revision's sources."""
    tree = directory / "tree"
    tree.mkdir(exist_ok=True)
    archive = subprocess.run(["git", "archive", revision, *_FOLDERS], cwd=_PROJECT, capture_output=True, check=False)
    if archive.returncode:
        raise SystemExit(f"error: {revision} is no revision of this project: {archive.stderr.decode().strip()}")
    subprocess.run(["tar", "--extract", "--directory", str(tree)], input=archive.stdout, check=True)
    return tree


def _compile(tree: Path) -> None:
    """Compile what the sidecar imports, as an image's build does: the proxy's user can't, and would at each start."""
    folders = [str(tree / folder) for folder in _FOLDERS]
    subprocess.run([sys.executable, "-m", "compileall", "-q", *folders], check=True)


def nginx_sni(setting: Setting) -> Program:
    """Return nginx as a sidecar: it splits by name, and ends TLS for AWS."""
    text = nginx.split(setting.directory, setting.material, setting.backend, module=stream_module())
    return _nginx(text, setting.directory)


def nginx_tls(setting: Setting) -> Program:
    """Return nginx ending TLS of all that comes."""
    return _nginx(nginx.plain(setting.directory, setting.material, setting.backend), setting.directory)


def _nginx(text: str, directory: Path) -> Program:
    file = _written(directory / "nginx.conf", text)
    return Program(argv=("nginx", "-e", "stderr", "-p", str(directory), "-c", str(file)), environ={})


def stream_module() -> Path:
    """Find nginx' stream module, which distributions ship apart."""
    for directory in _STREAM_MODULES:
        path = Path(directory) / "ngx_stream_module.so"
        if path.exists():
            return path
    raise SystemExit("error: nginx has no stream module\n\nhint: apt-get install libnginx-mod-stream")


def haproxy_sni(setting: Setting) -> Program:
    """Return haproxy as a sidecar."""
    text = haproxy.text(setting.directory, setting.material, setting.backend)
    file = _written(setting.directory / "haproxy.cfg", text)
    return Program(argv=("haproxy", "-db", "-f", str(file)), environ={})


def mitmdump(setting: Setting) -> Program:
    """Return mitmdump as it comes, transparent, with a ten-line addon. It buffers bodies, as it does unless told."""
    options = {
        "confdir": setting.directory,
        "certs": f"*={setting.material.pair}",
        "connection_strategy": "lazy",  # eager, the default, dials the real AWS first
        "allow_hosts": r"\.amazonaws\.com",
    }
    return Program(
        argv=(
            str(Path(sys.executable).parent / "mitmdump"),
            "--quiet",
            f"--mode=transparent@127.0.0.1:{RELAY_PORT}",
            f"--scripts={Path(__file__).parent / 'rewriting.py'}",
            *(word for key, value in options.items() for word in ("--set", f"{key}={value}")),
        ),
        environ={"BENCH_BACKEND": f"{setting.backend.host}:{setting.backend.port}"},
    )


def kecs_run(backend: Backend) -> tuple[str, ...]:
    """Return what runs a program as a person does, who has no pods."""
    return (
        sys.executable,
        "-m",
        "kecs.cli",
        "run",
        "--quiet",
        "--backend",
        f"http://{backend.host}:{backend.port}",
        "--",
    )


def _written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path
