"""A running gateway for tests, and boto3 clients that are given its endpoint."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from emulator_lab import running as emulator_running
from sidecar_lab import served

from kecs.aws.head import Answer, RequestHead
from kecs.gateway.config import GatewayConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """One that serves."""

    port: int
    root: Path
    """What to trust for https."""
    log: Path
    asked: list[RequestHead]
    """What the control plane was asked."""

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    def client(self, service: str, *, region: str = "eu-west-1", secure: bool = False, **config: Any) -> Any:
        url = self.url.replace("http:", "https:") if secure else self.url
        return boto3.client(  # type: ignore[call-overload]  # any service
            service,
            region_name=region,
            endpoint_url=url,
            aws_access_key_id="test",
            aws_secret_access_key="test",
            verify=str(self.root) if secure else None,
            config=Config(retries={"total_max_attempts": 1}, **config),
        )

    def calls(self) -> list[dict[str, Any]]:
        """Return the records of calls so far."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@contextmanager
def running(directory: Path, config: GatewayConfig, asked: list[RequestHead] | None = None) -> Iterator[Gateway]:
    """Run a gateway until the end of the block, ready at its beginning."""
    log = directory / "calls.jsonl"
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=128))
        ready, theirs = os.pipe()
        control, ours = os.pipe()
        written = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        told = os.memfd_create("config")
        os.write(told, config.to_json().encode())
        os.lseek(told, 0, os.SEEK_SET)
        passed = {
            "fd": listener.fileno(),
            "ready-fd": theirs,
            "control-fd": control,
            "log-fd": written,
            "config-fd": told,
        }
        words = [word for name, number in passed.items() for word in (f"--{name}", str(number))]
        command = [sys.executable, "-m", "kecs.gateway", "--authority", str(directory / "authority"), *words]
        process = stack.enter_context(subprocess.Popen(command, pass_fds=tuple(passed.values())))
        for descriptor in (theirs, control, written, told):
            os.close(descriptor)
        try:
            assert os.read(ready, 64)
            port = listener.getsockname()[1]
            yield Gateway(port=port, root=directory / "authority" / "ca.crt", log=log, asked=asked or [])
        finally:
            os.close(ready)
            os.close(ours)  # its end is the gateway's
            process.wait(40)


@contextmanager
def laboratory(directory: Path) -> Iterator[Gateway]:
    """Run a gateway before an embedded emulator and a control plane that answers every call alike."""
    asked: list[RequestHead] = []

    def controlplane(head: RequestHead) -> Answer:
        asked.append(head)
        return Answer(
            status=200,
            fields=((b"Content-Type", b"application/x-amz-json-1.1"),),
            body=b'{"clusterArns":["arn:aws:ecs:eu-west-1:000000000000:cluster/ours"]}',
        )

    with emulator_running() as emulator, served(controlplane) as port:
        config = GatewayConfig(
            backend_host="127.0.0.1",
            backend_port=emulator.port,
            profile="embedded",
            controlplane_host="127.0.0.1",
            controlplane_port=port,
        )
        with running(directory, config, asked) as gateway:
            yield Gateway(port=gateway.port, root=gateway.root, log=gateway.log, asked=asked)
