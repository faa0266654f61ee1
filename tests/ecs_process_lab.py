"""A control plane in a process of its own, beside a cluster, for tests/e2e: killed and started again at will.

with emulator_lab.running() as emulator, Plane(tmp_path, emulator.port) as plane:
    plane.ecs.run_task(...)
    plane.kill(); plane.start()                    # the same data, the same port
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from e2e_lab import TIMEOUT_S, image, wait_for
from ecs_lab import ecs_client

type Json = dict[str, Any]

PYTHON = "/opt/kecs/bin/python"
"""In our image with boto3, which every cluster under test has."""


def program(code: str, **more: Any) -> Json:
    """Make a container definition that runs a program."""
    given = {"name": "app", "image": image("cli"), "memory": 128, "entryPoint": [PYTHON, "-uc"], "command": [code]}
    return {**given, **more}


class Plane:
    """See the module."""

    def __init__(self, directory: Path, emulator: int, **pods: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self._port = probe.getsockname()[1]
        self._log = directory / "controlplane.log"
        self._config = {
            "data": str(directory / "state.db"),
            "runtime": "kubernetes",
            "kubeconfig": os.environ["KUBECONFIG"],
            "emulator": f"http://127.0.0.1:{emulator}",
            # the chart's own control plane may be there: each looks after its own pods alone
            "pods": {"proxy_mode": "disabled", "image_pull_policy": "IfNotPresent", "instance": "e2e", **pods},
        }
        self._process: subprocess.Popen[bytes] | None = None
        self.ecs: Any = ecs_client(f"http://127.0.0.1:{self._port}")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill(signal.SIGTERM)

    def start(self) -> None:
        """Start it, and return when it answers."""
        reading, writing = os.pipe()
        arguments = ["--listen", f"127.0.0.1:{self._port}", "--admin", "127.0.0.1:0", "--ready-fd", str(writing)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "kecs.controlplane", *arguments],
                env={**os.environ, "KECS_CONTROLPLANE_CONFIG": json.dumps(self._config)},
                pass_fds=[writing],
                stderr=log,
            )
        os.close(writing)
        with os.fdopen(reading, "rb") as ready:
            assert ready.readline(), self._log.read_text(encoding="utf-8")

    def kill(self, how: int = signal.SIGKILL) -> None:
        """End it, as the kernel would or as an operator does."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(timeout=TIMEOUT_S)
            self._process = None

    def register(self, *containers: Mapping[str, Any], family: str = "app", **more: Any) -> str:
        """Register a task definition; return its ARN."""
        made = self.ecs.register_task_definition(family=family, containerDefinitions=list(containers), **more)
        return str(made["taskDefinition"]["taskDefinitionArn"])

    def run(self, definition: str, **more: Any) -> str:
        """Run one task; return its ARN."""
        made = wait_for("a container instance", lambda: self._ran(definition, more))
        return str(made["tasks"][0]["taskArn"])

    def _ran(self, definition: str, more: Mapping[str, Any]) -> Any:
        try:
            made = self.ecs.run_task(taskDefinition=definition, **more)
        except self.ecs.exceptions.InvalidParameterException:
            return None  # nodes have not been told of yet
        return made if made["tasks"] else None

    def task(self, arn: str) -> Json:
        """Describe a task."""
        (found,) = self.ecs.describe_tasks(tasks=[arn])["tasks"]
        return dict(found)

    def running(self, arn: str) -> Json:
        """Wait until a task runs."""
        return self._until(arn, ("RUNNING",))

    def stopped(self, arn: str) -> Json:
        """Wait until a task has stopped."""
        return self._until(arn, ("STOPPED",))

    def _until(self, arn: str, statuses: Sequence[str]) -> Json:
        def reached() -> Json | None:
            found = self.task(arn)
            assert found["lastStatus"] in statuses or found["lastStatus"] != "STOPPED", found
            return found if found["lastStatus"] in statuses else None

        found = wait_for(f"task {arn} {statuses}", reached)
        assert found is not None
        return found

    def service(self, name: str) -> Json:
        """Describe a service."""
        (found,) = self.ecs.describe_services(services=[name])["services"]
        return dict(found)

    def stable(self, name: str, *, least: int = 0) -> list[int]:
        """Wait until a service's one deployment is complete; return how many tasks ran at each look."""
        ran: list[int] = []
        end = time.monotonic() + TIMEOUT_S

        def settled() -> bool:
            found = self.service(name)
            ran.append(found["runningCount"])
            assert ran[-1] >= least, found
            assert time.monotonic() < end, found
            (first, *others) = found["deployments"]
            done = not others and first["rolloutState"] == "COMPLETED"
            return done and found["runningCount"] == found["desiredCount"]

        wait_for(f"service {name} to be stable", settled, TIMEOUT_S + 1)
        return ran
