"""A control plane as a process of its own, `kecs server` as a person has it, and clients that know only an endpoint.

with server(tmp_path) as ecs:           # ECS alone; it can be killed and started again
    ecs.client().create_cluster(clusterName="c")
    ecs.kill()
    ecs.start()
with kecs_server(tmp_path) as aws:      # one endpoint for all of AWS
    aws.run("aws", "ecs", "list-clusters")
"""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from kecs.controlplane.config import ControlPlaneConfig

PATIENCE_S = 60
SETTLING_S = 240
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}


@dataclass
class Endpoint:
    """Where clients ask."""

    folder: Path
    """Their home, and where they are."""
    url: str

    @property
    def environment(self) -> dict[str, str]:
        """What a client's process needs to know, and nothing else of this machine."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "AWS_ENDPOINT_URL": self.url,
            **KEYS,
        }

    def client(self, service: str = "ecs", *, region: str = "us-east-1", **config: Any) -> Any:
        """Make a boto3 client; it asks once."""
        return boto3.client(  # type: ignore[call-overload]  # any service
            service,
            endpoint_url=self.url,
            region_name=region,
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(**{"retries": {"total_max_attempts": 1}, "proxies": {}, **config}),
        )

    def begin(
        self, *command: str | Path, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> subprocess.Popen[str]:
        """Begin a client's process."""
        return subprocess.Popen(
            [str(word) for word in command],
            env={**self.environment, **(env or {})},
            cwd=cwd or self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(
        self,
        *command: str | Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        timeout_s: float = 240,
    ) -> "Ran":
        """Run a client's process to its end."""
        with self.begin(*command, env=env, cwd=cwd) as process:
            return ended(process, timeout_s=timeout_s)


@dataclass
class Server(Endpoint):
    """A control plane that can be killed and started again, at the same port and with the same store."""

    config: ControlPlaneConfig
    listener: socket.socket
    admin: socket.socket
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; return when it answers."""
        ready, theirs = os.pipe()
        told = os.memfd_create("config")
        os.write(told, self.config.to_json().encode())
        os.lseek(told, 0, os.SEEK_SET)
        passed = {
            "fd": self.listener.fileno(),
            "admin-fd": self.admin.fileno(),
            "config-fd": told,
            "ready-fd": theirs,
        }
        words = [word for name, number in passed.items() for word in (f"--{name}", str(number))]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "kecs.controlplane", *words], pass_fds=tuple(passed.values()), stderr=log
            )
        os.close(told)
        os.close(theirs)
        try:
            if not os.read(ready, 64):
                code = self.process.wait(PATIENCE_S)
                raise AssertionError(f"it has ended with {code}: {(self.folder / 'server.log').read_text()}")
        finally:
            os.close(ready)

    @property
    def complaints(self) -> list[str]:
        """What its log has of mistakes that are its own."""
        lines = (self.folder / "server.log").read_text().splitlines()
        return [line for line in lines if not line.startswith("{") or _is_complaint(json.loads(line)["event"])]

    def kill(self) -> None:
        """End it without a word."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(PATIENCE_S)

    def end(self) -> None:
        """Ask it to end; it must have nothing to complain of."""
        assert self.process is not None
        self.process.terminate()
        assert self.process.wait(PATIENCE_S) == 0
        assert not self.complaints


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """A client's process that has ended."""

    code: int
    out: str
    err: str

    @property
    def output(self) -> str:
        """What it said; it must have gone well."""
        assert self.code == 0, f"exit code {self.code}\n{self.out}\n{self.err}"
        return self.out


def ended(process: subprocess.Popen[str], *, timeout_s: float = 240) -> Ran:
    """Wait for a client's process."""
    try:
        out, err = process.communicate(timeout=timeout_s)
    except BaseException:
        process.kill()
        raise
    return Ran(code=process.returncode, out=out, err=err)


def eventually(holds: Callable[[], object]) -> None:
    """Ask until it is so."""
    deadline = time.monotonic() + SETTLING_S
    while not holds():
        assert time.monotonic() < deadline, f"it has not come to be so within {SETTLING_S} seconds"
        time.sleep(0.05)


def _is_complaint(event: str) -> bool:
    return event.endswith("_failed") or event in {"internal_error", "misfit"}


@contextmanager
def server(folder: Path, **config: Any) -> Iterator[Server]:
    """Run a control plane until the end of the block, with a store in the folder unless its `data` is said."""
    told = ControlPlaneConfig(**{"data": str(folder / "store.duckdb"), **config})
    with ExitStack() as stack:
        api, admin = (stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=256)) for _ in range(2))
        url = f"http://127.0.0.1:{api.getsockname()[1]}"
        made = Server(folder=folder, url=url, config=told, listener=api, admin=admin)
        made.start()
        try:
            yield made
        except BaseException:
            made.kill()
            raise
        made.end()


PORTS = ("api-port", "port", "admin-port")
TRIES = 5


@contextmanager
def kecs_server(folder: Path, *arguments: str) -> Iterator[Endpoint]:
    """Run `kecs server` until the end of the block. A port that was free a moment ago may be taken: then others are."""
    for _ in range(TRIES):
        process, port = _begun(folder, arguments)
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("Ctrl-C"):
                break
        else:
            said = ended(process)
            assert "is taken" in said.err, said
            continue
        break
    else:
        raise AssertionError("every port is taken")
    reading = threading.Thread(target=process.communicate)  # what it says must not fill the pipe
    reading.start()
    try:
        yield Endpoint(folder=folder, url=f"http://localhost:{port}")
    finally:
        process.terminate()
        reading.join()
        assert process.returncode == 0


def _begun(folder: Path, arguments: tuple[str, ...]) -> tuple[subprocess.Popen[str], int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in PORTS]
        numbers = [one.getsockname()[1] for one in sockets]
    words = [word for name, number in zip(PORTS, numbers, strict=True) for word in (f"--{name}", str(number))]
    process = subprocess.Popen(
        [sys.executable, "-m", "kecs.cli", "server", *words, *arguments],
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8"},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    return process, numbers[0]
