"""A real cluster for tests/e2e: kubectl, helm and kecs as a person would call them. KUBECONFIG says which cluster.

E2E_LOAD_IMAGE   command that brings an image into the cluster, called with its name; e.g. `kind load docker-image`
IMAGE_PREFIX     as in `make images`; kecs- when unset
TAG              as in `make images`; the chart's appVersion when unset
E2E_HELM_ARGS    further arguments for helm install and upgrade, e.g. `--set pods.priorityClassName=`
E2E_JAVA_IMAGE   an image with a JDK of 17 or later (`java` runs source files); without it there is no Java case
E2E_NODE_IMAGE   an image with Node 18 or later; without it there is no Node case
E2E_TIMEOUT      seconds that one wait may take; 180 when unset
"""

import json
import os
import shlex
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from docs_lab import Document, Step
from helm_lab import ROOT, helm
from helm_lab import kubectl as kubectl_path

SYSTEM: Final = "kecs-system"
TARGETS: Final = ("init", "sidecar", "injector", "certs", "emulator", "cli")
DEPLOYMENTS: Final = (
    "kecs-authority",
    "kecs-certs",
    "kecs-injector",
    "kecs-emulator",
    "kecs-controlplane",
    "kecs-gateway",
)
TIMEOUT_S: Final = float(os.environ.get("E2E_TIMEOUT") or 180)
_POLL_S: Final = 0.5
_STEP_S: Final = 660
_DOCUMENTS_IMAGE: Final = "kecs-cli:0.1.0"
_BIN: Final = Path(sys.executable).parent


class FailedError(AssertionError):
    """A command failed, or something did not come about in time."""


def image(target: str) -> str:
    """Return the name of one of our images."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    return f"{os.environ.get('IMAGE_PREFIX') or 'kecs-'}{target}:{os.environ.get('TAG') or version}"


def environment() -> dict[str, str]:
    """Return what commands run with: kecs and helm on PATH, and the caller's kubeconfig."""
    path = os.pathsep.join((str(_BIN), os.environ["PATH"], str(helm().parent), str(kubectl_path().parent)))
    return {**os.environ, "PATH": path}


def run(*command: str, stdin: str = "", timeout_s: float = TIMEOUT_S, fails: bool = False, cwd: Path = ROOT) -> str:
    """Run a command and return its output; both outputs where it is to fail."""
    done = subprocess.run(
        command,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
        env=environment(),
        cwd=cwd,
    )
    if (done.returncode != 0) is not fails:
        raise FailedError(f"{shlex.join(command)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr if fails else done.stdout


def kubectl(*arguments: str, stdin: str = "", fails: bool = False, timeout_s: float = TIMEOUT_S) -> str:
    """Run kubectl."""
    return run("kubectl", *arguments, stdin=stdin, fails=fails, timeout_s=timeout_s)


def get(*arguments: str) -> Any:
    """Return what `kubectl get … -o json` says."""
    return json.loads(kubectl("get", *arguments, "-o", "json"))


def wait_for[T](what: str, found: Callable[[], T], timeout_s: float = TIMEOUT_S) -> T:
    """Ask until something is there; say what it was waited for."""
    end = time.monotonic() + timeout_s
    while True:
        if answer := found():
            return answer
        if time.monotonic() > end:
            raise FailedError(f"waited {timeout_s:.0f} s for {what}")
        time.sleep(_POLL_S)


def helm_arguments() -> list[str]:
    """Return what every install and upgrade here needs: the images under test."""
    prefix, _, rest = image("init").rpartition("init:")
    return [
        f"--set-string=images.prefix={prefix},images.tag={rest}",
        "--set=images.pullPolicy=IfNotPresent",
        "--set=authority.propagationSeconds=20",  # nobody waits three minutes for a rotation here
        *shlex.split(os.environ.get("E2E_HELM_ARGS", "")),
    ]


def install(*values: str) -> None:
    """Install the chart of this work tree, or bring the release up to it."""
    command = ["helm", "upgrade", "--install", "kecs", "charts/kecs", "-n", SYSTEM, "--create-namespace"]
    waiting = ["--wait", f"--timeout={TIMEOUT_S:.0f}s"]
    run(*command, *waiting, *helm_arguments(), *values, timeout_s=TIMEOUT_S + 60)


def load_images() -> None:
    """Bring our images, and those given, into the cluster."""
    command = shlex.split(os.environ.get("E2E_LOAD_IMAGE", ""))
    given = [os.environ[name] for name in ("E2E_JAVA_IMAGE", "E2E_NODE_IMAGE") if os.environ.get(name)]
    for name in (*map(image, TARGETS), *given) if command else ():
        run(*command, name, timeout_s=600)


def follow(section: Document, files: Mapping[str, str], folder: Path) -> Iterator[tuple[Step, str]]:
    """Run a section's commands one by one, with the images under test; give each with what it printed."""
    for name, text in files.items():
        (folder / name).write_text(text.replace(_DOCUMENTS_IMAGE, image("cli")), encoding="utf-8")
    if not (folder / "charts").exists():
        (folder / "charts").symlink_to(ROOT / "charts")
    for step in section.steps:
        chart = step.words[:2] in (["helm", "install"], ["helm", "upgrade"])
        yield step, run(*step.words, *(helm_arguments() if chart else ()), timeout_s=_STEP_S, cwd=folder)


def restricted(**container: Any) -> dict[str, Any]:
    """Return a container as a careful author writes it."""
    return {
        "imagePullPolicy": "IfNotPresent",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "runAsNonRoot": True,
            "runAsUser": 1000,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        **container,
    }


def python(code: str, **container: Any) -> dict[str, Any]:
    """Return a container that runs an unmodified boto3 program. The image with the command line has boto3."""
    command = ["/opt/kecs/bin/python", "-u", "-c", code]
    given = {"name": "app", "image": image("cli"), "command": command, "workingDir": "/tmp"}
    return restricted(**{**given, **container})


@dataclass(frozen=True, slots=True)
class Space:
    """One namespace of a test."""

    name: str

    def apply(self, *objects: Mapping[str, Any]) -> str:
        """Create or change objects; return what kubectl said."""
        return kubectl("-n", self.name, "apply", "-f", "-", stdin=yaml.safe_dump_all(objects))

    def pod(
        self,
        name: str,
        *containers: Mapping[str, Any],
        mode: str = "sidecar",
        annotations: Mapping[str, str] | None = None,
        **spec: Any,
    ) -> str:
        """Create a pod."""
        marks = {**({"kecs.io/aws-proxy-mode": mode} if mode else {}), **(annotations or {})}
        return self.apply(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": name, "annotations": marks},
                "spec": {
                    "restartPolicy": "Never",
                    "terminationGracePeriodSeconds": 2,
                    **spec,
                    "containers": list(containers),
                },
            }
        )

    def job(self, name: str, container: Mapping[str, Any], *, mode: str = "sidecar") -> None:
        """Create a Job."""
        template = {
            "metadata": {"annotations": {"kecs.io/aws-proxy-mode": mode}},
            "spec": {"restartPolicy": "Never", "terminationGracePeriodSeconds": 2, "containers": [dict(container)]},
        }
        spec = {"backoffLimit": 0, "template": template}
        self.apply({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec})

    def deployment(self, name: str, container: Mapping[str, Any], *, replicas: int = 1, mode: str = "sidecar") -> None:
        """Create a Deployment and wait until it is available."""
        labels = {"app": name}
        template = {
            "metadata": {"labels": labels, "annotations": {"kecs.io/aws-proxy-mode": mode}},
            "spec": {"terminationGracePeriodSeconds": 2, "containers": [dict(container)]},
        }
        spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
        self.apply({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec})
        self.rolled_out(name)

    def rolled_out(self, name: str) -> None:
        """Wait for a Deployment."""
        kubectl("-n", self.name, "rollout", "status", f"deployment/{name}", f"--timeout={TIMEOUT_S:.0f}s")

    def succeeded(self, name: str, *, container: str = "app") -> str:
        """Wait for a pod's end; return what its container printed, and fail with it where the pod failed."""
        pod = wait_for(f"the end of pod {name}\n{self.told(name)}", lambda: self._ended(name))
        log = self.log(name, container)
        if pod["status"]["phase"] == "Failed":
            raise FailedError(f"pod {name} failed\n{log}\n{self.told(name)}")
        return log

    def _ended(self, name: str) -> Any:
        pod = get("-n", self.name, "pod", name)
        return pod if pod["status"].get("phase") in {"Succeeded", "Failed"} else None

    def completed(self, name: str) -> str:
        """Wait for a Job's completion; return what it printed."""
        (pod,) = wait_for(f"the pod of job {name}", lambda: self.pods(f"job-name={name}"))
        log = self.succeeded(pod["metadata"]["name"])
        kubectl("-n", self.name, "wait", f"job/{name}", "--for=condition=Complete", "--timeout=60s")
        return log

    def pods(self, selector: str) -> list[Any]:
        """Return the pods of a label selector, without those that are being deleted."""
        found = get("-n", self.name, "pods", "-l", selector)["items"]
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def log(self, name: str, container: str = "app", *options: str) -> str:
        """Return what a container printed."""
        return kubectl("-n", self.name, "logs", name, "-c", container, *options)

    def told(self, name: str) -> str:
        """Return what helps to understand a pod: its states and events, and our containers' logs."""
        parts = [kubectl("-n", self.name, "describe", "pod", name)]
        for container in ("aws-proxy-init", "aws-proxy-sidecar"):
            done = subprocess.run(
                ["kubectl", "-n", self.name, "logs", name, "-c", container, "--tail=20"],
                capture_output=True, text=True, check=False, timeout=30, env=environment(),
            )  # fmt: skip
            parts.append(f"--- {container}\n{done.stdout}{done.stderr}")
        return "\n".join(parts)


def container_names(pod: Mapping[str, Any]) -> Sequence[str]:
    """Return the names of all containers of a pod, init containers first."""
    spec = pod["spec"]
    return [one["name"] for one in (*spec.get("initContainers", ()), *spec["containers"])]
