"""A control plane as a process, for tests: on free ports of loopback, with the simulated runtime."""

import json
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config

from kecs.controlplane.config import ControlPlaneConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlPlane:
    """One that serves."""

    port: int
    admin_port: int
    process: subprocess.Popen[str]

    def client(self, *, region: str = "eu-west-1") -> Any:
        return boto3.client(
            "ecs",
            region_name=region,
            endpoint_url=f"http://127.0.0.1:{self.port}",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(retries={"total_max_attempts": 1}),
        )

    def ask(self, path: str, method: str = "GET", body: bytes | None = None) -> tuple[int, bytes]:
        """Ask the admin port."""
        asked = urllib.request.Request(f"http://127.0.0.1:{self.admin_port}{path}", data=body, method=method)
        try:
            with urllib.request.urlopen(asked, timeout=60) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def told(self, path: str) -> Any:
        return json.loads(self.ask(path)[1])


@contextmanager
def running(config: ControlPlaneConfig | None = None) -> Iterator[ControlPlane]:
    """Run a control plane until the end of the block, ready at its beginning."""
    with ExitStack() as stack:
        api, admin = (stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=128)) for _ in range(2))
        ready, theirs = os.pipe()
        control, ours = os.pipe()
        told = os.memfd_create("config")
        os.write(told, (config or ControlPlaneConfig()).to_json().encode())
        os.lseek(told, 0, os.SEEK_SET)
        passed = {
            "fd": api.fileno(),
            "admin-fd": admin.fileno(),
            "ready-fd": theirs,
            "control-fd": control,
            "config-fd": told,
        }
        words = [word for name, number in passed.items() for word in (f"--{name}", str(number))]
        process = stack.enter_context(
            subprocess.Popen(
                [sys.executable, "-m", "kecs.controlplane", *words],
                pass_fds=tuple(passed.values()),
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        for descriptor in (theirs, control, told):
            os.close(descriptor)
        try:
            if not os.read(ready, 64):
                assert process.stderr is not None
                raise AssertionError(process.stderr.read())
            yield ControlPlane(port=api.getsockname()[1], admin_port=admin.getsockname()[1], process=process)
        finally:
            os.close(ready)
            os.close(ours)  # its end is the control plane's
            process.wait(40)
